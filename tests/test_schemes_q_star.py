"""Q* against values worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from thoughtgraph.graph.records import Evaluation, Operator, Outcome, Request
from thoughtgraph.graph.schemes import make_strategy
from thoughtgraph.graph.strategies.a_star import BestFirst

from .grower import QUESTION, Grower
from .telling import T, ask, grown, key, noted

STEPS = {
    "root": [T("a", 0.8, value=0.6), T("b", 0.4, value=0.9)],
    "a": [T("a1", 0.5, value=0.7), T("a2", 0.9, value=0.2)],
    "b": [T("b1", 0.6, value=0.8), T("b2", 0.3, value=0.5)],
    "a1": [T("a11", 0.6, value=0.3), T("a12", 0.2, value=0.4)],
    "a2": [T("a21", 0.7, value=0.9), T("a22", 0.1, value=0.1)],
}
"""R is the step score, Q̂ the value."""


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        # λ = .5; h(a) = .7, h(b) = .8, h(a1) = .4, h(a2) = .9
        # g(a) = .8, g(b) = .4 in all cases; f(a) = .8 + .35, f(b) = .4 + .4
        # g(a1), g(a2): min(.8, .5), min(.8, .9)
        ("min", {"a": 1.15, "b": 0.8, "a1": 0.5 + 0.2, "a2": 0.8 + 0.45}),
        # max(.8, .5), max(.8, .9)
        ("max", {"a": 1.15, "b": 0.8, "a1": 0.8 + 0.2, "a2": 0.9 + 0.45}),
        # .8 + .5, .8 + .9: a sum may exceed 1
        ("sum", {"a": 1.15, "b": 0.8, "a1": 1.3 + 0.2, "a2": 1.7 + 0.45}),
        ("last", {"a": 1.15, "b": 0.8, "a1": 0.5 + 0.2, "a2": 0.9 + 0.45}),
    ],
)
def test_f_under_the_four_aggregations(aggregation: str, expected: dict[str, float]) -> None:
    strategy = make_strategy("q_star", {"top_k": 2, "lam": 0.5, "aggregation": aggregation})
    selector: Any = strategy.selector  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
    assert isinstance(selector, BestFirst)
    state: Any = strategy.start(QUESTION)
    order: list[str] = []
    for _ in range(5):
        [request], state = strategy.ask(state, 1)
        assert request.n == 2
        order.append(request.subjects[0])
        state = strategy.tell(state, [grown(request, STEPS[request.subjects[0]])])
    # the steps proposed for h are the children: a popped thought costs K = 2 requests, not more
    assert order == ["root", "a", "b", "a1", "a2"]
    tree, front = state.tree, state.memory
    f = {name: selector.f(tree, front, tree.index[name]) for name in expected}
    assert f == pytest.approx(expected)
    # a2 is the best of a2, a1 and b, whatever the aggregation: its children are asked for their steps next
    assert [request.subjects for request in ask(strategy, state, 2)] == [("a21",), ("a22",)]


@pytest.mark.parametrize("k", [1, 3, 8])
def test_q_star_costs_k_requests_a_popped_thought(k: int) -> None:
    strategy = make_strategy("q_star", {"top_k": 3})
    state: Any = strategy.start(QUESTION)
    grower = Grower()
    requests = 0
    while requests < 1 + 3 * 24:
        wave = ask(strategy, state, k)
        state = strategy.tell(state, [grower.do(request) for request in wave])
        requests += len(wave)
    tree = state.tree
    popped = [node for node in range(len(tree)) if any(tree.expansions[c] for c in tree.children(node))]
    # the last wave may end among the children of a thought
    assert 3 * (len(popped) - 1) < requests - 1 <= 3 * len(popped)
    assert len(tree) == 1 + 3 * requests


def test_the_answer_is_the_trajectory_with_the_highest_f() -> None:
    # λ = 1, sum, K = 2, N = 2: x is finished with .9: f = .9 + .9 = 1.8. y has .5, and its steps x' .8, finished, and y2 .3: f = .5 + .8.
    # x is the best of {x, y}: counted. Then y: x' has f = .5 + .8 + .8 = 2.1, the best of all: counted, and over.
    strategy = make_strategy("q_star", {"top_k": 2, "aggregation": "sum", "trajectories": 2})
    state: Any = strategy.start(QUESTION)
    [root] = ask(strategy, state)
    state = strategy.tell(state, [grown(root, [T("x", 0.9, "x"), T("y", 0.5)])])
    [y] = ask(strategy, state)
    assert y.subjects == ("y",)
    state = strategy.tell(state, [grown(y, [T("x'", 0.8, "x'"), T("y2", 0.3)])])
    assert [state.tree.thought[node].id for node in state.memory.complete] == ["x"]
    [y2] = ask(strategy, state)
    state = strategy.tell(state, [grown(y2, [T("z", 0.1, "z")])])
    assert [state.tree.thought[node].id for node in state.memory.complete] == ["x", "x'"]
    assert ask(strategy, state) == []
    # the answer's score is no f, which is beyond 1, but the solution's own
    assert key(strategy, state) == ("x'", 0.8)


def test_a_finished_trajectory_counts_only_when_nothing_better_is_outstanding() -> None:
    # root: x finished .5 (f = 1 with last, λ = 1), a .1, b .1. a's steps are worth 0, b's .95: f(b) = .1 + .95 goes before x.
    strategy = make_strategy("q_star", {"top_k": 3, "aggregation": "last", "trajectories": 1})
    state: Any = strategy.start(QUESTION)
    rows = [T("x", 0.5, "x"), T("a", 0.1), T("b", 0.1)]
    state = strategy.tell(state, [grown(ask(strategy, state)[0], rows)])
    a, b = ask(strategy, state)
    state = strategy.tell(state, [grown(a, [T("a1", 0.0)])])
    assert state.memory.complete == []
    state = strategy.tell(state, [grown(b, [T("b1", 0.95)])])
    assert state.memory.complete == []
    [b1] = ask(strategy, state)
    state = strategy.tell(state, [grown(b1, [T("b11", 0.01)])])  # f(b1) = .95 + .01 < 1
    assert [state.tree.thought[node].id for node in state.memory.complete] == ["x"]
    assert ask(strategy, state) == []


def test_the_next_best_thoughts_fill_a_wave() -> None:
    strategy = make_strategy("q_star", {"top_k": 2})
    state: Any = strategy.start(QUESTION)
    for names in (["root"], ["a", "b"]):
        requests = ask(strategy, state)
        assert [request.subjects[0] for request in requests] == names
        state = strategy.tell(state, [grown(request, STEPS[request.subjects[0]]) for request in requests])
    # a: min .8 + .7, b: .4 + .8
    assert [request.subjects[0] for request in ask(strategy, state)] == ["a1", "a2", "b1", "b2"]


def test_a_state_that_was_reached_before_is_not_searched_again() -> None:
    strategy = make_strategy("q_star", {"top_k": 2})
    state: Any = strategy.start(QUESTION)
    rows = [T("a", 0.8, state="1 2"), T("b", 0.7, state="1 2")]
    state = strategy.tell(state, [grown(ask(strategy, state)[0], rows)])
    assert [request.subjects for request in ask(strategy, state)] == [("a",)]
    state = strategy.tell(state, [grown(state_request(state), [T("c", 0.9, state="1 2"), T("d", 0.1)])])
    assert [request.subjects for request in ask(strategy, state)] == [("d",)]
    assert noted(state, Operator.PRUNE, reason="visited") == ["b"]
    state = strategy.tell(state, [grown(state_request(state), [])])
    assert ask(strategy, state) == []
    assert noted(state, Operator.PRUNE, reason="visited") == ["b", "c"]


def state_request(state: Any) -> Request:
    [request] = state.pending.values()
    return request


def test_a_refuted_thought_does_not_stand_for_its_state() -> None:
    strategy = make_strategy("q_star", {"top_k": 2})
    state: Any = strategy.start(QUESTION)
    [root] = ask(strategy, state)
    told = grown(root, [T("a", 0.8, state="1 2"), T("b", 0.7, state="1 2")])
    wrong = Evaluation("a", "rule", "r", 0.0, request=root.id)
    state = strategy.tell(state, [Outcome(root, told.thoughts, (*told.evaluations, wrong))])
    assert [request.subjects for request in ask(strategy, state)] == [("b",)]


def test_what_nobody_knows_the_worth_of_comes_last() -> None:
    # a's evaluation failed, so g(a) is unknown under min; b is worth little, and goes first all the same
    strategy = make_strategy("q_star", {"top_k": 2})
    state: Any = strategy.start(QUESTION)
    state = strategy.tell(state, [grown(ask(strategy, state)[0], [T("a"), T("b", 0.01)])])
    a, b = ask(strategy, state)
    state = strategy.tell(state, [grown(a, [T("a1", 1.0)]), grown(b, [T("b1", 0.01)])])
    assert [request.subjects for request in ask(strategy, state, 1)] == [("b1",)]
