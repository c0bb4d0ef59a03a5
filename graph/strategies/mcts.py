"""Monte-Carlo tree search over steps: descend, expand, evaluate, back up.

Every request expands one leaf by `branching` samples; the verifiers and critics judge all new children; their scores are backed up
along the path to the root (`backup.py`). The descent follows a `Formula` (`formulas.py`), virtual losses included, to a node that

* was never expanded, or
* has fewer than `max_expansions` expansions, and either only closed children left or, with progressive widening, fewer samples than its visits call
  for (`widening` · √N; Coulom, "Computing Elo ratings of move patterns in the game of Go", 2007, §4.3, with exponent ½): it is sampled afresh, from
  where its samples ended.

A node is *closed* when it is terminal, refuted, or gets no more requests (it had `max_expansions`, the model has nothing left for it, or too many in a row brought nothing new) with
all its children closed. Closed subtrees and those where every leaf is already under way are passed over, so no work is asked for twice, and a search
whose root is closed is over: a puzzle without a solution ends, or spends its budget.

A finished solution is never expanded; it ends the search if it satisfies the Stop (by default: it was checked, and right).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import UserError
from ..records import Operator, Outcome
from .backup import MeanBackup, WeightedBackup
from .evaluation import Stop
from .expansion import Prior, Sampler
from .formulas import Formula, Puct, Uct
from .parts import Pick, TreeState, plain
from .search import TreeSearch
from .tree import CLOSED, EXHAUSTED, FREE, REFUTED, ROOT, TERMINAL, Tree
from .voting import Rule, finalizer

SelectorName = Literal["puct", "uct"]
BackupName = Literal["mean", "weighted"]


ROOT_PATIENCE = 8
"""How much longer than others the root is tried: giving it up ends the search."""


@dataclass(frozen=True, slots=True)
class Descent:
    """Selects by descending from the root to the most attractive open leaf."""

    formula: Formula
    max_expansions: int = 3
    """Requests for next steps that one thought may get, ≥ 1."""
    widening: float | None = None
    """Samples per square root of a thought's visits (> 0) up to which it is sampled again beside its children; None: only after them."""
    patience: int = 24
    """Requests in a row without a new living child after which a thought gets no more, ≥ 1, whatever `max_expansions` allows; the root is
    given up after `ROOT_PATIENCE` times as many."""
    heats: bool = False
    """Whether later requests on a thought are hotter than earlier ones, so that one for which the model had nothing left need not be the last."""
    max_depth: int | None = None
    """Depth at which thoughts are not expanded any more, ≥ 1; None: the task's own limit."""
    halts: bool = False
    """Whether a descent may end at a finished thought, which leaves nothing to pick."""

    def start(self, tree: Tree) -> None:
        """See `Selector.start`; all it keeps are the flags CLOSED and FREE."""

    def pick(self, state: TreeState[Any]) -> Pick | None:
        """See `Selector.pick`."""
        leaf = self.leaf(state)
        return None if leaf is None else Pick((leaf,), None, state.tree.next_sample[leaf])

    def leaf(self, state: TreeState[Any]) -> int | None:
        """Return the thought that a descent ends at and that can be expanded now, or None."""
        tree, node = state.tree, ROOT
        if not tree.has(ROOT, FREE):
            return None
        while not self._is_leaf(tree, node) and (ways := self._ways(tree, node)):
            if self._widens(tree, node) and node not in state.awaited:
                break
            node = self.best(tree, node, ways)
        return None if tree.has(node, TERMINAL) else node

    def best(self, tree: Tree, parent: int, children: Sequence[int]) -> int:
        """Return the most attractive of these children, the first of equals."""
        scores = self.formula.scores(tree, parent, children)
        return children[scores.index(max(scores))]

    def expands(self, tree: Tree, node: int) -> bool:
        """Return whether a thought may be expanded: it is unfinished, not refuted, not too deep, not given up."""
        return not tree.has(node, TERMINAL | REFUTED) and not self._spent(tree, node)

    def told(self, state: TreeState[Any], outcome: Outcome, grown: Sequence[int]) -> None:
        """See `Selector.told`; `refresh` has done it all."""

    def refresh(self, state: TreeState[Any], node: int) -> None:
        """See `Selector.refresh`."""
        tree = state.tree
        flags = tree.flags
        if flags[node] & (TERMINAL | REFUTED):
            flags[node] = flags[node] & ~FREE | CLOSED
            return
        is_open = is_free = False
        for child in () if self._is_leaf(tree, node) else tree.children(node):
            flag = flags[child]
            if flag & FREE:  # what is free is open
                is_open = is_free = True
                break
            is_open = is_open or not flag & CLOSED
        busy, spent = node in state.awaited, self._spent(tree, node)
        closed = spent and not busy and not is_open
        own = not busy and not spent and (not is_open or self._widens(tree, node))
        tree.mark(node, FREE, own or is_free)
        if tree.mark(node, CLOSED, closed) and closed and node != ROOT:
            state.note(Operator.BACKTRACK, (node, tree.parent[node]), visits=plain(tree.visits[node]))

    def _ways(self, tree: Tree, node: int) -> list[int]:
        """Return the children that a descent may go on to."""
        children, flags = tree.children(node), tree.flags
        if not self.halts:
            return [child for child in children if flags[child] & FREE]
        return [child for child in children if flags[child] & (FREE | TERMINAL | REFUTED) in (FREE, TERMINAL)]

    def _is_leaf(self, tree: Tree, node: int) -> bool:
        """Return whether a thought was never expanded; what is below it came of roll-outs, which a descent does not enter."""
        return tree.expansions[node] == tree.rollouts[node]

    def _spent(self, tree: Tree, node: int) -> bool:
        """Return whether a thought gets no more requests."""
        if self.max_depth is not None and tree.depth[node] >= self.max_depth:
            return True
        if tree.flags[node] & EXHAUSTED and not self.heats:
            return True
        patience = self.patience if node != ROOT else ROOT_PATIENCE * self.patience
        stepped = tree.expansions[node] - tree.rollouts[node]
        return stepped >= self.max_expansions or tree.barren[node] >= patience

    def _widens(self, tree: Tree, node: int) -> bool:
        """Return whether a thought's visits call for more samples of it."""
        if self.widening is None or self._is_leaf(tree, node) or self._spent(tree, node):
            return False
        return tree.next_sample[node] < self.widening * math.sqrt(tree.visits[node])


