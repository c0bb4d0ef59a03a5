"""A reasoning graph as a Mermaid flowchart, for Markdown pages, issues and notebooks.

Mermaid reads labels as Markdown and HTML, expands `#…;` entities, looks for directives anywhere in the source and for colours wherever a line
says `style`; so every character with a meaning there is written as an entity, and a thought is never more than a label. With the default number of
thoughts a diagram stays below Mermaid's own limits, 500 edges and 50,000 characters, whatever the thoughts say.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .display_text import clean, shorten
from .drawing import Drawing, Row, draw

if TYPE_CHECKING:
    from .view import ReasoningGraph

_LABEL = 60
_MAX_FURTHER_EDGES = 200

_STYLES = (
    "classDef best stroke:#1a7f37,stroke-width:3px",
    "classDef refuted stroke:#999,color:#888,stroke-dasharray:4 3",
    "classDef more stroke:#bbb,color:#777,stroke-dasharray:1 3",
)
_MEANINGFUL = re.compile(
    r"""["#;<>&\[\]{}|\\%*_`~$@]"""  # quoting, entities, HTML, shapes, directives, emphasis, formulas, addresses
    r"|^[-+](?=\s|-|$)|(?:(?<=^\d)|(?<=^\d\d)|(?<=^\d\d\d))[.)](?=\s|$)"  # rules and lists
    r"|:(?=/)|(?<=www)\.",  # links
    re.IGNORECASE,
)


def mermaid_flowchart(graph: ReasoningGraph, max_thoughts: int) -> str:
    """Return the graph as Mermaid source; see `ReasoningGraph.to_mermaid`."""
    drawing = draw(graph, max_thoughts)
    lines = ["flowchart TD"]
    if not drawing.rows:
        lines.append(f'  t0["{_escaped(graph.problem.question)}"]')
    for index, row in enumerate(drawing.rows):
        lines += _row_lines(drawing, index, row)
    further, undrawn = _further_edges(drawing)
    lines += further
    left_out = len(graph.thoughts) - drawing.shown
    if left_out or undrawn:
        links = f", {undrawn:,} further parent links not drawn" if undrawn else ""
        lines.append(f'  rest["{drawing.shown:,} of {len(graph.thoughts):,} thoughts shown{links}"]')
    return "\n".join([*lines, *_classes(drawing, bool(left_out or undrawn))]) + "\n"


def _row_lines(drawing: Drawing, index: int, row: Row) -> list[str]:
    if row.thought is None:
        return [f'  t{index}["{row.leftover}"]', f"  t{row.parent} -.- t{index}"]
    facts = " · ".join(drawing.facts(row))
    second = f"<br/>{_escaped(facts, 100)}" if facts else ""
    lines = [f'  t{index}["{_escaped(drawing.text(row.thought))}{second}"]']
    if row.parent >= 0:
        mark = drawing.mark(row.thought)
        arrow = "-.->" if mark == "✗" or row.gap else "==>" if mark == "✓" else "-->"
        lines.append(f"  t{row.parent} {arrow} t{index}")
    return lines


def _further_edges(drawing: Drawing) -> tuple[list[str], int]:
    """Return the edges from parents other than the first, and how many had no place."""
    places = {row.thought.id: index for index, row in enumerate(drawing.rows) if row.thought}
    edges = [
        f"  t{places[parent]} --> t{index}" if parent in places else None
        for index, row in enumerate(drawing.rows)
        if row.thought
        for parent in row.thought.parents[1:]
    ]
    drawn = [edge for edge in edges if edge is not None][:_MAX_FURTHER_EDGES]
    return drawn, len(edges) - len(drawn)


def _classes(drawing: Drawing, truncated: bool) -> list[str]:
    of_mark: dict[str, list[str]] = {"✓": [], "✗": [], "": []}
    for index, row in enumerate(drawing.rows):
        mark = drawing.mark(row.thought) if row.thought else ""
        if mark in of_mark:
            of_mark[mark].append(f"t{index}")
    if truncated:
        of_mark[""].append("rest")
    names = zip(of_mark.values(), ("best", "refuted", "more"), _STYLES, strict=True)
    used = [(ids, name, style) for ids, name, style in names if ids]
    return [f"  {style}" for _, _, style in used] + [
        f"  class {','.join(ids)} {name}" for ids, name, _ in used
    ]


def _escaped(text: str, width: int = _LABEL) -> str:
    """Return one line of a label."""
    line = _MEANINGFUL.sub(_entities, shorten(clean(text), width))
    return line.replace(":", "#58;") if re.search("style|classDef", line, re.IGNORECASE) else line


def _entities(match: re.Match[str]) -> str:
    return "".join(f"#{ord(character)};" for character in match[0])
