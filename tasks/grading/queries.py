"""Whether two queries give the same: results compared as Spider's execution accuracy does, with differences that are named here.

Like Spider's official evaluation (Zhong et al. 2020, arXiv 2010.02840): rows are a multiset, their order counts only where the reference orders, and columns may come in any order.
Different from it: only an ORDER BY of the outermost query orders (the official one takes any `order by` in the text); numbers are equal to a relative 1e-9 whatever their type,
since sums of floats depend on the order of adding; DISTINCT is never taken out of a query. Different from BIRD's: rows count as often as they come, and columns
may be permuted.
"""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast

from ...graph.errors import ToolError
from ...tools.sql import QueryResult, run_query
from ...tools.sql.statements import parse_statements
from ..base import GradingError

SECONDS = 30.0
"""Time limit of each query."""

MAX_ROWS = 100_000

TOLERANCE = 1e-9
"""Relative difference up to which numbers are equal."""

_NEAR_0 = 1e-12
"""Absolute difference that is none."""

Row = tuple[Any, ...]


def same_result(url: str, gold: str, answer: str) -> tuple[bool, str]:
    """Return whether a query gives what the reference gives, and the reason in one line.

    A query that fails or does not end in time is wrong.

    Raises:
        GradingError: if the reference itself fails, or gives too many rows to compare.
        UserError: if the database cannot be read.
    """
    try:
        wanted = _reference(url, gold)
    except ToolError as error:
        raise GradingError(f"the reference query fails: {error}") from error
    if wanted.truncated:
        raise GradingError(f"the reference query gives more than {MAX_ROWS} rows")
    try:
        given = run_query(url, answer, seconds=SECONDS, max_rows=len(wanted.rows) + 1)
    except ToolError as error:
        return False, " ".join(str(error).split())[:300]
    if given.truncated or len(given.rows) != len(wanted.rows):
        more = "at least " if given.truncated else ""
        return False, f"{more}{len(given.rows)} rows, {len(wanted.rows)} are wanted"
    if len(given.columns) != len(wanted.columns):
        return False, f"{len(given.columns)} columns, {len(wanted.columns)} are wanted"
    ordered = orders(gold, "postgres" if url.startswith("postgres") else "sqlite")
    if equal_rows(wanted.rows, given.rows, ordered=ordered):
        return True, f"the same {len(wanted.rows)} rows"
    return False, f"other rows than the {len(wanted.rows)} wanted"


@lru_cache(maxsize=256)
def _reference(url: str, gold: str) -> QueryResult:
    return run_query(url, gold, seconds=SECONDS, max_rows=MAX_ROWS)


def orders(query: str, dialect: str) -> bool:
    """Return whether a query orders its rows at the outermost level; for one that cannot be parsed, whether it has the words at all."""
    tree = parsed(query, dialect)
    if tree is None:
        return "order by" in " ".join(query.lower().split())
    return tree.args.get("order") is not None


def parsed(query: str, dialect: str) -> Any | None:
    """Return sqlglot's tree of a query; None if it cannot read it, or only with much effort."""
    trees = [tree for tree in parse_statements(query, dialect) or () if tree is not None]
    return trees[0] if len(trees) == 1 else None


def equal_rows(wanted: Sequence[Row], given: Sequence[Row], *, ordered: bool) -> bool:
    """Return whether two results are the same, up to the order of columns, and of rows unless they are `ordered`."""
    if len(wanted) != len(given):
        return False
    if not wanted:
        return True
    width = len(wanted[0])
    if any(len(row) != width for row in (*wanted, *given)):
        return False
    numbers = _clusters(cell for row in (*wanted, *given) for cell in row)
    left = [tuple(_token(cell, numbers) for cell in row) for row in wanted]
    right = [tuple(_token(cell, numbers) for cell in row) for row in given]
    return _matches(left, right, ordered)


def _matches(
    left: Sequence[tuple[Hashable, ...]], right: Sequence[tuple[Hashable, ...]], ordered: bool
) -> bool:
    """Return whether some permutation of the right columns gives the left rows: columns are assigned one by one, and what cannot be right is dropped at once."""
    width = len(left[0])

    def columns_agree(chosen: tuple[int, ...]) -> bool:
        first = [row[: len(chosen)] for row in left]
        second = [tuple(row[i] for i in chosen) for row in right]
        return first == second if ordered else Counter(first) == Counter(second)

    stack: list[tuple[int, ...]] = [()]
    while stack:
        chosen = stack.pop()
        if len(chosen) == width:
            return True
        seen: set[tuple[Hashable, ...]] = set()
        for i in reversed(range(width)):  # the last pushed is tried first: columns in their own order
            column = tuple(row[i] for row in right)
            if i not in chosen and column not in seen and columns_agree((*chosen, i)):
                seen.add(column)  # equal columns are one choice
                stack.append((*chosen, i))
    return False


def _clusters(cells: Iterable[Any]) -> dict[Any, int]:
    """Return a number for each numeric value, the same for values within the tolerance; whole numbers of type int are equal only if they are the same."""
    values = {_plain(cell) for cell in cells if _is_number(cell)}
    clusters: dict[Any, int] = {}
    order = sorted(values)
    for i, value in enumerate(order):
        same = i > 0 and _near(order[i - 1], value)
        clusters[value] = clusters[order[i - 1]] if same else len(clusters)
    return clusters


def _near(first: float, second: float) -> bool:
    if isinstance(first, int) and isinstance(second, int):
        return first == second
    try:
        return math.isclose(first, second, rel_tol=TOLERANCE, abs_tol=_NEAR_0)
    except OverflowError:  # a whole number beyond all floats
        return False


def _is_number(cell: Any) -> bool:
    if isinstance(cell, float):
        return math.isfinite(cell)
    return isinstance(cell, int) or (isinstance(cell, Decimal) and cell.is_finite())


def _plain(cell: Any) -> int | float:
    if isinstance(cell, Decimal):
        return int(cell) if cell == cell.to_integral_value() else float(cell)
    return int(cell) if isinstance(cell, bool) else cell


def _token(cell: Any, numbers: dict[Any, int]) -> Hashable:
    """Return what stands for a value: equal values have equal ones. NULL equals NULL only."""
    if cell is None:
        return ("null",)
    if _is_number(cell):
        return ("number", numbers[_plain(cell)])
    if isinstance(cell, datetime.datetime | datetime.date | datetime.time):
        return ("text", cell.isoformat())
    if isinstance(cell, bytes | bytearray | memoryview):
        return ("bytes", bytes(cast("bytes", cell)))
    if isinstance(cell, list | tuple | dict):
        return ("text", repr(cell))  # pyright: ignore[reportUnknownArgumentType]
    return ("text", str(cell))
