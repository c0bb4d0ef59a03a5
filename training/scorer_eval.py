"""How good step scores are: per step against rollouts, and per answer when they choose among samples.

Steps are compared with the outcomes of rollouts. A prefix with r rollouts and s successes counts as r examples that
have the same score: s positive, r - s negative. Answers are chosen among the samples of one problem.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .traces import Count, LabelledTrace

_EDGE = 1e-7
"""Scores this close to 0 or 1 are moved to it, so that a cross-entropy stays finite."""


@dataclass(frozen=True, slots=True)
class Point:
    """The score of one prefix, in [0, 1], and what its rollouts said."""

    score: float
    count: Count
    terminal: bool


@dataclass(frozen=True, slots=True)
class Sampled:
    """One sample of a problem with an answer."""

    key: str
    """The vote key."""
    scores: tuple[float, ...]
    """One a step, each in [0, 1]."""
    correct: bool

    @property
    def last(self) -> float:
        """The score of the last step."""
        return self.scores[-1]


def auc(examples: Iterable[tuple[float, float, float]]) -> float | None:
    """Return the area under the ROC curve of weighted examples, in [0, 1]; None without both classes.

    That is the chance that a positive has a higher score than a negative, equal scores counting half.

    Args:
        examples: (score, positive weight, negative weight), weights ≥ 0.
    """
    tied: defaultdict[float, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for score, positive, negative in examples:
        tied[score][0] += positive
        tied[score][1] += negative
    below = wins = 0.0
    for score in sorted(tied):
        positive, negative = tied[score]
        wins += positive * (below + negative / 2)
        below += negative
    positives = sum(weights[0] for weights in tied.values())
    return wins / (positives * below) if positives and below else None


def step_metrics(points: Sequence[Point]) -> dict[str, float | int | None]:
    """Return how the scores of prefixes fit their rollouts.

    `auc`: prefixes with any success against those without, each weighing its rollouts. `auc_rollouts`: rollouts that
    succeeded against those that failed. `brier` and `bce`: mean squared error and mean cross-entropy (nats) a rollout;
    `bce_floor` is the least possible for any function of the prefix: that of the success rates themselves.
    """
    rollouts = sum(p.count.rollouts for p in points)
    if not rollouts:
        return {"prefixes": 0, "rollouts": 0}

    def mean(loss: Callable[[float, Count], float]) -> float:
        return sum(loss(p.score, p.count) for p in points) / rollouts

    weighed = [
        (
            p.score,
            float(p.count.rollouts * (p.count.successes > 0)),
            float(p.count.rollouts * (p.count.successes == 0)),
        )
        for p in points
    ]
    outcomes = [
        (p.score, float(p.count.successes), float(p.count.rollouts - p.count.successes)) for p in points
    ]
    return {
        "prefixes": len(points),
        "rollouts": rollouts,
        "success_rate": _rounded(sum(p.count.successes for p in points) / rollouts),
        "auc": _rounded(auc(weighed)),
        "auc_rollouts": _rounded(auc(outcomes)),
        "brier": _rounded(mean(_squared)),
        "bce": _rounded(mean(_cross_entropy)),
        "bce_floor": _rounded(mean(lambda _, count: _cross_entropy(count.rate, count))),
    }


def answer_metrics(problems: Mapping[str, Sequence[Sampled]], samples: int) -> dict[str, float | int]:
    """Return the share of problems that each way of choosing among a problem's samples solves, in [0, 1].

    Args:
        problems: for each problem its samples that have an answer, in sample order; maybe none.
        samples: samples drawn of each problem, those without an answer included.
    """

    def share(choose: Callable[[Sequence[Sampled]], Sampled]) -> float:
        return sum(choose(s).correct for s in problems.values() if s) / len(problems)

    return {
        "problems": len(problems),
        "samples": samples,
        "per_sample": _rounded(
            sum(s.correct for some in problems.values() for s in some) / len(problems) / samples
        ),
        "any_of_samples": _rounded(
            sum(any(s.correct for s in some) for some in problems.values()) / len(problems)
        ),
        "majority": _rounded(share(lambda some: vote(some, lambda _: 1.0))),
        "best_last": _rounded(share(lambda some: max(some, key=lambda s: s.last))),
        "best_min": _rounded(share(lambda some: max(some, key=lambda s: min(s.scores)))),
        "weighted_vote_last": _rounded(share(lambda some: vote(some, lambda s: s.last))),
        "weighted_vote_min": _rounded(share(lambda some: vote(some, lambda s: min(s.scores)))),
    }


def vote(samples: Sequence[Sampled], weight: Callable[[Sampled], float]) -> Sampled:
    """Return the first sample of the answer with the most weight; equals are decided by the first sample."""
    totals: defaultdict[str, float] = defaultdict(float)
    for sample in samples:
        totals[sample.key] += weight(sample)
    winner = max(totals, key=lambda key: totals[key])
    return next(sample for sample in samples if sample.key == winner)


def points_of(traces: Sequence[LabelledTrace], scores: Sequence[Sequence[float]]) -> list[Point]:
    """Return the points of all different labelled prefixes of the traces.

    Args:
        traces: with their labels.
        scores: for each trace, one score a step.
    """
    points: dict[tuple[str, tuple[str, ...]], Point] = {}
    for trace, row in zip(traces, scores, strict=True):
        steps = trace.leaf.steps
        for depth, (count, score) in enumerate(zip(trace.counts, row, strict=True), 1):
            if count is not None:
                terminal = trace.leaf.terminal and depth == len(steps)
                points.setdefault((trace.leaf.question, steps[:depth]), Point(score, count, terminal))
    return list(points.values())


def samples_of(
    traces: Sequence[LabelledTrace], scores: Sequence[Sequence[float]]
) -> dict[str, list[Sampled]]:
    """Return, for each problem, its samples that ended with an answer, in sample order."""
    problems: defaultdict[str, list[tuple[int, Sampled]]] = defaultdict(list)
    for trace, row in zip(traces, scores, strict=True):
        leaf, count = trace.leaf, trace.counts[-1]
        found = problems[leaf.problem]
        if leaf.terminal and leaf.answer is not None and count is not None:
            found.append((leaf.sample, Sampled(leaf.key or leaf.answer, tuple(row), count.successes > 0)))
    return {
        problem: [sampled for _, sampled in sorted(some, key=lambda pair: pair[0])]
        for problem, some in problems.items()
    }


def summarise(
    traces: Sequence[LabelledTrace], scores: Sequence[Sequence[float]], samples: int
) -> dict[str, Any]:
    """Return all metrics; steps also apart: `open` can still be continued, `terminal` is finished."""
    points = points_of(traces, scores)
    return {
        "steps": step_metrics(points),
        "open_steps": step_metrics([p for p in points if not p.terminal]),
        "terminal_steps": step_metrics([p for p in points if p.terminal]),
        "answers": answer_metrics(samples_of(traces, scores), samples),
    }


def _squared(score: float, count: Count) -> float:
    return count.successes * (1 - score) ** 2 + (count.rollouts - count.successes) * score**2


def _cross_entropy(score: float, count: Count) -> float:
    p = min(max(score, _EDGE), 1 - _EDGE)
    return -count.successes * math.log(p) - (count.rollouts - count.successes) * math.log1p(-p)


def _rounded(value: float | None) -> Any:
    return None if value is None else round(value, 4)
