"""From records to the rows of a commit: tuples, whose columns are named beside each."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ..graph.ledger import Event, Lease, ModelCall, ToolCall, ToolIntent
from ..graph.records import Evaluation, Thought

Row = tuple[Any, ...]

THOUGHT = (
    *("id", "run", "problem", "operator", "text", "depth", "request", "sample", "count", "terminal"),
    *("answer", "key", "state", "logprob", "tokens", "call", "whole", "nested", "tainted", "created_at"),
)
EDGE = ("child", "position", "parent", "operator")
EVALUATION = (
    *("id", "run", "problem", "thought", "kind", "source", "value"),
    *("error", "text", "rollouts", "successes", "request", "created_at"),
)
MODEL_CALL = (
    *("run", "problem", "id", "request", "kind", "model", "prompt", "parameters", "response"),
    *("error", "prompt_tokens", "completion_tokens", "usd", "seconds", "created_at"),
)
TOOL_CALL = (
    *("run", "problem", "id", "request", "thought", "tool", "arguments"),
    *(
        "result",
        "error",
        "ok",
        "seconds",
        "place",
        "asked",
        "key",
        "usd",
        "bytes",
        "trusted",
        "origin",
        "created_at",
    ),
)
TOOL_INTENT = (
    *("run", "problem", "id", "attempt", "request", "thought", "tool", "arguments", "void", "created_at"),
)
EVENT = ("run", "problem", "key", "kind", "subjects", "detail", "created_at")
"""All but `seq`, which the statement computes from the unit's events so far."""


def thought_rows(lease: Lease, thoughts: Iterable[Thought], now: datetime) -> list[Row]:
    """Return rows of table thought."""
    run, problem = lease.run, lease.problem.id
    return [
        (
            *(
                t.id,
                run,
                problem,
                t.operator.value,
                t.text,
                t.depth,
                t.request,
                t.sample,
                t.count,
                t.terminal,
            ),
            *(t.answer, t.key, t.state, t.logprob, t.tokens, t.call, t.whole, t.nested, t.tainted, now),
        )
        for t in thoughts
    ]


def edge_rows(thoughts: Iterable[Thought]) -> list[Row]:
    """Return rows of table edge: one for each parent of each thought."""
    return [
        (t.id, position, parent, t.operator.value)
        for t in thoughts
        for position, parent in enumerate(t.parents)
    ]


def evaluation_rows(lease: Lease, evaluations: Iterable[Evaluation], now: datetime) -> list[Row]:
    """Return rows of table evaluation."""
    run, problem = lease.run, lease.problem.id
    return [
        (
            *(e.id, run, problem, e.thought, e.kind, e.source, e.value),
            *(e.error, e.text, e.rollouts, e.successes, e.request, now),
        )
        for e in evaluations
    ]


def model_call_rows(lease: Lease, calls: Iterable[ModelCall], now: datetime) -> list[Row]:
    """Return rows of table model_call."""
    run, problem = lease.run, lease.problem.id
    return [
        (
            *(run, problem, c.id, c.request, c.kind, c.model, c.prompt, dict(c.parameters), c.response),
            *(c.error, c.prompt_tokens, c.completion_tokens, c.usd, c.seconds, now),
        )
        for c in calls
    ]


def tool_call_rows(lease: Lease, calls: Iterable[ToolCall], now: datetime) -> list[Row]:
    """Return rows of table tool_call."""
    run, problem = lease.run, lease.problem.id
    return [
        (
            *(run, problem, c.id, c.request, c.thought, c.tool, dict(c.arguments)),
            *(
                c.result,
                c.error,
                c.ok,
                c.seconds,
                c.place,
                c.asked,
                c.key,
                c.usd,
                c.bytes,
                c.trusted,
                c.origin,
                now,
            ),
        )
        for c in calls
    ]


def tool_intent_rows(lease: Lease, intents: Iterable[ToolIntent], now: datetime) -> list[Row]:
    """Return rows of table tool_intent."""
    run, problem = lease.run, lease.problem.id
    return [
        (run, problem, i.id, i.attempt, i.request, i.thought, i.tool, dict(i.arguments), False, now)
        for i in intents
    ]


def event_rows(lease: Lease, keyed: Iterable[tuple[str, Event]], now: datetime) -> list[Row]:
    """Return rows of table event."""
    run, problem = lease.run, lease.problem.id
    return [(run, problem, key, e.kind, e.subjects, dict(e.detail), now) for key, e in keyed]
