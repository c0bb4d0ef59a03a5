"""The machine inside other programs: as a subgraph, on threads with a checkpointer, streamed, cancelled, failed, restarted."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from searches import digest, make_setup, scripted_steps

from thoughtgraph.agents.models.base import Generation, GenerationCall
from thoughtgraph.agents.models.latency import LatencyModel
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.agents.verifier import StepScoreVerifier
from thoughtgraph.graph.errors import ModelError, ModelUnavailableError
from thoughtgraph.graph.host import Setup
from thoughtgraph.graph.machine import build, recursion_limit
from thoughtgraph.graph.records import Budget, Problem
from thoughtgraph.storage.checkpoints import checkpoint_saver
from thoughtgraph.storage.read import list_runs, list_units
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.assembly import Replacements, assemble
from thoughtgraph.tasks.settings import Settings
from thoughtgraph.tasks.text import TextDomain

CONFIG: Any = {"configurable": {"thread_id": "1"}}
ENDLESS: dict[str, Any] = {"max_expansions": 1000}


class Conversation(TypedDict, total=False):
    """A user's own state; three of its keys are the machine's too."""

    question: str
    answer: str | None
    stopped: str
    reply: str


def parent_of(setup: Setup, saver: Any = None) -> Any:
    """Return a user's graph in which the machine is a node."""
    graph: Any = StateGraph(Conversation)
    graph.add_node("think", build(setup)[0])
    graph.add_node("report", report)
    graph.add_edge(START, "think")
    graph.add_edge("think", "report")
    graph.add_edge("report", END)
    return graph.compile(checkpointer=saver)


def report(state: Conversation) -> Conversation:
    return {"reply": f"{state.get('question')}: {state.get('answer')}"}


def unit_of(store: SqlStore, setup: Setup, question: str = "question") -> dict[str, str]:
    """Create a run of one problem, and return what starts the machine on it."""
    problem = Problem("p", "text", question)
    store.create_run(setup.spec, [problem])
    return {"run": setup.spec.id, "problem": problem.id}


async def whole(mode: Any = "lockstep") -> dict[str, Any]:
    """Return the record of an uninterrupted search of `unit_of`."""
    store = SqlStore.open(":memory:")
    setup = make_setup(store, run="same", mode=mode)
    machine: Any = build(setup)[0]
    await machine.ainvoke(unit_of(store, setup))
    return digest(store, "same")


@pytest.fixture
def memory() -> SqlStore:
    return SqlStore.open(":memory:")


async def test_a_subgraph_answers_each_question_of_a_thread_in_a_run_of_its_own(memory: SqlStore) -> None:
    saver = InMemorySaver()
    parent = parent_of(make_setup(memory), saver)
    for question in ("first", "second"):
        out = await parent.ainvoke({"question": question}, CONFIG)
        assert set(out) == {"question", "answer", "stopped", "reply"}
        assert out["reply"] == f"{question}: {out['answer']}"
    runs = [run.spec.id for run in list_runs(memory.database)]
    asked = {unit.problem.question: unit.status for run in runs for unit in list_units(memory.database, run)}
    assert asked == {"first": "done", "second": "done"}
    largest = max(len(saver.serde.dumps_typed(s.checkpoint)[1]) for s in saver.list(CONFIG))
    assert largest < 8192


async def test_the_parent_streams_the_typed_events_of_the_search_in_order(memory: SqlStore) -> None:
    events: list[dict[str, Any]] = []
    stream = parent_of(make_setup(memory)).astream(
        {"question": "q"}, stream_mode="custom", subgraphs=True, version="v2"
    )
    async for part in stream:
        assert part["ns"][0].startswith("think:")
        events.append(part["data"])
    assert json.loads(json.dumps(events)) == events
    kinds = [event["event"] for event in events]
    waves = (len(kinds) - 2) // 2
    assert waves > 2
    assert kinds == ["opened", *["generated", "updated"] * waves, "finished"]
    [run] = list_runs(memory.database)
    assert {event["run"] for event in events} == {run.spec.id}
    calls = [event["usage"]["model_calls"] for event in events if "usage" in event]
    assert calls == sorted(calls)
    assert calls[-1] == 12
    thoughts = [thought for event in events if event["event"] == "generated" for thought in event["thoughts"]]
    assert len(thoughts) == len(set(thoughts)) == events[-2]["thoughts"] - 1


@pytest.mark.parametrize("mode", ["lockstep", "rolling"])
@pytest.mark.parametrize(("limit", "answered"), [(4, False), (60, True)])
async def test_a_recursion_limit_of_the_parent_ends_the_search_with_the_best_so_far(
    memory: SqlStore, mode: Any, limit: int, answered: bool
) -> None:
    slow = LatencyModel(ScriptedModel(scripted_steps), mean=0.002, sigma=0.5)
    setup = make_setup(memory, params=ENDLESS, mode=mode, model=slow, budget=Budget(model_calls=5000))
    out = await parent_of(setup).ainvoke({"question": "q"}, {"recursion_limit": limit})
    assert out["stopped"] == "budget:steps"
    assert (out["answer"] is not None) == answered
    [run] = list_runs(memory.database)
    [unit] = list_units(memory.database, run.spec.id)
    assert unit.status == "done"


