"""Reads SQLite databases for another process, a request a line on standard input, a reply a line on standard output.

It is run as a program by itself (`python -I -S sqlite_worker.py`) and imports the standard library only. SQLite's own limits stop nearly everything
in time, but one long call inside a function (`printf('%.*c', 9e8, 'x')`) asks nobody: so whoever started this kills it at the deadline, and a timer
of the kernel's ends it even if that process is gone. Each request opens the database anew, so nothing is kept from one to the next.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Any

MEMORY = 512 * 1024 * 1024
"""Address space of this process, in bytes: Python's own is about 50 MB of it."""
LENGTH = 16 * 1024 * 1024
"""Longest string, blob or row that SQLite may make or read, in bytes."""
SQL_LENGTH = 50_000
"""Longest statement, in bytes."""
_OPCODES = 2_000
"""Virtual-machine instructions between two looks at the clock: well below a millisecond."""

_NAMES = """
    abs avg ceil ceiling char coalesce concat concat_ws count cume_dist date datetime dense_rank exp first_value floor format glob
    group_concat hex ifnull iif if instr json json_array json_array_length json_each json_extract json_group_array json_group_object
    json_insert json_object json_patch json_pretty json_quote json_remove json_replace json_set json_tree json_type json_valid
    julianday lag last_value lead length like likelihood likely ln log log10 log2 lower ltrim max median min mod nth_value ntile nullif
    octet_length percent_rank percentile percentile_cont percentile_disc pi pow power printf quote radians degrees random rank replace
    round row_number rtrim sign soundex sqrt string_agg strftime substr substring sum time timediff total trim trunc typeof unhex unicode
    unistr unixepoch unlikely upper acos acosh asin asinh atan atan2 atanh cos cosh sin sinh tan tanh current_date current_time
    current_timestamp match bm25 highlight snippet rank -> ->>
    """
_FUNCTIONS = frozenset(_NAMES.split())
"""Functions that only compute. Whatever is not here is refused: load_extension, readfile, edit, fts3_tokenizer, randomblob, zeroblob, …"""

_TABLE_FUNCTIONS = frozenset({"json_each", "json_tree"})
_EPONYMOUS = frozenset({"dbstat", "sqlite_stmt", "bytecode", "tables_used", "fts5vocab", "sqlite_dbpage"})
"""Virtual tables that exist without being made; those of the running library are asked for as well."""

Columns = frozenset[str] | None
"""Lower-case names of columns; None is all."""


def main() -> None:
    """Answer requests until standard input ends."""
    _bound()
    for line in sys.stdin.buffer:
        request: dict[str, Any] = json.loads(line)
        _alarm(request["seconds"] + 1.0)
        try:
            reply = answer(request)
        except MemoryError:
            reply = {"kind": "memory", "error": f"it needs more than {MEMORY // 2**20} MiB"}
        sys.stdout.buffer.write(json.dumps(reply, ensure_ascii=False).encode() + b"\n")
        sys.stdout.buffer.flush()
        _alarm(0)
        if reply.get("kind") == "memory":
            return


def _bound() -> None:
    """Bound this process, as far as the system can: memory, and no file of any length may be written."""
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    try:
        import resource
    except ImportError:  # Windows
        return
    for what, limit in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 32),
    ):
        with suppress(OSError, ValueError):  # macOS does not bound address space
            resource.setrlimit(what, (limit, limit))


def _alarm(seconds: float) -> None:
    """Have the kernel end this process after so many seconds; 0 is never."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reply to one request: `columns` and `rows`, or `tables`; or `error` and its `kind`."""
    try:
        return _unchanged(request, _catalog if request["do"] == "catalog" else _query)
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        kind = "time" if name == "SQLITE_INTERRUPT" else "memory" if name == "SQLITE_NOMEM" else "sql"
        return {"kind": kind, "error": str(error)}
    except (_RefusedError, OSError, UnicodeError, ValueError) as error:
        return {"kind": "refused", "error": str(error)}


