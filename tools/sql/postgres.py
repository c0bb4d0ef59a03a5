"""A PostgreSQL database that is read, by a role that cannot write.

Each call has a connection of its own, so that nothing which a query left in its session (settings, advisory locks, its timeout switched off) meets
the next one; it costs some milliseconds. In it is one READ ONLY transaction that is never committed. The query
becomes a cursor by the extended protocol, so there is one statement, and PostgreSQL itself takes nothing but a query for a cursor: no COPY, DO,
CALL, SET, SELECT INTO, no writing WITH. Rows come a few at a time and cells shortened, so that memory is bounded.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ...graph.errors import ToolError, UserError
from .own import refuse_own_tables
from .postgres_catalog import read_catalog
from .results import Cut, Limits, QueryResult
from .roles import READABLE, REMEDY, check_role
from .source import Grant, TableInfo, Tables, stopped
from .statements import check_statement
from .stopping import Action, Stopper

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

GRACE = 0.1
"""Seconds that the server gets beyond the deadline to cancel a query, until the connection is cut."""
CONNECT_S = 5
"""How long connecting may take when the database is looked at for the first time."""
TYPED_CELL = 1_000_000
"""Longest cell of a typed result, in bytes of its text: a query with a longer one is refused."""
PORTION = 500_000
"""Bytes fetched at a time, about."""

_OWN = "select c.relname from pg_catalog.pg_class c where c.relkind in ('r', 'p') and c.relname not like 'pg\\_%'"

_FIXED = frozenset({16, 20, 21, 23, 26, 700, 701, 1082, 1083, 1114, 1184, 1186, 1266, 2950})
"""Object ids of types no cell of which can be too long: booleans, integers, floats, dates and times, uuid."""


class PostgresSource:
    """See `Source`.

    Args:
        url: SQLAlchemy's.
        tables: what is granted; None is all that the role may read.
        writer: whether the operator accepts a role that can write. Then the READ ONLY transaction, the cursor and the parser are all that
            protects the database, and all that keeps a query to `tables`: weaker, and nothing at all against a superuser's functions.
    """

    dialect = "postgresql"

    def __init__(self, url: URL, tables: Tables | None = None, *, writer: bool = False) -> None:
        self._writer = writer
        self._grant = Grant(tables, fold=False)
        if writer and any((self._grant.tables or {}).values()):
            raise UserError(
                "columns cannot be granted with accept='writer'; grant whole tables, or use a role that only reads"
            )
        self._arguments = _arguments(url)
        self._shown = url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)

    def check(self) -> None:
        """See `Source.check`."""
        psycopg = _driver()
        try:
            with self._connected(CONNECT_S) as connection:
                refuse_own_tables([row[0] for row in connection.execute(_OWN)], self._shown)
                if not self._writer:
                    check_role(connection, self._shown)
                known = read_catalog(connection)
                self._grant.check(known)
                if not self._writer:
                    self._check_grant(connection)
        except psycopg.Error as error:
            raise UserError(
                f"cannot use the database {self._shown}: {_said(error)}; check the URL, and that the server runs and lets this role in"
            ) from None

    def tables(self, seconds: float, stopper: Stopper) -> tuple[TableInfo, ...]:
        """See `Source.tables`."""
        with self._reading(seconds, stopper) as connection:
            seen = (self._grant.seen(table) for table in read_catalog(connection))
            return tuple(table for table in seen if table is not None)

    def query(self, sql: str, limits: Limits, stopper: Stopper) -> QueryResult:
        """See `Source.query`."""
        if self._writer:
            names = None if self._grant.tables is None else frozenset(self._grant.tables)
            check_statement(sql, self.dialect, must_parse=True, tables=names)
        with self._reading(limits.seconds, stopper) as connection:
            cursor = connection.cursor()
            query = _without_semicolon(sql)
            # The database looks at the query alone first: only what is a whole query by itself is put in brackets below.
            cursor.execute(f"declare asked no scroll cursor for {query}", prepare=True)
            cursor.execute("fetch 0 from asked")
            columns = [(column.name, column.type_code) for column in cursor.description or ()]
            if not columns:
                return QueryResult((), (), truncated=False)
            cursor.execute("close asked")
            wrapped = _wrapped(query, [code for _, code in columns], limits.cell)
            cursor.execute(f"declare answered no scroll cursor for {wrapped}", prepare=True)
            rows, truncated = _fetch(cursor, limits)
        return QueryResult(tuple(name for name, _ in columns), tuple(rows), truncated)

    def _check_grant(self, connection: Any) -> None:
        """Refuse a role that can read more than is granted: the parser alone could not keep a query from it."""
        if self._grant.tables is None:
            return
        for schema, table, column in connection.execute(READABLE):
            name = table if schema == "public" else f"{schema}.{table}"
            columns = self._grant.tables.get(name, [])
            if columns is not None and column not in columns:
                raise UserError(
                    f"the PostgreSQL role of {self._shown} can read {name}.{column}, which is not granted here; {REMEDY}"
                )

    @contextmanager
    def _connected(self, seconds: float) -> Generator[Any]:
        """Open a connection, which sends nothing but what it is told; it is closed without a commit."""
        waiting = max(2, math.ceil(seconds))
        # It is closed without a word, for it may have been cut off: with psycopg's own `with` the end would be a commit.
        connection = _driver().connect(**self._arguments, autocommit=True, connect_timeout=waiting)
        try:
            yield connection
        finally:
            with contextlib.suppress(Exception):
                connection.close()

    @contextmanager
    def _reading(self, seconds: float, stopper: Stopper) -> Generator[Any]:
        """Open a READ ONLY transaction that ends in time, whatever runs in it; the database's errors become ToolError."""
        psycopg = _driver()
        started = time.monotonic()
        try:
            with self._connected(seconds) as connection:
                left = max(0.01, seconds - (time.monotonic() - started))
                cancel = _canceller(connection.pgconn.get_cancel())
                cut = _Cutter(connection.fileno())
                try:
                    with stopper.watching(_both(cancel, cut), (left, cancel), (left + GRACE, cut)):
                        connection.execute(_begin(left))
                        yield connection
                finally:
                    cut.close()
        except psycopg.errors.QueryCanceled:
            raise stopped(seconds) from None
        except psycopg.Error as error:
            if time.monotonic() - started >= seconds:
                raise stopped(seconds) from None
            raise ToolError(f"PostgreSQL refused: {_said(error)}") from None
        except UnicodeError:
            raise ToolError("the query or its result holds text that is not valid; leave it out") from None