@pytest.mark.parametrize("mode", ["lockstep", "rolling"])
async def test_without_a_limit_of_the_caller_the_budget_ends_the_search_and_not_the_steps(
    memory: SqlStore, mode: Any
) -> None:
    budget = Budget(model_calls=60)
    machine: Any = build(make_setup(memory, params=ENDLESS, budget=budget, mode=mode, wave=1))[0]
    assert machine.config["recursion_limit"] == recursion_limit(budget) < 500
    out = await machine.ainvoke({"question": "q"})
    assert out["stopped"] == "budget:model_calls"


async def test_requests_that_wait_for_budget_wake_the_machine_no_more_often_than_calls_come_back(
    memory: SqlStore,
) -> None:
    slow = LatencyModel(ScriptedModel(scripted_steps), mean=0.003, sigma=0.3)
    worst = 4 * TextDomain.step_tokens
    setup = make_setup(memory, params=ENDLESS, mode="rolling", model=slow, budget=Budget(tokens=2 * worst))
    machine: Any = build(setup, InMemorySaver())[0]
    out = await machine.ainvoke({"question": "q"}, CONFIG)
    assert out["stopped"] == "budget:tokens"
    state = await machine.aget_state(CONFIG)
    assert state.values["step"] <= out["usage"]["model_calls"] + 4


async def test_a_new_question_on_a_thread_leaves_an_unfinished_search_and_starts_another(
    memory: SqlStore,
) -> None:
    setup = make_setup(memory)
    machine: Any = build(setup, InMemorySaver())[0]
    await machine.ainvoke({"question": "old"}, CONFIG, interrupt_after=["generate"])
    await machine.ainvoke({"question": "new"}, CONFIG)
    units = [u for run in list_runs(memory.database) for u in list_units(memory.database, run.spec.id)]
    assert {u.problem.question: u.status for u in units} == {"old": "pending", "new": "done"}


class Mended(ScriptedModel):
    """Cannot be reached at its fifth call."""

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        before = len(self.asked)
        results = await super().generate(calls)
        if before < 5 <= len(self.asked):
            raise ModelUnavailableError("the key is wrong")
        return results


@pytest.mark.parametrize("mode", ["lockstep", "rolling"])
async def test_a_failed_machine_gives_its_search_back_and_resumes_where_it_stopped(
    memory: SqlStore, mode: Any
) -> None:
    setup = make_setup(memory, run="same", mode=mode, model=Mended(scripted_steps))
    machine: Any = build(setup, InMemorySaver())[0]
    with pytest.raises(ModelUnavailableError):
        await machine.ainvoke(unit_of(memory, setup), CONFIG)
    [unit] = list_units(memory.database, "same")
    assert (unit.status, unit.worker) == ("pending", None)
    out = await machine.ainvoke(None, CONFIG)
    assert out["usage"]["model_calls"] == 12
    if mode == "lockstep":
        assert digest(memory, "same") == await whole()


class Gated(ScriptedModel):
    """Answers its first call, and the others once the gate is open."""

    def __init__(self) -> None:
        super().__init__(scripted_steps)
        self.reached, self.gate = asyncio.Event(), asyncio.Event()

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        if self.asked:
            self.reached.set()
            await self.gate.wait()
        return await super().generate(calls)


async def settled(store: SqlStore, status: str) -> None:
    """Wait until the only unit has this status."""
    while [unit.status for unit in list_units(store.database, "same")] != [status]:
        await asyncio.sleep(0.05)


async def test_a_cancelled_machine_pays_for_nothing_more_and_gives_its_search_back(memory: SqlStore) -> None:
    model = Gated()
    setup = make_setup(memory, run="same", model=model)
    machine: Any = build(setup, InMemorySaver())[0]
    search = asyncio.create_task(machine.ainvoke(unit_of(memory, setup), CONFIG))
    await model.reached.wait()
    await asyncio.sleep(0.5)  # until the machine waits in its node `generate`
    search.cancel()
    with pytest.raises(asyncio.CancelledError):
        await search
    await asyncio.wait_for(settled(memory, "pending"), timeout=5)
    model.gate.set()
    await asyncio.sleep(0.1)
    assert len(model.asked) == 1
    await machine.ainvoke(None, CONFIG)
    assert digest(memory, "same") == await whole()


