"""One query as a function, for graders that compare what queries give."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import lru_cache

from .opening import open_source
from .results import Limits, QueryResult
from .source import Source
from .statements import check_statement
from .stopping import Stopper

MAX_BYTES = 32 * 1024 * 1024
"""Most bytes of a result, about."""


def run_query(
    url: str, sql: str, *, seconds: float = 10.0, max_rows: int = 10_000, accept: str = ""
) -> QueryResult:
    """Run one query that reads, under the guards of the tool, and return typed values.

    It blocks; `asyncio.to_thread` runs several at once. A PostgreSQL role is checked at the first query of this process only.

    Args:
        url: a path, or SQLAlchemy's URL, of SQLite or PostgreSQL.
        sql: the query.
        seconds: time limit (> 0).
        max_rows: most rows (≥ 1); `truncated` says whether there were more.
        accept: `writer` accepts a PostgreSQL role that can write (`opening.Accept`).

    Raises:
        ToolError: if it is no query, fails or takes too long.
        UserError: if the database cannot be reached, or would let a query write.
    """
    source = _opened(url, accept)
    limits = checked(sql, source, Limits(seconds=seconds, rows=max_rows, bytes=MAX_BYTES, cell=None))
    return source.query(sql, limits, Stopper())


def checked(sql: str, source: Source, limits: Limits) -> Limits:
    """Refuse what is not one query, and return what is left of its limits; raises ToolError."""
    started = time.monotonic()
    check_statement(sql, source.dialect)
    return replace(limits, seconds=max(0.01, limits.seconds - (time.monotonic() - started)))


@lru_cache(maxsize=1024)
def _opened(url: str, accept: str) -> Source:
    return open_source(url, accept=accept)
