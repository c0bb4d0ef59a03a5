"""Depth-first search with a threshold and backtracking: Algorithm 2 of Tree of Thoughts (Yao et al., arXiv 2305.10601), which uses it for crosswords.

A thought is continued by `n` samples; a `Judge` says what each is worth; those worth less than the threshold are pruned, and of the others
the best is continued next. Where a thought has no child left to continue, the search goes back to its parent, and says so in the log.
What nobody knows the worth of is not pruned and comes last; of children with equal states the later ones are worth 0.

The search ends when it has found `solutions` living solutions that were not pruned, when it has continued `max_expansions` thoughts, or when
nothing is left. A solution that is rejected after the end is no longer one, and the search goes on. Where nothing is left, the same is done anew
from the root as long as `repeats` allows, with further samples of each thought; see `rounds.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..records import Operator, Outcome
from .judges import Judge
from .parts import Ask, Pick, TreeState
from .rounds import Stage, by_merit, copies
from .tree import REFUTED, ROOT, TERMINAL, Tree


@dataclass(slots=True)
class Frame:
    """A thought of the current path with what is left to do below it."""

    node: int
    left: list[int]
    """Children to continue, the best one last."""


@dataclass(slots=True)
class Trail:
    """Where a depth-first search stands."""

    repeat: int = 0
    """Searches from the root that ended, ≥ 0."""
    fruitful: bool = False
    """Whether anything came of this repeat."""
    stage: Stage = field(default_factory=Stage)
    node: int = ROOT
    """The thought that is continued now."""
    group: list[int] | None = None
    """Its children, once they are told and while more is asked about them."""
    frames: list[Frame] = field(default_factory=list[Frame])
    """The current path, from the root."""
    known: dict[int, float | None] = field(default_factory=dict[int, float | None])
    """What the judge was told of thoughts; its own."""
    entered: set[int] = field(default_factory=lambda: {ROOT})
    """Thoughts on the current path or left to continue, now or before in this repeat: nodes that are shared are continued once."""
    solutions: dict[int, None] = field(default_factory=dict[int, None])
    """Finished ones that were not pruned, in the order they were found."""
    expansions: int = 0
    """Thoughts continued, ≥ 0."""


@dataclass(frozen=True, slots=True)
class DepthFirst:
    """Selects the best child of the current thought, or goes back."""

    judge: Judge
    n: int
    """Continuations of a thought, ≥ 1."""
    threshold: float
    """In [0, 1]."""
    max_depth: int
    """Thoughts this deep are not continued, ≥ 1."""
    solutions: int
    """≥ 1."""
    max_expansions: int
    """≥ 1."""
    repeats: int = 1
    """≥ 1."""
    temperature: float | None = None
    action: str = ""

    def start(self, tree: Tree) -> Trail:
        """See `Selector.start`."""
        memory = Trail()
        memory.stage.begin([self._continue(ROOT, 0)])
        return memory

    def pick(self, state: TreeState[Trail]) -> Pick | None:
        """See `Selector.pick`."""
        return state.memory.stage.pick(state.tree)

    def told(self, state: TreeState[Trail], outcome: Outcome, grown: Sequence[int]) -> None:
        """See `Selector.told`."""
        stage = state.memory.stage
        stage.told(state.tree, outcome)
        if not stage.picks:
            self._go_on(state)
        while stage.complete(state.tree):
            self._advance(state)

    def refresh(self, state: TreeState[Trail], node: int) -> None:
        """See `Selector.refresh`; there is nothing to keep."""

    def _continue(self, node: int, repeat: int) -> Pick:
        ask = Ask(action=self.action, distinct=repeat == 0, temperature=self.temperature)
        return Pick((node,), self.n, repeat * self.n, ask)

    def _advance(self, state: TreeState[Trail]) -> None:
        tree, memory = state.tree, state.memory
        outcomes = memory.stage.outcomes()
        if memory.group is None:
            memory.expansions += outcomes != [None]
            thoughts = [thought for outcome in outcomes if outcome for thought in outcome.thoughts]
            memory.fruitful = memory.fruitful or bool(thoughts)
            memory.group = list(dict.fromkeys(tree.index[thought.id] for thought in thoughts))
            worthless = copies(tree, memory.group)
            living = [n for n in memory.group if n not in worthless and not tree.has(n, REFUTED)]
            picks = self.judge.plan(tree, [living], memory.known, memory.expansions)
            if picks:
                memory.stage.begin(picks)
                return
        else:
            self.judge.learn(state, outcomes, memory.known)
        group, memory.group = memory.group, None
        memory.frames.append(Frame(memory.node, self._left(state, group)))
        self._go_on(state)

    def _left(self, state: TreeState[Trail], group: Sequence[int]) -> list[int]:
        """Return the children to continue, the best one last, and note those that are solutions."""
        tree, memory = state.tree, state.memory
        living = [node for node in group if not tree.has(node, REFUTED)]
        worthless = copies(tree, living)
        worth = {n: 0.0 if n in worthless else self.judge.merit(tree, n, memory.known) for n in living}
        left: list[int] = []
        for node in sorted(living, key=lambda node: by_merit(worth[node])):
            score = worth[node]
            if score is not None and score < self.threshold:
                state.note(Operator.PRUNE, (node,), reason="threshold", score=score)
            elif tree.has(node, TERMINAL):
                memory.solutions[node] = None
            elif tree.depth[node] >= self.max_depth:
                state.note(Operator.PRUNE, (node,), reason="depth", score=score)
            elif node not in memory.entered:
                memory.entered.add(node)
                left.append(node)
        left.reverse()
        return left

    def _go_on(self, state: TreeState[Trail]) -> None:
        """Begin with the next thought; with none if the search is over."""
        memory = state.memory
        node = None if self._over(state) else self._next(state)
        if node is None:
            memory.stage.begin([])
            return
        memory.node = node
        memory.stage.begin([self._continue(node, memory.repeat)])

    def _over(self, state: TreeState[Trail]) -> bool:
        tree, memory = state.tree, state.memory
        if memory.expansions >= self.max_expansions:
            return True
        if len(memory.solutions) < self.solutions:
            return False
        memory.solutions = {node: None for node in memory.solutions if not tree.has(node, REFUTED)}
        return len(memory.solutions) >= self.solutions

    def _next(self, state: TreeState[Trail]) -> int | None:
        """Return the best thought left to continue, going back where there is none."""
        tree, memory = state.tree, state.memory
        frames = memory.frames
        while frames:
            left = frames[-1].left
            while left:
                node = left.pop()
                if not tree.has(node, REFUTED):
                    return node
            node = frames.pop().node
            if node != ROOT:
                state.note(Operator.BACKTRACK, (node, tree.parent[node]))
        if not memory.fruitful or memory.repeat + 1 >= self.repeats:
            return None
        memory.repeat += 1
        memory.fruitful = False
        memory.entered = {ROOT}
        return ROOT
