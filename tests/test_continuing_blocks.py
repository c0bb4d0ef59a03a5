"""Blocks over several lines are one step, and what was cut is no step at all."""

from __future__ import annotations

from typing import Any

import pytest
from agents_world import TEXT, context, grown
from hypothesis import given, settings
from hypothesis import strategies as st

from thoughtgraph.agents.drafts import joined, read_steps
from thoughtgraph.agents.generator import PromptedGenerator, StepGenerator
from thoughtgraph.agents.models.base import GenerationCall, Sample
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.agents.models.text import cut_at_stop
from thoughtgraph.tasks.blocks import in_fence, in_latex
from thoughtgraph.tasks.families import CodeDomain
from thoughtgraph.tasks.numbers import NumbersDomain
from thoughtgraph.tasks.registry import load_task

CODE = CodeDomain()


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("plain", False),
        ("```", True),
        ("```python\nx = 1", True),
        ("```python\nx = 1\n```", False),
        ("so:\n  ```\nx\n  ```\nand", False),
        ("````\n```\n", True),  # a shorter fence does not close a longer one
        ("````\n```\n````", False),
        ("```\n~~~\n", True),
        ("~~~\n```\n~~~", False),
        ("use ```x``` here", False),
        ("```x``` is code", False),
        ("```\n```python\n", True),  # what has an info string closes nothing
    ],
)
def test_fences(text: str, inside: bool) -> None:
    assert in_fence(text) is inside


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        (r"\[ x = 1", True),
        ("\\[\nx = 1\n\\]", False),
        (r"\begin{align} a &= b \\[2pt]", True),
        ("\\begin{align}\na &= b \\\\[2pt]\n\\end{align}", False),
        (r"\begin{a}\begin{b}\end{b}", True),
        (r"\begin{a}\[\end{a}", False),  # a wrong end closes what is inside
        (r"\end{a} \]", False),
        (r"a \\[4pt] b", False),
        (r"\(x\) and $5", False),
        ("```\n\\[\n```", False),  # in a program it is none
    ],
)
def test_latex(text: str, inside: bool) -> None:
    assert in_latex(text) is inside


@pytest.mark.parametrize(
    ("name", "blocks"), [("text", True), ("math", True), ("multihop", True), ("code", False)]
)
def test_every_family_says_when_a_step_breaks_off(name: str, blocks: bool) -> None:
    domain: Any = load_task(name).domain
    assert domain.unfinished("```\nx")
    assert domain.unfinished(r"\[ x") is blocks
    assert not hasattr(NumbersDomain(), "unfinished")


async def test_a_block_in_a_whole_solution_is_one_step() -> None:
    text = "We have\n\\[\nx = 1\n\\]\nso\n```\n1\n\n2\n```\nAnswer: 1"
    thoughts = await grown(StepGenerator(ScriptedModel([text]), TEXT), context(horizon="answer"))
    assert [t.text for t in thoughts] == ["We have", "\\[\nx = 1\n\\]", "so", "```\n1\n\n2\n```", "Answer: 1"]
    assert sum(t.tokens for t in thoughts) == len(text.split())


@pytest.mark.parametrize("finish", ["length", "end", "stop"])
@pytest.mark.parametrize("horizon", ["answer", "solution"])
async def test_what_is_cut_is_neither_a_step_nor_the_answer(finish: Any, horizon: Any) -> None:
    for generator in (StepGenerator, PromptedGenerator):
        chat = generator is PromptedGenerator
        open_ = Sample("one\n```\nAnswer: 3\nx", finish, 5)
        [thought] = await grown(generator(ScriptedModel([open_], chat=chat), TEXT), context(horizon=horizon))
        assert (thought.text, thought.answer) == ("one", None)
        cut = Sample("one\nAnswer: 3", "length", 4)
        [thought] = await grown(generator(ScriptedModel([cut], chat=chat), TEXT), context(horizon=horizon))
        assert (thought.text, thought.answer) == ("one", None)


@pytest.mark.parametrize(
    "request_", [{}, {"horizon": "answer", "steps": 3}, {"horizon": "answer"}, {"horizon": "solution"}]
)
@pytest.mark.parametrize(
    "sample", [Sample("half", "length", 1), Sample("half\nand", "filter", 2), Sample("", "stop", 1)]
)
async def test_nothing_comes_of_a_sample_without_a_whole_step(
    request_: dict[str, Any], sample: Sample
) -> None:
    assert await grown(StepGenerator(ScriptedModel([sample]), TEXT), context(**request_)) == []
    chat = ScriptedModel([sample], chat=True)
    assert await grown(PromptedGenerator(chat, TEXT), context(**request_)) == []


LINES = st.sampled_from(
    ["one", "x = 1", "```", "```python", "~~~", "````", "", "@@", "  ```", "Answer: 3", r"\[", r"\]"]
)
TEXTS = st.lists(LINES, max_size=12).map("\n".join)
FINISHES: Any = st.sampled_from(["stop", "end", "length"])


@given(TEXTS, FINISHES, st.booleans(), st.sampled_from([TEXT, CODE]))
def test_no_step_is_the_beginning_of_a_block(text: str, finish: Any, whole: bool, domain: Any) -> None:
    drafts = read_steps(Sample(text, finish, 3), domain.stop, whole=whole, unfinished=domain.unfinished)
    assert not [draft.text for draft in drafts if in_fence(draft.text)]
    assert all(draft.text in text for draft in drafts)


class LineModel(ScriptedModel):
    """Writes a text through whatever calls continue it, as a model with one mind would."""

    def __init__(self, text: str) -> None:
        super().__init__(self._rest, chat=False)
        self._text = text + "\n"

    def _rest(self, call: GenerationCall) -> list[Sample]:
        assert isinstance(call.prompt, str)
        done = call.prompt.removeprefix("How many are 3 dozen?\n")
        assert self._text.startswith(done)
        text, stopped = cut_at_stop(self._text[len(done) :], call.sampling.stop)
        return [Sample(text, "stop" if stopped else "end", 1)] * call.n


@settings(deadline=None)
@given(TEXTS.filter(lambda text: "  " not in text))  # a step is recorded without white space around it
async def test_steps_drawn_one_by_one_are_those_of_the_whole_text(text: str) -> None:
    """Repair loses nothing: up to an empty line or an open block, a chain has the steps that the text as one sample has."""
    asked = context(horizon="answer", steps=40)
    thoughts = await grown(StepGenerator(LineModel(text), TEXT), asked)
    steps = read_steps(Sample(text, "end", 1), "\n", whole=True, unfinished=TEXT.unfinished)
    drawn, expected = [t.text for t in thoughts], [step.text for step in steps]
    assert drawn == expected[: len(drawn)]
    assert not [step for step in drawn if in_fence(step)]


def test_samples_are_joined_with_what_is_known_of_both() -> None:
    first = Sample("a", "stop", 2, logprobs=(-1.0, -2.0), pieces=("a", "\n"))
    rest = Sample("b", "end", 1, logprobs=(-3.0,), pieces=("b",))
    assert joined(first, rest, "\n") == Sample(
        "a\nb", "end", 3, logprobs=(-1.0, -2.0, -3.0), pieces=("a", "\n", "b")
    )
    vague = Sample("a", "stop", 2, pieces=("a", "\n\n"))
    assert joined(vague, rest, "\n") == Sample("a\nb", "end", 3)
