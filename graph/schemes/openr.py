"""OpenR's vanilla Monte-Carlo tree search: one complete path an iteration (arXiv 2410.09671 and its code).

* An iteration descends from the root by PUCT, Q_c + P_c · √N_p / (1 + N_c) · (1.25 + ln((N_p + 19652 + 1) / 19652)), and has every unexpanded thought
  that it meets expanded (4 samples at T = 0.7), until it comes to a finished one.
* P_c = exp(mean log-probability of the step's tokens), normalised over the siblings. A generator that gives no log-probabilities needs
  `prior=count`.
* An unvisited thought has the process reward model's score of its last step as Q. A visited one has the mean of the leaf values below it, which
  are the scores of the finished thoughts (`LeafBackup` says how that approximates the code's repeated visits).
* The answers of all paths are aggregated: `select` is max or vote, `aggregation` is PRM-last or PRM-min, as in the code; the code reports all.

The code's option to draw among unvisited thoughts by their priors is not offered. `paths` has no published default that searches (the script has 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..strategies.backup import LeafBackup
from ..strategies.base import Strategy
from ..strategies.evaluation import Stop
from ..strategies.formulas import Puct
from ..strategies.mcts import Descent
from ..strategies.paths import Paths
from ..strategies.search import TreeSearch
from ..strategies.voting import finalizer
from .base import Scheme, step_scores
from .common import MERGE_STATES, aggregation, samples, select, stop_score, temperature, whole
from .iterated import AGAIN, HEATING, OPERATORS, PATIENCE, WIDENING, fill, sampler
from .parameters import Parameter


def _build(values: Mapping[str, Any], seed: int) -> Strategy[Any]:
    formula = Puct(values["c"], values["base"], shift=1, total="visits")
    descent = Descent(formula, values["max_expansions"], values["widening"], patience=PATIENCE)
    return TreeSearch(
        "mcts_openr",
        Paths(descent, values["paths"], further=None),
        sampler(values, values["prior"]),
        finalizer(values["select"], values["aggregation"]),
        backup=LeafBackup(),
        stop=Stop(values["stop_score"]),
        merge_states=values["merge_states"],
    )


_OPENR = Scheme(
    name="mcts_openr",
    family="Monte-Carlo tree search",
    summary="one complete path an iteration, by PUCT with token probabilities as priors (OpenR)",
    structure="tree",
    step="thought",
    strategy="MCTS",
    operators=OPERATORS,
    models=("policy", "step verifier"),
    supervision="step labels from rollouts",
    paper="arXiv 2410.09671",
    build=_build,
    needs=step_scores,
    fill=fill("paths"),
    parameters=(
        whole("paths", 16, "iterations, each a complete path"),
        samples("branching", 4, "samples an expansion"),
        Parameter("c", "float", 1.25, "exploration constant", minimum=0.0),
        Parameter("base", "float", 19652.0, "visits at which exploration starts to grow", above=0.0),
        Parameter(
            "prior",
            "choice",
            "logprob",
            "prior of a child: its share of the token probability, of the samples, or equal shares",
            choices=("logprob", "count", "uniform"),
        ),
        AGAIN,
        WIDENING,
        select("best", joint=True),
        aggregation("last"),
        temperature(0.7),
        HEATING,
        stop_score(None),
        MERGE_STATES,
    ),
)

SCHEMES = (_OPENR,)
