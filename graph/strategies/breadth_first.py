"""Breadth-first search with the best b states a level: Algorithm 1 of Tree of Thoughts (Yao et al., arXiv 2305.10601), as a keeper of `rounds.py`.

There, every line runs for the steps of its task; here a finished solution that is among the best b keeps its place, unless others turn out
better, and the search ends when no unfinished one is left among them. The b may also be drawn in proportion to their values. The authors' code
draws with replacement, as far as we remember (unverified); we draw without, as a state continued twice would only be continued with more samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..ids import derive_rng
from ..records import Operator
from .parts import TreeState
from .rounds import Level, Round
from .tree import ROOT, TERMINAL


@dataclass(frozen=True, slots=True)
class Breadth:
    """Keeps b candidates of a level, finished ones among them."""

    breadth: int
    """b ≥ 1."""
    n: int
    """Continuations of a state, ≥ 1."""
    sample: bool = False
    """Whether they are drawn in proportion to their worth; otherwise the best are kept."""
    seed: int = 0

    def start(self) -> list[int]:
        """See `Keeper.start`."""
        return [ROOT]

    def samples(self, number: int) -> int:
        """See `Keeper.samples`."""
        return self.n

    def keep(self, state: TreeState[Round], level: Level) -> list[int]:
        """See `Keeper.keep`."""
        if level.final:
            return []
        ranked = level.ranked(level.candidates())
        if self.sample:
            ranked = self._drawn(state.memory, level, ranked)
        for node in ranked[self.breadth :]:
            if not state.tree.has(node, TERMINAL):
                state.note(Operator.PRUNE, (node,), reason="breadth", score=level.merits[node])
        return ranked[: self.breadth]

    def _drawn(self, memory: Round, level: Level, ranked: list[int]) -> list[int]:
        """Return the nodes in the order of a draw without replacement; those worth nothing, or nobody knows what, come last.

        The highest log(u) / w first is such a draw, for u uniform in (0, 1) (Efraimidis & Spirakis 2006).
        """
        rng = derive_rng(self.seed, "tot_bfs", memory.repeat, memory.number)

        def late(node: int) -> float:
            weight = level.merits[node]
            return -math.log(1.0 - rng.random()) / weight if weight else math.inf

        return sorted(ranked, key=late)
