"""Language agent tree search (arXiv 2310.04406 and its code).

* Thoughts are steps with the observations that the team's tool users made at them; later steps and judges read these.
* An iteration descends by UCT, Q_c + √(2 ln N_p / N_c); an unvisited thought scores its value. It expands a leaf by 5 samples at T = 1, has the new
  thoughts judged, and goes on from the best one for up to 4 further expansions; the published code drops these, here they stay.
* Value: a language model's (`evaluate=value`), or the team's verifiers' (`evaluate=scores`). The paper adds a self-consistency term (unverified).
* Backup: means of the finished thoughts' values. A thought that is not finished at the depth cap of 7 is given up and backs up nothing (the code: -1).
* A finished solution that is wrong (a check below 0.5, or a value below 0.5 where nothing checked it) is reflected upon, up to 3 with different
  answers; all later generations read what that taught.
* A finished solution that passed its check ends the search at once. Otherwise the highest value is the answer.

Two things of the published code are not repeated. Its environments' reward is the comparison with the known answer, which stops the search, marks
failures and prompts reflections: results with it are those of an oracle. Here only checks that need no answer do that. And its UCT divides a value that
is already a mean by the visits once more, which makes it explore ever more; `divide_twice=true` does that too, to compare.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..records import Operator, Outcome
from ..strategies.backup import LeafBackup
from ..strategies.base import Strategy
from ..strategies.evaluation import FirstKnown, Stop
from ..strategies.formulas import Uct
from ..strategies.mcts import Descent
from ..strategies.parts import Ask, Pick, TreeState
from ..strategies.paths import Followup, Paths, Progress
from ..strategies.search import TreeSearch
from ..strategies.tree import TERMINAL
from ..strategies.voting import BestSolution
from .base import Scheme
from .common import MERGE_STATES, samples, stop_score, temperature, whole
from .iterated import AGAIN, HEATING, OPERATORS, PATIENCE, WIDENING, fill, sampler
from .parameters import Parameter


@dataclass(frozen=True, slots=True)
class Reflect:
    """Has wrong solutions reflected upon, `limit` at most, each with an answer of its own."""

    limit: int
    """≥ 1."""

    def after(self, state: TreeState[Progress], outcome: Outcome, grown: Sequence[int]) -> Iterable[Pick]:
        """See `Followup.after`."""
        tree, reflected = state.tree, state.memory.reflected
        for node in dict.fromkeys(tree.index[evaluation.thought] for evaluation in outcome.evaluations):
            score, key = tree.score(node), tree.thought[node].key
            if len(reflected) >= self.limit or not tree.has(node, TERMINAL) or score is None or score >= 0.5:
                continue
            if node in reflected or key in (tree.thought[other].key for other in reflected):
                continue
            reflected.append(node)
            yield Pick((node,), 1, 0, Ask(Operator.EVALUATE, "reflect"))


def _build(values: Mapping[str, Any], seed: int) -> Strategy[Any]:
    judged = values["evaluate"] == "value"
    formula = Uct(values["c"], bonus=0.0, twice=values["divide_twice"])
    followups: tuple[Followup, ...] = (Reflect(values["reflections"]),) if values["reflections"] else ()
    return TreeSearch(
        "lats",
        Paths(
            Descent(
                formula,
                values["max_expansions"],
                values["widening"],
                patience=PATIENCE,
                max_depth=values["depth"],
            ),
            values["iterations"],
            further=values["rollout"],
            followups=followups,
            judges=values["replies"] if judged else 0,
        ),
        sampler(values),
        BestSolution(None),
        rule=FirstKnown(("outcome", "value")) if judged else FirstKnown(),
        backup=LeafBackup(),
        stop=Stop(values["stop_score"]),
        merge_states=values["merge_states"],
    )


def _needs(values: Mapping[str, Any]) -> frozenset[str]:
    judges = {"value" if values["evaluate"] == "value" else "step_scores"}
    return frozenset(judges | ({"reflect"} if values["reflections"] else set[str]()))


_LATS = Scheme(
    name="lats",
    family="Monte-Carlo tree search",
    summary="tree search of an agent with tools, values by a language model, and reflections on failures (LATS)",
    structure="tree",
    step="thought with its observation",
    strategy="MCTS",
    operators=OPERATORS,
    models=("policy", "value model", "outcome verifier"),
    supervision="none",
    paper="arXiv 2310.04406",
    build=_build,
    needs=_needs,
    raw={"evaluate": "scores", "reflections": 0},
    fill=fill("iterations"),
    parameters=(
        whole("iterations", 50, "iterations"),
        samples("branching", 5, "samples an expansion"),
        Parameter("c", "float", 2.0**0.5, "exploration constant", minimum=0.0),
        whole("depth", 7, "depth at which thoughts are not expanded any more"),
        whole("rollout", 4, "expansions that follow from the best new thought", minimum=0),
        Parameter(
            "evaluate",
            "choice",
            "value",
            "who values new thoughts: a model that is asked, or the team's verifiers",
            choices=("value", "scores"),
        ),
        samples("replies", 1, "replies that make one value"),
        whole("reflections", 3, "failed solutions reflected upon", minimum=0),
        Parameter(
            "divide_twice", "bool", False, "whether values are divided by the visits twice, as published"
        ),
        AGAIN,
        WIDENING,
        temperature(1.0),
        HEATING,
        stop_score(1.0),
        MERGE_STATES,
    ),
)

SCHEMES = (_LATS,)
