-- A small sales database, the same wherever it is made: what varies follows from row numbers by integer arithmetic.

CREATE TABLE customers (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  country TEXT NOT NULL,
  city TEXT,                     -- NULL where it is not known
  signed_up TEXT NOT NULL        -- YYYY-MM-DD
);
CREATE TABLE employees (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  manager_id INTEGER REFERENCES employees (id),  -- NULL for the head
  hired_on TEXT NOT NULL
);
CREATE TABLE categories (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL
);
CREATE TABLE products (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  category_id INTEGER NOT NULL REFERENCES categories (id),
  price REAL NOT NULL,
  dropped_on TEXT                -- NULL while it is sold
);
CREATE TABLE orders (
  id INTEGER PRIMARY KEY,
  customer_id INTEGER NOT NULL REFERENCES customers (id),
  employee_id INTEGER REFERENCES employees (id),  -- NULL for an order on the web
  ordered_on TEXT NOT NULL,
  shipped_on TEXT                -- NULL until it is shipped
);
CREATE TABLE order_items (
  order_id INTEGER NOT NULL REFERENCES orders (id),
  product_id INTEGER NOT NULL REFERENCES products (id),
  quantity INTEGER NOT NULL,
  unit_price REAL NOT NULL,      -- as it was on the day of the order
  PRIMARY KEY (order_id, product_id)
);

INSERT INTO customers VALUES
  (1, 'Ada Nilsen', 'Norway', 'Bergen', '2022-01-14'), (2, 'Bruno Costa', 'Portugal', 'Porto', '2022-02-03'),
  (3, 'Chiara Riva', 'Italy', 'Turin', '2022-02-21'), (4, 'Daan de Wit', 'Netherlands', 'Utrecht', '2022-03-09'),
  (5, 'Elif Kaya', 'Turkey', NULL, '2022-03-30'), (6, 'Farid Haddad', 'Morocco', 'Fez', '2022-04-18'),
  (7, 'Greta Lind', 'Norway', 'Oslo', '2022-05-02'), (8, 'Hugo Martin', 'France', 'Lyon', '2022-05-27'),
  (9, 'Ines Duarte', 'Portugal', 'Lisbon', '2022-06-11'), (10, 'Jonas Weber', 'Germany', 'Leipzig', '2022-07-04'),
  (11, 'Katja Braun', 'Germany', 'Bremen', '2022-07-23'), (12, 'Luca Ferri', 'Italy', NULL, '2022-08-15'),
  (13, 'Maja Holm', 'Norway', 'Oslo', '2022-09-01'), (14, 'Nora Byrne', 'Ireland', 'Cork', '2022-09-19'),
  (15, 'Omar Said', 'Morocco', NULL, '2022-10-07'), (16, 'Paula Reyes', 'Spain', 'Seville', '2022-10-26'),
  (17, 'Quentin Petit', 'France', 'Nantes', '2022-11-12'), (18, 'Rosa Marin', 'Spain', 'Bilbao', '2022-12-05'),
  (19, 'Stefan Koch', 'Germany', 'Leipzig', '2023-01-16'), (20, 'Tessa Bakker', 'Netherlands', 'Delft', '2023-02-08'),
  (21, 'Uma Joshi', 'Ireland', 'Dublin', '2023-03-01'), (22, 'Vera Conti', 'Italy', 'Turin', '2023-03-22'),
  (23, 'Wim Peeters', 'Belgium', 'Ghent', '2023-04-13'), (24, 'Xavi Soler', 'Spain', 'Girona', '2023-05-05'),
  (25, 'Yann Le Goff', 'France', 'Brest', '2023-06-17'), (26, 'Zoe Lambert', 'Belgium', NULL, '2023-07-09'),
  (27, 'Anton Krause', 'Germany', 'Bremen', '2023-08-28'), (28, 'Berit Dahl', 'Norway', 'Bergen', '2023-10-02'),
  (29, 'Carla Nunes', 'Portugal', 'Porto', '2023-11-20'), (30, 'Dilan Demir', 'Turkey', 'Izmir', '2024-01-08');

INSERT INTO employees VALUES
  (1, 'Helena Voss', NULL, '2018-04-01'), (2, 'Ivo Jansen', 1, '2019-02-11'), (3, 'Julia Sato', 1, '2019-09-16'),
  (4, 'Karim Aziz', 2, '2020-06-22'), (5, 'Lena Frost', 2, '2021-01-04'), (6, 'Marco Bell', 3, '2021-08-30'),
  (7, 'Nadia Cruz', 3, '2022-03-14'), (8, 'Oskar Thal', 4, '2023-05-08');

INSERT INTO categories VALUES (1, 'Tea'), (2, 'Coffee'), (3, 'Spices'), (4, 'Honey'), (5, 'Chocolate'), (6, 'Gift boxes');

INSERT INTO products VALUES
  (1, 'Assam', 1, 8.5, NULL), (2, 'Sencha', 1, 12.0, NULL), (3, 'Rooibos', 1, 6.75, NULL), (4, 'Earl Grey', 1, 7.25, '2023-09-30'),
  (5, 'Espresso beans', 2, 14.0, NULL), (6, 'Filter coffee', 2, 11.5, NULL), (7, 'Decaf', 2, 13.25, NULL),
  (8, 'Cold brew', 2, 9.9, '2024-02-29'), (9, 'Saffron', 3, 24.0, NULL), (10, 'Cinnamon', 3, 4.2, NULL),
  (11, 'Cardamom', 3, 6.8, NULL), (12, 'Smoked paprika', 3, 5.1, NULL), (13, 'Sumac', 3, 4.6, NULL),
  (14, 'Heather honey', 4, 10.4, NULL), (15, 'Chestnut honey', 4, 11.8, NULL), (16, 'Acacia honey', 4, 9.2, NULL),
  (17, 'Dark 85', 5, 4.9, NULL), (18, 'Milk', 5, 3.8, NULL), (19, 'Hazelnut', 5, 5.4, NULL), (20, 'Nougat', 5, 6.1, '2023-12-31'),
  (21, 'Sea salt', 5, 5.2, NULL), (22, 'Marzipan', 5, 7.0, NULL);

-- 160 orders, one every four or five days from 2023-01-02 to 2024-12-27; customers 28 to 30 order nothing, and the last orders wait to be shipped.
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 160)
INSERT INTO orders
SELECT
  i,
  1 + (i * i / 3 + i * 7) % 27,
  CASE WHEN i % 3 = 0 THEN NULL ELSE 2 + (i * 5) % 7 END,
  date('2023-01-02', '+' || ((i - 1) * 4 + (i * 2) / 3 - i / 9) || ' days'),
  CASE WHEN i > 150 OR i % 23 = 0 THEN NULL
    ELSE date('2023-01-02', '+' || ((i - 1) * 4 + (i * 2) / 3 - i / 9 + 1 + i % 6) || ' days') END
FROM n;

-- One to four products an order, product 22 in none; what was bought in 2023 cost a tenth less.
WITH RECURSIVE k (j) AS (SELECT 0 UNION ALL SELECT j + 1 FROM k WHERE j < 3)
INSERT INTO order_items
SELECT
  orders.id,
  products.id,
  1 + (orders.id * 3 + j * 5) % 6,
  round(products.price * CASE WHEN orders.ordered_on < '2024-01-01' THEN 0.9 ELSE 1 END, 2)
FROM orders
JOIN k ON j <= (orders.id * 7) % 4
JOIN products ON products.id = 1 + (orders.id * 5 + j * 6) % 21;
