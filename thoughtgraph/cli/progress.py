"""Progress on stderr while a search goes on: a bar over many problems, a spinner over one, and under it what the models are at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, Self

from .output import interactive

if TYPE_CHECKING:
    from ..agents.models.load import Load
    from ..tasks.runner import UnitEnd


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

    def load(self, loads: Sequence[Load]) -> None:
        """Learn what the models are at."""
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

    def load(self, loads: Sequence[Load]) -> None:
        """Show nothing."""


class Bar(Silent):
    """A bar over the problems of a run (done, solved, time left), with a line under it: what the models are at."""

    def __init__(self, total: int, done: int, solved: int, failed: int, *, period: float = 120) -> None:
        """Make a bar; the time left is estimated from the last `period` seconds."""
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._solved, self._failed = solved, failed
        self._line = ""
        console = Console(stderr=True)
        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[counts]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            speed_estimate_period=period,
        )
        self._task = self._progress.add_task("", total=total, completed=done, counts=self._counts())
        self._live = Live(get_renderable=self._drawn, console=console, transient=True, refresh_per_second=10)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def ended(self, end: UnitEnd) -> None:
        """Advance the bar."""
        self._failed += end.error is not None
        self._solved += end.verdict is not None and end.verdict.correct
        self._progress.update(self._task, advance=1, counts=self._counts())

    def load(self, loads: Sequence[Load]) -> None:
        """Say what the models are at."""
        self._line = load_line(loads)

    def redraw(self) -> None:
        """Show the counts as they are now."""
        self._progress.update(self._task, counts=self._counts())

    def _drawn(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        return Group(self._progress, Text(self._line, style="dim", no_wrap=True, overflow="ellipsis"))

    def _counts(self) -> str:
        failed = f", {self._failed} failed" if self._failed else ""
        return f"{self._solved} solved{failed}"


class Spinner(Silent):
    """A sign of life over one problem: thoughts and tokens so far, and what the models are at."""

    def __init__(self) -> None:
        from rich.console import Console

        self._status = Console(stderr=True).status("loading")
        self._thoughts, self._tokens, self._line = 1, 0, ""

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
            self._tokens = event["usage"]["completion_tokens"]
            self._redraw()

    def load(self, loads: Sequence[Load]) -> None:
        """Say what the models are at."""
        self._line = load_line(loads)
        if self._line:
            self._redraw()

    def _redraw(self) -> None:
        at = f"; {self._line}" if self._line else ""
        self._status.update(f"searching: {self._thoughts:,} thoughts, {self._tokens:,} tokens{at}")


def load_line(loads: Sequence[Load]) -> str:
    """Return in one line what all models together are at; nothing before the first was asked.

    The share of prompt tokens that were in a prefix cache is there where a model tells of any.
    """
    if not loads:
        return ""
    parts = [
        f"{sum(load.tokens_per_second for load in loads):,.0f} tokens/s",
        f"{sum(load.in_flight for load in loads):,} in flight",
        f"{sum(load.queued for load in loads):,} queued",
    ]
    telling = [load for load in loads if load.cached_prompt_tokens]
    if telling:
        share = sum(x.cached_prompt_tokens for x in telling) / sum(x.prompt_tokens for x in telling)
        parts.append(f"{share:.0%} of prompts cached")
    return ", ".join(parts)


def choose(make: Callable[[], Board], *, hidden: bool) -> AbstractContextManager[Board]:
    """Return the board, or a silent one where progress is not wanted or cannot be drawn."""
    return Silent() if hidden or not interactive() else make()
