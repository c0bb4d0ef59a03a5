"""A reasoning graph as HTML for notebooks: an outline drawn in inline SVG.

Self-contained: no script, no network, no identifiers or styles that could touch the page around it. Colours follow the page's own text colour, so
dark themes work. The size is bounded whatever the graph: fewer thoughts are drawn until it fits.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from .display_text import cells, clean, shorten
from .drawing import Drawing, Row, draw
from .records import Thought

if TYPE_CHECKING:
    from .view import ReasoningGraph

MAX_BYTES = 200_000
"""Bound of the HTML in UTF-8."""
_MAX_THOUGHTS = 150
_MAX_LEVEL = 24
_LABEL = 80
_TOOLTIP = 240
_MAX_LINKS = 200

_ROW, _INDENT, _MARGIN = 24, 22, 14
_CELL = 7.0
"""Width of a character in pixels, on the generous side."""
_GREEN, _RED, _BLUE, _VIOLET = "#2da44e", "#cf222e", "#3b82f6", "#a371f7"


def html_drawing(graph: ReasoningGraph) -> str:
    """Return the graph as HTML; see `ReasoningGraph._repr_html_`."""
    limit = _MAX_THOUGHTS
    page = _page(draw(graph, limit, max_level=_MAX_LEVEL))
    while len(page.encode()) > MAX_BYTES:
        limit //= 2
        page = _page(draw(graph, limit, max_level=_MAX_LEVEL))
    return page


def _page(drawing: Drawing) -> str:
    graph = drawing.graph
    colour = _GREEN if graph.answer is not None else "inherit"
    return (
        '<div class="thoughtgraph" style="font:13px/1.5 system-ui,sans-serif;overflow-x:auto">'
        f"{_svg(drawing) if drawing.rows else _safe(graph.problem.question, 400)}"
        f'<div style="color:{colour};font-weight:600">{_safe(drawing.conclusion, 400)}</div>'
        f'<div style="opacity:.65;font-size:12px">{escape(drawing.summary)}{_legend(drawing)}</div>'
        "</div>"
    )


def _svg(drawing: Drawing) -> str:
    rows = drawing.rows
    labels = [_label(drawing, row) for row in rows]
    longest = max(
        _x(row) + _CELL * cells(label + facts) for row, (label, facts) in zip(rows, labels, strict=True)
    )
    width, height = round(longest) + 3 * _MARGIN, _ROW * len(rows) + 8
    body = [*_branches(drawing), _links(drawing)]
    body += [_node(drawing, i, row, *label) for i, (row, label) in enumerate(zip(rows, labels, strict=True))]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="tree of thoughts" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" font-family="system-ui,sans-serif" font-size="12.5" '
        f'style="display:block;max-width:none">{"".join(body)}</svg>'
    )


def _node(drawing: Drawing, index: int, row: Row, label: str, facts: str) -> str:
    x, y, thought = _x(row), _y(index), row.thought
    text = f'<text x="{x + 11}" y="{y + 4}" fill="currentColor"'
    if thought is None:
        return f'{text} fill-opacity=".6" font-style="italic">{escape(label, quote=False)}</text>'
    mark = drawing.mark(thought)
    colour = {"✓": _GREEN, "✗": _RED}.get(mark, _BLUE)
    weight = {"✓": ' font-weight="600"', "✗": ' fill-opacity=".55"'}.get(mark, "")
    score = next(iter(drawing.graph.scores(thought.id).values()), 0.0)
    tail = (
        f'<tspan dx="10" font-weight="400" fill-opacity=".6">{escape(facts, quote=False)}</tspan>'
        if facts
        else ""
    )
    return (
        f"<g><title>{_tooltip(drawing, thought)}</title>"
        f'<circle cx="{x}" cy="{y}" r="5" fill="{colour}" fill-opacity="{score:.2f}" stroke="{colour}"/>'
        f"{text}{weight}>{escape(label, quote=False)}{tail}</text></g>"
    )


def _label(drawing: Drawing, row: Row) -> tuple[str, str]:
    if row.thought is None:
        return row.leftover, ""
    mark = drawing.mark(row.thought)
    label = shorten(drawing.text(row.thought), _LABEL)
    return label if mark == "·" else f"{mark} {label}", shorten(" · ".join(drawing.facts(row)), 2 * _LABEL)


def _tooltip(drawing: Drawing, thought: Thought) -> str:
    """Return the text at more length, with the source of every newest score."""
    kinds = ("rule", "step", "value", "outcome", "critique")
    found = [e for kind in kinds if (e := drawing.graph.score(thought.id, kind)) is not None]
    sources = "; ".join(f"{e.kind} from {shorten(clean(e.source), 60)}" for e in found)
    text = _safe(thought.text, _TOOLTIP)
    return f"{text}\n{escape(sources, quote=False)}" if sources else text


def _branches(drawing: Drawing) -> list[str]:
    """Return the lines from parents to children, one SVG path a style."""
    styles = {
        "·": 'stroke="currentColor" stroke-opacity=".3"',
        "✗": f'stroke="{_RED}" stroke-opacity=".5" stroke-dasharray="3 3"',
        "": 'stroke="currentColor" stroke-opacity=".3" stroke-dasharray="1 4"',
        "✓": f'stroke="{_GREEN}" stroke-width="2.5"',
    }
    lines: dict[str, list[str]] = {mark: [] for mark in styles}
    for index, row in enumerate(drawing.rows):
        if row.parent >= 0:
            mark = drawing.mark(row.thought) if row.thought and not row.gap else ""
            x, end = _x(drawing.rows[row.parent]), _x(row) - (6 if row.thought else -6)
            lines[mark].append(f"M{x} {_y(row.parent) + 6}V{_y(index)}H{end}")
    return [f'<path fill="none" {styles[m]} d="{"".join(d)}"/>' for m, d in lines.items() if d]


def _links(drawing: Drawing) -> str:
    """Return curves from parents other than the first, where both ends are shown."""
    places = {row.thought.id: index for index, row in enumerate(drawing.rows) if row.thought}
    curves: list[str] = []
    for index, row in enumerate(drawing.rows):
        for parent in row.thought.parents[1:] if row.thought else ():
            if parent in places and len(curves) < _MAX_LINKS:
                x, y = _x(drawing.rows[places[parent]]), _y(places[parent])
                bulge = min(x, _x(row)) - _INDENT * 2 // 3
                curves.append(f"M{x - 5} {y}C{bulge} {y} {bulge} {_y(index)} {_x(row) - 5} {_y(index)}")
    style = f'fill="none" stroke="{_VIOLET}" stroke-width="1.5" stroke-dasharray="5 3"'
    return f'<path {style} d="{"".join(curves)}"/>' if curves else ""


def _legend(drawing: Drawing) -> str:
    marks = {drawing.mark(row.thought) for row in drawing.rows if row.thought}
    parts = ["✓ on the way to the answer"] * ("✓" in marks) + ["✗ refuted by a rule"] * ("✗" in marks)
    parts += ["fuller dot: higher score"] * bool(drawing.rows)
    parts += ["violet: further parents"] * any(r.thought and len(r.thought.parents) > 1 for r in drawing.rows)
    return " — " + " · ".join(parts) if parts else ""


def _safe(text: str, width: int) -> str:
    return escape(shorten(clean(text), width), quote=False)


def _x(row: Row) -> int:
    return _MARGIN + _INDENT * row.level


def _y(index: int) -> int:
    return _ROW * index + _ROW // 2 + 4
