"""Searches the units of a run, many at once, grades each after its end, and stops gracefully when asked."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from ..agents.models.base import make_ready
from ..graph.errors import ModelUnavailableError, StoreError, ThoughtGraphError, UserError
from ..graph.host import Host
from ..graph.ledger import Lease, UnitResult
from ..graph.machine import Machine
from ..graph.records import Problem, Usage
from .base import GradingError, Item, Task, Verdict

DRAIN_SECONDS = 10.0
"""How long a drain waits for calls under way."""


@dataclass(frozen=True, slots=True)
class UnitEnd:
    """How one problem's search ended, for progress and summaries."""

    problem: Problem
    answer: str | None
    verdict: Verdict | None
    """None if the task cannot grade the question without a reference."""
    stopped: str
    usage: Usage
    error: str | None = None


@dataclass(slots=True)
class Drain:
    """A request to stop gracefully: nothing new starts, calls under way get a while, everything known is written."""

    control: RunControl = field(default_factory=RunControl)
    hosts: list[Host] = field(default_factory=list[Host])
    listeners: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    """Called at each request: who passes it on to other processes."""

    @property
    def requested(self) -> bool:
        """Whether the stop was asked for."""
        return self.control.drain_requested

    def request(self) -> None:
        """Ask once to stop; ask twice to stop at once."""
        for listener in self.listeners:
            listener()
        if self.requested:
            self._cut()
            return
        self.control.request_drain("interrupted")
        asyncio.get_running_loop().call_later(DRAIN_SECONDS, self._cut)

    def _cut(self) -> None:
        for host in self.hosts:
            host.cancel_calls()


