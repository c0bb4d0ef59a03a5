"""Schemes: named compositions with the published constants, each a row of the Blueprint's table."""

from .base import Scheme
from .parameters import Parameter
from .registry import GROUP, defaults, get_scheme, make_strategy, pin, schemes

__all__ = ["GROUP", "Parameter", "Scheme", "defaults", "get_scheme", "make_strategy", "pin", "schemes"]
