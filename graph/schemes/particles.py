"""Particle filtering and particle Gibbs over steps; see `strategies/particles.py` for source and weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from ..records import Operator
from ..strategies.base import Strategy
from ..strategies.evaluation import Stop
from ..strategies.expansion import Sampler
from ..strategies.particles import Particles, Survivors
from ..strategies.search import TreeSearch
from .base import Scheme, step_scores
from .common import ENDLESS, aggregation, samples, select, stop_score, temperature, whole
from .parameters import Parameter


def _filter(values: Mapping[str, Any], seed: int) -> Strategy[Any]:
    return _search("particle_filter", values, seed)


def _gibbs(values: Mapping[str, Any], seed: int) -> Strategy[Any]:
    if values["references"] >= values["n"]:
        raise UserError(
            f"scheme 'particle_gibbs': references={values['references']} leaves no free particle of {values['n']}; "
            "give references < n"
        )
    return _search("particle_gibbs", values, seed, values["iterations"], values["references"])


def _search(
    name: str, values: Mapping[str, Any], seed: int, iterations: int = 1, references: int = 0
) -> Strategy[Any]:
    selector = Particles(
        values["n"],
        values["max_steps"],
        values["aggregation"],
        values["resampling"],
        values["sharpness"],
        values["temperature"],
        seed,
        iterations,
        references,
    )
    answer = Survivors(values["select"], values["aggregation"])
    stop = Stop(values["stop_score"])
    return TreeSearch(name, selector, Sampler(values["n"], distinct=False), answer, stop=stop)


_OPERATORS = (Operator.GENERATE, Operator.EVALUATE, Operator.PRUNE, Operator.SELECT)
_N = samples("n", 16, "particles")
_COMMON = (
    whole("max_steps", 40, "rounds at most, each one step of every particle"),
    aggregation("last"),
    Parameter(
        "resampling",
        "choice",
        "multinomial",
        "how the next population is drawn: independently, or evenly spaced along the weights",
        choices=("multinomial", "systematic"),
    ),
    Parameter(
        "sharpness", "float", 1.0, "temperature of the weights; higher makes them more even", above=0.0
    ),
    select("best"),
    temperature(None),
    stop_score(None),
)

_FILTER = Scheme(
    name="particle_filter",
    family="sampling",
    summary="particles that take steps and are drawn anew by their scores",
    structure="chains",
    step="thought",
    strategy="particle filtering",
    operators=_OPERATORS,
    models=("policy", "step verifier"),
    supervision="step labels",
    paper="arXiv 2502.01618",
    build=_filter,
    parameters=(_N, *_COMMON),
    needs=step_scores,
)

_GIBBS = Scheme(
    name="particle_gibbs",
    family="sampling",
    summary="particle filtering again and again, each time around a path retained from the last",
    structure="chains",
    step="thought",
    strategy="particle Gibbs",
    operators=_OPERATORS,
    models=("policy", "step verifier"),
    supervision="step labels",
    paper="arXiv 2502.01618",
    build=_gibbs,
    parameters=(
        _N,
        whole("iterations", 2, "times the filter runs"),
        whole("references", 1, "particles retained from one time to the next"),
        *_COMMON,
    ),
    needs=step_scores,
    fill={"iterations": ENDLESS},
)

SCHEMES = (_FILTER, _GIBBS)
