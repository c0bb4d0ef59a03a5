"""Results of queries: when two are the same, and who is to blame when a query fails."""

from __future__ import annotations

import datetime
import random
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from thoughtgraph.graph.errors import UserError
from thoughtgraph.tasks.base import GradingError
from thoughtgraph.tasks.grading import queries
from thoughtgraph.tasks.grading.queries import equal_rows, orders, same_result
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tools.sql import read_only_role_sql

Rows = list[tuple[Any, ...]]


@pytest.mark.parametrize(
    ("wanted", "given_rows", "unordered", "ordered"),
    [
        ([], [], True, True),
        ([(1, "a"), (2, "b")], [(1, "a"), (2, "b")], True, True),
        ([(1, "a"), (2, "b")], [(2, "b"), (1, "a")], True, False),
        ([(1, "a"), (2, "b")], [("a", 1), ("b", 2)], True, True),  # columns in any order
        ([(1, "a"), (2, "b")], [(1, "b"), (2, "a")], False, False),  # but not mixed
        ([(1,), (1,), (2,)], [(1,), (2,), (2,)], False, False),  # as often as it comes
        ([(1,)], [(1,), (1,)], False, False),
        ([(1, 2)], [(1,)], False, False),
        ([(3,)], [(3.0,)], True, True),
        ([(Decimal("3.50"),)], [(3.5,)], True, True),
        ([(0.1 + 0.2,)], [(0.3,)], True, True),
        ([(1.0,)], [(1.000001,)], False, False),
        ([(10**17,)], [(10**17 + 1,)], False, False),
        ([(10**400,)], [(1.5,)], False, False),
        ([(True,)], [(1,)], True, True),
        ([(None,)], [(None,)], True, True),
        ([(None,)], [(0,)], False, False),
        ([(None,)], [("",)], False, False),
        ([("3",)], [(3,)], False, False),
        ([("A",)], [("a",)], False, False),
        ([(b"\x01",)], [(b"\x01",)], True, True),
        ([(datetime.date(2024, 1, 2),)], [("2024-01-02",)], True, True),
        ([(float("nan"),)], [(float("nan"),)], True, True),
        ([(1, 1, 2), (1, 2, 1)], [(2, 1, 1), (1, 1, 2)], True, True),  # columns 3, 1, 2 turned
    ],
)
def test_results_by_hand(wanted: Rows, given_rows: Rows, unordered: bool, ordered: bool) -> None:
    assert equal_rows(wanted, given_rows, ordered=False) is unordered
    assert equal_rows(wanted, given_rows, ordered=True) is ordered
    assert equal_rows(given_rows, wanted, ordered=False) is unordered


cells = st.none() | st.integers(-3, 3) | st.sampled_from(["a", "b", ""]) | st.sampled_from([0.5, 1.0, 2.25])


@given(
    st.integers(1, 4).flatmap(lambda width: st.lists(st.tuples(*[cells] * width), max_size=8)), st.randoms()
)
def test_turning_rows_and_columns_changes_nothing(rows: Rows, rng: random.Random) -> None:
    order = list(range(len(rows[0]) if rows else 0))
    rng.shuffle(order)
    turned = [tuple(row[i] for i in order) for row in rows]
    assert equal_rows(rows, turned, ordered=True)
    rng.shuffle(turned)
    assert equal_rows(rows, turned, ordered=False)


def test_many_equal_columns_are_compared_in_time() -> None:
    wanted = [(0,) * 30 + (n,) for n in range(50)]
    other = [(0,) * 30 + (n + 1,) for n in range(50)]
    assert equal_rows(wanted, [row[::-1] for row in wanted], ordered=False)
    assert not equal_rows(wanted, other, ordered=False)


@pytest.mark.parametrize(
    ("query", "ordered"),
    [
        ("SELECT a FROM t ORDER BY a", True),
        ("select a from t union select b from t order by 1", True),
        ("SELECT a FROM (SELECT a FROM t ORDER BY a LIMIT 3)", False),
        ("SELECT a, rank() OVER (ORDER BY b) FROM t", False),
        ("WITH x AS (SELECT a FROM t) SELECT a FROM x ORDER BY a", True),
        ("SELECT 'order by' FROM t", False),
        ("SELECT a FROM t ORDER  BY a )(", True),  # cannot be parsed: by its words
    ],
)
def test_only_the_outermost_order_counts(query: str, ordered: bool) -> None:
    assert orders(query, "sqlite") is ordered


