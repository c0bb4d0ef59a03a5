"""From samples to proposals: reading steps off what a model wrote, merging equal ones, leaving out what is incomplete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from .models.base import Sample
from .protocols import Context, Draft, Proposal

Unfinished = Callable[[str], bool]
"""Whether a step of this text breaks off inside a block, see `graph.domain.unfinished`."""


def never(text: str) -> bool:
    """Return that no step is unfinished: the rule of tasks without blocks."""
    return False


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


def read_steps(
    sample: Sample, stop: str, *, whole: bool, unfinished: Unfinished = never, turn: bool = False
) -> tuple[Draft, ...]:
    """Split a sample into its steps, with each one's tokens and log-probability where the backend told.

    Args:
        sample: what the model wrote.
        stop: the string that ends a step.
        whole: whether the sample may hold many steps; otherwise only the first counts.
        unfinished: whether a text is no whole step yet, so that a stop at its end is part of it.
        turn: whether the model's own end ends the solution.

    Returns:
        The complete steps in order; a truncated or filtered one is left out, and with `filter` all are.
    """
    if sample.finish == "filter":
        return ()
    # a model that ends with the line that separates steps does not always end that line
    mark = stop.rstrip()
    text = sample.text + stop[len(mark) :] if mark and sample.text.endswith(mark) else sample.text
    parts = list(_parts(text, stop, unfinished))
    if sample.finish == "length" or unfinished(parts[-1].strip()):
        parts.pop()
    single = (
        sample.pieces is None and sample.finish != "length" and sum(1 for part in parts if part.strip()) == 1
    )
    drafts: list[Draft] = []
    start = _begin(sample)
    for part in parts:
        end = start + len(part) + len(stop)
        if part.strip():
            tokens, logprob = _share(sample, start, end, alone=single or len(parts) == 1)
            drafts.append(Draft(part.strip(), tokens, logprob))
        start = end
    if turn and drafts and sample.finish == "end":
        drafts[-1] = replace(drafts[-1], last=True)
    return tuple(drafts if whole else drafts[:1])


def joined(first: Sample, rest: Sample, between: str) -> Sample:
    """Return two samples as one, the second of which goes on where the first stopped; `between` is the stop string that stood there."""
    pieces = None
    if first.pieces is not None and rest.pieces is not None:
        told = "".join(first.pieces) == first.text + between
        pieces = (*first.pieces, *rest.pieces) if told else None
    both = first.logprobs is not None and rest.logprobs is not None
    return Sample(
        first.text + between + rest.text,
        rest.finish,
        first.tokens + rest.tokens,
        logprobs=(*(first.logprobs or ()), *(rest.logprobs or ())) if both else None,
        pieces=pieces,
        reasoning=first.reasoning,
    )


def _parts(text: str, stop: str, unfinished: Unfinished) -> Iterator[str]:
    """Yield the parts of a text between stop strings, but for those inside a block; what the last is may be unfinished."""
    part: str | None = None
    for line in text.split(stop):
        part = line if part is None else f"{part}{stop}{line}"
        if not unfinished(part.strip()):
            yield part
            part = None
    if part is not None:
        yield part


def _begin(sample: Sample) -> int:
    """Return where a sample's text begins in its pieces: after the thoughts, where they are among them."""
    if sample.reasoning is None or sample.pieces is None:
        return 0
    return max(0, "".join(sample.pieces).find(sample.text))


def as_one(sample: Sample, text: str) -> Draft:
    """Return a whole sample as one step of this text, with all its tokens."""
    return Draft(text, sample.tokens, _total(sample))


def kept(steps: Iterable[str]) -> tuple[Draft, ...]:
    """Return steps that were taken over from an earlier thought: nothing was generated for them."""
    return tuple(Draft(step) for step in steps)


def _is_known(context: Context, texts: tuple[str, ...]) -> bool:
    if context.request.horizon == "solution":
        return "\n".join(texts) in context.siblings
    return len(texts) == 1 and texts[0] in context.siblings


def _share(sample: Sample, start: int, end: int, *, alone: bool) -> tuple[int, float | None]:
    """Return the tokens and the log-probability of the text from `start` to `end` of a sample."""
    if alone and (sample.reasoning is None or sample.pieces is None):
        return sample.tokens, _total(sample)
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


def _total(sample: Sample) -> float | None:
    """Return the log-probability of a sample's text; None where the backend has none, or where that of its thoughts is mixed in."""
    return None if sample.logprobs is None or sample.reasoning is not None else sum(sample.logprobs)
