"""A search in progress: everything alive that the checkpoint must not hold.

A session belongs to one unit (one problem in one run) and is rebuilt from the store whenever it is missing: after a crash, a restart, or when
another worker takes the unit over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..agents.actions import NOT_STEPS
from ..agents.observing import as_remark
from ..agents.protocols import Context, Observation, Subject
from ..agents.team import Team
from .budget import Meter
from .domain import Domain
from .flight import Flight
from .gateway import Purse, RequestGateway, observation_of
from .growth import Inner, root_thought
from .ids import derive_seed
from .ledger import Commit, Event, Lease, Recorded
from .records import Answer, Evaluation, Outcome, Problem, Request, Thought
from .strategies.base import SearchState, Strategy
from .writer import Writer

REFLECTIONS_READ = 3
"""Latest distinct reflections that a generation reads (LATS and Reflexion keep three)."""


IDLE_REQUESTS = 256
"""Requests in a row that brought no thought and cost no token, after which a search is over."""


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
    acted: set[str] = field(default_factory=set[str])
    """Thoughts on which tool users have acted."""
    held: bool = False
    """Whether it waits for calls under way to free budget: it starts again after the wave."""

    @property
    def judged(self) -> bool:
        """Whether it is an evaluation that its own evaluator answered, and nobody else is asked about."""
        return not self.request.grows and self.request.n > 0

    @property
    def judgeable(self) -> bool:
        """Whether tools and judges of steps are asked about its thoughts."""
        return not self.judged and self.request.action not in NOT_STEPS

    @property
    def outcome(self) -> Outcome:
        """What the strategy is told."""
        new = tuple(self.thoughts) if self.request.grows else ()
        return Outcome(self.request, new, tuple(self.evaluations), self.error, self.gateway.exhausted)


Nest = Callable[["Session", Work, int], Awaitable[Inner]]
"""Runs the search of a request inside a thought, for one sample; see `nesting.py`."""


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
        nest: Nest,
    ) -> None:
        self.lease, self.domain, self.team, self.strategy = lease, domain, team, strategy
        self.purse, self.writer = purse, writer
        self._nest = nest
        self.seed = seed
        self.root = root_thought(lease.run, lease.problem)
        self.search = strategy.start(self.root)
        self.thoughts: dict[str, Thought] = {}
        self._evaluated: dict[tuple[str, str], list[Evaluation]] = {}
        """Evaluations on record of requests not told yet, by request and source."""
        self.flight = Flight[Work]()
        self.wave: list[Work] = []
        self.held: list[Work] = []
        """Requests that wait for budget, in the order they were asked."""
        self.stopped: str | None = None
        self._arrivals = 0
        self._idle = 0
        self._answered = False
        """Whether a request for thoughts came to an end without an error."""
        self._error: str | None = None
        """Why the last request for thoughts failed."""
        self._children: dict[str, list[str]] = {}
        self._notes: dict[str, list[str]] = {}
        self._reflections: list[str] = []
        """What failed attempts taught, oldest first, each once."""
        self._tainted_reflections: set[str] = set()
        """Those of them that came of text of strangers."""
        self._observations: dict[str, list[Observation]] = {}
        self._read_on: set[str] = set()
        """Thoughts with observations that matter to what comes after them; checks by a trusted tool do not."""
        purse.observe = self.observe
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

    @property
    def failure(self) -> str | None:
        """Why the search failed, if every request for thoughts did: the last one's reason. None if one came back well, or none came back."""
        return None if self._answered else self._error

    def replay(self, recorded: Recorded) -> None:
        """Bring a fresh session to where the record ends, without any call."""
        for call in recorded.tools.values():  # first: what reflections came of depends on it
            self.observe(observation_of(call))
        for outcome in recorded.outcomes:
            self.absorb(outcome)
        self.search.operations.clear()
        self.purse.calls.update(recorded.calls)
        self.purse.tools.update(recorded.tools)
        self.purse.attempts = dict(recorded.attempts)
        for evaluation in recorded.evaluations:
            self._evaluated.setdefault((evaluation.request, evaluation.source), []).append(evaluation)

    def known(self, source: str, thoughts: Sequence[str], request: Request) -> list[Evaluation]:
        """Return what a judge said of these thoughts before a crash, under a request that was not told."""
        return [e for e in self._evaluated.get((request.id, source), ()) if e.thought in thoughts]

    def absorb(self, outcome: Outcome) -> None:
        """Take an outcome in: its thoughts, its criticism, and the strategy's view of it."""
        for thought in outcome.thoughts:
            self.learn(thought)
        for evaluation in outcome.evaluations:
            if evaluation.kind == "critique" and evaluation.text:
                self._notes.setdefault(evaluation.thought, []).append(evaluation.text)
            elif evaluation.kind == "reflection" and evaluation.text:
                self._reflections = [*(r for r in self._reflections if r != evaluation.text), evaluation.text]
                if self.subject(evaluation.thought).tainted:
                    self._tainted_reflections.add(evaluation.text)
        if outcome.request.grows:
            self._answered = self._answered or outcome.error is None
            self._error = outcome.error or self._error
        self.search = self.strategy.tell(self.search, (outcome,))

    def learn(self, thought: Thought) -> None:
        """Make a thought known; knowing it twice changes nothing."""
        if thought.id in self.thoughts:
            return
        self.thoughts[thought.id] = thought
        for parent in thought.parents:
            self._children.setdefault(parent, []).append(thought.text)

    def observe(self, observation: Observation) -> None:
        """Attach what a tool said to its thought, in the order of the thought's calls, whichever was answered first."""
        known = self._observations.setdefault(observation.thought, [])
        if observation not in known:
            known.append(observation)
            known.sort(key=lambda one: (one.place, one.tool))
            if observation.asked or not observation.trusted:
                self._read_on.add(observation.thought)

    def subject(self, thought_id: str) -> Subject:
        """Return a thought with its path and what tools said at it."""
        path = [self.thoughts[thought_id]]
        while path[-1].parents:
            path.append(self.thoughts[path[-1].parents[0]])
        path.reverse()
        said, earlier = self._observations, dict[str, tuple[Observation, ...]]()
        if self._read_on:
            earlier = {t.id: tuple(said[t.id]) for t in path[:-1] if t.id in self._read_on}
        return Subject(self.problem, tuple(path), tuple(said.get(thought_id, ())), earlier)

    def context(self, request: Request) -> Context:
        """Return what a generator sees of a request."""
        subjects = tuple(self.subject(thought_id) for thought_id in request.subjects)
        siblings = self._children.get(request.subjects[0], []) if request.distinct else []
        notes = list[str]()
        if self._notes or self._observations:
            path = ((t, t is s.thought) for s in subjects for t in s.path)
            notes = [note for thought, last in path for note in self.notes(thought.id, last=last)]
        read = self._reflections[-REFLECTIONS_READ:]
        return Context(
            problem=self.problem,
            request=request,
            subjects=subjects,
            siblings=tuple(siblings),
            notes=(*dict.fromkeys(notes), *read),
            seed=derive_seed(self.seed, *(_lineage(subject) for subject in subjects)),
            tainted=any(subject.tainted for subject in subjects)
            or not self._tainted_reflections.isdisjoint(read),
        )

    def notes(self, thought_id: str, *, last: bool = True) -> list[str]:
        """Return the criticism of a thought and the checks that it failed, oldest first; of a whole attempt, all that tools said at it.

        An attempt that others were made from (not the `last` of its path) failed checks that are no remarks on them.
        """
        whole = self.thoughts[thought_id].whole
        if whole and not last:
            return self._notes.get(thought_id, [])
        said = [
            as_remark(observation)
            for observation in self._observations.get(thought_id, ())
            if observation.text and (whole or not observation.asked) and observation.ok is not True
        ]
        return self._notes.get(thought_id, []) + said

    def answers_calls(self, request: Request) -> bool:
        """Return whether a tool user answers calls that the agent of a request writes, so that it has to be let read the answers."""
        agent = request.agent or "generator"
        users: list[Any] = list(self.team.tool_users)
        return any(hasattr(user, "answers") and user.answers(agent) for user in users)

    def gateway(self, request: Request) -> RequestGateway:
        """Return a new gateway for a request."""
        return RequestGateway(self.purse, request.id)

    async def nest(self, work: Work, sample: int) -> Inner:
        """Run the search that a request wants inside a thought, and return how it ended."""
        return await self._nest(self, work, sample)

    def arrived(self, work: Work) -> Work:
        """Number a request that came back."""
        self._arrivals += 1
        work.arrival = self._arrivals
        return work

    def told(self, work: Work) -> Event:
        """Return the event from which a resume replays this outcome."""
        usage = {**work.gateway.usage.as_dict(), "seconds": self.meter.elapsed}
        detail: dict[str, Any] = {"request": work.request.as_json(), "error": work.error, "usage": usage}
        if work.gateway.exhausted:
            detail["exhausted"] = True
        return Event("told", (work.request.id,), detail)

    def count_idle(self, work: Work) -> None:
        """Stop a search whose requests bring nothing and cost nothing, so that no budget would ever end it."""
        if work.request.grows:
            idle = not work.thoughts and work.gateway.usage.completion_tokens == 0
            self._idle = self._idle + 1 if idle else 0
        if self._idle >= IDLE_REQUESTS:
            self.stop("stalled")

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
        await self.flight.end(patience)
        self.flight.tasks.clear()
        await self.writer.flushed()


def _lineage(subject: Subject) -> list[tuple[str, int]]:
    """Return what a thought is, whatever run it is in: equal seeds then draw equal samples in any run."""
    return [(thought.text, thought.sample) for thought in subject.path]