def mcts(
    branching: int = 4,
    selector: SelectorName = "puct",
    c: float | None = None,
    backup: BackupName = "mean",
    gamma: float = 1.0,
    lr: float = 1.0,
    prior: Prior = "count",
    max_expansions: int = 3,
    widening: float | None = None,
    count_refuted: bool = False,
    select: Rule = "best",
    temperature: float | None = None,
    heating: float = 0.0,
    stop_score: float | None = 1.0,
    merge_states: bool = False,
) -> TreeSearch[None]:
    """Return Monte-Carlo tree search; `c` is 1.25 for PUCT and √2 for UCT unless given.

    Raises:
        UserError: on settings of the weighted backup with another one, or heating without a temperature.
    """
    if heating and temperature is None:
        raise UserError("heating raises a temperature; add temperature=1.0 or leave it out")
    if backup == "mean" and (gamma, lr) != (1.0, 1.0):
        raise UserError(
            "gamma and lr are settings of the weighted backup; add backup=weighted or leave them out"
        )
    formula: Formula
    if selector == "puct":
        formula = Puct(1.25 if c is None else c)
    else:
        formula = Uct(math.sqrt(2.0) if c is None else c)
    return TreeSearch(
        "mcts",
        Descent(formula, max_expansions, widening, heats=heating > 0),
        Sampler(branching, temperature=temperature, heating=heating, merge=True, prior=prior),
        finalizer(select, None),
        backup=MeanBackup(count_refuted) if backup == "mean" else WeightedBackup(gamma, lr, count_refuted),
        stop=Stop(stop_score),
        merge_states=merge_states,
    )
