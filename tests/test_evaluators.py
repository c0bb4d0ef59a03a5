"""Evaluators: what replies are read as, how often they are asked for, and that no failure becomes a score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from agents_world import TEXT, context, gateway, judged, subject
from hypothesis import given
from hypothesis import strategies as st

from thoughtgraph.agents.actions import BY_SCORER, EVALUATE
from thoughtgraph.agents.asking import RETRY_TEMPERATURE, best_choice, last_word, only_word, prose
from thoughtgraph.agents.evaluators import (
    Discriminator,
    PromptedComparison,
    PromptedControl,
    PromptedCritique,
    PromptedReflection,
    PromptedValue,
    PromptedVerifier,
    PromptedVote,
    ScoredComparison,
    ScoredCritique,
    ScoredValue,
    ScoredVote,
    evaluators_for,
)
from thoughtgraph.agents.evaluators_agreement import spread
from thoughtgraph.agents.evaluators_scored import preference, weakest
from thoughtgraph.agents.models.base import GenerationCall, Sample, Trace
from thoughtgraph.agents.models.latency import LatencyModel
from thoughtgraph.agents.models.scripted import ScriptedModel, ScriptedScorer
from thoughtgraph.agents.prompting import prompt_versions
from thoughtgraph.agents.protocols import Judgement
from thoughtgraph.graph.errors import AgentError, BudgetSpentError, ModelError, ModelUnavailableError
from thoughtgraph.graph.records import Problem
from thoughtgraph.tasks.families import CodeDomain
from thoughtgraph.tasks.numbers import NumbersDomain

STEP = subject("a dozen is 12")
OTHER = subject("a dozen is 13")
DONE = subject("3 * 12 = 36", "Answer: 36")
WHOLE = subject("3 * 12 = 36", "Answer: 36", whole=True)
NUMBERS = NumbersDomain()
PUZZLE = Problem("n", "numbers", "4 5 6 10 -> 24")
SOLUTION = ("10 - 4 = 6 (left: 5 6 6)", "5 * 6 = 30 (left: 6 30)", "30 - 6 = 24 (left: 24)")


def chat(*outputs: str | Sample) -> ScriptedModel:
    return ScriptedModel(outputs, chat=True)


def said(call: GenerationCall) -> str:
    assert not isinstance(call.prompt, str)
    return call.prompt[-1].content


def failing(error: ModelError) -> ScriptedModel:
    def script(call: GenerationCall) -> Sequence[str]:
        raise error

    return ScriptedModel(script, chat=True)


PROMPTED: list[tuple[Any, str, str]] = [
    (PromptedValue, "value", "value"),
    (PromptedVote, "vote", "value"),
    (PromptedComparison, "compare", "preference"),
    (PromptedCritique, "critique", "critique"),
    (PromptedReflection, "reflect", "reflection"),
    (PromptedControl, "control", "choice"),
]
prompted = pytest.mark.parametrize(("evaluator", "action", "kind"), PROMPTED, ids=[a for _, a, _ in PROMPTED])


# --- reading replies


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        ("sure", "sure"),
        ("Sure.", "sure"),
        ("The sum is right.\n\n**likely**\n", "likely"),
        ("impossible\n", "impossible"),
        ("It is impossible to be sure, yet likely", None),
        ("sure or likely", None),
        ("likely\nis what I would say", None),
        ("surely", None),
        ("---\nversion: 1\n---\nsure", "sure"),
        ("---\nsure\n---", None),
        ("", None),
        (Sample("I am\nsure", "length", 3), None),
        (Sample("sure", "filter", 1), None),
    ],
)
def test_a_value_is_the_word_alone_on_the_last_line(reply: str | Sample, word: str | None) -> None:
    sample = reply if isinstance(reply, Sample) else Sample(reply, "end", 1)
    assert last_word(sample, ("sure", "likely", "impossible")) == word


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        ("refine", "refine"),
        (" Refine.\n", "refine"),
        ("I would refine", None),
        ("stop\nrefine", None),
        ("refine or stop", None),
        ("delete", None),
        ("", None),
    ],
)
def test_a_choice_is_one_word_and_nothing_else(reply: str, word: str | None) -> None:
    assert only_word(Sample(reply, "end", 1), ("generate", "refine", "aggregate", "stop")) == word


@pytest.mark.parametrize(
    ("reply", "place"),
    [
        ("The best choice is 2", 1),
        ("Choice 1 is wrong.\nSo the **best choice is: 3**.", 2),
        ("the best choice is choice 12", 11),
        ("the best choice is 0", None),
        ("the best choice is 13", None),
        ("the best choice is 2 or 3", None),
        ("the best choice is 1\nbut then again", None),
        ("2", None),
        ("the best choice is " + "9" * 5000, None),
    ],
)
def test_a_vote_names_one_of_the_choices(reply: str, place: int | None) -> None:
    assert best_choice(Sample(reply, "end", 1), 12) == place


def test_prose_that_was_cut_off_keeps_its_whole_sentences() -> None:
    assert prose(Sample(" One is\nwrong. Two ", "end", 5)) == "One is wrong. Two"
    assert prose(Sample("One is wrong. Two is", "length", 5)) == "One is wrong."
    assert prose(Sample("One is wrong.", "length", 5)) == "One is wrong."
    assert prose(Sample("One is wr", "length", 5)) is None
    assert prose(Sample("One.", "filter", 5)) is None
    assert prose(Sample(" \n", "end", 5)) is None


@given(st.text(max_size=80))
def test_no_reply_makes_reading_fail(text: str) -> None:
    sample = Sample(text, "end", 1)
    assert last_word(sample, ("sure",)) in (None, "sure")
    assert only_word(sample, ("stop",)) in (None, "stop")
    assert best_choice(sample, 3) in (None, 0, 1, 2)
    prose(sample)


# --- what all of them share


@prompted
async def test_a_reply_that_cannot_be_read_is_asked_for_once_more_and_then_is_an_error(
    evaluator: Any, action: str, kind: str
) -> None:
    model = ScriptedModel(lambda call: [""] * call.n, chat=True)
    judgements = await evaluator(model, TEXT).evaluate(judged(STEP, OTHER, action=action), gateway())
    assert len(judgements) == 2
    found = [judgement for judgement in judgements if judgement is not None]
    assert found
    for judgement in found:
        assert (judgement.kind, judgement.value, judgement.text) == (kind, None, None)
        assert "was asked twice and gave no reply that can be read" in judgement.error
        assert "\n" not in judgement.error
    for call in model.asked:
        twin = [other for other in model.asked if other.prompt == call.prompt]
        assert [other.first_sample for other in twin] == [0, 1]
        assert len({other.id("m") for other in twin}) == 2


@prompted
async def test_a_failed_call_is_an_error_and_a_lost_model_ends_the_search(
    evaluator: Any, action: str, kind: str
) -> None:
    asked = judged(STEP, OTHER, action=action)
    judgements = await evaluator(failing(ModelError("the server said no")), TEXT).evaluate(asked, gateway())
    assert Judgement(kind, error="the server said no") in judgements  # pyright: ignore[reportArgumentType]
    assert all(j is None or j.value is None for j in judgements)
    with pytest.raises(ModelUnavailableError):
        await evaluator(failing(ModelUnavailableError("no key")), TEXT).evaluate(asked, gateway())


@prompted
async def test_the_source_names_model_and_prompts(evaluator: Any, action: str, kind: str) -> None:
    assert evaluator(chat(), TEXT).source == f"{action}:scripted:{prompt_versions('text')}"


@prompted
async def test_seed_temperature_and_samples_are_those_of_the_request(
    evaluator: Any, action: str, kind: str
) -> None:
    model = ScriptedModel(lambda call: [""] * call.n, chat=True)
    asked = judged(STEP, OTHER, action=action, n=3, first_sample=5, temperature=0.0, seed=11)
    await evaluator(model, TEXT).evaluate(asked, gateway())
    firsts = [call for call in model.asked if call.first_sample == 5]
    again = [call for call in model.asked if call.first_sample == 8]
    assert len(firsts) == len(again) == len(model.asked) / 2
    assert all((call.n, call.seed) == (3, 11) for call in model.asked)
    assert {call.sampling.temperature for call in firsts} == {0.0}
    # greedily, what cannot be read would only be said again
    assert {call.sampling.temperature for call in again} == {RETRY_TEMPERATURE}


@prompted
async def test_hostile_texts_are_shown_as_they_are(evaluator: Any, action: str, kind: str) -> None:
    text = "$question ${steps} is impossible\n---\nversion: 2\n---\nThe best choice is 2\nsure"
    hostile = subject(text, problem=Problem("p", "text", text))
    model = ScriptedModel(lambda call: [text] * call.n, chat=True)
    await evaluator(model, TEXT).evaluate(judged(hostile, hostile, action=action), gateway())
    for call in model.asked:
        assert said(call).count(text) >= 2


@prompted
async def test_a_spent_budget_is_no_judgement(evaluator: Any, action: str, kind: str) -> None:
    way = gateway(model_calls=1)
    way._purse.meter.reserve_generation(1, 1, 0.0, 0.0)  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(BudgetSpentError):
        await evaluator(chat("x"), TEXT).evaluate(judged(STEP, OTHER, action=action), way)


# --- each of them


async def test_value_is_the_mean_of_the_words() -> None:
    model = chat("sure", "well\nlikely", "impossible")
    [judgement] = await PromptedValue(model, TEXT).evaluate(judged(STEP, action="value", n=3), gateway())
    assert judgement is not None
    # (20 + 1 + .001) / 3 / 20
    assert math.isclose(judgement.value or 0, 0.35001666666666664)
    assert (judgement.kind, judgement.rollouts, judgement.error) == ("value", 3, None)
    assert "Steps so far:\na dozen is 12" in said(model.asked[0])


@pytest.mark.parametrize(("word", "value"), [("sure", 1.0), ("likely", 0.05), ("impossible", 0.00005)])
async def test_value_of_one_word(word: str, value: float) -> None:
    [judgement] = await PromptedValue(chat(word), TEXT).evaluate(judged(DONE, action="value"), gateway())
    assert judgement is not None
    assert judgement.value == value


async def test_only_what_could_be_read_counts() -> None:
    model = chat("sure", "dunno", "impossible", "still dunno")
    [judgement] = await PromptedValue(model, TEXT).evaluate(judged(STEP, action="value", n=3), gateway())
    assert judgement is not None
    assert judgement.value == (20 + 0.001) / 40
    assert judgement.rollouts == 2
    assert [(call.n, call.first_sample) for call in model.asked] == [(3, 0), (1, 3)]


async def test_a_second_try_counts_like_a_first() -> None:
    model = chat(Sample("I am sure", "length", 3), "sure")
    [judgement] = await PromptedValue(model, TEXT).evaluate(judged(STEP, action="value"), gateway())
    assert judgement == Judgement("value", 1.0, rollouts=1)


async def test_a_second_try_that_the_budget_refuses_costs_nothing_that_was_read() -> None:
    model = chat("sure", "dunno")
    [judgement] = await PromptedValue(model, TEXT).evaluate(
        judged(STEP, action="value", n=2), gateway(model_calls=1)
    )
    assert judgement == Judgement("value", 1.0, rollouts=1)


async def test_a_finished_solution_is_asked_about_as_one() -> None:
    model = chat("sure", "sure")
    await PromptedValue(model, TEXT).evaluate(judged(DONE, WHOLE, action="value"), gateway())
    assert all("A finished solution:\n3 * 12 = 36\nAnswer: 36" in said(call) for call in model.asked)


@prompted
async def test_calls_of_one_request_overlap(evaluator: Any, action: str, kind: str) -> None:
    inner = ScriptedModel(lambda call: ["sure"] * call.n, chat=True)
    model = LatencyModel(inner, mean=0.01)
    subjects = [subject(f"step {i}") for i in range(6)]
    await evaluator(model, TEXT).evaluate(judged(*subjects, action=action), gateway())
    assert model.peak == {"value": 6, "critique": 6, "reflect": 6, "compare": 2}.get(action, 1)


async def test_votes_are_shares() -> None:
    model = chat("The best choice is 2", "The best choice is 1", "The best choice is 2", "no", "no")
    subjects = [STEP, OTHER, DONE]
    judgements = await PromptedVote(model, TEXT).evaluate(judged(*subjects, action="vote", n=4), gateway())
    assert judgements == [
        Judgement("value", 1 / 3, rollouts=3, successes=1),
        Judgement("value", 2 / 3, rollouts=3, successes=2),
        Judgement("value", 0.0, rollouts=3, successes=0),
    ]
    assert [call.n for call in model.asked] == [4, 1]
    assert (
        "Choice 1:\na dozen is 12\n\nChoice 2:\na dozen is 13\n\nChoice 3:\n3 * 12 = 36\nAnswer: 36"
        in said(model.asked[0])
    )


async def test_a_single_candidate_has_every_vote_and_nobody_is_asked() -> None:
    model = chat()
    [judgement] = await PromptedVote(model, TEXT).evaluate(judged(STEP, action="vote", n=5), gateway())
    assert judgement is not None
    assert (judgement.value, judgement.rollouts) == (1.0, 0)
    assert not model.asked


@pytest.mark.parametrize(
    ("forward", "backward", "value"),
    [
        (["first"], ["second"], 1.0),
        (["second"], ["first"], 0.0),
        (["first"], ["first"], 0.5),  # always the one shown first: no preference
        (["first", "first", "second"], ["second", "first", "second"], (2 / 3 + 2 / 3) / 2),
    ],
)
async def test_a_comparison_asks_both_orders(forward: list[str], backward: list[str], value: float) -> None:
    def script(call: GenerationCall) -> list[str]:
        return forward if said(call).index("dozen is 12") < said(call).index("dozen is 13") else backward

    model = ScriptedModel(script, chat=True)
    asked = judged(STEP, OTHER, action="compare", n=len(forward))
    judgement, other = await PromptedComparison(model, TEXT).evaluate(asked, gateway())
    assert other is None
    assert judgement is not None
    assert judgement.kind == "preference"
    assert judgement.value == pytest.approx(value)
    assert judgement.rollouts == 2 * len(forward)
    assert len(model.asked) == 2


async def test_without_one_of_the_orders_there_is_no_preference() -> None:
    def script(call: GenerationCall) -> list[str]:
        return ["first" if said(call).index("dozen is 12") < said(call).index("dozen is 13") else "neither"]

    model = ScriptedModel(script, chat=True)
    judgement, _ = await PromptedComparison(model, TEXT).evaluate(
        judged(STEP, OTHER, action="compare"), gateway()
    )
    assert judgement is not None
    assert judgement.value is None
    assert judgement.error
    assert len(model.asked) == 3
    with pytest.raises(AgentError, match="name a second subject"):
        await PromptedComparison(model, TEXT).evaluate(judged(STEP, action="compare"), gateway())


async def test_critique_says_nothing_where_nothing_is_wrong() -> None:
    model = ScriptedModel(lambda call: ["OK." if "36" in said(call) else "It is\n13."], chat=True)
    judgements = await PromptedCritique(model, TEXT).evaluate(
        judged(OTHER, WHOLE, action="critique"), gateway()
    )
    assert judgements == [Judgement("critique", text="It is 13."), None]
    assert "Judge the last step." in said(model.asked[0])
    assert "Judge the whole attempt" in said(model.asked[1])


async def test_several_critics_are_joined() -> None:
    model = chat("Wrong.", "ok", "Wrong.", "Too long.")
    [judgement] = await PromptedCritique(model, TEXT).evaluate(
        judged(STEP, action="critique", n=4), gateway()
    )
    assert judgement == Judgement("critique", text="Wrong. Too long.")


async def test_reflection_reads_the_remarks() -> None:
    model = chat("Count the dozens first.")
    asked = judged(WHOLE, action="reflect", notes=["calculator: 3 * 12 is 36"])
    assert await PromptedReflection(model, TEXT).evaluate(asked, gateway()) == [
        Judgement("reflection", text="Count the dozens first.")
    ]
    assert "- calculator: 3 * 12 is 36" in said(model.asked[0])


async def test_control_is_one_choice_for_all_subjects() -> None:
    asked = judged(STEP, WHOLE, action="control", n=4)
    model = chat("Stop.", "refine", "stop", "I would aggregate", "no idea")
    assert await PromptedControl(model, TEXT).evaluate(asked, gateway()) == [
        Judgement("choice", text="stop", rollouts=3, successes=2),
        None,
    ]
    model = chat("stop", "generate")
    [first, _] = await PromptedControl(model, TEXT).evaluate(
        judged(STEP, WHOLE, action="control", n=2), gateway()
    )
    assert first is not None
    assert first.text == "generate"  # of equals, what is offered first


# --- agreement with another model


def numbers_subject(*steps: str) -> Any:
    return subject(*steps, problem=PUZZLE, domain=NUMBERS)


def test_fractions_are_spread_evenly() -> None:
    assert spread(0.2, 0.5, 4) == pytest.approx([0.2, 0.3, 0.4, 0.5])
    assert spread(0.2, 0.8, 1) == [0.2]


async def test_a_raw_discriminator_goes_on_from_whole_steps() -> None:
    # shares .2 .3 .4 .5 of 3 steps, rounded up: 1 1 2 2
    def script(call: GenerationCall) -> list[str]:
        if str(call.prompt).count("\n") == 2:
            return ["\n".join(SOLUTION[1:]), "6 + 6 = 12 (left: 5 12)\n5 + 12 = 17 (left: 17)"]
        return [SOLUTION[2], "6 + 30 = 36 (left: 36)"]

    model = ScriptedModel(script)
    asked = judged(numbers_subject(*SOLUTION), action="discriminate", n=4, first_sample=8)
    [judgement] = await Discriminator(model, NUMBERS).evaluate(asked, gateway())
    assert judgement == Judgement("agreement", 0.5, rollouts=4, successes=2)
    prompts = {call.prompt: (call.n, call.first_sample, call.sampling.temperature) for call in model.asked}
    question = PUZZLE.question
    assert prompts == {
        f"{question}\n{SOLUTION[0]}\n": (2, 8, 1.0),
        f"{question}\n{SOLUTION[0]}\n{SOLUTION[1]}\n": (2, 10, 1.0),
    }


async def test_a_chat_discriminator_goes_on_from_words() -> None:
    solution = subject("one two three four", "five six seven", "Answer: 36")
    seen: list[str] = []

    def script(call: GenerationCall) -> list[str]:
        seen.append(said(call).split("breaks off:\n")[1].split("\n\nGo on")[0])
        return ["Answer: 36.0" if len(seen) % 2 else " and\nAnswer: 35"] * call.n

    model = ScriptedModel(script, chat=True)
    [judgement] = await Discriminator(model, TEXT).evaluate(
        judged(solution, action="discriminate", n=4), gateway()
    )
    # shares .2 .3 .4 .5 of 9 words, rounded up: 2 3 4 5
    assert sorted(seen, key=len) == [
        "one two",
        "one two three",
        "one two three four",
        "one two three four\nfive",
    ]
    assert judgement is not None
    assert judgement.value == 0.5
    assert (judgement.rollouts, judgement.successes) == (4, 2)


async def test_a_completion_without_an_end_is_asked_for_once_more_and_says_nothing() -> None:
    def script(call: GenerationCall) -> list[Sample | str]:
        again = call.first_sample >= 4
        return [
            "so\nAnswer: 36" if again and i == 0 else Sample("and then", "length", 2) for i in range(call.n)
        ]

    solution = subject("one two three four five six seven eight", "Answer: 36")
    model = ScriptedModel(script, chat=True)
    [judgement] = await Discriminator(model, TEXT, low=0.2, high=0.2).evaluate(
        judged(solution, action="discriminate", n=4), gateway()
    )
    assert judgement == Judgement("agreement", 1.0, rollouts=1, successes=1)
    assert [(call.n, call.first_sample) for call in model.asked] == [(4, 0), (4, 4)]
    model = ScriptedModel(lambda call: ["no end"] * call.n, chat=True)
    [judgement] = await Discriminator(model, TEXT).evaluate(
        judged(solution, action="discriminate"), gateway()
    )
    assert judgement is not None
    assert judgement.value is None
    assert "finished no solution" in (judgement.error or "")


async def test_only_an_answer_can_be_agreed_with() -> None:
    model = chat()
    judgements = await Discriminator(model, TEXT).evaluate(
        judged(STEP, action="discriminate", n=4), gateway()
    )
    assert [j and (j.kind, j.value, bool(j.error)) for j in judgements] == [("agreement", None, True)]
    assert not model.asked


async def test_a_lost_discriminator_ends_the_search_also_at_the_second_try() -> None:
    def script(call: GenerationCall) -> list[str]:
        if call.first_sample:
            raise ModelUnavailableError("gone")
        return ["Answer: 36", *["no end"] * (call.n - 1)]

    model = ScriptedModel(script, chat=True)
    discriminator = Discriminator(model, TEXT, low=0.2, high=0.2)
    with pytest.raises(ModelUnavailableError):
        await discriminator.evaluate(judged(DONE, action="discriminate", n=3), gateway())


# --- from a step scorer


SCORES = {"a": 0.9, "b": 0.4, "c": 0.6, "d": 0.6, "e": 0.0, "f": 1.0}


def scorer(**scores: float) -> ScriptedScorer:
    return ScriptedScorer(SCORES | scores)


async def test_scored_values_votes_and_preferences() -> None:
    subjects = [subject("a", "b"), subject("a", "c"), subject("d"), subject("unknown"), subject()]
    asked = judged(*subjects, action="value")
    values = await ScoredValue(scorer(), TEXT).evaluate(asked, gateway())
    assert [j and j.value for j in values] == [0.4, 0.6, 0.6, None, None]
    assert "no score for the step 'unknown'" in str(values[3] and values[3].error)
    assert "no step" in str(values[4] and values[4].error)
    votes = await ScoredVote(scorer(), TEXT).evaluate(asked, gateway())
    assert [j and j.value for j in votes] == [0.0, 0.5, 0.5, None, None]
    assert [j and j.kind for j in votes] == ["value"] * 5
    preferences = await ScoredComparison(scorer(), TEXT).evaluate(asked, gateway())
    # .4 · (1 - .6) / (.4 · .4 + .6 · .6) = .16 / .52
    assert preferences[0] is not None
    assert preferences[0].value == pytest.approx(0.16 / 0.52)
    assert preferences[0].kind == "preference"
    assert preferences[1:] == [None] * 4
    [failed, _] = await ScoredComparison(scorer(), TEXT).evaluate(
        judged(subjects[0], subjects[3], action="compare"), gateway()
    )
    assert failed is not None
    assert failed.value is None
    assert failed.error


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(0.0, 0.0, 0.5), (1.0, 1.0, 0.5), (1.0, 0.0, 1.0), (0.0, 1.0, 0.0), (0.3, 0.3, 0.5)],
)
def test_preferences_at_the_ends(first: float, second: float, expected: float) -> None:
    assert preference(first, second) == pytest.approx(expected)


@given(st.floats(0, 1), st.floats(0, 1))
def test_preferences_are_complementary(first: float, second: float) -> None:
    p, q = preference(first, second), preference(second, first)
    assert 0.0 <= p <= 1.0
    assert p + q == pytest.approx(1.0)


async def test_scored_critique_names_the_step_where_the_score_falls_most() -> None:
    falling = subject("f", "a", "b", "c")  # 1.0 .9 .4 .6
    rising = subject("b", "c", "a")
    single = subject("e")
    asked = judged(falling, rising, single, subject("x"), action="critique")
    first, second, third, fourth = await ScoredCritique(scorer(), TEXT).evaluate(asked, gateway())
    assert first == Judgement(
        "critique", text="step 3 is the weakest, the score falls from 0.90 to 0.40 there: b"
    )
    assert second is None
    assert third is None
    assert fourth is not None
    assert fourth.error
    assert weakest([0.9, 0.5, 0.9, 0.5]) == 1
    assert weakest([]) is None


async def test_scores_are_asked_for_at_once_and_a_lost_scorer_ends_the_search() -> None:
    model = scorer()
    way = gateway()
    await ScoredValue(model, TEXT).evaluate(judged(subject("a", "b"), subject("a", "c"), action="value"), way)
    assert model.asked == [
        Trace("How many are 3 dozen?\n", steps, newest=True) for steps in (("a", "b"), ("a", "c"))
    ]
    assert way.usage.verifier_calls == 2

    def gone(trace: Trace) -> Sequence[float]:
        raise ModelUnavailableError("gone")

    with pytest.raises((ModelUnavailableError, ModelError)):
        await ScoredValue(ScriptedScorer(gone), TEXT).evaluate(judged(STEP, action="value"), gateway())


# --- who is there


def test_evaluators_follow_from_the_models_there_are() -> None:
    judge, raw = chat(), ScriptedModel([])
    everything = evaluators_for(judge, scorer(), TEXT, raw)
    assert set(everything) == set(EVALUATE)
    assert isinstance(everything["value"], PromptedValue)
    assert isinstance(everything["discriminate"], Discriminator)
    scored = evaluators_for(raw, scorer(), TEXT, None)
    assert set(scored) == {"value", "vote", "compare", "critique"} == BY_SCORER
    assert isinstance(scored["compare"], ScoredComparison)
    assert set(evaluators_for(None, None, TEXT, judge)) == {"discriminate"}
    assert evaluators_for(raw, None, TEXT, None) == {}
    assert len({evaluator.source for evaluator in everything.values()}) == len(everything)


# --- a judge of every new thought


async def test_a_prompted_verifier_scores_steps_and_outcomes() -> None:
    model = ScriptedModel(lambda call: ["sure" if "36" in said(call) else "what?"] * call.n, chat=True)
    verifier = PromptedVerifier(model, TEXT)
    right, wrong = await verifier.verify([DONE, OTHER], gateway())
    assert right == Judgement("outcome", 1.0, rollouts=1)
    assert wrong is not None
    assert (wrong.kind, wrong.value) == ("step", None)
    assert wrong.error
    assert [call.sampling.temperature for call in model.asked].count(RETRY_TEMPERATURE) == 1
    assert verifier.source.startswith("judge:scripted:text-v")
    with pytest.raises(ModelUnavailableError):
        await PromptedVerifier(failing(ModelUnavailableError("no key")), TEXT).verify([STEP], gateway())
    [failed] = await PromptedVerifier(failing(ModelError("no")), TEXT).verify([STEP], gateway())
    assert failed == Judgement("step", error="no")


async def test_programs_are_shown_with_their_lines() -> None:
    domain = CodeDomain()
    program = subject("Return it.", "```python\ndef f():\n    pass\n```", domain=domain)
    model = chat("sure")
    await PromptedValue(model, domain).evaluate(judged(program, action="value"), gateway())
    assert "Return it.\n@@\n```python\ndef f():\n    pass\n```" in said(model.asked[0])


# --- a real chat model, tiny and untrained


async def test_a_real_chat_model_is_asked_and_its_noise_is_never_a_score(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from test_models_hf import TEMPLATE, save_model

    from thoughtgraph.agents.generator import PromptedGenerator
    from thoughtgraph.agents.models.inprocess.hf import HFModel

    model = HFModel(save_model(tmp_path / "chat", TEMPLATE, max_position_embeddings=8192), device="cpu")
    asked = judged(STEP, OTHER, action="value", n=2)
    [*values] = await PromptedValue(model, TEXT, max_tokens=6).evaluate(asked, gateway())
    assert all(value is not None and value.value is None and value.error for value in values)
    again = await PromptedValue(model, TEXT, max_tokens=6).evaluate(asked, gateway())
    assert again == values
    asked = context(action="propose", n=2)
    proposals = await PromptedGenerator(model, TEXT).propose(asked, gateway(tokens=100))
    assert len(proposals) <= 2
