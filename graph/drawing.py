"""What every drawing of a reasoning graph has in common: which thoughts are shown, in what order, with which words.

A search may hold 100,000 thoughts in a chain or under one parent, so a drawing shows a bounded part and counts the rest. Which part: each thought
costs as many points as better siblings were passed over on the way to it (limited discrepancy), and the cheapest are shown. So the answer's path
comes first, then the best continuation of each near miss, then worse ones. Nothing here recurses.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .display_text import clean, shorten
from .errors import UserError
from .ledger import ToolCall
from .records import Evaluation, EvaluationKind, Thought

if TYPE_CHECKING:
    from .view import ReasoningGraph

_NAMED_PARENTS = 3
_SCORES: tuple[EvaluationKind, ...] = ("step", "value", "outcome")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a drawing: a thought, or the count of what is left out under `parent`."""

    parent: int
    """Index of the row it hangs from; -1 for the first."""
    level: int
    """Indentation, 0 for the first row."""
    thought: Thought | None
    gap: int = 0
    """Thoughts left out between its parent's row and it."""
    deep: bool = False
    """Whether it stands at a smaller level than it has."""
    siblings: int = 0
    """Without a thought: children of the parent's thought that are left out."""
    hidden: int = 0
    """Without a thought: those with everything below them."""

    @property
    def leftover(self) -> str:
        """What a row without a thought says."""
        if not self.siblings:
            return f"… and {self.hidden:,} more beside the steps left out"
        below = f" ({self.hidden:,} with all below)" if self.hidden > self.siblings else ""
        return f"… and {self.siblings:,} more{below}"


@dataclass(frozen=True, slots=True)
class Drawing:
    """The shown part of a graph, with what captions need to know of the whole."""

    graph: ReasoningGraph
    rows: tuple[Row, ...]
    """In preorder."""
    path: frozenset[str]
    """Ids on the way to the answer."""
    numbers: dict[str, int]
    """Places in order of creation, of the thoughts that captions refer to."""

    @property
    def shown(self) -> int:
        """How many thoughts are shown."""
        return sum(row.thought is not None for row in self.rows)

    def mark(self, thought: Thought) -> str:
        """Return ✗ for a refuted thought, ✓ for one on the way to the answer, else ·."""
        if self.graph.refutation(thought.id) is not None:
            return "✗"
        return "✓" if thought.id in self.path else "·"

    def text(self, thought: Thought) -> str:
        """Return a thought's clean text, with its number if another caption refers to it."""
        text = clean(thought.text) or "(no text)"
        return f"#{self.numbers[thought.id]} {text}" if thought.id in self.numbers else text

    def facts(self, row: Row) -> list[str]:
        """Return what is known of a row's thought, each fact clean and short."""
        thought, graph = row.thought, self.graph
        if thought is None:
            return []
        refuted = graph.refutation(thought.id)
        facts = [] if refuted is None else [f"refuted: {shorten(clean(refuted), 60)}"]
        facts += [_score(e) for kind in _SCORES if (e := graph.score(thought.id, kind)) is not None]
        facts += [_called(call) for call in graph.tool_calls.get(thought.id, ()) if call.asked]
        if thought.answer is not None and clean(thought.answer) not in clean(thought.text):
            facts.append(f"answer {shorten(clean(thought.answer), 40)}")
        if thought.count > 1:
            facts.append(f"×{thought.count}")
        if thought.id in graph.visits:
            facts.append(_plural(graph.visits[thought.id], "visit"))
        if thought.tokens:
            facts.append(f"{thought.tokens} tok")
        if len(thought.parents) > 1:
            facts.append(self._other_parents(thought))
        if thought.tainted:
            facts.append("tainted")
        if row.gap:
            facts.append(f"{_plural(row.gap, 'step')} left out before it")
        if row.deep:
            facts.append(f"depth {thought.depth}")
        return facts

    @property
    def summary(self) -> str:
        """Return the counts of the whole graph, and how much of it is shown."""
        thoughts = self.graph.thoughts
        refuted = sum(self.graph.refutation(thought) is not None for thought in self.graph.evaluations)
        tokens = sum(thought.tokens for thought in thoughts.values())
        parts = [_plural(len(thoughts), "thought")]
        parts += [f"{refuted:,} refuted"] if refuted else []
        parts += [_plural(tokens, "token")] if tokens else []
        left_out = len(thoughts) - self.shown
        return ", ".join(parts) + (f"; {self.shown:,} shown, {left_out:,} left out" if left_out else "")

    @property
    def conclusion(self) -> str:
        """Return the answer as a line."""
        return "no answer" if self.graph.answer is None else f"answer: {clean(self.graph.answer)}"

    def _other_parents(self, thought: Thought) -> str:
        others = thought.parents[1:]
        named = ", ".join(f"#{self.numbers[parent]}" for parent in others[:_NAMED_PARENTS])
        more = len(others) - _NAMED_PARENTS
        return f"also from {named}" + (f" and {more} more" if more > 0 else "")


def draw(
    graph: ReasoningGraph, limit: int, *, whole_path: bool = False, max_level: int | None = None
) -> Drawing:
    """Choose and order what a drawing shows.

    Args:
        graph: what to draw.
        limit: how many thoughts to show (≥ 1).
        whole_path: whether the path to the answer is shown whole even beyond the limit; otherwise the middle of a longer one is left out.
        max_level: deepest indentation; None for no bound.

    Raises:
        UserError: if the limit is below 1.
    """
    if limit < 1:
        raise UserError(f"cannot draw {limit} thoughts; give max_thoughts=1 or more")
    path = tuple(thought.id for thought in graph.path())
    children = _ranked_children(graph, frozenset(path))
    shown = _chosen(graph, children, path, limit, whole_path)
    rows = _arranged(graph, children, shown, max_level)
    return Drawing(graph, rows, frozenset(path), _numbers(graph, rows))


