"""Searches over whole solutions: the tree of attempts inside a tree of thoughts.

A *solution* is a thought that attempts the whole problem: one marked `whole`, or a finished chain. It was *made from* the
nearest solution above it, or from the root where there is none, so the steps of a chain that another scheme drew (a probe of
`compute_optimal`) are passed over, and its end is a first attempt like any other. Further attempts are asked of the root (new
ones) and of solutions (rewritings).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..records import Outcome
from .parts import Choice, TreeState, precedence
from .tree import ROOT, TERMINAL, Tree


@dataclass(slots=True)
class Indices:
    """Sample indices of one subject that were handed out or told."""

    low: int = 0
    """The lowest index that is free."""
    beyond: set[int] = field(default_factory=set[int])
    """Those above it that are taken."""

    def take(self, first: int, n: int = 1) -> None:
        """Mark `n` indices from `first` on as taken."""
        self.beyond.update(range(first, first + n))
        while self.low in self.beyond:
            self.beyond.discard(self.low)
            self.low += 1


@dataclass(slots=True)
class Attempts:
    """What was made from what."""

    source: dict[int, int] = field(default_factory=dict[int, int])
    """The node that each solution was made from, in the order told: sources before what was made from them."""
    made: dict[int, list[int]] = field(default_factory=dict[int, list[int]])
    """The solutions made from a node, in the order told."""
    drawn: int = 0
    """Samples told, those that came to nothing included."""
    indices: dict[int, Indices] = field(default_factory=dict[int, Indices])
    """Sample indices by subject."""

    def told(self, tree: Tree, outcome: Outcome, grown: Sequence[int]) -> list[int]:
        """Take in what came of a request, and return the new solutions."""
        request = outcome.request
        if request.grows:
            self.drawn += request.n
            self.index(tree.index[request.subjects[0]]).take(request.first_sample, request.n)
        fresh = [node for node in grown if tree.has(node, TERMINAL) or tree.thought[node].whole]
        for node in fresh:
            source = tree.parent[node]
            while source != ROOT and source not in self.source:
                source = tree.parent[source]
            self.source[node] = source
            self.made.setdefault(source, []).append(node)
        return fresh

    def above(self, node: int) -> Iterator[int]:
        """Yield a solution, what it was made from, and so on up to the root."""
        while node != ROOT:
            yield node
            node = self.source[node]
        yield ROOT

    def index(self, node: int) -> Indices:
        """Return the sample indices of a subject."""
        found = self.indices.get(node)
        if found is None:
            found = self.indices[node] = Indices()
        return found

    def take(self, node: int) -> int:
        """Hand out the lowest free sample index of a subject: after a crash, what was asked and not told is asked again."""
        indices = self.index(node)
        first = indices.low
        indices.take(first)
        return first

    def asked(self, state: TreeState[Any]) -> int:
        """Return how many samples were drawn or are under way."""
        return self.drawn + sum(request.n for request in state.pending.values() if request.grows)


@dataclass(frozen=True, slots=True)
class HighestValue:
    """The solution with the highest Q; those without one come last. Equals are decided by `precedence`."""

    def choose(self, state: TreeState[Any], candidates: Sequence[int]) -> Choice:
        """See `Finalizer.choose`."""
        tree = state.tree

        def rank(node: int) -> tuple[bool, float, tuple[int, int, str]]:
            value = tree.value(node)
            return (value is None, -(value or 0.0), precedence(tree, node))

        node = min(candidates, key=rank)
        unknown = sum(tree.value(candidate) is None for candidate in candidates)
        return Choice(node, tree.value(node), "value", len(candidates), unknown)
