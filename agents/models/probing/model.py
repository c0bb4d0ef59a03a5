"""The checks of one language model, from whether it answers at all to how fast it is.

A check asks up to five times; all of them together make about 20 calls of at most `asking.TOKENS` tokens a sample, and 17 of `speed.TOKENS`. What follows
from a check's finding is said where it is found. A model that does not answer its first call is not asked again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from ....graph.errors import ModelError
from ..base import LanguageModel
from . import draws, reports, speed, steps
from .asking import Asker, Finding, Status, in_time, quoted, reached

Check = Callable[[Asker], Awaitable[Finding]]

CHECKS: Sequence[tuple[str, Check, Status, str]] = (
    ("template", reports.check_template, "note", ""),
    ("reasoning", reports.check_reasoning, "note", ""),
    ("continuation", steps.check_continuation, "note", "have it asked for each step (--stepping ask)"),
    ("stops", steps.check_stops, "problem", "a search by steps needs stop strings"),
    ("seeds", draws.check_seeds, "problem", "a search needs samples at temperature 1"),
    ("samples", draws.check_samples, "problem", "a search asks for several samples of one prompt"),
    ("logprobs", reports.check_logprobs, "note", reports.WITHOUT_LOGPROBS),
    ("token_ids", reports.check_token_ids, "note", ""),
    ("usage", reports.check_usage, "note", ""),
    ("min_p", draws.check_min_p, "note", "leave out --min-p"),
    ("cache", reports.check_cache, "note", ""),
    ("speed", speed.check_speed, "note", ""),
)
"""Name, check, what it is if the model fails in it, and what follows then."""
_WITHOUT_TEMPLATE = "a model without one continues raw text: write openai:NAME?completions=true, or NAME?chat=false in this process"


async def probe(model: LanguageModel) -> AsyncIterator[Finding]:
    """Yield what the checks of a model find, in their order, each as soon as it is found.

    It costs about 36 prompts, two of them of some 200 tokens and the others short, and fewer than a thousand generated tokens. The model stays open.
    """
    asker = Asker(model)
    try:
        yield await _reached(asker)
        if asker.greedy is not None:
            for name, check, status, consequence in CHECKS:
                try:
                    yield await check(asker)
                except ModelError as error:
                    yield Finding(name, status, "; ".join(filter(None, (str(error), consequence))))
    finally:
        await asker.aclose()


async def reach(model: LanguageModel) -> Finding:
    """Return whether a model answers, for one short prompt."""
    asker = Asker(model)
    try:
        return await _reached(asker)
    finally:
        await asker.aclose()


async def _reached(asker: Asker) -> Finding:
    """Return whether the model answers, and if it lacks a chat template, what to do about it."""
    model = asker.model
    try:
        await reached(model)
        answer = await asker.first()
    except ModelError as error:
        if "template" in str(error):
            return Finding("template", "problem", f"{error}; {_WITHOUT_TEMPLATE}")
        return Finding("reachable", "problem", str(error))
    context = await _context(model)
    known = f"; its context is {context:,} tokens" if context else ""
    return Finding("reachable", "ok", f"{model.name} answers: {quoted(answer.samples[0].text)}{known}")


async def _context(model: LanguageModel) -> int | None:
    """Return how many tokens prompt and answer may have together, where the model has a method that tells."""
    tell: Callable[[], Awaitable[int | None]] | None = getattr(model, "context", None)
    try:
        return None if tell is None else await in_time(model.name, tell())
    except ModelError:
        return None
