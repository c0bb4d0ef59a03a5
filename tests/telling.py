"""Outcomes made by hand, for tests that tell a strategy what came of its requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from thoughtgraph.graph.records import Evaluation, EvaluationKind, Operator, Outcome, Request, Thought
from thoughtgraph.graph.schemes import make_strategy

from .grower import QUESTION, Grower


class T(NamedTuple):
    """A thought to be told."""

    name: str
    score: float | None = None
    """Its step score; None: its evaluation failed."""
    key: str | None = None
    """Its answer, which finishes it."""
    value: float | None = None
    """A value of it, by a critic."""
    state: str | None = None
    text: str = ""


def grown(request: Request, rows: Sequence[T | Sequence[T]]) -> Outcome:
    """Answer a request with samples: each a thought, or a chain of thoughts."""
    thoughts: list[Thought] = []
    evaluations: list[Evaluation] = []
    for sample, row in enumerate(rows, start=request.first_sample):
        parents = request.subjects
        for t in [row] if isinstance(row, T) else row:
            made = Thought(
                t.name,
                parents,
                Operator.GENERATE,
                t.text or t.name,
                1,
                request.id,
                sample,
                terminal=t.key is not None,
                answer=t.key,
                key=t.key,
                state=t.state,
            )
            thoughts.append(made)
            failed = "NaN" if t.score is None else None
            evaluations.append(Evaluation(t.name, "step", "v", t.score, failed, request=request.id))
            if t.value is not None:
                evaluations.append(Evaluation(t.name, "value", "c", t.value, request=request.id))
            parents = (t.name,)
    return Outcome(request, tuple(thoughts), tuple(evaluations))


def judged(request: Request, values: Mapping[str, float | None], kind: EvaluationKind = "value") -> Outcome:
    """Answer an evaluation request; None is a reply that cannot be read."""
    made = [
        Evaluation(
            s, kind, "e", values[s], None if values[s] is not None else "unreadable", request=request.id
        )
        for s in request.subjects
    ]
    return Outcome(request, (), tuple(made))


def ask(strategy: Any, state: Any, k: int = 50) -> list[Request]:
    requests, _ = strategy.ask(state, k)
    return requests


def brief(requests: Sequence[Request]) -> list[tuple[tuple[str, ...], int, int]]:
    return [(request.subjects, request.n, request.first_sample) for request in requests]


def exhaust(scheme: str, params: Mapping[str, object], world: Grower) -> list[Outcome]:
    """Search to the end; return what was told."""
    strategy = make_strategy(scheme, params)
    state, told = strategy.start(QUESTION), list[Outcome]()
    while requests := ask(strategy, state):
        outcomes = [world.do(request) for request in requests]
        state = strategy.tell(state, outcomes)
        told += outcomes
    return told


def noted(state: Any, operator: Operator, **detail: object) -> list[str]:
    """Return the first subjects of the operations noted, with these details."""
    return [
        op.subjects[0]
        for op in state.operations
        if op.operator is operator and all(op.detail.get(k) == v for k, v in detail.items())
    ]


def key(strategy: Any, state: Any) -> tuple[str | None, float | None]:
    answer = strategy.answer(state)
    assert answer is not None
    return answer.key, answer.score
