"""The budgets that schemes are compared at: one limit in several sizes, the others fixed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...graph.budget import check_limits
from ...graph.errors import UserError
from ...graph.records import Budget


@dataclass(frozen=True, slots=True)
class Budgets:
    """A limit with the values it takes, and limits that stay the same.

    Raises:
        UserError: if there are no values, or a budget of these could be kept by no search.
    """

    limit: str
    """A field of `Budget`."""
    values: tuple[float, ...]
    """Ascending."""
    others: Mapping[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        if not self.values:
            raise UserError(f"no budget to compare at; give values such as {self.limit}=500,1000")
        for value in self.values:
            self.budget(value)

    @classmethod
    def of(cls, limits: Mapping[str, Sequence[float]]) -> Budgets:
        """Return the budgets of limits with lists of values, of which one may have more than one.

        Raises:
            UserError: if two limits have several values, a value is there twice, or a limit is unknown or impossible.
        """
        check_limits(limits)
        several = [name for name, values in limits.items() if len(values) > 1]
        if len(several) > 1:
            raise UserError(
                f"the budgets of {' and '.join(several)} are lists; give several values to one limit only"
            )
        main = several[0] if several else ("tokens" if "tokens" in limits else next(iter(limits), "tokens"))
        values = tuple(sorted(limits.get(main, ())))
        if len(set(values)) < len(values):
            raise UserError(f"a budget of {main} is given twice; give it once")
        return cls(main, values, {name: found[0] for name, found in limits.items() if name != main})

    def budget(self, value: float) -> Budget:
        """Return the budget with this value of the limit."""
        return Budget(**{**self.others, self.limit: value})  # pyright: ignore[reportArgumentType] - counts are whole

    @property
    def keys(self) -> tuple[str, ...]:
        """The values as text: how files name them."""
        return tuple(key(value) for value in self.values)


def key(value: float) -> str:
    """Return a budget's value as text: `500`, `0.25`."""
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(value)
