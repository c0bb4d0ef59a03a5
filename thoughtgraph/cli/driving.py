"""Drives a search from the command line: signals, progress, and how to go on after it stopped early."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..graph.errors import ThoughtGraphError
from .codes import ExitCode
from .failures import failure_notes, failure_record
from .output import remedy, tell, usage_line
from .progress import Board
from .spending import budget_note

if TYPE_CHECKING:
    from ..agents.models.load import Load
    from ..storage.store import SqlStore
    from ..tasks.runner import Drain
    from ..tasks.runs import Summary, Watch


LOAD_SECONDS = 0.5
"""Between two readings of what the models are at."""

RESUME_NOTE = "resume with:"
"""How the note on an error that left a run unfinished begins."""


@dataclass(frozen=True, slots=True)
class Place:
    """A run and where it is recorded."""

    store: SqlStore
    run: str
    db: str | None
    """As the user named it."""

    @property
    def resume(self) -> str:
        """The command that goes on with the run."""
        return remedy("resume", self.run, db=self.db)

    @property
    def show(self) -> str:
        """The command that shows the run."""
        return remedy("show", self.run, db=self.db)


def drive(
    place: Place, work: Callable[[Watch], Awaitable[Summary]], board: AbstractContextManager[Board]
) -> tuple[Summary, bool]:
    """Run a search to its end, or to the first signal's graceful stop.

    Returns:
        The run as it stands, and whether it was interrupted with problems left.

    Raises:
        ThoughtGraphError: what stopped the run, with a note on how to resume it.
    """
    from ..tasks.runner import Drain
    from ..tasks.runs import Watch

    drain = Drain()
    loads: list[Load] = []
    try:
        with board as shown:

            def load(told: Sequence[Load]) -> None:
                loads[:] = told
                shown.load(told)

            watch = Watch(drain, shown.ended, shown.event, load, tell)
            summary = asyncio.run(_guarded(_shown(work(watch), load), drain, place, loads))
    except Exception as error:
        if _recorded(place):
            error.add_note(f"{RESUME_NOTE} {place.resume}")
        raise
    interrupted = drain.requested and summary.finished < summary.problems
    if interrupted:
        left = summary.problems - summary.finished
        tell(f"interrupted with {left} of {summary.problems} problems left; resume with: {place.resume}")
    return summary, interrupted


async def _shown(work: Awaitable[Summary], show: Callable[[Sequence[Load]], None]) -> Summary:
    """Await the work, and keep showing what the models are at."""
    from ..agents.models.scheduler import current_scheduler

    async def tell_load() -> None:
        while True:
            if loads := current_scheduler().load():  # where workers search, they tell
                show(loads)
            await asyncio.sleep(LOAD_SECONDS)

    telling = asyncio.create_task(tell_load())
    try:
        return await work
    finally:
        telling.cancel()


async def _guarded(work: Awaitable[Summary], drain: Drain, place: Place, loads: Sequence[Load]) -> Summary:
    """Await the work with signals turned into a drain: the first stops gracefully, the second cuts, the third ends the process.

    `loads`: what the models were last told to be at.
    """
    signals = 0

    def stop() -> None:
        nonlocal signals
        signals += 1
        if signals == 1:
            tell(f"stopping{_patience(loads)}; resume with: {place.resume}")
        if signals > 2:  # a call that cannot be cancelled; everything known is recorded
            os._exit(ExitCode.INTERRUPTED)
        drain.request()

    loop = asyncio.get_running_loop()
    caught = (signal.SIGINT, signal.SIGTERM)
    with contextlib.suppress(NotImplementedError):  # Windows has no signal handlers in event loops
        for number in caught:
            loop.add_signal_handler(number, stop)
    try:
        return await work
    finally:
        with contextlib.suppress(NotImplementedError):
            for number in caught:
                loop.remove_signal_handler(number)


def _patience(told: Sequence[Load]) -> str:
    """Return for what a stop waits, and how not to; "" if it waits for nothing. Where workers search, `told` is what they are at."""
    from ..agents.models.scheduler import current_scheduler
    from ..tasks.runner import DRAIN_SECONDS

    number = sum(load.in_flight + load.queued for load in current_scheduler().load() or told)
    if not number:
        return ""
    requests = "1 request" if number == 1 else f"{number:,} requests"
    return f": waiting up to {DRAIN_SECONDS:g} s for {requests} under way, Ctrl-C again ends them now"


def notes(place: Place) -> list[str]:
    """Return what is to be said of a run beside its figures, in lines: of its budget, and of what failed."""
    budget = budget_note(place.store, place.run)
    return [*([budget] if budget else []), *failure_notes(place.store, place.run)]


def report(place: Place, summary: Summary, interrupted: bool, emit: Callable[[Any], None] | None) -> ExitCode:
    """Print how a run stands, as a record where `emit` is given, and return the exit code."""
    if emit is not None:
        emit(_record(summary) | {"failures": failure_record(place.store, place.run)})
    else:
        accuracy = "" if summary.accuracy is None else f" ({summary.accuracy:.1%} of those graded)"
        print(f"run {summary.run}: {summary.solved} of {summary.problems} solved{accuracy}")
        print(usage_line(summary.usage))
        for note in notes(place):
            print(note)
        print(f"see the problems: {place.show}")
    if interrupted:
        return ExitCode.INTERRUPTED
    if summary.failed:
        tell(
            f"error: {summary.failed} of {summary.problems} problems failed; see why: {place.show}; "
            f"try them again: {place.resume} --retry-failed"
        )
        return ExitCode.FAILED
    return ExitCode.OK


def _record(summary: Summary) -> dict[str, Any]:
    return {
        "run": summary.run,
        "problems": summary.problems,
        "finished": summary.finished,
        "solved": summary.solved,
        "failed": summary.failed,
        "graded": summary.graded,
        "accuracy": summary.accuracy,
        "usage": summary.usage.as_dict(),
    }


def _recorded(place: Place) -> bool:
    """Whether the run got as far as the database, so that there is something to resume."""
    try:
        place.store.run(place.run)
    except ThoughtGraphError:
        return False
    return True
