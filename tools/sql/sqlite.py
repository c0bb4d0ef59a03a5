"""A SQLite file that is read, in a helper process that can be killed (`sqlite_worker` says what holds a query back there)."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from itertools import groupby
from typing import Any, cast

from ...graph.errors import ToolError, UserError
from .own import refuse_own_tables
from .processes import WORKERS
from .results import Cut, Limits, QueryResult
from .source import Column, ForeignKey, Grant, TableInfo, Tables, stopped
from .stopping import Stopper

_OPENING_S = 10.0
"""How long a database may take to be looked at for the first time."""


class SqliteSource:
    """See `Source`.

    Args:
        path: the file.
        tables: what of it is granted; None is all.
    """

    dialect = "sqlite"

    def __init__(self, path: str, tables: Tables | None = None) -> None:
        self.path = os.path.abspath(os.path.expanduser(path))
        self._grant = Grant(tables, fold=True)

    def check(self) -> None:
        """See `Source.check`."""
        try:
            kind = os.stat(self.path)
        except OSError as error:
            raise UserError(
                f"cannot read the database {self.path!r} ({error.strerror}); name a SQLite file that exists"
            ) from None
        if not stat.S_ISREG(kind.st_mode) or not os.access(self.path, os.R_OK):
            raise UserError(f"cannot read the database {self.path!r}; name a SQLite file that you may read")
        try:
            found = self._catalog(_OPENING_S, Stopper())
        except ToolError as error:
            raise UserError(
                f"cannot read the database {self.path!r}: {error}; name a SQLite file that no writer keeps locked"
            ) from None
        refuse_own_tables([table.name for table in found], self.path)
        self._grant.check(found)

    def tables(self, seconds: float, stopper: Stopper) -> tuple[TableInfo, ...]:
        """See `Source.tables`."""
        seen = (self._grant.seen(table) for table in self._catalog(seconds, stopper))
        return tuple(table for table in seen if table is not None)

    def query(self, sql: str, limits: Limits, stopper: Stopper) -> QueryResult:
        """See `Source.query`."""
        request = {
            "do": "query",
            "path": self.path,
            "sql": sql,
            "tables": self._grant.tables,
            "rows": limits.rows,
            "bytes": limits.bytes,
            "cell": limits.cell,
        }
        reply = self._ask(request, limits.seconds, stopper)
        rows = tuple(tuple(_value(value, limits.cell) for value in row) for row in reply["rows"])
        return QueryResult(tuple(reply["columns"]), rows, reply["truncated"])

    def _catalog(self, seconds: float, stopper: Stopper) -> list[TableInfo]:
        reply = self._ask({"do": "catalog", "path": self.path}, seconds, stopper)
        return [_table(entry) for entry in reply["tables"] if entry["kind"] != "internal"]

    def _ask(self, request: Mapping[str, Any], seconds: float, stopper: Stopper) -> dict[str, Any]:
        reply = WORKERS.ask(request, seconds, stopper)
        if "error" not in reply:
            return reply
        if reply["kind"] == "time":
            raise stopped(seconds)
        if reply["kind"] == "memory":
            raise ToolError("the query needs too much memory; select, sort or collect less")
        raise ToolError(f"SQLite refused: {reply['error']}" if reply["kind"] == "sql" else reply["error"])


def _value(value: Any, cell: int | None) -> Any:
    """Return a value that the worker sent, with blobs and shortened cells as what they are."""
    if not isinstance(value, dict):
        return value
    sent = cast("dict[str, Any]", value)
    if "text" in sent:
        return Cut(sent["text"], sent["length"])
    data = bytes.fromhex(sent["hex"])
    return data if cell is None or len(data) == sent["length"] else Cut(data, sent["length"])


def _table(entry: Mapping[str, Any]) -> TableInfo:
    columns = tuple(
        Column(name, kind, nullable=not (required or key), key=key)
        for name, kind, required, key, hidden in entry["columns"]
        if not hidden
    )
    keys = tuple(_foreign_key(list(parts)) for _, parts in groupby(entry["keys"], key=lambda key: key[0]))
    return TableInfo(entry["name"], entry["kind"], columns, keys)


def _foreign_key(parts: list[Any]) -> ForeignKey:
    """Return a foreign key from its columns; what it points to is the other table's key where no column is named."""
    return ForeignKey(
        tuple(column for _, _, column, _ in parts),
        parts[0][1],
        tuple(target for _, _, _, target in parts if target),
    )
