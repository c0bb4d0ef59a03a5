"""What a resume needs to know of a unit, and what a step-through of a finished one replays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from ..graph.ledger import Event, Recorded
from ..graph.records import Evaluation, Outcome, Thought, Usage
from .database import Database
from .events import TOLD
from .loading import (
    attempts_of,
    evaluations_of,
    events_of,
    request_of,
    thoughts_of,
    tool_calls_of,
    untold_calls_of,
)
from .schema import ModelCallRow

ASKED = "asked"


def recorded_unit(database: Database, run: str, problem: str) -> Recorded:
    """Return what is recorded of a unit; `run` and `problem` are full ids."""
    with database.reading() as connection:
        events = events_of(connection, run, problem, TOLD, ASKED)
        thoughts = thoughts_of(connection, run, problem)
        evaluations = evaluations_of(connection, run, problem)
        told = [event for event in events if event.kind == TOLD]
        known = {event.subjects[0] for event in told}
        calls = untold_calls_of(connection, run, problem, known)
        tools = tool_calls_of(connection, run, problem)
        attempts, unknown = attempts_of(connection, run, problem)
    asked = (event for event in events if event.kind == ASKED and event.subjects[0] not in known)
    return Recorded(
        outcomes=tuple(_outcomes(told, thoughts, evaluations)),
        pending=tuple(request_of(event) for event in asked),
        calls={call.id: call for call in calls},
        tools={call.id: call for call in tools},
        evaluations=tuple(e for e in evaluations if e.request and e.request not in known),
        attempts=attempts,
        unknown=unknown,
        usage=told_usage(told),
    )


def told_usage(told: Iterable[Event]) -> Usage:
    """Return what told requests paid, by the `usage` in their detail; seconds are the largest, as they count from the start."""
    total: dict[str, Any] = Usage().as_dict()
    for event in told:
        usage: dict[str, Any] = event.detail.get("usage") or {}
        for name, paid in usage.items():
            total[name] = max(total[name], paid) if name == "seconds" else total[name] + paid
    return Usage(**total)


def paid_so_far(database: Database, run: str, problem: str) -> Usage:
    """Return what a unit that has not ended paid, by its record (`run` and `problem` are full ids): told requests, and calls of those not told yet."""
    m = ModelCallRow
    calls = select(m.request, m.prompt_tokens, m.completion_tokens, m.usd)
    with database.reading() as connection:
        told = events_of(connection, run, problem, TOLD)
        rows = connection.execute(calls.where(m.run == run, m.problem == problem)).all()
        tools = [c for c in tool_calls_of(connection, run, problem) if c.origin != "refused"]
    known = {event.subjects[0] for event in told}
    untold = [
        Usage(prompt, completion, model_calls=1, usd=usd)
        for request, prompt, completion, usd in rows
        if request not in known
    ]
    untold += [Usage(tool_calls=1, usd=call.usd) for call in tools if call.request not in known]
    return sum(untold, told_usage(told))


def _outcomes(
    told: Iterable[Event], thoughts: Iterable[Thought], evaluations: Iterable[Evaluation]
) -> Iterable[Outcome]:
    thoughts_by_request: defaultdict[str, list[Thought]] = defaultdict(list)
    for thought in thoughts:
        thoughts_by_request[thought.request].append(thought)
    evaluations_by_request: defaultdict[str, list[Evaluation]] = defaultdict(list)
    for evaluation in evaluations:
        evaluations_by_request[evaluation.request].append(evaluation)
    for event in told:
        request = event.subjects[0]
        yield Outcome(
            request_of(event),
            tuple(thoughts_by_request[request]),
            tuple(evaluations_by_request[request]),
            event.detail.get("error"),
            event.detail.get("exhausted", False),
        )
