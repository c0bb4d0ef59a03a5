"""Graph of thoughts: generate, score, keep the best, aggregate, refine (Besta et al., arXiv 2308.09687); see `strategies/operations.py`.

The numbers 5, 10, 10 are those of the authors' sorting example, where the score is computed. `control=model` has a model order the operations, as
the Blueprint (arXiv 2501.11223, §5.3) says; the authors' code has no such thing.
"""

from __future__ import annotations

from ..records import Operator
from ..strategies.evaluation import Stop
from ..strategies.expansion import Sampler
from ..strategies.operations import Operations
from ..strategies.plan import Lines, Plan
from ..strategies.search import TreeSearch
from ..strategies.voting import finalizer
from .base import Scheme, Values
from .common import ENDLESS, choice, samples, select, stop_score, temperature, whole
from .inner import inner, needs_of, search_in


def _build(values: Values, seed: int) -> TreeSearch[Lines]:
    heat = values["temperature"]
    script = Operations(
        stride=values["generate"],
        keep=values["keep"],
        aggregate=values["aggregate"],
        refine=values["refine"],
        rounds=values["rounds"],
        parts=values["parts"],
        solver=search_in(values["solver"], None, 1.0, heat),
        asks_value=values["judge"] == "value",
        asks_control=values["control"] == "model",
        temperature=heat,
    )
    return TreeSearch(
        "got",
        Plan(script),
        Sampler(1, horizon="solution", temperature=heat),
        finalizer(values["select"], None),
        stop=Stop(values["stop_score"]),
    )


def _needs(values: Values) -> frozenset[str]:
    needs = {"aggregate", "refine", "value" if values["judge"] == "value" else "scores"}
    if values["control"] == "model":
        needs.add("control")
    if values["parts"]:
        needs |= {"split"} | needs_of(values["solver"])
    return frozenset(needs)


_GOT = Scheme(
    name="got",
    family="graphs",
    summary="a graph of operations: generate, score, keep the best, aggregate, refine",
    structure="graph",
    step="solution",
    strategy="controller",
    operators=(
        Operator.GENERATE,
        Operator.AGGREGATE,
        Operator.REFINE,
        Operator.EVALUATE,
        Operator.PRUNE,
        Operator.SELECT,
    ),
    models=("policy", "value model", "outcome verifier", "step verifier", "controller"),
    supervision="none",
    paper="arXiv 2308.09687",
    build=_build,
    parameters=(
        samples("generate", 5, "attempts generated, at the question or at each part"),
        whole("keep", 2, "best attempts kept after each operation"),
        samples("aggregate", 10, "samples of an aggregation of all attempts kept"),
        samples("refine", 10, "samples of a refinement of the best attempt"),
        whole("rounds", 1, "how often aggregate and refine follow each other", minimum=0),
        samples("parts", 0, "parts that the question is split into first; 0: it is not", minimum=0),
        inner("solver", "cot", "scheme of the searches that answer the parts"),
        choice(
            "judge",
            "team",
            ("team", "value"),
            "who scores thoughts: the team's verifiers, or an evaluator asked for the value of each",
        ),
        choice("control", "plan", ("plan", "model"), "what says which operation comes next"),
        select("best"),
        temperature(0.7),
        stop_score(1.0),
    ),
    needs=_needs,
    fill={"rounds": ENDLESS},
)

SCHEMES = (_GOT,)
