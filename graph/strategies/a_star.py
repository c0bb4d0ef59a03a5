"""A* over steps with a learned heuristic: best-first search, as in Q* (Wang et al., arXiv 2406.14283).

What is maximised, over partial solutions s:

    f(s) = g(s) + λ · h(s)     g(s) = Agg(R(s_1), …, R(s_t))     h(s) = max over a in top-K of Q̂(s, a)

R is the step score, Agg one of min, max, sum and last, and the top-K actions are the K different steps that one request for K samples brings.
Q̂(s, a) is the score of the step a as a thought: a value where somebody estimates one, else its step score; a refuted step is no action. The K steps paid for
h(s) become the children of s when it is expanded, so an expanded thought costs K requests, one for the h of each child, and not K + K².

A thought is expanded when its f is the highest of all open ones, equals by depth, deeper first, then by precedence. A complete solution has no
next step: its h is the score of its own last step, or its check, which is what Q̂ predicted of it. (What the paper takes here is unverified; with
h = 0 every unfinished thought would go before the finished ones.) The search ends when N complete solutions were the best of the open ones, and
the answer is the one with the highest f. f is in [0, 1 + λ], or beyond it with Agg = sum, which is not normalised; the answer's score is that of its
own last step, or its check.

Steps without a score are left out of g; where an evaluation failed, g is unknown. A thought whose f is unknown comes after all others. Of
thoughts that reach the same state, the first to be expanded stands for all. Whether h is admissible nobody has shown.

Where N solutions are complete or nothing is open, the same is done anew from the root as long as `repeats` allows, with K further samples of each
thought, beside those it has; see `rounds.py`.

To fill a wave, the next best thoughts are expanded before all is told of the best one. A complete solution is counted only when nothing is
outstanding below the expanded ones, so that it was indeed the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Literal

from ..records import Operator, Outcome
from .parts import Ask, Choice, Pick, TreeState, precedence
from .tree import REFUTED, ROOT, TAINTED, TERMINAL, Tree

Agg = Literal["min", "max", "sum", "last"]

Rank = tuple[bool, float, int, tuple[int, int, str]]
"""Sort key, best first: f unknown, -f, -depth, precedence."""


Heap = list[tuple[Rank, int]]


@dataclass(slots=True)
class Front:
    """The open thoughts and those expanded.

    What follows from outcomes alone decides which thoughts are expanded and counted; what was merely asked is kept apart, for `pick`.
    """

    g: list[float | None] = field(default_factory=lambda: [None])
    """g by node; kept over repeats, as is `told`."""
    told: dict[int, int] = field(default_factory=dict[int, int])
    """In how many repeats a thought's next steps were told."""
    repeat: int = 0
    """Searches from the root that ended, ≥ 0."""
    fruitful: bool = False
    """Whether anything came of this repeat."""
    rank: dict[int, Rank] = field(default_factory=dict[int, Rank])
    """By thought whose next steps are told, as it was then."""
    open: Heap = field(default_factory=Heap)
    """Heap of thoughts that may be expanded or, if they are finished, counted; closed ones stay until they come up."""
    closed: set[int] = field(default_factory=set[int])
    """Thoughts expanded or counted. A thought is expanded when the next steps of a child of it are told."""
    awaiting: Heap = field(default_factory=Heap)
    """Heap of expanded thoughts with children not told yet."""
    settled: dict[int, int] = field(default_factory=dict[int, int])
    """How many first children of an expanded thought are told, or need not be."""
    visited: dict[str, int] = field(default_factory=dict[str, int])
    """The child of an expanded thought that stands for a state."""
    complete: list[int] = field(default_factory=list[int])
    """Solutions that were the best of the open thoughts."""
    queue: Heap = field(default_factory=Heap)
    """As `open`, without what was handed out."""
    asking: Heap = field(default_factory=Heap)
    """Heap of thoughts with children to ask."""
    asked: dict[int, int] = field(default_factory=dict[int, int])
    """How many first children of such a thought were asked, or need not be."""
    handed: set[int] = field(default_factory=set[int])
    """Thoughts whose next steps were asked for."""
    claimed: dict[str, int] = field(default_factory=dict[str, int])
    """As `visited`, for what was handed out."""


