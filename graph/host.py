"""What a machine is built over, and the sessions alive in it."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from ..agents.models.base import LanguageModel, ScoringModel, make_ready
from ..agents.models.scheduler import Scheduler, current_scheduler
from ..agents.team import Team
from ..tools.base import Tool
from . import nesting
from .budget import Meter
from .domain import Domain
from .errors import LeaseLostError, StoreError, UserError
from .gateway import Purse
from .ids import address, derive_seed
from .ledger import Commit, Lease, RunSpec, Store
from .nesting import Inside
from .records import Budget, Problem, Usage
from .session import Session
from .strategies.base import SearchState, Strategy
from .tool_calling import ToolMemory, check_decided
from .writer import Journal, Writer

Mode = Literal["lockstep", "rolling"]
"""lockstep: K requests, a barrier, bit-reproducible. rolling: topped up to K in flight, arrival order recorded."""

Review = Literal["never", "answer"]
"""Whether a person is asked before an answer is final."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything a machine closes over. Live handles stay here; the state holds ids."""

    domain: Domain
    team: Team
    strategy: Callable[[int], Strategy[Any]]
    """Makes a search's strategy, given the seed of its lots: that of the run and the problem."""
    store: Store
    budget: Budget
    spec: RunSpec
    """Template of the runs this machine opens on its own; its id is used for units of that run."""
    mode: Mode = "lockstep"
    wave: int = 8
    """K: requests in flight at once in one search (≥ 1)."""
    review: Review = "never"
    models: tuple[LanguageModel | ScoringModel, ...] = ()
    """What is made ready before a search is opened, and its clock runs."""
    tools: tuple[Tool, ...] = ()
    """What is let go of when all searches have ended."""
    complete: Callable[[str, Mapping[str, Any]], Mapping[str, Any]] = lambda scheme, params: params
    """Fills in the parameters of a scheme that runs inside a thought, as those of the run's own scheme were filled in."""
    lease_seconds: float = 60.0
    """A worker that is silent for this long loses its units."""
    worker: str = field(
        default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
    )
    """Who holds the leases: host, process, and which machine within it."""

    def __post_init__(self) -> None:
        if self.wave < 1:
            raise UserError(
                f"impossible wave {self.wave}; give the number of requests in flight at once, 1 or more"
            )


def is_dead(worker: str) -> bool:
    """Return whether a worker's process certainly no longer runs: it was on this host, and there is no such process."""
    host, _, rest = worker.partition(":")
    process = rest.partition(":")[0]
    if host != socket.gethostname() or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def evict_dead(store: Store, run: str) -> None:
    """Take units over from processes of this host that were killed, without waiting for their leases to expire."""
    for worker in store.workers(run):
        if is_dead(worker):
            store.evict(run, worker)


