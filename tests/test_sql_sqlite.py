"""Real questions to a SQLite database: values, text tables, limits, messages, and files left as they were."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sql_world import GRANT, SQLITE, ask, close, files, make_sqlite

from thoughtgraph.graph.errors import ToolError
from thoughtgraph.tools.base import Tool
from thoughtgraph.tools.sql import QueryResult, run_query, sql_tools


@pytest.fixture
def path(tmp_path: Path) -> str:
    return make_sqlite(tmp_path / "place")


@pytest.fixture
async def tools(path: str) -> AsyncIterator[Sequence[Tool]]:
    made = sql_tools(path)
    yield made
    await close(made)


QUESTIONS: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "join": (
        "select c.name, sum(o.amount) as total from customers c join orders o on o.customer = c.id group by c.id order by total desc",
        [("Ann", 23.75), ("Bob", 11.0)],
    ),
    "outer join": (
        "select c.name, count(o.id) from customers c left join orders o on o.customer = c.id group by 1 order by 1",
        [("Ann", 2), ("Bob", 2), ("Zoë | Łukasz", 0)],
    ),
    "CTE": (
        "with big as (select * from orders where amount > 5) select count(*), max(amount) from big",
        [(2, 20.25)],
    ),
    "recursive CTE": (
        "with recursive n(x) as (select 1 union all select x + 1 from n where x < 5) select sum(x) from n",
        [(15,)],
    ),
    "window": (
        "select id, rank() over (partition by customer order by amount desc nulls last) from orders order by id",
        [(1, 2), (2, 1), (3, 1), (4, 2)],
    ),
    "running total": (
        "select id, sum(amount) over (order by id rows unbounded preceding) from orders order by id",
        [(1, 3.5), (2, 23.75), (3, 34.75), (4, 34.75)],
    ),
    "dates": (
        "select strftime('%Y-%m', placed) as month, count(*) from orders group by month order by month",
        [("2024-01", 1), ("2024-02", 2), ("2024-03", 1)],
    ),
    "days": ("select cast(julianday('2024-03-01') - julianday('2024-02-01') as integer)", [(29,)]),
    "json": ("select json_extract('{\"a\": [1, 2]}', '$.a[1]'), '{\"b\": 3}' ->> 'b'", [(2, 3)]),
    "json table": ("select value * 2 from json_each('[1, 2, 3]')", [(2,), (4,), (6,)]),
    "quoted names": ('select "select", "größe cm" from "Ünï ""ç"" ode"', [(1, 2.5)]),
    "view": ("select * from dear order by id", [(2, 1, 20.25), (3, 2, 11.0)]),
    "NULL": ("select amount from orders where amount is null", [(None,)]),
    "blob": ("select x'00ff'", [(b"\x00\xff",)]),
    "large integer": ("select 9223372036854775807", [(9223372036854775807,)]),
    "infinity": ("select 9e999, -9e999", [(float("inf"), float("-inf"))]),
    "case": (
        "select case when amount > 10 then 'much' else 'little' end from orders where id < 3",
        [("little",), ("much",)],
    ),
    "like": ("select name from customers where name like 'a%'", [("Ann",)]),
    "glob": ("select name from customers where name glob 'B*'", [("Bob",)]),
    "set operations": ("select 1 union select 2 except select 1", [(2,)]),
    "values": ("values (1, 'a'), (2, 'b')", [(1, "a"), (2, "b")]),
    "in a subquery": (
        "select name from customers where id in (select customer from orders where amount > 15)",
        [("Ann",)],
    ),
    "correlated": (
        "select name from customers c where not exists (select 1 from orders o where o.customer = c.id)",
        [("Zoë | Łukasz",)],
    ),
    "full text": ("select title from pages where pages match 'lazy'", [("two",)]),
    "full text, ranked": (
        "select title from pages where pages match 'the' order by rank, title",
        [("two",), ("one",)],
    ),
    "printf": ("select printf('%.2f', 2.5)", [("2.50",)]),
    "group_concat": (
        "select group_concat(name, ', ') from (select name from customers where id < 3)",
        [("Ann, Bob",)],
    ),
    "semicolon": ("select 1;", [(1,)]),
    "semicolon and comment": ("select 1; -- done", [(1,)]),
    "comments": ("/* first */ select -- one\n 1", [(1,)]),
    "semicolon in text": ("select 'a;b', \"name\" from customers where id = 1", [("a;b", "Ann")]),
    "empty": ("select * from orders where 0", []),
    "bracket": ("(select 1)", []),
    "random order": ("select count(*) from (select * from orders order by random() limit 2)", [(2,)]),
}
del QUESTIONS["bracket"]  # SQLite's grammar has no such query


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions(path: str, name: str) -> None:
    sql, rows = QUESTIONS[name]
    assert list(run_query(path, sql).rows) == rows


RESTRICTED = {
    "granted columns": ("select id, name from customers where id = 1", [(1, "Ann")]),
    "no column": ("select count(*) from customers", [(3,)]),
    "view of a hidden table": ("select * from peek", [("public",)]),
    "CTE": ("with x as (select name from customers) select count(*) from x", [(3,)]),
    "json table": ("select sum(value) from json_each('[1, 2]')", [(3,)]),
    "view in a CTE": ("with x as (select word from peek) select * from x join dear on 1 order by id", [("public", 2, 1, 20.25), ("public", 3, 2, 11.0)]),
    "table expression of a new name": ("with hiddenish as (select 1 as a) select a from hiddenish", [(1,)]),
}  # fmt: skip


@pytest.mark.parametrize("name", RESTRICTED)
async def test_questions_to_a_granted_part(path: str, name: str) -> None:
    sql, rows = RESTRICTED[name]
    tools = sql_tools(path, tables=GRANT)
    reply = await ask(tools, "query", query=sql)
    await close(tools)
    assert reply.splitlines()[1:-1] == [" | ".join(map(str, row)) for row in rows]


async def test_tables_are_listed(tools: Sequence[Tool], path: str) -> None:
    assert await ask(tools, "tables") == (
        "customers (table): id, name, card\n"
        "orders (table): id, customer, amount, placed, note\n"
        'Ünï "ç" ode (table): select, größe cm\n'
        "hidden (table): id, word\n"
        "dear (view): id, customer, amount\n"
        "peek (view): word\n"
        "pages (table): title, body"
    )
    part = sql_tools(path, tables=GRANT)
    listed = await ask(part, "tables")
    await close(part)
    assert "customers (table): id, name\n" in listed
    assert "hidden" not in listed
    assert "card" not in listed


async def test_a_table_is_described(tools: Sequence[Tool]) -> None:
    assert await ask(tools, "describe", table="orders") == (
        "orders (table)\n"
        "  id INTEGER primary key: e.g. 1, 2, 3\n"
        "  customer INTEGER not null: e.g. 1, 2\n"
        "  amount REAL: e.g. 3.5, 20.25, 11.0\n"
        "  placed TEXT: e.g. 2024-01-31, 2024-02-01, 2024-02-29\n"
        "  note TEXT: e.g. first, a b, \n"
        "  foreign key (customer) references customers(id)"
    )


async def test_names_of_tables_are_understood(tools: Sequence[Tool]) -> None:
    for name in ("orders", "ORDERS", '"orders"', "main.orders", " orders "):
        assert (await ask(tools, "describe", table=name)).startswith("orders (table)")
    with pytest.raises(ToolError, match=r"there is no table 'order'; there are: customers, orders, "):
        await ask(tools, "describe", table="order")


async def test_first_rows_are_shown(tools: Sequence[Tool]) -> None:
    assert await ask(tools, "sample", table="orders") == (
        "id | customer | amount | placed | note\n"
        "1 | 1 | 3.5 | 2024-01-31 | first\n"
        "2 | 1 | 20.25 | 2024-02-01 | NULL\n"
        "3 | 2 | 11.0 | 2024-02-29 | a b\n"
        "4 | 2 | NULL | 2024-03-01 | \n"
        "(4 rows)"
    )


async def test_bars_in_cells_are_marked(tools: Sequence[Tool]) -> None:
    assert "Zoë \\| Łukasz" in await ask(tools, "query", query="select name from customers")


async def test_control_characters_are_not_shown(tools: Sequence[Tool]) -> None:
    reply = await ask(
        tools, "query", query="select 'a' || char(27) || '[31mred' || char(8238, 0, 10) || 'b' as c"
    )
    assert reply.splitlines()[1] == "ared b"


async def test_long_results_are_cut_with_a_mark(path: str) -> None:
    many = "with recursive n(x) as (select 1 union all select x + 1 from n limit 1000) select x from n"
    tools = sql_tools(path, max_rows=3)
    assert await ask(tools, "query", query=many) == (
        "x\n1\n2\n3\n[cut off here: 3 rows shown, there are more; aggregate, filter or page with LIMIT and OFFSET]"
    )
    assert (await ask(tools, "query", query=f"{many} limit 3")).endswith("3\n(3 rows)")
    await close(tools)
    tools = sql_tools(path, max_rows=1000, max_bytes=100)
    reply = await ask(tools, "query", query=many)
    await close(tools)
    assert "of at least" in reply.splitlines()[-1]
    assert "100 bytes are the limit" in reply.splitlines()[-1]
    assert len(reply.encode()) < 250


async def test_long_cells_are_cut_with_a_mark(tools: Sequence[Tool]) -> None:
    reply = await ask(
        tools,
        "query",
        query="select printf('%.*c', 5000, 'x') as a, zeroblob_free as b from (select x'00' as zeroblob_free)",
    )
    assert reply.splitlines()[1] == "x" * 300 + "… [4700 characters more] | x'00'"
    blob = await ask(tools, "query", query="select cast(printf('%.*c', 5000, 'x') as blob)")
    assert blob.splitlines()[1] == "<5000 bytes>"


def test_typed_results_are_whole_up_to_their_limit(path: str) -> None:
    result = run_query(path, "select printf('%.*c', 100000, 'x')")
    assert result == QueryResult(("printf('%.*c', 100000, 'x')",), (("x" * 100_000,),), truncated=False)
    many = "with recursive n(x) as (select 1 union all select x + 1 from n) select x from n limit 50"
    assert run_query(path, many, max_rows=7) == QueryResult(
        ("x",), tuple((i,) for i in range(1, 8)), truncated=True
    )


def test_text_that_is_not_utf_8_is_read(path: str) -> None:
    assert run_query(path, "select cast(x'61ff62' as text)").rows == (("a\ufffdb",),)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select nosuch from orders", "SQLite refused: no such column: nosuch"),
        ("select * from nowhere", "SQLite refused: no such table: nowhere"),
        ("selec 1", "only reads|syntax error"),
        ("select from where", "syntax error"),
        ("", "the query is empty"),
        ("   ", "the query is empty"),
        ("select nofunction(1)", "no such function: nofunction"),
        ("select * from orders where", "incomplete input|syntax error"),
        ("select abs(-9223372036854775808)", "integer overflow"),
        ("select 'a", "unrecognized token|syntax error"),
    ],
)
def test_mistakes_are_told(path: str, sql: str, message: str) -> None:
    with pytest.raises(ToolError, match=message):
        run_query(path, sql)


def test_a_database_that_is_being_written_is_read(path: str) -> None:
    directory = Path(path).parent
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("pragma journal_mode = wal")
    for number in range(10, 14):
        writer.execute("insert into customers values (?, 'new', null)", (number,))
        assert run_query(path, "select max(id) from customers").rows == ((number,),)
    before = files(directory).keys()
    writer.execute("begin immediate")
    writer.execute("insert into customers values (20, 'not yet', null)")
    assert run_query(path, "select max(id) from customers").rows == ((13,),)
    writer.execute("commit")
    assert run_query(path, "select max(id) from customers").rows == ((20,),)
    assert files(directory).keys() == before
    writer.close()


def test_a_closed_database_in_wal_mode_gets_no_files_beside_it(path: str) -> None:
    directory = Path(path).parent
    with sqlite3.connect(path) as writer:
        writer.execute("pragma journal_mode = wal")
    writer.close()
    before = files(directory)
    assert "data.db-wal" not in before
    assert run_query(path, "select count(*) from customers").rows == ((3,),)
    assert files(directory) == before


def test_what_a_crashed_writer_left_is_read_but_not_repaired(path: str) -> None:
    directory = Path(path).parent
    crash = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('pragma journal_mode = wal'); "
        "c.execute(\"insert into customers values (50, 'late', null)\"); c.commit(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", crash, path], check=True)
    before = files(directory)
    assert "data.db-wal" in before
    assert run_query(path, "select max(id) from customers").rows == ((50,),)
    assert files(directory) == before
    os.remove(f"{path}-shm")
    with pytest.raises(ToolError, match="left in the middle of a write; open it once"):
        run_query(path, "select 1")


def test_a_locked_database_is_waited_for_within_the_limit(path: str) -> None:
    run_query(path, "select 1")
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("begin exclusive")
    with pytest.raises(ToolError, match=r"locked|stopped after"):
        run_query(path, "select 1 from orders", seconds=0.5)
    writer.execute("rollback")
    writer.close()
    assert run_query(path, "select 1").rows == ((1,),)


def test_reading_takes_no_lock_that_lasts(path: str) -> None:
    run_query(path, "select * from orders")
    with sqlite3.connect(path, timeout=0) as writer:
        writer.execute("insert into customers values (70, 'x', null)")
    writer.close()


def test_odd_paths_work(tmp_path: Path) -> None:
    odd = tmp_path / "a b?c#d%20 ü.db"
    with sqlite3.connect(odd) as connection:
        connection.executescript(SQLITE)
    connection.close()
    assert run_query(str(odd), "select count(*) from orders").rows == ((4,),)
