"""Generators: who proposes the next steps.

`StepGenerator` continues raw text in the task's own step format: the shipped model, or any base model. `PromptedGenerator` talks to a chat model
with the prompt files of this package, and passes on the criticism that earlier steps got.

Both merge equal proposals where the request wants distinct ones, drop what the path already has, and drop truncated steps: half a step is
never a thought.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..graph.domain import Domain
from ..graph.errors import AgentError, BudgetSpentError
from ..graph.records import Operator
from .models.base import GenerationCall, LanguageModel, Message, Sample, Sampling
from .prompting import fill, load_prompt
from .protocols import Context, Draft, Gateway, Proposal


@dataclass(frozen=True, slots=True)
class StepGenerator:
    """Continues the question and the steps so far as raw text, one step a line."""

    model: LanguageModel
    domain: Domain
    temperature: float = 1.0
    """≥ 0; a request's own temperature goes before it."""
    top_p: float = 1.0
    min_p: float = 0.0
    """See `Sampling.min_p`: keeps high temperatures to plausible tokens."""

    @property
    def name(self) -> str:
        """Identity for content addresses."""
        return f"step:{self.model.name}"

    async def propose(self, context: Context, gateway: Gateway) -> Sequence[Proposal]:
        """See `Generator.propose`; only `generate` requests."""
        _only_generate(self.name, context)
        prompt = self.domain.prompt(context.problem.question, context.subjects[0].steps)
        sampling = _sampling(context, self.domain, self.temperature, self.top_p, self.min_p)
        return await sample_proposals(self.model, prompt, sampling, context, self.domain.stop, gateway)


@dataclass(frozen=True, slots=True)
class PromptedGenerator:
    """Asks a chat model for the next step, or for all steps to the answer."""

    model: LanguageModel
    domain: Domain
    temperature: float = 0.7
    top_p: float = 1.0

    @property
    def name(self) -> str:
        """Identity for content addresses; the prompt is part of each call's own."""
        return f"prompted:{self.model.name}"

    async def propose(self, context: Context, gateway: Gateway) -> Sequence[Proposal]:
        """See `Generator.propose`; only `generate` requests."""
        _only_generate(self.name, context)
        asked = fill(
            load_prompt(f"next_{context.request.horizon}"),
            question=context.problem.question,
            steps="\n".join(context.subjects[0].steps) or "(none yet)",
            notes="\n".join(f"- {note}" for note in context.notes) or "(none)",
        )
        turns = (Message("system", load_prompt(self.domain.instructions)), Message("user", asked))
        sampling = _sampling(context, self.domain, self.temperature, self.top_p)
        return await sample_proposals(self.model, turns, sampling, context, self.domain.stop, gateway)


async def sample_proposals(
    model: LanguageModel,
    prompt: str | tuple[Message, ...],
    sampling: Sampling,
    context: Context,
    stop: str,
    gateway: Gateway,
) -> list[Proposal]:
    """Draw the request's samples from a model and read them as proposals.

    For generators of your own: give the prompt, get de-duplicated proposals without truncated steps. Where the budget lets a call draw fewer samples
    than wanted, further calls draw the rest, as long as it lasts.
    """
    request = context.request
    proposals: dict[object, Proposal] = {}
    drawn = 0
    while drawn < request.n:
        call = GenerationCall(prompt, sampling, request.n - drawn, context.seed, request.first_sample + drawn)
        try:
            call_id, generation = await gateway.generate(model, call)
        except BudgetSpentError as refusal:
            if refusal.held or not drawn:
                raise
            break
        for index, sample in enumerate(generation.samples, start=drawn):
            steps = read_steps(sample, stop, whole=request.horizon == "answer")
            texts = tuple(step.text for step in steps)
            if not steps or (request.distinct and texts[0] in context.siblings and len(texts) == 1):
                continue
            key: object = texts if request.distinct else index
            if key in proposals:
                proposals[key] = replace(proposals[key], count=proposals[key].count + 1)
            else:
                proposals[key] = Proposal(steps, request.first_sample + index, call=call_id)
        drawn += len(generation.samples)
    return list(proposals.values())


def read_steps(sample: Sample, stop: str, *, whole: bool) -> tuple[Draft, ...]:
    """Split a sample into its steps, with each one's tokens and log-probability where the backend told.

    Args:
        sample: what the model wrote.
        stop: the string that ends a step.
        whole: whether the sample may hold many steps; otherwise only the first counts.

    Returns:
        The complete steps in order; a truncated or filtered one is left out, and with `filter` all are.
    """
    if sample.finish == "filter":
        return ()
    lines = sample.text.split(stop)
    if sample.finish == "length":
        lines.pop()
    drafts: list[Draft] = []
    start = 0
    for line in lines:
        end = start + len(line) + len(stop)
        if line.strip():
            tokens, logprob = _share(sample, start, end, alone=len(lines) == 1)
            drafts.append(Draft(line.strip(), tokens, logprob))
        start = end
    return tuple(drafts if whole else drafts[:1])


def _share(sample: Sample, start: int, end: int, *, alone: bool) -> tuple[int, float | None]:
    """Return the tokens and the log-probability of the text from `start` to `end` of a sample."""
    if alone:
        return sample.tokens, None if sample.logprobs is None else sum(sample.logprobs)
    if sample.pieces is None:
        return 0, None
    at = 0
    inside: list[int] = []
    for index, piece in enumerate(sample.pieces):
        if start <= at < end:
            inside.append(index)
        at += len(piece)
    logprob = None if sample.logprobs is None else sum(sample.logprobs[i] for i in inside)
    return len(inside), logprob


def _sampling(
    context: Context, domain: Domain, temperature: float, top_p: float, min_p: float = 0.0
) -> Sampling:
    request = context.request
    heat = temperature if request.temperature is None else request.temperature
    if request.horizon == "step":
        return Sampling(domain.step_tokens, heat, top_p, min_p, stop=(domain.stop,))
    left = max(1, domain.max_steps - context.subjects[0].thought.depth)
    return Sampling(domain.step_tokens * left, heat, top_p, min_p)


def _only_generate(name: str, context: Context) -> None:
    if context.request.operator is not Operator.GENERATE:
        raise AgentError(
            f"generator {name!r} cannot {context.request.operator}; give the scheme a generator that can"
        )
