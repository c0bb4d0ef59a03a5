"""From samples to proposals: reading steps off what a model wrote, merging equal ones, leaving out what is incomplete."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from .models.base import Sample
from .protocols import Context, Draft, Proposal


class Candidate(NamedTuple):
    """One sample as a chain of steps, before equal ones are merged."""

    place: int
    """Its place among the samples of the request, from 0."""
    call: str | None
    steps: tuple[Draft, ...]


def merge(context: Context, candidates: Iterable[Candidate]) -> list[Proposal]:
    """Return candidates as proposals.

    Empty ones are left out. Where the request wants distinct ones, equal ones are merged and counted, and what the subject has among its children
    already is left out.
    """
    request = context.request
    proposals: dict[object, Proposal] = {}
    for place, call, steps in candidates:
        texts = tuple(step.text for step in steps)
        if not texts or (request.distinct and _is_known(context, texts)):
            continue
        key: object = texts if request.distinct else place
        if key in proposals:
            proposals[key] = replace(proposals[key], count=proposals[key].count + 1)
        else:
            proposals[key] = Proposal(steps, request.first_sample + place, call=call)
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
    # a model that ends with the line that separates steps does not always end that line
    mark = stop.rstrip()
    text = sample.text + stop[len(mark) :] if mark and sample.text.endswith(mark) else sample.text
    lines = text.split(stop)
    if sample.finish == "length":
        lines.pop()
    single = (
        sample.pieces is None and sample.finish != "length" and sum(1 for line in lines if line.strip()) == 1
    )
    drafts: list[Draft] = []
    start = 0
    for line in lines:
        end = start + len(line) + len(stop)
        if line.strip():
            tokens, logprob = _share(sample, start, end, alone=single or len(lines) == 1)
            drafts.append(Draft(line.strip(), tokens, logprob))
        start = end
    return tuple(drafts if whole else drafts[:1])


def as_one(sample: Sample, text: str) -> Draft:
    """Return a whole sample as one step of this text, with all its tokens."""
    return Draft(text, sample.tokens, None if sample.logprobs is None else sum(sample.logprobs))


def kept(steps: Iterable[str]) -> tuple[Draft, ...]:
    """Return steps that were taken over from an earlier thought: nothing was generated for them."""
    return tuple(Draft(step) for step in steps)


def _is_known(context: Context, texts: tuple[str, ...]) -> bool:
    if context.request.horizon == "solution":
        return "\n".join(texts) in context.siblings
    return len(texts) == 1 and texts[0] in context.siblings


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
