"""What the models of a process are doing: counters that the scheduler keeps, and the rates that a live display reads from them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_SECONDS = 15.0
"""Rates are means over this long."""

_SPACING = 0.25
"""Seconds between two marks of a rate."""


@dataclass(slots=True)
class ModelStatistics:
    """What the models of one name have done so far, and what they are at."""

    calls: int = 0
    """Calls or traces answered, failed ones included; joined requests count once."""
    errors: int = 0
    invocations: int = 0
    """Times the backend was invoked, each with one batch."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_prompt_tokens: int = 0
    """Prompt tokens that the backend said it had in its prefix cache."""
    busy_s: float = 0.0
    """Slot-seconds: the sum of all invocations' wall time."""
    max_batch: int = 0
    """Most calls in one invocation."""
    joined: int = 0
    """Requests answered by an equal one in flight."""
    in_flight: int = 0
    """Calls or traces that the backend is at now."""
    queued: int = 0
    """Calls or traces that wait now."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the models of one name are at, for a live display."""

    model: str
    tokens_per_second: float
    """Generated tokens per second (≥ 0) over the last seconds; 0 for a scoring model."""
    in_flight: int
    """Calls or traces that the backend is at (≥ 0)."""
    queued: int
    """Calls or traces that wait (≥ 0)."""
    prompt_tokens: int
    """Prompt tokens read in the last seconds (≥ 0)."""
    cached_prompt_tokens: int
    """Of these, tokens that were in the engine's prefix cache (≥ 0); 0 too where the backend does not tell."""


class LoadMeter:
    """Reads rates from the counters of a model.

    A rate is a mean over the last `WINDOW_SECONDS`, or since the last reading if that is longer ago.

    Args:
        model: its name.
        statistics: its counters.
        clock: seconds, for tests.
    """

    def __init__(
        self, model: str, statistics: ModelStatistics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.statistics = statistics
        self._model, self._clock = model, clock
        self._marks = deque([self._mark()])

    def read(self) -> Load:
        """Return the load as it is now."""
        mark = now, completion, prompt, cached = self._mark()
        marks = self._marks
        while len(marks) > 1 and marks[1][0] <= now - WINDOW_SECONDS:
            marks.popleft()
        since, completion_then, prompt_then, cached_then = marks[0]
        if now >= marks[-1][0] + _SPACING:
            marks.append(mark)
        return Load(
            self._model,
            (completion - completion_then) / (now - since) if now > since else 0.0,
            self.statistics.in_flight,
            self.statistics.queued,
            prompt - prompt_then,
            cached - cached_then,
        )

    def _mark(self) -> tuple[float, int, int, int]:
        s = self.statistics
        return self._clock(), s.completion_tokens, s.prompt_tokens, s.cached_prompt_tokens
