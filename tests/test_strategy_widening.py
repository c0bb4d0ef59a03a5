"""Progressive widening and heating: when a thought is sampled again, and how hot."""

from __future__ import annotations

from typing import Any

import pytest

from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.records import Evaluation, Operator, Outcome, Request, Thought
from thoughtgraph.graph.schemes import make_strategy

ROOT = Thought("root", (), Operator.GENERATE, "q", 0)


def one_child(request: Request) -> Outcome:
    """Answer a request for one sample with one child, worth 0.5."""
    thought = Thought(
        f"{request.subjects[0]}.{request.first_sample}",
        request.subjects,
        Operator.GENERATE,
        f"step {request.first_sample}",
        request.subjects[0].count(".") + 1,
        request=request.id,
        sample=request.first_sample,
    )
    return Outcome(request, (thought,), (Evaluation(thought.id, "value", "v", 0.5, request=request.id),))


def requests(rounds: int, **params: Any) -> list[Request]:
    """Search with one sample at a time and return what was asked."""
    strategy = make_strategy("mcts", {"branching": 1, **params}, 0)
    state = strategy.start(ROOT)
    asked: list[Request] = []
    for _ in range(rounds):
        [request], state = strategy.ask(state, 1)
        asked.append(request)
        state = strategy.tell(state, [one_child(request)])
    return asked


def test_a_thought_is_widened_while_its_samples_are_fewer_than_its_visits_call_for() -> None:
    # the root has 1, 2, 3, 4 visits after as many samples; 2·√N is 2, 2.83, 3.46, 4: a fifth sample waits for more visits
    asked = requests(5, max_expansions=9, widening=2.0)
    assert [(r.subjects[0], r.first_sample) for r in asked] == [
        ("root", 0),
        ("root", 1),
        ("root", 2),
        ("root", 3),
        ("root.0", 0),
    ]


def test_without_widening_the_first_child_is_followed() -> None:
    assert [r.subjects[0] for r in requests(3, max_expansions=9)] == ["root", "root.0", "root.0.0"]


def test_max_expansions_bounds_widening() -> None:
    assert [r.subjects[0] for r in requests(3, max_expansions=2, widening=50.0)][:3] == [
        "root",
        "root",
        "root.0",
    ]


def test_heating_raises_the_temperature_of_each_further_expansion() -> None:
    asked = requests(4, max_expansions=9, widening=2.0, temperature=1.0, heating=0.5)
    assert [r.temperature for r in asked] == [1.0, 1.5, 2.0, 2.0]


def test_heating_needs_a_temperature() -> None:
    with pytest.raises(UserError, match="temperature"):
        make_strategy("mcts", {"heating": 0.5}, 0)
