"""Model calls overlap within one search wherever the scheme allows it; a scheme that does not says why in its row."""

from __future__ import annotations

import pytest
from searches import make_setup, scripted_steps

from thoughtgraph.agents.models.latency import LatencyModel
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.graph.machine import build
from thoughtgraph.graph.records import Budget
from thoughtgraph.graph.schemes import schemes
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runner import Runner

TASK = load_task("text")


@pytest.mark.parametrize("name", sorted(schemes()))
async def test_calls_overlap_within_a_search(name: str) -> None:
    slow = LatencyModel(ScriptedModel(scripted_steps), mean=0.004, sigma=0.3)
    store = SqlStore.open(":memory:")
    setup = make_setup(store, name, run="r", model=slow, budget=Budget(model_calls=40), wave=8)
    store.create_run(setup.spec, [TASK.problem("question")])
    machine, host = build(setup)
    [end] = await Runner(machine, host, TASK, "r", {}).search_all(1)
    assert end.error is None
    assert end.usage.model_calls >= 1
    if schemes()[name].serial:
        assert slow.peak == 1
    else:
        assert slow.peak >= 2
    host.shutdown()
    store.close()
