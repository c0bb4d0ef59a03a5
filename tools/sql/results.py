"""What a database answered: typed rows for graders, and the compact table that an agent reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...graph.display_text import clean

CELL = 300
"""Longest cell of a table that an agent reads, in characters."""
_BLOB = 24
"""Longest blob shown in full, in bytes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a query may go."""

    seconds: float = 2.0
    """Wall-clock limit (> 0)."""
    rows: int = 100
    """Most rows fetched (≥ 1)."""
    bytes: int = 20_000
    """Most bytes fetched, about (≥ 1); the row that reaches it is the last."""
    cell: int | None = CELL
    """Longest cell fetched, in characters or bytes: longer ones become `Cut`; None fetches them whole, as typed values."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A cell of which only the beginning was fetched."""

    start: str | bytes
    length: int | None
    """Length of the whole, in characters or bytes, where it is known."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What a query gave."""

    columns: tuple[str, ...]
    """Names, as the database gives them; they may repeat."""
    rows: tuple[tuple[Any, ...], ...]
    """Values as the driver types them, in the order in which the database gave them; None is NULL."""
    truncated: bool
    """Whether there were more rows than these."""


def as_table(result: QueryResult, limits: Limits) -> str:
    """Return a result as lines of cells between bars, at most about `limits.bytes` long, and a mark that says what is left out."""
    if not result.columns:
        return "(no columns)"
    lines = [_line(result.columns)]
    size = len(lines[0].encode())
    for row in result.rows:
        line = _line([_cell(value) for value in row])
        size += len(line.encode()) + 1
        if size > limits.bytes and len(lines) > 1:
            break
        lines.append(line)
    return "\n".join([*lines, *_marks(result, limits, len(lines) - 1)])


def _marks(result: QueryResult, limits: Limits, shown: int) -> Iterator[str]:
    fetched = len(result.rows)
    rows = "row" if shown == 1 else "rows"
    if shown == 0:
        yield "(no rows)"
    elif shown < fetched or (result.truncated and shown < limits.rows):
        least = f"at least {fetched + 1}" if result.truncated else f"{fetched}"
        yield f"[cut off here: {shown} of {least} rows shown, {limits.bytes} bytes are the limit; select less]"
    elif result.truncated:
        yield f"[cut off here: {shown} {rows} shown, there are more; aggregate, filter or page with LIMIT and OFFSET]"
    else:
        yield f"({shown} {rows})"


def _line(cells: Sequence[str]) -> str:
    return " | ".join(clean(cell).replace("|", "\\|") for cell in cells)


def _cell(value: Any) -> str:
    """Return a value as text, shortened; NULL is the word."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case bytes():
            return f"x'{value.hex()}'" if len(value) <= _BLOB else f"<{len(value)} bytes>"
        case Cut(start=bytes()):
            return f"<{value.length} bytes>"
        case Cut():
            more = f"{value.length - len(value.start)} characters more" if value.length else "more"
            return f"{value.start}… [{more}]"
        case _:
            text = str(value)
            return text if len(text) <= CELL else f"{text[:CELL]}… [{len(text) - CELL} characters more]"
