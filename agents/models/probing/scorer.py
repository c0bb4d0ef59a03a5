"""The checks of one scoring model, with steps of the numbers game: any model can read them, ours can judge them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence

from ....graph.errors import ModelError
from ..base import ScoringModel, Trace, score_kind
from ..scheduler import Scheduler
from .asking import PUZZLE, Finding, in_time, reached

RIGHT = ("10 - 4 = 6 (left: 5 6 6)", "5 * 6 = 30 (left: 6 30)")
WRONG = "10 * 6 = 60 (left: 4 5 60)"
_AGREE = 1e-3
"""By which two scores of the same step may differ."""
_TRACES = 16


async def probe_scorer(scorer: ScoringModel) -> AsyncIterator[Finding]:
    """Yield what the checks of a scoring model find; one that gives no scores is not asked further.

    It is asked for about 20 short traces. The model stays open.
    """
    scheduler = Scheduler()

    async def score(steps: Sequence[str], newest: bool = False) -> list[float]:
        return await in_time(scorer.name, scheduler.score(scorer, Trace(PUZZLE, tuple(steps), newest)))

    try:
        await reached(scorer)
        scores = await score(RIGHT)
        yield _told(scorer, scores, await score((WRONG,)))
        if (compared := getattr(scorer, "compared", None)) is not None:
            yield _tokenizer(compared)
        yield _newest(scores, await score(RIGHT, newest=True))
        yield _prefix(scorer, scores, await score(RIGHT[:1]))
        yield await _speed(scheduler, scorer)
    except ModelError as error:
        yield Finding("scores", "problem", str(error))
    finally:
        await scheduler.aclose()


def _told(scorer: ScoringModel, scores: Sequence[float], wrong: Sequence[float]) -> Finding:
    told = f"{scorer.name} scores {', '.join(f'{score:.3f}' for score in scores)}; a poor first step {wrong[0]:.3f}"
    if max(abs(scores[0] - wrong[0]), abs(scores[0] - scores[1])) < 1e-6:
        return Finding(
            "scores",
            "note",
            f"{told}: the same for every step, which leads no search; its format or its head may be the wrong one",
        )
    kind = (
        "a number a step"
        if score_kind(scorer) == "step"
        else "a number for a whole solution; it judges finished ones, not steps"
    )
    return Finding("scores", "ok", f"{told}; {kind}")


def _tokenizer(compared: Mapping[str, bool]) -> Finding:
    """Return whether the servers told how they read text; one that reads it otherwise has given no scores."""
    if compared and all(compared.values()):
        return Finding("tokenizer", "ok", "the server reads text as the tokenizer here does")
    return Finding(
        "tokenizer",
        "note",
        "the server does not tell how it reads text (POST /tokenize), so its tokenizer could not be compared with the one here; "
        "make sure that ?tokenizer= is the served model's own",
    )


def _newest(scores: Sequence[float], newest: Sequence[float]) -> Finding:
    if abs(newest[0] - scores[-1]) > _AGREE:
        return Finding(
            "newest",
            "problem",
            f"asked for the newest step alone it gives {newest[0]:.4f}, and with the others {scores[-1]:.4f}; it must be the same",
        )
    return Finding("newest", "ok", "the newest step's score is the same alone")


def _prefix(scorer: ScoringModel, scores: Sequence[float], first: Sequence[float]) -> Finding:
    if abs(first[0] - scores[0]) <= _AGREE:
        return Finding("prefix", "ok", "a step's score does not depend on later ones")
    if score_kind(scorer) == "outcome":
        return Finding("prefix", "ok", "a number is of all steps together, as it should be")
    return Finding(
        "prefix",
        "note",
        f"the first step's score is {first[0]:.4f}, and {scores[0]:.4f} once another follows: it is not causal, so a thought's score does not hold for its children",
    )


async def _speed(scheduler: Scheduler, scorer: ScoringModel) -> Finding:
    traces = [Trace(PUZZLE, (*RIGHT, f"30 - {i} = {30 - i} (left: {30 - i})")) for i in range(_TRACES)]
    began = time.perf_counter()
    await in_time(scorer.name, _all(scheduler, scorer, traces))
    took = time.perf_counter() - began
    return Finding(
        "score_speed",
        "ok",
        f"{_TRACES} traces of 3 steps at once in {took:.2f} s, {_TRACES / took:.0f} a second",
    )


async def _all(scheduler: Scheduler, scorer: ScoringModel, traces: Sequence[Trace]) -> None:
    await asyncio.gather(*(scheduler.score(scorer, trace) for trace in traces))
