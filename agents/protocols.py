"""Who acts: the four agents, as the machine knows them.

Every paid thing an agent does goes through the `Gateway` it is handed: model calls, scores and tool calls are then scheduled with those of all
other searches, counted against the budget, recorded, and answered from the record after a crash. Agents hold configuration, never state, so one
agent object serves any number of searches at once. To bring your own, write a class with the one method of its protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..graph.records import EvaluationKind, Problem, Request, Thought
from .models.base import Generation, GenerationCall, LanguageModel, ScoringModel, Trace


@dataclass(frozen=True, slots=True)
class Observation:
    """What a tool answered at a thought."""

    thought: str
    tool: str
    arguments: Mapping[str, Any]
    result: str | None
    error: str | None = None
    """The tool's own error message, which agents may read; an observation has either a result or an error."""
    ok: bool | None = None
    """For a checking tool: whether the check passed; None where the tool checks nothing."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A thought with all an agent may look at when it judges it or acts on it."""

    problem: Problem
    path: tuple[Thought, ...]
    """From the root (the question) to the thought itself, along first parents."""
    observations: tuple[Observation, ...] = ()
    """What tools said at the thought itself."""

    @property
    def thought(self) -> Thought:
        """The thought it is about."""
        return self.path[-1]

    @property
    def steps(self) -> tuple[str, ...]:
        """Texts of the steps, the root left out."""
        return tuple(thought.text for thought in self.path[1:])


@dataclass(frozen=True, slots=True)
class Context:
    """What a generator sees when it is to propose."""

    problem: Problem
    request: Request
    subjects: tuple[Subject, ...]
    """One for generate and refine, several for aggregate."""
    siblings: tuple[str, ...] = ()
    """Texts of the children that the subject already has."""
    notes: tuple[str, ...] = ()
    """Criticism of the subject and its path, oldest first, for the generator to heed."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """One proposed step, not yet a thought."""

    text: str
    tokens: int = 0
    logprob: float | None = None
    """Sum of its tokens' log-probabilities (≤ 0)."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One sample: a chain of one or more steps that continues the request's subject."""

    steps: tuple[Draft, ...]
    sample: int
    """Sample index, counted from the request's `first_sample`."""
    count: int = 1
    """Samples that gave this same chain; more than 1 only where the request wants distinct ones."""
    call: str | None = None
    """Id of the model call it came from."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a verifier or critic says of one thought.

    Exactly one of value, error and text must be there; text may also accompany a value.
    """

    kind: EvaluationKind
    value: float | None = None
    """In [0, 1]."""
    error: str | None = None
    text: str | None = None
    rollouts: int | None = None
    successes: int | None = None


class Gateway(Protocol):
    """The counted, recorded and scheduled way to models and tools, bound to one request of one search."""

    async def generate(self, model: LanguageModel, call: GenerationCall) -> tuple[str, Generation]:
        """Return the call's id and what the model answered.

        The number of samples is reduced to what the budget still holds.

        Raises:
            BudgetSpentError: if not even one sample fits.
            ModelError: if the model failed for good.
        """
        ...

    async def score(self, model: ScoringModel, traces: Sequence[Trace]) -> list[list[float] | str]:
        """Return, for every trace, its steps' scores in [0, 1], or why it could not be scored."""
        ...

    async def call_tool(self, thought: str, tool: Any, arguments: Mapping[str, Any]) -> Observation:
        """Call a tool at a thought; its failure is an observation with an error."""
        ...


class Generator(Protocol):
    """Proposes the next steps of a path."""

    @property
    def name(self) -> str:
        """Identity with version and configuration: part of every thought's address."""
        ...

    async def propose(self, context: Context, gateway: Gateway) -> Sequence[Proposal]:
        """Return up to `request.n` proposals; truncated steps are dropped, never returned."""
        ...


class Verifier(Protocol):
    """Checks steps and answers."""

    @property
    def source(self) -> str:
        """Who judges, with its version; stored with every evaluation."""
        ...

    async def verify(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
        """Judge each subject, in order; None where it has nothing to say of a thought."""
        ...


class Critic(Protocol):
    """Estimates what a thought is worth, or says what is wrong with it."""

    @property
    def source(self) -> str:
        """Who judges, with its version; stored with every evaluation."""
        ...

    async def critique(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
        """Judge each subject, in order; None where it has nothing to say of a thought."""
        ...


class ToolUser(Protocol):
    """Runs what a thought calls for."""

    @property
    def name(self) -> str: ...

    async def act(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Observation]:
        """Return the observations made, each naming its thought; none for thoughts that call for nothing."""
        ...
