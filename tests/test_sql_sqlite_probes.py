"""SQLite under attack: nothing is written, no file made, nothing read outside the grant, every bomb stopped in time.

Each probe is made twice: through the tool, and past its parser (`guards`), which is a second layer only.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sql_world import CANARY, GRANT, Attempt, attempt, close, files, make_sqlite

from thoughtgraph.graph.errors import ToolError
from thoughtgraph.tools.base import Tool
from thoughtgraph.tools.sql import sql_tools
from thoughtgraph.tools.sql.results import Limits, as_table
from thoughtgraph.tools.sql.sqlite import SqliteSource
from thoughtgraph.tools.sql.stopping import Stopper

WRITES = [
    "insert into orders values (9, 1, 1, '', '')",
    "replace into orders values (1, 1, 1, '', '')",
    "update orders set amount = 0",
    "delete from orders",
    "delete from orders returning *",
    "with x as (select 1) delete from orders",
    "with x as (select 1) insert into orders select 9, 1, 1, '', ''",
    "drop table orders",
    "create table made (a)",
    "create temp table made (a)",
    "create table made as select * from orders",
    "create view made as select 1",
    "create temp view made as select * from hidden",
    "create temp trigger made after insert on orders begin select 1; end",
    "create index made on orders (amount)",
    "create virtual table made using fts5(a)",
    "create virtual table temp.made using rtree(id, a, b)",
    "create virtual table temp.made using fts5vocab('main', 'pages', 'row')",
    "alter table orders add column made",
    "alter table orders rename to made",
    "reindex",
    "analyze",
    "vacuum",
    "vacuum into 'made.db'",
    "insert into pages (pages) values ('rebuild')",
    "insert into pages (pages, rank) values ('automerge', 2)",
    "begin",
    "begin immediate",
    "begin exclusive",
    "savepoint made",
    "commit",
    "rollback",
    "attach 'made.db' as made",
    "attach 'other.db' as other",
    "attach 'file:made.db?mode=rwc' as made",
    "attach ':memory:' as made",
    "detach main",
]
PRAGMAS = [
    "pragma query_only = off",
    "pragma main.query_only(off)",
    "PRAGMA writable_schema = on",
    "pragma journal_mode = delete",
    "pragma journal_mode = wal",
    "pragma locking_mode = exclusive",
    "pragma user_version = 7",
    "pragma application_id = 7",
    "pragma temp_store_directory = '.'",
    "pragma mmap_size = 1000000000",
    "pragma trusted_schema = on",
    "pragma table_info(hidden)",
    "pragma database_list",
    "pragma wal_checkpoint",
    "pragma incremental_vacuum",
    "pragma optimize",
    "select * from pragma_table_info('hidden')",
    "select * from pragma_database_list",
    "select * from pragma_table_list",
    "select * from pragma_query_only",
    "select * from main.pragma_table_xinfo('hidden')",
    "explain pragma query_only = off",
]
STACKED = [
    "select 1; delete from orders",
    "select 1;; delete from orders",
    "select 1; commit; delete from orders",
    "select 1 /* ; */; delete from orders --",
    "delete/**/from orders",
    "/* select */ delete from orders",
    "-- select\ndelete from orders",
    "\ufeffdelete from orders",
    "\u00a0delete from orders",
    "select 1\0; delete from orders",
    ";delete from orders",
    "explain delete from orders; delete from orders",
    "select 'a'';' ; delete from orders",
    'select "a;" ; delete from orders',
    "values (1); delete from orders",
    "(select 1); drop table orders",
    "EXECUTE delete from orders",
    "DELETE FROM [orders]",
    "D\u0415LETE from orders",
    "select 1 union select 2; drop table orders",
]
READS = [
    "select * from hidden",
    'select * from "hidden"',
    "select * from [hidden]",
    "select * from `hidden`",
    "select * from 'hidden'",
    "select * from main.hidden",
    "select * from HIDDEN",
    "select word from orders, hidden",
    "select (select word from hidden limit 1)",
    "select * from orders where amount > (select length(word) from hidden)",
    "select exists (select 1 from hidden where word like 'CANARY%')",
    "with x as (select * from hidden) select * from x",
    "with dear as (select * from hidden) select * from dear",
    "with peek as (select * from hidden) select * from peek",
    "with peek as (select * from hidden) select * from peek, main.peek as p",
    "with recursive peek(w) as (select word from hidden union select w from peek) select * from peek",
    "with 'peek' as (select * from hidden) select * from peek",
    "with [dear] as (select card from customers) select * from dear",
    "with PEEK as materialized (select word from hidden) select * from PEEK",
    "select * from (with peek as (select * from hidden) select * from peek)",
    "select * from orders order by (select word from hidden)",
    "select sum(amount) over (order by (select word from hidden)) from orders",
    "select count(*) from hidden",
    "select 1 from hidden",
    "select rowid from hidden",
    "select * from orders natural join hidden",
    "values ((select word from hidden))",
    "select * from customers",
    "select card from customers",
    "select customers.card from customers",
    'select "card" from customers',
    "select c.CARD from customers c",
    "select 1 from customers where card like 'CANARY%'",
    "select name from customers order by card",
    "select name from customers group by card",
    "select max(card) from customers",
    "select * from customers c join orders o using (id)",
    "select customers.* from orders, customers",
    "select * from sqlite_master",
    "select * from sqlite_schema",
    "select sql from main.sqlite_master",
    "select * from sqlite_temp_master",
    "select * from sqlite_sequence",
    "select * from sqlite_stat1",
    "select * from dbstat",
    "select * from sqlite_dbpage",
    "select * from sqlite_stmt",
    "select * from bytecode('select * from hidden')",
    "select * from pages",
    "select * from pages_content",
    "select * from pages where pages match 'fox'",
    "select * from fts5vocab",
    "explain select * from hidden",
    "explain query plan select * from hidden",
    "select * from json_each((select json_group_array(word) from hidden))",
]
FUNCTIONS = [
    "select load_extension('x')",
    "select load_extension('/lib/x86_64-linux-gnu/libc.so.6', 'system')",
    "select readfile('file.txt')",
    "select writefile('made', 'x')",
    "select edit('x', 'sh')",
    "select fts3_tokenizer('simple', x'4141414141414141')",
    "select fts3_tokenizer('simple')",
    "select randomblob(10)",
    "select zeroblob(10)",
    "select 'a' regexp '(a+)+$'",
    "select sqlite_compileoption_get(0)",
    "select * from fsdir('.')",
    "select * from generate_series(1, 10)",
    "select * from csv('file.txt')",
    "select last_insert_rowid()",
    "select name from customers where id = ?",
    "select name from customers where id = :id",
]
REFUSED = WRITES + PRAGMAS + STACKED + READS + FUNCTIONS

BOMBS = {
    "recursion": "with recursive r(x) as (select 1 union all select x + 1 from r) select count(*) from r",
    "recursion, distinct": "with recursive r(x) as (select 1 union select x + 1 from r) select * from r where x < 0",
    "recursion of text": "with recursive r(x) as (select 'x' union all select x || x from r) select max(length(x)) from r",
    "cross join": "select count(*) from orders, " + ", ".join(f"orders o{i}" for i in range(30)),
    "cross join, sorted": "select * from orders, "
    + ", ".join(f"orders o{i}" for i in range(20))
    + " order by random()",
    "printf": "select printf('%.*c', 900000000, 'x')",
    "printf, measured": "select length(printf('%.*c', 2000000000, 'x'))",
    "format": "select format('%1000000000d', 1)",
    "zeroblob": "select hex(zeroblob(500000000))",
    "randomblob": "select hex(randomblob(500000000))",
    "replace": "select length(replace(replace(printf('%.*c', 9000000, 'x'), 'x', 'xx'), 'x', 'xxxxxxxxxxxxxxxxx'))",
    "instr": "with s(a, b) as (select printf('%.*c', 15000000, 'x'), printf('%.*c', 7000000, 'x') || 'y') select instr(a, b) from s",
    "like": "select count(*) from orders where printf('%.*c', 5000000, 'a') like '" + "%a" * 90 + "%b'",
    "like, again": "select printf('%.*c', 9000000, 'a') like '" + "%_a" * 60 + "%b'",
    "glob": "select printf('%.*c', 9000000, 'a') glob '" + "*a" * 90 + "*b'",
    "group_concat": "with recursive r(x) as (select 1 union all select x + 1 from r) select length(group_concat(x)) from r",
    "group_concat of texts": "with recursive r(x) as (select 1 union all select x + 1 from r limit 1000) "
    "select group_concat(printf('%.*c', 1000000, 'x')) from r",
    "json array": "with recursive r(x) as (select 1 union all select x + 1 from r) select json_group_array(x) from r",
    "json, deep": "select json_valid(printf('%.*c', 9000000, '['))",
    "json, doubled": "with recursive r(n, x) as (select 1, '[1]' union all select n + 1, json_array(x, x) from r) select count(*) from r",
    "json_each": "select count(*) from json_each('[' || replace(printf('%.*c', 2000000, 'x'), 'x', '1,') || '1]') a, "
    "json_each('[' || replace(printf('%.*c', 100000, 'x'), 'x', '1,') || '1]') b",
    "sort of long texts": "with recursive r(n) as (select 1 union all select n + 1 from r limit 2000) "
    "select n, printf('%.*c', 1000000, 'x') || n as s from r order by s",
    "window": "with recursive r(n) as (select 1 union all select n + 1 from r limit 100000000) "
    "select sum(n) over (order by n rows between unbounded preceding and unbounded following) from r",
    "distinct": "with recursive r(n) as (select 1 union all select n + 1 from r) select count(distinct n) from r",
    "deep expression": "select " + "(" * 5000 + "1" + ")" * 5000,
    "deep expression of NOT": "select " + "not " * 9000 + "1",
    "deep subqueries": "select * from " + "(select * from " * 500 + "orders" + ")" * 500,
    "long list": "select " + ", ".join(["1"] * 20000),
    "long or": "select count(*) from orders where " + " or ".join(f"id = {i}" for i in range(3000)),
    "many unions": " union all ".join(["select 1"] * 3000),
    "long statement": "select '" + "x" * 10_000_000 + "'",
    "joins that parsers try again and again": "select count(*) from orders" + " join orders" * 40,
    "arrays that parsers try again and again": "select " + "array[" * 40 + "1" + "]" * 40,
    "subscripts": "select orders" + "[1]" * 6000,
    "many CTEs": "with a0 as (select 1 x), "
    + ", ".join(f"a{i} as (select l.x from a{i - 1} l, a{i - 1} r)" for i in range(1, 40))
    + " select count(*) from a39",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sql")
    make_sqlite(directory)
    return directory


@pytest.fixture(scope="module", params=["tool", "guards"])
def restricted(place: Path, request: pytest.FixtureRequest) -> Iterator[Sequence[Tool] | SqliteSource]:
    """A database of which a part is granted: its tools, or what is behind their parser."""
    path = str(place / "data.db")
    if request.param == "guards":
        yield SqliteSource(path, GRANT)
        return
    tools = sql_tools(path, tables=GRANT, seconds=5)
    yield tools
    asyncio.run(close(tools))


async def tried(target: Sequence[Tool] | SqliteSource, sql: str, seconds: float = 5) -> Attempt:
    if not isinstance(target, SqliteSource):
        return await attempt(target, sql)
    started = time.monotonic()
    limits = Limits(seconds=seconds)
    try:
        text, refused = as_table(target.query(sql, limits, Stopper()), limits), False
    except ToolError as error:
        text, refused = str(error), True
    return Attempt(text, refused, time.monotonic() - started)


@pytest.mark.parametrize("sql", REFUSED)
async def test_what_is_not_granted_is_refused(
    restricted: Sequence[Tool] | SqliteSource, place: Path, sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    before = files(place)
    found = await tried(restricted, sql)
    assert found.refused, found.text
    assert CANARY not in found.text
    assert files(place) == before


@pytest.mark.parametrize("sql", WRITES + PRAGMAS + STACKED + FUNCTIONS)
def test_nothing_is_written_where_everything_may_be_read(place: Path, sql: str) -> None:
    before = files(place)
    with pytest.raises(ToolError):
        SqliteSource(str(place / "data.db")).query(sql, Limits(), Stopper())
    assert files(place) == before


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_stopped(place: Path, name: str) -> None:
    before = files(place)
    source = SqliteSource(str(place / "data.db"))
    started = time.monotonic()
    with contextlib.suppress(ToolError):
        source.query(BOMBS[name], Limits(seconds=0.5), Stopper())
    assert time.monotonic() - started <= 0.5 + 1.0  # a busy machine's; the slow test is strict
    assert files(place) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
async def test_bombs_are_stopped_within_a_fifth_of_a_second(place: Path, name: str) -> None:
    tools = sql_tools(str(place / "data.db"), seconds=1)
    found = await attempt(tools, BOMBS[name])
    await close(tools)
    assert found.seconds <= 1 + 0.2


def test_what_a_query_may_hold_is_bounded(place: Path) -> None:
    with pytest.raises(ToolError, match="memory"):
        SqliteSource(str(place / "data.db")).query(BOMBS["sort of long texts"], Limits(seconds=30), Stopper())


async def test_bombs_leave_the_next_calls_alone(place: Path) -> None:
    source = SqliteSource(str(place / "data.db"))
    for name in ("printf", "recursion", "sort of long texts"):
        with pytest.raises(ToolError):
            source.query(BOMBS[name], Limits(seconds=0.3), Stopper())
        assert source.query("select 7", Limits(), Stopper()).rows == ((7,),)
