"""A chat model that goes on with its own answer: prompts, steps, ends, repairs, and who is asked that way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from agents_world import PROBLEM, TEXT, context, gateway, grown, subject

from thoughtgraph.agents.generator import ContinuingGenerator, PromptedGenerator, StepGenerator
from thoughtgraph.agents.models.base import Generation, GenerationCall, Message, Sample, Sampling
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.graph.errors import ModelError, UserError
from thoughtgraph.graph.records import Operator
from thoughtgraph.tasks.crew import Replacements, build_team, load_models
from thoughtgraph.tasks.families import CodeDomain
from thoughtgraph.tasks.settings import Settings

CODE = CodeDomain()


class ContinuingModel(ScriptedModel):
    """A scripted chat model that goes on with its own turns."""

    continues = True


def going_on(*outputs: str | Sample, domain: Any = TEXT) -> tuple[ContinuingGenerator, ContinuingModel]:
    model = ContinuingModel(outputs, chat=True)
    return ContinuingGenerator(model, domain), model


def turns(call: GenerationCall) -> list[tuple[str, str]]:
    assert not isinstance(call.prompt, str)
    return [(turn.role, turn.content) for turn in call.prompt]


def stopped(text: str) -> Sample:
    return Sample(text, "stop", max(1, len(text.split())))


# --- prompts


async def test_the_question_is_asked_once_and_the_steps_stand_in_the_answer() -> None:
    generator, model = going_on(stopped("a dozen is 12"), stopped("3 * 12 = 36"))
    await grown(generator, context())
    await grown(generator, context(subject("a dozen is 12")))
    first, second = map(turns, model.asked)
    assert [role for role, _ in first] == ["system", "user"]
    assert first[1][1].startswith("Problem: How many are 3 dozen?\n\nWrite the whole solution")
    assert second == [*first, ("assistant", "a dozen is 12\n")]
    assert [call.sampling.stop for call in model.asked] == [("\n",)] * 2


async def test_remarks_are_in_the_question_where_there_are_any() -> None:
    generator, model = going_on(stopped("x"))
    await grown(generator, context(subject("a dozen is 10"), notes=["a dozen is 12"]))
    said = turns(model.asked[0])[1][1]
    assert "Remarks on the beginning of the solution:\n- a dozen is 12\n\nWrite the whole solution" in said


async def test_code_steps_are_parted_by_their_mark() -> None:
    generator, model = going_on(stopped("Return it."), domain=CODE)
    await grown(generator, context(subject("Count.", domain=CODE)), CODE)
    assert turns(model.asked[0])[-1] == ("assistant", "Count.\n@@\n")
    assert "a line that holds only @@" in turns(model.asked[0])[1][1]


@pytest.mark.parametrize(
    ("operator", "request_"),
    [
        (Operator.GENERATE, {"horizon": "solution"}),
        (Operator.GENERATE, {"action": "finish", "horizon": "solution"}),
        (Operator.GENERATE, {"action": "plan"}),
        (Operator.GENERATE, {"action": "subquestion"}),
        (Operator.GENERATE, {"action": "propose", "n": 2}),
        (Operator.GENERATE, {"action": "few_shot", "horizon": "answer"}),
        (Operator.REFINE, {"horizon": "solution"}),
        (Operator.AGGREGATE, {"horizon": "solution"}),
    ],
)
async def test_what_is_no_step_is_asked_for_as_before(operator: Operator, request_: dict[str, Any]) -> None:
    asked = context(subject("a dozen is 12"), operator=operator, **request_)
    ours, model = going_on("Answer: 36")
    theirs = ScriptedModel(["Answer: 36"], chat=True)
    proposals = await ours.propose(asked, gateway())
    assert proposals == await PromptedGenerator(theirs, TEXT).propose(asked, gateway())
    assert [call.prompt for call in model.asked] == [call.prompt for call in theirs.asked]


# --- ends


async def test_the_models_own_end_ends_the_solution() -> None:
    generator, _ = going_on("that makes 36", stopped("that makes 36"))
    [ended] = await grown(generator, context())
    assert (ended.terminal, ended.answer) == (True, None)
    [open_] = await grown(generator, context())
    assert not open_.terminal


async def test_an_answer_by_a_raw_or_an_asked_model_goes_on_after_its_end() -> None:
    for generator in (
        StepGenerator(ScriptedModel(["so"]), TEXT),
        PromptedGenerator(ScriptedModel(["so"], chat=True), TEXT),
    ):
        [thought] = await grown(generator, context())
        assert not thought.terminal


async def test_a_chain_goes_on_turn_by_turn_and_ends_with_the_model() -> None:
    generator, model = going_on(stopped("one"), stopped("two"), "three", "never")
    thoughts = await grown(generator, context(horizon="answer", steps=5))
    assert [t.text for t in thoughts] == ["one", "two", "three"]
    assert [t.terminal for t in thoughts] == [False, False, True]
    assert [turns(call)[2:] for call in model.asked] == [
        [],
        [("assistant", "one\n")],
        [("assistant", "one\ntwo\n")],
    ]


async def test_all_remaining_steps_are_one_call_and_the_last_is_the_end() -> None:
    generator, model = going_on("two\n\nthree", Sample("two\nthr", "length", 3))
    asked = context(subject("one"), horizon="answer")
    thoughts = await grown(generator, asked)
    assert [(t.text, t.terminal) for t in thoughts] == [("two", False), ("three", True)]
    assert model.asked[0].sampling.stop == ()
    assert [(t.text, t.terminal) for t in await grown(generator, asked)] == [("two", False)]


# --- repairs


async def test_an_empty_line_before_a_step_is_gone_on_from() -> None:
    generator, model = going_on(Sample("", "stop", 1), stopped("3 * 12 = 36"))
    [thought] = await grown(generator, context(subject("a dozen is 12")))
    assert (thought.text, thought.tokens) == ("3 * 12 = 36", 6)
    assert turns(model.asked[1])[-1] == ("assistant", "a dozen is 12\n\n")
    assert model.asked[1].sampling == model.asked[0].sampling


async def test_only_the_samples_that_broke_off_are_repaired() -> None:
    samples = [stopped("fine"), Sample("", "stop", 1), stopped("good"), Sample("", "stop", 1)]
    generator, model = going_on(*samples, stopped("mended"), stopped("also"))
    thoughts = await grown(generator, context(subject("a"), n=4))
    assert [t.text for t in thoughts] == ["fine", "mended", "good", "also"]
    assert [call.n for call in model.asked] == [4, 2]


async def test_a_turn_that_is_gone_on_with_in_empty_lines_only_is_an_error_with_a_remedy() -> None:
    generator, model = going_on(*[Sample("", "stop", 1)] * 3)
    with pytest.raises(ModelError, match=r"empty lines only; .*--stepping ask") as info:
        await generator.propose(context(subject("a")), gateway())
    assert "\n" not in str(info.value)
    assert len(model.asked) == 3


async def test_a_stop_inside_a_block_is_repaired_in_one_call_without_the_stop() -> None:
    rest = "def f(x):\n    return x\n```\nAnd so"
    generator, model = going_on(stopped("```python"), rest)
    [thought] = await grown(generator, context(subject("a")))
    assert thought.text == "```python\ndef f(x):\n    return x\n```"
    assert not thought.terminal  # more came after it in the same sample
    assert turns(model.asked[1])[-1] == ("assistant", "a\n```python\n")
    assert model.asked[1].sampling.stop == ()
    assert model.asked[1].sampling.max_tokens == TEXT.step_tokens


@pytest.mark.parametrize("rest", [Sample("def f(x):", "length", 3), Sample("", "filter", 0), "no end"])
async def test_a_block_that_stays_open_is_dropped_and_what_it_cost_counts(rest: str | Sample) -> None:
    generator, model = going_on(stopped("```python"), rest)
    way = gateway()
    assert await generator.propose(context(), way) == []
    assert way.usage.model_calls == len(model.asked) == 2


async def test_a_repair_that_fails_leaves_the_other_samples() -> None:
    def script(call: GenerationCall) -> Sequence[Sample]:
        if call.n == 1:
            raise ModelError("lost")
        return [stopped("fine"), stopped(r"\[ x =")]

    generator = ContinuingGenerator(ContinuingModel(script, chat=True), TEXT)
    assert [t.text for t in await grown(generator, context(n=2))] == ["fine"]


async def test_a_raw_model_is_repaired_too_and_an_asked_one_only_where_it_can_go_on() -> None:
    raw = ScriptedModel([stopped("```"), "x\n```\n"])
    [thought] = await grown(StepGenerator(raw, TEXT), context())
    assert thought.text == "```\nx\n```"
    assert raw.asked[1].prompt == "How many are 3 dozen?\n```\n"
    unable = ScriptedModel([stopped("```")], chat=True)
    assert await grown(PromptedGenerator(unable, TEXT), context()) == []
    able = ContinuingModel([stopped("```"), "x\n```\n"], chat=True)
    [thought] = await grown(PromptedGenerator(able, TEXT), context())
    assert thought.text == "```\nx\n```"
    assert turns(able.asked[1])[-1] == ("assistant", "```\n")


# --- token by token, with real tokenizers and templates

PLAIN = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
STRIPPED = PLAIN.replace("m.content }}", "m.content | trim }}\n")
INJECTED = (
    "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content.split('</think>')[-1].lstrip('\n') }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.mark.parametrize("template", [PLAIN, STRIPPED, INJECTED], ids=["plain", "stripped", "injected"])
async def test_the_prompt_of_a_child_is_that_of_its_parent_and_the_step(
    tmp_path: Path, template: str
) -> None:
    pytest.importorskip("torch")
    from test_models_hf import save_model

    from thoughtgraph.agents.models.inprocess.hf import HFModel

    model = HFModel(save_model(tmp_path / "chat", template, max_position_embeddings=2048), device="cpu")
    assert model.continues
    assert not model.reasons
    steps = ("a dozen is 12", "  so 3 of them", "make 3 * 12 = 36", "Answer: 36")
    generator = ContinuingGenerator(model, TEXT)
    prompts = [
        generator._turns(context(), steps[:k])  # pyright: ignore[reportPrivateUsage]
        for k in range(len(steps) + 1)
    ]
    results = await model.generate([GenerationCall(p, Sampling(1, 0.0)) for p in prompts])
    ids = [r.prompt_token_ids or () for r in results if isinstance(r, Generation)]
    assert len(ids) == len(prompts)
    for parent, child, step in zip(ids, ids[1:], steps, strict=False):
        assert child[: len(parent)] == parent
        assert model.tokenizer.decode(child[len(parent) :]) == f"{step}\n"
    assert model.tokenizer.decode(ids[0]).endswith("<assistant>")


async def test_an_answer_is_gone_on_with_as_the_model_would_have(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from test_models_hf import save_model

    from thoughtgraph.agents.models.inprocess.hf import HFModel

    model = HFModel(save_model(tmp_path / "chat", STRIPPED, max_position_embeddings=2048), device="cpu")
    user = Message("user", "the cat")
    [answer] = await model.generate([GenerationCall((user,), Sampling(24, 0.0))])
    assert isinstance(answer, Generation)
    begun = (user, Message("assistant", " \n" + answer.samples[0].text + "\n"))
    [rest] = await model.generate([GenerationCall(begun, Sampling(1, 0.0))])
    assert isinstance(rest, Generation)
    read = [model.tokenizer.decode(g.prompt_token_ids) for g in (answer, rest)]
    assert read[1] == f"{read[0]} \n{answer.samples[0].text}\n"


# --- who is asked that way


def team_of(model: ScriptedModel, **settings: Any) -> Any:
    own = Replacements(model=model)
    chosen = Settings(task="text", model="own", **settings)
    models = load_models(chosen, TEXT, own, lambda run: model)
    return build_team(chosen, TEXT, own, models).generator


def test_a_model_that_can_goes_on_unless_it_is_to_be_asked() -> None:
    able, unable = ContinuingModel(["x"], chat=True), ScriptedModel(["x"], chat=True)
    assert isinstance(team_of(able), ContinuingGenerator)
    assert isinstance(team_of(able, stepping="continue", temperature=0.3), ContinuingGenerator)
    assert isinstance(team_of(able, stepping="ask"), PromptedGenerator)
    assert isinstance(team_of(unable), PromptedGenerator)
    assert team_of(able, temperature=0.3).temperature == 0.3


def test_what_cannot_be_is_refused_with_the_remedy() -> None:
    with pytest.raises(UserError, match=r"not known to go on .*--stepping ask.*continue_final=true"):
        team_of(ScriptedModel(["x"], chat=True), stepping="continue")
    thinking = ContinuingModel(["x"], chat=True)
    vars(thinking)["reasons"] = True
    assert isinstance(team_of(thinking), PromptedGenerator)
    with pytest.raises(UserError, match="thinks before it answers; use --stepping ask"):
        team_of(thinking, stepping="continue")
    with pytest.raises(UserError, match="continues raw text; leave --stepping out"):
        team_of(ScriptedModel(["x"]), stepping="ask")
    with pytest.raises(UserError, match="stepping='both' is not ask, continue or None"):
        Settings(stepping="both")  # pyright: ignore[reportArgumentType]


def test_the_command_line_says_how_a_model_is_asked() -> None:
    from thoughtgraph.cli.options import SearchOptions

    assert SearchOptions(stepping="ask").chosen("text").get("stepping") == "ask"
    assert "stepping" not in SearchOptions().chosen("text")


# --- base models


async def test_a_base_model_is_shown_worked_examples_and_stops_before_the_next_problem() -> None:
    model = ScriptedModel(["Answer: 36", "3 * 12 = 36\nAnswer: 36\n\nProblem: And 4 dozen?\n\nAnswer: 48"])
    generator = team_of(model)
    assert isinstance(generator, StepGenerator)
    [step] = await grown(generator, context(subject("a dozen is 12")))
    assert step.answer == "36"
    thoughts = await grown(generator, context(horizon="solution"))
    assert thoughts[0].text == "3 * 12 = 36\nAnswer: 36"
    assert thoughts[0].tokens == 7
    stepwise, whole = model.asked
    assert isinstance(stepwise.prompt, str)
    assert stepwise.prompt.startswith("Problem: ")
    assert stepwise.prompt.endswith(f"\n\nProblem: {PROBLEM.question}\n\na dozen is 12\n")
    assert stepwise.sampling.stop == ("\n",)
    assert whole.sampling.stop == ("\nProblem:",)


def test_a_model_of_the_numbers_game_sees_its_own_format_only() -> None:
    settings = Settings()
    generator = build_team(
        settings,
        load_domain("numbers"),
        own := Replacements(model=ScriptedModel(["x"])),
        load_models(settings, load_domain("numbers"), own, lambda run: ScriptedModel(["x"])),
    ).generator
    assert isinstance(generator, StepGenerator)
    assert not generator.shots


def load_domain(name: str) -> Any:
    from thoughtgraph.tasks.registry import load_task

    return load_task(name).domain
