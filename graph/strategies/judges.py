"""Judges: what the candidates of a round are worth, and what is asked to find out.

* `PathScores`: what the team's verifiers said of the path; nothing more is asked.
* `Rollouts`: what they say of the end of a greedy continuation (lookahead: Snell et al., arXiv 2408.03314, §5.2).
* `Values`, `Votes`: what an evaluator says when asked (Tree of Thoughts: Yao et al., arXiv 2305.10601, §3), each candidate by itself, or which of
  them all is the most promising.

A judgement that failed is None: unknown, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..records import Operator, Outcome
from .evaluation import solution_score
from .parts import Ask, Pick, TreeState
from .tree import TERMINAL, Aggregation, Tree

Known = dict[int, float | None]
"""Worth by thought, in [0, 1], of those that were asked about; None where the answer failed."""


class Judge(Protocol):
    """What candidates are worth."""

    @property
    def grows(self) -> bool:
        """Whether it grows thoughts below the candidates."""
        ...

    def plan(self, tree: Tree, groups: Sequence[Sequence[int]], known: Known, repeat: int) -> list[Pick]:
        """Return what is to be asked about these candidates, by the thought they continue, beyond what is known.

        No two requests of a search may be the same; `repeat` (≥ 0) counts the searches from the root before this one.
        """
        ...

    def learn(self, state: TreeState[Any], outcomes: Sequence[Outcome | None], known: Known) -> None:
        """Note what came of it."""
        ...

    def merit(self, tree: Tree, node: int, known: Known) -> float | None:
        """Return what a candidate is worth, in [0, 1]; None if nobody knows."""
        ...


@dataclass(frozen=True, slots=True)
class PathScores:
    """The aggregated step scores of the path; of a finished solution that was checked, the check."""

    aggregation: Aggregation
    grows: bool = False

    def plan(self, tree: Tree, groups: Sequence[Sequence[int]], known: Known, repeat: int) -> list[Pick]:
        """See `Judge.plan`."""
        return []

    def learn(self, state: TreeState[Any], outcomes: Sequence[Outcome | None], known: Known) -> None:
        """See `Judge.learn`; nothing was asked."""

    def merit(self, tree: Tree, node: int, known: Known) -> float | None:
        """See `Judge.merit`."""
        return solution_score(tree, node, self.aggregation)


@dataclass(frozen=True, slots=True)
class Rollouts:
    """The score at the end of `steps` further steps, drawn greedily, or at the solution they come to before.

    Steps rolled out are thoughts like any other, and a solution they come to is one. A finished candidate has its own score. So has one whose
    rollout brought nothing or ended in a thought without a score; an evaluation in the log says so.
    """

    steps: int
    """k ≥ 1."""
    aggregation: Aggregation
    grows: bool = True

    def plan(self, tree: Tree, groups: Sequence[Sequence[int]], known: Known, repeat: int) -> list[Pick]:
        """See `Judge.plan`."""
        # not distinct: what another continuation says already is no reason to leave the greedy one out
        ask = Ask(horizon="answer", distinct=False, steps=self.steps, temperature=0.0)
        nodes = dict.fromkeys(node for group in groups for node in group)
        return [
            Pick((node,), 1, 0, ask) for node in nodes if node not in known and not tree.has(node, TERMINAL)
        ]

    def learn(self, state: TreeState[Any], outcomes: Sequence[Outcome | None], known: Known) -> None:
        """See `Judge.learn`."""
        tree = state.tree
        for outcome in outcomes:
            if outcome is None:
                continue
            node = tree.index[outcome.request.subjects[0]]
            end = tree.index[outcome.thoughts[-1].id] if outcome.thoughts else None
            score = None if end is None else solution_score(tree, end, self.aggregation)
            known[node] = score
            if score is None:
                reason = "came to nothing" if end is None else "has no score"
                state.note(Operator.EVALUATE, (node,), rollout=reason, error=outcome.error)

    def merit(self, tree: Tree, node: int, known: Known) -> float | None:
        """See `Judge.merit`."""
        score = known.get(node)
        return solution_score(tree, node, self.aggregation) if score is None else score


@dataclass(frozen=True, slots=True)
class Values:
    """How likely each candidate leads to a right answer, as an evaluator says, from `n` replies. Each is asked about once in a search.

    The paper sums 20, 1 and .001 for the replies sure, likely and impossible; an evaluator's value is their mean / 20. The order is the same.
    """

    n: int
    """Replies a candidate, ≥ 1."""
    grows: bool = False

    def plan(self, tree: Tree, groups: Sequence[Sequence[int]], known: Known, repeat: int) -> list[Pick]:
        """See `Judge.plan`: one request for the candidates that continue one thought."""
        ask, picks, taken = Ask(Operator.EVALUATE, action="value"), list[Pick](), set[int]()
        for group in groups:
            new = [node for node in group if node not in known and node not in taken]
            taken.update(new)
            if new:
                picks.append(Pick(tuple(new), self.n, 0, ask))
        return picks

    def learn(self, state: TreeState[Any], outcomes: Sequence[Outcome | None], known: Known) -> None:
        """See `Judge.learn`."""
        for outcome in outcomes:
            _take(state.tree, outcome, known)

    def merit(self, tree: Tree, node: int, known: Known) -> float | None:
        """See `Judge.merit`."""
        return known.get(node)


@dataclass(frozen=True, slots=True)
class Votes:
    """Each candidate's share of `n` votes for the most promising of them all. A candidate without a rival is not voted on."""

    n: int
    """Votes, ≥ 1."""
    grows: bool = False

    def plan(self, tree: Tree, groups: Sequence[Sequence[int]], known: Known, repeat: int) -> list[Pick]:
        """See `Judge.plan`: one request for all candidates."""
        nodes = tuple(dict.fromkeys(node for group in groups for node in group))
        # a later repeat may come to the same candidates, and asks for further votes
        first = repeat * self.n
        return [Pick(nodes, self.n, first, Ask(Operator.EVALUATE, action="vote"))] if len(nodes) > 1 else []

    def learn(self, state: TreeState[Any], outcomes: Sequence[Outcome | None], known: Known) -> None:
        """See `Judge.learn`."""
        for outcome in outcomes:
            _take(state.tree, outcome, known)

    def merit(self, tree: Tree, node: int, known: Known) -> float | None:
        """See `Judge.merit`."""
        return known.get(node)


def _take(tree: Tree, outcome: Outcome | None, known: Known) -> None:
    """Note the values an evaluator gave, and of which subjects it gave none."""
    if outcome is None:
        return
    known.update(dict.fromkeys((tree.index[subject] for subject in outcome.request.subjects), None))
    for evaluation in outcome.evaluations:
        if evaluation.kind == "value":
            known[tree.index[evaluation.thought]] = evaluation.value
