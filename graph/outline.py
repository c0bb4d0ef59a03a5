"""The tree as lines of text, plain or with colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .display_text import cells, clean, shorten
from .drawing import Drawing, Row, draw
from .errors import UserError

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from .view import ReasoningGraph

MIN_WIDTH = 40
_MAX_LEVEL = 16
"""Indentation stops here; deeper rows stand below each other and name their depth."""


def text_tree(graph: ReasoningGraph, max_thoughts: int, width: int) -> str:
    """Return the tree as plain text; see `ReasoningGraph.to_text`."""
    if width < MIN_WIDTH:
        raise UserError(f"cannot draw a tree {width} cells wide; give width={MIN_WIDTH} or more")
    drawing = draw(graph, max_thoughts, whole_path=True, max_level=min(_MAX_LEVEL, width // 8))
    last = {row.parent: index for index, row in enumerate(drawing.rows)}
    lines: list[str] = [] if drawing.rows else [shorten(clean(graph.problem.question), width)]
    stems: list[str] = []
    for index, row in enumerate(drawing.rows):
        ends = last[row.parent] == index
        stem = "" if index == 0 else stems[row.parent] + ("└── " if ends else "├── ")
        stems.append("" if index == 0 else stems[row.parent] + ("    " if ends else "│   "))
        lines.append(stem + _line(drawing, row, width - len(stem)))
    tail = (drawing.conclusion, drawing.summary)
    return "\n".join([*lines, *(shorten(line, width) for line in tail)])


def rich_tree(graph: ReasoningGraph, max_thoughts: int) -> Tree:
    """Return the tree for a colour terminal; see `ReasoningGraph.to_rich`."""
    from rich.text import Text
    from rich.tree import Tree

    drawing = draw(graph, max_thoughts, whole_path=True, max_level=_MAX_LEVEL)
    root = graph.root
    question = drawing.text(root) if root else clean(graph.problem.question)
    title = Text(shorten(question, 400), style="bold")
    title.append(
        f"\n{shorten(drawing.conclusion, 400)}", style="green" if graph.answer is not None else "yellow"
    )
    title.append(f"\n{drawing.summary}", style="dim")
    trees = [Tree(title, guide_style="dim")]
    for row in drawing.rows[1:]:
        trees.append(trees[row.parent].add(_label(drawing, row)))
    return trees[0]


def _label(drawing: Drawing, row: Row) -> Text:
    from rich.text import Text

    if row.thought is None:
        return Text(row.leftover, style="dim italic")
    mark = drawing.mark(row.thought)
    mark_style, text_style = {"✓": ("bold green", "bold"), "✗": ("red", "dim")}.get(mark, ("dim", ""))
    label = Text(mark, style=mark_style, overflow="fold")
    label.append(f" {shorten(drawing.text(row.thought), 400)}", style=text_style)
    facts = drawing.facts(row)
    return label.append(f"  {' · '.join(facts)}", style="cyan") if facts else label


def _line(drawing: Drawing, row: Row, width: int) -> str:
    """Return a row's words in at most `width` cells; facts get half, or what the text leaves if that is more."""
    if row.thought is None:
        return shorten(row.leftover, width)
    head = "" if row.parent < 0 else drawing.mark(row.thought) + " "
    room, text = width - len(head), drawing.text(row.thought)
    facts = " · ".join(drawing.facts(row))
    if not facts:
        return head + shorten(text, room)
    tail = "  " + shorten(facts, max(room // 2, room - cells(text)) - 2)
    return head + shorten(text, room - cells(tail)) + tail
