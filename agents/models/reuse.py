"""Models that answer a call they have answered before from memory.

Searches that are compared ask the same things: a search with twice the budget begins like the one with half of it, and two ways to choose among
samples draw the same samples. Equal calls have equal seeds, so the answer is the one that a model which draws by the seed would give again: a local one,
or a server's that honours seeds. Of others, which might answer otherwise the second time, the first answer stands for all equal calls. It is recorded and
counted like any other; only the time it takes is not what it would be.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from ...graph.errors import ModelError
from .base import (
    Generation,
    GenerationCall,
    LanguageModel,
    Limits,
    ScoreKind,
    ScoringModel,
    Trace,
    make_ready,
    score_kind,
)
from .wrapping import WrappingModel

T = TypeVar("T")

CALLS = 500_000
"""Answers remembered at most, a few kilobytes each."""


class Reuse:
    """What was answered so far, by whatever model, and the models that look there first.

    Args:
        calls: answers kept at most (≥ 1); those not asked for the longest are forgotten first.
    """

    def __init__(self, calls: int = CALLS) -> None:
        self._generations = _Memory[Generation](calls)
        self._scores = _Memory[list[float]](calls)
        self._models: dict[int, Any] = {}

    @property
    def reused(self) -> int:
        """Answers given from memory so far, generations and scores."""
        return self._generations.found + self._scores.found

    def model(self, inner: LanguageModel) -> LanguageModel:
        """Return a model that answers like `inner`; the same one each time."""
        return self._models.setdefault(id(inner), _ReusingModel(inner, self._generations))

    def scorer(self, inner: ScoringModel) -> ScoringModel:
        """Return a scorer that answers like `inner`; the same one each time."""
        return self._models.setdefault(id(inner), _ReusingScorer(inner, self._scores))


class _Memory(Generic[T]):
    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError(f"room for {most} answers; give 1 or more")
        self._most = most
        self._kept: OrderedDict[object, T] = OrderedDict()
        self.found = 0

    async def answer(
        self, keys: Sequence[object], ask: Callable[[list[int]], Awaitable[Sequence[T | ModelError]]]
    ) -> list[T | ModelError]:
        """Return an answer for each key: what is remembered, and what `ask` says to the places of the others. A failure is not remembered."""
        answers: dict[int, T | ModelError] = {}
        for place, key in enumerate(keys):
            if key in self._kept:
                self._kept.move_to_end(key)
                answers[place] = self._kept[key]
        self.found += len(answers)
        missing = [place for place in range(len(keys)) if place not in answers]
        if missing:
            for place, answer in zip(missing, await ask(missing), strict=True):
                answers[place] = answer
                if not isinstance(answer, ModelError):
                    self._keep(keys[place], answer)
        return [answers[place] for place in range(len(keys))]

    def _keep(self, key: object, answer: T) -> None:
        self._kept[key] = answer
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)


class _ReusingModel(WrappingModel):
    """See `Reuse.model`."""

    def __init__(self, inner: LanguageModel, memory: _Memory[Generation]) -> None:
        super().__init__(inner)
        self._memory = memory

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        """See `LanguageModel.generate`."""
        keys = [call.id(self.name) for call in calls]
        return await self._memory.answer(keys, lambda at: self._inner.generate([calls[i] for i in at]))


class _ReusingScorer:
    """See `Reuse.scorer`."""

    def __init__(self, inner: ScoringModel, memory: _Memory[list[float]]) -> None:
        self._inner = inner
        self._memory = memory

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def limits(self) -> Limits:
        return self._inner.limits

    @property
    def kind(self) -> ScoreKind:
        return score_kind(self._inner)

    async def ready(self) -> None:
        """See `make_ready`."""
        await make_ready(self._inner)

    async def score(self, traces: Sequence[Trace]) -> list[list[float] | ModelError]:
        """See `ScoringModel.score`."""
        keys = [(self.name, trace) for trace in traces]
        return await self._memory.answer(keys, lambda at: self._inner.score([traces[i] for i in at]))
