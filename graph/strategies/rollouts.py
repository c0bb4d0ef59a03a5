"""Roll-outs: chains drawn from new thoughts to see what they come to; their thoughts stay in the tree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..records import Operator, Outcome
from .parts import Ask, Pick, TreeState
from .paths import Progress
from .tree import REFUTED, TERMINAL


@dataclass(frozen=True, slots=True)
class RollOut:
    """Rolls chains out from the new thoughts of every expansion that are unfinished and not refuted."""

    n: int = 1
    """Chains a thought, ≥ 1."""
    of: Literal["all", "best"] = "all"
    """From every new thought, or from the one with the highest score, the first of equals; nothing if that one is finished."""
    steps: int = 0
    """Steps of a chain at most, ≥ 1; 0: to the end."""
    temperature: float | None = None
    """≥ 0; 0 is greedy."""

    def after(self, state: TreeState[Progress], outcome: Outcome, grown: Sequence[int]) -> Iterable[Pick]:
        """See `Followup.after`."""
        tree, request = state.tree, outcome.request
        if request.operator is not Operator.GENERATE or request.horizon != "step":
            return
        nodes = [node for node in grown if not tree.has(node, REFUTED)]
        if self.of == "best" and nodes:
            scores = [tree.score(node) for node in nodes]
            nodes = [
                nodes[max(range(len(nodes)), key=lambda i: -1.0 if scores[i] is None else scores[i] or 0.0)]
            ]
        ask = Ask(horizon="answer", steps=self.steps, temperature=self.temperature)
        for node in nodes:
            if not tree.has(node, TERMINAL):
                yield Pick((node,), self.n, tree.next_sample[node], ask)
