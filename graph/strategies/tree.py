"""The search tree as a struct of arrays, in the style of mctx: one dense integer per thought, one array per field.

100,000 thoughts cost a few hundred bytes each beside their records, nothing recurses, and a node costs the same to add at any size
and depth. Index 0 is the root.

It is a graph: a thought may have several parents, by aggregation or because thoughts that reach equal states share a node. All are kept; the
first is the *primary* one, along which depth and step scores run; statistics run along all. A node's *level* is one more than the highest
level of its parents, so levels order the graph: parents before children. Only nodes of one level are merged, so nothing becomes its own
ancestor.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from math import isnan, nan
from typing import Literal, NamedTuple

from ..records import Evaluation, Thought

ROOT = 0
NO_PARENT = -1
UNKNOWN = nan
"""In the float arrays: there is no such number. Read them through the methods, which return None for it."""

TERMINAL = 1
"""Finishes a solution; never expanded."""
RULED_OUT = 2
"""A rule said 0 of the thought itself."""
REFUTED = 4
"""Ruled out, or every parent is refuted; never expanded, never answered."""
FAILED = 8
"""Some evaluation of it failed."""
TAINTED = 16
"""A step of its path, or itself, is unscored because an evaluation failed: aggregates over the path are unknown."""
CLOSED = 32
"""Nothing is left to do in its subtree: terminal, refuted, or expanded as often as allowed with all children closed."""
FREE = 64
"""A selector that descends from here finds a node to work on now. Set for an open node that awaits nothing."""
EXHAUSTED = 128
"""The model has no other next step for it than those that were drawn."""

_INDEX = (1 << 32) - 1
"""The bits of `Tree.order` that hold the node itself."""

Aggregation = Literal["last", "min", "prod", "mean"]
"""How step scores p_1..p_K of a path become one score: p_K, their minimum, their product, or their mean. Snell
(arXiv 2408.03314) uses last, Lightman (arXiv 2305.20050) prod, Math-Shepherd (arXiv 2312.08935) min."""

_NONE: tuple[int, ...] = ()


class Verdicts(NamedTuple):
    """What is known of a thought, by kind of evaluation: means over the evaluations that have a value, each in [0, 1]."""

    refuted: bool
    outcome: float | None
    value: float | None
    step: float | None


class Tree:
    """Thoughts and their statistics. `n` below is the number of nodes; every array has shape (n,)."""

    __slots__ = (
        "_by_state",
        "_by_text",
        "_children",
        "_kinds",
        "_more_parents",
        "_path_count",
        "_path_min",
        "_path_prod",
        "_path_sum",
        "_score",
        "_step",
        "_value",
        "barren",
        "count",
        "depth",
        "expansions",
        "flags",
        "index",
        "level",
        "next_sample",
        "parent",
        "pending",
        "prior",
        "rollouts",
        "terminals",
        "thought",
        "visits",
        "weight",
    )

    def __init__(self, root: Thought) -> None:
        self.thought: list[Thought] = []
        """The record of each node; of merged thoughts, the first one told."""
        self.index: dict[str, int] = {}
        """Node of each thought's id; several ids may share a node."""
        self.parent = array("i")
        """Primary parent in [0, n); NO_PARENT for the root."""
        self.depth = array("i")
        """Steps from the root along primary parents, ≥ 0."""
        self.level = array("i")
        """1 + the highest level of the parents; 0 for the root."""
        self.count = array("i")
        """Samples that gave this thought, ≥ 1, summed over merged thoughts: its multiplicity in a vote."""
        self.visits = array("d")
        """N ≥ 0, as the backup defines it; a whole number where no node has several parents."""
        self.weight = array("d")
        """Values behind the mean Q, ≥ 0, as the backup defines it."""
        self.prior = array("d")
        """P in [0, 1], from the expander; siblings sum to 1. 1 until assigned."""
        self.pending = array("i")
        """Requests awaited at the node or below it, ≥ 0: the virtual losses on it."""
        self.expansions = array("i")
        """Requests for new thoughts that were told with this node among their subjects, ≥ 0."""
        self.rollouts = array("i")
        """How many of them asked for all steps to the answer, ≥ 0: roll-outs, which leave the node unexpanded."""
        self.barren = array("i")
        """Requests for its next steps in a row that brought no new living child, ≥ 0."""
        self.next_sample = array("i")
        """Index of the first sample not yet drawn from this node, ≥ 0."""
        self.flags = bytearray()
        """TERMINAL | RULED_OUT | REFUTED | FAILED | TAINTED | CLOSED | FREE | EXHAUSTED."""
        self.terminals: list[int] = []
        """Terminal nodes in the order they were told."""
        self._children: list[list[int] | None] = []
        self._more_parents: dict[int, tuple[int, ...]] = {}
        self._by_text: dict[tuple[int, str], int] = {}
        self._by_state: dict[tuple[int, str], int] = {}
        self._value = array("d")  # Q in [0, 1], or UNKNOWN
        self._score = array("d")  # own score in [0, 1], or UNKNOWN
        self._step = array("d")  # own step score in [0, 1], or UNKNOWN
        self._path_min = array("d")  # over the scored steps of the path; 1 if there are none
        self._path_prod = array("d")
        self._path_sum = array("d")
        self._path_count = array("i")  # scored steps of the path
        kinds = ("outcome", "value", "step")
        self._kinds = {kind: (array("d"), array("i")) for kind in kinds}  # sum and number of values
        self.add(root)

    def __len__(self) -> int:
        return len(self.thought)

    def add(self, thought: Thought, *, merge: bool = False, merge_states: bool = False) -> int:
        """Add a thought and return its node; a thought that is known already changes nothing.

        Args:
            thought: its parents must be in the tree; () only for the first thought, the root.
            merge: let a thought share the node of a sibling with the same text and terminality, which then counts for both.
            merge_states: let an unfinished thought share the node of any other of its level that reached the same state; the node
                then has both as parents.
        """
        known = self.index.get(thought.id)
        if known is not None:
            return known
        parents = tuple(self.index[parent] for parent in thought.parents)
        primary = parents[0] if parents else NO_PARENT
        if merge and len(parents) == 1:
            twin = self._by_text.setdefault((primary, thought.text), len(self))
            if twin < len(self) and bool(self.flags[twin] & TERMINAL) == thought.terminal:
                self.index[thought.id] = twin
                self.count[twin] += thought.count
                return twin
        if merge_states and len(parents) == 1 and thought.state is not None and not thought.terminal:
            twin = self._by_state.setdefault((self.level[primary] + 1, thought.state), len(self))
            if twin < len(self):
                self._join(twin, primary)
                self.index[thought.id] = twin
                self.count[twin] += thought.count
                return twin
        return self._append(thought, parents, primary)

    def _join(self, node: int, parent: int) -> None:
        """Make a node a child of one more parent, of the level above it."""
        parents = self.parents(node)
        if parent in parents:
            return
        self._more_parents[node] = (*parents, parent)
        siblings = self._children[parent]
        if siblings is None:
            self._children[parent] = [node]
        else:
            siblings.append(node)

    def _append(self, thought: Thought, parents: tuple[int, ...], primary: int) -> int:
        node = len(self.thought)
        self.index[thought.id] = node
        self.thought.append(thought)
        self.parent.append(primary)
        self.depth.append(self.depth[primary] + 1 if parents else 0)
        self.level.append(1 + max([self.level[parent] for parent in parents], default=-1))
        self.count.append(thought.count)
        self.pending.append(0)
        self.expansions.append(0)
        self.rollouts.append(0)
        self.barren.append(0)
        self.next_sample.append(0)
        self.visits.append(0.0)
        self.weight.append(0.0)
        self.prior.append(1.0)
        self.flags.append(TERMINAL if thought.terminal else FREE)
        self._value.append(UNKNOWN)
        self._score.append(UNKNOWN)
        self._step.append(UNKNOWN)
        self._path_min.append(1.0)
        self._path_prod.append(1.0)
        self._path_sum.append(0.0)
        self._path_count.append(0)
        for total, number in self._kinds.values():
            total.append(0.0)
            number.append(0)
        self._children.append(None)
        for parent in dict.fromkeys(parents):
            siblings = self._children[parent]
            if siblings is None:
                self._children[parent] = [node]
            else:
                siblings.append(node)
        if len(parents) > 1:
            self._more_parents[node] = parents
        if thought.terminal:
            self.terminals.append(node)
        return node

    def children(self, node: int) -> Sequence[int]:
        """Return the nodes made from this one, in the order they were told; not to be changed."""
        return self._children[node] or _NONE

    def parents(self, node: int) -> tuple[int, ...]:
        """Return all parents, the primary one first; () for the root."""
        if node == ROOT:
            return _NONE
        return self._more_parents.get(node) or (self.parent[node],)

    def share(self, node: int) -> float:
        """Return the part of a node's statistics that counts for each of its parents: 1 / parents, so that nothing counts twice above."""
        more = self._more_parents.get(node)
        return 1.0 if more is None else 1.0 / len(more)

    def order(self, node: int) -> int:
        """Return a number by which nodes sort parents first."""
        return (self.level[node] << 32) | node

    def stepped(self, node: int) -> int:
        """Return how often a node was expanded: its requests for new thoughts that were told, roll-outs left out."""
        return self.expansions[node] - self.rollouts[node]

    def path(self, node: int) -> list[int]:
        """Return the nodes from the root to this one along primary parents."""
        nodes: list[int] = []
        while node != NO_PARENT:
            nodes.append(node)
            node = self.parent[node]
        nodes.reverse()
        return nodes

    def has(self, node: int, flag: int) -> bool:
        """Return whether any of these flags is set."""
        return bool(self.flags[node] & flag)

    def mark(self, node: int, flag: int, on: bool) -> bool:
        """Set or clear a flag; return whether that changed it."""
        if bool(self.flags[node] & flag) == on:
            return False
        self.flags[node] ^= flag
        return True

    def judge(self, node: int, evaluation: Evaluation) -> None:
        """Take one evaluation in; `settle` draws the conclusions.

        A failed one leaves a flag and no number. A rule's 0 rules the thought out; its 1 says nothing more. The other kinds (texts,
        preferences, agreement) are for the selector that asked for them.
        """
        if evaluation.kind != "rule" and evaluation.kind not in self._kinds:
            return
        if evaluation.value is None:
            self.flags[node] |= FAILED
        elif evaluation.kind == "rule":
            if evaluation.value == 0.0:
                self.flags[node] |= RULED_OUT
        else:
            total, number = self._kinds[evaluation.kind]
            total[node] += evaluation.value
            number[node] += 1

    def mean(self, node: int, kind: Literal["outcome", "value", "step"]) -> float | None:
        """Return the mean in [0, 1] of the node's evaluations of a kind, or None."""
        total, number = self._kinds[kind]
        return total[node] / number[node] if number[node] else None

    def verdicts(self, node: int) -> Verdicts:
        """Return what is known of a node."""
        refuted = self.has(node, REFUTED)
        means = (self.mean(node, "outcome"), self.mean(node, "value"), self.mean(node, "step"))
        return Verdicts(refuted, *means)

    def settle(self, node: int, score: float | None) -> None:
        """Set a node's own score, and bring its step score and its path's tallies up to date with its parent's.

        The step score is the mean of its `step` evaluations, or else its own score.
        """
        self._score[node] = UNKNOWN if score is None else score
        step = self.mean(node, "step")
        step = score if step is None else step
        self._step[node] = UNKNOWN if step is None else step
        parent = self.parent[node]
        if parent == NO_PARENT:
            return
        if self.thought[node].whole:  # an attempt of its own: its path begins here
            parent = ROOT
        known = step is not None
        lost = self.has(parent, TAINTED) or (not known and self.has(node, FAILED))
        self.mark(node, TAINTED, lost)
        p = 1.0 if step is None else step
        self._path_min[node] = min(self._path_min[parent], p)
        self._path_prod[node] = self._path_prod[parent] * p
        self._path_sum[node] = self._path_sum[parent] + (p if known else 0.0)
        self._path_count[node] = self._path_count[parent] + known

    def refresh_refuted(self, node: int) -> bool:
        """Bring REFUTED up to date with the node's own verdict and, unless it is a whole attempt, its parents'; return whether it changed."""
        refuted = self.has(node, RULED_OUT)
        if not refuted and node != ROOT and not self.thought[node].whole:
            refuted = all(self.flags[parent] & REFUTED for parent in self.parents(node))
        return self.mark(node, REFUTED, refuted)

    def tally(self, node: int) -> tuple[float, float, float, int, bool]:
        """Return what the children's tallies are computed from: minimum, product, sum, number, TAINTED."""
        tainted = self.has(node, TAINTED)
        path = (self._path_min[node], self._path_prod[node], self._path_sum[node], self._path_count[node])
        return (*path, tainted)

    def score(self, node: int) -> float | None:
        """Return the thought's own score in [0, 1], or None where it has none."""
        return _known(self._score[node])

    def value(self, node: int) -> float | None:
        """Return Q in [0, 1] as the backup left it, or None where no value was backed up."""
        return _known(self._value[node])

    def set_value(self, node: int, value: float | None, visits: float, weight: float) -> None:
        """Set Q, N and the number of values behind Q; for backups."""
        self._value[node] = UNKNOWN if value is None else value
        self.visits[node] = visits
        self.weight[node] = weight

    def values(self, nodes: Iterable[int], unknown: float) -> list[float]:
        """Return Q of each of these nodes, `unknown` where no value was backed up."""
        values = self._value
        return [unknown if isnan(value := values[node]) else value for node in nodes]

    def add_children(
        self, node: int, visits: float, weight: float, total: float
    ) -> tuple[float, float, float]:
        """Return these three numbers with those of a node's children added: N, the number of values, and their sum; each times its share."""
        own_visits, own_weight, values, shared = self.visits, self.weight, self._value, self._more_parents
        for child in self._children[node] or _NONE:
            share = 1.0 if not shared else self.share(child)
            value = values[child]
            visits += share * own_visits[child]
            weight += share * own_weight[child]
            total += share * (0.0 if isnan(value) else value) * own_weight[child]
        return visits, weight, total

    def path_score(self, node: int, aggregation: Aggregation) -> float | None:
        """Return the path's step scores as one number in [0, 1], or None.

        Steps that nobody judged are left out. A step that is unscored because its evaluation failed makes `min`, `prod` and `mean`
        of every path through it unknown, so that a failure never raises a score; `last` asks for the last step's score only.
        """
        if aggregation == "last":
            return _known(self._step[node])
        if self.has(node, TAINTED) or not self._path_count[node]:
            return None
        if aggregation == "min":
            return self._path_min[node]
        if aggregation == "prod":
            return self._path_prod[node]
        return self._path_sum[node] / self._path_count[node]

    def climb(self, nodes: Iterable[int]) -> Iterator[int]:
        """Yield these nodes and all their ancestors, each once, children before parents."""
        heap = [-self.order(node) for node in set(nodes)]
        heapify(heap)
        while heap:
            key = heappop(heap)
            while heap and heap[0] == key:
                heappop(heap)
            node = -key & _INDEX
            yield node
            if heap or node in self._more_parents:
                for parent in self.parents(node):
                    heappush(heap, -self.order(parent))
                continue
            node = self.parent[node]
            while node != NO_PARENT and node not in self._more_parents:  # one path is left
                yield node
                node = self.parent[node]
            if node != NO_PARENT:
                heap.append(-self.order(node))


def _known(number: float) -> float | None:
    return None if isnan(number) else number
