"""Real questions to a PostgreSQL database by a role that only reads: values, text tables, limits, messages."""

from __future__ import annotations

import asyncio
import datetime
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
from sql_world import ask, close, connected, named
from sqlalchemy.engine import make_url

from thoughtgraph.graph.errors import ToolError
from thoughtgraph.tools.base import Call, Tool
from thoughtgraph.tools.sql import QueryResult, read_only_role_sql, run_query, sql_tools

pytestmark = pytest.mark.postgres

SETUP = """
create table customers (id integer primary key, name text not null, born date);
create table orders (id serial primary key, customer integer not null references customers (id), amount numeric(10, 2),
    placed timestamptz, tags text[], extra jsonb);
create table "Ünï çode" ("Select" integer, "größe cm" double precision, primary key ("Select", "größe cm"));
create view dear as select id, customer, amount from orders where amount > 10;
create materialized view counted as select count(*) as n from orders;
create schema shop;
create table shop.items (code uuid primary key, weight real, made bytea, life interval, ok boolean);
create table parts (id integer primary key, at date not null) partition by range (id);
create table parts_1 partition of parts for values from (0) to (10);
insert into parts values (1, '2024-02-29');
insert into customers values (1, 'Ann', '1990-05-17'), (2, 'Bob', null), (3, 'Zoë | Łukasz', '2000-02-29');
insert into orders (customer, amount, placed, tags, extra) values
    (1, 3.50, '2024-01-31 10:00+00', '{a,b}', '{"k": [1, 2]}'), (1, 20.25, '2024-02-01 00:00+00', null, null),
    (2, 11, '2024-02-29 12:00+00', '{}', 'null'), (2, null, null, '{x}', '{"k": null}');
insert into "Ünï çode" values (1, 2.5);
insert into shop.items values ('00000000-0000-0000-0000-000000000001', 1.5, '\\x00ff', '1 day 2 hours', true);
refresh materialized view counted;
"""


@pytest.fixture(scope="module")
def url(postgres_database: str) -> Iterator[str]:
    """URL of the database with a role that only reads."""
    admin = make_url(postgres_database).set(drivername="postgresql")
    role = f"tg_reader_{uuid.uuid4().hex[:10]}"
    with connected(admin) as connection:
        connection.execute(SETUP)
        for schema in ("public", "shop"):
            sql = read_only_role_sql(str(admin.database), role, schema)
            connection.execute(sql if schema == "public" else "".join(sql.splitlines(keepends=True)[-2:]))
        yield admin.set(username=role, password="s3cret-pw").render_as_string(hide_password=False)
        connection.execute(f"drop owned by {role}")
        connection.execute(f"drop role {role}")


@pytest.fixture
async def tools(url: str) -> AsyncIterator[Sequence[Tool]]:
    made = sql_tools(url)
    yield made
    await close(made)


