"""ReST-MCTS*: value-guided tree search (arXiv 2406.03816 and its code).

* Selection by V_c + ε √(2 ln N_p / N_c), ε = 0.7; an unvisited thought scores V_c + 1.
* Before a leaf is expanded, a critique says that nothing is left to do there, which leaves the leaf as it is, or gives advice that the
  expansion reads (`reflect`). The root is not criticised. Our critics seldom say that a thought is resolved: they are asked for mistakes.
* Expansion: 3 children, V from the team's verifiers. From the best of them up to 3 greedy steps are rolled out, and V ← (1 - α) V + α · max V of those
  steps, α = 0.5. The code rolls out step by step and reads a critique at each; ours is one request, whose steps stay in the tree. A
  best child that is finished is not rolled out.
* Backup: V(s) = Σ N_c V_c / Σ N_c. A thought's first visit is its being rolled out; here a finished thought counts as rolled out, since that would
  change nothing.
* The search ends at a finished solution with V ≥ 0.9 (`end_gate`), as soon as it is scored (the code: once it is selected). Otherwise the
  finished solution with the highest V is the answer.

Ties go to the first child; the code draws lots. The constants are the defaults of the code's task class; its evaluation script has others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..strategies.backup import WeightedBackup
from ..strategies.base import Strategy
from ..strategies.evaluation import Stop
from ..strategies.formulas import Uct
from ..strategies.mcts import Descent
from ..strategies.paths import Paths
from ..strategies.rollouts import RollOut
from ..strategies.search import TreeSearch
from ..strategies.voting import BestSolution
from .base import Scheme
from .common import MERGE_STATES, samples, temperature, whole
from .iterated import AGAIN, HEATING, OPERATORS, PATIENCE, WIDENING, fill, sampler
from .parameters import Parameter


def _build(values: Mapping[str, Any], seed: int) -> Strategy[Any]:
    formula = Uct(values["epsilon"] * 2.0**0.5, bonus=values["bonus"])
    descent = Descent(formula, values["max_expansions"], values["widening"], patience=PATIENCE)
    forward = RollOut(of="best", steps=values["forward"], temperature=0.0)
    return TreeSearch(
        "rest_mcts",
        Paths(descent, values["iterations"], followups=(forward,), advises=values["reflect"]),
        sampler(values),
        BestSolution(None),
        backup=WeightedBackup(alpha=values["alpha"], rolled="max", born=False),
        stop=Stop(values["end_gate"], "score"),
        merge_states=values["merge_states"],
    )


def _needs(values: Mapping[str, Any]) -> frozenset[str]:
    return frozenset({"step_scores", "critique"} if values["reflect"] else {"step_scores"})


_REST_MCTS = Scheme(
    name="rest_mcts",
    family="Monte-Carlo tree search",
    summary="value-guided tree search with greedy roll-forward and advice (ReST-MCTS*)",
    structure="tree",
    step="thought",
    strategy="MCTS",
    operators=OPERATORS,
    models=("policy", "value model"),
    supervision="process rewards from search: k/K on a correct path",
    paper="arXiv 2406.03816",
    build=_build,
    needs=_needs,
    raw={"reflect": False},
    fill=fill("iterations"),
    parameters=(
        whole("iterations", 100, "expansions"),
        samples("branching", 3, "samples an expansion"),
        Parameter("epsilon", "float", 0.7, "exploration constant", minimum=0.0),
        Parameter("bonus", "float", 1.0, "what an unvisited thought scores above its value", minimum=0.0),
        whole("forward", 3, "greedy steps rolled out from the best new thought"),
        Parameter(
            "alpha", "float", 0.5, "weight of the roll-out in a thought's value", above=0.0, maximum=1.0
        ),
        Parameter(
            "end_gate",
            "float",
            0.9,
            "end the search at a finished solution of this value or more; none: never",
            minimum=0.0,
            maximum=1.0,
            optional=True,
        ),
        Parameter("reflect", "bool", True, "whether a leaf is criticised before it is expanded"),
        AGAIN,
        WIDENING,
        temperature(0.7),
        HEATING,
        MERGE_STATES,
    ),
)

SCHEMES = (_REST_MCTS,)
