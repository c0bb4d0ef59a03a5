"""Generative verifiers and outcome models as verifiers."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from thoughtgraph.agents.evaluators import YesNoVerifier, evaluators_for
from thoughtgraph.agents.models.base import (
    GenerationCall,
    Message,
    Sample,
    Sampling,
    Trace,
    tells_alternatives,
)
from thoughtgraph.agents.models.codec import generation_from_json, generation_to_json
from thoughtgraph.agents.models.inprocess.hf import HFModel
from thoughtgraph.agents.models.reuse import Reuse
from thoughtgraph.agents.models.scripted import ScriptedModel, ScriptedScorer
from thoughtgraph.agents.verifier import OutcomeChecker, OutcomeScoreVerifier, StepScoreVerifier
from thoughtgraph.agents.verifier_prompted import likelihood_of_yes
from thoughtgraph.graph.errors import UserError
from thoughtgraph.tasks.crew import Models, Replacements, build_team
from thoughtgraph.tasks.settings import Settings

from .agents_world import TEXT, gateway, judged, subject
from .scoring_world import save_model

STEP = subject("3 * 12 = 36")
DONE = subject("3 * 12 = 36", "Answer: 36")
SHORT = Sampling(1, 0.0, alternatives=20)


class Telling(ScriptedModel):
    """A scripted chat model that tells likely first tokens."""

    def __init__(self, *alternatives: tuple[str, float]) -> None:
        told = tuple((text, math.log(share)) for text, share in alternatives)
        super().__init__(lambda call: [Sample("Yes", "length", 1, alternatives=told)] * call.n, chat=True)

    alternatives = True


def votes(*words: str) -> ScriptedModel:
    def answer(call: GenerationCall) -> Sequence[str]:
        return [f"I looked.\n{word}" for word in words[call.first_sample : call.first_sample + call.n]]

    return ScriptedModel(answer, chat=True)


async def test_votes_are_the_share_of_yes() -> None:
    verifier = YesNoVerifier(votes("yes", "No.", "YES", "**yes**"), TEXT, n=4)
    [judgement] = await verifier.verify([STEP], gateway())
    assert judgement is not None
    assert (judgement.kind, judgement.value, judgement.rollouts, judgement.successes) == ("step", 0.75, 4, 3)
    assert verifier.source.startswith("judge:votes(4):scripted:text-v")


async def test_a_vote_that_cannot_be_read_is_asked_for_once_more_and_never_a_no() -> None:
    [judgement] = await YesNoVerifier(votes("maybe", "yes", "yes"), TEXT, n=2).verify([DONE], gateway())
    assert judgement is not None
    assert (judgement.kind, judgement.value, judgement.rollouts) == ("outcome", 1.0, 2)
    [lost] = await YesNoVerifier(votes("maybe", "perhaps"), TEXT, n=1).verify([STEP], gateway())
    assert lost is not None
    assert lost.value is None
    assert lost.error is not None


async def test_the_log_probability_of_yes_against_no_all_spellings_counted() -> None:
    model = Telling(("Yes", 0.5), (" no", 0.2), ("yes", 0.1), ("Well", 0.1))
    verifier = YesNoVerifier(model, TEXT, by="logprob")
    [step, done] = await verifier.verify([STEP, DONE], gateway())
    assert step is not None
    assert done is not None
    assert (step.kind, done.kind) == ("step", "outcome")
    assert step.value == done.value == pytest.approx(0.6 / 0.8)
    assert verifier.source.startswith("judge:logprob:scripted:text-v")
    assert [call.sampling for call in model.asked] == [SHORT, SHORT]
    asked = [call.prompt[-1] for call in model.asked]
    assert all(isinstance(turn, Message) for turn in asked)
    assert "Steps so far" in str(asked[0])
    assert "A finished solution" in str(asked[1])


@pytest.mark.parametrize(
    ("told", "value"),
    [
        ([("Yes", 0.9), ("Hm", 0.001)], 1.0),
        ([("No", 0.9), ("Hm", 0.001)], 0.0),
        ([("Yes", 0.5), ("Hm", 0.3)], None),
        ([("Hm", 0.9)], None),
        ([], None),
    ],
)
def test_an_answer_that_was_not_told_counts_only_where_it_cannot_matter(
    told: list[tuple[str, float]], value: float | None
) -> None:
    reply = Sample("x", "length", 1, alternatives=tuple((text, math.log(share)) for text, share in told))
    assert likelihood_of_yes(reply) == value


async def test_a_model_that_answers_otherwise_is_an_error_not_a_zero() -> None:
    [judgement] = await YesNoVerifier(Telling(("Well", 0.9)), TEXT, by="logprob").verify([STEP], gateway())
    assert judgement is not None
    assert judgement.value is None
    assert "does not answer yes or no" in str(judgement.error)


async def test_a_model_in_this_process_tells_exact_alternatives(tmp_path: Path) -> None:
    model = HFModel(save_model(tmp_path / "policy", "LlamaForCausalLM"), device="cpu")
    assert tells_alternatives(model)
    turns = (Message("user", "Is 3 * 12 = 36 right?"),)
    calls = [GenerationCall(turns, SHORT), GenerationCall(turns, replace(SHORT, alternatives=0))]
    told, untold = await model.generate(calls)
    assert calls[0].id("m") != calls[1].id("m")
    one: Any = told
    [sample] = one.samples
    assert len(sample.alternatives) == 20
    assert sample.alternatives[0][1] == pytest.approx(sample.logprobs[0], abs=1e-5)
    shares = [logprob for _, logprob in sample.alternatives]
    assert shares == sorted(shares, reverse=True)
    assert generation_from_json(generation_to_json(one)) == one
    other: Any = untold
    assert other.samples[0].alternatives is None


@pytest.mark.parametrize(
    ("scorer", "model", "source"),
    [
        ("judge", votes(), "judge:scripted"),
        ("judge:votes", Telling(("Yes", 0.9)), "judge:votes(8):scripted"),
        ("judge:logprob", Telling(("Yes", 0.9)), "judge:logprob:scripted"),
        (
            "judge:logprob",
            votes(),
            "judge:votes(8):scripted",
        ),  # it cannot tell, so it votes, and its source says so
    ],
)
def test_the_setting_chooses_how_the_judge_is_asked(scorer: str, model: ScriptedModel, source: str) -> None:
    models = Models(model, None, model, None, {})
    team = build_team(Settings(task="text", scorer=scorer, tools=False), TEXT, Replacements(), models)
    assert any(verifier.source.startswith(source) for verifier in team.verifiers)


async def test_an_outcome_model_judges_finished_solutions_alone_and_whole() -> None:
    scorer = ScriptedScorer(lambda trace: [0.1] * (len(trace.steps) - 1) + [0.7], kind="outcome")
    [step, done] = await OutcomeScoreVerifier(scorer, TEXT).verify([STEP, DONE], gateway())
    assert step is None
    assert done is not None
    assert (done.kind, done.value) == ("outcome", 0.7)
    assert scorer.asked == [Trace("How many are 3 dozen?\n", DONE.steps, newest=True)]
    way = gateway()
    assert await OutcomeScoreVerifier(scorer, TEXT).verify([STEP], way) == [None]
    assert way.usage.verifier_calls == 0


async def test_what_is_made_of_an_outcome_model() -> None:
    scorer = ScriptedScorer(lambda trace: [0.7], kind="outcome")
    models = Models(votes(), scorer, None, None, {})
    team = build_team(Settings(task="text", scorer="none"), TEXT, Replacements(), models)
    kinds = [type(verifier) for verifier in team.verifiers]
    assert OutcomeScoreVerifier in kinds
    assert StepScoreVerifier not in kinds
    assert kinds[-1] is OutcomeChecker  # the newest verdict counts, so the exact one is the last
    with pytest.raises(UserError, match="scorer of steps or states"):
        build_team(Settings(task="text", scorer="none", critic="value"), TEXT, Replacements(), models)
    evaluators = evaluators_for(None, scorer, TEXT, None)
    assert set(evaluators) == {"vote", "compare"}
    voted = await evaluators["vote"].evaluate(judged(DONE, STEP, action="vote"), gateway())
    assert [judgement and judgement.value for judgement in voted] == [1.0, None]
    assert "finished solutions only" in str(voted[1] and voted[1].error)


async def test_what_remembers_scores_tells_their_kind() -> None:
    scorer = ScriptedScorer(lambda trace: [0.7], kind="outcome")
    assert getattr(Reuse().scorer(scorer), "kind", None) == "outcome"


async def test_a_scripted_scorer_gives_the_newest_score_alone() -> None:
    scorer = ScriptedScorer({"a": 0.25, "b": 0.5})
    assert await scorer.score([Trace("q", ("a", "b"), newest=True), Trace("q", ("a", "b"))]) == [
        [0.5],
        [0.25, 0.5],
    ]
