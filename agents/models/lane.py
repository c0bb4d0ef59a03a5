"""The way to one model: what waits for it, what it is at, and the two kept within its limits."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any

from ...graph.errors import ModelError, ModelUnavailableError
from .base import Generation, LanguageModel, ScoringModel
from .fair_queue import FairQueue
from .load import ModelStatistics
from .pending import Batch, Item

Invoke = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
"""A backend's `generate` or `score`."""

Check = Callable[[Any, Any], str | None]
"""Says what is wrong with an answer to a request; None if nothing is."""

LONG_QUEUE = 4
"""A queue is long from this many times what the backend takes at once."""

_MAX_TURNS = 16
"""Turns of the event loop a lane waits at most while requests keep coming."""


class Lane:
    """Queues requests to one model and invokes it whenever a slot is free.

    Args:
        model: whose limits are read anew each time, so that they may move while it works.
        invoke: its method.
        check: of its answers.
        statistics: the counters of its name.
        shorter: called when the queue may be long no more.
    """

    def __init__(
        self,
        model: LanguageModel | ScoringModel,
        invoke: Invoke,
        check: Check,
        statistics: ModelStatistics,
        shorter: Callable[[], None],
    ) -> None:
        self.model = model
        self._invoke, self._check, self._statistics, self._shorter = invoke, check, statistics, shorter
        self._limits = model.limits
        self._queue: FairQueue[Item] = FairQueue()
        self._running: set[Batch] = set()
        self._asked: dict[Any, Item] = {}
        """What waits or runs, by request."""
        self._pumping = False
        self._closed = False

    @property
    def idle(self) -> bool:
        """Whether nothing waits or runs."""
        return not self._asked and not self._running

    @property
    def long(self) -> bool:
        """Whether more waits than the model will take soon."""
        limits = self._limits
        return self._queue.rows > LONG_QUEUE * limits.batch * limits.concurrency

    async def ask(self, payload: Any, rows: int, group: Hashable, urgent: bool) -> Any:
        """Return the answer to a request, or to an equal one that is under way."""
        if self._closed:
            raise ModelError(f"the scheduler is closed; no call to {self.model.name} can be made")
        item = self._asked.get(payload)
        if item is None or item.abandoned:
            item = self._asked[payload] = Item(payload, rows, group, urgent)
            self._enqueue(item)
        else:
            self._statistics.joined += 1
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        item.waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._leave(item, waiter)
            raise

    def _enqueue(self, item: Item) -> None:
        self._queue.push(item)
        self._statistics.queued += 1
        if not self._pumping and len(self._running) < self._limits.concurrency:
            self._pump_soon()

    def _leave(self, item: Item, waiter: asyncio.Future[Any]) -> None:
        """Drop a request that nobody waits for any more, and stop a batch of which that is true of all."""
        if waiter.done() and not waiter.cancelled():
            waiter.exception()  # retrieved, so that asyncio does not report an error nobody can receive any more
        if not item.abandoned:
            return
        batch = item.batch
        if item.queued:
            item.queued = False
            self._queue.discard(item)
            self._statistics.queued -= 1
            self._forget(item)
            self._shorter()
        elif batch is not None and batch.task is not None and all(other.abandoned for other in batch.items):
            batch.task.cancel()

    def _pump_soon(self) -> None:
        self._pumping = True
        asyncio.get_running_loop().call_soon(self._settle, 0, self._queue.size)

    def _settle(self, turn: int, seen: int) -> None:
        """Wait for a turn of the loop in which no request came, or for a full batch; then start what fits."""
        batch = self._limits.batch
        if batch > 1 and turn < _MAX_TURNS:
            queued = self._queue.size
            if (turn == 0 or queued > seen) and queued < batch:
                asyncio.get_running_loop().call_soon(self._settle, turn + 1, queued)
                return
        self._pumping = False
        self._pump()

    def _pump(self) -> None:
        limits = self._limits = self.model.limits
        while self._queue.size and len(self._running) < limits.concurrency and not self._closed:
            items = self._take(limits.batch)
            if items:
                batch = Batch(items)
                self._running.add(batch)
                for item in items:
                    item.batch = batch
                batch.task = asyncio.get_running_loop().create_task(self._run(batch))
        self._shorter()

    def _take(self, most: int) -> list[Item]:
        """Take the next batch, of at most `most` rows or one request, each group's requests side by side."""
        items, rows, room = list[Item](), 0, math.inf
        waited = self._queue.size
        while rows < most and (item := self._queue.pop(room)) is not None:
            item.queued = False
            if item.abandoned:  # in this very turn of the loop
                self._forget(item)
                continue
            items.append(item)
            rows += item.rows
            room = most - rows
        if len(items) > 1:
            groups: dict[Hashable, int] = {}
            items.sort(key=lambda item: groups.setdefault(item.group, len(groups)))
        self._statistics.queued -= waited - self._queue.size
        self._statistics.in_flight += len(items)
        return items

    async def _run(self, batch: Batch) -> None:
        items = batch.items
        start = time.perf_counter()
        results: Sequence[Any] = ()
        try:
            results = await self._invoke([item.payload for item in items])
            if len(results) != len(items):
                raise ModelError(f"{self.model.name} returned {len(results)} results for {len(items)} calls")
        except asyncio.CancelledError:
            results = [ModelError(f"the call to {self.model.name} was cancelled")] * len(items)
            raise
        except ModelUnavailableError as error:
            results = [error] * len(items)
            self._fail_queued(error)
        except Exception as error:  # noqa: BLE001  # a backend's bug belongs to the callers of this batch
            results = [error] * len(items)
        finally:
            self._finish(batch, results, time.perf_counter() - start)

    def _finish(self, batch: Batch, results: Sequence[Any], seconds: float) -> None:
        self._running.discard(batch)
        size, statistics = len(batch.items), self._statistics
        statistics.invocations += 1
        statistics.busy_s += seconds
        statistics.calls += size
        statistics.in_flight -= size
        statistics.max_batch = max(statistics.max_batch, size)
        for item, result in zip(batch.items, results, strict=True):
            self._forget(item)
            item.resolve(self._counted(item, result))
        if self._queue.size and not self._pumping:
            self._pump_soon()  # not at once: those just answered may ask again and join the next batch

    def _counted(self, item: Item, result: Any) -> Any:
        """Return a result, or what is wrong with it, and count it."""
        statistics = self._statistics
        if not isinstance(result, BaseException):
            try:
                wrong = self._check(item.payload, result)
            except Exception as error:  # noqa: BLE001  # whatever it is, those who wait must hear of it
                wrong = f"gave {result!r:.80}, which cannot be read ({error})"
            result = ModelError(f"{self.model.name} {wrong}") if wrong else result
        if isinstance(result, BaseException):
            statistics.errors += 1
        elif isinstance(result, Generation):
            statistics.prompt_tokens += result.prompt_tokens
            statistics.completion_tokens += result.completion_tokens
            statistics.cached_prompt_tokens += result.cached_prompt_tokens
        return result

    def _forget(self, item: Item) -> None:
        known = self._asked.pop(item.payload, None)
        if known is not None and known is not item:  # asked again after everybody had left
            self._asked[item.payload] = known

    def _fail_queued(self, error: BaseException) -> None:
        while (item := self._queue.pop()) is not None:
            item.queued = False
            self._statistics.queued -= 1
            self._forget(item)
            item.resolve(error)
        self._shorter()

    async def close(self) -> None:
        """Fail what waits and stop what runs."""
        self._closed = True
        self._fail_queued(ModelError(f"the scheduler was closed before {self.model.name} was called"))
        tasks = [batch.task for batch in self._running if batch.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
