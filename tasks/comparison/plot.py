"""The comparison drawn: share solved against the budget with 95 % intervals, as a PNG and as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...graph.display_text import cells, shorten
from ...graph.errors import UserError
from .budgets import key
from .entries import BASELINES
from .results import Row

COLUMNS = 4
"""Panels side by side, at most."""
BASELINE_STYLES = (("0.2", "--"), ("0.6", "-"))
"""Grey and line style of the baselines."""


INSTALL = "pip install -c constraints.txt '.[plot]' from the checkout brings matplotlib"
"""What to do where no picture can be drawn."""


def can_draw() -> bool:
    """Whether the picture can be drawn here, which needs matplotlib."""
    return find_spec("matplotlib") is not None


def require_matplotlib() -> None:
    """Raise UserError if the picture cannot be drawn here."""
    if not can_draw():
        raise UserError(f"the plot needs matplotlib; {INSTALL}, or give --no-plot")


def draw_png(rows: Sequence[Row], limit: str, path: Path) -> None:
    """Draw a panel for each entry, with the baselines in grey in every one, so that many entries stay readable.

    Args:
        rows: of all budgets.
        limit: what is limited: `tokens`.
        path: the file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    labels = list(dict.fromkeys(row.label for row in rows))
    columns = min(COLUMNS, math.ceil(math.sqrt(len(labels))))
    lines = math.ceil(len(labels) / columns)
    figure: Any = Figure(figsize=(3.0 * columns + 0.6, 2.6 * lines + 0.9), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    grid: Any = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    budgets = sorted({row.budget for row in rows})
    for place, axes in enumerate(grid.flat):
        if place >= len(labels):
            axes.set_visible(False)
            continue
        for label, (colour, style) in zip(BASELINES, BASELINE_STYLES, strict=True):
            of_label = [row for row in rows if row.label == label]
            if of_label:
                _line(axes, of_label, colour, style, label)
        _series(axes, [row for row in rows if row.label == labels[place]])
        bottom = place + columns >= len(labels)
        _frame(axes, labels[place], budgets, limit, bottom=bottom, left=place % columns == 0)
    handles, names = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path)


def draw_text(rows: Sequence[Row], limit: str, width: int = 100) -> str:
    """Return the same as text: a line for each entry and budget, the interval as a bar, the share as a dot.

    Args:
        rows: of all budgets.
        limit: what is limited.
        width: in cells of a terminal (≥ 40).
    """
    budget_width = max(len(limit), *(len(key(row.budget)) for row in rows))
    label_width = min(24, max(6, *(cells(row.label) for row in rows)))
    room = width - label_width - budget_width - 9
    header = f"{'scheme':<{label_width}}  {limit:>{budget_width}}  "
    lines = [header + _scale(room), " " * len(header) + _ruler(room)]
    for label in dict.fromkeys(row.label for row in rows):
        for i, row in enumerate(row for row in rows if row.label == label):
            name = shorten(label, label_width) if i == 0 else ""
            padded = name + " " * (label_width - cells(name))
            lines.append(f"{padded}  {key(row.budget):>{budget_width}}  {_bar(row, room)} {row.share:>6.1%}")
    return "\n".join(lines)


def _line(axes: Any, rows: Sequence[Row], colour: str, style: str, label: str) -> None:
    shares = [row.share for row in rows]
    axes.plot([row.budget for row in rows], shares, style, color=colour, linewidth=1.2, label=label)


def _series(axes: Any, rows: Sequence[Row]) -> None:
    """Draw the entry of a panel, with its intervals."""
    budgets, shares = [row.budget for row in rows], [row.share for row in rows]
    lows, highs = [row.interval.low for row in rows], [row.interval.high for row in rows]
    below = [share - low for share, low in zip(shares, lows, strict=True)]
    above = [high - share for share, high in zip(shares, highs, strict=True)]
    name = "the scheme, with its 95 % interval"
    axes.errorbar(
        budgets, shares, yerr=[below, above], color="C0", marker="o", markersize=4, capsize=3, label=name
    )
    axes.fill_between(budgets, lows, highs, color="C0", alpha=0.15, linewidth=0)


def _frame(axes: Any, title: str, budgets: Sequence[float], limit: str, *, bottom: bool, left: bool) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.grid(visible=True, color="0.9")
    axes.set_axisbelow(True)
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(budgets, [_amount(value) for value in budgets])
    axes.tick_params(labelsize=8)
    if bottom:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel(f"budget: {limit} a problem", fontsize=8)
    if left:
        axes.set_ylabel("solved", fontsize=8)


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 and value == int(value) else f"{value:g}"


def _bar(row: Row, room: int) -> str:
    """Return an interval as text, `room` cells for shares from 0 to 1."""
    low, dot, high = (_place(share, room) for share in (row.interval.low, row.share, row.interval.high))
    drawn = [" "] * room
    for i in range(low, high + 1):
        drawn[i] = "─"
    drawn[low], drawn[high] = "├", "┤"
    drawn[dot] = "●"
    return "".join(drawn)


def _scale(room: int) -> str:
    """Return the numbers above the ruler."""
    text = [" "] * (room + 4)
    for quarter in range(5):
        label = f"{25 * quarter}%"
        at = max(0, _place(quarter / 4, room) - len(label) // 2)
        text[at : at + len(label)] = label
    return "".join(text).rstrip()


def _ruler(room: int) -> str:
    ticks = {_place(quarter / 4, room) for quarter in range(5)}
    return "".join("┬" if i in ticks else "─" for i in range(room))


def _place(share: float, room: int) -> int:
    return round(share * (room - 1))
