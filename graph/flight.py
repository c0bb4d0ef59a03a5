"""The requests of one search that are under way, and the wait for those that come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, Protocol, TypeVar


class Held(Protocol):
    """What comes back: work that came to something, or waits for budget."""

    held: bool


W = TypeVar("W", bound=Held)


class Flight(Generic[W]):
    """Tasks by the id of their request, in the order they were begun.

    Waiting costs the same however many are under way: a search may have a hundred, and come back for each.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, asyncio.Task[W]] = {}
        self._back = 0
        """Ended, and not collected yet."""
        self.useful = 0
        """Of these that ended and were not collected yet, all but the ones that wait for budget."""
        self._waiter: asyncio.Future[None] | None = None
        self._enough: Callable[[], bool] = lambda: True

    def begin(self, request: str, job: Coroutine[Any, Any, W]) -> None:
        """Let a request be answered."""
        task = self.tasks[request] = asyncio.create_task(job)
        task.add_done_callback(partial(self._ended, request))

    async def wait(self, timeout: float | None, enough: Callable[[], bool] | None = None) -> None:
        """Wait until everything is back, or until as much is back as is enough, but not longer than `timeout` seconds.

        `enough` is asked whenever a request came back to something; by default one is. One held back for want of budget comes back at once
        and is asked again: it wakes nobody while there are calls to wait for.
        """
        self._enough = enough or (lambda: True)
        if self._satisfied():
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                await self._waiter
        except TimeoutError:
            return
        finally:
            self._waiter = None

    def collect(self) -> list[W]:
        """Return what came back, in the order it was begun; a cancelled task comes to nothing, a failed one raises what it failed with."""
        ended = [(request, task) for request, task in self.tasks.items() if task.done()]
        self._back = self.useful = 0
        for request, _ in ended:
            del self.tasks[request]
        return [task.result() for _, task in ended if not task.cancelled()]

    async def end(self, patience: float = 0.0) -> None:
        """Wait up to `patience` seconds for what is under way, and cancel the rest."""
        tasks = list(self.tasks.values())
        if tasks and patience > 0:
            await asyncio.wait(tasks, timeout=patience)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, request: str, task: asyncio.Task[W]) -> None:
        if self.tasks.get(request) is not task:  # collected before the loop came to tell
            return
        self._back += 1
        self.useful += task.cancelled() or task.exception() is not None or not task.result().held
        if self._waiter is not None and not self._waiter.done() and self._satisfied():
            self._waiter.set_result(None)

    def _satisfied(self) -> bool:
        return self._back >= len(self.tasks) or (self.useful > 0 and self._enough())
