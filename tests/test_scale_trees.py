"""Beams and trees at scale: a hundred thousand thoughts, a depth of a thousand, ten thousand children of one thought."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from thoughtgraph.graph.records import Evaluation, Operator, Outcome, Request
from thoughtgraph.graph.schemes import make_strategy
from thoughtgraph.graph.strategies.tree import REFUTED

from .grower import QUESTION, Grower

LARGE: dict[str, dict[str, object]] = {
    "beam": {"beams": 100, "width": 10, "repeats": 10**6},
    "lookahead": {"beams": 40, "width": 4, "lookahead": 3, "repeats": 10**6},
    "dvts": {"beams": 100, "width": 10, "repeats": 10**6},
    "tot_bfs": {"n": 20, "breadth": 10, "repeats": 10**6},
    "tot_dfs": {"n": 10, "solutions": 10**6, "max_expansions": 10**6, "max_depth": 12},
    "q_star": {"top_k": 10, "trajectories": 10**6},
}
DEEP: dict[str, dict[str, object]] = {
    "beam": {"beams": 2, "width": 1, "max_steps": 2000},
    "lookahead": {"beams": 2, "width": 1, "lookahead": 1, "max_steps": 2000},
    "dvts": {"beams": 2, "width": 1, "max_steps": 2000},
    "tot_bfs": {"n": 1, "breadth": 1, "max_steps": 2000},
    "tot_dfs": {"n": 1, "max_depth": 2000, "max_expansions": 2000, "threshold": 0.0},
    "q_star": {"top_k": 1},
}
WIDE: dict[str, dict[str, object]] = {
    "beam": {"beams": 10_000, "width": 10},
    "lookahead": {"beams": 10_000, "width": 10, "lookahead": 1},
    "dvts": {"beams": 10_000, "width": 10_000},
    "tot_bfs": {"n": 10_000, "evaluate": "vote"},
    "tot_dfs": {"n": 10_000, "max_expansions": 10**6},
    "q_star": {"top_k": 10_000},
}


def grow(scheme: str, params: dict[str, object], thoughts: int, grower: Grower, k: int = 64) -> Any:
    strategy = make_strategy(scheme, params, seed=1)
    state: Any = strategy.start(QUESTION)
    while len(state.tree) <= thoughts:
        requests, state = strategy.ask(state, k)
        if not requests:
            break
        for request in requests:
            state = strategy.tell(state, [grower.do(request)])
        state.operations.clear()
    assert strategy.answer(state) is not None
    return state


@pytest.mark.slow
@pytest.mark.parametrize("scheme", LARGE)
def test_a_hundred_thousand_thoughts(scheme: str) -> None:
    state = grow(scheme, LARGE[scheme], 100_000, Grower(finished=53))
    assert len(state.tree) > 100_000
    assert state.tree.terminals


@pytest.mark.parametrize("scheme", LARGE)
def test_memory_per_thought_is_flat(scheme: str) -> None:
    used: list[float] = []
    for thoughts in (1_000, 4_000):
        tracemalloc.start()
        grower = Grower(finished=53)
        state = grow(scheme, LARGE[scheme], thoughts, grower)
        used.append(tracemalloc.get_traced_memory()[0] / len(state.tree))
        tracemalloc.stop()
        del state, grower
    assert used[1] < 1.25 * used[0]
    assert used[1] < 3000


@pytest.mark.parametrize("scheme", DEEP)
def test_a_depth_of_a_thousand(scheme: str) -> None:
    state = grow(scheme, DEEP[scheme], 5000, Grower(few=1))
    tree = state.tree
    assert max(tree.depth) >= 1000
    first = tree.children(0)[0]
    strategy = make_strategy(scheme, DEEP[scheme])
    person = Request(Operator.EVALUATE, (tree.thought[first].id,), n=0)
    verdict = Evaluation(tree.thought[first].id, "rule", "person", 0.0)
    state = strategy.tell(state, [Outcome(person, (), (verdict,))])
    below = [first]
    while below:
        node = below.pop()
        assert tree.has(node, REFUTED)
        below.extend(tree.children(node))


@pytest.mark.parametrize("scheme", WIDE)
def test_ten_thousand_children_of_one_thought(scheme: str) -> None:
    state = grow(scheme, WIDE[scheme], 25_000, Grower(few=10))
    assert max(len(state.tree.children(node)) for node in range(100)) == 10_000
    assert len(state.tree) > 10_050
