"""How agents ask models: as many samples as the budget lets, many calls at once, replies that must be readable.

Three rules of the house are kept here, for all agents:

* where the budget lets a call draw fewer samples than wanted, further calls draw the rest, as long as it lasts;
* calls of one request overlap, and when one of them fails the others still end before the failure is told, so that an answered call is never lost
  to one that was refused (a request that waits for budget starts again, and finds what was answered);
* a reply that cannot be read is asked for once more, as a further sample; what cannot be read then is a `ModelError`, never a score.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar, cast

from ..graph.errors import BudgetSpentError, ModelError, ModelUnavailableError
from .models.base import GenerationCall, LanguageModel, Message, Sample, Sampling
from .models.text import shorten
from .protocols import Gateway

T = TypeVar("T")

Prompt = str | tuple[Message, ...]

RETRY_TEMPERATURE = 0.7
"""At which a greedy reply that could not be read is asked for again: greedily it would only be repeated."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One sample and where it came from."""

    place: int
    """Its place among the samples wanted, from 0."""
    call: str
    """Id of the model call."""
    sample: Sample


class Part(NamedTuple):
    """What one sample is drawn from, where samples of a request differ in their prompts."""

    prompt: Prompt
    sampling: Sampling


async def draw(model: LanguageModel, call: GenerationCall, gateway: Gateway) -> list[Drawn]:
    """Return the samples of a call, fewer only where the budget is spent.

    Raises:
        BudgetSpentError: if not even one fits.
        ModelError: if the model failed.
    """
    drawn: list[Drawn] = []
    while len(drawn) < call.n:
        rest = call
        if drawn:
            rest = replace(call, n=call.n - len(drawn), first_sample=call.first_sample + len(drawn))
        if call.unique and drawn:
            known = (d.sample.text for d in drawn if d.sample.finish not in ("filter", "length"))
            rest = replace(rest, avoid=(*call.avoid, *known))
        try:
            call_id, generation = await gateway.generate(model, rest)
        except BudgetSpentError as refusal:
            if refusal.held or not drawn:
                raise
            break
        drawn += [Drawn(i, call_id, sample) for i, sample in enumerate(generation.samples, start=len(drawn))]
    return drawn


async def draw_each(
    model: LanguageModel, parts: Sequence[Part], seed: int, first_sample: int, gateway: Gateway
) -> list[Drawn | None]:
    """Return one sample for every part, in order; None for those that failed or that the budget refused, if others came.

    Equal parts share a call. Its first sample index is that of the first of them, so no two samples of one prompt draw from one seed, here or in
    a later request that begins where these end.

    Raises:
        BudgetSpentError: if none fits, or some have to wait.
        ModelError: if none came.
    """
    places: dict[Part, list[int]] = {}
    for place, part in enumerate(parts):
        places.setdefault(part, []).append(place)
    results = await settled(
        draw(model, GenerationCall(part.prompt, part.sampling, len(at), seed, first_sample + at[0]), gateway)
        for part, at in places.items()
    )
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures and (len(failures) == len(results) or must_stop(gravest(failures))):
        raise gravest(failures)
    found: list[Drawn | None] = [None] * len(parts)
    for at, result in zip(places.values(), results, strict=True):
        if not isinstance(result, BaseException):
            for place, drawn in zip(at, result, strict=False):
                found[place] = replace(drawn, place=place)
    return found


async def ask(
    model: LanguageModel, call: GenerationCall, gateway: Gateway, read: Callable[[Sample], T | None]
) -> list[T]:
    """Return what the replies to a call say: up to `call.n` readings, at least one.

    Raises:
        BudgetSpentError: if nothing that was read fits the budget.
        ModelError: if the model failed, or no reply could be read, not even at the second try.
    """
    read_so_far: list[T] = []
    unread = ""
    for again in (False, True):
        left = replace(call, n=call.n - len(read_so_far))
        if again:
            heat = call.sampling.temperature or RETRY_TEMPERATURE
            later = call.first_sample + call.n
            left = replace(left, first_sample=later, sampling=replace(call.sampling, temperature=heat))
        try:
            replies = await draw(model, left, gateway)
        except (BudgetSpentError, ModelError) as error:
            if not read_so_far or must_stop(error):
                raise
            break
        for reply in replies:
            reading = read(reply.sample)
            if reading is None:
                unread = reply.sample.text
            else:
                read_so_far.append(reading)
        if len(read_so_far) == call.n:
            break
    if not read_so_far:
        raise ModelError(
            f"{model.name} was asked twice and gave no reply that can be read: {shorten(unread, 80)!r}"
        )
    return read_so_far


async def settled(jobs: Iterable[Awaitable[T]]) -> list[T | BaseException]:
    """Return what each of these, which run at once, came to, a result or an error, when all have ended."""
    return await asyncio.gather(*jobs, return_exceptions=True)


async def together(jobs: Iterable[Awaitable[T]]) -> list[T]:
    """Return the results of these, which run at once; of several failures the gravest is raised, when all have ended."""
    results = await settled(jobs)
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures:
        raise gravest(failures)
    return cast("list[T]", results)


def gravest(failures: Iterable[BaseException]) -> BaseException:
    """Return the failure that matters most: a defect, a model that cannot answer, a wait for budget, the end of it, a failed call."""
    return min(failures, key=_urgency)


def must_stop(failure: BaseException) -> bool:
    """Return whether a failure is more than that of one call: nothing that was got besides makes up for it."""
    return _urgency(failure) < _SPENT


_SPENT = 3


def _urgency(failure: BaseException) -> int:
    if isinstance(failure, BudgetSpentError):
        return 2 if failure.held else _SPENT
    if isinstance(failure, ModelError):
        return 1 if isinstance(failure, ModelUnavailableError) else 4
    return 0


def last_word(sample: Sample, options: Collection[str]) -> str | None:
    """Return which option stands alone on the last line of a reply, whatever was said before; None if none does.

    A reply that was cut off has no last line.
    """
    lines = _lines(sample)
    return _option(lines[-1], options) if lines else None


def only_word(sample: Sample, options: Collection[str]) -> str | None:
    """Return which option a reply consists of; None if it says anything else."""
    lines = _lines(sample)
    return _option(lines[0], options) if len(lines) == 1 else None


def best_choice(sample: Sample, count: int) -> int | None:
    """Return the place, from 0, of the choice that the last line of a reply names: `The best choice is 2`."""
    lines = _lines(sample)
    found = _BEST.search(lines[-1]) if lines else None
    place = int(found[1]) if found else 0
    return place - 1 if 1 <= place <= count else None


def prose(sample: Sample) -> str | None:
    """Return the text of a reply on one line; of one that was cut off, its whole sentences; None if nothing is left."""
    text = " ".join(sample.text.split())
    if sample.finish == "length":
        text = text[: max(f"{text} ".rfind(mark) for mark in (". ", "! ", "? ")) + 1]
    return None if sample.finish == "filter" else text or None


_BEST = re.compile(r"\bbest choice is(?: choice)?[\s:*_#(\[]*(\d{1,6})[\s.*_)\]!]*$", re.IGNORECASE)
_MARKS = " \t*_`\"'.!:()[]#>-"


def _lines(sample: Sample) -> list[str]:
    if sample.finish in ("length", "filter"):
        return []
    return [line for line in sample.text.splitlines() if line.strip()]


def _option(line: str, options: Collection[str]) -> str | None:
    word = line.strip(_MARKS).casefold()
    return word if word in options else None
