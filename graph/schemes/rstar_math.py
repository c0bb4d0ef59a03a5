"""rStar-Math: Monte-Carlo tree search over steps that tools have checked (arXiv 2501.04519 and its code, in evaluation mode).

* A candidate whose code or equations fail the check is dropped at once: the team's tool users run what a thought calls for, and its rule verifier
  refutes a thought whose check failed. A refuted thought is never expanded, never answered, and counts in no statistic (the code gives it -1).
  So the team needs a tool user that checks (`EquationChecker`, a sandbox) and a `RuleVerifier`; without them nothing is dropped.
* An iteration goes from the root over unfinished thoughts by UCT, Q_c + 2 √(ln N_p / N_c), ties to the first, and has every unexpanded one on its way
  expanded (32 candidates at T = 1), until an expansion leaves nothing unfinished. That an iteration is such a path is taken from a public copy of
  the code.
* The values are those of the process preference model (the team's scorer). Only those of finished solutions are backed up, as means along the path;
  an unfinished thought starts with its own value as one visit (`initialise`). Without that an unvisited thought scores 0, not ∞.
* Answer: the finished solution with the highest value.

Theirs are in [-1, 1] and ours in [0, 1], so c = 2 explores twice as much here. `preference_pairs` (strategies/preferences.py) makes
their training pairs from a finished tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..strategies.backup import LeafBackup
from ..strategies.base import Strategy
from ..strategies.evaluation import Stop
from ..strategies.formulas import Uct
from ..strategies.mcts import Descent
from ..strategies.paths import Onwards, Paths
from ..strategies.search import TreeSearch
from ..strategies.voting import finalizer
from .base import Scheme, Values, scores, step_scores
from .common import MERGE_STATES, samples, select, stop_score, temperature, whole
from .iterated import AGAIN, HEATING, OPERATORS, PATIENCE, WIDENING, fill, sampler
from .parameters import Parameter


def _build(values: Mapping[str, Any], seed: int) -> Strategy[Any]:
    descent = Descent(
        Uct(values["c"], blank=True),
        values["max_expansions"],
        values["widening"],
        patience=PATIENCE,
        max_depth=values["depth"],
    )
    onwards: Onwards = "best unfinished" if values["initialise"] else "first unfinished"
    return TreeSearch(
        "rstar_math",
        Paths(descent, values["iterations"], further=None, onwards=onwards),
        sampler(values),
        finalizer(values["select"], None),
        backup=LeafBackup(own=values["initialise"]),
        stop=Stop(values["stop_score"]),
        merge_states=values["merge_states"],
    )


def _needs(values: Values) -> frozenset[str]:
    """Return the needs: where unfinished thoughts have no value of their own, the scores of finished ones will do."""
    return step_scores(values) if values["initialise"] else scores(values)


_RSTAR_MATH = Scheme(
    name="rstar_math",
    family="Monte-Carlo tree search",
    summary="Monte-Carlo tree search over steps that tools have checked (rStar-Math)",
    structure="tree",
    step="thought with its calculation",
    strategy="MCTS",
    operators=OPERATORS,
    models=("policy", "preference model", "step verifier"),
    supervision="preference pairs of steps from search",
    paper="arXiv 2501.04519",
    build=_build,
    needs=_needs,
    fill=fill("iterations"),
    parameters=(
        whole("iterations", 12, "paths"),
        samples("branching", 32, "candidates an expansion"),
        Parameter("c", "float", 2.0, "exploration constant", minimum=0.0),
        whole("depth", 16, "depth at which thoughts are not expanded any more"),
        Parameter(
            "initialise", "bool", True, "whether an unfinished thought's own value counts as one visit"
        ),
        AGAIN,
        WIDENING,
        select("best"),
        temperature(1.0),
        HEATING,
        stop_score(None),
        MERGE_STATES,
    ),
)

SCHEMES = (_RSTAR_MATH,)
