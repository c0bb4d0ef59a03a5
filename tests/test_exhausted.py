"""A thought for which the model has nothing left: given up at once, and so again when the record is replayed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hand_made import Hand
from searches import HashVerifier, make_setup

from thoughtgraph.agents.generator import StepGenerator
from thoughtgraph.agents.models.base import Generation, GenerationCall, Sample
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.agents.team import Team
from thoughtgraph.graph.errors import ModelError
from thoughtgraph.graph.machine import build
from thoughtgraph.graph.records import Budget, Operator, Outcome, Request, Thought
from thoughtgraph.storage.read import list_units
from thoughtgraph.storage.replay import recorded_unit
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runner import Runner
from thoughtgraph.tasks.text import TextDomain

STEPS = ("go left", "go right", "go on")
PARAMS: dict[str, Any] = {"branching": 2, "max_expansions": 1000, "widening": 4.0}


def asked(search: Hand, times: int) -> list[str]:
    """Return the subjects of the next requests, each told to have found nothing left."""
    subjects: list[str] = []
    for _ in range(times):
        for request in search.ask():
            subjects.append(request.subjects[0])
            search.tell(Outcome(request, exhausted=True))
    return subjects


def test_an_exhausted_thought_is_not_asked_about_again() -> None:
    search = Hand("mcts", **PARAMS)
    search.grow(search.one(), {"a": 0.4, "b": 0.6})
    subjects = asked(search, 20)
    assert sorted(subjects) == ["a", "b", "root"]
    assert search.ask() == []


def test_a_hotter_request_may_find_more() -> None:
    search = Hand("mcts", **PARAMS, temperature=1.0, heating=0.5)
    search.grow(search.one(), {"a": 0.4, "b": 0.6})
    assert len(asked(search, 20)) == 20


class Finite(ScriptedModel):
    """Draws without replacement from three steps, then has none left."""

    unique = True

    def __init__(self) -> None:
        super().__init__(lambda call: [""] * call.n)
        self.calls = 0

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        self.calls += len(calls)
        return [self._draw(call) for call in calls]

    def _draw(self, call: GenerationCall) -> Generation:
        deep = str(call.prompt).count("go ") >= 2
        left = [text for text in STEPS if text not in call.avoid][: 0 if deep else call.n]
        real = [Sample(text, "stop", 3) for text in left]
        none = [Sample("", "filter", 0, (), (), ())] * (call.n - len(real))
        return Generation((*real, *none), 1)


@pytest.mark.parametrize("wave", [1, 4])
async def test_a_search_ends_when_all_is_drawn_and_is_replayed_so(wave: int) -> None:
    model, domain, store = Finite(), TextDomain(), SqlStore.open(":memory:")
    team = Team(StepGenerator(model, domain, unique=True), verifiers=(HashVerifier(),))
    setup = make_setup(store, "mcts", PARAMS, team=team, run="r", wave=wave, budget=Budget(model_calls=500))
    problem = load_task("text").problem("question")
    store.create_run(setup.spec, [problem])
    machine, host = build(setup)
    [end] = await Runner(machine, host, load_task("text"), "r", {}).search_all(1)
    assert end.error is None
    [unit] = list_units(store.database, "r")
    assert unit.result is not None
    assert unit.result.stopped == "finished"
    recorded = recorded_unit(store.database, "r", problem.id)
    # 1 + 3 + 9 thoughts: each is found exhausted once, the nine at their first call, the others after all three steps
    assert len({o.request.subjects for o in recorded.outcomes if o.exhausted}) == 13
    assert sum(len(o.thoughts) for o in recorded.outcomes) == 12
    again = setup.strategy(0)
    state = again.start(host_root(recorded.outcomes))
    state = again.tell(state, recorded.outcomes)
    assert again.ask(state, 8)[0] == []
    host.shutdown()
    store.close()


def host_root(outcomes: Sequence[Outcome]) -> Any:
    """Return a root with the id that the recorded requests know."""
    first = next(o for o in outcomes if o.thoughts)
    return Thought(first.request.subjects[0], (), Operator.GENERATE, "question", 0)


def test_chains_drawn_before_do_not_keep_a_thought_from_being_expanded() -> None:
    """A search that takes over whole chains, as from the probe of compute_optimal, still expands the root itself."""
    search = Hand("mcts", **PARAMS)
    chain = Request(Operator.GENERATE, ("root",), 1, horizon="answer", distinct=False)
    first = Thought("c1", ("root",), Operator.GENERATE, "a step", 1)
    last = Thought("c2", ("c1",), Operator.GENERATE, "an end", 2, terminal=True, answer="x", key="x")
    search.tell(Outcome(chain, (first, last)))
    request = search.one()
    assert (request.subjects, request.horizon) == (("root",), "step")