class Host:
    """Opens sessions, keeps their leases alive, and runs store calls off the event loop."""

    def __init__(self, setup: Setup, inner_machine: Callable[[Host], Any]) -> None:
        """Make a host; `inner_machine` compiles the machine of the searches inside thoughts, once the first one comes."""
        self.setup = setup
        self._inner_machine = inner_machine
        self._inside: dict[str, Inside] = {}
        """Searches inside thoughts that are under way, by run."""
        self._sessions: dict[tuple[str, str], Session] = {}
        self._heartbeats: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._entrusted: set[tuple[str, str]] = set()
        """Units whose lease the caller of `open` brought, and gives back."""
        self._nodes: dict[tuple[str, str], tuple[int, int]] = {}
        """Nodes entered and left so far, by unit: how the heartbeat sees whether the machine still runs."""
        self._journals: WeakKeyDictionary[asyncio.AbstractEventLoop, Journal] = WeakKeyDictionary()
        self._memories: WeakKeyDictionary[asyncio.AbstractEventLoop, ToolMemory] = WeakKeyDictionary()
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="thoughtgraph-store")

    @cached_property
    def inner_machine(self) -> Any:
        """The machine of the searches inside thoughts: over this host, without a checkpointer and a person's review."""
        return self._inner_machine(self)

    @contextmanager
    def inside(self, run: str, inner: Inside) -> Generator[None]:
        """Let a run be searched as one inside a thought."""
        self._inside[run] = inner
        try:
            yield
        finally:
            del self._inside[run]

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a store method in a thread."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: function(*args, **kwargs)
        )

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler of the running event loop."""
        return current_scheduler()

    @property
    def journal(self) -> Journal:
        """The journal of the running event loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._journals:
            self._journals[loop] = Journal(self._write)
        return self._journals[loop]

    def live(self, run: str, problem: str) -> Session | None:
        """Return the session of a unit if it is alive here."""
        return self._sessions.get((run, problem))

    async def open_run(self, question: str) -> tuple[str, Problem]:
        """Create a run of one problem, for a question asked directly."""
        domain, spec = self.setup.domain, self.setup.spec
        canonical = domain.parse(question)
        problem = Problem(address("problem", spec.task, canonical), spec.task, canonical)
        run = uuid.uuid4().hex[:12]
        opened = RunSpec(run, spec.task, spec.scheme, spec.settings, spec.seed, spec.oracle)
        await self.call(self.setup.store.create_run, opened, [problem])
        return run, problem

    async def open(self, run: str, problem: str, lease: Lease | None = None) -> Session:
        """Return the session of a unit: the live one, or one rebuilt from the store under a lease.

        Args:
            run: id of the run.
            problem: id of the problem.
            lease: the caller's own lease on the unit, which stays the caller's to give back; by default one is claimed here.

        Raises:
            LeaseLostError: if another worker holds the unit.
            ModelUnavailableError: if a model cannot be made ready.
            OutcomeUnknownError: if a tool call of the unit waits for a person's decision.
        """
        session = self.live(run, problem)
        if session is not None:
            return session
        await make_ready(*self.setup.models)
        key, entrusted = (run, problem), lease is not None
        if lease is None:
            lease = await self._claim(run, problem)
        recorded = await self.call(self.setup.store.recorded, lease)
        check_decided(run, recorded.unknown)
        session = self._session(lease, recorded.usage)
        session.replay(recorded)
        if not recorded.outcomes:
            session.save(thoughts=(session.root,))
        self._sessions[key] = session
        if entrusted:
            self._entrusted.add(key)
        self._heartbeats[key] = asyncio.create_task(self._beat(lease))
        return session

    async def close(self, session: Session, patience: float = 0.0) -> None:
        """End a session: wait for calls under way up to `patience` seconds, write what is known, forget it."""
        key = (session.lease.run, session.problem.id)
        try:
            await session.close(patience)
        finally:
            self._sessions.pop(key, None)
            self._entrusted.discard(key)
            self._nodes.pop(key, None)
            beat = self._heartbeats.pop(key, None)
            if beat is not None:
                beat.cancel()

    async def abandon(self, run: str, problem: str, patience: float = 0.0) -> None:
        """Close a unit's session, if alive, and give its lease back for a later resume."""
        session = self.live(run, problem)
        if session is not None:
            await self.close(session, patience)
            await self.call(self.setup.store.release, session.lease)

    async def let_go(self, run: str, problem: str) -> None:
        """Abandon a unit whose lease was claimed here, whatever the store says to it."""
        if (run, problem) not in self._entrusted:
            with suppress(StoreError):
                await self.abandon(run, problem)

    async def working(self, run: str, problem: str, node: Awaitable[T]) -> T:
        """Hold a unit while a node works on it, and let go of it if the node does not come to its end.

        An interrupt may wait for days, a cancelled or failed machine may never be resumed, and a resume may come in another process: none of them
        may keep the lease, or go on paying for calls that nobody waits for. A resume rebuilds the session from the store.
        """
        key = (run, problem)
        entered, left = self._nodes.get(key, (0, 0))
        self._nodes[key] = (entered + 1, left)
        try:
            return await node
        except BaseException:
            # LangGraph may cancel a node twice; the second time must not cut this off
            await asyncio.shield(self._spawn(self.let_go(run, problem)))
            raise
        finally:
            if key in self._sessions:
                entered, left = self._nodes.get(key, (1, 0))
                self._nodes[key] = (entered, left + 1)
            else:
                self._nodes.pop(key, None)

    def cancel_calls(self) -> None:
        """Cancel every call under way: the end of patience in a drain."""
        for session in self._sessions.values():
            for task in session.flight.tasks.values():
                task.cancel()

    def shutdown(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False)

    async def _claim(self, run: str, problem: str) -> Lease:
        store, setup = self.setup.store, self.setup
        claim = (store.claim, run, setup.worker, setup.lease_seconds, problem)
        lease = await self.call(*claim)
        if lease is None:
            await self.call(evict_dead, store, run)
            lease = await self.call(*claim)
        if lease is None:
            raise LeaseLostError(f"problem {problem} of run {run} is finished or held by another worker")
        return lease

    def _session(self, lease: Lease, spent: Usage) -> Session:
        setup, inner = self.setup, self._inside.get(lease.run)
        writer = Writer(self.journal, lease)
        purse = Purse(
            unit=f"{lease.run}/{lease.problem.id}",
            meter=Meter(inner.budget if inner else setup.budget, spent),
            scheduler=self.scheduler,
            save=writer.add,
            flushed=writer.flushed,
            memory=self._memory,
            run=lease.run,
            question=lease.problem.question,
            barrier=setup.mode == "lockstep",
        )
        seed = derive_seed(inner.seed if inner else setup.spec.seed, lease.problem.id)
        strategy: Strategy[SearchState] = (inner or setup).strategy(seed)
        nest = partial(nesting.nest, self)
        return Session(lease, setup.domain, setup.team, strategy, purse, writer, seed, nest)

    async def _write(self, commits: Sequence[tuple[Lease, Commit]]) -> None:
        await self.call(self.setup.store.commit_all, commits, self.setup.lease_seconds)

    @property
    def _memory(self) -> ToolMemory:
        """The replies of pure tools that the searches of the running event loop share."""
        loop = asyncio.get_running_loop()
        if loop not in self._memories:
            self._memories[loop] = ToolMemory(partial(self.call, self.setup.store.tool_reply))
        return self._memories[loop]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        return task

    async def _beat(self, lease: Lease) -> None:
        """Extend a lease while its search waits for slow calls; a lost lease shows at the next write.

        A machine that was stopped between two nodes (a breakpoint, a stream that nobody reads on) has nobody to give its lease back: this does,
        once no node worked for as long as a lease lasts.
        """
        ttl, key = self.setup.lease_seconds, (lease.run, lease.problem.id)
        seen, idle = (0, 0), 0
        while True:
            await asyncio.sleep(ttl / 3)
            nodes = self._nodes.get(key, (0, 0))
            idle = idle + 1 if nodes == seen and nodes[0] == nodes[1] else 0
            seen = nodes
            if idle == 3 and key not in self._entrusted:
                self._spawn(self.let_go(*key))
                return
            try:
                await self.call(self.setup.store.commit, lease, Commit(), ttl)
            except StoreError:
                return
