"""Monte-Carlo tree search with every part open to choice."""

from __future__ import annotations

from ..records import Operator
from ..strategies.mcts import mcts
from .base import Scheme
from .common import ENDLESS, MERGE_STATES, samples, select, stop_score, temperature
from .parameters import Parameter

_MCTS = Scheme(
    name="mcts",
    family="Monte-Carlo tree search",
    summary="Monte-Carlo tree search over steps",
    structure="tree",
    step="thought",
    strategy="MCTS",
    operators=(
        Operator.GENERATE,
        Operator.SELECT,
        Operator.EVALUATE,
        Operator.BACKPROPAGATE,
        Operator.BACKTRACK,
        Operator.PRUNE,
    ),
    models=("policy", "value model", "outcome verifier", "step verifier"),
    supervision="outcome labels from search",
    paper="arXiv 2410.09671",
    build=lambda values, seed: mcts(**values),
    fill={"max_expansions": ENDLESS},
    parameters=(
        samples("branching", 4, "samples an expansion"),
        Parameter("selector", "choice", "puct", "selection formula", choices=("puct", "uct")),
        Parameter(
            "c",
            "float",
            None,
            "exploration constant; none: 1.25 for puct, √2 for uct",
            minimum=0.0,
            optional=True,
        ),
        Parameter(
            "backup",
            "choice",
            "mean",
            "mean of all thoughts below, or visit-weighted mean of the children",
            choices=("mean", "weighted"),
        ),
        Parameter("gamma", "float", 1.0, "discount per step of the weighted backup", above=0.0, maximum=1.0),
        Parameter("lr", "float", 1.0, "learning rate of the weighted backup", above=0.0, maximum=1.0),
        Parameter(
            "prior",
            "choice",
            "count",
            "prior of a child: its share of the samples, of the token probability, or equal shares",
            choices=("count", "logprob", "probability", "uniform"),
        ),
        Parameter("max_expansions", "int", 3, "expansions of one thought at most", minimum=1),
        Parameter(
            "widening",
            "float",
            None,
            "samples per √visits up to which a thought is sampled again beside its children",
            above=0.0,
            optional=True,
        ),
        Parameter("count_refuted", "bool", False, "whether refuted thoughts count as visits of value 0"),
        select("best", joint=True),
        temperature(None),
        Parameter(
            "heating",
            "float",
            0.0,
            "added to the temperature at each further expansion of a thought, up to 2",
            minimum=0.0,
        ),
        stop_score(1.0),
        MERGE_STATES,
    ),
)

SCHEMES = (_MCTS,)
