"""Model calls overlap within one search wherever the scheme allows it; a scheme that does not says why in its row."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest
from searches import make_setup, scripted_steps

from thoughtgraph.agents.models.base import Generation, GenerationCall
from thoughtgraph.agents.models.latency import LatencyModel
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.graph.errors import ModelError
from thoughtgraph.graph.machine import build
from thoughtgraph.graph.records import Budget
from thoughtgraph.graph.schemes import schemes
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runner import Runner

TASK = load_task("text")


class Meeting(LatencyModel):
    """Keeps each call waiting for a second one, so that whether calls overlap does not hang on how busy the machine is."""

    _met: asyncio.Event | None = None
    _waiting = 0

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        """Answer when two calls were in flight once, or after a while."""
        self._met = self._met or asyncio.Event()
        self._waiting += len(calls)
        if self._waiting >= 2:
            self._met.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._met.wait(), 0.3)
        results = await super().generate(calls)
        self._waiting -= len(calls)
        return results


@pytest.mark.parametrize("name", sorted(schemes()))
async def test_calls_overlap_within_a_search(name: str) -> None:
    scheme = schemes()[name]
    model = Meeting(ScriptedModel(scripted_steps), mean=0.02, sigma=0.3)
    store = SqlStore.open(":memory:")
    calls = 6 if scheme.serial else 40
    setup = make_setup(store, name, run="r", model=model, budget=Budget(model_calls=calls), wave=8)
    store.create_run(setup.spec, [TASK.problem("question")])
    machine, host = build(setup)
    [end] = await Runner(machine, host, TASK, "r", {}).search_all(1)
    assert end.error is None
    assert end.usage.model_calls >= 1
    assert model.peak == 1 if scheme.serial else model.peak >= 2
    host.shutdown()
    store.close()
