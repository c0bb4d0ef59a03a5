"""Backups: how the scores of thoughts become the values of the thoughts above them.

All are defined by a node and its children alone, so a tell recomputes the path from the changed nodes to the root and nothing else,
and an evaluation that comes late, or is revoked, is as good as one that came at once.

An expansion evaluates all its children, and each of them counts. Refuted children are left out by default: a rule's verdict is about
the sample, not about the thought it was drawn from. They have N = 0 and no Q. `count_refuted` has them count with their score, 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .tree import REFUTED, ROOT, TERMINAL, Tree


@dataclass(frozen=True, slots=True)
class MeanBackup:
    """The running mean over all thoughts in the subtree (OpenR, arXiv 2410.09671; rStar-Math, arXiv 2501.04519).

    With s the node's own score, S the number of values it has (1 or 0), and sums over its children:

        N = 1 + Σ N_c      W = s + Σ W_c      weight = S + Σ weight_c      Q = W / weight

    A child with k parents counts 1 / k in each (`Tree.share`), so nothing counts twice above; its own N and Q are whole.

    The root has no visit and no score of its own, so N(root) is the number of thoughts below it. Unscored thoughts are visits
    without a value.
    """

    count_refuted: bool = False

    def update(self, tree: Tree, node: int) -> None:
        """See `Backup.update`."""
        if not self.count_refuted and tree.has(node, REFUTED):
            tree.set_value(node, None, 0, 0)
            return
        own = None if node == ROOT else tree.score(node)
        visits, weight, total = float(node != ROOT), float(own is not None), own or 0.0
        visits, weight, total = tree.add_children(node, visits, weight, total)
        # a mean of numbers in [0, 1] may leave it by a rounding error
        value = min(1.0, total / weight) if weight else None
        tree.set_value(node, value, visits, weight)


@dataclass(frozen=True, slots=True)
class LeafBackup:
    """The mean over the finished thoughts in the subtree (OpenR's vanilla MCTS, arXiv 2410.09671; rStar-Math, arXiv 2501.04519).

        N = finished thoughts in the subtree      Q = mean of their scores, or the thought's own score where none of them has one

    A child with k parents counts 1 / k in each. Published systems back a leaf up once for each time that a descent ends at it. Here a
    finished thought is visited once, when it is told: descents pass it over afterwards, since visiting it again would tell nothing new, and siblings
    that finish in the same expansion count too, whichever of them the descent went on to.
    """

    own: bool = False
    """Whether an unfinished thought's own score is one visit and one value beside those of the leaves, for itself only (rStar-Math)."""
    count_refuted: bool = False

    def update(self, tree: Tree, node: int) -> None:
        """See `Backup.update`."""
        if not self.count_refuted and tree.has(node, REFUTED):
            tree.set_value(node, None, 0, 0)
            return
        score = None if node == ROOT else tree.score(node)
        if tree.has(node, TERMINAL):
            tree.set_value(node, score, 1, float(score is not None))
            return
        visits = weight = self._own(tree, node)
        total = (score or 0.0) * weight
        for child in tree.children(node):
            if not tree.visits[child]:
                continue
            share, own = tree.share(child), self._own(tree, child)
            visits += share * (tree.visits[child] - own)
            weight += share * (tree.weight[child] - own)
            total += share * (
                (tree.value(child) or 0.0) * tree.weight[child] - own * (tree.score(child) or 0.0)
            )
        tree.set_value(node, min(1.0, max(0.0, total / weight)) if weight else score, visits, weight)

    def _own(self, tree: Tree, node: int) -> float:
        """Return 1 for a thought that counts for itself only, else 0."""
        return float(
            self.own and node != ROOT and not tree.has(node, TERMINAL) and tree.score(node) is not None
        )


@dataclass(frozen=True, slots=True)
class WeightedBackup:
    """The visit-weighted mean of the children (x1, arXiv 2501.11223, App. C.1): Q ← (1 - lr) · Q + lr · γ · Σ N_c Q_c / Σ N_c.

    Sums run over the children that have a value. N is 1 at birth and grows by 1 with every expansion told at the thought or below it. A thought
    without valued children keeps its score. With lr = 1 the value depends on the tree alone; with less it remembers the order of the tells,
    which a replay repeats.

    With `alpha`, chains rolled out from a thought that was not expanded yet are samples of its worth, of which `rolled` makes one number R:

        Q = (1 - α) · score + α · R

    A thought inside such a chain is worth what the chain comes to, and a refuted chain is worth 0. Once a thought is expanded, the first
    thoughts of its roll-outs are children like the others.
    """

    gamma: float = 1.0
    """Discount per step, in (0, 1]; x1 uses 0.96."""
    lr: float = 1.0
    """Learning rate, in (0, 1]."""
    count_refuted: bool = False
    alpha: float | None = None
    """Weight of roll-outs, in (0, 1]; None: chains are not roll-outs."""
    rolled: Literal["mean", "max"] = "mean"
    """R: the mean of what the chains end with (x1), or the highest score in them (ReST-MCTS*, arXiv 2406.03816)."""
    born: bool = True
    """Whether N is 1 at birth (x1); otherwise a thought gets that visit when it is finished or rolled out (ReST-MCTS*)."""

    def update(self, tree: Tree, node: int) -> None:
        """See `Backup.update`."""
        if not self.count_refuted and tree.has(node, REFUTED):
            tree.set_value(node, None, 0, 0)
            return
        visits = self._birth(tree, node) + tree.stepped(node)
        weight, total = 0.0, 0.0
        for child in tree.children(node):
            share = tree.share(child)
            visits += share * max(0.0, tree.visits[child] - self._birth(tree, child))
            value = tree.value(child)
            if value is not None:
                weight += share * tree.visits[child]
                total += share * tree.visits[child] * value
        old = tree.value(node)
        own = None if node == ROOT else tree.score(node)
        if self.alpha is not None and not tree.stepped(node):
            tree.set_value(node, self._blend(tree, node, own, self.alpha), visits, weight)
        elif not weight:
            tree.set_value(node, own, visits, 0)
        else:
            target = min(1.0, self.gamma * total / weight)
            learned = target if old is None else (1.0 - self.lr) * old + self.lr * target
            tree.set_value(node, learned, visits, weight)

    def _birth(self, tree: Tree, node: int) -> float:
        if self.born:
            return float(node != ROOT)
        return float(tree.has(node, TERMINAL) or tree.rollouts[node] > 0)

    def _blend(self, tree: Tree, node: int, own: float | None, alpha: float) -> float | None:
        """Return the value of a thought that was not expanded, from its score and the chains below it."""
        ends = [
            (0.0 if tree.has(child, REFUTED) else tree.value(child), tree.count[child])
            for child in tree.children(node)
        ]
        known = [(value, count) for value, count in ends if value is not None]
        if not known:
            return own
        if self.rolled == "max":
            below = max(value for value, _ in known)
        else:
            below = sum(value * count for value, count in known) / sum(count for _, count in known)
        if tree.rollouts[node]:
            return below if own is None else min(1.0, (1.0 - alpha) * own + alpha * below)
        return max(own or 0.0, below) if self.rolled == "max" else min(1.0, below)