class _RefusedError(Exception):
    """The request is not allowed, or the database cannot be read without writing."""


Handler = Callable[[sqlite3.Connection, Mapping[str, Any]], dict[str, Any]]


def _unchanged(request: Mapping[str, Any], handle: Handler) -> dict[str, Any]:
    """Handle a request on the database as it is, without leaving a file beside it.

    A database in WAL mode that nobody has open has no -wal and no -shm file, and opening it read-only would leave both behind. It is opened as
    immutable instead, which takes no locks; if a writer came meanwhile the answer is thrown away and the request handled once more.
    """
    path: str = request["path"]
    for _ in range(3):
        mode = _mode(path)
        before = _stamp(path)
        try:
            connection = _open(path, mode, request["seconds"])
        except sqlite3.OperationalError:
            if mode != "&readonly_shm=1":
                raise
            connection = _open(
                path, "", request["seconds"]
            )  # its writer has just opened it; both files are there
        try:
            reply = handle(connection, request)
        finally:
            connection.close()
        if mode != "&immutable=1" or _stamp(path) == before:
            return reply
    raise _RefusedError("the database kept changing while it was read; ask again")


def _mode(path: str) -> str:
    """Return how to open a file so that no file is made; raises _RefusedError."""
    with open(path, "rb") as file:
        head = file.read(20)
    if len(head) < 20 or head[19] != 2:
        return ""
    if os.path.exists(f"{path}-shm"):
        return "&readonly_shm=1"
    if os.path.exists(f"{path}-wal") and os.path.getsize(f"{path}-wal") > 0:
        raise _RefusedError(
            "the database was left in the middle of a write; open it once with the program that writes it"
        )
    return "&immutable=1"


def _stamp(path: str) -> tuple[int, int, bool]:
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size, os.path.exists(f"{path}-wal")