@dataclass(frozen=True, slots=True)
class BestFirst:
    """Selects the children of the thoughts with the highest f."""

    top_k: int
    """K ≥ 1."""
    trajectories: int
    """N ≥ 1."""
    lam: float
    """λ ≥ 0."""
    aggregation: Agg
    repeats: int = 1
    """≥ 1."""
    temperature: float | None = None

    def start(self, tree: Tree) -> Front:
        """See `Selector.start`."""
        return Front()

    def pick(self, state: TreeState[Front]) -> Pick | None:
        """See `Selector.pick`."""
        tree, front = state.tree, state.memory
        if not self._told(front, ROOT):
            return None if ROOT in front.handed else self._propose(front, ROOT)
        if len(front.complete) >= self.trajectories:
            return None
        while True:
            while front.asking:
                child = self._unasked(tree, front, front.asking[0][1])
                if child is not None:
                    return self._propose(front, child)
                heappop(front.asking)
            best = _top(front.queue, front.closed)
            # a finished one waits to be counted, and one without a child to ask to be expanded, until nothing is outstanding
            if best is None or tree.has(best, TERMINAL) or not self._opens(tree, front, best, handed=True):
                return None
            heappush(front.asking, heappop(front.queue))
            for child in tree.children(best):
                reached = tree.thought[child].state
                if reached is not None and not tree.has(child, TERMINAL | REFUTED):
                    front.claimed.setdefault(reached, child)

    def told(self, state: TreeState[Front], outcome: Outcome, grown: Sequence[int]) -> None:
        """See `Selector.told`."""
        front, request = state.memory, outcome.request
        for node in grown:
            front.g.append(self._g(state.tree, front, node))
        if request.grows:
            node, repeat = state.tree.index[request.subjects[0]], request.first_sample // self.top_k
            front.told[node] = max(front.told.get(node, 0), repeat + 1)
            if repeat == front.repeat:
                front.fruitful = front.fruitful or bool(outcome.thoughts)
                self._reckon(state, node)
        self._settle(state)

    def refresh(self, state: TreeState[Front], node: int) -> None:
        """See `Selector.refresh`; there is nothing to keep."""

    def f(self, tree: Tree, front: Front, node: int) -> float | None:
        """Return f ≥ 0 of a finished thought, or of one whose next steps are told; None if it is unknown."""
        g = front.g[node]
        if tree.has(node, TERMINAL):
            h = tree.score(node)
        else:
            known = [tree.score(child) for child in tree.children(node) if not tree.has(child, REFUTED)]
            h = max((score for score in known if score is not None), default=None)
        return None if g is None or h is None else g + self.lam * h

    def _g(self, tree: Tree, front: Front, node: int) -> float | None:
        reward = tree.path_score(node, "last")
        if self.aggregation == "last":
            return reward
        if tree.has(node, TAINTED):
            return None
        before = front.g[tree.parent[node]]
        if before is None or reward is None:
            return before if reward is None else reward
        if self.aggregation == "sum":
            return before + reward
        return min(before, reward) if self.aggregation == "min" else max(before, reward)

    def _told(self, front: Front, node: int) -> bool:
        return front.told.get(node, 0) > front.repeat

    def _propose(self, front: Front, node: int) -> Pick:
        front.handed.add(node)
        ask = Ask(distinct=front.repeat == 0, temperature=self.temperature)
        return Pick((node,), self.top_k, front.repeat * self.top_k, ask)

    def _rank(self, tree: Tree, front: Front, node: int) -> Rank:
        if (rank := front.rank.get(node)) is not None:
            return rank
        f = self.f(tree, front, node)
        return (f is None, -(f or 0.0), -tree.depth[node], precedence(tree, node))

    def _reckon(self, state: TreeState[Front], node: int) -> None:
        """Open a thought whose next steps are told; what it is a child of is expanded."""
        tree, front = state.tree, state.memory
        for parent in sorted(tree.parents(node), key=lambda parent: self._rank(tree, front, parent)):
            self._expand(state, parent)
        front.rank[node] = rank = self._rank(tree, front, node)
        if any(not tree.has(child, REFUTED) for child in tree.children(node)):
            _open(front, rank, node)

    def _expand(self, state: TreeState[Front], node: int) -> None:
        """Close a thought: its finished children are open now, the others stand for their states or are left out."""
        tree, front = state.tree, state.memory
        if node in front.closed:
            return
        front.closed.add(node)
        entry = (self._rank(tree, front, node), node)
        heappush(front.awaiting, entry)
        heappush(front.asking, entry)
        front.asked.pop(node, None)
        for child in tree.children(node):
            reached = tree.thought[child].state
            if tree.has(child, TERMINAL):
                _open(front, self._rank(tree, front, child), child)
            elif reached is None or tree.has(child, REFUTED):
                continue
            elif front.visited.setdefault(reached, child) != child:
                state.note(Operator.PRUNE, (child,), reason="visited")

    def _needed(self, tree: Tree, front: Front, node: int, *, handed: bool) -> bool:
        """Return whether a child's next steps are not told, and needed; in view of what was handed out, or of what was told alone."""
        if tree.has(node, TERMINAL | REFUTED) or self._told(front, node):
            return False
        reached = tree.thought[node].state
        if reached is None:
            return True
        before = front.claimed.get(reached, node) if handed else node
        return front.visited.get(reached, before) == node

    def _opens(self, tree: Tree, front: Front, node: int, *, handed: bool) -> bool:
        return any(self._needed(tree, front, child, handed=handed) for child in tree.children(node))

    def _unasked(self, tree: Tree, front: Front, node: int) -> int | None:
        """Return the next child to ask for its next steps."""
        children = tree.children(node)
        for place in range(front.asked.get(node, 0), len(children)):
            front.asked[node] = place + 1
            child = children[place]
            if child not in front.handed and self._needed(tree, front, child, handed=True):
                return child
        return None

    def _outstanding(self, tree: Tree, front: Front) -> bool:
        """Return whether a child of an expanded thought is still to be told."""
        while front.awaiting:
            node = front.awaiting[0][1]
            children = tree.children(node)
            place = front.settled.get(node, 0)
            while place < len(children) and not self._needed(tree, front, children[place], handed=False):
                place += 1
            front.settled[node] = place
            if place < len(children):
                return True
            heappop(front.awaiting)
        return False

    def _settle(self, state: TreeState[Front]) -> None:
        """Count the finished thoughts that are the best of the open ones, as far as nothing is outstanding."""
        tree, front = state.tree, state.memory
        if len(front.complete) >= self.trajectories:  # one may have been rejected
            front.complete = [node for node in front.complete if not tree.has(node, REFUTED)]
        while len(front.complete) < self.trajectories and not self._outstanding(tree, front):
            best = _top(front.open, front.closed)
            if best is None:
                break
            if tree.has(best, TERMINAL):
                front.closed.add(best)
                if not tree.has(best, REFUTED):
                    front.complete.append(best)
            elif self._opens(tree, front, best, handed=False):
                return
            else:
                self._expand(state, best)
        over = len(front.complete) >= self.trajectories or not self._outstanding(tree, front)
        if over and self._told(front, ROOT) and front.fruitful and front.repeat + 1 < self.repeats:
            state.memory = Front(g=front.g, told=front.told, repeat=front.repeat + 1)


def _open(front: Front, rank: Rank, node: int) -> None:
    heappush(front.open, (rank, node))
    heappush(front.queue, (rank, node))


def _top(heap: Heap, closed: set[int]) -> int | None:
    """Return the best thought of a heap that is not closed."""
    while heap and heap[0][1] in closed:
        heappop(heap)
    return heap[0][1] if heap else None


@dataclass(frozen=True, slots=True)
class HighestF:
    """The solution with the highest f; unknown ones come last, equals go by precedence. Its score is its own."""

    selector: BestFirst

    def choose(self, state: TreeState[Front], candidates: Sequence[int]) -> Choice:
        """See `Finalizer.choose`."""
        tree, front = state.tree, state.memory
        f = {node: self.selector.f(tree, front, node) for node in candidates}
        best = min(candidates, key=lambda i: (f[i] is None, -(f[i] or 0.0), precedence(tree, i)))
        unscored = sum(value is None for value in f.values())
        return Choice(best, tree.score(best), "f", len(candidates), unscored)
