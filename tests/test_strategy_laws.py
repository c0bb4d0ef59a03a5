"""The laws of graph/strategies/base.py, over every registered scheme and the variants of its parameters."""

from __future__ import annotations

import inspect
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.records import Evaluation, Operator, Outcome, Request
from thoughtgraph.graph.schemes import make_strategy, schemes
from thoughtgraph.graph.strategies import base
from thoughtgraph.graph.strategies.tree import REFUTED

from .scheme_cases import ORDERLESS, SMALL, VARIANTS
from .search_world import ROOT, World, digest, run

CASES = [(name, SMALL.get(name, {})) for name in schemes()] + [
    (name, {**SMALL.get(name, {}), **params}) for name, params in VARIANTS
]
WORLDS = {
    "easy": World(seed=1),
    "unsolvable": World(seed=2, goal=2.0),
    "hostile": World(seed=3, goal=2.0, failing=0.3, refuting=0.3, dropping=0.2, breaking=0.1),
    "blind": World(seed=4, kinds=()),
    "failing": World(seed=5, failing=1.0),
}
cases = pytest.mark.parametrize(("scheme", "params"), CASES, ids=lambda value: str(value))
worlds = pytest.mark.parametrize("world", WORLDS.values(), ids=list(WORLDS))


def snapshot(state: Any) -> dict[str, object]:
    """Return all that outcomes determine in a state."""
    tree = state.tree
    arrays: dict[str, object] = {
        name: list(getattr(tree, name))
        for name in ("parent", "depth", "count", "visits", "weight", "prior", "expansions", "next_sample")
    }
    nodes = range(len(tree))
    return arrays | {
        "ids": tree.index,
        "flags": bytes(tree.flags),
        "scores": [tree.score(node) for node in nodes],
        "values": [tree.value(node) for node in nodes],
        "paths": [tree.path_score(node, how) for node in nodes for how in ("last", "min", "prod", "mean")],
        "told": state.told,
        "found": state.found,
        "best": state.best,
    }


@cases
@worlds
def test_a_search_ends_and_its_answer_is_never_refuted(
    scheme: str, params: dict[str, object], world: World
) -> None:
    strategy = make_strategy(scheme, params)
    trace = run(strategy, world, limit=3000)
    assert trace.asked[-1] == []
    requests = [request for wave in trace.asked for request in wave]
    assert len(requests) == len(set(requests))
    tree = trace.state.tree
    if trace.answer is None:
        assert len(tree) == 1
    else:
        assert not tree.has(tree.index[trace.answer.thought], REFUTED)
    assert set(tree.index) == {ROOT.id} | {t.id for outcome in trace.told for t in outcome.thoughts}
    assert not state_waits(trace.state)


def state_waits(state: Any) -> bool:
    return bool(state.pending or state.awaited or state.parked or any(state.tree.pending))


