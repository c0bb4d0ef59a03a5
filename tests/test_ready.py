"""Models that take long to start do so before a search is opened, so that its clock does not run meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from thoughtgraph import build_machine
from thoughtgraph.agents.models.base import Generation, GenerationCall, Limits, Trace, make_ready
from thoughtgraph.agents.models.inprocess.vllm_engine import VLLMEngine
from thoughtgraph.agents.models.latency import LatencyModel
from thoughtgraph.agents.models.reuse import Reuse
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.graph.errors import ModelError, ModelUnavailableError
from thoughtgraph.storage.read import UnitSummary, latest_run, list_units
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.base import Item
from thoughtgraph.tasks.crew import Replacements
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runner import Drain
from thoughtgraph.tasks.runs import Summary, Watch, start
from thoughtgraph.tasks.settings import Settings

from .searches import scripted_steps

Start = Callable[[], Awaitable[None]]


async def at_once() -> None:
    """Take no time to start."""


class Engine(ScriptedModel):
    """Has to be started: by `ready`, or by the first call, which is late."""

    def __init__(self, begin: Start = at_once) -> None:
        super().__init__(scripted_steps)
        self._begin = begin
        self.started = 0
        self.late = False

    async def ready(self) -> None:
        if not self.started:
            await self._begin()
            self.started += 1

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        self.late = self.late or not self.started
        return await super().generate(calls)


class ScoringEngine:
    """A scorer that has to be started."""

    name = "scoring"
    limits = Limits()

    def __init__(self) -> None:
        self.started = 0

    async def ready(self) -> None:
        self.started += 1

    async def score(self, traces: Sequence[Trace]) -> list[list[float] | ModelError]:
        return [[0.5] * (1 if trace.newest else len(trace.steps)) for trace in traces]


def units(store: SqlStore) -> list[UnitSummary]:
    return list_units(store.database, latest_run(store.database).id)


async def search(store: SqlStore, model: Engine, watch: Watch | None = None, **own: Any) -> Summary:
    task = load_task("text")
    items = [Item(task.problem(f"What comes of {i}?")) for i in range(3)]
    settings = Settings(task="text", scheme="cot", model=model.name, scorer="none")
    return await start(store, settings, items, own=Replacements(model=model, **own), watch=watch)


async def test_models_are_started_before_a_problem_is_claimed() -> None:
    store, scorer = SqlStore.open(":memory:"), ScoringEngine()
    claimed: list[bool] = []

    async def begin() -> None:
        await asyncio.sleep(0)
        claimed.extend(unit.started_at is not None for unit in units(store))

    model = Engine(begin)
    summary = await search(store, model, scorer=scorer)
    assert claimed == [False, False, False]
    assert (summary.finished, model.started, model.late) == (3, 1, False)
    assert scorer.started


async def test_a_machine_starts_them_before_it_opens_a_search(tmp_path: Any) -> None:
    db = str(tmp_path / "m.db")
    claimed: list[bool] = []

    async def begin() -> None:
        store = SqlStore.open(db)
        claimed.extend(unit.started_at is not None for unit in units(store))
        store.close()

    model = Engine(begin)
    machine: Any = build_machine(model=model, task="text", scheme="cot", db=db)
    await machine.ainvoke({"question": "What comes of it?"})
    assert claimed == [False]
    assert not model.late


async def test_one_that_cannot_start_stops_the_run_and_nothing_was_claimed() -> None:
    async def begin() -> None:
        raise ModelUnavailableError("the engine cannot start: no memory; free some")

    store = SqlStore.open(":memory:")
    with pytest.raises(ModelUnavailableError, match="no memory; free some"):
        await search(store, Engine(begin))
    assert {(unit.status, unit.started_at) for unit in units(store)} == {("pending", None)}


async def test_a_stop_does_not_wait_for_the_start() -> None:
    store, drain, starting = SqlStore.open(":memory:"), Drain(), asyncio.Event()

    async def begin() -> None:
        starting.set()
        await asyncio.Event().wait()

    running = asyncio.ensure_future(search(store, Engine(begin), Watch(drain)))
    await starting.wait()
    drain.request()
    assert (await running).finished == 0
    assert {(unit.status, unit.started_at) for unit in units(store)} == {("pending", None)}
    assert not drain.listeners


async def test_models_in_front_of_others_pass_it_on() -> None:
    inner, scorer, reuse = Engine(), ScoringEngine(), Reuse()
    await make_ready(reuse.model(LatencyModel(inner)), reuse.scorer(scorer), ScriptedModel(["no engine"]))
    assert (inner.started, scorer.started) == (1, 1)


class FakeEngine(VLLMEngine):
    """Runs the part of `VLLMEngine` that is ours, over nothing."""

    def __init__(self, error: str = "") -> None:
        made: Any = self
        made._location, made._failure, made._engine = "base", "", None
        made._users, made._loop, made._thread = set(), None, None
        self.error, self.starts = error, 0

    def _start(self) -> Any:
        self.starts += 1
        if self.error:
            raise RuntimeError(self.error)
        return self

    def shutdown(self) -> None:
        """Stop nothing."""


async def test_the_engine_in_process_starts_once_for_all_and_says_why_it_cannot() -> None:
    engine, one, other = FakeEngine(), object(), object()
    for user in (one, one, other):
        await engine.ready(user)
    assert engine.starts == 1
    await engine.release(one)
    await engine.ready(other)
    assert engine.starts == 1  # kept for the other
    await engine.release(other)
    await engine.ready(one)
    assert engine.starts == 2
    await engine.release(one)
    broken = FakeEngine("no\n  memory")
    for _ in range(2):
        with pytest.raises(ModelUnavailableError, match="vLLM cannot start with 'base': no memory"):
            await broken.ready(one)
    assert broken.starts == 1
    await broken.release(one)
