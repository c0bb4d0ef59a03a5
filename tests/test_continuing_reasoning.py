"""Thoughts of reasoning models: told apart from the answer, recorded, and shown to nobody."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from agents_world import TEXT, context, gateway, grown, subject
from cli_world import Cli
from hypothesis import given
from hypothesis import strategies as st
from searches import make_setup

from thoughtgraph import solve
from thoughtgraph.agents.evaluators import PromptedVerifier
from thoughtgraph.agents.generator import PromptedGenerator
from thoughtgraph.agents.models.base import Generation, GenerationCall, Message, Sample, Sampling
from thoughtgraph.agents.models.reasoning import TAGS, split_reasoning
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.agents.team import Team
from thoughtgraph.graph.errors import ModelError, UserError
from thoughtgraph.graph.machine import build
from thoughtgraph.graph.records import Budget
from thoughtgraph.graph.view import ReasoningGraph
from thoughtgraph.storage.read import list_units, unit_graph, unit_model_calls
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runner import Drain, Runner


class ThinkingModel(ScriptedModel):
    """A scripted chat model that thinks first."""

    reasons = True


@pytest.mark.parametrize(
    ("written", "opened", "text", "reasoning"),
    [
        ("Answer: 3", False, "Answer: 3", None),
        ("<think>so</think>Answer: 3", False, "Answer: 3", "so"),
        ("\n<think>\na\nb\n</think>\n\n  Answer: 3", False, "Answer: 3", "a\nb"),
        ("<think>\n\n</think>\n\nAnswer: 3", False, "Answer: 3", ""),
        ("a\nb</think>\nAnswer: 3", False, "Answer: 3", "a\nb"),  # the template had opened the thoughts
        ("[THINK]so[/THINK]Answer: 3", False, "Answer: 3", "so"),
        ("<think>never closed", False, "", "never closed"),
        ("never closed", True, "", "never closed"),
        ("so</think>Answer: 3", True, "Answer: 3", "so"),
        ("<think>a</think>b</think>c", False, "b</think>c", "a"),
        ("", True, "", None),
        ("the tag <think> opens thoughts", False, "the tag <think> opens thoughts", None),
    ],
)
def test_thoughts_are_split_off(written: str, opened: bool, text: str, reasoning: str | None) -> None:
    sample = Sample(written, "end", 9, token_ids=(1, 2), logprobs=(-1.0, -2.0), pieces=(written, ""))
    split = split_reasoning(sample, opened=opened)
    assert split == replace(sample, text=text, reasoning=reasoning)


def test_what_a_server_told_apart_stays_as_it_is() -> None:
    sample = Sample("<think> is a tag", "end", 5, reasoning="what is it")
    assert split_reasoning(sample, opened=True) is sample


@given(st.text(), st.text(), st.sampled_from(TAGS))
def test_no_thought_is_left_in_the_answer(thoughts: str, answer: str, tags: tuple[str, str]) -> None:
    opening, closing = tags
    if closing in thoughts:
        return
    split = split_reasoning(Sample(f"{opening}{thoughts}{closing}{answer}", "end", 1))
    assert (split.text, split.reasoning) == (answer.lstrip(), thoughts.strip())


# --- agents


async def test_a_model_that_thinks_is_not_stopped_in_its_thoughts() -> None:
    model = ThinkingModel(["<think>\nA dozen\nis 12.\n</think>\n\na dozen is 12\nand more"], chat=True)
    [thought] = await grown(PromptedGenerator(model, TEXT), context())
    assert thought.text == "a dozen is 12"
    assert model.asked[0].sampling.stop == ()


@pytest.mark.parametrize("written", ["<think>A dozen\nis 12.\nAnswer: 12", "A dozen\nis 12.\nAnswer: 12"])
@pytest.mark.parametrize("finish", ["length", "end"])
async def test_thoughts_without_an_end_are_no_answer_and_cost_what_they_cost(
    written: str, finish: Any
) -> None:
    model = ThinkingModel([Sample(written, finish, 7)] * 2, chat=True)
    for horizon in ("step", "solution"):
        way = gateway()
        assert await PromptedGenerator(model, TEXT).propose(context(horizon=horizon), way) == []
        assert way.usage.completion_tokens == 7


async def test_steps_have_their_own_tokens_and_log_probabilities() -> None:
    pieces = ("<think>", "hm", "</think>", "one", "\n", "Answer:", " 2")
    logprobs = (-9.0, -9.0, -9.0, -1.0, -0.5, -0.25, -0.25)
    sample = Sample("".join(pieces), "end", 7, logprobs=logprobs, pieces=pieces)
    model = ThinkingModel([sample], chat=True)
    thoughts = await grown(PromptedGenerator(model, TEXT), context(horizon="answer"))
    assert [(t.text, t.tokens, t.logprob) for t in thoughts] == [("one", 2, -1.5), ("Answer: 2", 2, -0.5)]
    model = ThinkingModel([replace(sample, pieces=None)], chat=True)
    thoughts = await grown(PromptedGenerator(model, TEXT), context(horizon="answer"))
    assert [t.logprob for t in thoughts] == [None, None]


async def test_thoughts_are_recorded_and_never_shown_to_a_judge() -> None:
    def script(call: GenerationCall) -> list[str]:
        asked = str(call.prompt)
        said = "sure" if "alone on the last line" in asked else f"step {asked.count('step')}\nAnswer: 3"
        return [f"<think>the SECRET way {i}\nAnswer: 99</think>\n{said}" for i in range(call.n)]

    task = load_task("math")
    model = ThinkingModel(script, chat=True)
    team = Team(PromptedGenerator(model, task.domain), verifiers=(PromptedVerifier(model, task.domain),))
    store = SqlStore.open(":memory:")
    setup = make_setup(
        store, "beam", {}, run="run", team=team, domain=task.domain, budget=Budget(model_calls=12)
    )
    store.create_run(setup.spec, [task.problem("How many are 3 dozen?")])
    machine, host = build(setup)
    try:
        [end] = await Runner(machine, host, task, "run", {}, Drain()).search_all(1)
    finally:
        host.shutdown()
    [unit] = list_units(store.database, "run")
    graph = unit_graph(store.database, "run", unit.problem.id)
    assert len(graph.thoughts) > 2
    assert any(evaluation.value for found in graph.evaluations.values() for evaluation in found)
    assert end.answer != "99"
    assert not any("SECRET" in thought.text for thought in graph.thoughts.values())
    assert not any("SECRET" in str(call.prompt) for call in model.asked)
    calls = unit_model_calls(store.database, "run", unit.problem.id)
    assert all(
        "SECRET" in s["reasoning"] and "SECRET" not in s["text"] for c in calls for s in c.response["samples"]
    )
    store.close()


@pytest.mark.parametrize("thinks", [True, False])
def test_thoughts_are_shown_in_the_json_of_a_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, thinks: bool
) -> None:
    cli = Cli(tmp_path, capsys)
    monkeypatch.setenv("THOUGHTGRAPH_DB", cli.db)
    said = "<think>I know it</think>Answer: 3" if thinks else "Answer: 3"
    model = ScriptedModel([said], chat=True)
    result = solve("how many?", task="text", scheme="cot", model=model, scorer="none", db=cli.db)
    shown = json.loads(cli("show", result.run, "--format", "json").out)
    [call] = {thought["call"] for thought in shown["thoughts"] if thought["call"]}
    assert shown["reasoning"] == ({call: ["I know it"]} if thinks else {})
    assert ReasoningGraph.from_json(shown) == result.graph
    assert "I know it" not in cli("show", result.run).out


# --- templates

CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<eos>{% endfor %}{% if add_generation_prompt %}<assistant>"
OPENING = CHAT + "<think>\n{% endif %}"
HYBRID = (
    CHAT
    + "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
NO_SYSTEM = (
    "{{ raise_exception('System role not supported') if messages[0].role == 'system' }}"
    + CHAT
    + "{% endif %}"
)
TURN = (Message("user", "the cat"), Message("assistant", "sat\n"))


def hf(tmp_path: Path, template: str, **options: Any) -> Any:
    pytest.importorskip("torch")
    from test_models_hf import save_model

    from thoughtgraph.agents.models.inprocess.hf import HFModel

    return HFModel(save_model(tmp_path / "chat", template), device="cpu", **options)


async def test_a_template_that_opens_thoughts_makes_a_model_that_is_asked(tmp_path: Path) -> None:
    model = hf(tmp_path, OPENING)
    assert (model.reasons, model.continues) == (True, False)
    [refused] = await model.generate([GenerationCall(TURN, Sampling(1))])
    assert isinstance(refused, ModelError)
    assert "--stepping ask" in str(refused)
    with pytest.raises(UserError, match="leave out reasons=false"):
        hf(tmp_path, OPENING, reasons=False)


async def test_a_template_with_a_switch_thinks_unless_told_not_to(tmp_path: Path) -> None:
    thinking, not_ = hf(tmp_path, HYBRID), hf(tmp_path, HYBRID, reasons=False)
    assert (thinking.reasons, thinking.continues) == (True, False)
    assert (not_.reasons, not_.continues) == (False, True)
    [went_on] = await not_.generate([GenerationCall(TURN, Sampling(1))])
    assert isinstance(went_on, Generation)
    assert not_.tokenizer.decode(went_on.prompt_token_ids).endswith("<assistant><think>\n\n</think>\n\nsat\n")


async def test_a_template_that_knows_no_thoughts_can_be_said_to_have_them(tmp_path: Path) -> None:
    assert not hf(tmp_path, CHAT + "{% endif %}").reasons
    assert hf(tmp_path, CHAT + "{% endif %}", reasons=True).reasons


async def test_turns_that_a_template_refuses_are_that_calls_error(tmp_path: Path) -> None:
    model = hf(tmp_path, NO_SYSTEM)
    system = (Message("system", "Be brief."), *TURN[:1])
    refused, fine = await model.generate([GenerationCall(t, Sampling(1)) for t in (system, TURN)])
    assert isinstance(fine, Generation)
    assert isinstance(refused, ModelError)
    assert "refuses the turns system, user: System role not supported" in str(refused)


async def test_a_subject_keeps_only_what_was_said() -> None:
    model = ThinkingModel(["<think>x</think>Answer: 1"], chat=True)
    await grown(PromptedGenerator(model, TEXT), context(subject("a dozen is 12")))
    assert "<think>" not in str(model.asked[0].prompt)
