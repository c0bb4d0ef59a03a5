"""Searches over solutions and particles that are large, deep or wide: they end in bounded memory and without recursion."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from thoughtgraph.graph.ids import derive_rng
from thoughtgraph.graph.records import Evaluation, Operator, Outcome, Request, Thought
from thoughtgraph.graph.schemes import make_strategy
from thoughtgraph.graph.strategies.tree import ROOT

QUESTION = Thought("root", (), Operator.GENERATE, "question", 0)


class Maker:
    """Answers requests with fresh, scored thoughts, cheaply; keeps nothing but their number."""

    def __init__(self, depth: int = 0) -> None:
        self.made = 0
        self.depth = depth
        """Steps of a chain of steps; 0 for whole solutions."""

    def do(self, request: Request, above: int = 0) -> Outcome:
        if not request.grows:
            first = request.subjects[0]
            p = derive_rng(0, *request.subjects).random()
            return Outcome(request, (), (Evaluation(first, "preference", "j", p, request=request.id),))
        whole = request.horizon == "solution"
        terminal = whole or above + 1 == self.depth
        thoughts: list[Thought] = []
        for sample in range(request.first_sample, request.first_sample + request.n):
            self.made += 1
            name = f"{self.made:020d}"
            answer = str(self.made % 97) if terminal else None
            thoughts.append(
                Thought(
                    name,
                    request.subjects,
                    request.operator,
                    f"thought {name}",
                    above + 1,
                    request=request.id,
                    sample=sample,
                    terminal=terminal,
                    answer=answer,
                    key=answer,
                    whole=whole,
                )
            )
        kind = "value" if whole else "step"
        scores = [Evaluation(t.id, kind, "v", int(t.id) * 7919 % 1000 / 1000) for t in thoughts]
        return Outcome(request, tuple(thoughts), tuple(scores))


def grow(strategy: Any, maker: Maker, thoughts: int, state: Any = None) -> Any:
    """Return the state of a search after so many thoughts, or at its end."""
    state = strategy.start(QUESTION) if state is None else state
    while maker.made < thoughts:
        requests, state = strategy.ask(state, 8)
        if not requests:
            break
        for request in requests:
            above = state.tree.depth[state.tree.index[request.subjects[0]]]
            state = strategy.tell(state, [maker.do(request, above)])
        state.operations.clear()
    assert strategy.answer(state) is not None
    return state


ENDLESS = {
    "ab_mcts_a": {"n": 10**9, "stop_score": None},
    "ab_mcts_m": {"n": 10**9, "stop_score": None},
    "llama_berry": {"n": 10**9, "max_compared": 3},
}


@pytest.mark.parametrize("scheme", ["ab_mcts_a", pytest.param("ab_mcts_m", marks=pytest.mark.slow)])
def test_memory_per_solution_is_flat(scheme: str) -> None:
    used: list[float] = []
    for thoughts in (100, 400):
        tracemalloc.start()
        state = grow(make_strategy(scheme, ENDLESS[scheme]), Maker(), thoughts)
        used.append(tracemalloc.get_traced_memory()[0] / len(state.tree))
        tracemalloc.stop()
        del state
    assert used[1] < 1.25 * used[0]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["ab_mcts_a", "ab_mcts_m"])
def test_a_hundred_thousand_solutions(scheme: str) -> None:
    """Ten made from every one, as they are told. Thompson sampling draws every arm of every node it comes by: going on costs what the width does."""
    strategy, maker = make_strategy(scheme, ENDLESS[scheme]), Maker()
    state = strategy.start(QUESTION)
    request = Request(Operator.GENERATE, ("root",), n=10, horizon="solution", distinct=False)
    node = 0
    while maker.made < 100_000:
        state = strategy.tell(state, [maker.do(request, state.tree.depth[node])])
        state.operations.clear()
        node += 1
        subject = state.tree.thought[node].id
        request = Request(Operator.REFINE, (subject,), n=10, horizon="solution", distinct=False)
    state = grow(strategy, maker, 100_100, state)
    assert state.memory.below[ROOT].n == state.memory.attempts.drawn == len(state.tree) - 1 >= 100_100


@pytest.mark.slow
def test_a_thousand_solutions_ranked_against_each_other() -> None:
    """The published search compares every new solution with all others and ranks all anew: what it pays is quadratic, so this is large for it."""
    state = grow(make_strategy("llama_berry", ENDLESS["llama_berry"]), Maker(), 1000)
    assert len(state.memory.ranked) >= 990
    pairs = sum(len(met) for met in state.memory.preferences.soft.values()) // 2
    assert pairs <= 3 * 1000


@pytest.mark.slow
@pytest.mark.parametrize("resampling", ["multinomial", "systematic"])
def test_a_hundred_thousand_steps_of_particles(resampling: str) -> None:
    params = {"n": 10_000, "resampling": resampling, "sharpness": 50.0, "max_steps": 11}
    state = grow(make_strategy("particle_filter", params), Maker(depth=1000), 10**9)
    assert len(state.tree) == 110_001
    assert sum(state.memory.population().values()) == 10_000


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ENDLESS)
def test_ten_thousand_solutions_of_one_thought(scheme: str) -> None:
    """One request brings them all; the search goes on from there. LLaMA-Berry compares each with one other before."""
    params = {"max_compared": 1} if scheme == "llama_berry" else {}
    strategy, maker = make_strategy(scheme, {**ENDLESS[scheme], **params}), Maker()
    request = Request(Operator.GENERATE, ("root",), n=10_000, horizon="solution", distinct=False)
    state = strategy.tell(strategy.start(QUESTION), [maker.do(request)])
    state = grow(strategy, maker, 10_003, state)
    assert len(state.tree.children(ROOT)) >= 10_000


def test_ten_thousand_children_of_one_thought_are_particles() -> None:
    strategy, maker = make_strategy("particle_filter", {"n": 10_000}), Maker(depth=2)
    state = grow(strategy, maker, 10**9)
    assert len(state.tree.children(ROOT)) == 10_000
    assert strategy.ask(state, 1)[0] == []


@pytest.mark.parametrize(
    "scheme",
    ["ab_mcts_a", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ab_mcts_m", "llama_berry"))],
)
def test_a_thousand_rewritings_of_each_other(scheme: str) -> None:
    strategy, maker = make_strategy(scheme, ENDLESS[scheme]), Maker()
    state = strategy.start(QUESTION)
    subject, operator = "root", Operator.GENERATE
    for depth in range(1000):
        request = Request(operator, (subject,), horizon="solution", distinct=False)
        outcome = maker.do(request, depth)
        state = strategy.tell(state, [outcome])
        subject, operator = outcome.thoughts[0].id, Operator.REFINE
    assert max(state.tree.depth) == 1000
    state = grow(strategy, maker, 1005, state)
    assert state.tree.visits[ROOT] >= 1000


def test_particles_take_a_thousand_steps() -> None:
    state = grow(make_strategy("particle_gibbs", {"n": 3, "max_steps": 1000}), Maker(depth=1000), 10**9)
    assert max(state.tree.depth) == 1000
    assert state.memory.over
