"""From a path or a URL to an engine that is set up the way the store needs it.

SQLite is used in WAL mode with `synchronous=NORMAL`: a crash of the program loses nothing, a power cut at most the last transactions, never the
file. Writers start with BEGIN IMMEDIATE, so that a transaction that reads before it writes cannot fail half way for want of the lock.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, StaticPool, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from ..graph.errors import StoreError, UserError
from .sanitise import dump_json

BUSY_TIMEOUT_S = 30.0
"""How long a SQLite writer waits for another process to finish its transaction."""

WAL_PAGES = 4000
"""Pages of 4 KiB written before they are moved into the database file: a checkpoint costs a sync, and merges rewritten pages."""

IMMEDIATE = "thoughtgraph_immediate"
"""Execution option: begin the transaction as a writer."""


def default_db_path() -> str:
    """Return the database to use when none is named: `THOUGHTGRAPH_DB` (a path or a URL), or a file in the user's data directory."""
    from platformdirs import user_data_path

    return os.environ.get("THOUGHTGRAPH_DB") or str(user_data_path("thoughtgraph") / "thoughtgraph.db")


def parse_url(url: str | os.PathLike[str]) -> URL:
    """Return the SQLAlchemy URL of a path, `:memory:`, `sqlite://…` or `postgresql://…`.

    Raises:
        UserError: if it is none of these.
    """
    text = os.fspath(url)
    if text in (":memory:", "sqlite://", "sqlite:///:memory:"):
        return URL.create("sqlite+pysqlite")
    if "://" not in text:
        return URL.create("sqlite+pysqlite", database=str(Path(text).expanduser().absolute()))
    try:
        parsed = make_url(text)
    except (ArgumentError, ValueError):
        raise UserError(
            "the database URL cannot be read; give a path, sqlite:///PATH or postgresql://…"
        ) from None
    match parsed.drivername:
        case "sqlite" | "sqlite+pysqlite":
            path = str(Path(parsed.database or "").expanduser().absolute())
            return parsed.set(drivername="sqlite+pysqlite", database=path)
        case "postgresql" | "postgres" | "postgresql+psycopg":
            return parsed.set(drivername="postgresql+psycopg")
        case other:
            raise UserError(
                f"no support for {other!r} databases; give a path, sqlite:///PATH or postgresql://…"
            )


def is_memory(url: URL) -> bool:
    """Return whether the URL names a SQLite database that lives in memory only."""
    return url.get_backend_name() == "sqlite" and not url.database


def shown(url: URL) -> str:
    """Return the URL as people write it, its password hidden."""
    if url.get_backend_name() == "sqlite":
        return url.database or ":memory:"
    return url.set(drivername="postgresql").render_as_string(hide_password=True)


def open_engine(url: str | os.PathLike[str]) -> Engine:
    """Return an engine for a path or URL; connects to nothing yet.

    Raises:
        UserError: if the URL names no database that is supported.
        StoreError: if PostgreSQL's driver is not installed.
    """
    parsed = parse_url(url)
    json_codec: dict[str, Any] = {"json_serializer": dump_json}
    if parsed.get_backend_name() == "postgresql":
        try:
            return create_engine(parsed, pool_size=8, max_overflow=24, pool_pre_ping=True, **json_codec)
        except ImportError:
            raise StoreError(
                "PostgreSQL's driver is not installed; run: pip install 'thoughtgraph[postgres]'"
            ) from None
    if is_memory(parsed):
        options: dict[str, Any] = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
    else:
        options = {"pool_size": 8, "max_overflow": 24, "connect_args": {"timeout": BUSY_TIMEOUT_S}}
    engine = create_engine(parsed, **options, **json_codec)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def use_wal(connection: sqlite3.Connection) -> None:
    """Turn a SQLite file to WAL mode, while other connections may be making the same new file.

    The switch needs the file alone, and SQLite does not wait for that by itself as it does for a write; so it is tried again.

    Raises:
        sqlite3.Error: if it cannot be opened, or others kept it for longer than `BUSY_TIMEOUT_S`.
    """
    connection.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}")
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            # A database in memory stays in its mode, "memory".
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by _begin_sqlite, not by the driver's guess
    use_wal(connection)
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
    connection.execute("PRAGMA cache_size=-16000")  # KiB
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get(IMMEDIATE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
