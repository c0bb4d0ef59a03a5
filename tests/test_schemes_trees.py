"""Beams and trees: what all of them keep to, and what their repeats share."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thoughtgraph.graph.schemes import get_scheme, make_strategy
from thoughtgraph.graph.strategies.tree import REFUTED, ROOT

from .cases_trees import SMALL, VARIANTS
from .grower import QUESTION
from .search_world import ROOT as START
from .search_world import World, run
from .telling import T, ask, brief, grown, key


def test_a_repeat_draws_further_samples_and_its_solutions_join_the_vote() -> None:
    # N = 2, M = 1, one round: x .9 and y .6; again: y .6, the same thought, and z .8. y: 2 · .6 = 1.2 of 2.9.
    strategy = make_strategy("beam", {"beams": 2, "width": 1, "repeats": 2})
    state = strategy.start(QUESTION)
    [first] = ask(strategy, state)
    state = strategy.tell(state, [grown(first, [T("x", 0.9, "x"), T("y", 0.6, "y")])])
    [again] = ask(strategy, state)
    assert brief([first, again]) == [(("root",), 2, 0), (("root",), 2, 2)]
    # the second search may come to what the first one found
    assert (first.distinct, again.distinct) == (True, False)
    state = strategy.tell(state, [grown(again, [T("y'", 0.6, "y", text="y"), T("z", 0.8, "z")])])
    assert ask(strategy, state) == []
    assert key(strategy, state) == ("y", pytest.approx(1.2 / 2.9))


@pytest.mark.parametrize("scheme", ["beam", *SMALL])
def test_repeats_go_on_until_nothing_comes(scheme: str) -> None:
    fill = dict(get_scheme(scheme).fill)
    params = {**SMALL.get(scheme, {"beams": 4, "width": 2}), **fill}
    trace = run(make_strategy(scheme, params), World(seed=5, goal=2.0), limit=300)
    assert len(trace.told) >= 300
    assert trace.state.memory.repeat > 3
    firsts = [
        outcome.request.first_sample for outcome in trace.told if outcome.request.subjects == (START.id,)
    ]
    assert firsts == sorted(set(firsts))
    dead = run(make_strategy(scheme, params), World(breaking=1.0))
    assert len(dead.told) <= 4
    assert dead.asked[-1] == []


@pytest.mark.parametrize("scheme", ["tot_dfs", "q_star"])
def test_a_search_without_a_bound_ends_when_its_tree_does(scheme: str) -> None:
    params = {**SMALL[scheme], **get_scheme(scheme).fill, "repeats": 1}
    if scheme == "tot_dfs":
        params["threshold"] = 0.0
    trace = run(make_strategy(scheme, params), World(seed=5, refuting=0.1), limit=5000)
    assert trace.asked[-1] == []
    tree = trace.state.tree
    open_ = [n for n in range(len(tree)) if not tree.thought[n].terminal and not tree.expansions[n]]
    states = {tree.thought[n].state for n in range(len(tree)) if tree.expansions[n]}
    # what was not continued is refuted, or repeats a state (q_star), or is a copy of a sibling's (tot_dfs: worth 0, but not pruned)
    assert all(
        tree.has(n, REFUTED) or (scheme == "q_star" and tree.thought[n].state in states) for n in open_
    )


CASES = [(name, params) for name, params in SMALL.items()] + [
    (name, {**SMALL.get(name, {"beams": 6, "width": 2}), **params}) for name, params in VARIANTS
]
cases = pytest.mark.parametrize(("scheme", "params"), CASES, ids=str)


@cases
@given(order=st.randoms(use_true_random=False))
@settings(max_examples=8, deadline=None)
def test_the_order_of_arrival_within_a_stage_changes_nothing(
    scheme: str, params: dict[str, object], order: random.Random
) -> None:
    def search(
        shuffle: Callable[[list[Any]], None],
    ) -> tuple[list[list[str]], tuple[str | None, float | None]]:
        world = World(seed=13, goal=2.0, failing=0.2, refuting=0.2, dropping=0.1)
        strategy = make_strategy(scheme, {**params, "merge_states": False})
        state: Any = strategy.start(START)
        asked: list[list[str]] = []
        while requests := ask(strategy, state):
            asked.append(
                [f"{r.action} {[world.digits[s] for s in r.subjects]} {r.first_sample}" for r in requests]
            )
            outcomes = [world.do(request) for request in requests]
            shuffle(outcomes)
            for outcome in outcomes:
                state = strategy.tell(state, [outcome])
        answer = strategy.answer(state)
        assert answer is not None
        return asked, (answer.text, answer.score)

    assert search(order.shuffle) == search(lambda outcomes: None)


def test_every_judgement_is_asked_for_once() -> None:
    for name, params in CASES:
        trace = run(make_strategy(name, params), World(seed=6, goal=2.0), k=9)
        asked = Counter(
            (subject, outcome.request.first_sample)
            for outcome in trace.told
            if outcome.request.action == "value"
            for subject in outcome.request.subjects
        )
        assert not asked or max(asked.values()) == 1
        assert trace.state.tree.expansions[ROOT] >= 1
