"""Chains: one, or many and a choice among them."""

from __future__ import annotations

from ..records import Operator
from ..strategies.chains import best_of_n, cot, self_consistency, weighted_vote
from .base import Scheme, Values
from .common import BLOCK, ENDLESS, PROMPTING, aggregation, prompted, select, stop_score, temperature, whole
from .parameters import Parameter

_OPERATORS = (Operator.GENERATE, Operator.SELECT, Operator.EVALUATE, Operator.PRUNE)


def _scored(values: Values) -> frozenset[str]:
    """Return the needs of a choice by scores; a majority has none."""
    if values.get("select") == "majority":
        return prompted(values)
    return prompted(values) | {"step_scores" if values.get("by") == "prm" else "scores"}


_COT = Scheme(
    name="cot",
    family="chains",
    summary="one greedy chain of thought",
    structure="chain",
    step="thought",
    strategy="none",
    operators=_OPERATORS,
    models=("policy",),
    supervision="none",
    paper="arXiv 2201.11903",
    build=lambda values, seed: cot(**values),
    parameters=(temperature(0.0), PROMPTING),
    needs=prompted,
    raw={"prompting": "plain"},
    serial="it is one call of the model",
)

_SELF_CONSISTENCY = Scheme(
    name="self_consistency",
    family="chains",
    summary="majority vote over independent chains",
    structure="chains",
    step="thought",
    strategy="majority voting",
    operators=_OPERATORS,
    models=("policy",),
    supervision="none",
    paper="arXiv 2203.11171",
    build=lambda values, seed: self_consistency(**values),
    parameters=(whole("n", 40, "chains"), temperature(0.7), BLOCK, stop_score(None), PROMPTING),
    needs=prompted,
    raw={"prompting": "plain"},
    fill={"n": ENDLESS},
)

_BEST_OF_N = Scheme(
    name="best_of_n",
    family="chains",
    summary="the verifier's choice among independent chains",
    structure="chains",
    step="thought",
    strategy="best-of-N",
    operators=_OPERATORS,
    models=("policy", "outcome verifier", "step verifier"),
    supervision="outcome labels (arXiv 2110.14168) or step labels (arXiv 2305.20050)",
    paper="arXiv 2110.14168",
    build=lambda values, seed: best_of_n(**values),
    parameters=(
        whole("n", 100, "chains"),
        select("best"),
        Parameter(
            "by",
            "choice",
            "auto",
            "whose scores count: an outcome verifier's (else that of the last step), a process verifier's "
            "(the steps', aggregated), or the outcome verifier's where there is one and else the steps'",
            choices=("auto", "orm", "prm"),
        ),
        Parameter(
            "aggregation",
            "choice",
            None,
            "how the step scores of a path become one; none: prod for by=prm, otherwise last",
            choices=("last", "min", "prod", "mean"),
            optional=True,
        ),
        temperature(0.7),
        BLOCK,
        stop_score(None),
        PROMPTING,
    ),
    needs=_scored,
    raw={"prompting": "plain"},
    fill={"n": ENDLESS},
)

_WEIGHTED_VOTE = Scheme(
    name="weighted_vote",
    family="chains",
    summary="vote over independent chains, weighted by a verifier",
    structure="chains",
    step="thought",
    strategy="weighted voting",
    operators=_OPERATORS,
    models=("policy", "outcome verifier", "step verifier"),
    supervision="step labels from rollouts",
    paper="arXiv 2408.03314",
    build=lambda values, seed: weighted_vote(**values),
    parameters=(
        whole("n", 100, "chains"),
        aggregation("last"),
        temperature(0.7),
        BLOCK,
        stop_score(None),
        PROMPTING,
    ),
    needs=_scored,
    raw={"prompting": "plain"},
    fill={"n": ENDLESS},
)

SCHEMES = (_COT, _SELF_CONSISTENCY, _BEST_OF_N, _WEIGHTED_VOTE)
