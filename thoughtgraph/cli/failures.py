"""What failed in a run that went on without it, in lines for a person and as a record: a search would hide it otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .output import line

if TYPE_CHECKING:
    from ..storage.store import SqlStore


def failure_notes(store: SqlStore, run: str, problem: str | None = None) -> list[str]:
    """Return how many requests and judgements of a run, or of one of its problems, failed, and why the last did; a line each, [] if none did."""
    from ..storage.failures import failed_judgements, failed_requests

    requests = failed_requests(store.database, run, problem)
    judgements = failed_judgements(store.database, run, problem)
    went_on = _went_on(store, run, problem) if requests.failed or judgements.failed else ""
    notes: list[str] = []
    if requests.failed:
        what = "1 request" if requests.failed == 1 else f"{requests.failed:,} requests"
        notes.append(line(f"{what} failed{went_on}; the last: {requests.last}"))
    if judgements.failed:
        what = f"{judgements.failed:,} of {judgements.total:,} judgements"
        notes.append(line(f"{what} failed{went_on}; the last: {judgements.last}"))
    return notes


def failure_record(store: SqlStore, run: str) -> dict[str, Any]:
    """Return the same of a run as JSON values."""
    from ..storage.failures import failed_judgements, failed_requests

    kinds = {"requests": failed_requests, "judgements": failed_judgements}
    found = {kind: read(store.database, run) for kind, read in kinds.items()}
    return {kind: {"failed": f.failed, "of": f.total, "last": f.last} for kind, f in found.items()}


def _went_on(store: SqlStore, run: str, problem: str | None) -> str:
    """Return that the searches went on, unless one failed of it."""
    from ..storage.read import list_units, read_unit

    base = store.database
    units = list_units(base, run) if problem is None else [read_unit(base, run, problem)]
    if any(unit.result is not None and unit.result.status == "failed" for unit in units):
        return ""
    return ", the search went on without" if len(units) == 1 else ", the searches went on without"
