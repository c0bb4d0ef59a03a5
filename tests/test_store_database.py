"""Opening a database: new, ours, older, newer, somebody else's, or not one at all; and the migrations behind that."""

from __future__ import annotations

import re
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from thoughtgraph.graph.errors import SchemaVersionError, StoreError, UserError
from thoughtgraph.graph.ledger import Commit, Lease
from thoughtgraph.graph.records import Problem
from thoughtgraph.storage.database import Database, open_database
from thoughtgraph.storage.engine import default_db_path, open_engine, parse_url
from thoughtgraph.storage.migrate import VERSION_TABLE, check, downgrade, upgrade
from thoughtgraph.storage.schema import Base
from thoughtgraph.storage.store import SqlStore


def stamp(url: str, revision: str) -> None:
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"update {VERSION_TABLE} set version_num = :r"), {"r": revision})
    engine.dispose()


def differences(database: Database) -> list[object]:
    with database.reading() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True},
        )
        return list(compare_metadata(context, Base.metadata))


def test_the_migrations_make_the_schema(store: SqlStore) -> None:
    assert differences(store.database) == []


def test_the_migrations_make_the_schema_to_the_letter(tmp_path: Path) -> None:
    """Also what Alembic does not compare: checks, WITHOUT ROWID, names of constraints."""
    open_database(tmp_path / "migrated.db").close()
    engine = create_engine(f"sqlite:///{tmp_path / 'created.db'}")
    Base.metadata.create_all(engine)
    engine.dispose()
    assert ddl(tmp_path / "migrated.db") == ddl(tmp_path / "created.db")


def ddl(path: Path) -> dict[str, list[str]]:
    connection = sqlite3.connect(path)
    rows = connection.execute("select name, sql from sqlite_master where sql is not null").fetchall()
    connection.close()
    return {
        # sorted: a column that a migration added stands behind the constraints
        name: sorted(
            part.strip() for part in re.split(r',\s*\n|,(?=\s"?\w+"? \w+)|\n|\)\s*$', sql) if part.strip()
        )
        for name, sql in rows
        if name != VERSION_TABLE
    }


def test_down_and_up_again(store: SqlStore, lease: Lease) -> None:
    engine = store.database.engine
    assert check(engine).state == "current"
    downgrade(engine, "base")
    assert check(engine).state == "empty"
    assert upgrade(engine).state == "current"
    assert differences(store.database) == []
    assert upgrade(engine) == check(engine)


def test_opening_again_keeps_everything(store_url: str) -> None:
    first = open_database(store_url)
    with first.writing() as connection:
        connection.execute(text("insert into problem values ('t', 'p', 'q')"))
    first.close()
    again = open_database(store_url)
    with again.reading() as connection:
        assert connection.execute(text("select question from problem")).scalars().all() == ["q"]
    again.close()


def test_many_open_a_new_database_at_once(store_url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        databases = list(pool.map(open_database, [store_url] * 8))
    assert {check(database.engine).state for database in databases} == {"current"}
    for database in databases:
        database.close()


def test_an_older_database_is_not_changed_unasked(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_database(store_url).close()

    def newer_head(_: ScriptDirectory) -> str:
        return "0004"

    monkeypatch.setattr(ScriptDirectory, "get_current_head", newer_head)
    engine = open_engine(store_url)
    assert check(engine).state == "older"
    engine.dispose()
    with pytest.raises(
        SchemaVersionError, match=r"has schema 0003, older than 0004.*thoughtgraph db upgrade --db \S+$"
    ):
        open_database(store_url)


def test_a_newer_database_is_refused(store_url: str) -> None:
    open_database(store_url).close()
    stamp(store_url, "9999")
    with pytest.raises(
        SchemaVersionError, match=r"has schema 9999, which this program does not know.*pip install"
    ):
        open_database(store_url)
    engine = open_engine(store_url)
    with pytest.raises(SchemaVersionError):
        upgrade(engine)
    assert check(engine).state == "newer"
    engine.dispose()


def test_another_program_s_database_is_refused(store_url: str) -> None:
    engine = open_engine(store_url)
    with engine.begin() as connection:
        connection.execute(text("create table invoice (id integer)"))
    engine.dispose()
    with pytest.raises(StoreError, match="tables of another program"):
        open_database(store_url)


def test_langgraph_s_tables_may_be_there_first(store_url: str) -> None:
    engine = open_engine(store_url)
    with engine.begin() as connection:
        connection.execute(text("create table checkpoints (id integer)"))
    engine.dispose()
    open_database(store_url).close()


@pytest.mark.parametrize("kind", ["text", "directory", "no directory", "below a file"])
def test_a_path_that_is_no_database_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "runs.db"
    if kind == "text":
        path.write_text("This is a letter, and a rather long one, not a database.\n" * 50)
    elif kind == "directory":
        path.mkdir()
    elif kind == "no directory":
        path = tmp_path / "missing" / "runs.db"
    else:
        path.write_text("")
        path = path / "runs.db"
    with pytest.raises(StoreError, match=r"the database .* failed") as caught:
        open_database(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_cut_off_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    open_database(path).close()
    path.write_bytes(path.read_bytes()[:3000] + b"\xff" * 5000)
    with pytest.raises(StoreError):
        open_database(path)


def test_a_read_only_database_fails_at_the_first_write(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    store = SqlStore.open(path)
    with store.database.engine.connect() as connection:
        connection.exec_driver_sql("pragma query_only=on")
    with pytest.raises(StoreError, match="readonly"):
        store.commit(Lease("r", Problem("p", "t", "q"), 1, "w"), Commit())
    store.close()


@pytest.mark.parametrize(
    "url",
    ["mysql://u:secret@host/db", "postgresql://u:secret@127.0.0.1:1/db", "postgresql://u:secret@[broken/db"],
)
def test_errors_never_show_a_password(url: str) -> None:
    with pytest.raises((UserError, StoreError)) as caught:
        open_database(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_driver_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"pip install 'thoughtgraph\[postgres\]'"):
        open_engine("postgresql://host/db")


@pytest.mark.parametrize(
    ("given", "driver", "database"),
    [
        ("/data/runs.db", "sqlite+pysqlite", "/data/runs.db"),
        ("sqlite:////data/runs.db", "sqlite+pysqlite", "/data/runs.db"),
        (":memory:", "sqlite+pysqlite", None),
        ("sqlite://", "sqlite+pysqlite", None),
        ("postgresql://host/db", "postgresql+psycopg", "db"),
        ("postgres://host/db", "postgresql+psycopg", "db"),
        ("postgresql+psycopg://host/db", "postgresql+psycopg", "db"),
    ],
)
def test_urls(given: str, driver: str, database: str | None) -> None:
    url = parse_url(given)
    assert (url.drivername, url.database) == (driver, database)


def test_relative_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_url("runs.db") == parse_url("sqlite:///runs.db") == parse_url(tmp_path / "runs.db")


def test_the_default_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THOUGHTGRAPH_DB", str(tmp_path / "new" / "mine.db"))
    assert default_db_path() == str(tmp_path / "new" / "mine.db")
    open_database().close()
    assert (tmp_path / "new" / "mine.db").exists()
    monkeypatch.delenv("THOUGHTGRAPH_DB")
    assert default_db_path().endswith("thoughtgraph.db")


def test_sqlite_is_set_up_for_durable_concurrent_writes(tmp_path: Path) -> None:
    database = open_database(tmp_path / "runs.db")
    with database.reading() as connection:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        found = [connection.exec_driver_sql(f"pragma {name}").scalar() for name in pragmas]
    database.close()
    assert found == ["wal", 1, 1, 30000]
