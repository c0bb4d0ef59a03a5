"""Evaluators made from a scoring model, where no model can be asked in words: the shipped models, or a reward model beside a base model.

They are deterministic, so the number of replies that a request wants means nothing here. A subject that could not be scored is a failed judgement
and takes no part in the others'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..graph.domain import Domain
from ..graph.errors import AgentError
from ..graph.records import EvaluationKind
from .models.base import ScoringModel, Trace, score_kind
from .models.text import shorten
from .protocols import Context, Gateway, Judgement


@dataclass(frozen=True, slots=True)
class Scored:
    """What all evaluators here share."""

    model: ScoringModel
    domain: Domain

    async def newest(self, context: Context, gateway: Gateway) -> list[float | str]:
        """Return the score of each subject's newest step, or of the whole solution from an outcome model, or why there is none."""
        scored = await self.scores(context, gateway, newest=True)
        return [scores if isinstance(scores, str) else scores[-1] for scores in scored]

    async def scores(
        self, context: Context, gateway: Gateway, *, newest: bool = False
    ) -> list[list[float] | str]:
        """Return the scores of every step of each subject, or of its newest step alone, or why there are none."""
        whole_only = score_kind(self.model) == "outcome"
        gone: list[str | None] = []
        traces: list[Trace] = []
        for subject in context.subjects:
            why = None if subject.steps else "the question has no step to be scored"
            if whole_only and not subject.thought.terminal:
                why = f"{self.model.name} scores finished solutions only"
            gone.append(why)
            if why is None:
                prompt = self.domain.prompt(subject.problem.question, ())
                traces.append(Trace(prompt, subject.steps, newest))
        found = iter(await gateway.score(self.model, traces)) if traces else iter(())
        return [next(found) if why is None else why for why in gone]


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
            _failed("value", score) if isinstance(score, str) else Judgement("value", score)
            for score in await self.newest(context, gateway)
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
        newest = await self.newest(context, gateway)
        scores = [score for score in newest if not isinstance(score, str)]
        best = max(scores, default=0.0)
        return [
            _failed("value", score)
            if isinstance(score, str)
            else Judgement("value", 1 / scores.count(best) if score == best else 0.0)
            for score in newest
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
        first, second, *_ = await self.newest(context, gateway)
        others = [None] * (len(context.subjects) - 1)
        if isinstance(first, str) or isinstance(second, str):
            return [_failed("preference", first if isinstance(first, str) else str(second)), *others]
        return [Judgement("preference", preference(first, second)), *others]


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
