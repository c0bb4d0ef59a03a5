"""The port to models: what a call is, what comes back, and how many calls a backend takes at once.

Two kinds of model stand behind it. A `LanguageModel` continues text or a chat; a `ScoringModel` gives every step of a trace a number.
Both are asked through the scheduler, in batches over all searches of the process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from ...graph.errors import ModelError
from ...graph.ids import address

Finish = Literal["stop", "end", "length", "filter"]
"""Why a sample ended: a stop string, the model's own end, the token limit (truncated), a content filter (not an answer).

`filter` also stands for samples that do not exist, see `GenerationCall.unique`.
"""


@dataclass(frozen=True, slots=True)
class Message:
    """One chat turn."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """Decoding parameters."""

    max_tokens: int
    """Limit of generated tokens a sample (≥ 1)."""
    temperature: float = 0.7
    """≥ 0; 0 is greedy."""
    top_p: float = 1.0
    """In (0, 1]."""
    min_p: float = 0.0
    """In [0, 1]: tokens less likely than this share of the likeliest one are not drawn (min-p, Nguyen et al., arXiv 2407.01082).

    Local models take the shares before the temperature, so that heat spreads the draw over plausible tokens only; servers as they do. Backends
    without it refuse a call that sets it.
    """
    stop: tuple[str, ...] = ()
    """A sample ends before the first of these; the stop string itself is not part of the text."""
    alternatives: int = 0
    """How many of the likeliest first tokens are told with each sample (0 to 20), see `Sample.alternatives`; for models that say so, see
    `tells_alternatives`."""


@dataclass(frozen=True, slots=True)
class GenerationCall:
    """A request for `n` samples that continue one prompt."""

    prompt: str | tuple[Message, ...]
    """Text to be continued as it stands, or chat turns; a last turn by the assistant is to be continued, not answered."""
    sampling: Sampling
    n: int = 1
    seed: int = 0
    """Sample i draws from a generator seeded by (seed, first_sample + i), where the backend lets us."""
    first_sample: int = 0
    unique: bool = False
    """Whether the samples are drawn without replacement: no two have the same text, surrounding white space aside.

    They come in the order of their draws, so the first of n is distributed like an ordinary sample. At temperature 0 it is the greedy one, then
    come those that differ from it at the least loss. Where fewer exist, or further ones would cost more than `n` times `max_tokens`, empty
    samples with finish `filter` stand for the rest. For models that say so, see `LanguageModel`; the others refuse.
    """
    avoid: tuple[str, ...] = ()
    """With `unique`: texts, without the stop string, that are not drawn either."""
    route: str = field(default="", compare=False)
    """Calls of one route share a prefix, so a model with several replicas sends them to the same one. No part of the call's identity."""

    def __post_init__(self) -> None:
        if self.avoid and not self.unique:
            raise ValueError("texts are avoided in calls with unique=True only")

    def routed(self, route: str) -> GenerationCall:
        """Return the call on this route (in less than half the time of `dataclasses.replace`: every call passes here)."""
        return GenerationCall(
            self.prompt, self.sampling, self.n, self.seed, self.first_sample, self.unique, self.avoid, route
        )

    def id(self, model: str) -> str:
        """Return the content address of the call to the model of this name."""
        prompt = self.prompt if isinstance(self.prompt, str) else [[m.role, m.content] for m in self.prompt]
        s = self.sampling
        distinct = ("unique", self.avoid) if self.unique else ()
        told = ("alternatives", s.alternatives) if s.alternatives else ()
        return address(
            "call",
            model,
            prompt,
            self.n,
            self.seed,
            self.first_sample,
            s.max_tokens,
            s.temperature,
            s.top_p,
            s.min_p,
            s.stop,
            *distinct,
            *told,
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """One continuation."""

    text: str
    finish: Finish
    tokens: int
    """Generated tokens (≥ 0), the stop token included."""
    token_ids: tuple[int, ...] | None = None
    """Ids of the generated tokens as the backend reported them; None where it does not."""
    logprobs: tuple[float, ...] | None = None
    """Natural log-probability of each generated token (≤ 0) at temperature 1; None where the backend has none."""
    pieces: tuple[str, ...] | None = None
    """Text of each generated token, stop tokens included; None where the backend does not tell. Joined they start with `text`, or, where it
    was split off them, with `reasoning` and its tags."""
    reasoning: str | None = None
    """What a reasoning model thought before `text`, where it tells; kept in the record, and never shown to anybody as part of the answer."""
    alternatives: tuple[tuple[str, float], ...] | None = None
    """Texts of the likeliest first tokens with their natural log-probabilities at temperature 1, likeliest first; None where not asked for."""


@dataclass(frozen=True, slots=True)
class Generation:
    """What a model returned for one call."""

    samples: tuple[Sample, ...]
    """Exactly `n`, in sample order."""
    prompt_tokens: int
    """Tokens read, but not generated. With `unique` this counts what is read more than once, and the texts avoided."""
    prompt_token_ids: tuple[int, ...] | None = None
    extra_tokens: int = 0
    """Tokens generated for what is in no sample (≥ 0): with `unique`, second spellings of one text."""
    cached_prompt_tokens: int = field(default=0, compare=False)
    """Of `prompt_tokens`, those that the backend had in its prefix cache (≥ 0), where it tells: for the live display.

    It depends on what else was asked lately, so it is neither recorded nor part of what makes two answers equal.
    """

    @property
    def completion_tokens(self) -> int:
        """Generated tokens: of all samples, each counted in full, and the extra ones."""
        return sum(sample.tokens for sample in self.samples) + self.extra_tokens


@dataclass(frozen=True, slots=True)
class Trace:
    """A path of steps to be scored."""

    prompt: str
    """What the steps answer, in the domain's raw form, as `Domain.prompt(question, ())` gives it."""
    steps: tuple[str, ...]
    newest: bool = False
    """Whether only the score of the last step is wanted: the result then has one number."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a backend takes at once; it may change while the model works, the scheduler asks each time."""

    batch: int = 1
    """Calls that one `generate` or `score` takes together (≥ 1)."""
    concurrency: int = 1
    """`generate` or `score` invocations that may run at the same time (≥ 1)."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens; 0 for a local model."""

    prompt: float = 0.0
    completion: float = 0.0

    def usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the cost of a call."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@runtime_checkable
class LanguageModel(Protocol):
    """A model that continues text or chats."""

    @property
    def name(self) -> str:
        """Identity with version: equal names mean equal distributions. Part of every thought's address."""
        ...

    @property
    def chat(self) -> bool:
        """Whether it takes chat turns (True) or raw text (False)."""
        ...

    @property
    def limits(self) -> Limits: ...

    @property
    def price(self) -> Price: ...

    # Optional properties, each False where there is none, see the functions below:
    #   unique: bool     whether it can draw without replacement, see `GenerationCall.unique`
    #   continues: bool  whether it goes on with an assistant's last turn exactly where that ends, white space included
    #   reasons: bool    whether it thinks before it answers, in the text it writes or beside it
    #   alternatives: bool  whether it tells which first tokens were likely, see `Sampling.alternatives`
    #   priced: bool     False where calls may cost something and nobody said what, see `knows_price`
    # and optional methods:
    #   async context() -> int | None  tokens that prompt and answer may have together, where it is known; for those who describe it to a person
    #   async ready() -> None  see `make_ready`

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        """Answer up to `limits.batch` calls; one result a call, in order, a failed one as its error.

        Raises:
            ModelUnavailableError: if no call to this model can succeed.
        """
        ...


def draws_unique(model: LanguageModel) -> bool:
    """Return whether a model can draw without replacement, see `GenerationCall.unique`."""
    return bool(getattr(model, "unique", False))


def continues_turns(model: LanguageModel) -> bool:
    """Return whether a chat model can go on with an assistant's unfinished turn."""
    return bool(getattr(model, "continues", False))


def reasons_first(model: LanguageModel) -> bool:
    """Return whether a chat model thinks before it answers.

    A stop string would end its thoughts, and a turn that it goes on with leaves no room for them. What it writes is read with that in mind, see
    `reasoning.split_reasoning`.
    """
    return bool(getattr(model, "reasons", False))


def tells_alternatives(model: LanguageModel) -> bool:
    """Return whether a model tells how likely other first tokens were, see `Sampling.alternatives`."""
    return bool(getattr(model, "alternatives", False))


def knows_price(model: LanguageModel | ScoringModel) -> bool:
    """Return whether it is known what a model's calls cost: a remote one has to be told."""
    return bool(getattr(model, "priced", True))


async def make_ready(*models: LanguageModel | ScoringModel) -> None:
    """Have models do what their first call would have to wait for, such as starting an engine: before the clock of a search runs.

    One goes after the other, for engines on one card measure what is free of it while they start.

    Raises:
        ModelUnavailableError: if no call to one of them can succeed.
    """
    for model in models:
        ready: Callable[[], Awaitable[None]] | None = getattr(model, "ready", None)
        if ready is not None:
            await ready()


ScoreKind = Literal["step", "outcome"]
"""What a score means: how good a step or state is, or how good a finished solution is (an outcome reward model)."""


@runtime_checkable
class ScoringModel(Protocol):
    """A reward or value model: a number in [0, 1] for every step of a trace.

    An optional property `kind: ScoreKind` says what its numbers mean, see `score_kind`; without it, they are of steps. For `async ready()` see `make_ready`.
    """

    @property
    def name(self) -> str: ...

    @property
    def limits(self) -> Limits: ...

    async def score(self, traces: Sequence[Trace]) -> list[list[float] | ModelError]:
        """Score up to `limits.batch` traces: for each, one number in [0, 1] a step (of a `newest` trace: one), or its error.

        Raises:
            ModelUnavailableError: if no call to this model can succeed.
        """
        ...


def score_kind(model: ScoringModel) -> ScoreKind:
    """Return what a scoring model's numbers mean."""
    return getattr(model, "kind", "step")