async def test_a_machine_stopped_between_two_nodes_gives_its_search_back_when_its_lease_would_end(
    memory: SqlStore,
) -> None:
    setup = make_setup(memory, run="same", lease_seconds=0.5)
    saver = InMemorySaver()
    first: Any = build(setup, saver)[0]
    await first.ainvoke(unit_of(memory, setup), CONFIG, interrupt_after=["select"])
    assert [unit.status for unit in list_units(memory.database, "same")] == ["leased"]
    await asyncio.wait_for(settled(memory, "pending"), timeout=20)
    second: Any = build(make_setup(memory, run="same"), saver)[0]
    await second.ainvoke(None, CONFIG)
    assert digest(memory, "same") == await whole()


async def test_a_search_that_waits_for_a_slow_model_keeps_its_lease(memory: SqlStore) -> None:
    model = Gated()
    setup = make_setup(memory, run="same", model=model, lease_seconds=1.0, budget=Budget(model_calls=2))
    machine: Any = build(setup)[0]
    search = asyncio.create_task(machine.ainvoke(unit_of(memory, setup)))
    await model.reached.wait()
    await asyncio.sleep(2.5)
    assert memory.claim("same", "another", ttl=60) is None
    model.gate.set()
    out = await search
    assert out["stopped"] == "budget:model_calls"


@pytest.mark.parametrize("node", ["generate", "verify", "update", "select"])
async def test_another_machine_goes_on_from_the_checkpoint_file_of_one_that_is_gone(
    tmp_path: Path, node: str
) -> None:
    path = tmp_path / "store.db"
    store = SqlStore.open(path)
    setup = make_setup(store, run="same")
    start = unit_of(store, setup)
    async with checkpoint_saver(path) as saver:
        machine, host = build(setup, saver)
        first: Any = machine
        await first.ainvoke(start, CONFIG, interrupt_after=[node])
        [unit] = list_units(store.database, "same")
        await host.abandon("same", unit.problem.id)
    store.close()
    store = SqlStore.open(path)
    async with checkpoint_saver(path) as saver:
        second: Any = build(make_setup(store, run="same"), saver)[0]
        out = await second.ainvoke(None, CONFIG)
    assert out["usage"]["model_calls"] == 12
    assert digest(store, "same") == await whole()
    store.close()


async def test_a_search_held_by_a_killed_process_is_taken_over_at_once(memory: SqlStore) -> None:
    gone = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await gone.wait()
    setup = make_setup(memory, run="same")
    start = unit_of(memory, setup)
    host = setup.worker.partition(":")[0]
    dead = replace(setup, worker=f"{host}:{gone.pid}:abcdef")
    lease = memory.claim("same", dead.worker, ttl=600)
    assert lease is not None
    machine: Any = build(setup)[0]
    out = await asyncio.wait_for(machine.ainvoke(start), timeout=20)
    assert out["stopped"] == "budget:model_calls"


async def test_a_result_that_was_recorded_just_before_a_crash_is_returned_by_the_resume(
    memory: SqlStore,
) -> None:
    saver = InMemorySaver()
    setup = make_setup(memory, run="same")
    machine: Any = build(setup, saver)[0]
    done = await machine.ainvoke(unit_of(memory, setup), CONFIG)
    history = [snapshot async for snapshot in machine.aget_state_history(CONFIG)]
    [before] = [snapshot for snapshot in history if snapshot.next == ("finalize",)]
    model = ScriptedModel([])
    again: Any = build(replace(setup, team=make_setup(memory, model=model).team), saver)[0]
    assert await again.ainvoke(None, before.config) == done
    assert model.asked == []


STRICT = """
import asyncio
from pathlib import Path
from langgraph.types import Command
from searches import make_setup
from thoughtgraph.graph.machine import build
from thoughtgraph.storage.checkpoints import checkpoint_saver
from thoughtgraph.storage.store import SqlStore
from langgraph.checkpoint.memory import InMemorySaver

async def main():
    config = {"configurable": {"thread_id": "1"}}
    setup = make_setup(SqlStore.open(":memory:"), review="answer")
    saver = InMemorySaver()
    out = await build(setup, saver)[0].ainvoke({"question": "q"}, config)
    assert "__interrupt__" in out
    machine = build(setup, saver)[0]
    out = await machine.ainvoke(Command(resume="accept"), config)
    values = (await machine.aget_state(config)).values
    assert values["answer"] == out["answer"] is not None
    print("restored", values["status"])

asyncio.run(main())
"""


def test_checkpoints_hold_nothing_that_strict_deserialisation_refuses(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "LANGGRAPH_STRICT_MSGPACK": "true",
        "PYTHONPATH": str(Path(__file__).parent),
        "PYTHONWARNINGS": "error",
    }
    done = subprocess.run(
        [sys.executable, "-c", STRICT], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "restored finished\n", done.stderr


def test_the_shipped_scorer_does_not_judge_what_a_generator_of_the_users_own_proposes() -> None:
    store = SqlStore.open(":memory:")
    own = Replacements(generator=make_setup(store).team.generator)
    team = assemble(Settings(task="text"), store, own).team
    assert not [agent for agent in team.verifiers if isinstance(agent, StepScoreVerifier)]
    assert team.generator is own.generator
