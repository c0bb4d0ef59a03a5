"""What the rows of searches by iterations share (`strategies/paths.py`): parameters, operators, how they are filled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from ..records import Operator
from ..strategies.expansion import Prior, Sampler
from .common import ENDLESS, whole
from .parameters import Parameter, Value

OPERATORS = (
    Operator.GENERATE,
    Operator.SELECT,
    Operator.EVALUATE,
    Operator.BACKPROPAGATE,
    Operator.BACKTRACK,
    Operator.PRUNE,
)

PATIENCE = 3
"""Requests in a row without a new living child after which a thought is given up, however often it may be expanded; see `Descent.patience`."""

AGAIN = whole(
    "max_expansions", 1, "expansions of one thought at most, the later ones once nothing below it is open"
)
WIDENING = Parameter(
    "widening",
    "float",
    None,
    "samples per √visits up to which a thought is expanded again beside its children; none: as published",
    above=0.0,
    optional=True,
)
HEATING = Parameter(
    "heating",
    "float",
    0.0,
    "added to the temperature at each further expansion of a thought, up to 2",
    minimum=0.0,
)


def fill(iterations: str) -> dict[str, Value]:
    """Return the parameters with which a search goes on until its budget is spent, or until its model has nothing new to say.

    Args:
        iterations: the parameter that counts iterations.
    """
    return {iterations: ENDLESS, "max_expansions": ENDLESS}


def sampler(values: Mapping[str, Any], prior: Prior | None = None) -> Sampler:
    """Return the expander of these values.

    Raises:
        UserError: on heating without a temperature.
    """
    if values["heating"] and values["temperature"] is None:
        raise UserError("heating raises a temperature; give one, or leave heating out")
    return Sampler(
        values["branching"],
        temperature=values["temperature"],
        heating=values["heating"],
        merge=True,
        prior=prior,
    )