UTC = datetime.UTC
QUESTIONS: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "join": (
        "select c.name, sum(o.amount) as total from customers c join orders o on o.customer = c.id group by c.id order by total desc",
        [("Ann", Decimal("23.75")), ("Bob", Decimal("11.00"))],
    ),
    "order is kept": ("select id from orders order by amount desc nulls last, id", [(2,), (3,), (1,), (4,)]),
    "order with limit and offset": ("select id from orders order by id desc limit 2 offset 1", [(3,), (2,)]),
    "CTE": ("with big as (select * from orders where amount > 5) select count(*), max(amount) from big", [(2, Decimal("20.25"))]),
    "recursive CTE": ("with recursive n(x) as (select 1 union all select x + 1 from n where x < 5) select sum(x) from n", [(15,)]),
    "window": ("select id, rank() over (partition by customer order by amount desc nulls last) from orders order by id", [(1, 2), (2, 1), (3, 1), (4, 2)]),
    "lateral": ("select c.name, o.n from customers c, lateral (select count(*) n from orders where customer = c.id) o order by 1", [("Ann", 2), ("Bob", 2), ("Zoë | Łukasz", 0)]),
    "filter": ("select count(*) filter (where amount > 5) from orders", [(2,)]),
    "distinct on": ("select distinct on (customer) customer, id from orders order by customer, id desc", [(1, 2), (2, 4)]),
    "grouping sets": ("select customer, count(*) from orders group by rollup (customer) order by 1 nulls last", [(1, 2), (2, 2), (None, 4)]),
    "dates": ("select born, extract(year from born), born + 1 from customers where id = 3", [(datetime.date(2000, 2, 29), Decimal(2000), datetime.date(2000, 3, 1))]),
    "month": ("select date_trunc('month', placed at time zone 'UTC') from orders where id = 3", [(datetime.datetime(2024, 2, 1),)]),
    "time with zone": ("select placed from orders where id = 1", [(datetime.datetime(2024, 1, 31, 10, tzinfo=UTC),)]),
    "json": ("select extra -> 'k', extra ->> 'k', extra from orders where id = 1", [([1, 2], "[1, 2]", {"k": [1, 2]})]),
    "array": ("select tags, cardinality(tags), 'b' = any(tags) from orders where id = 1", [(["a", "b"], 2, True)]),
    "unnest": ("select unnest(tags) from orders order by 1", [("a",), ("b",), ("x",)]),
    "same names": ("select 1 as a, 2 as a, 3", [(1, 2, 3)]),
    "quoted names": ('select "Select", "größe cm" from "Ünï çode"', [(1, 2.5)]),
    "view": ("select * from dear order by id", [(2, 1, Decimal("20.25")), (3, 2, Decimal("11.00"))]),
    "materialized view": ("select n from counted", [(4,)]),
    "partitioned": ("select at from parts", [(datetime.date(2024, 2, 29),)]),
    "other schema": ("select ok, made, life, code from shop.items", [(True, b"\x00\xff", datetime.timedelta(days=1, hours=2), uuid.UUID(int=1))]),
    "NULL": ("select amount, null from orders where amount is null", [(None, None)]),
    "row": ("select row(1, 'a')", [(("1", "a"),)]),
    "void": ("select pg_sleep(0)", [("",)]),
    "regular expression": ("select name from customers where name ~* '^a'", [("Ann",)]),
    "percent": ("select name from customers where name like 'A%' and 5 % 3 = 2", [("Ann",)]),
    "ilike": ("select count(*) from customers where name ilike '%O%'", [(2,)]),
    "dollar quotes": ("select $a$it's; -- fine$a$", [("it's; -- fine",)]),
    "escapes": ("select E'a\\nb', U&'\\0061'", [("a\nb", "a")]),
    "question mark": ("select '{\"a\": 1}'::jsonb ? 'a'", [(True,)]),
    "values": ("values (1, 'a'), (2, 'b')", [(1, "a"), (2, "b")]),
    "table": ("table counted", [(4,)]),
    "bracket": ("(select 1) union all (select 2)", [(1,), (2,)]),
    "semicolon": ("select 1;", [(1,)]),
    "semicolon and comment": ("select 1; -- done\n", [(1,)]),
    "two semicolons": ("select 1; ;", [(1,)]),
    "comment at the end": ("select 1 -- done", [(1,)]),
    "comments": ("/* a /* b */ */ select -- one\n 1", [(1,)]),
    "empty": ("select * from orders where false", []),
    "no columns": ("select from orders", []),
    "casts": ("select '7'::int, cast('1.50' as numeric(5, 2)), 1::text", [(7, Decimal("1.50"), "1")]),
    "infinity": ("select 'infinity'::float8, '-infinity'::float8", [(float("inf"), float("-inf"))]),
    "large number": ("select 123456789012345678901234567890.5::numeric", [(Decimal("123456789012345678901234567890.5"),)]),
    "percentile": ("select percentile_cont(0.5) within group (order by amount) from orders", [(11.0,)]),
    "string_agg": ("select string_agg(name, ', ' order by name) from customers where id < 3", [("Ann, Bob",)]),
    "series": ("select * from generate_series(1, 3)", [(1,), (2,), (3,)]),
    "tablesample": ("select count(*) >= 0 from orders tablesample system (50)", [(True,)]),
}  # fmt: skip


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions(url: str, name: str) -> None:
    sql, rows = QUESTIONS[name]
    assert list(run_query(url, sql).rows) == rows


async def test_tables_are_listed(tools: Sequence[Tool]) -> None:
    assert await ask(tools, "tables") == (
        "counted (view): n\n"
        "customers (table): id, name, born\n"
        "dear (view): id, customer, amount\n"
        "orders (table): id, customer, amount, placed, tags, extra\n"
        "parts (table): id, at\n"
        "parts_1 (table): id, at\n"
        "Ünï çode (table): Select, größe cm\n"
        "shop.items (table): code, weight, made, life, ok"
    )


