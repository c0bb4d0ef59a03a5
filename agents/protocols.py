"""Who acts: the four agents, as the machine knows them.

Every paid thing an agent does goes through the `Gateway` it is handed: model calls, scores and tool calls are then scheduled with those of all
other searches, counted against the budget, recorded, and answered from the record after a crash. Agents hold configuration, never state, so one
agent object serves any number of searches at once. To bring your own, write a class with the one method of its protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..graph.records import EvaluationKind, Problem, Request, Thought
from ..tools.base import Tool
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
    trusted: bool = False
    """Whether it can hold nothing that somebody else wrote."""
    place: int = 0
    """Which of the thought's calls it answers, from 0."""
    asked: bool = False
    """Whether the thought's own text called the tool: then those who continue the path read the answer below it. Else an agent checked the thought,
    and what came of it is a remark."""

    @property
    def text(self) -> str:
        """The result, or the error."""
        return (self.error if self.result is None else self.result) or ""


@dataclass(frozen=True, slots=True)
class Subject:
    """A thought with all an agent may look at when it judges it or acts on it."""

    problem: Problem
    path: tuple[Thought, ...]
    """From the root (the question) to the thought itself, along first parents."""
    observations: tuple[Observation, ...] = ()
    """What tools said at the thought itself."""
    earlier: Mapping[str, tuple[Observation, ...]] = field(default_factory=dict[str, tuple[Observation, ...]])
    """What tools said at the thoughts before it on the path, by thought id; verdicts of trusted tools may be left out."""
    agent: str = "generator"
    """Who made the thought."""

    @property
    def thought(self) -> Thought:
        """The thought it is about."""
        return self.path[-1]

    @property
    def steps(self) -> tuple[str, ...]:
        """Texts of the steps: of the path from the root, or from the last thought that is a whole attempt, whose lines are steps."""
        steps: list[str] = []
        for thought in self.path[1:]:
            if thought.whole:
                steps = [line.rstrip() for line in thought.text.splitlines() if line.strip()]
            else:
                steps.append(thought.text)
        return tuple(steps)

    @property
    def observed(self) -> tuple[tuple[Observation, ...], ...]:
        """For each of `steps`, what tools said at it that those who continue the path read; nothing for the lines of a whole attempt."""
        said: list[tuple[Observation, ...]] = []
        for thought in self.path[1:]:
            if thought.whole:
                said = [() for line in thought.text.splitlines() if line.strip()]
            else:
                said.append(tuple(o for o in self.at(thought) if o.asked))
        return tuple(said)

    @property
    def tainted(self) -> bool:
        """Whether what is made from it is made from text of strangers: of its path, or of what tools said at it."""
        return any(t.tainted or any(not o.trusted for o in self.at(t)) for t in self.path)

    def at(self, thought: Thought) -> tuple[Observation, ...]:
        """Return what tools said at a thought of the path."""
        return self.observations if thought is self.thought else self.earlier.get(thought.id, ())


@dataclass(frozen=True, slots=True)
class Context:
    """What a generator sees when it is to propose."""

    problem: Problem
    request: Request
    subjects: tuple[Subject, ...]
    """Those of the request: one for generate, one or more for refine (the first is refined), several for aggregate."""
    siblings: tuple[str, ...] = ()
    """Texts of the children that the subject already has."""
    notes: tuple[str, ...] = ()
    """Criticism of the subjects and their paths, then reflections of the whole search, oldest first, for the generator to heed."""
    seed: int = 0
    tainted: bool = False
    """Whether anything of it is text of strangers, or came of such."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One proposed step, not yet a thought."""

    text: str
    tokens: int = 0
    logprob: float | None = None
    """Sum of its tokens' log-probabilities (≤ 0)."""
    call: str | None = None
    """Id of the model call it came from, where that is not the proposal's."""
    last: bool = False
    """Whether the model ended the solution with it, whatever the task says: nothing comes after."""


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
    """Independent replies, completions or votes behind the value."""
    successes: int | None = None
    """How many of them were in favour."""


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

    async def call_tool(
        self,
        thought: str,
        tool: Tool,
        arguments: Mapping[str, Any],
        earlier: tuple[Mapping[str, Any], ...] = (),
        place: int = 0,
        *,
        asked: bool = False,
    ) -> Observation:
        """Call a tool at a thought; its failure is an observation with an error.

        Args:
            thought: id of the thought.
            tool: the tool, which the agent was given.
            arguments: checked against the tool's schema.
            earlier: arguments of its calls at the thoughts before, for a tool that keeps state.
            place: which of the thought's calls it is, from 0.
            asked: whether the thought's own text called the tool.

        Raises:
            BudgetSpentError: if no call is left.
            OutcomeUnknownError: if the call may not be made twice, and nobody knows what came of it: a person must say.
        """
        ...

    def refuse_call(
        self, thought: str, tool: str, arguments: Mapping[str, Any], why: str, place: int = 0
    ) -> Observation:
        """Record a call that is not made, because there is no such tool, no grant, or nothing that can be read; it costs nothing."""
        ...


class Generator(Protocol):
    """Proposes the next steps of a path."""

    @property
    def name(self) -> str:
        """Identity with version and configuration: part of every thought's address."""
        ...

    # An optional property `actions: frozenset[str]` names the actions it knows (see `actions.py`), so that a scheme that needs more is
    # refused before the search; without it, a request for an unknown action must raise AgentError.

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


class Evaluator(Protocol):
    """Answers evaluation requests of a strategy: values, votes, preferences, reflections, choices.

    Verifiers and critics judge every new thought; an evaluator judges what a strategy asks about, as often as it asks.
    """

    @property
    def source(self) -> str:
        """Who judges, with its version; stored with every evaluation."""
        ...

    async def evaluate(self, context: Context, gateway: Gateway) -> Sequence[Judgement | None]:
        """Judge the request's subjects, in order, each from `request.n` replies; None where it has nothing to say of one.

        A reply that cannot be read is asked for once more; if that one cannot be read either, the judgement is an error, never a score.
        """
        ...


class ToolUser(Protocol):
    """Runs what a thought calls for."""

    @property
    def name(self) -> str: ...

    async def act(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Observation]:
        """Return the observations made, each naming its thought; none for thoughts that call for nothing."""
        ...

    # An optional method `answers(agent: str) -> bool` says whether it answers calls that this agent writes, for the agent to read before it
    # goes on: then solutions are not drawn to their end in one go.
