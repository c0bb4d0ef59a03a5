"""What the store keeps beside thoughts and evaluations, and the port through which the machine writes it.

The machine knows this protocol only; `thoughtgraph.storage` implements it on SQL. Methods are synchronous (a driver call in a thread costs a
third of an asynchronous driver); the machine calls them off the event loop.

Units of work: a *unit* is one problem in one run. A worker claims a unit and gets a *lease* with a fencing token, one higher at each claim. Every
write names the lease and is refused once a newer token exists, so a worker that was paused and comes back cannot write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from .records import Evaluation, Outcome, Problem, Request, Thought, Usage

UnitStatus = Literal["pending", "leased", "done", "failed"]

EndStatus = Literal["answered", "no_answer", "failed"]
"""How a search of one problem ended. Whether an answer is right is not known to the search; see `Store.grade`."""


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One paid generation or scoring call, as sent and as received."""

    id: str
    """Content address of (model, prompt, parameters, sample range), as `GenerationCall.id` gives it."""
    request: str
    kind: Literal["generate", "score"]
    model: str
    prompt: Any
    """The text, the chat turns, or the traces scored: JSON values."""
    parameters: Mapping[str, Any]
    response: Any
    """Samples with text, finish, token ids and log-probabilities, or the scores: JSON values; None if it failed."""
    error: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0


CallOrigin = Literal["call", "record", "refused", "person"]
"""How a reply came about: the tool was called; an equal call was on record; no tool was called; a person said how a call had ended."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call at a thought."""

    id: str
    request: str
    thought: str
    tool: str
    arguments: Mapping[str, Any]
    result: str | None
    error: str | None = None
    ok: bool | None = None
    """For a checking tool: whether the check passed."""
    seconds: float = 0.0
    place: int = 0
    """Which of the thought's calls it is, from 0."""
    asked: bool = False
    """Whether the thought's own text called the tool; else an agent did, to check the thought."""
    key: str = ""
    """What makes it equal to another call: tool, version, arguments and what they meet; "" where equal calls are not answered from the
    record."""
    usd: float = 0.0
    bytes: int = 0
    """Length of the result or error in UTF-8."""
    trusted: bool = False
    """Whether the reply can hold nothing that somebody else wrote."""
    origin: CallOrigin = "call"

    @property
    def reply(self) -> str:
        """What came back: the result, or the error."""
        return (self.error if self.result is None else self.result) or ""


@dataclass(frozen=True, slots=True)
class ToolIntent:
    """A call that is about to be made and may not be made twice: on record before its effect is."""

    id: str
    """The call's."""
    attempt: int
    """From 0; higher only where a person said that the one before had no effect."""
    request: str
    thought: str
    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a search, in the order of its unit.

    `told` events are what a resume replays: subjects hold the request's id, detail has `request` (its fields), `error`, and `usage`
    (what this request paid; `seconds` is the time since the search began). A `failed` event was a told one, of a request that failed; it was set aside
    when the unit was reopened, so that the request is asked again.
    """

    kind: str
    subjects: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Commit:
    """Rows that are written in one transaction. All are get-or-create by id, so repeating one is harmless."""

    thoughts: tuple[Thought, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    model_calls: tuple[ModelCall, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    intents: tuple[ToolIntent, ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class RunSpec:
    """All that determines a run but its problems: enough to build its machine again on resume."""

    id: str
    task: str
    scheme: str
    settings: Mapping[str, Any]
    """Scheme parameters, model specs, budget, mode, wave: JSON values."""
    seed: int = 0
    oracle: bool = False
    """Whether a reference answer took part in the search (data collection only)."""
    parent: str | None = None
    """The run of which this one is a thought; None for a run of its own."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write one unit, until it expires or is fenced off."""

    run: str
    problem: Problem
    token: int
    worker: str


@dataclass(frozen=True, slots=True)
class UnitResult:
    """How a unit ended."""

    status: EndStatus
    answer: str | None
    thought: str | None
    score: float | None
    stopped: str
    """Why the search stopped: `finished`, `budget:tokens`, `failed: …`."""
    usage: Usage


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the store holds of a unit: enough to go on where it stopped."""

    outcomes: tuple[Outcome, ...]
    """Told outcomes in the order they were told."""
    pending: tuple[Request, ...]
    """Requests asked but not told, in the order they were asked (informative: asking again asks the same)."""
    calls: Mapping[str, ModelCall]
    """Successful model calls by id, of requests not told yet: to be reused, not paid again."""
    tools: Mapping[str, ToolCall]
    """All tool calls of the unit by id: later generations read what tools said."""
    evaluations: tuple[Evaluation, ...]
    """Evaluations of requests not told yet."""
    attempts: Mapping[str, int]
    """Of calls that may not be made twice, the number of the attempt that is due or of unknown outcome, by call id."""
    unknown: frozenset[str]
    """Ids of calls that were about to be made and whose outcome nobody recorded."""
    usage: Usage
    """Summed over the told requests, from the `usage` in the detail of their `told` events; `seconds` is the largest one there."""


class Store(Protocol):
    """The port to the database."""

    def create_run(self, spec: RunSpec, problems: Sequence[Problem]) -> None:
        """Create a run with its units, or add units to it; existing rows stay."""
        ...

    def run(self, run: str) -> RunSpec:
        """Return a run's specification; raises UserError if there is none of this id (a unique prefix is enough)."""
        ...

    def claim(self, run: str, worker: str, ttl: float, problem: str | None = None) -> Lease | None:
        """Lease a unit that is pending or whose lease has expired, for `ttl` seconds; None if none is left."""
        ...

    def commit(self, lease: Lease, commit: Commit, ttl: float | None = None) -> None:
        """Write rows in one transaction, and extend the lease by `ttl` seconds.

        Raises:
            LeaseLostError: if the lease was fenced off; nothing is written.
            StoreError: if the database fails; nothing is written.
        """
        ...

    def commit_all(self, commits: Sequence[tuple[Lease, Commit]], ttl: float | None = None) -> None:
        """Do the same for several units, each named once, in one transaction.

        Raises:
            LeaseLostError: if one of the leases was fenced off; nothing is written.
            StoreError: if the database fails; nothing is written.
        """
        ...

    def recorded(self, lease: Lease) -> Recorded:
        """Return what is recorded of a unit."""
        ...

    def finish(self, lease: Lease, result: UnitResult) -> None:
        """Record how the unit ended and give the lease back."""
        ...

    def grade(self, run: str, problem: str, correct: bool) -> None:
        """Record a grader's verdict on a finished unit's answer."""
        ...

    def tool_reply(self, run: str, key: str) -> ToolCall | None:
        """Return an answered tool call of a run that equals what is to be called; None if there is none."""
        ...

    def paid(self, run: str, problem: str) -> Usage:
        """Return what a unit that has not ended paid, by its record; `run` and `problem` are full ids."""
        ...

    def release(self, lease: Lease) -> None:
        """Give the lease back with the unit unfinished, for a later resume."""
        ...

    def result(self, run: str, problem: str) -> UnitResult | None:
        """Return how a unit ended, by full ids; None while it has not."""
        ...

    def path(self, run: str, problem: str, thought: str) -> list[Thought]:
        """Return the thoughts from the root of a unit to this one, along first parents."""
        ...

    def reopen_failed(self, run: str) -> int:
        """Make the failed units of a run claimable again, their failed requests to be asked again; return how many units there were."""
        ...

    def workers(self, run: str) -> list[str]:
        """Return the workers that hold leases on units of a run."""
        ...

    def evict(self, run: str, worker: str) -> int:
        """End a dead worker's leases on a run now, and return how many there were."""
        ...
