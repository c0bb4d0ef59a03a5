"""What commands print: data on stdout, everything else on stderr."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, cast

from ..graph.display_text import cells, clean, shorten
from ..graph.records import Usage


def tell(text: str) -> None:
    """Print a line for the person on stderr."""
    print(text, file=sys.stderr, flush=True)


def line(text: object) -> str:
    """Return text as one line without control characters."""
    return clean(str(text))


def short(text: str, width: int) -> str:
    """Return text as one line of at most `width` terminal cells."""
    return shorten(clean(text), width)


@contextmanager
def only_data(as_json: bool) -> Generator[Callable[[Any], None]]:
    """Keep stdout clean while a command works, and give it a function that prints the record."""
    out = sys.stdout

    def emit(record: Any) -> None:
        print(json.dumps(_clean(record), allow_nan=False), file=out, flush=True)

    if not as_json:
        yield emit
        return
    with redirect_stdout(sys.stderr):
        yield emit


def columns(rows: Sequence[Sequence[object]], header: Sequence[str]) -> str:
    """Return rows as aligned columns of plain text."""
    table = [tuple(header), *(tuple("-" if cell is None else line(cell) for cell in row) for row in rows)]
    widths = [max(cells(row[i]) for row in table) for i in range(len(header))]
    padded = (
        [cell + " " * (width - cells(cell)) for cell, width in zip(row, widths, strict=True)] for row in table
    )
    return "\n".join("  ".join(row).rstrip() for row in padded)


def usage_line(usage: Usage) -> str:
    """Return what was paid, in words."""
    parts = [
        f"{usage.completion_tokens:,} tokens",
        _count(usage.model_calls, "model call"),
        _count(usage.verifier_calls, "verifier call"),
        _count(usage.tool_calls, "tool call"),
        f"{usage.seconds:.1f} s",
    ]
    return ", ".join([*parts, f"${figure(usage.usd, 4)}"] if usage.usd else parts)


def figure(amount: float, decimals: int = 2) -> str:
    """Return an amount (≥ 0) in words: a count as it is, another number with so many decimals, or as many as show two digits of a small one."""
    if isinstance(amount, int):
        return f"{amount:,}"
    if 0.0 < amount < 1.0:
        decimals = max(decimals, 1 - math.floor(math.log10(amount)))
    return f"{amount:,.{decimals}f}"


def remedy(*words: str, db: str | None = None) -> str:
    """Return a command of ours to be typed; the database is named unless the environment names it."""
    named = db and db != os.environ.get("THOUGHTGRAPH_DB")
    return shlex.join(["thoughtgraph", *words, *(["--db", db] if db and named else [])])


def interactive() -> bool:
    """Whether progress may be drawn: a terminal, and neither NO_COLOR nor CI is set."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and not os.environ.get("CI")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _clean(value: Any) -> Any:
    """Return the value with numbers that JSON does not have as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _clean(v) for k, v in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_clean(v) for v in cast("Sequence[Any]", value)]
    return value
