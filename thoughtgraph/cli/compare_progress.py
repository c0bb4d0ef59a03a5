"""Progress of a comparison on stderr: one bar over all its searches, with the name of the cell at work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .output import short
from .progress import Bar, Silent

if TYPE_CHECKING:
    from ..storage.read import UnitSummary
    from ..tasks.comparison.cells import Cell, Plan


class CellBoard(Silent):
    """Shows nothing of a comparison."""

    def cell(self, cell: Cell, units: Sequence[UnitSummary]) -> None:
        """Learn which cell's turn it is, and how its units stand."""


class CellBar(Bar, CellBoard):
    """A bar over the searches of all cells, with the name of the one at work.

    Args:
        plan: what is searched.
        done: searches that ended before.
    """

    def __init__(self, plan: Plan, done: int) -> None:
        self._cells, self._begun, self._name = len(plan.cells), 0, ""
        super().__init__(len(plan.cells) * len(plan.items), done, 0, 0, period=600)

    def cell(self, cell: Cell, units: Sequence[UnitSummary]) -> None:
        """Name the cell."""
        self._begun += 1
        self._name = short(cell.name, 40)
        self.redraw()

    def _counts(self) -> str:
        failed = f", {self._failed} failed" if self._failed else ""
        return f"cell {self._begun} of {self._cells}: {self._name}{failed}"
