"""Tree of Thoughts (Yao et al., arXiv 2305.10601): breadth-first with the best b states a level, or depth-first with backtracking.

Thoughts are proposed, several in one reply, or sampled one by one; states are valued one by one, voted on, or scored by the team's verifiers.

`tot_bfs` is the paper's Algorithm 1, with the constants of its Game of 24 in the authors' code: b = 5, three value replies a state, a temperature of .7.
The code's prompt lists as many steps as the model likes; how many one reply may list is a parameter here, and its default is ours. States that
repeat an earlier one of their level are worth 0, as there, and are not asked about. There, every line runs for the steps of its task; here a finished solution
that is among the best b keeps its place, unless others turn out better, and the search ends when no unfinished one is left among them. With
`method=sample` the b are drawn in proportion to their values. The authors' code draws with replacement, as far as we remember (unverified);
we draw without, as a state continued twice would only be continued with more samples.

`tot_dfs` is its Algorithm 2: continue the best child, prune those below a threshold, go back where nothing is left, until enough
solutions are found. The paper uses it for crosswords; its threshold and its limit of steps are unverified, and the defaults here are ours. The
threshold of .02 lies between two of three replies "impossible", (.001 + .001 + 1) / 60 = .0167, and one, (1 + 1 + .001) / 60 = .0334. A
state whose judgement failed is not pruned, and comes after all others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..ids import derive_rng
from ..records import Operator
from ..strategies.base import Strategy
from ..strategies.depth_first import DepthFirst
from ..strategies.evaluation import Stop
from ..strategies.expansion import Sampler
from ..strategies.judges import Judge, PathScores, Values, Votes
from ..strategies.parts import TreeState
from ..strategies.rounds import Level, Round, Rounds
from ..strategies.search import TreeSearch
from ..strategies.tree import ROOT, TERMINAL
from ..strategies.voting import BestSolution, Vote, finalizer
from .base import Scheme
from .beam import FILL, MAX_STEPS, REPEATS
from .common import ENDLESS, MERGE_STATES, aggregation, select, stop_score, temperature, whole
from .parameters import Parameter


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


def _judge(values: Mapping[str, Any]) -> Judge:
    if values["evaluate"] == "scores":
        return PathScores(values["aggregation"])
    return (Values if values["evaluate"] == "value" else Votes)(values["n_evaluate"])


def _finalizer(values: Mapping[str, Any]) -> BestSolution | Vote:
    """Return the finalizer; what an evaluator says of a state judges the whole path, so nothing is aggregated."""
    scored = values["evaluate"] == "scores"
    return finalizer(values["select"], values["aggregation"] if scored else None)


def _action(values: Mapping[str, Any]) -> str:
    return "propose" if values["generate"] == "propose" else ""


def _tot_bfs(values: Mapping[str, Any], seed: int) -> Strategy[Any]:
    n, heat = values["n"], values["temperature"]
    keeper = Breadth(values["breadth"], n, values["method"] == "sample", seed)
    judge, action = _judge(values), _action(values)
    return TreeSearch(
        "tot_bfs",
        Rounds(keeper, judge, values["max_steps"], values["repeats"], heat, action, single=True),
        Sampler(n, temperature=heat, merge=True, action=action),
        _finalizer(values),
        stop=Stop(values["stop_score"]),
        merge_states=values["merge_states"],
    )


def _tot_dfs(values: Mapping[str, Any], seed: int) -> Strategy[Any]:
    n, heat, action = values["n"], values["temperature"], _action(values)
    selector = DepthFirst(
        _judge(values),
        n,
        values["threshold"],
        values["max_depth"],
        values["solutions"],
        values["max_expansions"],
        values["repeats"],
        heat,
        action,
    )
    return TreeSearch(
        "tot_dfs",
        selector,
        Sampler(n, temperature=heat, merge=True, action=action),
        _finalizer(values),
        stop=Stop(values["stop_score"]),
        merge_states=values["merge_states"],
    )


def _needs(values: Mapping[str, Any]) -> frozenset[str]:
    evaluator = "scores" if values["evaluate"] == "scores" else values["evaluate"]
    return frozenset({evaluator, "propose"} if values["generate"] == "propose" else {evaluator})


_STATES = (
    Parameter(
        "generate",
        "choice",
        "propose",
        "next steps listed in one reply, or sampled one by one",
        choices=("propose", "sample"),
    ),
    whole("n", 8, "next steps of a state: listed at most, or sampled"),
    Parameter(
        "evaluate",
        "choice",
        "value",
        "the team's scores, or an evaluator's value of each state, or its votes among them",
        choices=("scores", "value", "vote"),
    ),
    whole("n_evaluate", 3, "replies a state for value, votes for vote"),
)
_SEARCH = (
    REPEATS,
    select("best"),
    aggregation("last"),
    temperature(0.7),
    stop_score(None),
    MERGE_STATES,
)
_RAW = {"generate": "sample", "evaluate": "scores"}

_TOT_BFS = Scheme(
    name="tot_bfs",
    family="beams and trees",
    summary="Tree of Thoughts, breadth first: the best b states of a level go on",
    structure="tree",
    step="thought",
    strategy="beam search",
    operators=(Operator.GENERATE, Operator.EVALUATE, Operator.PRUNE, Operator.SELECT),
    models=("policy", "value model", "step verifier"),
    supervision="none",
    paper="arXiv 2305.10601",
    build=_tot_bfs,
    parameters=(
        *_STATES,
        whole("breadth", 5, "b: states kept a level"),
        Parameter(
            "method",
            "choice",
            "greedy",
            "keep the best b, or draw b in proportion to their values",
            choices=("greedy", "sample"),
        ),
        MAX_STEPS,
        *_SEARCH,
    ),
    needs=_needs,
    raw=_RAW,
    fill=FILL,
)

_TOT_DFS = Scheme(
    name="tot_dfs",
    family="beams and trees",
    summary="Tree of Thoughts, depth first: the best child goes on, bad ones are pruned, dead ends are left",
    structure="tree",
    step="thought",
    strategy="depth-first search",
    operators=(
        Operator.GENERATE,
        Operator.EVALUATE,
        Operator.PRUNE,
        Operator.BACKTRACK,
        Operator.SELECT,
    ),
    models=("policy", "value model", "step verifier"),
    supervision="none",
    paper="arXiv 2305.10601",
    build=_tot_dfs,
    parameters=(
        *_STATES,
        Parameter(
            "threshold",
            "float",
            0.02,
            "states worth less are pruned; 0 prunes none",
            minimum=0.0,
            maximum=1.0,
        ),
        whole("max_depth", 40, "steps of a path at most"),
        whole("solutions", 1, "solutions worth the threshold at which the search ends"),
        whole("max_expansions", 100, "states continued at most"),
        *_SEARCH,
    ),
    needs=_needs,
    raw=_RAW,
    fill={**FILL, "solutions": ENDLESS, "max_expansions": ENDLESS},
    serial="which state is continued next depends on what came of the one before",
)

SCHEMES = (_TOT_BFS, _TOT_DFS)
