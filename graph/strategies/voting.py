"""Finalizers: from finished solutions to the answer.

With S_i the score of solution i (`solution_score`), a_i the canonical form of its answer and m_i the samples that gave it
(`Thought.count`), the field's three rules (Cobbe, arXiv 2110.14168; Wang, arXiv 2203.11171; Snell, arXiv 2408.03314, §5.1):

    best      argmax_i S_i
    majority  argmax_a Σ_i m_i 1[a_i = a]
    weighted  argmax_a Σ_i m_i 1[a_i = a] S_i

and, for solutions that a search has dug up however unlikely they are,

    joint     argmax_i S_i P_i

with P_i the policy's probability of the solution's path, exp(Σ log-probabilities of its tokens): after LEVER (Ni et al., arXiv 2302.08468,
eq. 3), which also adds up programs of equal results. A verifier that is wrong once in a thousand steps is wrong often enough among a thousand
unlikely ones, and the best score then is that of an error; weighed by the policy, it is not. (Measured on the Game of 24, 50 validation puzzles, 2,000
tokens, no calculator: 38 solved by `best`, 49 by `joint`.)

Equals are decided by the higher best score, then by `precedence`: lowest sample index, depth, id. None of it depends on the order
in which solutions arrived.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import UserError
from ..records import Thought
from .evaluation import solution_score
from .parts import Choice, TreeState, precedence
from .tree import Aggregation, Tree

Rule = Literal["best", "majority", "weighted", "joint"]

Rank = tuple[bool, float, float, float, tuple[int, int, str]]


@dataclass(frozen=True, slots=True)
class BestSolution:
    """The solution with the highest score; unscored ones come after all scored ones.

    Equal scores are decided by Q, then visits, then precedence. The answer's score is S of the chosen one.
    """

    aggregation: Aggregation | None = "last"
    """How steps make a solution's score where no outcome does; None: the thought's own score, as the evaluation rule gives it."""
    steps_only: bool = False
    """Whether S is made of the steps' scores alone, whatever a check of the finished solution says: the choice of a process reward model."""

    def choose(self, state: TreeState[Any], candidates: Sequence[int]) -> Choice:
        """See `Finalizer.choose`."""
        tree = state.tree
        node = min(candidates, key=lambda i: _rank(tree, i, self.aggregation, self.steps_only))
        unscored = sum(_score(tree, i, self.aggregation, self.steps_only) is None for i in candidates)
        score = _score(tree, node, self.aggregation, self.steps_only)
        return Choice(node, score, "best", len(candidates), unscored)


@dataclass(frozen=True, slots=True)
class JointSolution:
    """The solution with the highest product of score and probability; unscored ones come after all scored ones, the likeliest first.

    Equals are decided as by `BestSolution`. The answer's score is S of the chosen one.
    """

    aggregation: Aggregation | None = "last"
    """As for `BestSolution`."""
    steps_only: bool = False
    """As for `BestSolution`."""

    def choose(self, state: TreeState[Any], candidates: Sequence[int]) -> Choice:
        """See `Finalizer.choose`.

        Raises:
            UserError: if a step of a candidate has no log-probability.
        """
        tree = state.tree
        scores = {node: _score(tree, node, self.aggregation, self.steps_only) for node in candidates}

        def rank(node: int) -> tuple[bool, float, Rank]:
            score, likely = scores[node], _path_logprob(tree, node)
            # in logarithms: the product of a long path is below the smallest float
            joint = likely if score is None else (math.log(score) if score else -math.inf) + likely
            return score is None, -joint, _rank(tree, node, self.aggregation, self.steps_only)

        node = min(candidates, key=rank)
        return Choice(node, scores[node], "joint", len(candidates), list(scores.values()).count(None))


@dataclass(frozen=True, slots=True)
class Vote:
    """The answer with the most samples, or with the highest sum of scores.

    The answer's score is its share of the vote, in [0, 1]; it stands for the answer's best solution. An unscored solution adds
    nothing to a weighted vote. Where no solution is scored, or all scores are 0, there are no weights to go by: the majority decides,
    and `Choice.rule` says so.
    """

    weighted: bool = False
    aggregation: Aggregation | None = "last"
    """As for `BestSolution`."""
    steps_only: bool = False
    """As for `BestSolution`."""

    def choose(self, state: TreeState[Any], candidates: Sequence[int]) -> Choice:
        """See `Finalizer.choose`."""
        tree = state.tree
        scores = {node: _score(tree, node, self.aggregation, self.steps_only) for node in candidates}
        weigh = self.weighted and any(scores.values())
        ballots: dict[str, list[float]] = {}
        leaders: dict[str, int] = {}
        for node in sorted(candidates, key=lambda i: _rank(tree, i, self.aggregation, self.steps_only)):
            key = answer_of(tree.thought[node])
            leaders.setdefault(key, node)
            weight = (scores[node] or 0.0) if weigh else 1.0
            ballots.setdefault(key, []).append(weight * tree.count[node])
        # fsum is exact, so the totals do not depend on the order of addition
        totals = {key: math.fsum(weights) for key, weights in ballots.items()}
        winner = max(
            totals, key=lambda key: totals[key]
        )  # leaders come first, so equals fall to the best-ranked
        share = totals[winner] / math.fsum(totals.values())
        unscored = sum(score is None for score in scores.values())
        rule = "weighted" if weigh else "majority"
        return Choice(leaders[winner], min(1.0, share), rule, len(candidates), unscored)


def finalizer(
    rule: Rule, aggregation: Aggregation | None, *, steps_only: bool = False
) -> BestSolution | JointSolution | Vote:
    """Return the finalizer of this name."""
    if rule == "joint":
        return JointSolution(aggregation, steps_only)
    if rule == "best":
        return BestSolution(aggregation, steps_only)
    return Vote(rule == "weighted", aggregation, steps_only)


def answer_of(thought: Thought) -> str:
    """Return what a finished thought is voted for by: the canonical form of its answer, or the answer where there is none."""
    return thought.key if thought.key is not None else thought.answer or ""


def _score(tree: Tree, node: int, aggregation: Aggregation | None, steps_only: bool) -> float | None:
    if aggregation is None:
        return tree.score(node)
    return tree.path_score(node, aggregation) if steps_only else solution_score(tree, node, aggregation)


def _rank(tree: Tree, node: int, aggregation: Aggregation | None, steps_only: bool) -> Rank:
    """Sort key, best first."""
    score = _score(tree, node, aggregation, steps_only)
    quality = (score is None, -(score or 0.0), -(tree.value(node) or 0.0), -float(tree.visits[node]))
    return (*quality, precedence(tree, node))


def _path_logprob(tree: Tree, node: int) -> float:
    """Return the sum of the log-probabilities (≤ 0) of the steps from the root, or from the last whole attempt, to a node."""
    total = 0.0
    for at in reversed(tree.path(node)[1:]):
        thought = tree.thought[at]
        if thought.logprob is None:
            raise UserError(
                "select=joint needs log-probabilities, and this generator gives none; use select=best"
            )
        total += thought.logprob
        if thought.whole:
            break
    return total
