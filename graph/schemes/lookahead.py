"""Beam search whose candidates are scored by looking ahead (Snell et al., arXiv 2408.03314, §5.2)."""

from __future__ import annotations

from ..records import Operator
from .base import Scheme, step_scores
from .beam import FILL, beam_parameters, build_beam
from .common import whole

_LOOKAHEAD = Scheme(
    name="lookahead",
    family="beams and trees",
    summary="beam search that scores a step by what the verifier says k greedy steps later",
    structure="tree",
    step="thought",
    strategy="beam search with rollouts",
    operators=(Operator.GENERATE, Operator.EVALUATE, Operator.PRUNE, Operator.SELECT),
    models=("policy", "step verifier"),
    supervision="step labels from rollouts",
    paper="arXiv 2408.03314",
    build=lambda values, seed: build_beam(values, "lookahead"),
    parameters=beam_parameters(
        whole("lookahead", 3, "k: greedy steps beyond a candidate; 0 is beam search", minimum=0)
    ),
    needs=step_scores,
    fill=FILL,
)

SCHEMES = (_LOOKAHEAD,)
