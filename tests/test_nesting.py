"""Searches inside thoughts: runs of their own, under a share of the outer budget, found again after a stop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from searches import always, digest, make_setup, scripted_steps

from thoughtgraph.agents.models.base import Generation, GenerationCall
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.graph.errors import ModelError, ModelUnavailableError
from thoughtgraph.graph.machine import build
from thoughtgraph.graph.records import Budget, Nested, Outcome, Usage
from thoughtgraph.graph.strategies.expansion import Sampler
from thoughtgraph.graph.strategies.parts import Ask, Pick, TreeState
from thoughtgraph.graph.strategies.search import TreeSearch
from thoughtgraph.graph.strategies.tree import ROOT, Tree
from thoughtgraph.graph.strategies.voting import Vote
from thoughtgraph.storage.read import list_runs, list_units, unit_graph
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runner import Drain, Runner

TASK = load_task("text")


@dataclass(frozen=True)
class Inside:
    """Selects the root for `runs` searches inside thoughts."""

    runs: int
    nested: Nested

    def start(self, tree: Tree) -> set[int]:
        return set()

    def pick(self, state: TreeState[set[int]]) -> Pick | None:
        left = [i for i in range(self.runs) if i not in state.memory]
        if not left:
            return None
        state.memory.add(left[0])
        return Pick((ROOT,), 1, left[0], Ask(horizon="solution", nested=self.nested))

    def told(self, state: TreeState[set[int]], outcome: Outcome, grown: Sequence[int]) -> None:
        state.memory.add(outcome.request.first_sample)

    def refresh(self, state: TreeState[set[int]], node: int) -> None:
        pass


def outer_setup(store: SqlStore, nested: Nested, runs: int = 2, **changes: Any) -> Any:
    strategy = TreeSearch("inside", Inside(runs, nested), Sampler(1), Vote())
    return replace(make_setup(store, run="outer", **changes), strategy=always(strategy))


async def search(setup: Any, drain: Drain | None = None) -> list[Any]:
    setup.store.create_run(setup.spec, [TASK.problem("question")])
    machine, host = build(setup)
    try:
        return await Runner(machine, host, TASK, "outer", {}, drain or Drain()).search_all(1)
    finally:
        host.shutdown()


CHAIN = Nested("self_consistency", (("n", 3), ("block", 1)), share=0.5)


@pytest.mark.parametrize("mode", ["lockstep", "rolling"])
async def test_a_thought_contains_a_run(mode: Any) -> None:
    store = SqlStore.open(":memory:")
    setup = outer_setup(store, CHAIN, budget=Budget(model_calls=20), mode=mode)
    [end] = await search(setup)
    [unit] = list_units(store.database, "outer")
    graph = unit_graph(store.database, "outer", unit.problem.id)
    thoughts = [t for t in graph.thoughts.values() if t.parents]
    assert len(thoughts) == 2
    paid = Usage()
    for thought in thoughts:
        assert thought.whole
        assert thought.nested
        assert store.run(thought.nested).parent == "outer"
        [inner] = list_units(store.database, thought.nested)
        assert inner.result is not None
        assert inner.result.answer == thought.answer
        assert thought.text.splitlines()[-1] == f"Answer: {thought.answer}"
        assert len(unit_graph(store.database, thought.nested, inner.problem.id).thoughts) == 1 + 3 * 3
        paid += inner.result.usage
    assert replace(end.usage, seconds=0.0) == replace(paid, seconds=0.0)
    assert paid.model_calls == 6
    assert [summary.spec.id for summary in list_runs(store.database)] == ["outer"]


async def test_a_question_of_its_own_gives_a_result_of_one_line() -> None:
    store = SqlStore.open(":memory:")
    await search(outer_setup(store, replace(CHAIN, question="what is a part?"), runs=1))
    [unit] = list_units(store.database, "outer")
    [thought] = [
        t for t in unit_graph(store.database, "outer", unit.problem.id).thoughts.values() if t.parents
    ]
    assert not thought.terminal
    assert thought.nested is not None
    [inner] = list_units(store.database, thought.nested)
    assert inner.problem.question == "what is a part?"
    assert inner.result is not None
    assert thought.text == f"what is a part? = {inner.result.answer}"


@pytest.mark.parametrize("mode", ["lockstep", "rolling"])
@pytest.mark.parametrize("calls", [1, 2, 3, 5, 8])
async def test_the_outer_budget_holds(mode: Any, calls: int) -> None:
    store = SqlStore.open(":memory:")
    model = ScriptedModel(scripted_steps)
    setup = outer_setup(
        store, replace(CHAIN, share=1.0), 4, budget=Budget(model_calls=calls), mode=mode, model=model
    )
    [end] = await search(setup)
    assert end.usage.model_calls == len(model.asked) <= calls


class CutModel(ScriptedModel):
    """Fails for good at one call, once."""

    def __init__(self, at: int) -> None:
        super().__init__(scripted_steps)
        self.at = at

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        answers = await super().generate(calls)
        if self.at >= 0 and len(self.asked) > self.at:
            self.at = -1
            raise ModelUnavailableError("the power is out")
        return answers


@pytest.mark.parametrize("at", range(6))
async def test_a_resume_finds_the_inner_run_and_pays_nothing_twice(at: int) -> None:
    whole = SqlStore.open(":memory:")
    await search(outer_setup(whole, CHAIN, wave=1))
    store, model = SqlStore.open(":memory:"), CutModel(at)
    with pytest.raises(ModelUnavailableError):
        await search(outer_setup(store, CHAIN, model=model, wave=1))
    await search(outer_setup(store, CHAIN, model=model, wave=1))
    assert digest(store, "outer") == digest(whole, "outer")
    for thought in digest(whole, "outer")["question"]["thoughts"].values():
        if thought.nested:
            assert digest(store, thought.nested) == digest(whole, thought.nested)
    ids = [call.id(model.name) for call in model.asked]
    assert len(ids) - len(set(ids)) <= 1  # the one that was in flight


async def test_a_drain_reaches_the_inner_search() -> None:
    store, drain = SqlStore.open(":memory:"), Drain()

    class Draining(ScriptedModel):
        async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
            if not drain.requested:
                drain.request()
            await asyncio.sleep(0)
            return await super().generate(calls)

    nested = Nested("self_consistency", (("n", 40), ("block", 1)))
    setup = outer_setup(store, nested, 1, model=Draining(scripted_steps), budget=Budget(model_calls=30))
    ends = await search(setup, drain)
    [end] = ends or await search(replace(setup))
    assert end.answer is not None
