"""Mutual consistency: the answer that a second model comes to as well (rStar, arXiv 2408.06195, and its code).

A candidate solution survives if the discriminator, given beginnings of it, comes to the same answer often enough. With S the survivors, an answer's
score is its confidence and its survival rate,

    Σ reward of its candidates in S / |S|  +  its survivors / its judged candidates

halved here, to lie in [0, 1]. Where nothing survives, or nobody judged, all candidates are S and the confidence alone is the score. A candidate whose
judgement failed or is awaited has neither survived nor fallen. The published code falls back on the majority where none of several survivors is
the known answer, which needs to know it; no such branch is here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .parts import Choice, TreeState, precedence
from .voting import Vote, answer_of


class Candidates(Protocol):
    """What a selector remembers of its candidates."""

    @property
    def rewards(self) -> Mapping[int, float]:
        """Candidates with their rewards in [0, 1]."""
        ...

    @property
    def agreement(self) -> Mapping[int, int | None]:
        """How many of the discriminator's answers agree with a candidate, ≥ 0; None where judging it failed."""
        ...


@dataclass(frozen=True, slots=True)
class MutualConsistency:
    """The answer with the highest score; it stands for its best rewarded candidate. Without any candidate the majority decides."""

    needed: int = 2
    """Agreeing answers with which a candidate survives, ≥ 1."""

    def choose(self, state: TreeState[Any], candidates: Sequence[int]) -> Choice:
        """See `Finalizer.choose`."""
        memory: Candidates = state.memory
        tree = state.tree
        known = [node for node in candidates if node in memory.rewards]
        if not known:
            return Vote(aggregation=None).choose(state, candidates)
        judged = {node: same for node in known if (same := memory.agreement.get(node)) is not None}
        survivors = [node for node, same in judged.items() if same >= self.needed]
        kept = sorted(survivors or known, key=lambda node: (-memory.rewards[node], precedence(tree, node)))
        groups: dict[str, list[int]] = {}
        for node in kept:
            groups.setdefault(answer_of(tree.thought[node]), []).append(node)
        scores = {
            answer: math.fsum(memory.rewards[node] for node in group) / len(kept)
            for answer, group in groups.items()
        }
        if survivors:
            tried = Counter(answer_of(tree.thought[node]) for node in judged)
            scores = {a: (score + len(groups[a]) / tried[a]) / 2.0 for a, score in scores.items()}
        winner = max(scores, key=scores.__getitem__)  # best rewarded first, so equals fall to it
        rule = "consistency" if survivors else "confidence"
        return Choice(groups[winner][0], scores[winner], rule, len(candidates), 0)
