"""Diverse verifier tree search: the beam search of Snell et al. (arXiv 2408.03314), varied by huggingface/search-and-learn (`dvts`).

It has no paper of its own. The N candidates of a round are split over N / M subtrees. Each subtree is a greedy search of its own: M candidates,
of which the one with the highest aggregated score is continued, until that one is finished. At the end the last M candidates of every subtree
are the solutions, and they vote, weighted by their scores.

Its defaults there are N = M = 4, which is a single subtree; here N = 16, as for beam search. M = 4, a temperature of .8, 40 rounds and the last step's score
are its own. There, lookahead is an option of it too; here it is not. A finished candidate that lost to an unfinished one before the last
round has no vote, as there, but is the answer where no last candidate is finished. Subtrees that come to the same thought share it and
draw different continuations; a solution found by several counts as often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from ..records import Operator
from ..strategies.base import Strategy
from ..strategies.evaluation import Stop
from ..strategies.expansion import Sampler
from ..strategies.judges import PathScores
from ..strategies.parts import Choice, Finalizer, TreeState
from ..strategies.rounds import OVER, Level, Round, Rounds
from ..strategies.search import TreeSearch
from ..strategies.tree import ROOT, TERMINAL
from ..strategies.voting import finalizer
from .base import Scheme, step_scores
from .beam import FILL, MAX_STEPS, REPEATS
from .common import MERGE_STATES, aggregation, samples, select, stop_score, temperature


@dataclass(frozen=True, slots=True)
class BestOfEach:
    """Keeps the best candidate of every subtree; a subtree ends with a finished one."""

    subtrees: int
    width: int
    """Candidates a subtree, ≥ 1."""

    def start(self) -> list[int]:
        """See `Keeper.start`."""
        return [ROOT] * self.subtrees

    def samples(self, number: int) -> int:
        """See `Keeper.samples`."""
        return self.width

    def keep(self, state: TreeState[Round], level: Level) -> list[int]:
        """See `Keeper.keep`; the last candidates of subtrees that end are put with those returned."""
        memory = state.memory
        places: list[int] = []
        kept: set[int] = set()
        for subtree, (place, group) in enumerate(zip(memory.places, level.groups, strict=True)):
            best = level.ranked(group)[0] if group else OVER
            if best != OVER and (level.final or state.tree.has(best, TERMINAL)):
                memory.returned += group
                best = OVER
            elif best == OVER and place not in (OVER, ROOT):  # nothing came: those before were its last
                memory.returned += memory.last[subtree]
            places.append(best)
            kept.add(best)
        for node in level.candidates():
            if node not in kept and not level.final and not state.tree.has(node, TERMINAL):
                state.note(Operator.PRUNE, (node,), reason="subtree", score=level.merits[node])
        return places


@dataclass(frozen=True, slots=True)
class LastCandidates:
    """Another finalizer's choice among the last candidates of the subtrees; among all if none of those is finished."""

    inner: Finalizer

    def choose(self, state: TreeState[Round], candidates: Sequence[int]) -> Choice:
        """See `Finalizer.choose`."""
        memory = state.memory
        going = zip(memory.places, memory.last, strict=False)
        last = {node for place, group in going if place != OVER for node in group}
        last.update(memory.returned)
        return self.inner.choose(state, [node for node in candidates if node in last] or candidates)


def _dvts(values: Mapping[str, Any], seed: int) -> Strategy[Any]:
    n, m = values["beams"], values["width"]
    if n % m:
        raise UserError(
            f"scheme 'dvts': beams={n} cannot be split into subtrees of width={m}; give a multiple of {m}"
        )
    judge = PathScores(values["aggregation"])
    return TreeSearch(
        "dvts",
        Rounds(BestOfEach(n // m, m), judge, values["max_steps"], values["repeats"], values["temperature"]),
        Sampler(m, temperature=values["temperature"], merge=True),
        LastCandidates(finalizer(values["select"], values["aggregation"])),
        stop=Stop(values["stop_score"]),
        merge_states=values["merge_states"],
    )


_DVTS = Scheme(
    name="dvts",
    family="beams and trees",
    summary="diverse verifier tree search: greedy searches side by side, whose last candidates vote",
    structure="tree",
    step="thought",
    strategy="beam search in subtrees",
    operators=(Operator.GENERATE, Operator.EVALUATE, Operator.PRUNE, Operator.SELECT),
    models=("policy", "step verifier"),
    supervision="step labels from rollouts or by a model",
    paper="arXiv 2408.03314, varied by huggingface/search-and-learn",
    build=_dvts,
    parameters=(
        samples("beams", 16, "N: candidates a round, a multiple of M"),
        samples("width", 4, "M: candidates a subtree and round; there are N / M subtrees"),
        MAX_STEPS,
        REPEATS,
        select("weighted"),
        aggregation("last"),
        temperature(0.8),
        stop_score(None),
        MERGE_STATES,
    ),
    needs=step_scores,
    fill=FILL,
)

SCHEMES = (_DVTS,)
