"""Iterations of a Monte-Carlo tree search: what follows the descent to a leaf.

An *iteration* descends to an open leaf and has it expanded. What comes after is where published systems differ, and what the parts here say:

* the path goes on from the best new thought, expansion by expansion, to a finished solution (OpenR, rStar-Math) or for a few steps (LATS);
* the leaf is criticised before it is expanded (ReST-MCTS*), the new thoughts are judged on request (LATS);
* chains are rolled out from them (x1, ReST-MCTS*; `rollouts.py`).

Iterations overlap: while one awaits an answer, the next one begins, held off by virtual losses. What an iteration still wants is kept as work
that is due, and follows from the outcomes told alone: after a crash, due work that was asked and not told is due again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ..records import Operator, Outcome, Request
from .formulas import first_play
from .mcts import Descent
from .parts import Ask, Pick, TreeState
from .tree import CLOSED, FREE, REFUTED, ROOT, Tree

JUDGE = Ask(Operator.EVALUATE, "value")
"""Asks for the value of new thoughts."""
ADVISE = Ask(Operator.EVALUATE, "critique")
"""Asks what is wrong with a leaf."""
ENDED = ("<end>", "problem solved")
"""What advice begins with that says there is nothing left to do (as in ReST-MCTS*'s code)."""


Onwards = Literal["best", "best unfinished", "first unfinished"]
"""Which of the new thoughts a path goes on to: the one with the highest value, where the path ends if that is finished (OpenR, LATS: new thoughts
have no visits to tell them apart); the unfinished one with the highest value (rStar-Math); the first unfinished one (rStar-Math, where
unvisited thoughts score 0). The first of equals; nothing about requests under way enters, so that a replay decides the same."""


@dataclass(slots=True)
class Progress:
    """Where the iterations of a search stand."""

    begun: int = 0
    """Iterations under way or over."""
    started: set[int] = field(default_factory=set[int])
    """Leaves that an iteration began with whose first request is awaited."""
    path: dict[int, int | None] = field(default_factory=dict[int, int | None])
    """Thoughts to be expanded next, each with how many expansions of its path may follow; None: any number."""
    judged: dict[int, int | None] = field(default_factory=dict[int, int | None])
    """Thoughts whose children are being judged before the path goes on, with the same."""
    due: OrderedDict[Pick, None] = field(default_factory=OrderedDict[Pick, None])
    """Other work that outcomes called for and that was not handed out, oldest first."""
    advised: set[int] = field(default_factory=set[int])
    """Thoughts that were criticised."""
    resolved: set[int] = field(default_factory=set[int])
    """Those of them that the advice was to leave as they are."""
    reflected: list[int] = field(default_factory=list[int])
    """Solutions that a reflection was called for."""


class Followup(Protocol):
    """Further work that an outcome calls for."""

    def after(self, state: TreeState[Progress], outcome: Outcome, grown: Sequence[int]) -> Iterable[Pick]:
        """Return that work: a function of the outcomes told."""
        ...


@dataclass(frozen=True, slots=True)
class Paths:
    """Selects the work of iterations: what is due first, then the next thoughts of paths under way, then a new iteration."""

    descent: Descent
    iterations: int
    """≥ 1."""
    further: int | None = 0
    """Expansions of a path that may follow its first, ≥ 0; None: as many as it takes to finish it."""
    onwards: Onwards = "best"
    """Where a path goes on: see `Onwards`."""
    followups: tuple[Followup, ...] = ()
    judges: int = 0
    """Replies a new thought is judged by on request before the path goes on; 0: nobody is asked."""
    advises: bool = False
    """Whether a leaf, except the root, is criticised before it is expanded."""

    def start(self, tree: Tree) -> Progress:
        """See `Selector.start`."""
        return Progress()

    def pick(self, state: TreeState[Progress]) -> Pick | None:
        """See `Selector.pick`."""
        tree, memory = state.tree, state.memory
        while memory.due:
            pick, _ = memory.due.popitem(last=False)
            judges = pick.ask is not None and pick.ask.operator is Operator.EVALUATE
            if judges or not tree.has(pick.subjects[0], REFUTED):
                return pick
        for node in memory.path:
            if node not in state.awaited and not tree.has(node, CLOSED):
                return Pick((node,), None, tree.next_sample[node])
        return self._begin(state)

    def told(self, state: TreeState[Progress], outcome: Outcome, grown: Sequence[int]) -> None:
        """See `Selector.told`."""
        tree, memory, request = state.tree, state.memory, outcome.request
        subject = tree.index[request.subjects[0]]
        memory.due.pop(_work(tree, request), None)
        if request.operator is Operator.GENERATE and request.horizon == "step":
            left = self._enter(memory, subject)
            fresh = [
                node for node in grown if not tree.has(node, REFUTED) and tree.mean(node, "outcome") is None
            ]
            if self.judges and fresh:
                memory.judged[subject] = left
                memory.due[Pick(tuple(fresh), self.judges, 0, JUDGE)] = None
            else:
                self._go_on(state, grown, left)
        elif request.action == JUDGE.action and tree.parent[subject] in memory.judged:
            judged = [tree.index[thought] for thought in request.subjects]
            self._go_on(state, judged, memory.judged.pop(tree.parent[subject]))
        elif request.action == ADVISE.action and request.n:
            self._advised(state, subject, outcome)
        for followup in self.followups:
            memory.due.update(dict.fromkeys(followup.after(state, outcome, grown)))

    def refresh(self, state: TreeState[Progress], node: int) -> None:
        """See `Selector.refresh`."""
        self.descent.refresh(state, node)
        if node in state.memory.resolved:
            state.tree.mark(node, CLOSED, True)
            state.tree.mark(node, FREE, False)

    def _begin(self, state: TreeState[Progress]) -> Pick | None:
        tree, memory = state.tree, state.memory
        leaf = self.descent.leaf(state) if memory.begun < self.iterations else None
        if leaf is None:
            return None
        memory.begun += 1
        memory.started.add(leaf)
        if self.advises and leaf != ROOT and leaf not in memory.advised:
            return Pick((leaf,), 1, 0, ADVISE)
        return Pick((leaf,), None, tree.next_sample[leaf])

    def _enter(self, memory: Progress, node: int) -> int | None:
        """Take in that a thought of a path was told of; return how many expansions may follow."""
        began = node in memory.started
        memory.started.discard(node)
        if node in memory.path:
            memory.begun -= began  # the iteration that began here has met a path
            return memory.path.pop(node)
        memory.begun += not began  # a replay tells what it never asked
        return self.further

    def _advised(self, state: TreeState[Progress], leaf: int, outcome: Outcome) -> None:
        """Expand the leaf that was criticised, unless the advice is that it needs no more steps."""
        memory = state.memory
        left = self._enter(memory, leaf)
        memory.advised.add(leaf)
        texts = [(evaluation.text or "").strip().lower() for evaluation in outcome.evaluations]
        if any(text.startswith(ENDED) for text in texts):
            memory.resolved.add(leaf)
            for node in state.tree.climb((leaf,)):
                self.refresh(state, node)
        else:
            memory.path[leaf] = left

    def _go_on(self, state: TreeState[Progress], fresh: Sequence[int], left: int | None) -> None:
        """Have a path go on from new thoughts, if it may and can."""
        tree = state.tree
        ways = [node for node in fresh if not tree.has(node, REFUTED)]
        if self.onwards != "best":
            ways = [node for node in ways if self.descent.expands(tree, node)]
        if left == 0 or not ways:
            return
        best = ways[0]
        if self.onwards != "first unfinished":
            play = first_play(tree, tree.parent[best])
            best = max(ways, key=lambda node: play if (value := tree.value(node)) is None else value)
        if self.descent.expands(tree, best) and not tree.stepped(best):
            state.memory.path[best] = None if left is None else left - 1


def _work(tree: Tree, request: Request) -> Pick:
    """Return the pick that a request came of."""
    nodes = tuple(tree.index[subject] for subject in request.subjects)
    ask = Ask(
        request.operator,
        request.action,
        request.agent,
        request.horizon,
        request.distinct,
        request.steps,
        request.temperature,
        request.nested,
    )
    return Pick(nodes, request.n, request.first_sample, ask)
