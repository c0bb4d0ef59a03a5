"""Progress on stderr while a search goes on: a bar over many problems, a spinner over one."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, Self

from .output import interactive

if TYPE_CHECKING:
    from ..tasks.runner import UnitEnd

WINDOW_SECONDS = 15.0
"""Tokens per second are a mean over this long."""


class Board(Protocol):
    """What is told of a search while it goes on."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def ended(self, end: UnitEnd) -> None:
        """Learn how one problem ended."""
        ...

    def event(self, event: dict[str, Any]) -> None:
        """Learn what a machine streams."""
        ...


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def ended(self, end: UnitEnd) -> None:
        """Show nothing."""

    def event(self, event: dict[str, Any]) -> None:
        """Show nothing."""


class TokenRate:
    """Generated tokens per second, from the running totals that each search reports.

    Args:
        paid: totals of searches that went on before, by problem: what they paid then is not today's speed.
        clock: seconds, for tests.
    """

    def __init__(
        self, paid: Mapping[str, int] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._totals = dict(paid or {})
        self._clock = clock
        self._tokens = 0
        self._marks: deque[tuple[float, int]] = deque([(clock(), 0)])

    def update(self, problem: str, total: int) -> None:
        """Take in the total of one problem's search."""
        self._tokens += max(0, total - self._totals.get(problem, 0))
        self._totals[problem] = total
        self._marks.append((self._clock(), self._tokens))

    def forget(self, problem: str) -> None:
        """Drop a finished search."""
        self._totals.pop(problem, None)

    @property
    def per_second(self) -> float:
        """Tokens per second (≥ 0) over the last seconds."""
        now = self._clock()
        while len(self._marks) > 1 and self._marks[1][0] <= now - WINDOW_SECONDS:
            self._marks.popleft()
        since, tokens = self._marks[0]
        return (self._tokens - tokens) / (now - since) if now > since else 0.0


class Bar(Silent):
    """A bar over the problems of a run: done, solved, tokens per second, time left."""

    def __init__(
        self, total: int, done: int, solved: int, failed: int, rate: TokenRate, *, period: float = 120
    ) -> None:
        """Make a bar; the time left is estimated from the last `period` seconds."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._rate, self._solved, self._failed = rate, solved, failed
        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[counts]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=Console(stderr=True),
            transient=True,
            speed_estimate_period=period,
        )
        self._task = self._progress.add_task("", total=total, completed=done, counts=self._counts())

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def ended(self, end: UnitEnd) -> None:
        """Advance the bar."""
        self._rate.forget(end.problem.id)
        self._failed += end.error is not None
        self._solved += end.verdict is not None and end.verdict.correct
        self._progress.update(self._task, advance=1, counts=self._counts())

    def event(self, event: dict[str, Any]) -> None:
        """Count tokens."""
        if event.get("event") == "updated":
            self._rate.update(event["problem"], event["usage"]["completion_tokens"])
            self.redraw()

    def redraw(self) -> None:
        """Show the counts as they are now."""
        self._progress.update(self._task, counts=self._counts())

    def _counts(self) -> str:
        failed = f", {self._failed} failed" if self._failed else ""
        return f"{self._solved} solved{failed}, {self._rate.per_second:,.0f} tokens/s"


class Spinner(Silent):
    """A sign of life over one problem: thoughts and tokens so far."""

    def __init__(self) -> None:
        from rich.console import Console

        self._status = Console(stderr=True).status("loading")
        self._thoughts = 1

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def event(self, event: dict[str, Any]) -> None:
        """Count thoughts and tokens."""
        if event.get("event") == "generated":
            self._thoughts += len(event["thoughts"])
        if event.get("event") == "updated":
            tokens = event["usage"]["completion_tokens"]
            self._status.update(f"searching: {self._thoughts:,} thoughts, {tokens:,} tokens")


def choose(make: Callable[[], Board], *, hidden: bool) -> AbstractContextManager[Board]:
    """Return the board, or a silent one where progress is not wanted or cannot be drawn."""
    return Silent() if hidden or not interactive() else make()
