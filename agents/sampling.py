"""How a request becomes a model call: with which parameters, and how its samples are read. Step by step it becomes several: see `stepping`."""

from __future__ import annotations

from ..graph.domain import Domain
from .asking import Prompt, draw
from .drafts import Candidate, Unfinished, merge, never, read_steps
from .models.base import GenerationCall, LanguageModel, Sampling
from .protocols import Context, Gateway, Proposal


def sampling_of(
    context: Context,
    domain: Domain,
    temperature: float,
    top_p: float = 1.0,
    min_p: float = 0.0,
    *,
    kept: int | None = None,
) -> Sampling:
    """Return the parameters of a request's calls.

    Args:
        context: of the request; its own temperature goes before `temperature`.
        domain: whose bounds on steps and their tokens hold.
        temperature: the generator's own.
        top_p: see `Sampling`.
        min_p: see `Sampling`.
        kept: steps that the sample continues; None: as many as lead to the first subject.
    """
    request = context.request
    heat = temperature if request.temperature is None else request.temperature
    if request.horizon == "step" or (request.steps and request.horizon == "answer"):
        return Sampling(domain.step_tokens, heat, top_p, min_p, stop=(domain.stop,))
    done = context.subjects[0].thought.depth if kept is None else kept
    return Sampling(domain.step_tokens * max(1, domain.max_steps - done), heat, top_p, min_p)


async def sample_proposals(
    model: LanguageModel,
    prompt: Prompt,
    sampling: Sampling,
    context: Context,
    stop: str,
    gateway: Gateway,
    *,
    unfinished: Unfinished = never,
    turn: bool = False,
) -> list[Proposal]:
    """Draw the request's samples from a model and read them as proposals.

    For generators of your own: give the prompt, get de-duplicated proposals without truncated steps. Where the budget lets a call draw fewer samples
    than wanted, further calls draw the rest, as long as it lasts. A stop inside a block, as `unfinished` has it, ends no step; with `turn` the
    model's own end ends the solution.
    """
    drawn = await draw(model, call_of(context, prompt, sampling), gateway)
    whole = context.request.horizon != "step"
    read = [(d, read_steps(d.sample, stop, whole=whole, unfinished=unfinished, turn=turn)) for d in drawn]
    return merge(context, [Candidate(d.place, d.call, steps) for d, steps in read])


def call_of(context: Context, prompt: Prompt, sampling: Sampling) -> GenerationCall:
    """Return the call for all samples of a request."""
    request = context.request
    return GenerationCall(prompt, sampling, request.n, context.seed, request.first_sample)
