"""Monte-Carlo tree search over whole solutions that are rewritten and ranked against each other: SR-MCTS of LLaMA-Berry (arXiv 2410.02884).

* A node is a solution. The first ones are searches of their own inside a thought. The paper has one first solution, the root; here
  the question is the root and `starts` solutions are its children.
* An expansion rewrites one solution (one child each), where so asked in view of what is wrong with it.
* Selection descends by UCT to the first solution that is not fully explored: one with fewer than `max_child` children, or none
  with a higher Q.
* Every new solution is compared with the others, the best-ranked first, `max_compared` at most (the paper: all), each pair
  once. The preferences make the ranking (`borda.py`): Q = α Q_g + (1 - α) Q_l, and Q_l = Q_g where a solution has no ranked
  children.
* Backup: Q(parent) ← (1 - γ) Q(parent) + γ Q(child). The paper calls γ a discount; it is a learning rate. Ranks change with every
  solution, so all Q are computed anew, children before parents and in the order told, whenever a solution's comparisons are
  complete (of more than 64 solutions, once for several): old values never linger.

A failed comparison is unknown and enters nothing; a solution without any known comparison has no Q and is explored at its parent's
value. What a rule refuted is not compared and has Q = 0; it can be rewritten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from ..records import Nested, Operator, Outcome
from .borda import Preferences, global_values, local_value
from .formulas import Uct
from .parts import Ask, Pick, TreeState, plain
from .solutions import Attempts
from .tree import REFUTED, ROOT, Tree

FEW = 64
"""With more solutions than this, one in so many may wait for the next ranking, whose cost grows with all of them."""


@dataclass(slots=True)
class Ranking:
    """What is known of the solutions."""

    attempts: Attempts = field(default_factory=Attempts)
    preferences: Preferences = field(default_factory=Preferences)
    ranked: list[int] = field(default_factory=list[int])
    """Solutions with a known comparison, best first."""
    unranked: dict[int, None] = field(default_factory=dict[int, None])
    """The other living ones, in the order told."""
    open: dict[int, set[int]] = field(default_factory=dict[int, set[int]])
    """By new solution: those it is still to be compared with."""
    queue: deque[tuple[int, int]] = field(default_factory=deque[tuple[int, int]])
    """Comparisons not handed out, oldest first; those no longer open are skipped."""
    explored: set[int] = field(default_factory=set[int])
    """Solutions that are fully explored."""
    news: int = 0
    """Solutions whose comparisons were completed since the last ranking."""


@dataclass(frozen=True, slots=True)
class SelfRefineTree:
    """Selects comparisons that are due, first solutions, and then the solution to rewrite."""

    n: int
    """Solutions, first ones included, ≥ 1."""
    starts: int
    """First solutions, ≥ 1."""
    first: Nested
    """The search that brings a first solution forth."""
    rewrite: Ask
    """How a solution is rewritten."""
    formula: Uct
    max_child: int
    """≥ 1."""
    max_compared: int
    """≥ 1."""
    alpha: float
    """α in [0, 1]."""
    gamma: float
    """γ in [0, 1]."""
    printed: bool
    """Which local value is meant; see `borda.local_value`."""

    def start(self, tree: Tree) -> Ranking:
        """See `Selector.start`."""
        return Ranking()

    def pick(self, state: TreeState[Ranking]) -> Pick | None:
        """See `Selector.pick`."""
        memory = state.memory
        while memory.queue:
            pair = memory.queue.popleft()
            if pair[1] in memory.open.get(pair[0], ()):
                return Pick(pair, 1, 0, Ask(Operator.EVALUATE, "compare"))
        if memory.attempts.asked(state) >= self.n:
            return None
        begun = sum(request.operator is Operator.GENERATE for request in state.pending.values())
        if begun + len(memory.attempts.made.get(ROOT, ())) < self.starts:
            ask = Ask(horizon="solution", distinct=False, nested=self.first)
            return Pick((ROOT,), 1, memory.attempts.take(ROOT), ask)
        node = self._descend(state)
        return None if node is None else Pick((node,), 1, memory.attempts.take(node), self.rewrite)

    def told(self, state: TreeState[Ranking], outcome: Outcome, grown: Sequence[int]) -> None:
        """See `Selector.told`."""
        tree, memory = state.tree, state.memory
        fresh = memory.attempts.told(tree, outcome, grown)
        for node in fresh:
            for above in memory.attempts.above(node):
                tree.visits[above] += 1
            self._introduce(tree, memory, node)
        if outcome.request.action == "compare" and len(outcome.request.subjects) == 2:
            memory.news += self._compared(tree, memory, outcome)
        elif not outcome.request.grows:
            self._rank(state)
        memory.news += sum(node not in memory.open for node in fresh)
        if memory.news and (not memory.open or FEW * memory.news >= len(memory.attempts.source)):
            self._rank(state)

    def refresh(self, state: TreeState[Ranking], node: int) -> None:
        """See `Selector.refresh`; there is nothing to keep."""

    def _introduce(self, tree: Tree, memory: Ranking, new: int) -> None:
        """Plan the comparisons of a new solution."""
        if tree.has(new, REFUTED):
            return
        others = (node for node in chain(memory.ranked, memory.unranked) if not tree.has(node, REFUTED))
        opponents = list(islice(others, self.max_compared))
        memory.queue.extend((new, other) for other in opponents)
        memory.unranked[new] = None
        if opponents:
            memory.open[new] = set(opponents)

    def _compared(self, tree: Tree, memory: Ranking, outcome: Outcome) -> bool:
        """Take a comparison in; return whether it was the last that a solution waited for."""
        first, second = (tree.index[subject] for subject in outcome.request.subjects)
        for evaluation in outcome.evaluations:
            if evaluation.kind == "preference" and evaluation.value is not None:
                judged = tree.index[evaluation.thought]
                memory.preferences.add(judged, second if judged == first else first, evaluation.value)
        last = False
        for new, other in ((first, second), (second, first)):
            rest = memory.open.get(new)
            if rest is None:
                continue
            rest.discard(other)
            if not rest:
                del memory.open[new]
                last = True
        return last

    def _descend(self, state: TreeState[Ranking]) -> int | None:
        """Return the solution to rewrite: depth first, the most attractive child first, so that what is busy is passed over."""
        tree, memory = state.tree, state.memory
        busy: dict[str, int] = {}
        for request in state.pending.values():
            if request.operator is Operator.REFINE:
                busy[request.subjects[0]] = busy.get(request.subjects[0], 0) + 1
        stack = [ROOT]
        while stack:
            node = stack.pop()
            made = memory.attempts.made.get(node, [])
            waiting = busy.get(tree.thought[node].id, 0)
            free = not waiting or len(made) + waiting < self.max_child
            if node != ROOT and free and node not in memory.open and node not in memory.explored:
                return node
            scores = self.formula.scores(tree, node, made)
            stack.extend(made[i] for i in sorted(range(len(made)), key=lambda i: (scores[i], -i)))
        return None

    def _rank(self, state: TreeState[Ranking]) -> None:
        """Bring the ranking, all Q, and what is fully explored up to date."""
        tree, memory = state.tree, state.memory
        memory.news = 0
        living = [node for node in memory.attempts.source if not tree.has(node, REFUTED)]
        alone = len(memory.attempts.source) == 1
        memory.ranked = memory.preferences.order(
            [node for node in living if alone or node in memory.preferences.soft]
        )
        standing = global_values(memory.ranked)
        memory.unranked = {node: None for node in living if node not in standing}
        for node in reversed(memory.attempts.source):
            made = memory.attempts.made.get(node, ())
            value = self._value(tree, memory, standing, node)
            tree.set_value(node, value, tree.visits[node], float(value is not None))
            better = value is not None and any((tree.value(child) or 0.0) > value for child in made)
            done = better and len(made) >= self.max_child
            if done and node not in memory.explored:
                state.note(Operator.PRUNE, (node,), reason="explored", value=value)
            (memory.explored.add if done else memory.explored.discard)(node)
        if memory.ranked:
            best = memory.ranked[0]
            visits = plain(tree.visits[best])
            state.note(Operator.BACKPROPAGATE, (best,), visits=visits, value=tree.value(best))

    def _value(self, tree: Tree, memory: Ranking, standing: Mapping[int, float], node: int) -> float | None:
        """Return Q of a solution, given those of what was made from it."""
        made = memory.attempts.made.get(node, ())
        if tree.has(node, REFUTED):
            value = 0.0
        elif node in standing:
            peers = [child for child in made if child in standing]
            local = standing[node]
            if peers:
                local = local_value(memory.preferences, node, peers, printed=self.printed)
            value = self.alpha * standing[node] + (1.0 - self.alpha) * local
        else:
            return None
        for child in made:
            below = tree.value(child)
            if below is not None:
                value = (1.0 - self.gamma) * value + self.gamma * below
        return value
