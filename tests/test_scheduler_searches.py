"""The scheduler under real searches: judgements before new thoughts, routes, and no more searches begun than the model has room for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from searches import make_setup, scripted_steps

from thoughtgraph.agents.models.base import Generation, GenerationCall, Limits, Sampling
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.agents.protocols import Gateway, Judgement, Subject
from thoughtgraph.graph.errors import ModelError
from thoughtgraph.graph.machine import build
from thoughtgraph.graph.records import Budget
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runner import Runner

TASK = load_task("text")


class Busy(ScriptedModel):
    """Answers one call at a time, each after a moment, so that calls queue; keeps what it was asked in order."""

    def __init__(self) -> None:
        super().__init__(scripted_steps, limits=Limits())

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        """Answer after a moment."""
        answers = await super().generate(calls)
        await asyncio.sleep(0.001)
        return answers


class SelfJudge:
    """A verifier that asks the policy itself, and notes how many new thoughts were begun while its call waited."""

    source = "self"

    def __init__(self, model: Busy) -> None:
        self.model = model
        self.overtaken: list[int] = []

    async def verify(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
        """Judge every thought with a call of its own."""
        return [await self._judge(subject, gateway) for subject in subjects]

    async def _judge(self, subject: Subject, gateway: Gateway) -> Judgement:
        prompt, before = f"judge {subject.thought.id}", len(self.model.asked)
        await gateway.generate(self.model, GenerationCall(prompt, Sampling(8)))
        meanwhile = [call.prompt for call in self.model.asked[before:]]
        until = meanwhile[: meanwhile.index(prompt)]
        self.overtaken.append(sum(not str(other).startswith("judge") for other in until))
        return Judgement("value", value=0.5)


async def searched(model: Busy, problems: int, calls: int, judge: SelfJudge | None = None) -> int:
    """Search problems at once, 8 requests in flight each; return how many were open at the same time at most."""
    store = SqlStore.open(":memory:")
    setup = make_setup(store, "mcts", run="r", model=model, budget=Budget(model_calls=calls), wave=8)
    setup = replace(setup, mode="rolling")
    if judge is not None:
        setup = replace(setup, team=replace(setup.team, verifiers=(judge,)))
    store.create_run(setup.spec, [TASK.problem(f"question {i}") for i in range(problems)])
    machine, host = build(setup)
    open_units, most = set[str](), 0

    def note(event: dict[str, Any]) -> None:
        nonlocal most
        if event["event"] == "opened":
            open_units.add(event["problem"])
        if event["event"] == "finished":
            open_units.discard(event["problem"])
        most = max(most, len(open_units))

    ends = await Runner(machine, host, TASK, "r", {}, on_event=note).search_all(problems)
    assert [end.error for end in ends] == [None] * problems
    host.shutdown()
    store.close()
    return most


async def test_a_judge_that_is_the_policy_does_not_wait_behind_new_thoughts() -> None:
    model = Busy()
    judge = SelfJudge(model)
    await searched(model, problems=4, calls=60, judge=judge)
    assert len(judge.overtaken) > 20
    assert max(judge.overtaken) <= 6  # the one under way, and one in eight


async def test_calls_of_a_search_have_its_route() -> None:
    model = Busy()
    await searched(model, problems=3, calls=5)
    routes = {call.route for call in model.asked}
    assert {route.partition("/")[0] for route in routes} == {"r"}
    assert len(routes) == 3


@pytest.mark.slow
async def test_no_more_searches_are_begun_than_the_model_has_room_for() -> None:
    """Without the bound all 30 are open; how many it lets in hangs on how fast their first calls come."""
    assert await searched(Busy(), problems=30, calls=10) < 22