@pytest.fixture
def url(tmp_path: Path) -> str:
    path = tmp_path / "shop.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "create table t (a integer, b text); insert into t values (1, 'x'), (2, 'y'), (3, NULL), (3, NULL)"
        )
    connection.close()
    return f"sqlite:///{path}"


@pytest.mark.parametrize(
    ("gold", "answer", "right", "reason"),
    [
        ("select a from t", "SELECT a FROM t WHERE a > 0;", True, "the same 4 rows"),
        ("select b, a from t", "select a, b from t", True, "the same"),
        ("select a from t", "select distinct a from t", False, "3 rows, 4 are wanted"),
        ("select a from t", "select a from t, (select 1 union select 2)", False, "at least 5 rows, 4"),
        ("select a from t", "select a, b from t", False, "2 columns, 1 are wanted"),
        ("select a from t", "select a + 1 from t", False, "other rows"),
        ("select a from t order by a desc", "select a from t order by a", False, "other rows"),
        ("select a from t", "select c from t", False, "no such column"),
        ("select a from t", "drop table t", False, "only reads"),
        ("select a from t", "", False, "empty"),
        ("select a from t where a > 9", "select a from t where a > 8", True, "the same 0 rows"),
    ],
)
def test_queries_are_judged_by_what_they_give(
    url: str, gold: str, answer: str, right: bool, reason: str
) -> None:
    found, said = same_result(url, gold, answer)
    assert (found, reason in said) == (right, True), said


def test_a_query_that_does_not_end_is_wrong_and_a_reference_that_fails_is_nobodys_fault(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "SECONDS", 1.0)
    endless = "with recursive n (i) as (select 1 union all select i + 1 from n) select max(i) from n"
    right, reason = same_result(url, "select max(a) from t", endless)
    assert not right
    assert "was stopped" in reason
    for gold in ("select nothing from t", endless):
        with pytest.raises(GradingError, match="the reference query fails"):
            same_result(url, gold, "select a from t")
    monkeypatch.setattr(queries, "MAX_ROWS", 2)
    with pytest.raises(GradingError, match="more than 2 rows"):
        same_result(url, "select a from t -- many", "select a from t")


def test_a_database_that_is_gone_is_for_the_operator(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the database"):
        same_result(f"sqlite:///{tmp_path}/none.sqlite", "select 1", "select 1")


@pytest.fixture
def reader(postgres_databases: Callable[[], str]) -> Iterator[str]:
    """URL of a PostgreSQL database as a role sees it that can only read."""
    url, role = postgres_databases(), f"thoughtgraph_test_{uuid.uuid4().hex[:12]}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("create table t (a integer, b numeric, c date)"))
        connection.execute(text("insert into t values (1, 2.50, '2024-01-02'), (2, null, null)"))
        connection.exec_driver_sql(read_only_role_sql(str(make_url(url).database), role, tables=["t"]))
    yield make_url(url).set(username=role).render_as_string()
    with admin.connect() as connection:
        connection.execute(text(f"drop owned by {role}"))
        connection.execute(text(f"drop role {role}"))
    admin.dispose()


@pytest.mark.postgres
def test_queries_of_postgresql(reader: str) -> None:
    assert same_result(reader, "select * from t", "values (2, null, null), (1, 2.5, date '2024-01-02')")[0]
    assert not same_result(reader, "select a from t order by a", "select a from t order by a desc")[0]
    domain = load_task("text2sql", reader).domain
    name = make_url(reader).database
    question = domain.parse("How many?")
    assert question == f"Database: {name}\nHow many?\nTables:\nt(a integer, b numeric, c date)"
    verdict = load_task("text2sql", reader).grade(question, "select 2", "select count(*) from t")
    assert verdict is not None
    assert verdict.correct
