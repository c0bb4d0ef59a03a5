"""LLaMA-Berry (arXiv 2410.02884): Monte-Carlo tree search over whole solutions, ranked against each other.

* A node is a solution. The first ones are searches of their own inside a thought (`inner`, by default one chain): a tree of
  chains. The paper has one first solution, the root; here the question is the root and `starts` solutions are its children.
* An expansion rewrites one solution in view of what is wrong with it (one child each).
* Selection descends by UCT (c = 1.4) to the first solution that is not fully explored: one with fewer than `max_child` = 2
  children, or none with a higher Q.
* Every new solution is compared with the others, the best-ranked first, `max_compared` at most (the paper: all), each pair
  once. The preferences make the ranking (`borda.py`): Q = α Q_g + (1 - α) Q_l with α = 0.9, and Q_l = Q_g where a solution has
  no ranked children.
* Backup: Q(parent) ← (1 - γ) Q(parent) + γ Q(child), γ = 0.1. The paper calls γ a discount; it is a learning rate. Ranks change
  with every solution, so all Q are computed anew, children before parents and in the order told, whenever a solution's
  comparisons are complete (of more than 64 solutions, once for several): old values never linger.
* The answer is the solution with the highest Q.

A failed comparison is unknown and enters nothing; a solution without any known comparison has no Q, is explored at its parent's
value, and comes last. What a rule refuted is not compared and has Q = 0; it can be rewritten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from ..errors import UserError
from ..records import Nested, Operator, Outcome
from ..strategies.base import Strategy
from ..strategies.borda import Preferences, global_values, local_value
from ..strategies.evaluation import Stop
from ..strategies.expansion import Sampler
from ..strategies.formulas import Uct
from ..strategies.parts import Ask, Pick, TreeState, plain
from ..strategies.search import TreeSearch
from ..strategies.solutions import Attempts, HighestValue
from ..strategies.tree import REFUTED, ROOT, Tree
from .base import Scheme
from .common import ENDLESS, stop_score, temperature, whole
from .inner import inner, needs_of, search_in
from .parameters import Parameter

FEW = 64
"""With more solutions than this, one in so many may wait for the next ranking, whose cost grows with all of them."""


@dataclass(slots=True)
class Berry:
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
class Solutions:
    """Selects comparisons that are due, first solutions, and then the solution to rewrite."""

    n: int
    starts: int
    first: Nested
    """The search that brings a first solution forth."""
    rewrite: Ask
    formula: Uct
    max_child: int
    max_compared: int
    alpha: float
    gamma: float
    printed: bool

    def start(self, tree: Tree) -> Berry:
        """See `Selector.start`."""
        return Berry()

    def pick(self, state: TreeState[Berry]) -> Pick | None:
        """See `Selector.pick`."""
        berry = state.memory
        while berry.queue:
            pair = berry.queue.popleft()
            if pair[1] in berry.open.get(pair[0], ()):
                return Pick(pair, 1, 0, Ask(Operator.EVALUATE, "compare"))
        if berry.attempts.asked(state) >= self.n:
            return None
        begun = sum(request.operator is Operator.GENERATE for request in state.pending.values())
        if begun + len(berry.attempts.made.get(ROOT, ())) < self.starts:
            ask = Ask(horizon="solution", distinct=False, nested=self.first)
            return Pick((ROOT,), 1, berry.attempts.take(ROOT), ask)
        node = self._descend(state)
        return None if node is None else Pick((node,), 1, berry.attempts.take(node), self.rewrite)

    def told(self, state: TreeState[Berry], outcome: Outcome, grown: Sequence[int]) -> None:
        """See `Selector.told`."""
        tree, berry = state.tree, state.memory
        fresh = berry.attempts.told(tree, outcome, grown)
        for node in fresh:
            for above in berry.attempts.above(node):
                tree.visits[above] += 1
            self._introduce(tree, berry, node)
        if outcome.request.action == "compare" and len(outcome.request.subjects) == 2:
            berry.news += self._compared(tree, berry, outcome)
        elif not outcome.request.grows:
            self._rank(state)
        berry.news += sum(node not in berry.open for node in fresh)
        if berry.news and (not berry.open or FEW * berry.news >= len(berry.attempts.source)):
            self._rank(state)

    def refresh(self, state: TreeState[Berry], node: int) -> None:
        """See `Selector.refresh`; there is nothing to keep."""

    def _introduce(self, tree: Tree, berry: Berry, new: int) -> None:
        """Plan the comparisons of a new solution."""
        if tree.has(new, REFUTED):
            return
        others = (node for node in chain(berry.ranked, berry.unranked) if not tree.has(node, REFUTED))
        opponents = list(islice(others, self.max_compared))
        berry.queue.extend((new, other) for other in opponents)
        berry.unranked[new] = None
        if opponents:
            berry.open[new] = set(opponents)

    def _compared(self, tree: Tree, berry: Berry, outcome: Outcome) -> bool:
        """Take a comparison in; return whether it was the last that a solution waited for."""
        first, second = (tree.index[subject] for subject in outcome.request.subjects)
        for evaluation in outcome.evaluations:
            if evaluation.kind == "preference" and evaluation.value is not None:
                judged = tree.index[evaluation.thought]
                berry.preferences.add(judged, second if judged == first else first, evaluation.value)
        last = False
        for new, other in ((first, second), (second, first)):
            rest = berry.open.get(new)
            if rest is None:
                continue
            rest.discard(other)
            if not rest:
                del berry.open[new]
                last = True
        return last

    def _descend(self, state: TreeState[Berry]) -> int | None:
        """Return the solution to rewrite: depth first, the most attractive child first, so that what is busy is passed over."""
        tree, berry = state.tree, state.memory
        busy: dict[str, int] = {}
        for request in state.pending.values():
            if request.operator is Operator.REFINE:
                busy[request.subjects[0]] = busy.get(request.subjects[0], 0) + 1
        stack = [ROOT]
        while stack:
            node = stack.pop()
            made = berry.attempts.made.get(node, [])
            waiting = busy.get(tree.thought[node].id, 0)
            free = not waiting or len(made) + waiting < self.max_child
            if node != ROOT and free and node not in berry.open and node not in berry.explored:
                return node
            scores = self.formula.scores(tree, node, made)
            stack.extend(made[i] for i in sorted(range(len(made)), key=lambda i: (scores[i], -i)))
        return None

    def _rank(self, state: TreeState[Berry]) -> None:
        """Bring the ranking, all Q, and what is fully explored up to date."""
        tree, berry = state.tree, state.memory
        berry.news = 0
        living = [node for node in berry.attempts.source if not tree.has(node, REFUTED)]
        alone = len(berry.attempts.source) == 1
        berry.ranked = berry.preferences.order(
            [node for node in living if alone or node in berry.preferences.soft]
        )
        standing = global_values(berry.ranked)
        berry.unranked = {node: None for node in living if node not in standing}
        for node in reversed(berry.attempts.source):
            made = berry.attempts.made.get(node, ())
            value = self._value(tree, berry, standing, node)
            tree.set_value(node, value, tree.visits[node], float(value is not None))
            better = value is not None and any((tree.value(child) or 0.0) > value for child in made)
            done = better and len(made) >= self.max_child
            if done and node not in berry.explored:
                state.note(Operator.PRUNE, (node,), reason="explored", value=value)
            (berry.explored.add if done else berry.explored.discard)(node)
        if berry.ranked:
            best = berry.ranked[0]
            visits = plain(tree.visits[best])
            state.note(Operator.BACKPROPAGATE, (best,), visits=visits, value=tree.value(best))

    def _value(self, tree: Tree, berry: Berry, standing: Mapping[int, float], node: int) -> float | None:
        """Return Q of a solution, given those of what was made from it."""
        made = berry.attempts.made.get(node, ())
        if tree.has(node, REFUTED):
            value = 0.0
        elif node in standing:
            peers = [child for child in made if child in standing]
            local = standing[node]
            if peers:
                local = local_value(berry.preferences, node, peers, printed=self.printed)
            value = self.alpha * standing[node] + (1.0 - self.alpha) * local
        else:
            return None
        for child in made:
            below = tree.value(child)
            if below is not None:
                value = (1.0 - self.gamma) * value + self.gamma * below
        return value


def _build(values: Mapping[str, Any], seed: int) -> Strategy[Any]:
    if values["inner"] == "llama_berry":
        raise UserError(
            "scheme 'llama_berry': inner=llama_berry never comes to a first solution; give another"
        )
    heat = values["temperature"]
    action = "feedback" if values["action"] == "feedback" else ""
    rewrite = Ask(Operator.REFINE, action, horizon="solution", distinct=False, temperature=heat)
    selector = Solutions(
        values["n"],
        values["starts"],
        search_in(values["inner"], None, 1.0 / values["starts"], heat),
        rewrite,
        Uct(values["c"]),
        values["max_child"],
        values["max_compared"],
        values["alpha"],
        values["gamma"],
        values["local"] == "printed",
    )
    stop = Stop(values["stop_score"])
    return TreeSearch("llama_berry", selector, Sampler(1, "solution"), HighestValue(), stop=stop)


def _needs(values: Mapping[str, Any]) -> frozenset[str]:
    own = {"compare", "feedback"} if values["action"] == "feedback" else {"compare"}
    return needs_of(values["inner"]) | own


_LLAMA_BERRY = Scheme(
    name="llama_berry",
    family="Monte-Carlo tree search",
    summary="Monte-Carlo tree search over whole solutions, ranked by pairwise preferences",
    structure="nested",
    step="solution",
    strategy="MCTS",
    operators=(
        Operator.GENERATE,
        Operator.REFINE,
        Operator.SELECT,
        Operator.EVALUATE,
        Operator.BACKPROPAGATE,
        Operator.PRUNE,
    ),
    models=("policy", "preference model"),
    supervision="preference pairs from step and outcome labels",
    paper="arXiv 2410.02884",
    build=_build,
    parameters=(
        whole("n", 16, "solutions, first ones included"),
        whole("starts", 1, "first solutions"),
        inner("inner", "cot", "scheme that brings a first solution forth"),
        Parameter(
            "action",
            "choice",
            "feedback",
            "how a solution is rewritten: after saying what is wrong with it, or at once",
            choices=("feedback", "plain"),
        ),
        Parameter("c", "float", 1.4, "exploration constant of UCT", minimum=0.0),
        whole("max_child", 2, "children from which on a solution with a better child is passed over"),
        whole("max_compared", 16, "solutions that a new one is compared with at most, the best first"),
        Parameter("alpha", "float", 0.9, "weight of the global rank in Q", minimum=0.0, maximum=1.0),
        Parameter("gamma", "float", 0.1, "learning rate of the backup", minimum=0.0, maximum=1.0),
        Parameter(
            "local",
            "choice",
            "wins",
            "local value: the share of children a solution beats, or (as the paper prints it) is beaten by",
            choices=("wins", "printed"),
        ),
        temperature(0.7),
        stop_score(1.0),
    ),
    needs=_needs,
    raw={"action": "plain"},
    fill={"n": ENDLESS},
)

SCHEMES = (_LLAMA_BERRY,)
