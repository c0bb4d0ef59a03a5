"""The evaluation rule: from what verifiers and critics said of a thought to its score.

A rule sees means by kind and answers a number in [0, 1], or None: unscored. An unscored thought never beats a scored one, and a
failed evaluation is no number at all, so an error can neither pass for a bad thought nor win.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Literal, Protocol

from .tree import REFUTED, Aggregation, Tree, Verdicts

Kind = Literal["outcome", "value", "step"]


class EvaluationRule(Protocol):
    """How evaluations become a score."""

    def score(self, verdicts: Verdicts) -> float | None:
        """Return the thought's score in [0, 1], or None if nothing said of it gives one."""
        ...


@dataclass(frozen=True, slots=True)
class FirstKnown:
    """The score is the mean of the first kind of evaluation that is there; a refuted thought scores 0.

    With the default order: of a checked solution, the check; otherwise the chance to succeed; otherwise the step's own score. A
    rule's verdict 1 means "not refuted" and gives no score.
    """

    order: tuple[Kind, ...] = ("outcome", "value", "step")

    def score(self, verdicts: Verdicts) -> float | None:
        """See `EvaluationRule.score`."""
        if verdicts.refuted:
            return 0.0
        known = {"outcome": verdicts.outcome, "value": verdicts.value, "step": verdicts.step}
        return next((mean for kind in self.order if (mean := known[kind]) is not None), None)


@dataclass(frozen=True, slots=True)
class Stop:
    """When a search has found what it looks for: a living solution whose evaluations of a kind average `score` or more.

    The default kind is `outcome`: only a check of a finished solution ends a search early, not a model's opinion of a step. `score` is the
    solution's own score, whatever kind gave it.
    """

    score: float | None = 1.0
    """In [0, 1]; None never stops early."""
    kind: Kind | Literal["score"] = "outcome"

    def found(self, tree: Tree, node: int) -> bool:
        """Return whether this terminal node ends the search; an evaluation that came later may revoke it."""
        if self.score is None or tree.has(node, REFUTED):
            return False
        mean = tree.score(node) if self.kind == "score" else tree.mean(node, self.kind)
        return mean is not None and mean >= self.score


def solution_score(tree: Tree, node: int, aggregation: Aggregation) -> float | None:
    """Return a finished solution's score in [0, 1]: the mean of its `outcome` evaluations, else its steps', aggregated."""
    outcome = tree.mean(node, "outcome")
    return tree.path_score(node, aggregation) if outcome is None else outcome


def settle(tree: Tree, rule: EvaluationRule, nodes: set[int]) -> tuple[set[int], list[int]]:
    """Bring refutations, scores and path tallies up to date, from these nodes downwards as far as anything changes.

    Returns:
        All nodes looked at, and those newly refuted, parents first.
    """
    heap = [(tree.order(node), node) for node in nodes]
    heapify(heap)
    seen: set[int] = set()
    refuted: list[int] = []
    while heap:
        _, node = heappop(heap)
        if node in seen:
            continue
        seen.add(node)
        tally = tree.tally(node)
        flipped = tree.refresh_refuted(node)
        if flipped and tree.has(node, REFUTED):
            refuted.append(node)
        tree.settle(node, rule.score(tree.verdicts(node)))
        if flipped or tree.tally(node) != tally:
            for child in tree.children(node):
                heappush(heap, (tree.order(child), child))
    return seen, refuted
