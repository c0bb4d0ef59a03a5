"""Preference pairs of steps from a finished tree, to train a process preference model on (rStar-Math, arXiv 2501.04519, and its code).

Among the children of one thought:

* *chosen* are up to 2 with the highest Q that lead to a right solution, *rejected* up to 2 with the lowest Q that lead to a wrong one. Where one
  side has a single member, the other may have up to 4;
* a pair is kept if Q(chosen) > Q(rejected), and if the best continuation of the chosen one has a higher mean Q than the worst continuation of the
  rejected one. A continuation leads from the child, itself included, to a right (a wrong) solution below it.

A solution is right if its outcome evaluations average ½ or more, and counts neither way without any. Training data may be made with known answers:
an outcome evaluation then comes from an oracle, which its run says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .tree import NO_PARENT, ROOT, Tree

SIDE = 2
"""Members of a side."""
WIDE = 4
"""Members of a side whose other side has one only."""


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """One of two next steps is better."""

    parent: str
    """The thought that both continue, by id; its path is the prefix of the pair."""
    chosen: str
    rejected: str
    margin: float
    """Q(chosen) - Q(rejected), in (0, 1]."""
    continuation_margin: float
    """Mean Q of the chosen one's best continuation less that of the rejected one's worst, in (0, 1]."""


@dataclass(slots=True)
class _Ends:
    """What solutions below each thought come to: highest mean Q to a right one, lowest to a wrong one."""

    best: dict[int, float]
    worst: dict[int, float]


def preference_pairs(tree: Tree) -> list[PreferencePair]:
    """Return the pairs of a tree whose values were backed up, parents in the order told; refuted thoughts have no Q and make none.

    Costs one walk up from every solution.
    """
    ends = _continuations(tree)
    pairs: list[PreferencePair] = []
    for parent in range(len(tree)):
        if len(tree.children(parent)) > 1:
            pairs += _of_parent(tree, parent, ends)
    return pairs


def _of_parent(tree: Tree, parent: int, ends: _Ends) -> list[PreferencePair]:
    right = _sorted(tree, [child for child in tree.children(parent) if child in ends.best], highest=True)
    wrong = _sorted(tree, [child for child in tree.children(parent) if child in ends.worst], highest=False)
    chosen = right[: WIDE if len(wrong) == 1 else SIDE]
    rejected = wrong[: WIDE if len(right) == 1 else SIDE]
    pairs: list[PreferencePair] = []
    for good in chosen:
        for bad in rejected:
            margin = _value(tree, good) - _value(tree, bad)
            onwards = ends.best[good] - ends.worst[bad]
            if margin > 0 and onwards > 0:
                ids = (tree.thought[parent].id, tree.thought[good].id, tree.thought[bad].id)
                pairs.append(PreferencePair(*ids, margin, onwards))
    return pairs


def _continuations(tree: Tree) -> _Ends:
    ends = _Ends({}, {})
    for terminal in tree.terminals:
        outcome = tree.mean(terminal, "outcome")
        node, total, steps = terminal, 0.0, 0
        while outcome is not None and node not in (ROOT, NO_PARENT) and tree.value(node) is not None:
            total += _value(tree, node)
            steps += 1
            mean = total / steps
            if outcome >= 0.5:
                ends.best[node] = max(mean, ends.best.get(node, 0.0))
            else:
                ends.worst[node] = min(mean, ends.worst.get(node, 1.0))
            node = tree.parent[node]
    return ends


def _sorted(tree: Tree, nodes: Sequence[int], *, highest: bool) -> list[int]:
    """Sort by Q; equals keep their order."""
    return sorted(nodes, key=lambda node: -_value(tree, node) if highest else _value(tree, node))


def _value(tree: Tree, node: int) -> float:
    value = tree.value(node)
    assert value is not None, "only thoughts with a value are compared"
    return value
