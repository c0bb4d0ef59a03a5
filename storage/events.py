"""What makes an event the same event, so that a resumed search has the same log as an uninterrupted one.

Events have no id of their own: a search may prune, select or back up twice with equal words and mean it. What tells two of them apart is where they
stand, and the only fixed points of a log are its `told` events, one a request. So an event's key is the content address of

    (the last told request before it, kind, subjects, detail, how many equal ones since then in the same commit),

and a told event's key is its request's id. An event that is written again after a crash finds the same told events before it, gets the same key, and
is the same row; an equal one later in the search stands after another told event and is a new row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection, func, select, update

from ..graph.errors import StoreError
from ..graph.ids import address
from ..graph.ledger import Event, Lease
from .schema import EventRow

TOLD = "told"
FAILED = "failed"
"""A told event of a request that failed, in a unit that was opened again."""


def keyed_events(connection: Connection, lease: Lease, events: Sequence[Event]) -> list[tuple[str, Event]]:
    """Return a commit's events with their keys, in order.

    Raises:
        StoreError: if a told event does not name exactly one request.
    """
    anchor = "" if not events or events[0].kind == TOLD else _last_told(connection, lease, events)
    equal: Counter[str] = Counter()
    keyed: list[tuple[str, Event]] = []
    for event in events:
        if event.kind == TOLD:
            if len(event.subjects) != 1:
                raise StoreError(
                    f"a told event names {len(event.subjects)} requests; it must name exactly one"
                )
            key = anchor = event.subjects[0]
        else:
            content = address("event", anchor, event.kind, event.subjects, dict(event.detail))
            equal[content] += 1
            key = content if equal[content] == 1 else address("event", content, equal[content])
        keyed.append((key, event))
    return keyed


def set_errors_aside(connection: Connection, run: str, problem: str, token: int) -> None:
    """Turn a unit's told events of failed requests into failed ones, under keys of their own: the requests may then be told again.

    Args:
        connection: in a transaction.
        run: of the unit.
        problem: of the unit.
        token: of its last lease, higher at each time.
    """
    unit = (EventRow.run == run) & (EventRow.problem == problem)
    told = select(EventRow.seq, EventRow.key, EventRow.detail).where(unit, EventRow.kind == TOLD)
    for seq, key, detail in connection.execute(told).all():
        if detail.get("error") is not None:
            aside = update(EventRow).where(unit, EventRow.seq == seq)
            connection.execute(aside.values(kind=FAILED, key=address("event", FAILED, key, token)))


def _last_told(connection: Connection, lease: Lease, events: Sequence[Event]) -> str:
    """Return the last request told before these events, "" if there is none; those of a repeated commit do not count."""
    unit = (EventRow.run == lease.run) & (EventRow.problem == lease.problem.id)
    last = select(EventRow.key).where(unit, EventRow.kind == TOLD).order_by(EventRow.seq.desc()).limit(1)
    own = [event.subjects[0] for event in events if event.kind == TOLD and event.subjects]
    if own:
        first_own = select(func.min(EventRow.seq)).where(unit, EventRow.key.in_(own)).scalar_subquery()
        last = last.where(EventRow.seq < func.coalesce(first_own, 2**62))
    return connection.execute(last).scalar() or ""
