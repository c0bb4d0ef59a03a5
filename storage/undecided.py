"""Tool calls of unknown outcome, and what a person says became of them.

Such a call may not be made twice, was about to be made, and nobody recorded how it ended: its process was killed, or its time was over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update

from ..graph.errors import UserError
from ..graph.ledger import Lease, ToolCall
from ..graph.records import Problem
from .database import Database
from .rows import tool_call_rows
from .schema import ToolCallRow, ToolIntentRow
from .statements import statements


@dataclass(frozen=True, slots=True)
class Undecided:
    """A call of unknown outcome."""

    id: str
    run: str
    problem: str
    thought: str
    tool: str
    arguments: Mapping[str, Any]
    request: str
    attempt: int
    begun_at: datetime


def undecided_calls(database: Database, run: str) -> list[Undecided]:
    """Return the calls of a run (a full id) whose outcome is unknown, oldest first.

    One that a process is making just now is among them: nobody else can tell the difference.
    """
    i, t = ToolIntentRow, ToolCallRow
    answered = select(t.id).where(t.run == i.run, t.problem == i.problem, t.id == i.id).exists()
    rows = (
        select(i.id, i.run, i.problem, i.thought, i.tool, i.arguments, i.request, i.attempt, i.created_at)
        .where(i.run == run, ~i.void, ~answered)
        .order_by(i.created_at, i.id)
    )
    with database.reading() as connection:
        return [Undecided(*row) for row in connection.execute(rows)]


def resolve_undecided(database: Database, run: str, prefix: str) -> Undecided:
    """Return the one undecided call of a run whose id starts with `prefix`; raises UserError if there is none, or more than one."""
    found = [call for call in undecided_calls(database, run) if call.id.startswith(prefix)]
    if len(found) != 1:
        what = (
            "several calls of unknown outcome start with" if found else "there is no call of unknown outcome"
        )
        raise UserError(f"{what} {prefix!r} in run {run}; list them with: thoughtgraph calls {run}")
    return found[0]


def decide(
    database: Database, call: Undecided, *, result: str | None = None, error: str | None = None
) -> None:
    """Record what a person says a call came to: a result, or an error; with neither that nothing happened, so that it is made again.

    Raises:
        UserError: if somebody has decided meanwhile.
    """
    if (result, error) == (None, None):
        _void(database, call)
        return
    said = (result if error is None else error) or ""
    row = ToolCall(
        id=call.id,
        request=call.request,
        thought=call.thought,
        tool=call.tool,
        arguments=call.arguments,
        result=result if error is None else None,
        error=error,
        asked=True,
        bytes=len(said.encode()),
        origin="person",
    )
    lease = Lease(call.run, Problem(call.problem, "", ""), 0, "")
    with database.writing() as connection:
        statements(database.dialect).tool_call.execute(
            connection, tool_call_rows(lease, (row,), datetime.now(UTC))
        )


def _void(database: Database, call: Undecided) -> None:
    i = ToolIntentRow
    this = (i.run == call.run, i.problem == call.problem, i.id == call.id, i.attempt == call.attempt)
    with database.writing() as connection:
        if connection.execute(update(i).where(*this, ~i.void).values(void=True)).rowcount == 0:
            raise UserError(
                f"the call {call.id[:12]} was decided meanwhile; see: thoughtgraph calls {call.run}"
            )
