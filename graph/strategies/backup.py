"""Backups: how the scores of thoughts become the values of the thoughts above them.

Both are defined by a node and its children alone, so a tell recomputes the path from the changed nodes to the root and nothing else,
and an evaluation that comes late, or is revoked, is as good as one that came at once.

An expansion evaluates all its children, and each of them counts. Refuted children are left out by default: a rule's verdict is about
the sample, not about the thought it was drawn from. They have N = 0 and no Q. `count_refuted` has them count with their score, 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from .tree import REFUTED, ROOT, Tree


@dataclass(frozen=True, slots=True)
class MeanBackup:
    """The running mean over all thoughts in the subtree (OpenR, arXiv 2410.09671; rStar-Math, arXiv 2501.04519).

    With s the node's own score, S the number of values it has (1 or 0), and sums over its children:

        N = 1 + Σ N_c      W = s + Σ W_c      weight = S + Σ weight_c      Q = W / weight

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
        visits, weight, total = int(node != ROOT), int(own is not None), own or 0.0
        for child in tree.children(node):
            visits += tree.visits[child]
            weight += tree.weight[child]
            total += (tree.value(child) or 0.0) * tree.weight[child]
        # a mean of numbers in [0, 1] may leave it by a rounding error
        value = min(1.0, total / weight) if weight else None
        tree.set_value(node, value, visits, weight)


@dataclass(frozen=True, slots=True)
class WeightedBackup:
    """The visit-weighted mean of the children (x1, arXiv 2501.11223, App. C.1): Q ← (1 - lr) · Q + lr · γ · Σ N_c Q_c / Σ N_c.

    Sums run over the children that have a value. A thought is born with N = 1 and Q = its own score; N grows by 1 with every expansion
    told at the thought or below it. A thought without valued children keeps its score. With lr = 1 the value depends on the tree alone;
    with less it remembers the order of the tells, which a replay repeats.
    """

    gamma: float = 1.0
    """Discount per step, in (0, 1]; x1 uses 0.96."""
    lr: float = 1.0
    """Learning rate, in (0, 1]."""
    count_refuted: bool = False

    def update(self, tree: Tree, node: int) -> None:
        """See `Backup.update`."""
        if not self.count_refuted and tree.has(node, REFUTED):
            tree.set_value(node, None, 0, 0)
            return
        visits = int(node != ROOT) + tree.expansions[node]
        weight, total = 0, 0.0
        for child in tree.children(node):
            visits += max(0, tree.visits[child] - 1)
            value = tree.value(child)
            if value is not None:
                weight += tree.visits[child]
                total += tree.visits[child] * value
        old = tree.value(node)
        if not weight:
            tree.set_value(node, None if node == ROOT else tree.score(node), visits, 0)
            return
        target = min(1.0, self.gamma * total / weight)
        learned = target if old is None else (1.0 - self.lr) * old + self.lr * target
        tree.set_value(node, learned, visits, weight)
