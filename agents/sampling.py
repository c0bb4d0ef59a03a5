"""How a request becomes model calls: with which parameters, in one call or step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..graph.domain import Domain
from ..graph.errors import BudgetSpentError, ModelError
from ..graph.ids import derive_seed
from .asking import Drawn, Prompt, draw, must_stop, together
from .drafts import Candidate, merge, read_steps
from .models.base import GenerationCall, LanguageModel, Sampling
from .protocols import Context, Draft, Gateway, Proposal


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
    unique: bool = False,
) -> list[Proposal]:
    """Draw the request's samples from a model and read them as proposals.

    For generators of your own: give the prompt, get de-duplicated proposals without truncated steps. Where the budget lets a call draw fewer samples
    than wanted, further calls draw the rest, as long as it lasts. With `unique` they are drawn without replacement and without what the subject's
    children say already.
    """
    call = call_of(context, prompt, sampling)
    if unique:
        call = replace(call, unique=True, avoid=tuple(dict.fromkeys(context.siblings)))
    drawn = await draw(model, call, gateway)
    whole = context.request.horizon != "step"
    return merge(
        context, [Candidate(d.place, d.call, read_steps(d.sample, stop, whole=whole)) for d in drawn]
    )


def call_of(context: Context, prompt: Prompt, sampling: Sampling) -> GenerationCall:
    """Return the call for all samples of a request."""
    request = context.request
    return GenerationCall(prompt, sampling, request.n, context.seed, request.first_sample)


async def walk(
    model: LanguageModel,
    domain: Domain,
    prompt: Callable[[tuple[str, ...]], Prompt],
    sampling: Sampling,
    context: Context,
    gateway: Gateway,
) -> list[Proposal]:
    """Draw chains of at most `request.steps` steps, one step a call, so that no token is generated beyond the last.

    The samples share the call for their first step; then each goes on by itself, all at once. A chain ends early with a terminal step, at the
    domain's bound, or where a call fails or is refused: what was paid stays.

    Args:
        model: who continues.
        domain: says where a step and where the solution ends.
        prompt: what is asked after these steps, those of the subject included.
        sampling: of one step.
        context: of the request.
        gateway: the way to the model.
    """
    request, subject = context.request, context.subjects[0]
    longest = max(1, min(request.steps, domain.max_steps - subject.thought.depth))

    async def extend(first: Drawn) -> tuple[Draft, ...]:
        drawn, drafts = first, list[Draft]()
        while step := read_steps(drawn.sample, domain.stop, whole=False):
            drafts.append(replace(step[0], call=drawn.call))
            path = (*subject.steps, *(draft.text for draft in drafts))
            if len(drafts) == longest or domain.read(context.problem.question, path).terminal:
                break
            # a seed of its own for each step: the same draws would come again otherwise
            seed = derive_seed(context.seed, *(draft.text for draft in drafts))
            call = GenerationCall(prompt(path), sampling, 1, seed, request.first_sample + first.place)
            try:
                [drawn] = await draw(model, call, gateway)
            except (BudgetSpentError, ModelError) as error:
                if must_stop(error):
                    raise
                break
        return tuple(drafts)

    firsts = await draw(model, call_of(context, prompt(subject.steps), sampling), gateway)
    chains = await together(extend(first) for first in firsts)
    return merge(
        context, [Candidate(f.place, f.call, chain) for f, chain in zip(firsts, chains, strict=True)]
    )
