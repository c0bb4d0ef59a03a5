"""The tools as an operator and an agent meet them: URLs, grants, identity, other databases, the own store, many calls at once."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sql_world import GRANT, ask, attempt, close, connected, files, make_sqlite, named
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import make_url

from thoughtgraph.graph.errors import ToolError, UserError
from thoughtgraph.storage.migrate import VERSION_TABLE
from thoughtgraph.storage.schema import Base
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tools.base import Call
from thoughtgraph.tools.calling import call_tool, check_arguments
from thoughtgraph.tools.sql import own, run_query, sql_tools
from thoughtgraph.tools.sql.opening import open_source
from thoughtgraph.tools.sql.processes import IDLE, WORKERS
from thoughtgraph.tools.sql.statements import check_statement, parse_statements
from thoughtgraph.tools.sql.stopping import Stopper


class OtherDialect(SQLiteDialect_pysqlite):
    """A database that is neither SQLite nor PostgreSQL, as far as the tools can tell."""

    name = "other"
    supports_statement_cache = False


registry.register("other", __name__, "OtherDialect")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return make_sqlite(tmp_path / "place")


@pytest.fixture
def other_url(path: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(registry.impls, "other", lambda: OtherDialect)
    return f"other:///{path}"


async def test_the_tools_are_what_they_say(path: str) -> None:
    tools = sql_tools(f"sqlite:///{path}", seconds=3, max_rows=7)
    assert [tool.name for tool in tools] == ["sql_tables", "sql_describe", "sql_sample", "sql_query"]
    assert {tool.effect for tool in tools} == {"idempotent"}
    assert not any(tool.trusted for tool in tools)
    query = named(tools, "query")
    assert query.language == "sql"
    assert query.text_argument == "query"
    assert "at most 7 rows" in query.description
    assert "within 3 s" in query.description
    check_arguments(query, {"query": "select 1"})
    check_arguments(named(tools, "tables"), {})
    for arguments in ({}, {"query": 7}, {"query": ""}, {"query": "select 1", "url": "x"}):
        with pytest.raises(ToolError):
            check_arguments(query, arguments)
    assert (await call_tool(query, Call({"query": "select 1 as x"}))).text == "x\n1\n(1 row)"
    await close(tools)


async def test_several_databases_have_names_of_their_own(path: str) -> None:
    sales = sql_tools(path, name="sales")
    assert [tool.name for tool in sales] == ["sales_tables", "sales_describe", "sales_sample", "sales_query"]
    assert "'sales'" in sales[0].description
    with pytest.raises(UserError, match="cannot be called"):
        sql_tools(path, name="My Sales")
    await close(sales)


def test_identity_follows_from_database_grant_and_limits(path: str) -> None:
    versions = {
        sql_tools(path, tables=tables, seconds=seconds, max_rows=rows)[0].version
        for tables in (None, ["orders"], {"orders": ["id"]})
        for seconds in (1.0, 2.0)
        for rows in (5, 6)
    }
    assert len(versions) == 12
    assert sql_tools(path)[0].version == sql_tools(path)[0].version


@pytest.mark.parametrize("options", [{"seconds": 0}, {"max_rows": 0}, {"max_bytes": 0}, {"seconds": -1.0}])
def test_impossible_limits_are_refused(path: str, options: dict[str, float]) -> None:
    with pytest.raises(UserError, match="above 0"):
        sql_tools(path, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("{place}/missing.db", "cannot read the database .*missing.db.* name a SQLite file that exists"),
        ("sqlite:///{place}/missing.db", "name a SQLite file that exists"),
        ("{place}", "name a SQLite file"),
        ("{place}/file.txt", "cannot read the database .*file is not a database"),
        ("sqlite://", "in memory cannot be read"),
        (":memory:", "in memory cannot be read"),
        ("nothing://x/y", "driver of 'nothing' is not installed|cannot"),
        ("://", "the database URL cannot be read"),
        ("postgresql://u:s3cret-pw@127.0.0.1:1/x", "cannot use the database postgresql://u:.*@127.0.0.1:1/x: .*check the URL"),
        ("postgresql://u:s3cret-pw@no-such-host.invalid/x", "cannot use the database"),
        ("postgresql://u:s3cret-pw@127.0.0.1:notaport/x", "the database URL cannot be read"),
    ],
)  # fmt: skip
def test_a_database_that_cannot_be_reached_is_told(path: str, url: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        sql_tools(url.replace("{place}", str(Path(path).parent)))
    assert "s3cret-pw" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_device_is_no_database() -> None:
    with pytest.raises(UserError, match="name a SQLite file"):
        sql_tools("/dev/zero")


@pytest.mark.parametrize(
    "form",
    ["{path}", "sqlite:///{path}", "sqlite+pysqlite:///{path}", "sqlite:///file:{path}?mode=rwc&uri=true"],
)
def test_forms_of_urls(path: str, form: str) -> None:
    assert run_query(form.replace("{path}", path), "select count(*) from orders").rows == ((4,),)


def test_a_grant_of_what_is_not_there_is_refused(path: str) -> None:
    with pytest.raises(UserError, match="there is no table 'order' to grant; the database has: customers"):
        sql_tools(path, tables=["order"])
    with pytest.raises(UserError, match="the table 'orders' has no column 'price' to grant; it has: amount"):
        sql_tools(path, tables={"orders": ["price"]})
    with pytest.raises(UserError, match="no table is granted"):
        sql_tools(path, tables=[])
    with pytest.raises(UserError, match="give a list of names"):
        sql_tools(path, tables="orders")


async def test_unknown_and_hidden_tables_are_told_alike(path: str) -> None:
    tools = sql_tools(path, tables=GRANT)
    for tool in ("describe", "sample"):
        for name in ("hidden", "nothing", "orders; drop table orders", 'orders" where 1 --', "sqlite_master"):
            with pytest.raises(ToolError, match=r"there is no table .*; there are: customers, orders, "):
                await ask(tools, tool, table=name)
    await close(tools)


def test_names_of_the_own_store_are_right() -> None:
    assert own.OWN_VERSION == VERSION_TABLE
    assert set(Base.metadata.tables) >= own.OWN_TABLES


@pytest.mark.parametrize("link", ["itself", "symlink", "hard link", "copy"])
def test_the_own_store_is_refused(tmp_path: Path, link: str) -> None:
    store, other = tmp_path / "store.db", tmp_path / "other.db"
    SqlStore.open(str(store)).close()
    match link:
        case "itself":
            other = store
        case "symlink":
            other.symlink_to(store)
        case "hard link":
            os.link(store, other)
        case _:
            other.write_bytes(store.read_bytes())
    for url in (str(other), f"sqlite:///{other}"):
        for own_store in (str(store), f"sqlite:///{store}", None):
            with pytest.raises(UserError, match="ThoughtGraph's own store"):
                sql_tools(url, own_store=own_store)
    with pytest.raises(UserError, match="ThoughtGraph's own store"):
        run_query(str(other), "select 1")


def test_the_named_store_is_refused_whatever_it_holds(path: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(UserError, match="ThoughtGraph's own store"):
        sql_tools(path, own_store=str(tmp_path / "link"))
    sql_tools(path, own_store=str(tmp_path / "another.db"))


@pytest.mark.postgres
def test_the_own_store_is_refused_on_postgres(postgres_url: str) -> None:
    SqlStore.open(postgres_url).close()
    with pytest.raises(UserError, match="ThoughtGraph's own store"):
        sql_tools(postgres_url, accept="writer")
    url = make_url(postgres_url)
    for host in ("localhost", "127.0.0.1"):
        with pytest.raises(UserError, match="ThoughtGraph's own store"):
            sql_tools(url.set(host=host).render_as_string(hide_password=False), own_store=postgres_url)


async def test_other_databases_are_described_but_not_queried(other_url: str) -> None:
    tools = sql_tools(other_url)
    assert "orders (table): id, customer, amount, placed, note" in await ask(tools, "tables")
    described = await ask(tools, "describe", table="orders")
    assert "  amount REAL\n" in described
    assert "foreign key (customer) references customers(id)" in described
    for tool, arguments in (("query", {"query": "select 1"}), ("sample", {"table": "orders"})):
        with pytest.raises(ToolError, match="queries are not run on other: only SQLite and PostgreSQL"):
            await ask(tools, tool, **arguments)
    with pytest.raises(ToolError, match="queries are not run on other"):
        run_query(other_url, "select 1")
    await close(tools)


async def test_many_calls_at_once(path: str) -> None:
    tools = sql_tools(path, seconds=20)
    query = named(tools, "query")
    replies = await asyncio.gather(
        *(query.run(Call({"query": f"select count(*) + {i} as x from orders"})) for i in range(64))
    )
    assert [reply.text.splitlines()[1] for reply in replies] == [str(4 + i) for i in range(64)]
    await close(tools)


async def test_bombs_among_many_calls_hold_nobody_up(path: str) -> None:
    tools = sql_tools(path, seconds=1)
    bomb = "select printf('%.*c', 900000000, 'x')"
    results = await asyncio.gather(
        *(attempt(tools, bomb if i % 8 == 0 else f"select {i} as x") for i in range(64))
    )
    await close(tools)
    assert [found.refused for found in results] == [i % 8 == 0 for i in range(64)]


async def test_a_cancelled_call_ends_at_once(path: str) -> None:
    tools = sql_tools(path, seconds=30)
    task = asyncio.create_task(ask(tools, "query", query="select printf('%.*c', 900000000, 'x')"))
    await asyncio.sleep(0.3)
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await close(tools)  # waits for the thread, so for the process it was waiting for
    assert time.monotonic() - started < 5


def test_few_processes_wait(path: str) -> None:
    for _ in range(20):
        run_query(path, "select 1")
    WORKERS.close()
    assert run_query(path, "select 1").rows == ((1,),)
    assert IDLE >= 1


def test_helper_processes_see_no_secrets_and_end_with_the_program(path: str) -> None:
    program = (
        "import os, sys, time\n"
        "from thoughtgraph.tools.sql import run_query\n"
        "from thoughtgraph.tools.sql.processes import WORKERS\n"
        "run_query(sys.argv[1], 'select 1')\n"
        "worker = WORKERS._idle[0].process.pid\n"
        "assert b'CANARY' not in open(f'/proc/{worker}/environ', 'rb').read()\n"
        "print(worker)\n"
    )
    if not Path("/proc/self/environ").exists():
        pytest.skip("no /proc")
    found = subprocess.run(
        [sys.executable, "-c", program, path],
        env=os.environ | {"SECRET": "CANARY"},
        capture_output=True,
        text=True,
        check=True,
    )
    end = time.monotonic() + 5
    while Path(f"/proc/{found.stdout.strip()}").exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert not Path(f"/proc/{found.stdout.strip()}").exists()


def test_nothing_heavy_is_imported_with_the_tools() -> None:
    program = "import sys, thoughtgraph.tools.sql as s; print([m for m in ('sqlalchemy', 'sqlglot', 'psycopg') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_readable_file_in_a_directory_that_cannot_be_written(path: str) -> None:
    directory = Path(path).parent
    before = files(directory)
    directory.chmod(0o500)
    try:
        assert run_query(path, "select count(*) from orders").rows == ((4,),)
    finally:
        directory.chmod(0o700)
    assert files(directory) == before


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize(
    "sql",
    [
        "select 1",
        "with x as (select 1) select * from x",
        "values (1)",
        "select 1 union all select 2",
        "select * from (select 1) as t",
        "select 'delete from orders'",
        'select "update" from "insert"',
        "select replace('a', 'b', 'c')",
        "select 1; -- done",
        "select " + "(" * 100 + "1" + ")" * 100,
        "select some grammar that nobody knows <=> 7 @@@",
    ],
)
def test_queries_pass_the_parser(sql: str, dialect: str) -> None:
    check_statement(sql, dialect)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("delete from orders", "this tool only reads: write one SELECT"),
        ("select 1; select 2", "2 statements were given, one at a time is run"),
        ("with x as (delete from orders returning *) select * from x", "DELETE is not possible here"),
        ("explain select 1", "only reads"),
        ("pragma query_only = off", "only reads"),
        ("select load_extension('x')", "the function 'load_extension' is not available"),
        ("select lo_import('/etc/passwd')", "the function 'lo_import' is not available"),
        ("select pg_catalog.pg_read_file('x')", "the function 'pg_read_file' is not available"),
        ("select 1 into made", "INTO is not possible here"),
        ("x" * 60_000, "the query has 60000 characters; the limit is 50000"),
        ("select '\0'", "characters that no text has"),
        ("select '\ud800'", "characters that no text has"),
    ],
)
def test_what_is_no_query_is_told_what_to_write(sql: str, message: str, dialect: str) -> None:
    with pytest.raises(ToolError, match=message):
        check_statement(sql, dialect)


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_the_parser_takes_no_longer_than_it_may(dialect: str) -> None:
    for sql in (
        "select * from t" + " join t" * 40,
        "select " + "array[" * 40 + "1" + "]" * 40,
        "select a" + "[1]" * 6000,
        "select " + "case when " * 900 + "1",
    ):
        started = time.monotonic()
        assert parse_statements(sql, dialect) is None
        assert time.monotonic() - started < 2
    assert parse_statements("select " + ", ".join(["a + 1"] * 2000), dialect) is not None


def test_what_cannot_be_parsed_is_refused_where_the_parser_matters() -> None:
    with pytest.raises(ToolError, match="cannot be parsed"):
        check_statement("select some grammar that nobody knows <=> 7 @@@", "postgresql", must_parse=True)
    with pytest.raises(ToolError, match="'hidden' is not granted; there are: orders"):
        check_statement(
            "with x as (select 1) select * from x, hidden", "postgresql", tables=frozenset({"orders"})
        )
    check_statement(
        "with x as (select 1) select * from x, public.orders", "postgresql", tables=frozenset({"orders"})
    )


@pytest.mark.postgres
async def test_an_accepted_writer_is_kept_to_its_grant_by_the_parser(postgres_url: str) -> None:
    url = postgres_url
    with connected(url) as connection:
        connection.execute("create table orders (id integer); create table hidden (word text)")
    tools = sql_tools(url, tables=["orders"], accept="writer")
    assert await ask(tools, "query", query="select count(*) from orders") == "count\n0\n(1 row)"
    for sql in (
        "select * from hidden",
        "select * from public.hidden",
        "select * from pg_authid",
        "table hidden",
    ):
        with pytest.raises(ToolError, match="is not granted"):
            await ask(tools, "query", query=sql)
    await close(tools)
    assert len(open_source(url, ["orders"], accept="writer").tables(2, Stopper())) == 1


def test_a_process_forked_from_this_one_has_helpers_of_its_own(path: str) -> None:
    program = (
        "import os, sys\n"
        "from thoughtgraph.tools.sql import run_query\n"
        "assert run_query(sys.argv[1], 'select 1').rows == ((1,),)\n"
        "child = os.fork()\n"
        "for number in range(20):\n"
        "    assert run_query(sys.argv[1], f'select {number + child}').rows == ((number + child,),)\n"
        "if child:\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
    )
    subprocess.run([sys.executable, "-c", program, path], check=True, timeout=60)


def test_a_database_that_changes_is_read_as_it_is(path: str) -> None:
    for number in range(5):
        with sqlite3.connect(path) as writer:
            writer.execute("insert into customers values (?, 'x', null)", (100 + number,))
        writer.close()
        assert run_query(path, "select max(id) from customers").rows == ((100 + number,),)
