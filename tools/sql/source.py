"""What all databases have in common: tables that are granted, their description, and queries under limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ...graph.errors import ToolError, UserError
from .results import Limits, QueryResult
from .stopping import Stopper

Tables = Sequence[str] | Mapping[str, Sequence[str]]
"""What an operator grants: names of tables, or for each the names of columns (none named: all of them)."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column."""

    name: str
    type: str
    """As the database writes it; "" for none."""
    nullable: bool
    key: bool
    """Whether it belongs to the primary key."""


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns that hold the key of another table's row."""

    columns: tuple[str, ...]
    table: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A table or view that may be read, its granted columns only."""

    name: str
    """As a query writes it, unquoted; with its schema where that is not the default."""
    kind: str
    """`table` or `view`."""
    columns: tuple[Column, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()
    schema: str = ""
    """Its schema, where `name` begins with that."""


class Source(Protocol):
    """A database that is read. Its methods block and may be called from several threads."""

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name of it, such as `sqlite`."""
        ...

    def check(self) -> None:
        """Make sure that it can be read, and that nothing else can be done to it.

        Raises:
            UserError: if it cannot be reached, would let a query write, or is ThoughtGraph's own store.
        """
        ...

    def tables(self, seconds: float, stopper: Stopper) -> tuple[TableInfo, ...]:
        """Return what may be read; raises ToolError if that takes longer than `seconds`."""
        ...

    def query(self, sql: str, limits: Limits, stopper: Stopper) -> QueryResult:
        """Run one statement that reads; raises ToolError with what the database said."""
        ...


class Grant:
    """Which tables and columns may be read; None is all.

    Args:
        tables: what the operator granted.
        fold: whether names are the same in upper and lower case.

    Raises:
        UserError: if nothing is granted.
    """

    def __init__(self, tables: Tables | None, *, fold: bool) -> None:
        self._fold = fold
        self.tables: dict[str, list[str] | None] | None = None
        """Granted columns by table, None for all of a table's."""
        if tables is None:
            return
        if isinstance(tables, str):
            raise UserError(f"tables is the text {tables!r}; give a list of names: tables=[{tables!r}]")
        if isinstance(tables, Mapping):
            self.tables = {self.key(name): list(columns) or None for name, columns in tables.items()}
        else:
            self.tables = {self.key(name): None for name in tables}
        if not self.tables:
            raise UserError("no table is granted; name one at least, or leave `tables` out to grant them all")

    def key(self, name: str) -> str:
        """Return the name under which a table is looked up."""
        name = name.removeprefix("public.")
        return name.lower() if self._fold else name

    def seen(self, table: TableInfo) -> TableInfo | None:
        """Return what may be seen of a table; None if that is nothing."""
        if self.tables is None:
            return table
        if self.key(table.name) not in self.tables:
            return None
        columns = self.tables[self.key(table.name)]
        if columns is None:
            return table
        allowed = {self._folded(name) for name in columns}
        kept = tuple(column for column in table.columns if self._folded(column.name) in allowed)
        keys = tuple(k for k in table.foreign_keys if {self._folded(c) for c in k.columns} <= allowed)
        return replace(table, columns=kept, foreign_keys=keys)

    def check(self, tables: Sequence[TableInfo]) -> None:
        """Refuse a grant of what does not exist.

        Args:
            tables: all that exist.

        Raises:
            UserError: naming the first such table or column.
        """
        known = {self.key(table.name): table for table in tables}
        for name, columns in (self.tables or {}).items():
            if name not in known:
                raise UserError(f"there is no table {name!r} to grant; the database has: {_listed(known)}")
            names = {self._folded(column.name) for column in known[name].columns}
            for column in columns or ():
                if self._folded(column) not in names:
                    raise UserError(
                        f"the table {name!r} has no column {column!r} to grant; it has: {_listed(names)}"
                    )

    def _folded(self, name: str) -> str:
        return name.lower() if self._fold else name


def _listed(names: Mapping[str, object] | set[str]) -> str:
    return ", ".join(sorted(names)[:50]) or "none"


def stopped(seconds: float) -> ToolError:
    """Return the error of a query that took too long."""
    return ToolError(
        f"the query was stopped after {round(seconds, 1):g} s; make it cheaper: filter early, join on keys, select less"
    )
