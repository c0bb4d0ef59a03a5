"""One seed, one search: what a scheme does depends on the seed, the problem and the texts, never on the name of the run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from searches import make_setup

from thoughtgraph.graph.ids import derive_seed
from thoughtgraph.graph.machine import build
from thoughtgraph.graph.records import Budget
from thoughtgraph.graph.schemes import make_strategy, schemes
from thoughtgraph.graph.strategies.base import Strategy
from thoughtgraph.storage.read import list_units, unit_graph
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runner import Runner

TASK = load_task("text")
Seen = list[tuple[object, ...]]


async def searched(scheme: str, run: str, question: str = "question") -> tuple[Seen, object]:
    """Search once; return what was thought, runs inside thoughts included by their results, and what came of it."""
    store = SqlStore.open(":memory:")
    setup = make_setup(store, scheme, run=run, seed=7, budget=Budget(model_calls=60))
    problem = TASK.problem(question)
    store.create_run(setup.spec, [problem])
    machine, host = build(setup)
    await Runner(machine, host, TASK, run, {}).search_all(1)
    [unit] = list_units(store.database, run)
    graph = unit_graph(store.database, run, problem.id)
    assert unit.result is not None
    seen: Seen = [(t.depth, t.text, t.sample, t.operator, t.terminal) for t in graph.thoughts.values()]
    usage, result = unit.result.usage, unit.result
    host.shutdown()
    store.close()
    paid = (usage.completion_tokens, usage.model_calls, usage.verifier_calls)
    return sorted(seen, key=repr), (result.status, result.answer, result.score, result.stopped, *paid)


@pytest.mark.parametrize("name", sorted(schemes()))
async def test_a_search_repeats_under_another_name(name: str) -> None:
    assert await searched(name, "one") == await searched(name, "two")


async def test_lots_differ_from_problem_to_problem() -> None:
    seeds: list[int] = []
    store = SqlStore.open(":memory:")
    setup = make_setup(store, run="r", seed=7)

    def noted(seed: int) -> Strategy[Any]:
        seeds.append(seed)
        return make_strategy("mcts", {}, seed)

    setup = replace(setup, strategy=noted)
    problems = [TASK.problem("one"), TASK.problem("two")]
    store.create_run(setup.spec, problems)
    machine, host = build(setup)
    await Runner(machine, host, TASK, "r", {}).search_all(1)
    assert seeds == [derive_seed(7, problem.id) for problem in problems]
    host.shutdown()
    store.close()
