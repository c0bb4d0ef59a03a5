"""What a scheme is: a named composition with the published constants, and its row of the Blueprint's table.

The columns are those of Table 1 of "Reasoning Language Models: A Blueprint" (arXiv 2501.11223): structure, step, strategy, operators, models,
supervision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..records import Operator
from ..strategies.base import Strategy
from .parameters import Parameter, Value

Family = Literal["chains", "beams and trees", "Monte-Carlo tree search", "graphs", "sampling", "meta"]
Structure = Literal["chain", "chains", "tree", "graph", "nested"]
Model = Literal[
    "policy",
    "outcome verifier",
    "step verifier",
    "value model",
    "preference model",
    "discriminator",
    "controller",
]

Values = Mapping[str, Any]
"""Checked values of a scheme's parameters, one for each declared."""

Build = Callable[[Values, int], Strategy[Any]]
"""Makes a strategy of checked parameters and a seed. Raises UserError on values that do not go together."""

Needs = Callable[[Values], frozenset[str]]
"""What a search cannot do without, with these parameters; see `Scheme.needs`."""


def nothing(values: Values) -> frozenset[str]:
    """Return no needs."""
    return frozenset()


def scores(values: Values) -> frozenset[str]:
    """Return the need of a verifier: one that scores steps, or one that checks outcomes."""
    return frozenset({"scores"})


def step_scores(values: Values) -> frozenset[str]:
    """Return the need of a verifier that scores unfinished thoughts: a search that compares them is blind without."""
    return frozenset({"step_scores"})


@dataclass(frozen=True, slots=True)
class Scheme:
    """A named composition and its row of the Blueprint's table."""

    name: str
    family: Family
    summary: str
    """What it does, in one line."""
    structure: Structure
    step: str
    """What one thought is."""
    strategy: str
    """The reasoning strategy, in the Blueprint's words."""
    operators: tuple[Operator, ...]
    """Operators that its log may hold, beside select and evaluate of the answer: tested against what searches log."""
    models: tuple[Model, ...]
    """Models it can use; those it cannot do without are in `needs`."""
    supervision: str
    """What its models are trained on in the paper."""
    paper: str
    """arXiv number, or another reference."""
    build: Build = field(repr=False)
    parameters: tuple[Parameter, ...] = ()
    needs: Needs = field(default=nothing, repr=False)
    """Names of what it needs of a team: `scores` (a verifier of steps or outcomes), `step_scores` (of steps), an action (`agents.actions`), `agent:NAME`."""
    raw: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """Parameters for models that only continue text, where they differ from the defaults; filled in where the user set nothing."""
    fill: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """Parameters with which it goes on until the budget is spent: what `compare` runs it with."""
    serial: str = ""
    """Why its model calls cannot overlap within one search; "" where they do."""
