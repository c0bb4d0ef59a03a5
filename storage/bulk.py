"""Many rows in few statements: the inserts of the hot path.

SQLite: one statement holds up to `_MOST` rows. The driver gives up Python's lock for every execution and waits to have it back while the searches
compute, so rows executed one by one would cost a search thread's time slice each. Values go through their columns' types here as everywhere, a column at
a time. PostgreSQL: the driver sends many rows at once by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Insert
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeEngine

from .rows import Row
from .sanitise import dump_json, sanitise
from .types import CleanJson, CleanText, Timestamp

_MOST = 256
"""Rows in one statement; a power of two."""


class Bulk:
    """An insert of many rows, each a tuple of values."""

    def __init__(
        self,
        parameters: Sequence[str],
        types: Sequence[TypeEngine[Any]],
        one: Insert,
        many: Callable[[str], str],
    ) -> None:
        """Prepare it.

        Args:
            parameters: names of the values of a row in `one`.
            types: of the values.
            one: the statement for one row: for PostgreSQL.
            many: makes SQLite's statement, given `(?, …), (?, …)`.
        """
        self._parameters = parameters
        self._one, self._many = one, many
        self._takers = [_taker(kind) for kind in types]
        self._texts: dict[int, str] = {}
        """Statements by number of rows, a power of two, so that the driver finds them prepared."""

    def execute(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Execute it; no rows are fine."""
        if not rows:
            return
        if connection.dialect.name == "postgresql":
            connection.execute(self._one, [dict(zip(self._parameters, row, strict=True)) for row in rows])
            return
        columns = zip(*rows, strict=True)
        taken = [take(column) for take, column in zip(self._takers, columns, strict=True)]
        values = list(zip(*taken, strict=True))
        for start, end in _chunks(len(values)):
            connection.exec_driver_sql(self._text(end - start), tuple(chain.from_iterable(values[start:end])))

    def _text(self, rows: int) -> str:
        text = self._texts.get(rows)
        if text is None:
            row = f"({', '.join('?' * len(self._parameters))})"
            text = self._texts[rows] = self._many(", ".join([row] * rows))
        return text


def _taker(kind: TypeEngine[Any]) -> Callable[[Row], Sequence[Any]]:
    """Return what makes the values of a column of this type such as SQLite's driver takes them."""
    if isinstance(kind, CleanText):
        return _texts
    if isinstance(kind, CleanJson):
        return lambda values: [value if value is None else dump_json(value) for value in values]
    dialect = sqlite.dialect()
    process = kind.dialect_impl(dialect).bind_processor(dialect)
    if process is None:
        return lambda values: values
    if isinstance(kind, Timestamp):
        process = lru_cache(maxsize=4)(process)  # rows of one commit have one
    return lambda values: [process(value) for value in values]


def _texts(values: Row) -> Sequence[str | None]:
    text = "".join([value for value in values if value is not None])
    if text.isascii() and "\x00" not in text:
        return values
    return [value if value is None else sanitise(value) for value in values]


def _chunks(rows: int) -> Iterator[tuple[int, int]]:
    """Yield the bounds of pieces whose lengths are powers of two, long ones first."""
    start, size = 0, _MOST
    while start < rows:
        while size > rows - start:
            size //= 2
        yield start, start + size
        start += size
