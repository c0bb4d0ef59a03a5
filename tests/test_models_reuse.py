"""Answers from memory: the same as the model's own, and never of another call or of a failure."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from thoughtgraph.agents.models.base import Generation, GenerationCall, Limits, Sampling, Trace
from thoughtgraph.agents.models.reuse import Reuse
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.graph.errors import ModelError


class Counting(ScriptedModel):
    """Counts the calls that reach it, and fails the first time it is asked about a prompt with `!`."""

    def __init__(self) -> None:
        super().__init__(lambda call: [f"{call.prompt} {call.first_sample + i}" for i in range(call.n)])
        self.prompts: list[str] = []

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        answers = await super().generate(calls)
        for place, call in enumerate(calls):
            prompt = str(call.prompt)
            if "!" in prompt and prompt not in self.prompts:
                answers[place] = ModelError("not now")
            self.prompts.append(prompt)
        return answers


class CountingScorer:
    """Scores a step by its length."""

    name = "lengths"
    limits = Limits(batch=8)

    def __init__(self) -> None:
        self.asked = 0

    async def score(self, traces: Sequence[Trace]) -> list[list[float] | ModelError]:
        self.asked += len(traces)
        return [[1 / (1 + len(step)) for step in trace.steps] for trace in traces]


def call(prompt: str, seed: int = 0, n: int = 1) -> GenerationCall:
    return GenerationCall(prompt, Sampling(8, 1.0), n, seed)


async def test_a_call_is_made_once_and_its_neighbours_are_made() -> None:
    inner, reuse = Counting(), Reuse()
    model = reuse.model(inner)
    first = await model.generate([call("a"), call("b")])
    again = await model.generate([call("b"), call("c"), call("a")])
    assert again == [first[1], *(await inner.generate([call("c")])), first[0]]
    assert inner.prompts == ["a", "b", "c", "c"]
    assert reuse.reused == 2


@pytest.mark.parametrize("other", [call("a", seed=1), call("a", n=2), call("A")])
async def test_what_differs_at_all_is_another_call(other: GenerationCall) -> None:
    inner = Counting()
    model = Reuse().model(inner)
    await model.generate([call("a")])
    assert await model.generate([other]) == await inner.generate([other])
    assert len(inner.prompts) == 3


async def test_a_failure_is_not_remembered() -> None:
    model = Reuse().model(Counting())
    [failed] = await model.generate([call("a!")])
    [answered] = await model.generate([call("a!")])
    assert isinstance(failed, ModelError)
    assert isinstance(answered, Generation)


async def test_the_oldest_answers_are_forgotten() -> None:
    inner = Counting()
    model = Reuse(calls=2).model(inner)
    for prompt in ("a", "b", "a", "c", "a", "b"):  # c drives b out, which was asked for longer ago than a
        await model.generate([call(prompt)])
    assert inner.prompts == ["a", "b", "c", "b"]


async def test_scores_are_remembered_by_scorer_and_trace() -> None:
    inner, other, reuse = CountingScorer(), CountingScorer(), Reuse()
    traces = [Trace("q", ("a", "bb")), Trace("q", ("a",))]
    first = await reuse.scorer(inner).score(traces)
    assert await reuse.scorer(inner).score(traces[::-1]) == first[::-1]
    assert inner.asked == 2
    other.name = "others"
    await reuse.scorer(other).score(traces)
    assert other.asked == 2


def test_a_model_is_wrapped_once() -> None:
    inner, reuse = Counting(), Reuse()
    assert reuse.model(inner) is reuse.model(inner)
    assert (reuse.model(inner).name, reuse.model(inner).limits) == (inner.name, inner.limits)
    with pytest.raises(ValueError, match="1 or more"):
        Reuse(calls=0)
