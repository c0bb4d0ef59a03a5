"""A finished or growing search as one value: look at it, draw it, hand it to other libraries.

    graph = ReasoningGraph(problem, thoughts, evaluations, answer="…", best=thought_id)
    print(graph)                    # a tree for the terminal
    graph                           # in a notebook: a drawing that needs no network
    graph.to_networkx(), graph.to_mermaid(), graph.to_json()

It holds records only, so it is as good for a search in memory as for one read from the store.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .diagrams import mermaid_flowchart
from .display_text import clean, shorten
from .errors import UserError
from .ledger import ToolCall
from .notebook import html_drawing
from .outline import rich_tree, text_tree
from .records import Evaluation, EvaluationKind, Problem, Thought
from .view_json import fields_from_json, fields_to_json

if TYPE_CHECKING:
    import networkx
    from rich.tree import Tree

SCORE_KINDS: tuple[EvaluationKind, ...] = ("outcome", "value", "step")
"""The kinds that score a thought; where it has several, the first of these ranks it among its siblings."""


@dataclass(frozen=True, slots=True, repr=False)
class ReasoningGraph:
    """The thoughts of one search with what was said of them.

    Raises:
        UserError: if the records do not make one graph: a parent that is missing or comes after its child, a second root, an evaluation or an
            answer of an unknown thought, a log-probability that is not finite.
    """

    problem: Problem
    thoughts: Mapping[str, Thought] = field(default_factory=dict[str, Thought])
    """By id, in order of creation: the root first, parents before children. Empty before a search has begun."""
    evaluations: Mapping[str, tuple[Evaluation, ...]] = field(
        default_factory=dict[str, tuple[Evaluation, ...]]
    )
    """By id of the thought, oldest first; thoughts without any may be left out."""
    answer: str | None = None
    best: str | None = None
    """Id of the thought that the answer comes from."""
    tool_calls: Mapping[str, tuple[ToolCall, ...]] = field(default_factory=dict[str, tuple[ToolCall, ...]])
    """By id of the thought that they were made at, in the order of the thought's calls; thoughts without any may be left out."""
    visits: Mapping[str, int] = field(default_factory=dict[str, int])
    """How often the search went through a thought (≥ 0), for strategies that count it."""

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for thought_id, thought in self.thoughts.items():
            self._check(thought_id, thought, seen)
            seen.add(thought_id)
        for thought_id, evaluations in self.evaluations.items():
            self._known(thought_id)
            if any(evaluation.thought != thought_id for evaluation in evaluations):
                raise UserError(f"an evaluation of another thought is filed under {thought_id!r}")
        for thought_id, calls in self.tool_calls.items():
            self._known(thought_id)
            if any(call.thought != thought_id for call in calls):
                raise UserError(f"a tool call of another thought is filed under {thought_id!r}")
        for thought_id, count in self.visits.items():
            self._known(thought_id)
            if count < 0:
                raise UserError(f"thought {thought_id!r} has {count} visits; give 0 or more")
        if self.best is not None:
            self._known(self.best)

    @property
    def root(self) -> Thought | None:
        """The question as a thought; None before the search has begun."""
        return next(iter(self.thoughts.values()), None)

    def path(self, thought_id: str | None = None) -> tuple[Thought, ...]:
        """Return the thoughts from the root to one, along first parents.

        Args:
            thought_id: the last thought; by default the best one, and without a best one the path is ().

        Raises:
            UserError: if there is no such thought.
        """
        end = self.best if thought_id is None else thought_id
        if end is None:
            return ()
        path = [self._known(end)]
        while path[-1].parents:
            path.append(self.thoughts[path[-1].parents[0]])
        return tuple(reversed(path))

    def score(self, thought_id: str, kind: EvaluationKind) -> Evaluation | None:
        """Return the newest evaluation of a kind that has a value, else the newest failed one, else None."""
        of_kind = [e for e in self.evaluations.get(thought_id, ()) if e.kind == kind]
        valued = [e for e in of_kind if e.value is not None]
        return (valued or of_kind or [None])[-1]

    def scores(self, thought_id: str) -> dict[EvaluationKind, float]:
        """Return the newest value of each kind (outcome, value, step), in [0, 1]; failed evaluations give none."""
        scores: dict[EvaluationKind, float] = {}
        for kind in SCORE_KINDS:
            newest = self.score(thought_id, kind)
            if newest is not None and newest.value is not None:
                scores[kind] = newest.value
        return scores

    def refutation(self, thought_id: str) -> str | None:
        """Return why an exact rule refuted a thought (a `rule` evaluation of value 0), or None if none did."""
        for evaluation in self.evaluations.get(thought_id, ()):
            if evaluation.kind == "rule" and evaluation.value == 0.0:
                return evaluation.text or evaluation.source
        return None

    def to_text(self, max_thoughts: int = 60, width: int = 100) -> str:
        """Return the tree as plain text.

        Siblings stand best first. A thought with several parents stands under its first one and names the others.

        Args:
            max_thoughts: how many to show (≥ 1); what is left out is counted. The path to the answer is always shown whole.
            width: longest line in terminal cells (≥ 40).

        Raises:
            UserError: on a limit or width below these.
        """
        return text_tree(self, max_thoughts, width)

    def to_rich(self, max_thoughts: int = 60) -> Tree:
        """Return the tree of `to_text` with colours; markup in a thought has no effect."""
        return rich_tree(self, max_thoughts)

    def to_mermaid(self, max_thoughts: int = 60) -> str:
        """Return a Mermaid flowchart: the path to the answer bold, refuted thoughts dashed, all parents as edges.

        What is left out is counted in the drawing, also the middle of a path longer than `max_thoughts` (≥ 1).
        """
        return mermaid_flowchart(self, max_thoughts)

    def to_networkx(self) -> networkx.DiGraph[str]:
        """Return a `networkx.DiGraph` of all thoughts, with an edge from each parent.

        Nodes carry text, operator, depth, terminal, answer, key, state, count, tokens, logprob, visits (or None), scores (by kind, as `scores`
        returns them), refuted (the reason or None) and best (whether on the path to the answer). Edges carry operator and position among the
        child's parents; the graph carries problem, task, question, answer and best.
        """
        import networkx

        path = {thought.id for thought in self.path()}
        result: networkx.DiGraph[str] = networkx.DiGraph(
            problem=self.problem.id,
            task=self.problem.task,
            question=self.problem.question,
            answer=self.answer,
            best=self.best,
        )
        copied = ("text", "depth", "terminal", "answer", "key", "state", "count", "tokens", "logprob")
        for thought in self.thoughts.values():
            result.add_node(
                thought.id,
                **{name: getattr(thought, name) for name in copied},
                operator=thought.operator.value,
                visits=self.visits.get(thought.id),
                scores=self.scores(thought.id),
                refuted=self.refutation(thought.id),
                best=thought.id in path,
            )
            for position, parent in enumerate(thought.parents):
                result.add_edge(parent, thought.id, operator=thought.operator.value, position=position)
        return result

    def to_json(self) -> dict[str, Any]:
        """Return the graph as JSON values, in a stable order and without NaN; `view_json` gives the schema."""
        return fields_to_json(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReasoningGraph:
        """Return the graph that `to_json` wrote; raises UserError if the data is not of its schema."""
        return cls(**fields_from_json(data))

    def __repr__(self) -> str:
        """Return one line, however large the graph."""
        question = shorten(clean(self.problem.question), 60)
        answer = None if self.answer is None else shorten(clean(self.answer), 60)
        return f"<ReasoningGraph {question!r}: {len(self.thoughts)} thoughts, answer {answer!r}>"

    def __str__(self) -> str:
        """Return `to_text()`."""
        return self.to_text()

    def __rich__(self) -> Tree:
        """Draw with colours under `rich.print`."""
        return self.to_rich()

    def _repr_html_(self) -> str:
        """Return self-contained HTML with an inline SVG: no script, no network, at most 200 KB in UTF-8."""
        return html_drawing(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return what notebooks may choose from."""
        return {
            "text/html": self._repr_html_(),
            "text/vnd.mermaid": self.to_mermaid(),
            "text/plain": self.to_text(),
        }

    def _known(self, thought_id: str) -> Thought:
        if thought_id not in self.thoughts:
            raise UserError(
                f"there is no thought {thought_id!r} in this graph; give one of its thoughts' ids"
            )
        return self.thoughts[thought_id]

    @staticmethod
    def _check(thought_id: str, thought: Thought, seen: set[str]) -> None:
        if thought.id != thought_id:
            raise UserError(f"thought {thought.id!r} is filed under {thought_id!r}; file it under its own id")
        if not thought.parents and seen:
            raise UserError(
                f"thought {thought_id!r} is a second root; a graph has one thought without parents"
            )
        missing = [parent for parent in thought.parents if parent not in seen]
        if missing:
            raise UserError(
                f"thought {thought_id!r} comes before its parent {missing[0]!r}; put parents first"
            )
        if thought.logprob is not None and not math.isfinite(thought.logprob):
            raise UserError(f"thought {thought_id!r} has log-probability {thought.logprob}; leave it None")