def _score(evaluation: Evaluation) -> str:
    if evaluation.value is None:
        return f"{evaluation.kind} failed: {shorten(clean(evaluation.error or 'no value'), 40)}"
    known = evaluation.rollouts is not None and evaluation.successes is not None
    counted = f" ({evaluation.successes}/{evaluation.rollouts})" if known else ""
    return f"{evaluation.kind} {evaluation.value:.2f}{counted}"


def _called(call: ToolCall) -> str:
    return f"{call.tool} {'failed' if call.result is None else 'said'}: {shorten(clean(call.reply), 60)}"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _ranked_children(graph: ReasoningGraph, path: frozenset[str]) -> dict[str, list[str]]:
    """Return children by first parent: the path's own first, refuted ones last, better scores and more visits before worse."""
    children: dict[str, list[str]] = {}
    for thought in graph.thoughts.values():
        if thought.parents:
            children.setdefault(thought.parents[0], []).append(thought.id)

    def rank(thought: str) -> tuple[bool, bool, float, int]:
        score = next(iter(graph.scores(thought).values()), -1.0)
        refuted = graph.refutation(thought) is not None
        return thought not in path, refuted, -score, -graph.visits.get(thought, 0)

    for siblings in children.values():
        if len(siblings) > 1:
            siblings.sort(key=rank)
    return children


def _chosen(
    graph: ReasoningGraph, children: dict[str, list[str]], path: tuple[str, ...], limit: int, whole_path: bool
) -> set[str]:
    """Return the ids to show."""
    if len(path) > limit and not whole_path:
        tail = limit // 2
        return {*path[: limit - tail], *path[len(path) - tail :]}
    shown = set(path)
    root = next(iter(graph.thoughts), None)
    heap = [] if root is None else [(0, 0, 0, root)]
    pushed = 0
    while heap:
        passed_over, depth, _, thought = heapq.heappop(heap)
        if thought not in shown:
            if len(shown) >= limit:
                break
            shown.add(thought)
        for rank, child in enumerate(children.get(thought, ())):
            pushed += 1
            heapq.heappush(heap, (passed_over + rank, depth + 1, pushed, child))
    return shown


def _arranged(
    graph: ReasoningGraph, children: dict[str, list[str]], shown: set[str], max_level: int | None
) -> tuple[Row, ...]:
    """Return the rows of the shown thoughts in preorder, each followed by a count of what is left out under it."""
    rest = _left_out(graph, shown)
    rows: list[Row] = []
    stack: list[tuple[int, str, Row | None]] = [(-1, root, None) for root in list(graph.thoughts)[:1]]
    while stack:
        owner, thought, count = stack.pop()
        deep = max_level is not None and owner >= 0 and rows[owner].level >= max_level
        parent = rows[owner].parent if deep else owner
        level = rows[parent].level + 1 if parent >= 0 else 0
        if count is not None:
            rows.append(replace(count, parent=parent, level=level, deep=deep))
            continue
        index = len(rows)
        rows.append(Row(parent, level, graph.thoughts[thought], gap=rest.gaps.get(thought, 0), deep=deep))
        if hidden := rest.hidden[thought]:
            count = Row(index, level + 1, None, siblings=rest.siblings[thought], hidden=hidden)
            stack.append((index, "", count))
        drawn = [*rest.resumed.get(thought, ()), *(c for c in children.get(thought, ()) if c in shown)]
        stack += [(index, child, None) for child in reversed(drawn)]
    return tuple(rows)


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """What is not shown, counted by the nearest shown ancestor (along first parents)."""

    hidden: Counter[str]
    siblings: Counter[str]
    """Of the hidden, the ancestor's own children."""
    resumed: dict[str, list[str]]
    """Shown thoughts whose parents are not, by that ancestor: where a path goes on after its middle was left out."""
    gaps: dict[str, int]
    """Thoughts left out between those and the ancestor; not counted as hidden."""


def _left_out(graph: ReasoningGraph, shown: set[str]) -> _LeftOut:
    rest = _LeftOut(Counter(), Counter(), {}, {})
    nearest: dict[str, str] = {}
    away: dict[str, int] = {}
    for thought in graph.thoughts.values():
        parent = thought.parents[0] if thought.parents else thought.id
        owner = nearest.get(parent, parent)
        if thought.id not in shown:
            nearest[thought.id] = owner
            away[thought.id] = away.get(parent, 0) + 1
            rest.hidden[owner] += 1
            rest.siblings[owner] += parent == owner
            continue
        nearest[thought.id] = thought.id
        if owner != parent:
            rest.gaps[thought.id] = away[parent]
            rest.resumed.setdefault(owner, []).append(thought.id)
            rest.hidden[owner] -= away[parent]
            rest.siblings[owner] -= 1
    return rest


def _numbers(graph: ReasoningGraph, rows: Iterable[Row]) -> dict[str, int]:
    named = {parent for row in rows if row.thought for parent in row.thought.parents[1 : 1 + _NAMED_PARENTS]}
    return (
        {thought: place for place, thought in enumerate(graph.thoughts) if thought in named} if named else {}
    )