def _canceller(handle: Any) -> Action:
    """Return what asks the server to cancel a query, without waiting until it does: it may not answer."""

    def cancel() -> None:
        with contextlib.suppress(Exception):
            handle.cancel()

    return lambda: threading.Thread(target=cancel, daemon=True).start()


def _both(one: Action, other: Action) -> Action:
    def do() -> None:
        one()
        other()

    return do


class _Cutter:
    """Cuts a connection's socket off, from any thread, also while another one waits for it."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))

    def __call__(self) -> None:
        with contextlib.suppress(OSError):  # it is gone already
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()


def _begin(seconds: float) -> str:
    """Return the beginning of a transaction; the server ends it by itself if this program is no longer there to do so."""
    limit = max(1, int(seconds * 1000))
    return (
        f"begin isolation level repeatable read, read only; set local statement_timeout = {limit}; set local lock_timeout = {limit}; "
        f"set local idle_in_transaction_session_timeout = {limit + 5000}; set local cursor_tuple_fraction = 1"
    )


def _without_semicolon(sql: str) -> str:
    """Return a query without semicolons and comments behind it; a query that cannot be read is left as it is."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    if ";" not in sql:
        return sql
    try:
        tokens = list(sqlglot.tokenize(sql, dialect="postgres"))
    except SqlglotError:
        return sql
    end = len(sql)
    while tokens and tokens[-1].text == ";":
        end = tokens.pop().start
    return sql[:end]


def _wrapped(sql: str, types: Sequence[int], cell: int | None) -> str:
    """Return a query for the same rows with cells that cannot be too long.

    They are shortened text; or, without `cell`, values, and after them whether one of the row was too long and left out.
    """
    names = [f"c{number}" for number in range(len(types))]
    if cell is not None:
        shown = [f"pg_catalog.left({name}::text, {cell + 1})" for name in names]
    else:
        sizes = [
            f"coalesce(pg_catalog.octet_length({name}::text) > {TYPED_CELL}, false)"
            if code not in _FIXED
            else ""
            for name, code in zip(names, types, strict=True)
        ]
        shown = [
            f"case when {long} then null else {name} end" if long else name
            for name, long in zip(names, sizes, strict=True)
        ]
        shown.append(" or ".join(filter(None, sizes)) or "false")
    return f"select {', '.join(shown)} from (\n{sql}\n) as asked({', '.join(names)})"


def _fetch(cursor: Any, limits: Limits) -> tuple[list[tuple[Any, ...]], bool]:
    """Return rows up to the limits, and whether there are more; they come in portions of about `PORTION` bytes."""
    rows: list[tuple[Any, ...]] = []
    size, count = 0, 10
    while True:
        cursor.execute(f"fetch {count} from answered")
        got = cursor.fetchall()
        before = size
        for row in got:
            if len(rows) == limits.rows or size >= limits.bytes:
                return rows, True
            rows.append(_kept(row, limits.cell))
            size += sum(len(value) if isinstance(value, str | bytes) else 40 for value in row)
        if len(got) < count:
            return rows, False
        count = min(count * 2, 2_000) if size - before < PORTION else max(1, count // 2)


def _kept(row: tuple[Any, ...], cell: int | None) -> tuple[Any, ...]:
    if cell is not None:
        return tuple(_shortened(value, cell) for value in row)
    if row[-1]:
        raise ToolError(f"a cell is longer than {TYPED_CELL} bytes; select less of it")
    return row[:-1]


def _shortened(value: str | None, cell: int) -> str | Cut | None:
    return value if value is None or len(value) <= cell else Cut(value[:cell], None)


def _arguments(url: URL) -> dict[str, Any]:
    """Return psycopg's arguments."""
    query: Mapping[str, Any] = url.query
    arguments: dict[str, Any] = {
        "host": url.host,
        "port": url.port,
        "dbname": url.database,
        "user": url.username,
        "password": url.password,
        "application_name": "thoughtgraph",
        "client_encoding": "utf8",
        **query,
    }
    return {name: value for name, value in arguments.items() if value is not None}


def _driver() -> Any:
    try:
        import psycopg
    except ImportError:
        raise UserError(
            "PostgreSQL's driver is not installed; run: pip install 'thoughtgraph[postgres]'"
        ) from None
    return psycopg


def _said(error: Exception) -> str:
    """Return what the database said, on one line, without the query."""
    diagnosis = getattr(error, "diag", None)
    if diagnosis is not None and diagnosis.message_primary:
        hint = f" ({diagnosis.message_hint})" if diagnosis.message_hint else ""
        return f"{diagnosis.message_primary}{hint}"
    return " ".join(str(error).split())
