"""A search in progress: everything alive that the checkpoint must not hold.

A session belongs to one unit (one problem in one run) and is rebuilt from the store whenever it is missing: after a crash, a restart, or when
another worker takes the unit over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..agents.protocols import Context, Observation, Subject
from ..agents.team import Team
from .budget import Meter
from .domain import Domain
from .gateway import Purse, RequestGateway
from .growth import root_thought
from .ids import derive_seed
from .ledger import Commit, Event, Lease, Recorded
from .records import Answer, Evaluation, Outcome, Problem, Request, Thought
from .strategies.base import SearchState, Strategy
from .writer import Writer


@dataclass(slots=True)
class Work:
    """A request on its way through the machine."""

    request: Request
    gateway: RequestGateway
    thoughts: list[Thought] = field(default_factory=list[Thought])
    """The new thoughts, or for an evaluation request its subjects."""
    evaluations: list[Evaluation] = field(default_factory=list[Evaluation])
    error: str | None = None
    arrival: int = 0
    """Its place in the order in which requests came back."""
    spent: bool = False
    """Whether the budget refused it: it came to nothing and is not told."""
    held: bool = False
    """Whether it waits for calls under way to free budget: it starts again after the wave."""

    @property
    def outcome(self) -> Outcome:
        """What the strategy is told."""
        new = () if self.request.n == 0 else tuple(self.thoughts)
        return Outcome(self.request, new, tuple(self.evaluations), self.error)


class Session:
    """The live state of one search."""

    def __init__(
        self,
        lease: Lease,
        domain: Domain,
        team: Team,
        strategy: Strategy[SearchState],
        purse: Purse,
        writer: Writer,
        seed: int,
    ) -> None:
        self.lease, self.domain, self.team, self.strategy = lease, domain, team, strategy
        self.purse, self.writer = purse, writer
        self.seed = derive_seed(seed, lease.problem.id)
        self.root = root_thought(lease.run, lease.problem)
        self.search = strategy.start(self.root)
        self.thoughts: dict[str, Thought] = {}
        self.evaluated: dict[tuple[str, str, str], Evaluation] = {}
        """Evaluations on record of requests not told yet, by (thought, source, kind)."""
        self.tasks: dict[str, asyncio.Task[Work]] = {}
        self.wave: list[Work] = []
        self.held: list[Work] = []
        """Requests that wait for budget, in the order they were asked."""
        self.stopped: str | None = None
        self._arrivals = 0
        self._children: dict[str, list[str]] = {}
        self._notes: dict[str, list[str]] = {}
        self._observations: dict[str, list[Observation]] = {}
        self.learn(self.root)

    @property
    def problem(self) -> Problem:
        """The problem searched."""
        return self.lease.problem

    @property
    def unit(self) -> tuple[str, str]:
        """Run and problem, by id."""
        return self.lease.run, self.lease.problem.id

    @property
    def meter(self) -> Meter:
        """What the search may still pay."""
        return self.purse.meter

    def replay(self, recorded: Recorded) -> None:
        """Bring a fresh session to where the record ends, without any call."""
        for outcome in recorded.outcomes:
            self.absorb(outcome)
        self.search.operations.clear()
        self.purse.calls.update(recorded.calls)
        self.purse.tools.update(recorded.tools)
        for call in recorded.tools.values():
            self.observe(
                Observation(call.thought, call.tool, call.arguments, call.result, call.error, call.ok)
            )
        self.evaluated = {(e.thought, e.source, e.kind): e for e in recorded.evaluations}

    def absorb(self, outcome: Outcome) -> None:
        """Take an outcome in: its thoughts, its criticism, and the strategy's view of it."""
        for thought in outcome.thoughts:
            self.learn(thought)
        for evaluation in outcome.evaluations:
            if evaluation.kind == "critique" and evaluation.text:
                self._notes.setdefault(evaluation.thought, []).append(evaluation.text)
        self.search = self.strategy.tell(self.search, (outcome,))

    def learn(self, thought: Thought) -> None:
        """Make a thought known; knowing it twice changes nothing."""
        if thought.id in self.thoughts:
            return
        self.thoughts[thought.id] = thought
        for parent in thought.parents:
            self._children.setdefault(parent, []).append(thought.text)

    def observe(self, observation: Observation) -> None:
        """Attach what a tool said to its thought."""
        known = self._observations.setdefault(observation.thought, [])
        if observation not in known:
            known.append(observation)

    def subject(self, thought_id: str) -> Subject:
        """Return a thought with its path and what tools said at it."""
        path = [self.thoughts[thought_id]]
        while path[-1].parents:
            path.append(self.thoughts[path[-1].parents[0]])
        path.reverse()
        return Subject(self.problem, tuple(path), tuple(self._observations.get(thought_id, ())))

    def context(self, request: Request) -> Context:
        """Return what a generator sees of a request."""
        subjects = tuple(self.subject(thought_id) for thought_id in request.subjects)
        siblings = self._children.get(request.subjects[0], []) if request.distinct else []
        notes = [note for subject in subjects for thought in subject.path for note in self.notes(thought.id)]
        return Context(
            problem=self.problem,
            request=request,
            subjects=subjects,
            siblings=tuple(siblings),
            notes=tuple(notes),
            seed=derive_seed(self.seed, *(_lineage(subject) for subject in subjects)),
        )

    def notes(self, thought_id: str) -> list[str]:
        """Return the criticism of a thought, and the failed checks of tools, oldest first."""
        failed = [
            f"{o.tool}: {o.result or o.error}"
            for o in self._observations.get(thought_id, ())
            if o.ok is False
        ]
        return self._notes.get(thought_id, []) + failed

    def gateway(self, request: Request) -> RequestGateway:
        """Return a new gateway for a request."""
        return RequestGateway(self.purse, request.id)

    def arrived(self, work: Work) -> Work:
        """Number a request that came back."""
        self._arrivals += 1
        work.arrival = self._arrivals
        return work

    def told(self, work: Work) -> Event:
        """Return the event from which a resume replays this outcome."""
        usage = {**work.gateway.usage.as_dict(), "seconds": self.meter.elapsed}
        detail = {"request": work.request.as_json(), "error": work.error, "usage": usage}
        return Event("told", (work.request.id,), detail)

    def drained_operations(self) -> list[Event]:
        """Return the strategy's operations since the last time, as events."""
        operations = self.search.operations
        events = [Event(op.operator.value, op.subjects, op.detail) for op in operations]
        operations.clear()
        return events

    def save(self, **rows: Sequence[Any]) -> None:
        """Queue rows for the store; names are the fields of `Commit`."""
        self.writer.add(Commit(**{name: tuple(values) for name, values in rows.items()}))

    def stop(self, reason: str) -> None:
        """Ask for nothing more; the first reason stays."""
        self.stopped = self.stopped or reason

    def answer(self) -> Answer | None:
        """Return the best answer so far."""
        return self.strategy.answer(self.search)

    async def close(self, patience: float = 0.0) -> None:
        """End the search here: wait up to `patience` seconds for calls under way, cancel the rest, write what is known."""
        tasks = list(self.tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=patience)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.tasks.clear()
        await self.writer.flushed()


def _lineage(subject: Subject) -> list[tuple[str, int]]:
    """Return what a thought is, whatever run it is in: equal seeds then draw equal samples in any run."""
    return [(thought.text, thought.sample) for thought in subject.path]
