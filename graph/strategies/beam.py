"""Beam search over steps with a verifier, in the convention of Snell et al. (arXiv 2408.03314, §5.2).

With N beams and width M (the fan-out, not the number kept): sample N first steps; score them; keep the best N // M; sample M
continuations of each, which is N candidates again; and so on for at most `max_steps` rounds, the first one counted. Then the answer
is voted on by the finished solutions, weighted by their scores.

The paper leaves open what becomes of a solution that is finished before the others. We read it as search-and-learn does: a finished
candidate is collected, whatever its score, and takes no place in the beam; the search ends when N samples are finished, when nothing
is left to continue, or after the last round. Unlike there, beams are not duplicated when fewer than N // M are left, so nothing is
voted on twice, and equal samples of one request are one candidate whose count weighs in the vote.

Candidates are ranked by the aggregated step scores of their path (Snell: the last one); unscored ones come after all scored ones,
refuted ones never; equals go in the order of their requests, then of their samples. A round ends when all its requests are told, so
the result does not depend on the order in which they come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..records import Operator, Request
from .evaluation import Stop
from .expansion import Sampler
from .parts import Pick, TreeState
from .search import TreeSearch
from .tree import REFUTED, ROOT, TERMINAL, Aggregation, Tree
from .voting import Rule, finalizer


@dataclass(slots=True)
class Round:
    """Where a beam search stands."""

    number: int = 1
    """The current round, from 1."""
    beams: list[int] = field(default_factory=lambda: [ROOT])
    """Thoughts continued in this round, best first; none once the search is over."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Selects the beams of the current round; when all are told, keeps the best candidates as the next."""

    beams: int
    """N ≥ width."""
    width: int
    """M ≥ 1."""
    max_steps: int
    """Rounds, ≥ 1."""
    aggregation: Aggregation

    def start(self, tree: Tree) -> Round:
        """See `Selector.start`."""
        return Round()

    def pick(self, state: TreeState[Round]) -> Pick | None:
        """See `Selector.pick`."""
        for node in state.memory.beams:
            if node not in state.awaited and not self._done(state.tree, node):
                return Pick((node,), self.beams if node == ROOT else self.width)
        return None

    def told(self, state: TreeState[Round], request: Request, grown: Sequence[int]) -> None:
        """See `Selector.told`."""
        round_ = state.memory
        while round_.beams and all(self._done(state.tree, node) for node in round_.beams):
            self._advance(state)

    def refresh(self, state: TreeState[Round], node: int) -> None:
        """See `Selector.refresh`; there is nothing to keep."""

    def _done(self, tree: Tree, node: int) -> bool:
        return tree.expansions[node] > 0 or tree.has(node, REFUTED)

    def _advance(self, state: TreeState[Round]) -> None:
        tree, round_ = state.tree, state.memory
        candidates = [
            child
            for beam in round_.beams
            for child in tree.children(beam)
            if not tree.has(child, TERMINAL | REFUTED)
        ]
        finished = sum(tree.count[node] for node in tree.terminals if not tree.has(node, REFUTED))
        over = finished >= self.beams or round_.number >= self.max_steps
        candidates.sort(key=lambda node: _merit(tree.path_score(node, self.aggregation)))
        places = 0 if over else self.beams // self.width
        for node in () if over else candidates[places:]:
            state.note(Operator.PRUNE, (node,), reason="beam", score=tree.score(node))
        round_.beams = candidates[:places]
        round_.number += 1


def beam(
    beams: int = 16,
    width: int = 4,
    max_steps: int = 40,
    select: Rule = "weighted",
    aggregation: Aggregation = "last",
    temperature: float | None = None,
    stop_score: float | None = None,
) -> TreeSearch[Round]:
    """Return beam search with N = `beams` and M = `width`."""
    return TreeSearch(
        "beam",
        Levels(beams, width, max_steps, aggregation),
        Sampler(width, temperature=temperature),
        finalizer(select, aggregation),
        stop=Stop(stop_score),
    )


def _merit(score: float | None) -> tuple[bool, float]:
    """Sort key, best first; sorting is stable, so equals keep their order."""
    return (score is None, -(score or 0.0))
