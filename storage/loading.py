"""From rows back to records, a whole unit at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set as AbstractSet
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from ..graph.errors import StoreError
from ..graph.ledger import Event, ModelCall, ToolCall
from ..graph.records import Edge, Evaluation, Operator, Request, Thought
from .schema import EdgeRow, EvaluationRow, EventRow, ModelCallRow, ThoughtRow, ToolCallRow, ToolIntentRow

_T = ToolCallRow
_TOOL_CALL: tuple[Any, ...] = (
    *(_T.id, _T.request, _T.thought, _T.tool, _T.arguments, _T.result, _T.error, _T.ok, _T.seconds),
    *(_T.place, _T.asked, _T.key, _T.usd, _T.bytes, _T.trusted, _T.origin),
)
"""The columns of a `ToolCall`, in the order of its fields."""

_OPERATORS = {operator.value: operator for operator in Operator}


def thoughts_of(connection: Connection, run: str, problem: str) -> list[Thought]:
    """Return the thoughts of a unit, by sample and depth."""
    parents: defaultdict[str, list[str]] = defaultdict(list)
    for edge in edges_of(connection, run, problem):
        parents[edge.child].append(edge.parent)
    t = ThoughtRow
    columns: tuple[Any, ...] = (t.id, t.operator, t.text, t.depth, t.request, t.sample, t.count, t.terminal)
    more = (t.answer, t.key, t.state, t.logprob, t.tokens, t.call, t.whole, t.nested, t.tainted)
    rows = select(*columns, *more).where(t.run == run, t.problem == problem)
    return [
        Thought(id_, tuple(parents.get(id_, ())), _OPERATORS[operator], *rest)
        for id_, operator, *rest in connection.execute(rows.order_by(t.sample, t.depth, t.id))
    ]


def edges_of(connection: Connection, run: str, problem: str) -> list[Edge]:
    """Return the edges of a unit, those of one child by position."""
    rows = (
        select(EdgeRow.parent, EdgeRow.child, EdgeRow.position, EdgeRow.operator)
        .join(ThoughtRow, ThoughtRow.id == EdgeRow.child)
        .where(ThoughtRow.run == run, ThoughtRow.problem == problem)
        .order_by(EdgeRow.child, EdgeRow.position)
    )
    return [
        Edge(parent, child, position, _OPERATORS[operator])
        for parent, child, position, operator in connection.execute(rows)
    ]


def evaluations_of(connection: Connection, run: str, problem: str) -> list[Evaluation]:
    """Return the evaluations of a unit in the order they were written."""
    e = EvaluationRow
    columns: tuple[Any, ...] = (
        e.thought,
        e.kind,
        e.source,
        e.value,
        e.error,
        e.text,
        e.rollouts,
        e.successes,
        e.request,
    )
    rows = select(*columns).where(e.run == run, e.problem == problem).order_by(e.number)
    return [Evaluation(*row) for row in connection.execute(rows)]


def model_calls_of(
    connection: Connection, run: str, problem: str, *conditions: ColumnElement[bool]
) -> list[ModelCall]:
    """Return the model calls of a unit in the order they were written."""
    m = ModelCallRow
    columns: tuple[Any, ...] = (m.id, m.request, m.kind, m.model, m.prompt, m.parameters, m.response, m.error)
    more = (m.prompt_tokens, m.completion_tokens, m.usd, m.seconds)
    rows = select(*columns, *more).where(m.run == run, m.problem == problem, *conditions)
    return [ModelCall(*row) for row in connection.execute(rows.order_by(m.created_at, m.id))]


def untold_calls_of(
    connection: Connection, run: str, problem: str, told: AbstractSet[str]
) -> list[ModelCall]:
    """Return the successful model calls of a unit whose requests are not among `told`."""
    m = ModelCallRow
    rows = select(m.id, m.request).where(m.run == run, m.problem == problem, m.error.is_(None))
    # Told calls are nearly all of them and their responses are long, so only the others are loaded.
    ids = [id_ for id_, request in connection.execute(rows) if request not in told]
    calls: list[ModelCall] = []
    for start in range(0, len(ids), 500):
        calls += model_calls_of(connection, run, problem, m.id.in_(ids[start : start + 500]))
    return calls


def tool_calls_of(connection: Connection, run: str, problem: str) -> list[ToolCall]:
    """Return the tool calls of a unit in the order they were written."""
    t = ToolCallRow
    rows = select(*_TOOL_CALL).outerjoin(ThoughtRow, ThoughtRow.id == t.thought)
    # rows of one commit have one time: those of a path come in its order, those of a thought in theirs
    order = (t.created_at, ThoughtRow.depth, ThoughtRow.sample, t.place, t.id)
    found = connection.execute(rows.where(t.run == run, t.problem == problem).order_by(*order))
    return [ToolCall(*row) for row in found]


def tool_reply_of(connection: Connection, run: str, key: str) -> ToolCall | None:
    """Return an answered tool call of a run by its key; None if there is none."""
    t = ToolCallRow
    rows = select(*_TOOL_CALL).where(t.run == run, t.key == key, t.key != "", t.result.is_not(None)).limit(1)
    found = connection.execute(rows).first()
    return None if found is None else ToolCall(*found)


def attempts_of(connection: Connection, run: str, problem: str) -> tuple[dict[str, int], frozenset[str]]:
    """Return the attempts of calls that may not be made twice and have no outcome: the next one's number, and which are of unknown outcome."""
    i, t = ToolIntentRow, ToolCallRow
    answered = select(t.id).where(t.run == i.run, t.problem == i.problem, t.id == i.id).exists()
    rows = select(i.id, i.attempt, i.void).where(i.run == run, i.problem == problem, ~answered)
    due: dict[str, int] = {}
    unknown: set[str] = set()
    for id_, attempt, void in connection.execute(rows.order_by(i.attempt)):
        due[id_] = attempt + 1
        if not void:
            unknown.add(id_)
    return due, frozenset(unknown)


def events_of(connection: Connection, run: str, problem: str, *kinds: str) -> list[Event]:
    """Return the events of a unit in their order, of these kinds or all."""
    e = EventRow
    rows = select(e.kind, e.subjects, e.detail).where(e.run == run, e.problem == problem).order_by(e.seq)
    if kinds:
        rows = rows.where(e.kind.in_(kinds))
    return [Event(kind, tuple(subjects), detail) for kind, subjects, detail in connection.execute(rows)]


def request_of(event: Event) -> Request:
    """Return the request that a `told` or `asked` event holds in its detail.

    Raises:
        StoreError: if it holds none that this program understands.
    """
    try:
        return Request.from_json(event.detail["request"])
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"a recorded {event.kind} event has no request that this program can read ({error!r}); "
            "resume it with the program that wrote it"
        ) from error
