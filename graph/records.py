"""The records everything else speaks in: frozen, slotted, plain data.

A *problem* is a question without its answer. A *strategy* emits *requests*; agents answer each with an *outcome*:
new *thoughts* and their *evaluations*. A thought is written once; what is later learned about it is another
evaluation, never a change.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from .errors import UserError
from .ids import address


class Operator(StrEnum):
    """The operators of "Reasoning Language Models: A Blueprint" (arXiv 2501.11223, §4.3)."""

    GENERATE = "generate"
    REFINE = "refine"
    AGGREGATE = "aggregate"
    PRUNE = "prune"
    RESTRUCTURE = "restructure"
    SELECT = "select"
    BACKTRACK = "backtrack"
    BACKPROPAGATE = "backpropagate"
    EVALUATE = "evaluate"


Horizon = Literal["step", "answer", "solution"]
"""How far one sample goes: one step; all steps up to an answer, each a thought; or a whole solution as one thought."""

EvaluationKind = Literal[
    "step", "outcome", "value", "rule", "agreement", "preference", "critique", "reflection", "choice"
]
"""What an evaluation judges.

step: P(this step is good | the path), as of a process reward model. outcome: a finished solution as a whole.
value: the chance to succeed from here. rule: a verdict of exact rules, 0 or 1, final where it is 0.
agreement: the share of independent attempts that came to the same answer. preference: P(this thought is better than the other one of
the request). critique: text for the generations below the thought to read. reflection: text for all later generations of the search to
read. choice: text that is one of the options a strategy offered. The last three have no value.
"""

Scalar = int | float | str | bool | None
"""What a scheme's parameter can be."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A question, as the search may see it. It has no field for a reference answer, and never gets one."""

    id: str
    task: str
    question: str
    """The canonical question, as the task's `parse` returned it."""


