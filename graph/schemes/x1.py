"""Monte-Carlo tree search of x1 ("Reasoning Language Models: A Blueprint", arXiv 2501.11223, App. C.1, and its code).

* Selection: Q_c + √(N_p - 1) / (1 + N_c) · (c1 + ln((N_p + c2) / c2)), without a prior, c1 = 1.25, c2 = 19652. The code maps Q from the
  rewards' range [-1, 1] to [0, 1], where our values are; `normalise=false` takes Q in [-1, 1], as the paper's equation prints it.
* Expansion: M = 2 children at T = 0.7, born with N = 1 and Q = the verifier's score. The code draws them by diverse beam search (groups of one
  beam, penalty 1) or by sampling; we sample, and equal samples are one child.
* Simulations (off by default): q = (1 - α) Q + α · mean of the roll-outs' scores, α = 0.5. In the paper their reward is the known answer; here the
  team's verifiers score them, since a search never sees an answer, and a roll-out that a rule refuted counts 0. Roll-outs stay in the tree.
* Backup: Q(s) ← (1 - lr) Q(s) + lr · γ · Σ N_c Q_c / Σ N_c, N(s) += 1, from the expanded thought to the root, γ = 0.96, lr = 1. The paper discounts
  values in [-1, 1] towards 0, which is ½ on our scale; ours go towards 0.
* A descent that ends at a finished thought ends the code's search (`terminal=stop`); the default passes such thoughts over and tries other leaves.
* Answer: the finished thought with the highest value, as in the paper; `answer=path` follows the selection score, as in the code.

The number of iterations has no published default (the code's example has 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..strategies.backup import WeightedBackup
from ..strategies.base import Strategy
from ..strategies.evaluation import Stop
from ..strategies.formulas import Formula, Puct
from ..strategies.mcts import Descent
from ..strategies.parts import Choice, TreeState
from ..strategies.paths import Paths
from ..strategies.rollouts import RollOut
from ..strategies.search import TreeSearch
from ..strategies.tree import REFUTED, ROOT
from ..strategies.voting import BestSolution
from .base import Scheme, Values, scores, step_scores
from .common import MERGE_STATES, samples, stop_score, temperature, whole
from .iterated import AGAIN, HEATING, OPERATORS, PATIENCE, WIDENING, fill, sampler
from .parameters import Parameter


@dataclass(frozen=True, slots=True)
class PathSolution:
    """The solution that a descent by a formula ends at; where it ends at none, the one with the highest score."""

    formula: Formula

    def choose(self, state: TreeState[Any], candidates: Sequence[int]) -> Choice:
        """See `Finalizer.choose`."""
        tree, node = state.tree, ROOT
        while living := [child for child in tree.children(node) if not tree.has(child, REFUTED)]:
            merits = self.formula.scores(tree, node, living)
            node = living[max(range(len(living)), key=merits.__getitem__)]
        if node not in set(candidates):
            return BestSolution(None).choose(state, candidates)
        unscored = sum(tree.score(candidate) is None for candidate in candidates)
        return Choice(node, tree.score(node), "path", len(candidates), unscored)


def _build(values: Mapping[str, Any], seed: int) -> Strategy[Any]:
    formula = Puct(
        values["c1"], values["c2"], shift=0, total="visits-1", priors=False, signed=not values["normalise"]
    )
    heat, rolled = values["temperature"], values["rollout_temperature"]
    rolls = values["simulations"] > 0
    rollouts = (RollOut(values["simulations"], temperature=heat if rolled is None else rolled),)
    descent = Descent(
        formula,
        values["max_expansions"],
        values["widening"],
        patience=PATIENCE,
        halts=values["terminal"] == "stop",
    )
    return TreeSearch(
        "mcts_x1",
        Paths(descent, values["iterations"], followups=rollouts if rolls else ()),
        sampler(values),
        BestSolution(None) if values["answer"] == "value" else PathSolution(formula),
        backup=WeightedBackup(values["gamma"], values["lr"], alpha=values["alpha"] if rolls else None),
        stop=Stop(values["stop_score"]),
        merge_states=values["merge_states"],
    )


def _needs(values: Values) -> frozenset[str]:
    """Return the needs: with simulations the scores of their ends will do."""
    return scores(values) if values["simulations"] else step_scores(values)


_X1 = Scheme(
    name="mcts_x1",
    family="Monte-Carlo tree search",
    summary="Monte-Carlo tree search with values of steps backed up as visit-weighted means (x1)",
    structure="tree",
    step="thought",
    strategy="MCTS",
    operators=OPERATORS,
    models=("policy", "value model", "outcome verifier", "step verifier"),
    supervision="values from search with simulations",
    paper="arXiv 2501.11223",
    build=_build,
    needs=_needs,
    fill=fill("iterations"),
    parameters=(
        samples("branching", 2, "M: samples an expansion"),
        whole("iterations", 32, "expansions"),
        Parameter("c1", "float", 1.25, "exploration constant", minimum=0.0),
        Parameter("c2", "float", 19652.0, "visits at which exploration starts to grow", above=0.0),
        Parameter(
            "normalise", "bool", True, "whether values are selected by in [0, 1]; otherwise in [-1, 1]"
        ),
        Parameter("gamma", "float", 0.96, "discount per step", above=0.0, maximum=1.0),
        Parameter("lr", "float", 1.0, "learning rate of the backup", above=0.0, maximum=1.0),
        samples("simulations", 0, "chains rolled out from each new thought", minimum=0),
        Parameter(
            "alpha", "float", 0.5, "weight of the simulations in a thought's value", above=0.0, maximum=1.0
        ),
        Parameter(
            "rollout_temperature",
            "float",
            None,
            "temperature of the simulations, 0 is greedy; none: that of the steps",
            minimum=0.0,
            optional=True,
        ),
        Parameter(
            "terminal",
            "choice",
            "pass",
            "what a descent does with finished thoughts: pass them over, or end the search there",
            choices=("pass", "stop"),
        ),
        Parameter(
            "answer",
            "choice",
            "value",
            "the solution with the highest value, or the one that the selection score leads to",
            choices=("value", "path"),
        ),
        AGAIN,
        WIDENING,
        temperature(0.7),
        HEATING,
        stop_score(None),
        MERGE_STATES,
    ),
)

SCHEMES = (_X1,)
