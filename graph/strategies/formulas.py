"""What a descent maximises at every node: PUCT and UCT, with the constants in which published systems differ.

For a child c of p, Q_c in [0, 1] is its value and N_c its visits. A pending request at or below a thought is a *virtual loss* on
it: v_c visits that were lost. With N'_c = N_c + v_c the formulas use

    Q'_c = Q_c · N_c / N'_c

so the total W_c = Q_c · N_c stays and a wave of requests spreads over the tree. A child that nobody scored has *first-play* value: its
parent's Q, or 1/2 where that is unknown too; it counts as visited once, so it is neither a loss nor an infinite promise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from .tree import Tree

FIRST_PLAY = 0.5
"""Value of an unscored child of a parent without a value."""


class Formula(Protocol):
    """How attractive children are."""

    def scores(self, tree: Tree, parent: int, children: Sequence[int]) -> list[float]:
        """Return one finite number for each of these children of `parent`; the highest is descended to, the first of equals."""
        ...


@dataclass(frozen=True, slots=True)
class Puct:
    """PUCT (Rosin 2011; AlphaZero, Silver et al. 2018): Q'_c + C(N'_p) · P_c · sqrt(n) / (1 + N'_c).

    n is what `total` says, and C = c, or c + ln((N'_p + base + shift) / base) with a base. As published elsewhere:

    * AlphaZero: c=1.25, base=19652, shift=1, total="children".
    * OpenR (arXiv 2410.09671): c=1.25, base=19652, shift=1, total="visits", `logprob` priors.
    * x1 (arXiv 2501.11223, App. C.1.2): c=1.25, base=19652, shift=0, total="visits-1", priors=False, with the N-weighted backup.
      Its values lie in [-1, 1]: the code maps them to [0, 1], where ours are, and the paper's equation does not (`signed`).
    """

    c: float = 1.25
    """Exploration constant, ≥ 0."""
    base: float | None = None
    """Visits at which exploration starts to grow; None keeps it constant."""
    shift: int = 1
    total: Literal["children", "visits", "visits-1"] = "children"
    """n: Σ_b N'_b over all children b of p, N'_p, or N'_p - 1."""
    priors: bool = True
    """Whether P_c is the prior; otherwise 1."""
    signed: bool = False
    """Whether Q' enters as 2 Q' - 1, in [-1, 1]."""

    def scores(self, tree: Tree, parent: int, children: Sequence[int]) -> list[float]:
        """See `Formula.scores`."""
        visits, pending, priors = tree.visits, tree.pending, tree.prior
        above = visits[parent] + pending[parent]
        if self.total == "children":
            n = sum([visits[child] + pending[child] for child in tree.children(parent)])
        else:
            n = above - (self.total == "visits-1")
        growth = 0.0 if self.base is None else math.log((above + self.base + self.shift) / self.base)
        factor = (self.c + growth) * math.sqrt(max(n, 0))
        values = tree.values(children, first_play(tree, parent))
        scores: list[float] = []
        for child, value in zip(children, values, strict=True):
            prior = priors[child] if self.priors else 1.0
            visited, awaited = visits[child], pending[child]
            explored = 1 + visited + awaited
            value = under_loss(value, visited, awaited)
            scores.append((2.0 * value - 1.0 if self.signed else value) + factor * prior / explored)
        return scores


@dataclass(frozen=True, slots=True)
class Uct:
    """UCT (Kocsis & Szepesvári 2006): Q'_c + c · sqrt(ln N'_p / N'_c), with N' taken as 1 where it is 0.

    As published elsewhere, as the authors' code has it:

    * rStar (arXiv 2408.06195): c=2, its selector draws among unvisited children first. LLaMA-Berry (arXiv 2410.02884): c=1.4.
    * rStar-Math (arXiv 2501.04519): c=2, blank: an unvisited child scores 0, whatever its value.
    * ReST-MCTS* (arXiv 2406.03816): c=0.7·√2, bonus=1: an unvisited child scores Q_c + 1.
    * LATS (arXiv 2310.04406): c=√2, bonus=0: an unvisited child scores its value. The published code divides a value that is a mean already
      by the visits once more (`twice`), so that often visited children look ever worse.
    """

    c: float = math.sqrt(2.0)
    """Exploration constant, ≥ 0."""
    bonus: float | None = None
    """What stands in for the second term where N'_c is 0; None: N'_c is taken as 1."""
    blank: bool = False
    """Whether a child with N'_c = 0 scores 0."""
    twice: bool = False
    """Whether the first term is Q'_c / N'_c."""

    def scores(self, tree: Tree, parent: int, children: Sequence[int]) -> list[float]:
        """See `Formula.scores`."""
        log = math.log(max(1, tree.visits[parent] + tree.pending[parent]))
        play = first_play(tree, parent)
        return [self._score(tree, child, log, play) for child in children]

    def _score(self, tree: Tree, child: int, log: float, play: float) -> float:
        visits = tree.visits[child] + tree.pending[child]
        if self.blank and not visits:
            return 0.0
        value = value_under_loss(tree, child, play)
        if self.bonus is not None and not visits:
            return value + self.bonus
        visits = max(1, visits)
        return (value / visits if self.twice else value) + self.c * math.sqrt(log / visits)


def first_play(tree: Tree, parent: int) -> float:
    """Return the value in [0, 1] that the unscored children of a node are taken to have."""
    value = tree.value(parent)
    return FIRST_PLAY if value is None else value


def value_under_loss(tree: Tree, child: int, play: float) -> float:
    """Return Q' in [0, 1]: the value with every pending request counted as a lost visit."""
    value = tree.value(child)
    return under_loss(play if value is None else value, tree.visits[child], tree.pending[child])


def under_loss(value: float, visits: float, pending: int) -> float:
    """Return Q' of a value."""
    visits = max(1, visits)
    return value * visits / (visits + pending)