def _open(path: str, mode: str, seconds: float) -> sqlite3.Connection:
    from urllib.parse import quote

    connection = sqlite3.connect(
        f"file:{quote(path)}?mode=ro{mode}",
        uri=True,
        isolation_level=None,
        timeout=seconds * 0.9,
        cached_statements=0,
    )
    connection.text_factory = lambda data: data.decode("utf-8", "replace")  # pyright: ignore[reportUnknownLambdaType, reportUnknownMemberType]
    for limit, value in (
        (sqlite3.SQLITE_LIMIT_LENGTH, LENGTH),
        (sqlite3.SQLITE_LIMIT_SQL_LENGTH, SQL_LENGTH),
        (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
        (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 200),
        (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 100),
        (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 300),
        (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 0),
        (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
    ):
        connection.setlimit(limit, value)
    for setting in ("query_only=ON", "trusted_schema=OFF", "temp_store=MEMORY", "cell_size_check=ON"):
        connection.execute(f"PRAGMA {setting}")
    connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()  # opened only now
    return connection


def _catalog(connection: sqlite3.Connection, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tables and views there are, with columns and foreign keys."""
    _set_deadline(connection, request["seconds"])
    found: list[dict[str, Any]] = []
    shadow = {row[1].lower() for row in connection.execute("PRAGMA table_list") if row[2] == "shadow"}
    for name, kind in connection.execute(
        "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY rowid"
    ).fetchall():
        if name.lower().startswith("sqlite_"):
            continue
        try:
            columns = connection.execute("SELECT * FROM pragma_table_xinfo(?)", (name,)).fetchall()
            keys = connection.execute("SELECT * FROM pragma_foreign_key_list(?)", (name,)).fetchall()
        except sqlite3.Error:  # a view of a table that is gone
            columns, keys = [], []
        found.append(
            {
                "name": name,
                "kind": "internal" if name.lower() in shadow else kind,
                "columns": [[c[1], c[2], bool(c[3]), bool(c[5]), c[6] == 1] for c in columns],
                "keys": [[k[0], k[2], k[3], k[4]] for k in keys],
            }
        )
    return {"tables": found}


def _query(connection: sqlite3.Connection, request: Mapping[str, Any]) -> dict[str, Any]:
    """Run one statement under the authorizer and return its rows."""
    guard = _Guard(connection, request.get("tables"))
    deadline = _set_deadline(connection, request["seconds"])
    _connect_virtual(connection, guard)
    try:
        if guard.views:
            guard.compile_apart(connection, request["sql"])
        connection.set_authorizer(guard.decide)
        cursor = connection.execute(request["sql"])
        columns = [column[0] for column in cursor.description or ()]
        rows, truncated = _fetch(cursor, request)
    except sqlite3.Error as error:
        if guard.refusal:
            raise _RefusedError(guard.refusal) from error
        if time.monotonic() > deadline and "interrupt" in str(error):
            return {"kind": "time", "error": str(error)}
        raise
    finally:
        connection.set_authorizer(None)
    return {"columns": columns, "rows": rows, "truncated": truncated}


def _connect_virtual(connection: sqlite3.Connection, guard: _Guard) -> None:
    """Have SQLite connect virtual tables that may be read: that looks like an update of the schema to an authorizer, once for each connection."""
    made = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage = 0"
    ).fetchall()
    for name in [*_TABLE_FUNCTIONS, *(name for (name,) in made if name.lower() in guard.grant)]:
        with suppress(sqlite3.Error):  # of a module that this library does not have: the query will say so
            connection.execute(f"SELECT 1 FROM {_quoted(name)} LIMIT 0")


def _set_deadline(connection: sqlite3.Connection, seconds: float) -> float:
    deadline = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _OPCODES)
    return deadline


def _fetch(cursor: sqlite3.Cursor, request: Mapping[str, Any]) -> tuple[list[list[Any]], bool]:
    """Return rows up to the limits, and whether there are more."""
    rows: list[list[Any]] = []
    size = 0
    for row in cursor:
        if len(rows) == request["rows"] or size >= request["bytes"]:
            return rows, True
        sent = [_sent(value, request["cell"]) for value in row]
        size += sum(_size(value) for value in sent)
        rows.append(sent)
    return rows, False


def _sent(value: Any, cell: int | None) -> Any:
    """Return a value as JSON can hold it; blobs and shortened values become objects."""
    if isinstance(value, bytes):
        kept = value if cell is None or len(value) <= cell else value[:cell]
        return {"hex": kept.hex(), "length": len(value)}
    if isinstance(value, str) and cell is not None and len(value) > cell:
        return {"text": value[:cell], "length": len(value)}
    return value


def _size(value: Any) -> int:
    if isinstance(value, dict):
        return 40 + sum(len(part) for part in value.values() if isinstance(part, str))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return len(value) if isinstance(value, str) else 40  # as Python keeps numbers


class _Guard:
    """Decides, action by action, what a statement may do while SQLite compiles it.

    Allowed are SELECT and recursion, functions of the list, and reading what is granted. Names of common table expressions reach `decide` like
    those of tables, so what is refused is every table that really exists and is not granted.

    A granted view may read what it is made of. SQLite says on whose behalf a column is read, but calls a common table expression of the view's
    name by the same name; so a statement is first compiled apart, in an empty database where granted views are tables: whatever it reads of hidden
    tables there, it reads itself.
    """

    def __init__(self, connection: sqlite3.Connection, tables: Mapping[str, list[str] | None] | None) -> None:
        self.kinds: dict[str, str] = dict(
            connection.execute("SELECT lower(name), type FROM sqlite_master WHERE type IN ('table', 'view')")
        )
        modules = {str(row[0]).lower() for row in connection.execute("PRAGMA module_list")}
        self.hidden = (self.kinds.keys() | modules | _EPONYMOUS) - _TABLE_FUNCTIONS
        self.grant: dict[str, Columns] = {"sqlite_master": None, "sqlite_schema": None} | dict.fromkeys(
            self.kinds
        )
        self.views: set[str] = set()
        """Granted views, where not everything is granted."""
        if tables is not None:
            self.grant = {
                name.lower(): None if columns is None else frozenset(c.lower() for c in columns)
                for name, columns in tables.items()
            }
            self.views = {name for name in self.grant if self.kinds.get(name) == "view"}
            self.grant |= dict.fromkeys(self._parts(connection))
        self.apart = False
        self.refusal = ""

    def _parts(self, connection: sqlite3.Connection) -> list[str]:
        """Return the tables in which granted virtual tables, such as full-text indexes, keep what they hold."""
        whole = tuple(f"{name}_" for name, columns in self.grant.items() if columns is None)
        shadows = [
            str(row[1]).lower() for row in connection.execute("PRAGMA table_list") if row[2] == "shadow"
        ]
        return [name for name in shadows if name.startswith(whole)]

    def decide(
        self, action: int, first: str | None, second: str | None, _db: str | None, source: str | None
    ) -> int:
        """See sqlite3.Connection.set_authorizer."""
        match action:
            case sqlite3.SQLITE_SELECT | sqlite3.SQLITE_RECURSIVE:
                return sqlite3.SQLITE_OK
            case sqlite3.SQLITE_FUNCTION if (second or "").lower() in _FUNCTIONS:
                return sqlite3.SQLITE_OK
            case sqlite3.SQLITE_FUNCTION:
                return self._refuse(f"the function {second!r} is not available")
            case sqlite3.SQLITE_READ:
                through_view = (
                    not self.apart and bool(self.views) and self.kinds.get((source or "").lower()) == "view"
                )
                return sqlite3.SQLITE_OK if through_view else self._read(first or "", second or "")
            case sqlite3.SQLITE_PRAGMA if (first, second) == ("data_version", None):
                return sqlite3.SQLITE_OK  # full-text search asks it to see whether its index changed
            case sqlite3.SQLITE_PRAGMA:
                return self._refuse(
                    "PRAGMA is not available; list and describe tables with the tools for that"
                )
            case _:
                return self._refuse("only reading is possible: write one SELECT")

    def _read(self, table: str, column: str) -> int:
        name = table.lower()
        if name.startswith("pragma_"):
            return self._refuse("PRAGMA is not available; list and describe tables with the tools for that")
        if name not in self.grant:
            if name in self.hidden or name.startswith("sqlite_"):
                return self._refuse(f"the table {table!r} is not granted")
            return sqlite3.SQLITE_OK  # a common table expression
        columns = self.grant[name]
        if columns is None or not column or column.lower() in columns:
            return sqlite3.SQLITE_OK
        return self._refuse(
            f"the column {column!r} of {table!r} is not granted; name columns out of: {', '.join(sorted(columns))}"
        )

    def _refuse(self, why: str) -> int:
        self.refusal = self.refusal or why
        return sqlite3.SQLITE_DENY

    def compile_apart(self, connection: sqlite3.Connection, sql: str) -> None:
        """Compile a statement where granted views are tables; raises sqlite3.Error if it names what is not granted."""
        self.apart = True
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as apart:
            for name in sorted(name for name in self.kinds if not name.startswith("sqlite_")):
                columns = connection.execute("SELECT name FROM pragma_table_xinfo(?)", (name,)).fetchall()
                if columns:
                    apart.execute(
                        f"CREATE TABLE {_quoted(name)} ({', '.join(_quoted(c) for (c,) in columns)})"
                    )
            for name in _TABLE_FUNCTIONS:
                apart.execute(f"SELECT 1 FROM {name} LIMIT 0")
            apart.set_authorizer(self.decide)
            apart.execute(f"EXPLAIN {sql}").close()
        self.apart = False


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


if __name__ == "__main__":
    main()
