"""Queries changed at random, as trees and as text: whatever becomes of them, the databases are as they were, and nothing hidden is told."""

from __future__ import annotations

import contextlib
import random
import uuid
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sql_world import CANARY, GRANT, connected, files, make_sqlite
from sqlalchemy.engine import make_url
from sqlglot import exp
from sqlglot.errors import SqlglotError

from thoughtgraph.graph.errors import ToolError
from thoughtgraph.tools.sql import read_only_role_sql
from thoughtgraph.tools.sql.postgres import PostgresSource
from thoughtgraph.tools.sql.results import Limits, as_table
from thoughtgraph.tools.sql.source import Source
from thoughtgraph.tools.sql.sqlite import SqliteSource
from thoughtgraph.tools.sql.statements import check_statement
from thoughtgraph.tools.sql.stopping import Stopper

SEEDS = [
    "select c.name, sum(o.amount) from customers c join orders o on o.customer = c.id group by 1 order by 2 desc limit 3",
    "with x as (select * from orders where amount > 5) select count(*) from x",
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5) select * from n",
    "select * from peek union all select name from customers",
    "select case when amount > 1 then 'a' else note end, rank() over (order by amount) from orders",
    "select name from customers where id in (select customer from orders)",
    "insert into orders (id, customer) values (7, 1)",
    "insert into orders (id, customer) select id, 1 from customers",
    "update orders set amount = (select max(id) from customers) where id = 1",
    "delete from orders where id in (select id from customers)",
    "create table made as select * from orders",
    "create view made as select word from hidden",
    "drop table if exists orders",
    "alter table orders add column made text",
    "pragma query_only = off",
    "attach database 'made.db' as made",
    "select word from hidden",
    "select card from customers",
    "select load_extension('made')",
    "vacuum",
]
WORDS = [
    "hidden", "card", "word", "orders", "customers", "peek", "dear", "main", "temp", "*", "sqlite_master", "select", "from", "where", "with",
    "as", "union", "delete", "insert", "into", "update", "drop", "table", "attach", "pragma", "vacuum", "begin", "commit", "values", "(",
    ")", ";", ",", "--", "/*", "*/", "'", '"', "[", "]", "`", "\0", "\n", "1", "returning", "explain", "recursive", "json_each",
]  # fmt: skip


def _mutated(seeds: list[str], random_: random.Random) -> str:
    """Return a query with parts of others in it: nodes of equal kind exchanged, names replaced; "" if it cannot be written down."""
    trees = [
        sqlglot.parse_one(seed, dialect="sqlite", error_level=sqlglot.ErrorLevel.IGNORE) for seed in seeds
    ]
    tree = trees[0].copy()
    donors = [node for other in trees[1:] for node in other.walk()]
    try:
        for _ in range(random_.randint(1, 4)):
            _change(random_.choice(list(tree.walk())), donors, random_)
        return tree.sql(dialect="sqlite")
    except (SqlglotError, AttributeError, TypeError, ValueError, LookupError):
        return ""


def _change(node: Any, donors: list[Any], random_: random.Random) -> None:
    if isinstance(node, exp.Identifier) and random_.random() < 0.7:
        node.set("this", random_.choice(WORDS))
    elif node.parent is not None:
        fitting = [donor for donor in donors if isinstance(donor, type(node).__mro__[1])] or donors
        node.replace(random_.choice(fitting).copy())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("fuzz")
    make_sqlite(directory)
    return directory


@pytest.fixture(scope="module")
def source(place: Path) -> Source:
    return SqliteSource(str(place / "data.db"), GRANT)


def _ask(source: Source, sql: str) -> str:
    limits = Limits(seconds=1)
    try:
        return as_table(source.query(sql, limits, Stopper()), limits)
    except ToolError as error:
        return str(error)


def _law(source: Source, place: Path, sql: str) -> None:
    before = files(place)
    assert CANARY not in _ask(source, sql)
    assert files(place) == before
    with contextlib.suppress(ToolError):  # and never anything else
        check_statement(sql, "sqlite")


FUZZ: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@settings(max_examples=150, derandomize=True, **FUZZ)
@given(seeds=st.lists(st.sampled_from(SEEDS), min_size=2, max_size=4), seed=st.integers(0, 2**32))
def test_mixed_trees(source: Source, place: Path, seeds: list[str], seed: int) -> None:
    _law(source, place, _mutated(seeds, random.Random(seed)))


@settings(max_examples=150, derandomize=True, **FUZZ)
@given(
    words=st.lists(st.sampled_from(WORDS), max_size=25), seed=st.sampled_from(SEEDS), at=st.integers(0, 200)
)
def test_mixed_words(source: Source, place: Path, words: list[str], seed: str, at: int) -> None:
    _law(source, place, f"{seed[:at]} {' '.join(words)} {seed[at:]}")


@pytest.mark.slow
@settings(max_examples=5_000, **FUZZ)
@given(seeds=st.lists(st.sampled_from(SEEDS), min_size=2, max_size=4), seed=st.integers(0, 2**32))
def test_mixed_trees_at_length(source: Source, place: Path, seeds: list[str], seed: int) -> None:
    _law(source, place, _mutated(seeds, random.Random(seed)))


@pytest.mark.postgres
@pytest.mark.parametrize("count", [150, pytest.param(3_000, marks=pytest.mark.slow)])
def test_mixed_queries_on_postgres(postgres_url: str, count: int) -> None:
    url = make_url(postgres_url).set(drivername="postgresql")
    role = f"tg_fuzz_{uuid.uuid4().hex[:10]}"
    tables = {"customers": ["id", "name"], "orders": [], "peek": []}
    with connected(url) as admin:
        admin.execute(
            "create table customers (id integer, name text, card text); create table orders (id integer, customer integer, amount real, "
            "note text); create table hidden (id integer, word text); create view peek as select word from hidden where id = 2"
        )
        admin.execute(f"insert into customers values (1, 'Ann', '{CANARY}')")
        admin.execute("insert into orders values (1, 1, 3.5, 'x')")
        admin.execute(f"insert into hidden values (1, '{CANARY}')")
        admin.execute(read_only_role_sql(str(url.database), role, tables=tables))
        state = (
            "select (select json_agg(customers)::text from customers), (select json_agg(orders)::text from orders), "
            "(select json_agg(hidden)::text from hidden), (select count(*) from pg_class), (select count(*) from pg_namespace)"
        )
        try:
            before = admin.execute(state).fetchone()
            source = PostgresSource(url.set(username=role))
            random_ = random.Random(7)
            for _ in range(count):
                sql = _mutated(random_.choices(SEEDS, k=3), random_)
                assert CANARY not in _ask(source, sql)
                assert admin.execute(state).fetchone() == before, sql
        finally:
            admin.execute(f"drop owned by {role}")
            admin.execute(f"drop role {role}")
