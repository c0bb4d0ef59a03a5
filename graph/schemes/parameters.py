"""Parameters of schemes: typed, documented, checked, readable from a command line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import UnknownNameError, UserError
from ..records import Scalar

Value = Scalar

ParameterType = Literal["int", "float", "bool", "choice", "text"]

_WORDS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a scheme."""

    name: str
    type: ParameterType
    default: Value
    doc: str
    minimum: float | None = None
    """Lowest value allowed."""
    maximum: float | None = None
    """Highest value allowed."""
    above: float | None = None
    """Every value allowed is higher than this one."""
    choices: tuple[str, ...] = ()
    """The values of a `choice`."""
    optional: bool = False
    """Whether None is a value; on a command line: `none`."""

    @property
    def allowed(self) -> str:
        """The values allowed, in words."""
        if self.type == "choice":
            words = f"one of {', '.join(self.choices)}"
        elif self.type == "bool":
            words = "true or false"
        elif self.type == "text":
            words = "text"
        else:
            words = "a whole number" if self.type == "int" else "a number"
            bounds = [
                f"{sign} {bound:g}"
                for sign, bound in (("≥", self.minimum), (">", self.above), ("≤", self.maximum))
                if bound is not None
            ]
            words = " ".join([words, " and ".join(bounds)]).strip()
        return f"{words}, or none" if self.optional else words

    def read(self, given: object) -> Value:
        """Return the value that a caller or a command line gave.

        Raises:
            UserError: if it is not allowed.
        """
        value = self._read(given)
        if value is None and not (self.optional and (given is None or _word(given) == "none")):
            raise UserError(f"{self.name}={given!r} is not possible; give {self.allowed}")
        return value

    def _read(self, given: object) -> Value:
        if self.type == "choice":
            return given if isinstance(given, str) and given in self.choices else None
        if self.type == "bool":
            return given if isinstance(given, bool) else _WORDS.get(_word(given))
        if self.type == "text":
            return given if isinstance(given, str) and given.strip() and _word(given) != "none" else None
        if isinstance(given, bool) or not isinstance(given, int | float | str):
            return None
        try:
            number = int(given) if self.type == "int" else float(given)
        except (ValueError, OverflowError):
            return None
        if not math.isfinite(number) or (isinstance(given, float) and number != given):
            return None
        too_low = self.minimum is not None and number < self.minimum
        too_low = too_low or (self.above is not None and number <= self.above)
        if too_low or (self.maximum is not None and number > self.maximum):
            return None
        return number


def read_parameters(
    scheme: str, parameters: Sequence[Parameter], given: Mapping[str, object]
) -> dict[str, Value]:
    """Return every parameter's value: as given, or its default.

    Raises:
        UnknownNameError: for a name that the scheme does not have.
        UserError: for a value that is not allowed.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name in given:
        if name not in known:
            if not known:
                raise UserError(f"scheme {scheme!r} has no parameters; leave out {name!r}")
            raise UnknownNameError(f"parameter of {scheme}", name, known)
    values: dict[str, Value] = {}
    for name, parameter in known.items():
        try:
            values[name] = parameter.read(given[name]) if name in given else parameter.default
        except UserError as error:
            raise UserError(f"scheme {scheme!r}: {error}") from None
    return values


def _word(given: object) -> str:
    return given.strip().lower() if isinstance(given, str) else ""
