"""Scores that are no numbers in [0, 1], from every kind of judge: never the best, never a 0, and always with a reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from searches import make_setup

from thoughtgraph.agents.models.base import GenerationCall, Trace
from thoughtgraph.agents.models.scheduler import Scheduler
from thoughtgraph.agents.models.scripted import ScriptedModel, ScriptedScorer
from thoughtgraph.agents.protocols import Gateway, Judgement, Subject
from thoughtgraph.agents.step_generator import StepGenerator
from thoughtgraph.agents.team import Team
from thoughtgraph.agents.verifier import StepScoreVerifier
from thoughtgraph.graph.errors import ModelError
from thoughtgraph.graph.machine import build
from thoughtgraph.storage.read import list_units, unit_graph
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runner import Drain, Runner

BAD: dict[str, Any] = {
    "NaN": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "huge": 1e308,
    "a huge integer": 10**400,
    "negative": -0.25,
    "None": None,
    "a text": "0.9",
    "a complex number": 0.5 + 0j,
}
"""What judges of all kinds have been seen to return."""
TASK = load_task("text")


class Judge:
    """A verifier of the user's own, which says of the answer 13 what it should not."""

    source = "own"

    def __init__(self, bad: Any) -> None:
        self.bad = bad

    async def verify(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
        kind = "outcome"
        return [Judgement(kind, value=self.bad if s.thought.answer == "13" else 0.25) for s in subjects]


def answers(call: GenerationCall) -> list[str]:
    """Half of the solutions end with 13."""
    return ["Answer: 13" if (call.first_sample + i) % 2 else "Answer: 12" for i in range(call.n)]


def scores(bad: Any) -> ScriptedScorer:
    return ScriptedScorer(lambda trace: [bad if "13" in step else 0.25 for step in trace.steps])


def team(judge: str, bad: Any) -> Team:
    generator = StepGenerator(ScriptedModel(answers), TASK.domain)
    scorer = StepScoreVerifier(scores(bad), TASK.domain) if judge == "reward model" else Judge(bad)
    return Team(generator, verifiers=(scorer,))


@pytest.mark.parametrize("judge", ["verifier", "reward model"])
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize(
    ("scheme", "params"),
    [
        ("best_of_n", {"n": 4, "select": "best"}),
        ("beam", {"beams": 4, "width": 2, "repeats": 1}),
        ("mcts", {}),
    ],
    ids=["best_of_n", "beam", "mcts"],
)
async def test_a_score_that_is_none_never_wins_and_says_why(
    scheme: str, params: dict[str, Any], bad: Any, judge: str
) -> None:
    store = SqlStore.open(":memory:")
    setup = replace(make_setup(store, scheme, params, run="r"), team=team(judge, bad))
    problem = TASK.problem("What comes of it?")
    store.create_run(setup.spec, [problem])
    machine, host = build(setup)
    try:
        [end] = await Runner(machine, host, TASK, "r", {}, Drain()).search_all(1)
    finally:
        host.shutdown()
    assert end.answer == "12"
    [unit] = list_units(store.database, "r")
    graph = unit_graph(store.database, "r", unit.problem.id)
    judged = {t.answer: graph.evaluations[t.id] for t in graph.thoughts.values() if t.answer is not None}
    assert {e.value for e in judged["12"]} == {0.25}
    assert {e.value for e in judged["13"]} == {None}
    assert all(e.error for e in judged["13"])
    store.close()


class Scorer(ScriptedScorer):
    """A reward model that returns what it was given for every trace."""

    def __init__(self, given: Any) -> None:
        super().__init__({})
        self.given = given

    async def score(self, traces: Sequence[Trace]) -> list[Any]:
        return [self.given] * len(traces)


@pytest.mark.parametrize("bad", [*([value] for value in BAD.values()), [], [0.5, 0.5], None, 0.5], ids=repr)
async def test_the_scheduler_refuses_what_are_no_scores(bad: Any) -> None:
    scheduler, asked = Scheduler(), Trace("q\n", ("a",))
    with pytest.raises(ModelError, match="scripted-scorer"):
        await scheduler.score(Scorer(bad), asked)
    assert await scheduler.score(Scorer([0.5]), asked) == [0.5]