async def test_a_table_is_described(tools: Sequence[Tool]) -> None:
    assert await ask(tools, "describe", table="public.orders") == (
        "orders (table)\n"
        "  id integer primary key: e.g. 1, 2, 3\n"
        "  customer integer not null: e.g. 1, 2\n"
        "  amount numeric(10,2): e.g. 3.50, 20.25, 11.00\n"
        "  placed timestamp with time zone: e.g. 2024-01-31 10:00:00+00, 2024-02-01 00:00:00+00, 2024-02-29 12:00:00+00\n"
        "  tags text[]: e.g. {a,b}, {}, {x}\n"
        '  extra jsonb: e.g. {"k": [1, 2]}, null, {"k": null}\n'
        "  foreign key (customer) references customers(id)"
    )
    assert "code uuid primary key" in await ask(tools, "describe", table="shop.items")


async def test_first_rows_are_shown(tools: Sequence[Tool]) -> None:
    assert await ask(tools, "sample", table="shop.items") == (
        "code | weight | made | life | ok\n"
        "00000000-0000-0000-0000-000000000001 | 1.5 | \\x00ff | 1 day 02:00:00 | true\n"
        "(1 row)"
    )
    assert (await ask(tools, "sample", table="Ünï çode")).splitlines()[1] == "1 | 2.5"


async def test_results_are_cut_with_a_mark(url: str) -> None:
    tools = sql_tools(url, max_rows=2)
    reply = await ask(tools, "query", query="select x, repeat('y', 1000) from generate_series(1, 100000) x")
    await close(tools)
    lines = reply.splitlines()
    assert lines[1] == f"1 | {'y' * 300}… [more]"
    assert len(lines) == 4
    assert lines[-1].startswith("[cut off here: 2 rows shown, there are more")


async def test_bytes_are_bounded(url: str) -> None:
    tools = sql_tools(url, max_rows=100_000, max_bytes=2_000)
    reply = await ask(tools, "query", query="select repeat('y', 250) from generate_series(1, 100000) x")
    await close(tools)
    assert len(reply.encode()) < 2_500
    assert "2000 bytes are the limit" in reply


def test_typed_results_are_bounded(url: str) -> None:
    assert run_query(url, "select x from generate_series(1, 9) x", max_rows=2) == QueryResult(
        ("x",), ((1,), (2,)), truncated=True
    )
    assert run_query(url, "select repeat('x', 100000)").rows == (("x" * 100_000,),)
    with pytest.raises(ToolError, match="a cell is longer than 1000000 bytes"):
        run_query(url, "select repeat('x', 2000000)")


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select nosuch from orders", 'PostgreSQL refused: column "nosuch" does not exist'),
        ("select custmer from orders", "Perhaps you meant to reference the column"),
        ("select * from nowhere", 'relation "nowhere" does not exist'),
        ("select 1 / 0", "division by zero"),
        ("select 'a'::int", "invalid input syntax for type integer"),
        ("select from where", "syntax error"),
        ("select nofunction(1)", "function nofunction.* does not exist"),
        ("", "the query is empty"),
        ("-- nothing", "only reads|syntax error|0 statements"),
    ],
)
def test_mistakes_are_told(url: str, sql: str, message: str) -> None:
    with pytest.raises(ToolError, match=message) as error:
        run_query(url, sql)
    assert "\n" not in str(error.value)


async def test_many_at_once(url: str) -> None:
    tools = sql_tools(url, seconds=20)
    query = named(tools, "query")
    replies = await asyncio.gather(*(query.run(Call({"query": f"select {i} as x"})) for i in range(64)))
    await close(tools)
    assert [reply.text.splitlines()[1] for reply in replies] == [str(i) for i in range(64)]


async def test_a_cancelled_call_leaves_no_query(url: str, postgres_database: str) -> None:
    tools = sql_tools(url, seconds=30)
    task = asyncio.create_task(ask(tools, "query", query="select pg_sleep(25)"))
    role = make_url(url).username
    running = "select count(*) from pg_stat_activity where usename = %s and wait_event = 'PgSleep'"
    with connected(postgres_database) as connection:
        await _until(lambda: connection.execute(running, [role]).fetchone() != (0,))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await close(tools)
        await _until(lambda: connection.execute(running, [role]).fetchone() == (0,))


async def _until(holds: Any) -> None:
    end = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def test_no_password_is_told(url: str, tools: Sequence[Tool]) -> None:
    assert "s3cret-pw" in url
    shown = [repr(tools), *(tool.identity for tool in tools), *(tool.description for tool in tools)]
    with pytest.raises(ToolError) as error:
        await ask(tools, "query", query="select nosuch")
    assert not [text for text in [*shown, str(error.value)] if "s3cret-pw" in text]
