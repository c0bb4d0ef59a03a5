"""From records to the rows of a commit."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ..graph.ledger import Event, Lease, ModelCall, ToolCall
from ..graph.records import Evaluation, Thought

Row = dict[str, Any]


def thought_rows(lease: Lease, thoughts: Iterable[Thought], now: datetime) -> list[Row]:
    """Return rows of table thought."""
    return [
        {
            "id": t.id,
            "run": lease.run,
            "problem": lease.problem.id,
            "operator": t.operator.value,
            "text": t.text,
            "depth": t.depth,
            "request": t.request,
            "sample": t.sample,
            "count": t.count,
            "terminal": t.terminal,
            "answer": t.answer,
            "key": t.key,
            "state": t.state,
            "logprob": t.logprob,
            "tokens": t.tokens,
            "call": t.call,
            "whole": t.whole,
            "nested": t.nested,
            "created_at": now,
        }
        for t in thoughts
    ]


def edge_rows(thoughts: Iterable[Thought]) -> list[Row]:
    """Return rows of table edge: one for each parent of each thought."""
    return [
        {"child": t.id, "position": position, "parent": parent, "operator": t.operator.value}
        for t in thoughts
        for position, parent in enumerate(t.parents)
    ]


def evaluation_rows(lease: Lease, evaluations: Iterable[Evaluation], now: datetime) -> list[Row]:
    """Return rows of table evaluation."""
    return [
        {
            "id": e.id,
            "run": lease.run,
            "problem": lease.problem.id,
            "thought": e.thought,
            "kind": e.kind,
            "source": e.source,
            "value": e.value,
            "error": e.error,
            "text": e.text,
            "rollouts": e.rollouts,
            "successes": e.successes,
            "request": e.request,
            "created_at": now,
        }
        for e in evaluations
    ]


def model_call_rows(lease: Lease, calls: Iterable[ModelCall], now: datetime) -> list[Row]:
    """Return rows of table model_call."""
    return [
        {
            "run": lease.run,
            "problem": lease.problem.id,
            "id": c.id,
            "request": c.request,
            "kind": c.kind,
            "model": c.model,
            "prompt": c.prompt,
            "parameters": dict(c.parameters),
            "response": c.response,
            "error": c.error,
            "prompt_tokens": c.prompt_tokens,
            "completion_tokens": c.completion_tokens,
            "usd": c.usd,
            "seconds": c.seconds,
            "created_at": now,
        }
        for c in calls
    ]


def tool_call_rows(lease: Lease, calls: Iterable[ToolCall], now: datetime) -> list[Row]:
    """Return rows of table tool_call."""
    return [
        {
            "run": lease.run,
            "problem": lease.problem.id,
            "id": c.id,
            "request": c.request,
            "thought": c.thought,
            "tool": c.tool,
            "arguments": dict(c.arguments),
            "result": c.result,
            "error": c.error,
            "ok": c.ok,
            "seconds": c.seconds,
            "created_at": now,
        }
        for c in calls
    ]


def event_rows(lease: Lease, keyed: Iterable[tuple[str, Event]], now: datetime) -> list[Row]:
    """Return rows of table event but for `seq`, which the statement computes from the unit's events so far."""
    return [
        {
            "run": lease.run,
            "problem": lease.problem.id,
            "at_run": lease.run,
            "at_problem": lease.problem.id,
            "key": key,
            "kind": event.kind,
            "subjects": event.subjects,
            "detail": dict(event.detail),
            "created_at": now,
        }
        for key, event in keyed
    ]