@contextmanager
def collected_rarely() -> Generator[None]:
    """Run the cyclic garbage collector seldom inside: trees of records hold no cycles, and scanning them took a fifth of a search's time."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)


Listener = Callable[[UnitEnd], None]
EventListener = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class Runner:
    """Drives one machine over the units of one run."""

    machine: Machine
    host: Host
    task: Task
    run: str
    items: Mapping[str, Item]
    """Problems with their references, by problem id: for grading, after the search."""
    drain: Drain = field(default_factory=Drain)
    on_end: Listener | None = None
    on_event: EventListener | None = None
    _fatal: ThoughtGraphError | None = None
    _admission: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def search_all(self, parallel: int = 8) -> list[UnitEnd]:
        """Search all units that are left, up to `parallel` (≥ 1) at once, and return how they ended.

        While more calls wait for a model than it will take soon, no further unit is begun: it would only wait too, and its clock run.

        Raises:
            ModelUnavailableError, StoreError, UserError: what stopped the run; what was done is recorded and can be resumed.
        """
        self.drain.hosts.append(self.host)
        await self._ready()
        ends: list[UnitEnd] = []
        with collected_rarely():
            searches = [asyncio.ensure_future(self._work(ends)) for _ in range(parallel)]
            try:
                await asyncio.gather(*searches)
            finally:  # after an error or a cancellation each has still to give its unit back
                for search in searches:
                    if not search.cancelling():
                        search.cancel()
                await asyncio.gather(*searches, return_exceptions=True)
        if self._fatal is not None:
            raise self._fatal
        return ends

    async def _ready(self) -> None:
        """Make the models ready, before a unit is claimed; a drain does not wait for it."""
        if self.drain.requested:
            return
        starting = asyncio.ensure_future(make_ready(*self.host.setup.models))

        def give_up() -> None:
            starting.cancel()

        self.drain.listeners.append(give_up)
        try:
            await asyncio.wait({starting})
        finally:
            starting.cancel()
            self.drain.listeners.remove(give_up)
        if not starting.cancelled():
            starting.result()

    async def _work(self, ends: list[UnitEnd]) -> None:
        while self._fatal is None and not self.drain.requested:
            try:
                lease = await self._claim()
                if lease is None:
                    return
                end = await self._search(lease)
            except (ModelUnavailableError, StoreError, UserError) as error:
                self._fatal = self._fatal or error
                return
            if end is not None:
                ends.append(end)
                if self.on_end is not None:
                    self.on_end(end)

    async def _claim(self) -> Lease | None:
        """Claim a unit once the models have room for its calls; one at a time, so that each sees the calls of those before it."""
        setup = self.host.setup
        async with self._admission:
            await self.host.scheduler.room()
            if self._fatal is not None or self.drain.requested:
                return None
            claiming = asyncio.ensure_future(
                self.host.call(setup.store.claim, self.run, setup.worker, setup.lease_seconds)
            )
            try:
                return await asyncio.shield(claiming)
            except asyncio.CancelledError:  # the store goes on, and what it claims then would stay claimed
                lease = await claiming
                if lease is not None:
                    await self._let_go(lease)
                raise

    async def _search(self, lease: Lease) -> UnitEnd | None:
        """Search one unit; None if the drain came first."""
        run, problem = lease.run, lease.problem
        try:
            await self.host.open(run, problem.id, lease)
            final = await self._drive({"run": run, "problem": problem.id})
        except GraphDrained:
            await self.host.abandon(run, problem.id, DRAIN_SECONDS)
            return None
        except (ModelUnavailableError, StoreError, UserError) as error:
            self._fatal = self._fatal or error  # before the unit is free, or it would be claimed again
            await self._let_go(lease)
            raise
        except asyncio.CancelledError:
            await self._let_go(lease)
            raise
        except ThoughtGraphError as error:
            return await self._failed(lease, error)
        return await self._graded(lease, final)

    async def _drive(self, start: dict[str, Any]) -> dict[str, Any]:
        """Run the machine to its end, passing its events on."""
        final: dict[str, Any] = {}
        machine: Any = self.machine
        async for event in machine.astream(start, stream_mode="custom", control=self.drain.control):
            if event["event"] == "finished":
                final = event
            if self.on_event is not None:
                self.on_event(event)
        return final

    async def _graded(self, lease: Lease, final: Mapping[str, Any]) -> UnitEnd:
        """Grade how a search ended; one that failed has nothing to grade."""
        stopped, usage = final["stopped"], Usage(**final["usage"])
        if final["result"] == "failed":
            return UnitEnd(lease.problem, None, None, stopped, usage, stopped.removeprefix("failed: "))
        item = self.items.get(lease.problem.id, Item(lease.problem))
        answer: str | None = final.get("answer")
        verdict = await self._judged(item, answer)
        if verdict is not None:
            await self.host.call(self.host.setup.store.grade, lease.run, lease.problem.id, verdict.correct)
        return UnitEnd(lease.problem, answer, verdict, stopped, usage)

    async def _judged(self, item: Item, answer: str | None) -> Verdict | None:
        """Return the grader's verdict; None where it has none, or could not come to one: it is asked again when the run ends."""
        try:
            return await asyncio.to_thread(self.task.grade, item.problem.question, answer, item.reference)
        except GradingError:
            return None

    async def _failed(self, lease: Lease, error: ThoughtGraphError) -> UnitEnd:
        session = self.host.live(lease.run, lease.problem.id)
        if session is not None:
            usage = session.meter.usage
            await self.host.close(session)
        else:  # it was let go of already
            usage = await self.host.call(self.host.setup.store.paid, lease.run, lease.problem.id)
        result = UnitResult("failed", None, None, None, f"failed: {error}", usage)
        await self.host.call(self.host.setup.store.finish, lease, result)
        return UnitEnd(lease.problem, None, None, result.stopped, usage, str(error))

    async def _let_go(self, lease: Lease) -> None:
        """Give a unit back after a failure that is not its own, without hiding that failure."""
        with suppress(StoreError):
            if self.host.live(lease.run, lease.problem.id) is None:
                await self.host.call(self.host.setup.store.release, lease)
            else:
                await self.host.abandon(lease.run, lease.problem.id)
