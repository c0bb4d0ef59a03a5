"""Beam search over steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from ..records import Operator
from ..strategies.base import Strategy
from ..strategies.beam import beam
from .base import Scheme, step_scores
from .common import ENDLESS, MERGE_STATES, aggregation, samples, select, stop_score, temperature, whole
from .parameters import Parameter

MAX_STEPS = whole("max_steps", 40, "rounds at most")
REPEATS = whole(
    "repeats", 1, "searches from the root, one after another, whose solutions are chosen from together"
)
FILL = {"repeats": ENDLESS}


def beam_parameters(lookahead: Parameter | None = None) -> tuple[Parameter, ...]:
    """Return the parameters of beam search, with this one for the lookahead."""
    return (
        samples("beams", 16, "N: candidates a round"),
        samples("width", 4, "M: continuations of each kept thought; N // M are kept"),
        *(() if lookahead is None else (lookahead,)),
        MAX_STEPS,
        REPEATS,
        select("weighted", joint=True),
        aggregation("last"),
        temperature(None),
        stop_score(None),
        MERGE_STATES,
    )


def build_beam(values: Mapping[str, Any], name: str) -> Strategy[Any]:
    """Return beam search under this name.

    Raises:
        UserError: if the width leaves no beam.
    """
    if values["width"] > values["beams"]:
        raise UserError(
            f"scheme {name!r}: width={values['width']} leaves no beam of {values['beams']}; give width ≤ beams"
        )
    return beam(**values, name=name)


_BEAM = Scheme(
    name="beam",
    family="beams and trees",
    summary="beam search over steps with a verifier",
    structure="tree",
    step="thought",
    strategy="beam search",
    operators=(Operator.GENERATE, Operator.EVALUATE, Operator.PRUNE, Operator.SELECT),
    models=("policy", "step verifier"),
    supervision="step labels from rollouts",
    paper="arXiv 2408.03314",
    build=lambda values, seed: build_beam(values, "beam"),
    parameters=beam_parameters(),
    needs=step_scores,
    fill=FILL,
)

SCHEMES = (_BEAM,)
