"""One queue in front of every model of the process, so that requests of all searches share batches and slots.

    scheduler = Scheduler()
    generation = await scheduler.generate(model, call, group=problem_id)
    scores = await scheduler.score(scorer, trace, group=problem_id)

A model has a lane. Whenever a slot of it is free, the lane takes what is queued, up to a batch, problem by problem
in turn, so one search cannot starve another. There are no time windows: requests made in the same turn of the event
loop coalesce because the lane looks at its queue only once no more have come for a turn.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from ...graph.errors import ModelError, ModelUnavailableError
from .base import Generation, GenerationCall, LanguageModel, Limits, ScoringModel, Trace, draws_unique

_MAX_TURNS = 16
"""Turns of the event loop a lane waits at most while requests keep coming."""


@dataclass(slots=True)
class LaneStatistics:
    """What one model has done so far."""

    calls: int = 0
    """Calls or traces answered, failed ones included; joined score requests count once."""
    errors: int = 0
    invocations: int = 0
    """Times the backend was invoked, each with one batch."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    busy_s: float = 0.0
    """Slot-seconds: the sum of all invocations' wall time."""
    max_batch: int = 0
    """Most calls in one invocation."""
    joined: int = 0
    """Score requests answered by an equal one in flight."""


class Scheduler:
    """Batches, bounds and fairly orders all model calls of one event loop."""

    def __init__(self) -> None:
        self._lanes: dict[int, _Lane] = {}
        self._closed = False

    async def generate(
        self, model: LanguageModel, call: GenerationCall, group: Hashable = None
    ) -> Generation:
        """Return what the model answered; the call waits its group's turn.

        Raises:
            ModelError: if this call failed, or the model broke its contract.
            ModelUnavailableError: if no call to this model can succeed.
        """
        if call.unique and not draws_unique(model):
            raise ModelError(f"{model.name} cannot draw without replacement; leave out unique")
        lane = self._lanes.get(id(model)) or self._open(model, model.generate, _check_generation)
        return await lane.ask(call, call.n, group)

    async def score(self, model: ScoringModel, trace: Trace, group: Hashable = None) -> list[float]:
        """Return a score in [0, 1] a step; equal traces in flight are scored once.

        Raises:
            ModelError: if this trace could not be scored: a score that is NaN or out of range is an error, never a 0.
            ModelUnavailableError: if no call to this model can succeed.
        """
        lane = self._lanes.get(id(model)) or self._open(model, model.score, _check_scores)
        return list(await lane.ask(trace, 1, group, join=True))

    @property
    def statistics(self) -> dict[str, LaneStatistics]:
        """Statistics by model name."""
        return {lane.model.name: lane.statistics for lane in self._lanes.values()}

    async def aclose(self) -> None:
        """Stop what runs and fail what waits; the models themselves stay open."""
        self._closed = True
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))

    def _open(
        self, model: LanguageModel | ScoringModel, invoke: _Invoke, check: Callable[[Any, Any], str | None]
    ) -> _Lane:
        if self._closed:
            raise ModelError(f"the scheduler is closed; no call to {model.name} can be made")
        lane = self._lanes[id(model)] = _Lane(model, invoke, check)
        return lane


_Invoke = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]


class _Item:
    """A queued or running request with the futures of those who wait for it."""

    __slots__ = ("batch", "payload", "rows", "waiters")

    def __init__(self, payload: Any, rows: int) -> None:
        self.payload = payload
        self.rows = rows
        self.waiters: list[asyncio.Future[Any]] = []
        self.batch: _Batch | None = None

    @property
    def abandoned(self) -> bool:
        return all(waiter.done() for waiter in self.waiters)

    def resolve(self, result: Any) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                if isinstance(result, BaseException):
                    waiter.set_exception(result)
                else:
                    waiter.set_result(result)


class _Batch:
    """Items that one invocation answers."""

    __slots__ = ("items", "task")

    def __init__(self, items: list[_Item]) -> None:
        self.items = items
        self.task: asyncio.Task[None] | None = None


