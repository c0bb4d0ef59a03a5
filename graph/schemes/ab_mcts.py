"""AB-MCTS (arXiv 2503.04412; code: treequest): go wider or deeper, as Thompson sampling says; see `strategies/thompson.py`.

`ab_mcts_a` has a posterior of its own for each arm, `ab_mcts_m` one mixed model of them all, in which answers with 4 scores or more at and below
them, 75 % of these equal, do not compete. The best-scored answer wins.
"""

from __future__ import annotations

from ..errors import UserError
from ..records import Operator
from ..strategies.evaluation import Stop
from ..strategies.expansion import Sampler
from ..strategies.posteriors import Beta, Gaussian
from ..strategies.search import TreeSearch
from ..strategies.thompson import Aggregated, Arms, MixedModel, Model, Thompson
from ..strategies.voting import BestSolution
from .base import Scheme, Values
from .common import ENDLESS, choice, stop_score, temperature, whole
from .parameters import Parameter

GENERATOR = "generator"
"""The name of the team's own generator among the arms."""


def _agents(values: Values) -> tuple[str, ...]:
    """Return the agents to choose from, by the names that requests ask for them."""
    names = [name.strip() for name in (values["arms"] or "").split(",")] if values["arms"] else []
    if not all(names) or len(set(names)) < len(names):
        raise UserError(
            f"arms={values['arms']!r} is not a list of different names; give agents' names with commas between"
        )
    return ("", *(name for name in names if name != GENERATOR))


def _needs(values: Values) -> frozenset[str]:
    return frozenset({"scores"} | {f"agent:{name}" for name in _agents(values) if name})


def _ab_mcts_a(values: Values, seed: int) -> TreeSearch[Arms]:
    if values["prior"] == "beta" and values["draw"] == "score":
        raise UserError("scheme 'ab_mcts_a': draw=score is for the Gaussian prior; leave it out")
    prior = Beta() if values["prior"] == "beta" else Gaussian(predictive=values["draw"] == "score")
    return _search("ab_mcts_a", values, seed, Aggregated(prior))


def _ab_mcts_m(values: Values, seed: int) -> TreeSearch[Arms]:
    return _search("ab_mcts_m", values, seed, MixedModel(), values["prune_size"], values["prune_share"])


def _search(
    name: str,
    values: Values,
    seed: int,
    model: Model,
    prune_size: int | None = None,
    prune_share: float = 1.0,
) -> TreeSearch[Arms]:
    agents, heat = _agents(values), values["temperature"]
    selector = Thompson(values["n"], model, agents, seed, heat, prune_size, prune_share)
    return TreeSearch(
        name, selector, Sampler(1, "solution"), BestSolution(None), stop=Stop(values["stop_score"])
    )


_OPERATORS = (
    Operator.GENERATE,
    Operator.REFINE,
    Operator.SELECT,
    Operator.EVALUATE,
    Operator.BACKPROPAGATE,
    Operator.PRUNE,
)
_N = whole("n", 128, "attempts")
_ARMS = Parameter(
    "arms",
    "text",
    None,
    "further agents that make attempts beside the generator, by name, with commas between",
    optional=True,
)

_A = Scheme(
    name="ab_mcts_a",
    family="Monte-Carlo tree search",
    summary="wider or deeper by Thompson sampling, each arm with a posterior of its own",
    structure="tree",
    step="solution",
    strategy="MCTS",
    operators=_OPERATORS,
    models=("policy", "outcome verifier", "step verifier"),
    supervision="none: an outside score",
    paper="arXiv 2503.04412",
    build=_ab_mcts_a,
    parameters=(
        _N,
        choice("prior", "gaussian", ("gaussian", "beta"), "belief about an arm's scores"),
        choice(
            "draw",
            "mean",
            ("mean", "score"),
            "what is drawn of a Gaussian arm: its mean (as published code does) or a next score (as the paper writes)",
        ),
        _ARMS,
        temperature(None),
        stop_score(1.0),
    ),
    needs=_needs,
    fill={"n": ENDLESS},
)

_M = Scheme(
    name="ab_mcts_m",
    family="Monte-Carlo tree search",
    summary="wider or deeper by Thompson sampling from one mixed model of all arms",
    structure="tree",
    step="solution",
    strategy="MCTS",
    operators=_OPERATORS,
    models=("policy", "outcome verifier", "step verifier"),
    supervision="none: an outside score",
    paper="arXiv 2503.04412",
    build=_ab_mcts_m,
    parameters=(
        _N,
        whole("prune_size", 4, "scores at and below an answer from which on it may be pruned"),
        Parameter(
            "prune_share", "float", 0.75, "share of equal scores at which it is", above=0.0, maximum=1.0
        ),
        _ARMS,
        temperature(None),
        stop_score(1.0),
    ),
    needs=_needs,
    fill={"n": ENDLESS},
)

SCHEMES = (_A, _M)