@dataclass(frozen=True, slots=True)
class Thought:
    """One step of reasoning. Immutable, content-addressed, linked to its parents."""

    id: str
    parents: tuple[str, ...]
    """Ids of the thoughts it was made from: () for the root (the question), several for an aggregation."""
    operator: Operator
    text: str
    depth: int
    """Steps from the root, which has depth 0; along the first parent."""
    request: str = ""
    """Id of the request that made it; "" for the root."""
    sample: int = 0
    """Index of the sample it came from, counted over all samples of its subjects."""
    count: int = 1
    """How many samples of its request gave this same thought (≥ 1); more than 1 only for distinct requests."""
    terminal: bool = False
    answer: str | None = None
    key: str | None = None
    """Canonical form of the answer: the vote key. Terminal thoughts only."""
    state: str | None = None
    """Canonical form of the state reached, where the task knows one; equal states may be merged."""
    logprob: float | None = None
    """Sum of the natural log-probabilities of its tokens (≤ 0), where the backend has them."""
    tokens: int = 0
    """Generated tokens in it."""
    call: str | None = None
    """Id of the model call that produced it."""
    whole: bool = False
    """Whether its text is an attempt at the whole problem, a step a line, that does not continue its parents but was made from them."""
    nested: str | None = None
    """Id of the run that the thought contains, where a search of its own brought it forth."""
    tainted: bool = False
    """Whether what it was made from holds text of strangers: what an untrusted tool answered, or a thought that came of such."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A parent link with its place among the parents."""

    parent: str
    child: str
    position: int
    operator: Operator


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One judgement of one thought by one source. Append-only: a better verifier adds, never overwrites."""

    thought: str
    kind: EvaluationKind
    source: str
    """Who judged, with its version: `score:builtin:numbers@1f3a…`, `rule:equation`."""
    value: float | None = None
    """In [0, 1], higher is better; None for a critique and for a failed evaluation."""
    error: str | None = None
    """Why the evaluation failed. A failed evaluation has no value: it is never a 0 and never wins."""
    text: str | None = None
    rollouts: int | None = None
    successes: int | None = None
    request: str = ""
    """Id of the request under which it was made; "" for one added after the search."""

    def __post_init__(self) -> None:
        if self.value is not None and not (math.isfinite(self.value) and 0.0 <= self.value <= 1.0):
            raise ValueError(f"evaluation value {self.value!r} from {self.source!r} is not in [0, 1]")
        if self.value is not None and self.error is not None:
            raise ValueError(f"evaluation from {self.source!r} has both a value and an error")

    @property
    def id(self) -> str:
        """Content address: the same judgement under the same request is one row."""
        return address("evaluation", self.thought, self.kind, self.source, self.request)


@dataclass(frozen=True, slots=True)
class Nested:
    """A search inside a thought: which scheme runs, on which question."""

    scheme: str
    params: tuple[tuple[str, Scalar], ...] = ()
    """The scheme's parameters, as pairs."""
    question: str | None = None
    """A question of its own; None: the problem's."""
    share: float = 1.0
    """Part of what is left of the budget when it begins that it may spend, in (0, 1]."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Nested:
        """Return the search that `as_json` gave these values."""
        return cls(values["scheme"], tuple(values["params"].items()), values["question"], values["share"])

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "scheme": self.scheme,
            "params": dict(self.params),
            "question": self.question,
            "share": self.share,
        }


@dataclass(frozen=True, slots=True)
class Request:
    """What a strategy wants done next. Its id is its content, so asking again after a crash asks the same."""

    operator: Operator
    subjects: tuple[str, ...]
    """Ids of the thoughts it is about: one for generate, one or more for refine (the first is refined), several for aggregate."""
    n: int = 1
    """Samples wanted (≥ 1); of an evaluation, replies asked for a subject; 0 has the team's own judges judge the subjects again."""
    first_sample: int = 0
    """Index of the first sample: a second request on the same subjects starts where the first ended."""
    horizon: Horizon = "step"
    distinct: bool = True
    """Whether equal samples become one thought with a count; voting schemes keep them apart."""
    temperature: float | None = None
    """Overrides the generator's own temperature (≥ 0; 0 is greedy)."""
    action: str = ""
    """What exactly is asked, where the operator leaves that open: `propose`, `rephrase`, `vote`; see `agents.actions`."""
    agent: str = ""
    """Who is asked: the name of one of the team's further agents; "" is the generator, or the evaluator of the action."""
    steps: int = 0
    """Steps of a sample at most (≥ 1), where the horizon allows several; 0 leaves it to the task."""
    nested: Nested | None = None
    """The search that brings the thought forth; None: the agent does."""

    id: str = field(init=False, compare=False)
    """Content address of the request within its problem's search."""

    def __post_init__(self) -> None:
        values = (
            self.operator,
            self.subjects,
            self.n,
            self.first_sample,
            self.horizon,
            self.distinct,
            self.temperature,
            self.action,
            self.agent,
            self.steps,
            None if self.nested is None else self.nested.as_json(),
        )
        # computed once: strategies, sessions and the store all key by it
        object.__setattr__(self, "id", address("request", *values))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Request:
        """Return the request that `as_json` gave these values; raises KeyError, TypeError or ValueError on others."""
        fields = dict(values)
        fields["operator"] = Operator(fields["operator"])
        fields["subjects"] = tuple(fields["subjects"])
        if (nested := fields.get("nested")) is not None:
            fields["nested"] = Nested.from_json(nested)
        return cls(**fields)

    @property
    def grows(self) -> bool:
        """Whether it asks for new thoughts; otherwise it asks for judgements of its subjects."""
        return self.operator is not Operator.EVALUATE

    def as_json(self) -> dict[str, Any]:
        """Return the fields that determine it, as JSON values."""
        return {
            "operator": self.operator.value,
            "subjects": list(self.subjects),
            "n": self.n,
            "first_sample": self.first_sample,
            "horizon": self.horizon,
            "distinct": self.distinct,
            "temperature": self.temperature,
            "action": self.action,
            "agent": self.agent,
            "steps": self.steps,
            "nested": None if self.nested is None else self.nested.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request: told to the strategy once, replayed from the store on resume."""

    request: Request
    thoughts: tuple[Thought, ...] = ()
    """New thoughts, parents before children; with horizon `answer`, one chain a sample."""
    evaluations: tuple[Evaluation, ...] = ()
    error: str | None = None
    """Why nothing came of it (the model failed); None if it ran, even if every sample was dropped."""
    exhausted: bool = False
    """Whether the model, drawing without replacement, had nothing left: the same request again would bring nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a strategy answers with: the terminal thought it chose, or the best unfinished one."""

    thought: str
    text: str | None
    """The answer's text; None where no finished solution was found."""
    key: str | None = None
    score: float | None = None
    """In [0, 1], as the scheme's finalizer computed it: a vote share, a verifier's score, a value."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operator applied by a strategy: the Blueprint's trace-based supervision (§4.5)."""

    operator: Operator
    subjects: tuple[str, ...]
    detail: Mapping[str, float | int | str | None] = field(
        default_factory=dict[str, float | int | str | None]
    )


@dataclass(frozen=True, slots=True)
class Usage:
    """What was paid. Sums with `+`."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    model_calls: int = 0
    """Generation requests sent to a model; one request for n samples is one call."""
    verifier_calls: int = 0
    """Thoughts judged by a model."""
    tool_calls: int = 0
    seconds: float = 0.0
    """Wall-clock seconds of search."""
    usd: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.model_calls + other.model_calls,
            self.verifier_calls + other.verifier_calls,
            self.tool_calls + other.tool_calls,
            self.seconds + other.seconds,
            self.usd + other.usd,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens - other.prompt_tokens,
            self.completion_tokens - other.completion_tokens,
            self.model_calls - other.model_calls,
            self.verifier_calls - other.verifier_calls,
            self.tool_calls - other.tool_calls,
            self.seconds - other.seconds,
            self.usd - other.usd,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, as JSON values."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "model_calls": self.model_calls,
            "verifier_calls": self.verifier_calls,
            "tool_calls": self.tool_calls,
            "seconds": self.seconds,
            "usd": self.usd,
        }


@dataclass(frozen=True, slots=True)
class Budget:
    """What one problem's search may pay; None is no limit. Every limit is > 0.

    Raises:
        UserError: on a limit that no search could keep (zero, negative, not finite), or if nothing is limited.
    """

    tokens: int | None = None
    """Generated tokens (completion tokens), summed over all generators."""
    model_calls: int | None = None
    verifier_calls: int | None = None
    tool_calls: int | None = None
    seconds: float | None = None
    usd: float | None = None

    def __post_init__(self) -> None:
        limits = self.as_dict()
        for name, limit in limits.items():
            if not (math.isfinite(limit) and limit > 0):
                raise UserError(f"impossible budget {name}={limit}; give a number above 0")
        if not limits:
            raise UserError(
                "the budget limits nothing, so the search might never end; set tokens, calls or seconds"
            )

    def as_dict(self) -> dict[str, int | float]:
        """Return the limits that are set, by name."""
        return {f.name: v for f in dataclasses.fields(self) if (v := getattr(self, f.name)) is not None}