class _Lane:
    def __init__(
        self, model: LanguageModel | ScoringModel, invoke: _Invoke, check: Callable[[Any, Any], str | None]
    ) -> None:
        self.model = model
        self.statistics = LaneStatistics()
        self._invoke = invoke
        self._check = check
        self._limits: Limits = model.limits
        self._queues: OrderedDict[Hashable, deque[_Item]] = OrderedDict()
        self._queued = 0
        self._running: set[_Batch] = set()
        self._inflight: dict[Any, _Item] = {}
        self._pumping = False
        self._closed = False
        self._loop = asyncio.get_running_loop()

    async def ask(self, payload: Any, rows: int, group: Hashable, *, join: bool = False) -> Any:
        if self._closed:
            raise ModelError(f"the scheduler is closed; no call to {self.model.name} can be made")
        item = self._inflight.get(payload) if join else None
        if item is None or item.abandoned:
            item = self._enqueue(payload, rows, group)
            if join:
                self._inflight[payload] = item
        else:
            self.statistics.joined += 1
        waiter: asyncio.Future[Any] = self._loop.create_future()
        item.waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._abandon(item, waiter)
            raise

    def _enqueue(self, payload: Any, rows: int, group: Hashable) -> _Item:
        item = _Item(payload, rows)
        queue = self._queues.get(group)
        if queue is None:
            queue = self._queues[group] = deque()
        queue.append(item)
        self._queued += 1
        if not self._pumping and len(self._running) < self._limits.concurrency:
            self._pumping = True
            self._loop.call_soon(self._settle, 0, self._queued)
        return item

    def _abandon(self, item: _Item, waiter: asyncio.Future[Any]) -> None:
        if waiter.done() and not waiter.cancelled():
            waiter.exception()  # retrieved, so that asyncio does not report an error nobody can receive any more
        batch = item.batch
        if batch is not None and batch.task is not None and all(other.abandoned for other in batch.items):
            batch.task.cancel()

    def _settle(self, turn: int, seen: int) -> None:
        """Wait for a turn of the loop in which no request came, or for a full batch; then start what fits."""
        coming = turn == 0 or self._queued > seen
        if self._limits.batch > 1 and coming and turn < _MAX_TURNS and self._queued < self._limits.batch:
            self._loop.call_soon(self._settle, turn + 1, self._queued)
            return
        self._pumping = False
        self._pump()

    def _pump(self) -> None:
        while self._queued and len(self._running) < self._limits.concurrency and not self._closed:
            items = self._take()
            if items:
                batch = _Batch(items)
                self._running.add(batch)
                for item in items:
                    item.batch = batch
                batch.task = self._loop.create_task(self._run(batch))

    def _take(self) -> list[_Item]:
        """Take the next batch, one call a group in turn; its rows stay within the batch limit."""
        items: list[_Item] = []
        rows = 0
        while self._queues:
            group, queue = next(iter(self._queues.items()))
            item = queue[0]
            if not item.abandoned and items and rows + item.rows > self._limits.batch:
                break
            queue.popleft()
            self._queued -= 1
            if queue:
                self._queues.move_to_end(group)
            else:
                del self._queues[group]
            if item.abandoned:
                self._forget(item)
                continue
            items.append(item)
            rows += item.rows
            if rows >= self._limits.batch:
                break
        return items

    async def _run(self, batch: _Batch) -> None:
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

    def _finish(self, batch: _Batch, results: Sequence[Any], seconds: float) -> None:
        self._running.discard(batch)
        statistics = self.statistics
        statistics.invocations += 1
        statistics.busy_s += seconds
        statistics.calls += len(batch.items)
        statistics.max_batch = max(statistics.max_batch, len(batch.items))
        for item, result in zip(batch.items, results, strict=True):
            self._forget(item)
            if not isinstance(result, BaseException):
                wrong = self._check(item.payload, result)
                result = ModelError(f"{self.model.name} {wrong}") if wrong else result
            if isinstance(result, BaseException):
                statistics.errors += 1
            elif isinstance(result, Generation):
                statistics.prompt_tokens += result.prompt_tokens
                statistics.completion_tokens += result.completion_tokens
            item.resolve(result)
        if self._queued and not self._pumping:
            # those just answered may ask again at once: let them join the next batch
            self._pumping = True
            self._loop.call_soon(self._settle, 0, self._queued)

    def _forget(self, item: _Item) -> None:
        if self._inflight and self._inflight.get(item.payload) is item:
            del self._inflight[item.payload]

    def _fail_queued(self, error: BaseException) -> None:
        queues, self._queues, self._queued = self._queues, OrderedDict(), 0
        for queue in queues.values():
            for item in queue:
                self._forget(item)
                item.resolve(error)

    async def close(self) -> None:
        self._closed = True
        self._fail_queued(ModelError(f"the scheduler was closed before {self.model.name} was called"))
        tasks = [batch.task for batch in self._running if batch.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _check_generation(call: GenerationCall, result: Any) -> str | None:
    if not isinstance(result, Generation):
        return f"returned {type(result).__name__} for a call; a backend returns Generation or ModelError"
    if len(result.samples) != call.n:
        return f"returned {len(result.samples)} samples for a call of {call.n}"
    return None


def _check_scores(trace: Trace, result: Any) -> str | None:
    if len(result) != len(trace.steps):
        return f"returned {len(result)} scores for {len(trace.steps)} steps"
    for score in result:
        if not 0.0 <= score <= 1.0:  # false for NaN
            return f"gave a step the score {score!r}, which is not in [0, 1]"
    return None
