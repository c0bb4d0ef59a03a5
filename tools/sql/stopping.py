"""How a call in a thread is ended: by a clock of its own, or by whoever no longer wants the answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
Action = Callable[[], None]


class Stopper:
    """Ends what a thread is doing, from other threads. One for each call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._action: Action | None = None
        self._stopped = False

    def stop(self) -> None:
        """End it now; what is begun later ends at once."""
        with self._lock:
            self._stopped = True
            if self._action is not None:
                self._action()

    @contextmanager
    def watching(self, action: Action, *steps: tuple[float, Action]) -> Generator[None]:
        """Run a block that `action` ends on `stop`; each step's action runs its seconds after the start, unless the block is over by then.

        No action runs once the block is over. An action must be quick and may run more than once.
        """
        over = False

        def unless_over(do: Action) -> Action:
            def run() -> None:
                with self._lock:
                    if not over:
                        do()

            return run

        timers = [threading.Timer(max(0.0, delay), unless_over(do)) for delay, do in steps]
        for timer in timers:
            timer.daemon = True
            timer.start()
        with self._lock:
            self._action = action
            if self._stopped:
                action()
        try:
            yield
        finally:
            with self._lock:
                over = True
                self._action = None
            for timer in timers:
                timer.cancel()


async def in_thread(executor: Executor, call: Callable[[Stopper], T]) -> T:
    """Run a call in a thread; if the waiting task is cancelled, the call is ended."""
    stopper = Stopper()
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, call, stopper)
    except asyncio.CancelledError:
        stopper.stop()
        raise
