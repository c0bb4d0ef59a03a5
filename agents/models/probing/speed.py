"""How fast a model is: one call alone, and many at once."""

from __future__ import annotations

import asyncio
import time

from .asking import Asker, Finding

TOKENS = 32
CALLS = 16
WITHIN_S = 15.0
"""Seconds that the calls may take; then what is answered by then counts."""
_GAIN = 1.5
"""Times as many tokens a second that calls at once should bring at least."""


async def check_speed(asker: Asker) -> Finding:
    """Tokens a second of one call, and of `CALLS` at once."""
    alone, took, _ = await _timed(asker, 1)
    if not alone:
        return Finding("speed", "note", f"one call of {TOKENS} tokens took longer than {WITHIN_S:g} s")
    together, long, missing = await _timed(asker, CALLS)
    one, all_ = alone / took, together / long
    detail = f"one call {took:.2f} s, {one:.0f} tokens/s; {CALLS} at once {all_:.0f} tokens/s"
    if missing:
        return Finding("speed", "note", f"{detail}; {missing} of them took longer than {WITHIN_S:g} s")
    if all_ < _GAIN * one:
        return Finding(
            "speed",
            "note",
            f"{detail}: calls at once gain little, so --parallel does too; it may be busy, or serve one at a time",
        )
    return Finding("speed", "ok", detail)


async def _timed(asker: Asker, calls: int) -> tuple[int, float, int]:
    """Return generated tokens, seconds, and how many calls were not answered in time.

    Raises:
        ModelError: if a call fails.
    """
    began = time.perf_counter()
    tasks = [
        asyncio.ensure_future(
            asker.ask(asker.open_question, tokens=TOKENS, temperature=1.0, seed=100 * calls + i)
        )
        for i in range(calls)
    ]
    try:
        done, waiting = await asyncio.wait(tasks, timeout=WITHIN_S)
        took = time.perf_counter() - began
        return sum(task.result().completion_tokens for task in done), took, len(waiting)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
