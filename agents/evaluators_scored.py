"""Evaluators made from a step scorer, where no model can be asked in words: the shipped models, or a reward model beside a base model.

They are deterministic, so the number of replies that a request wants means nothing here. A subject that could not be scored is a failed judgement
and takes no part in the others'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..graph.domain import Domain
from ..graph.errors import AgentError
from ..graph.records import EvaluationKind
from .models.base import ScoringModel, Trace
from .models.text import shorten
from .protocols import Context, Gateway, Judgement


@dataclass(frozen=True, slots=True)
class Scored:
    """What all evaluators here share."""

    model: ScoringModel
    domain: Domain

    async def scores(self, context: Context, gateway: Gateway) -> list[list[float] | str]:
        """Return the scores of every step of each subject, or why there are none."""
        traces = [Trace(self.domain.prompt(s.problem.question, ()), s.steps) for s in context.subjects]
        some = [trace for trace in traces if trace.steps]
        found = iter(await gateway.score(self.model, some)) if some else iter(())
        return [next(found) if trace.steps else "the question has no step to be scored" for trace in traces]


@dataclass(frozen=True, slots=True)
class ScoredValue(Scored):
    """The score of each subject's newest step."""

    @property
    def source(self) -> str:
        """Who judges, with the model's version."""
        return f"value:{self.model.name}"

    async def evaluate(self, context: Context, gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Evaluator.evaluate`."""
        return [
            _failed("value", scores) if isinstance(scores, str) else Judgement("value", scores[-1])
            for scores in await self.scores(context, gateway)
        ]


@dataclass(frozen=True, slots=True)
class ScoredVote(Scored):
    """The vote of one: the subject whose newest step is scored best has it all, equals share it."""

    @property
    def source(self) -> str:
        """Who judges, with the model's version."""
        return f"vote:{self.model.name}"

    async def evaluate(self, context: Context, gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Evaluator.evaluate`."""
        scored = await self.scores(context, gateway)
        newest = [scores[-1] for scores in scored if not isinstance(scores, str)]
        best = max(newest, default=0.0)
        return [
            _failed("value", scores)
            if isinstance(scores, str)
            else Judgement("value", 1 / newest.count(best) if scores[-1] == best else 0.0)
            for scores in scored
        ]


@dataclass(frozen=True, slots=True)
class ScoredComparison(Scored):
    """P(the first subject is better than the second) of Bradley and Terry, with the odds of the newest steps' scores as strengths."""

    @property
    def source(self) -> str:
        """Who judges, with the model's version."""
        return f"compare:{self.model.name}"

    async def evaluate(self, context: Context, gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Evaluator.evaluate`; nothing is said of other subjects than the first."""
        if len(context.subjects) < 2:
            raise AgentError(f"{self.source} compares two thoughts and was given one; name a second subject")
        first, second, *_ = await self.scores(context, gateway)
        others = [None] * (len(context.subjects) - 1)
        if isinstance(first, str) or isinstance(second, str):
            return [_failed("preference", first if isinstance(first, str) else str(second)), *others]
        return [Judgement("preference", preference(first[-1], second[-1])), *others]


@dataclass(frozen=True, slots=True)
class ScoredCritique(Scored):
    """Which step of each subject is the weakest: the one at which the score falls the most; nothing where it never falls."""

    @property
    def source(self) -> str:
        """Who judges, with the model's version."""
        return f"critique:{self.model.name}"

    async def evaluate(self, context: Context, gateway: Gateway) -> Sequence[Judgement | None]:
        """See `Evaluator.evaluate`."""
        judged: list[Judgement | None] = []
        for subject, scores in zip(context.subjects, await self.scores(context, gateway), strict=True):
            if isinstance(scores, str):
                judged.append(_failed("critique", scores))
                continue
            at = weakest(scores)
            if at is None:
                judged.append(None)
                continue
            told = f"step {at + 1} is the weakest, the score falls from {scores[at - 1]:.2f} to {scores[at]:.2f} there"
            judged.append(Judgement("critique", text=f"{told}: {shorten(subject.steps[at])}"))
        return judged


def preference(first: float, second: float) -> float:
    """Return P(first is better) in [0, 1] of two scores in [0, 1]; ½ where both are certain of the same."""
    for_first, for_second = first * (1 - second), second * (1 - first)
    total = for_first + for_second
    return for_first / total if total > 0 else 0.5


def weakest(scores: Sequence[float]) -> int | None:
    """Return the place, from 0, of the step at which the score falls the most, the first of equals; None where it never falls."""
    falls = [(scores[k - 1] - scores[k], -k) for k in range(1, len(scores))]
    fall, place = max(falls, default=(0.0, 0))
    return -place if fall > 0 else None


def _failed(kind: EvaluationKind, reason: str) -> Judgement:
    return Judgement(kind, error=reason)
