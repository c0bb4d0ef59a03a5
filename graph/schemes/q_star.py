"""Q*: best-first search with a learned heuristic (Wang et al., arXiv 2406.14283); `strategies/a_star.py` says how it goes.

K = N = 6 as published. Min and λ = 1 are the paper's for GSM8K (unverified).
"""

from __future__ import annotations

from ..records import Operator
from ..strategies.a_star import BestFirst, Front, HighestF
from ..strategies.evaluation import Stop
from ..strategies.expansion import Sampler
from ..strategies.search import TreeSearch
from .base import Scheme, Values, step_scores
from .beam import FILL, REPEATS
from .common import ENDLESS, MERGE_STATES, choice, samples, stop_score, temperature, whole
from .parameters import Parameter


def _build(values: Values, seed: int) -> TreeSearch[Front]:
    selector = BestFirst(
        values["top_k"],
        values["trajectories"],
        values["lam"],
        values["aggregation"],
        values["repeats"],
        values["temperature"],
    )
    return TreeSearch(
        "q_star",
        selector,
        Sampler(values["top_k"], temperature=values["temperature"], merge=True),
        HighestF(selector),
        stop=Stop(values["stop_score"]),
        merge_states=values["merge_states"],
    )


_Q_STAR = Scheme(
    name="q_star",
    family="beams and trees",
    summary="A* that maximises the score so far plus the best value of a next step",
    structure="tree",
    step="thought",
    strategy="best-first search",
    operators=(Operator.GENERATE, Operator.EVALUATE, Operator.PRUNE, Operator.SELECT),
    models=("policy", "step verifier", "value model"),
    supervision="Q-values from rollouts",
    paper="arXiv 2406.14283",
    build=_build,
    parameters=(
        samples("top_k", 6, "K: next steps looked at for each thought"),
        whole("trajectories", 6, "N: solutions after which it ends"),
        Parameter("lam", "float", 1.0, "λ: weight of the best next step", minimum=0.0),
        choice("aggregation", "min", ("min", "max", "sum", "last"), "how the step scores of a path become g"),
        REPEATS,
        temperature(None),
        stop_score(None),
        MERGE_STATES,
    ),
    needs=step_scores,
    fill={**FILL, "trajectories": ENDLESS},
)

SCHEMES = (_Q_STAR,)