@cases
@worlds
def test_telling_twice_adds_nothing(scheme: str, params: dict[str, object], world: World) -> None:
    strategy = make_strategy(scheme, params)
    told = run(strategy, world, limit=30).told
    state = strategy.start(ROOT)
    for index, outcome in enumerate(told):
        state = strategy.tell(state, [outcome])
        before, operations = snapshot(state), len(state.operations)
        state = strategy.tell(state, [outcome, told[index // 2]])
        assert snapshot(state) == before
        assert len(state.operations) == operations


@cases
@worlds
def test_a_replay_rebuilds_the_state(scheme: str, params: dict[str, object], world: World) -> None:
    strategy = make_strategy(scheme, params)
    state = strategy.start(ROOT)
    told: list[Outcome] = []
    for _ in range(12):
        rebuilt = strategy.start(ROOT)
        for outcome in told:
            rebuilt = strategy.tell(rebuilt, [outcome])
        assert snapshot(rebuilt) == snapshot(state)
        assert strategy.answer(rebuilt) == strategy.answer(state)
        again, _ = strategy.ask(rebuilt, 3)
        requests, state = strategy.ask(state, 3)
        assert again == requests
        told += [world.do(request) for request in requests]
        state = strategy.tell(state, told[len(told) - len(requests) :])


@cases
@given(seed=st.integers(0, 2**16), order=st.randoms(use_true_random=False))
@settings(max_examples=12, deadline=None)
def test_outcomes_may_come_in_any_order_even_children_first(
    scheme: str, params: dict[str, object], seed: int, order: random.Random
) -> None:
    world = World(seed=seed, goal=2.0, failing=0.2, refuting=0.2)
    strategy = make_strategy(scheme, params)
    trace = run(strategy, world, limit=25)
    shuffled = list(trace.told)
    order.shuffle(shuffled)
    state = strategy.start(ROOT)
    for outcome in shuffled:
        state = strategy.tell(state, [outcome])
        strategy.answer(state)
    assert set(state.tree.index) == set(trace.state.tree.index)
    assert not state.parked
    # repeats come one after another, never in any order: they share nodes, and the first to come names one
    if scheme in ORDERLESS and "repeats" not in params:
        assert strategy.answer(state) == trace.answer
        asked, _ = strategy.ask(state, 5)
        unshuffled, _ = strategy.ask(replayed(strategy, trace.told), 5)
        assert asked == unshuffled


def replayed(strategy: Any, told: list[Outcome]) -> Any:
    return strategy.tell(strategy.start(ROOT), told)


@cases
@given(order=st.randoms(use_true_random=False))
@settings(max_examples=12, deadline=None)
def test_rolling_arrivals_keep_k_in_flight_and_never_repeat(
    scheme: str, params: dict[str, object], order: random.Random
) -> None:
    world = World(seed=7, goal=2.0, refuting=0.2)
    strategy = make_strategy(scheme, params)
    state = strategy.start(ROOT)
    flight: list[Request] = []
    seen: set[str] = set()
    while len(seen) < 60:
        requests, state = strategy.ask(state, 4)
        assert len(requests) <= 4
        assert not seen & {request.id for request in requests}
        seen |= {request.id for request in requests}
        flight += requests
        assert list(state.pending) == [request.id for request in flight]
        if not flight:
            break
        arrived = flight.pop(order.randrange(len(flight)))
        state = strategy.tell(state, [world.do(arrived)])
    strategy.tell(state, [world.do(request) for request in flight])
    assert not state_waits(state)


@cases
def test_the_same_seed_searches_the_same(scheme: str, params: dict[str, object]) -> None:
    world = WORLDS["hostile"]
    first, second = (run(make_strategy(scheme, params, seed=5), world, limit=40) for _ in range(2))
    assert digest(first.asked, first.answer) == digest(second.asked, second.answer)


def test_nothing_depends_on_the_hash_seed() -> None:
    script = Path(__file__).with_name("search_world.py")
    outputs = [
        subprocess.run(
            [sys.executable, str(script)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "4711")
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) == len(schemes())


@cases
def test_a_budget_that_ends_anywhere_leaves_an_answer(scheme: str, params: dict[str, object]) -> None:
    strategy = make_strategy(scheme, params)
    told = run(strategy, World(seed=9, refuting=0.2), limit=40).told
    state = strategy.start(ROOT)
    assert strategy.answer(state) is None
    living: set[str] = set()
    for outcome in told:
        state = strategy.tell(state, [outcome])
        answer = strategy.answer(state)
        finished = [t for t in state.tree.thought if t.terminal and not refuted(state, t.id)]
        living |= {thought.id for thought in outcome.thoughts}
        if answer is None:
            assert not living
        else:
            assert (answer.text is not None) == bool(finished)
            assert answer.thought in living | {ROOT.id}
            assert strategy.answer(state) == answer


def refuted(state: Any, thought: str) -> bool:
    return state.tree.has(state.tree.index[thought], REFUTED)


@cases
def test_nothing_refuted_or_terminal_is_worked_on(scheme: str, params: dict[str, object]) -> None:
    world, strategy = World(seed=11, goal=2.0, refuting=0.4), make_strategy(scheme, params)
    state = strategy.start(ROOT)
    for _ in range(40):
        requests, state = strategy.ask(state, 2)
        for request in requests:
            if request.operator is Operator.GENERATE:
                for subject in request.subjects:
                    assert not world.thoughts[subject].terminal
                    assert not refuted(state, subject)
        state = strategy.tell(state, [world.do(request) for request in requests])


@cases
def test_a_model_that_always_fails_ends_without_an_answer(scheme: str, params: dict[str, object]) -> None:
    trace = run(make_strategy(scheme, params), World(breaking=1.0), limit=500)
    assert trace.asked[-1] == []
    assert trace.answer is None


@cases
def test_a_rejection_after_the_end_takes_the_answer_back(scheme: str, params: dict[str, object]) -> None:
    world, strategy = World(seed=12, goal=0.5, depth=2), make_strategy(scheme, params)
    trace = run(strategy, world)
    state, answer = trace.state, trace.answer
    rejected: set[str] = set()
    while answer is not None and answer.text is not None and len(rejected) < 5:
        request = Request(Operator.EVALUATE, (answer.thought,), n=0)
        verdict = Evaluation(answer.thought, "rule", "person", 0.0, request=request.id)
        state = strategy.tell(state, [Outcome(request, (), (verdict,))])
        rejected.add(answer.thought)
        answer = strategy.answer(state)
        assert answer is not None
        assert answer.thought not in rejected
        requests, state = strategy.ask(state, 3)
        state = strategy.tell(state, [world.do(r) for r in requests])
    assert rejected


@cases
def test_asking_for_nothing_is_refused(scheme: str, params: dict[str, object]) -> None:
    strategy = make_strategy(scheme, params)
    with pytest.raises(UserError, match="ask for 1 or more"):
        strategy.ask(strategy.start(ROOT), 0)


@pytest.mark.parametrize("scheme", schemes())
def test_the_loop_of_the_documentation_runs(scheme: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = inspect.cleandoc(base.__doc__ or "").splitlines()
    code = [line[4:] for line in lines if line.startswith("    ")]
    assert len(code) == 7
    names = {
        "strategy": make_strategy(scheme, SMALL.get(scheme)),
        "root": ROOT,
        "k": 4,
        "do": World(seed=1).do,
    }
    exec("\n".join(code), names)  # noqa: S102 - the documentation's own code
    assert capsys.readouterr().out.startswith("Answer(thought=")
