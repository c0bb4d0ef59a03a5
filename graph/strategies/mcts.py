"""Monte-Carlo tree search over steps: descend, expand, evaluate, back up.

Every request expands one leaf by `branching` samples; the verifiers and critics judge all new children; their scores are backed up
along the path to the root (`backup.py`). The descent follows a `Formula` (`formulas.py`), virtual losses included, to a node that

* was never expanded, or
* has fewer than `max_expansions` expansions, and either only closed children left or, with progressive widening, fewer samples than its visits call
  for (`widening` · √N; Coulom, "Computing Elo ratings of move patterns in the game of Go", 2007, §4.3, with exponent ½): it is sampled afresh, from
  where its samples ended.

A node is *closed* when it is terminal, refuted, or expanded `max_expansions` times with all its children closed. Closed subtrees and those where
every leaf is already under way are passed over, so no work is asked for twice, and a search whose root is closed is over: a puzzle
without a solution ends, or spends its budget.

A finished solution is never expanded; it ends the search if it satisfies the Stop (by default: it was checked, and right).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import UserError
from ..records import Operator, Request
from .backup import MeanBackup, WeightedBackup
from .evaluation import Stop
from .expansion import Prior, Sampler
from .formulas import Formula, Puct, Uct
from .parts import Pick, TreeState
from .search import TreeSearch
from .tree import CLOSED, FREE, REFUTED, ROOT, TERMINAL, Tree
from .voting import BestSolution, Rule, Vote

SelectorName = Literal["puct", "uct"]
BackupName = Literal["mean", "weighted"]


@dataclass(frozen=True, slots=True)
class Descent:
    """Selects by descending from the root to the most attractive open leaf."""

    formula: Formula
    max_expansions: int = 3
    """Requests that one thought may get, ≥ 1."""
    widening: float | None = None
    """Samples per square root of a thought's visits (> 0) up to which it is sampled again beside its children; None: only after them."""

    def start(self, tree: Tree) -> None:
        """See `Selector.start`; all it keeps are the flags CLOSED and FREE."""

    def pick(self, state: TreeState[None]) -> Pick | None:
        """See `Selector.pick`."""
        tree, node = state.tree, ROOT
        if not tree.has(ROOT, FREE):
            return None
        while free := [child for child in tree.children(node) if tree.has(child, FREE)]:
            if self._widens(tree, node) and node not in state.awaited:
                break
            scores = self.formula.scores(tree, node, free)
            node = free[max(range(len(free)), key=scores.__getitem__)]
        return Pick((node,), None, tree.next_sample[node])

    def told(self, state: TreeState[None], request: Request, grown: Sequence[int]) -> None:
        """See `Selector.told`; `refresh` has done it all."""

    def refresh(self, state: TreeState[None], node: int) -> None:
        """See `Selector.refresh`."""
        tree = state.tree
        if tree.has(node, TERMINAL | REFUTED):
            tree.mark(node, CLOSED, True)
            tree.mark(node, FREE, False)
            return
        is_open, is_free = False, False
        for child in tree.children(node):
            is_open = is_open or not tree.has(child, CLOSED)
            is_free = is_free or tree.has(child, FREE)
        busy = node in state.awaited
        spent = tree.expansions[node] >= self.max_expansions
        closed = spent and not busy and not is_open
        own = not busy and not spent and (not is_open or self._widens(tree, node))
        tree.mark(node, FREE, own or is_free)
        if tree.mark(node, CLOSED, closed) and closed and node != ROOT:
            state.note(Operator.BACKTRACK, (node, tree.parent[node]), visits=tree.visits[node])

    def _widens(self, tree: Tree, node: int) -> bool:
        """Return whether a thought's visits call for more samples of it."""
        if self.widening is None or not 1 <= tree.expansions[node] < self.max_expansions:
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
        Descent(formula, max_expansions, widening),
        Sampler(branching, temperature=temperature, heating=heating, merge=True, prior=prior),
        BestSolution(None) if select == "best" else Vote(select == "weighted", None),
        backup=MeanBackup(count_refuted) if backup == "mean" else WeightedBackup(gamma, lr, count_refuted),
        stop=Stop(stop_score),
    )
