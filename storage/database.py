"""An open database: transactions for reading and writing, and every driver error as one line of `StoreError`."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import StatementError, TimeoutError

from ..graph.errors import StoreError, ThoughtGraphError
from .engine import IMMEDIATE, default_db_path, is_memory, open_engine, shown
from .migrate import ready


class Database:
    """An engine whose schema is known to be this program's. Safe to use from several threads.

    Writers of one process take turns here, so that they do not poll for SQLite's lock; writers of other processes are waited for by SQLite itself.
    PostgreSQL needs neither.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(**{IMMEDIATE: True})
        sqlite = engine.dialect.name == "sqlite"
        lock = threading.RLock()
        self._writing: AbstractContextManager[object] = lock if sqlite else nullcontext()
        # An in-memory database is one connection, which readers and writers must share.
        self._reading: AbstractContextManager[object] = lock if is_memory(engine.url) else nullcontext()

    @property
    def url(self) -> URL:
        """Where it is; its string form hides the password."""
        return self.engine.url

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """Open a transaction that only reads; raises StoreError if the database fails."""
        with self._reading, translated(self.url), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """Open a transaction that commits at the end, or leaves nothing behind; raises StoreError if the database fails."""
        with self._writing, translated(self.url), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections; using it again opens new ones."""
        self.engine.dispose()


def open_database(url: str | os.PathLike[str] | None = None) -> Database:
    """Open a database, and create its tables if it is new.

    Args:
        url: a path, `sqlite:///PATH`, `:memory:` or `postgresql://…`; None is the user's own database (`default_db_path`), whose directory is
            made if need be.

    Raises:
        UserError: if the URL names no database that is supported.
        SchemaVersionError: if its tables are of an older or a newer program.
        StoreError: if it cannot be opened, or holds something else.
    """
    if url is None:
        url = default_db_path()
        if "://" not in url:
            _make_directory(url)
    engine = open_engine(url)
    try:
        with translated(engine.url):
            ready(engine)
    except BaseException:
        engine.dispose()
        raise
    return Database(engine)


@contextmanager
def translated(url: URL) -> Generator[None]:
    """Turn the driver's errors into StoreError of one line, without parameters and passwords."""
    try:
        yield
    except StatementError as error:  # the driver's own errors, and those of the values it was given
        if isinstance(error.orig, ThoughtGraphError):
            raise error.orig from None
        raise StoreError(_line(url, error)) from error
    except (TimeoutError, OverflowError) as error:
        raise StoreError(_line(url, error)) from error


def _line(url: URL, error: Exception) -> str:
    cause = error.orig if isinstance(error, StatementError) and error.orig is not None else error
    what = " ".join(str(cause).split())
    return f"the database {shown(url)} failed: {what}; nothing was written, so mend the cause and run the same command again"


def _make_directory(path: str) -> None:
    directory = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot make the directory {directory!r} ({error.strerror}); name a database with --db"
        ) from error
