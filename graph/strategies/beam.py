"""Beam search over steps with a verifier, in the convention of Snell et al. (arXiv 2408.03314, §5.2).

With N beams and width M (the fan-out, not the number kept): sample N first steps; score them; keep the best N // M; sample M
continuations of each, which is N candidates again; and so on for at most `max_steps` rounds, the first one counted. Then the answer
is voted on by the finished solutions, weighted by their scores.

With a *lookahead* of k steps, a candidate's score is the one at the end of k further steps drawn greedily; see `judges.Rollouts`. A round then
costs N · (k + 1) steps, and k = 0 is beam search. The paper sweeps M = 4 and M = √N, with k = 3 for both and k = 1 for M = √N.

The paper leaves open what becomes of a solution that is finished before the others. We read it as search-and-learn does: a finished
candidate is collected, whatever its score, and takes no place in the beam; the search ends when N samples are finished, when nothing
is left to continue, or after the last round. Unlike there, beams are not duplicated when fewer than N // M are left, so nothing is
voted on twice, and equal samples of one request are one candidate whose count weighs in the vote. A solution that only a lookahead came to has
its vote, and does not count towards the end.

Candidates are ranked by the aggregated step scores of their path (Snell: the last one); unscored ones come after all scored ones,
refuted ones never; equals go in the order of their requests, then of their samples. A round ends when all its requests are told, so
the result does not depend on the order in which they come.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..records import Operator
from .evaluation import Stop
from .expansion import Sampler
from .judges import Judge, PathScores, Rollouts
from .parts import TreeState
from .rounds import Level, Round, Rounds
from .search import TreeSearch
from .tree import REFUTED, ROOT, TERMINAL, Aggregation
from .voting import Rule, finalizer


@dataclass(frozen=True, slots=True)
class Best:
    """Keeps the best N // M unfinished candidates of all places."""

    beams: int
    """N ≥ width."""
    width: int
    """M ≥ 1."""

    def start(self) -> list[int]:
        """See `Keeper.start`."""
        return [ROOT]

    def samples(self, number: int) -> int:
        """See `Keeper.samples`: N in the first round, M later."""
        return self.beams if number == 1 else self.width

    def keep(self, state: TreeState[Round], level: Level) -> list[int]:
        """See `Keeper.keep`."""
        tree = state.tree
        finished = sum(count for node, count in state.memory.finished if not tree.has(node, REFUTED))
        if level.final or finished >= self.beams:
            return []
        ranked = level.ranked([node for node in level.candidates() if not tree.has(node, TERMINAL)])
        places = self.beams // self.width
        for node in ranked[places:]:
            state.note(Operator.PRUNE, (node,), reason="beam", score=level.merits[node])
        return ranked[:places]


def beam(
    beams: int = 16,
    width: int = 4,
    max_steps: int = 40,
    select: Rule = "weighted",
    aggregation: Aggregation = "last",
    temperature: float | None = None,
    stop_score: float | None = None,
    merge_states: bool = False,
    lookahead: int = 0,
    repeats: int = 1,
    name: str = "beam",
) -> TreeSearch[Round]:
    """Return beam search with N = `beams`, M = `width` and k = `lookahead`."""
    judge: Judge = Rollouts(lookahead, aggregation) if lookahead else PathScores(aggregation)
    return TreeSearch(
        name,
        Rounds(Best(beams, width), judge, max_steps, repeats, temperature),
        Sampler(width, temperature=temperature, merge=True),
        finalizer(select, aggregation),
        stop=Stop(stop_score),
        merge_states=merge_states,
    )
