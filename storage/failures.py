"""What failed in searches that went on without it: requests that came to nothing, and judgements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, func, select

from .database import Database
from .events import TOLD
from .read import nested_runs
from .schema import EvaluationRow, EventRow


@dataclass(frozen=True, slots=True)
class Failures:
    """Of requests or judgements, those that failed."""

    failed: int
    total: int
    """How many there were (≥ `failed`); of judgements, those by the judges that failed at all."""
    last: str | None
    """Why the newest one failed; None if none did."""


def failed_requests(database: Database, run: str, problem: str | None = None) -> Failures:
    """Return which requests of a run, or of one of its problems, by full ids, came to nothing because they failed."""
    e = EventRow
    told = _within(e, [run], problem) & (e.kind == TOLD)
    # the column holds compact JSON, in which most have no error: those are not read, for there may be millions
    perhaps = cast(e.detail, Text).not_like('%"error":null%')
    rows = select(e.detail).where(told, perhaps).order_by(e.created_at, e.problem, e.seq)
    with database.reading() as connection:
        total = connection.execute(select(func.count()).select_from(e).where(told)).scalar_one()
        details: Sequence[Any] = connection.execute(rows).scalars().all()
    errors = [detail["error"] for detail in details if detail.get("error")]
    return Failures(len(errors), total, errors[-1] if errors else None)


def failed_judgements(database: Database, run: str, problem: str | None = None) -> Failures:
    """Return which judgements of a run, those inside its thoughts included, or of one of its problems, by full ids, failed."""
    e = EvaluationRow
    runs = [run] if problem is not None else [run, *nested_runs(database, run)]
    here = _within(e, runs, problem)
    counts = select(func.count(), func.count(e.error)).where(here).group_by(e.source)
    newest = select(e.error).where(here, e.error.is_not(None)).order_by(e.number.desc()).limit(1)
    with database.reading() as connection:
        found = [(total, failed) for total, failed in connection.execute(counts) if failed]
        last = connection.execute(newest).scalar() if found else None
    return Failures(sum(failed for _, failed in found), sum(total for total, _ in found), last)


def _within(
    table: type[EventRow | EvaluationRow], runs: Sequence[str], problem: str | None
) -> ColumnElement[bool]:
    """Return the condition that a row belongs to one of these runs, and to this problem if one is given."""
    inside = table.run.in_(runs)
    return inside if problem is None else inside & (table.problem == problem)
