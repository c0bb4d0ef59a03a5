"""One queue in front of every model of the process, so that requests of all searches share batches and slots.

    scheduler = current_scheduler()
    generation = await scheduler.generate(model, call, group=problem_id)
    scores = await scheduler.score(scorer, trace, group=problem_id)

A model has a lane. Whenever a slot of it is free, the lane takes what is queued, up to a batch; `fair_queue` says in which order. There are no time
windows: requests made in the same turn of the event loop coalesce because the lane looks at its queue only once no more have come for a turn.

Equal requests in flight are joined: the model is asked once, and each of those who asked gets the whole answer. What it says it cost is what the call
costs alone, so a search's record and budget do not depend on what else was in flight; the statistics here count what the model really did.

A search waits for what it asked, so at most (problems at once) × (requests in flight in each) requests ever wait. Those who begin further searches
wait for `room` first: with a long queue a new search would only grow old in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any

from ...graph.errors import ModelError
from .base import Generation, GenerationCall, LanguageModel, ScoringModel, Trace, draws_unique
from .lane import Check, Invoke, Lane
from .load import Load, LoadMeter, ModelStatistics

_LANES = 64
"""Lanes from which on idle ones are closed, so that a long-lived process does not keep every model it ever asked."""


class Scheduler:
    """Batches, bounds and fairly orders all model calls of one event loop."""

    def __init__(self) -> None:
        self._lanes: dict[int, Lane] = {}
        self._meters: dict[str, LoadMeter] = {}
        self._room: list[asyncio.Future[None]] = []
        """Those who wait for shorter queues."""
        self._closed = False

    async def generate(
        self, model: LanguageModel, call: GenerationCall, group: Hashable = None, *, urgent: bool = False
    ) -> Generation:
        """Return what the model answered.

        Args:
            model: who is asked.
            call: what it is asked.
            group: whose turn the call waits for, such as a search.
            urgent: whether it goes before calls that are not: a judgement that a search waits for, before its new thoughts.

        Raises:
            ModelError: if this call failed, or the model broke its contract.
            ModelUnavailableError: if no call to this model can succeed.
        """
        if call.unique and not draws_unique(model):
            raise ModelError(f"{model.name} cannot draw without replacement; leave out unique")
        lane = self._lanes.get(id(model)) or self._open(model, model.generate, _check_generation)
        return await lane.ask(call, call.n, group, urgent)

    async def score(self, model: ScoringModel, trace: Trace, group: Hashable = None) -> list[float]:
        """Return a score in [0, 1] a step.

        Raises:
            ModelError: if this trace could not be scored: a score that is NaN or out of range is an error, never a 0.
            ModelUnavailableError: if no call to this model can succeed.
        """
        lane = self._lanes.get(id(model)) or self._open(model, model.score, _check_scores)
        return list(await lane.ask(trace, 1, group, False))

    async def room(self) -> None:
        """Wait until no model's queue is long."""
        while any(lane.long for lane in self._lanes.values()):
            waiter = asyncio.get_running_loop().create_future()
            self._room.append(waiter)
            await waiter

    @property
    def statistics(self) -> dict[str, ModelStatistics]:
        """Statistics by model name."""
        return {name: meter.statistics for name, meter in self._meters.items()}

    def load(self) -> list[Load]:
        """Return what the models are at, in the order in which they were first asked; read it regularly, rates are since earlier readings."""
        return [meter.read() for meter in self._meters.values()]

    async def aclose(self) -> None:
        """Stop what runs and fail what waits; the models themselves stay open."""
        self._closed = True
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))

    def _open(self, model: LanguageModel | ScoringModel, invoke: Invoke, check: Check) -> Lane:
        if self._closed:
            raise ModelError(f"the scheduler is closed; no call to {model.name} can be made")
        if len(self._lanes) >= _LANES:
            self._lanes = {key: lane for key, lane in self._lanes.items() if not lane.idle}
        if model.name not in self._meters:
            self._meters[model.name] = LoadMeter(model.name, ModelStatistics())
        statistics = self._meters[model.name].statistics
        lane = self._lanes[id(model)] = Lane(model, invoke, check, statistics, self._shorter)
        return lane

    def _shorter(self) -> None:
        if self._room and not any(lane.long for lane in self._lanes.values()):
            waiters, self._room = self._room, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)


_schedulers: dict[asyncio.AbstractEventLoop, Scheduler] = {}


def current_scheduler() -> Scheduler:
    """Return the scheduler of the running event loop: one for all runs in it, so that they share their models' limits."""
    loop = asyncio.get_running_loop()
    scheduler = _schedulers.get(loop)
    if scheduler is None:
        for other in list(_schedulers):
            if other.is_closed():
                _schedulers.pop(other, None)
        scheduler = _schedulers[loop] = Scheduler()
    return scheduler


def _check_generation(call: GenerationCall, result: Any) -> str | None:
    if not isinstance(result, Generation):
        return f"returned {type(result).__name__} for a call; a backend returns Generation or ModelError"
    if len(result.samples) != call.n:
        return f"returned {len(result.samples)} samples for a call of {call.n}"
    return None


def _check_scores(trace: Trace, result: Any) -> str | None:
    wanted = 1 if trace.newest else len(trace.steps)
    if len(result) != wanted:
        return f"returned {len(result)} scores where {wanted} were wanted"
    for score in result:
        if not 0.0 <= score <= 1.0:  # false for NaN
            return f"gave a step the score {score!r}, which is not in [0, 1]"
    return None
