"""Tree of Thoughts (Yao et al., arXiv 2305.10601): breadth-first with the best b states a level, or depth-first with backtracking.

Thoughts are proposed, several in one reply, or sampled one by one; states are valued one by one, voted on, or scored by the team's verifiers
(`strategies/judges.py`). States that repeat an earlier one of their level are worth 0, as in the authors' code, and are not asked about.

`tot_bfs` is the paper's Algorithm 1 (`strategies/breadth_first.py`), with the constants of its Game of 24 in the authors' code: b = 5, three value
replies a state, a temperature of .7. The code's prompt lists as many steps as the model likes; how many one reply may list is a parameter here,
and its default is ours.

`tot_dfs` is its Algorithm 2 (`strategies/depth_first.py`), which the paper uses for crosswords; its threshold and its limit of steps are
unverified, and the defaults here are ours. The threshold of .02 lies between two of three replies "impossible", (.001 + .001 + 1) / 60 = .0167,
and one, (1 + 1 + .001) / 60 = .0334. A state whose judgement failed is not pruned, and comes after all others.
"""

from __future__ import annotations

from ..records import Operator
from ..strategies.breadth_first import Breadth
from ..strategies.depth_first import DepthFirst, Trail
from ..strategies.evaluation import Stop
from ..strategies.expansion import Sampler
from ..strategies.judges import Judge, PathScores, Votes
from ..strategies.judges import Values as ValueReplies
from ..strategies.parts import Finalizer, M, Selector
from ..strategies.rounds import Round, Rounds
from ..strategies.search import TreeSearch
from ..strategies.voting import finalizer
from .base import Scheme, Values
from .beam import FILL, MAX_STEPS, REPEATS
from .common import (
    ENDLESS,
    MERGE_STATES,
    aggregation,
    choice,
    samples,
    select,
    stop_score,
    temperature,
    whole,
)
from .parameters import Parameter


def _judge(values: Values) -> Judge:
    if values["evaluate"] == "scores":
        return PathScores(values["aggregation"])
    return (ValueReplies if values["evaluate"] == "value" else Votes)(values["n_evaluate"])


def _finalizer(values: Values) -> Finalizer:
    """Return the finalizer; what an evaluator says of a state judges the whole path, so nothing is aggregated."""
    scored = values["evaluate"] == "scores"
    return finalizer(values["select"], values["aggregation"] if scored else None)


def _action(values: Values) -> str:
    return "propose" if values["generate"] == "propose" else ""


def _search(name: str, selector: Selector[M], values: Values) -> TreeSearch[M]:
    sampler = Sampler(values["n"], temperature=values["temperature"], merge=True, action=_action(values))
    stop = Stop(values["stop_score"])
    return TreeSearch(
        name, selector, sampler, _finalizer(values), stop=stop, merge_states=values["merge_states"]
    )


def _tot_bfs(values: Values, seed: int) -> TreeSearch[Round]:
    keeper = Breadth(values["breadth"], values["n"], values["method"] == "sample", seed)
    judge, heat, action = _judge(values), values["temperature"], _action(values)
    rounds = Rounds(keeper, judge, values["max_steps"], values["repeats"], heat, action, single=True)
    return _search("tot_bfs", rounds, values)


def _tot_dfs(values: Values, seed: int) -> TreeSearch[Trail]:
    selector = DepthFirst(
        _judge(values),
        values["n"],
        values["threshold"],
        values["max_depth"],
        values["solutions"],
        values["max_expansions"],
        values["repeats"],
        values["temperature"],
        _action(values),
    )
    return _search("tot_dfs", selector, values)


def _needs(values: Values) -> frozenset[str]:
    judges = {"step_scores" if values["evaluate"] == "scores" else values["evaluate"]}
    return frozenset(judges | ({"propose"} if values["generate"] == "propose" else set[str]()))


_GENERATE = (
    choice(
        "generate", "propose", ("propose", "sample"), "next steps listed in one reply, or sampled one by one"
    ),
    samples("n", 8, "next steps of a state: listed at most, or sampled"),
    choice(
        "evaluate",
        "value",
        ("scores", "value", "vote"),
        "the team's scores, or an evaluator's value of each state, or its votes among them",
    ),
    samples("n_evaluate", 3, "replies a state for value, votes for vote"),
)
_CHOOSE = (REPEATS, select("best"), aggregation("last"), temperature(0.7), stop_score(None), MERGE_STATES)
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
        *_GENERATE,
        whole("breadth", 5, "b: states kept a level"),
        choice(
            "method",
            "greedy",
            ("greedy", "sample"),
            "keep the best b, or draw b in proportion to their values",
        ),
        MAX_STEPS,
        *_CHOOSE,
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
    operators=(Operator.GENERATE, Operator.EVALUATE, Operator.PRUNE, Operator.BACKTRACK, Operator.SELECT),
    models=("policy", "value model", "step verifier"),
    supervision="none",
    paper="arXiv 2305.10601",
    build=_tot_dfs,
    parameters=(
        *_GENERATE,
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
        *_CHOOSE,
    ),
    needs=_needs,
    raw=_RAW,
    fill={**FILL, "solutions": ENDLESS, "max_expansions": ENDLESS},
    serial="which state is continued next depends on what came of the one before",
)

SCHEMES = (_TOT_BFS, _TOT_DFS)
