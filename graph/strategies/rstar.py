"""The search of rStar (arXiv 2408.06195 and its code): five human-like actions, random roll-outs that stay in the tree, rewards by vote.

What may follow a thought depends on the action that made it (`LEGAL`). A *roll-out* descends to a thought that is not expanded yet, draws among
unvisited children before it compares any by UCT, has all legal actions asked there at once, then goes on to a random child, expanding what it
meets, until it reaches a finished thought or the depth cap. The reward of a finished thought is its answer's share of the samples of its request;
it is added to every thought of the path, Q += r, N += 1. At the depth cap the reward is 0.

What the actions' samples become:

    A1  each one a next thought                       A2  the answer with the most votes, as one child: its first living sample
    A3  the pairs of sub-question and answer with the most votes          A4  the answer to the last sub-question with the most votes

A thought holds a sub-question with its answer, so where rStar samples sub-questions and then answers to each, we sample pairs, votes for each
sub-question wanted, and count those that agree in both. Other samples are outvoted: they stay in the record, and answer only if nothing else can.

Where we differ from the code: a finished thought is not visited again, since its reward is known (the code counts such visits); a finished A1 thought
has a reward too (there it is no leaf, but ours cannot be continued); discriminating begins while the search goes on, so that a budget that ends
leaves an answer that was checked.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..ids import derive_rng
from ..records import Evaluation, Operator, Outcome
from .formulas import Uct
from .parts import Ask, Pick, TreeState, plain
from .rstar_votes import conclusion, count_votes, winners
from .tree import CLOSED, FREE, REFUTED, ROOT, TERMINAL, Tree
from .voting import answer_of

ACTIONS: Mapping[str, str] = {
    "A1": "",
    "A2": "finish",
    "A3": "subquestion",
    "A4": "reanswer",
    "A5": "rephrase",
}
"""rStar's actions, as requests name them."""

QUESTION = "question"
LEGAL: Mapping[str, tuple[str, ...]] = {
    QUESTION: ("A1", "A2", "A3", "A5"),
    "rephrase": ("A1", "A2", "A3"),
    "subquestion": ("A1", "A2", "A3", "A4"),
    "reanswer": ("A1", "A2", "A3"),
    "": ("A1", "A2"),
    "finish": (),
}
"""What may follow a thought, by the action that made it."""

GIVEN_UP = 10
"""Rounds of all actions after which a thought without any child gets no more."""
SURE = 0.999
"""Confidence in one answer above which nobody else is asked."""


@dataclass(slots=True)
class Rollouts:
    """Where the roll-outs stand."""

    begun: int = 0
    """Roll-outs under way or over."""
    due: set[int] = field(default_factory=set[int])
    """Thoughts that roll-outs are at: their actions are being asked."""
    started: set[int] = field(default_factory=set[int])
    """Those of them that a roll-out began with of which nothing was told yet."""
    asked: set[tuple[int, str]] = field(default_factory=set[tuple[int, str]])
    """Of these, which actions were handed out."""
    found: dict[int, dict[str, list[int]]] = field(default_factory=dict[int, dict[str, list[int]]])
    """Of these, which children each action told brought."""
    rounds: dict[int, int] = field(default_factory=dict[int, int])
    """How often all actions of a thought were asked and told."""
    children: dict[int, list[int]] = field(default_factory=dict[int, list[int]])
    """The children of expanded thoughts that roll-outs go on to; of a chain of steps, its end."""
    above: dict[int, int] = field(default_factory=dict[int, int])
    """The thought that each of these was reached from first."""
    kind: dict[int, str] = field(default_factory=dict[int, str])
    """The action that made a thought."""
    rewards: dict[int, float] = field(default_factory=dict[int, float])
    """Finished children with their rewards: the candidates for the answer."""
    agreement: dict[int, int | None] = field(default_factory=dict[int, int | None])
    """Candidates that the discriminator judged: how many of its answers agreed, None where judging failed."""
    unjudged: OrderedDict[int, None] = field(default_factory=OrderedDict[int, None])
    """Candidates to be judged that were not handed out, oldest first."""
    mass: Counter[str] = field(default_factory=Counter[str])
    """Sum of the rewards of each answer's candidates."""
    top: float = 0.0
    """The highest of these sums."""


@dataclass(frozen=True, slots=True)
class ActionRollouts:
    """Selects what roll-outs and the discriminator want next."""

    seed: int
    actions: tuple[str, ...]
    """Those that may be asked, of `ACTIONS`."""
    samples: Mapping[str, int]
    """Samples a request, by action, each ≥ 1."""
    keeps: int
    """Sub-questions that A3 keeps, ≥ 1."""
    rollouts: int
    """≥ 1."""
    depth: int
    """Depth at which thoughts are not expanded any more, ≥ 1."""
    formula: Uct
    temperature: float | None
    prefixes: int
    """Beginnings of a candidate that the discriminator completes, ≥ 1; 0: it is not asked."""
    max_rounds: int = 1
    """How often a thought is expanded, ≥ 1: again once nothing below it is open."""

    def start(self, tree: Tree) -> Rollouts:
        """See `Selector.start`."""
        return Rollouts(kind={ROOT: QUESTION})

    def legal(self, memory: Rollouts, node: int) -> list[str]:
        """Return the actions that may be asked of a thought."""
        return [action for action in LEGAL[memory.kind.get(node, "")] if action in self.actions]

    def pick(self, state: TreeState[Rollouts]) -> Pick | None:
        """See `Selector.pick`."""
        memory = state.memory
        if self.prefixes and (candidate := self._unjudged(state)) is not None:
            return Pick(
                (candidate,), self.prefixes, 0, Ask(Operator.EVALUATE, "discriminate", "discriminator")
            )
        while True:
            for node in sorted(memory.due):
                if state.tree.has(
                    node, REFUTED
                ):  # it stays due: a living parent that reaches the same state revives it
                    continue
                for action in self.legal(memory, node):
                    if action not in memory.found.get(node, ()) and (node, action) not in memory.asked:
                        memory.asked.add((node, action))
                        return self._action(memory, node, action)
            leaf = self._select(state) if memory.begun < self.rollouts else None
            if leaf is None:
                return None
            memory.begun += 1
            memory.due.add(leaf)
            memory.started.add(leaf)

    def told(self, state: TreeState[Rollouts], outcome: Outcome, grown: Sequence[int]) -> None:
        """See `Selector.told`."""
        tree, memory, request = state.tree, state.memory, outcome.request
        if request.action == "discriminate":
            self._judged(state, outcome)
        action = next((name for name, asked in ACTIONS.items() if asked == request.action), None)
        if action is None or request.operator is not Operator.GENERATE:
            return
        node = tree.index[request.subjects[0]]
        memory.asked.discard((node, action))
        memory.started.discard(node)
        if node not in memory.due:  # a replay tells what it never asked
            memory.begun += 1
            memory.due.add(node)
            self._refresh(state, (node,))
        kept = self._kept(state, node, action, outcome)
        memory.found.setdefault(node, {})[action] = kept
        if all(name in memory.found[node] for name in self.legal(memory, node)):
            self._expanded(state, node)

    def refresh(self, state: TreeState[Rollouts], node: int) -> None:
        """See `Selector.refresh`."""
        tree, memory = state.tree, state.memory
        if tree.has(node, TERMINAL | REFUTED) or not self._expandable(tree, memory, node):
            tree.mark(node, CLOSED, True)
            tree.mark(node, FREE, False)
            return
        children, rounds = memory.children.get(node, ()), memory.rounds.get(node, 0)
        is_open = any(not tree.has(child, CLOSED) for child in children)
        is_free = any(tree.has(child, FREE) for child in children)
        spent = rounds >= self.max_rounds or (rounds >= GIVEN_UP and not children)
        busy = node in memory.due or node in state.awaited
        tree.mark(node, FREE, is_free or not (is_open or spent or busy))
        closed = spent and not busy and not is_open
        if tree.mark(node, CLOSED, closed) and closed and node != ROOT:
            state.note(Operator.BACKTRACK, (node, tree.parent[node]), visits=plain(tree.visits[node]))

    def _refresh(self, state: TreeState[Rollouts], nodes: Iterable[int]) -> None:
        for node in state.tree.climb(nodes):
            self.refresh(state, node)

    def _action(self, memory: Rollouts, node: int, action: str) -> Pick:
        n, horizon = self.samples[action], "answer" if action == "A2" else "step"
        voted = action in ("A2", "A3", "A4")  # votes are counted over independent samples
        ask = Ask(action=ACTIONS[action], horizon=horizon, distinct=not voted, temperature=self.temperature)
        return Pick((node,), n, n * memory.rounds.get(node, 0), ask)

    def _expandable(self, tree: Tree, memory: Rollouts, node: int) -> bool:
        return tree.depth[node] < self.depth and bool(self.legal(memory, node))

    def _select(self, state: TreeState[Rollouts]) -> int | None:
        """Return the thought that a new roll-out expands first, or None."""
        tree, memory, node = state.tree, state.memory, ROOT
        if not tree.has(ROOT, FREE):
            return None
        while free := [child for child in memory.children.get(node, ()) if tree.has(child, FREE)]:
            fresh = [child for child in free if not tree.visits[child] + tree.pending[child]]
            if fresh:
                drawn = plain(tree.visits[node] + tree.pending[node])
                node = derive_rng(self.seed, "select", _lineage(tree, node), drawn).choice(fresh)
            else:
                scores = self.formula.scores(tree, node, free)
                node = free[max(range(len(free)), key=scores.__getitem__)]
        return node

    def _expanded(self, state: TreeState[Rollouts], node: int) -> None:
        """Take in that all actions of a thought were told, and have the roll-out go on from it."""
        memory = state.memory
        found = memory.found.pop(node)
        fresh = [child for action in self.legal(memory, node) for child in found[action]]
        children = list(dict.fromkeys([*memory.children.get(node, ()), *fresh]))
        memory.children[node] = children
        for child in children:
            memory.above.setdefault(child, node)
        memory.rounds[node] = memory.rounds.get(node, 0) + 1
        memory.due.discard(node)
        self._refresh(state, (self._simulate(state, node), node, *children))

    def _simulate(self, state: TreeState[Rollouts], node: int) -> int:
        """Go on to random children up to one that has to be expanded, or to the roll-out's end; return where that is.

        Nothing about requests under way enters, so that a replay goes the same way: of two roll-outs that meet, one is left.
        """
        tree, memory = state.tree, state.memory
        while ways := [child for child in memory.children[node] if not tree.has(child, REFUTED)]:
            drawn = plain(tree.visits[node])
            node = derive_rng(self.seed, "simulate", _lineage(tree, node), drawn).choice(ways)
            if tree.has(node, TERMINAL) or not self._expandable(tree, memory, node):
                self._back_up(state, node, memory.rewards.get(node, 0.0))
                return node
            if node not in memory.children:
                memory.begun -= node in memory.started
                memory.started.discard(node)
                memory.due.add(node)
                return node
        return node

    def _back_up(self, state: TreeState[Rollouts], leaf: int, reward: float) -> None:
        """Add a reward to all thoughts of a path: Q is the mean of the rewards, N their number."""
        tree, node = state.tree, leaf
        while True:
            visits = tree.visits[node] + 1.0
            value = ((tree.value(node) or 0.0) * (visits - 1.0) + reward) / visits
            tree.set_value(node, min(1.0, value), visits, visits)
            if node == ROOT:
                break
            node = state.memory.above.get(node, tree.parent[node])
        state.note(Operator.BACKPROPAGATE, (leaf,), visits=plain(tree.visits[leaf]), value=tree.value(leaf))

    def _kept(self, state: TreeState[Rollouts], parent: int, action: str, outcome: Outcome) -> list[int]:
        """Return the children that an action's samples became, and reward those that are finished."""
        tree, memory, request = state.tree, state.memory, outcome.request
        for thought in outcome.thoughts:
            node = tree.index[thought.id]
            if action != "A2" or node not in memory.kind:
                memory.kind[node] = request.action
        firsts = [thought for thought in outcome.thoughts if thought.parents == request.subjects]
        samples = sum(thought.count for thought in firsts)
        votes = count_votes(outcome.thoughts)
        ends = [t for t in outcome.thoughts if t.answer is not None] if action == "A2" else firsts
        living = [thought for thought in ends if not tree.has(tree.index[thought.id], REFUTED)]
        if action == "A2":
            kept = winners(living, {t.id: answer_of(t) for t in living}, 1)
        elif action in ("A3", "A4"):
            keys = {t.id: conclusion(t, whole=action == "A3") for t in living}
            kept = winners(living, keys, self.keeps if action == "A3" else 1)
        else:
            kept = living
        nodes = list(dict.fromkeys(tree.index[thought.id] for thought in kept))
        outvoted = [node for t in living if (node := tree.index[t.id]) not in nodes]
        if outvoted:
            state.note(Operator.PRUNE, list(dict.fromkeys(outvoted)), reason="outvoted")
        for node in nodes:
            if tree.has(node, TERMINAL) and tree.thought[node].answer is not None:
                self._reward(state, node, votes[answer_of(tree.thought[node])] / samples)
        return nodes

    def _reward(self, state: TreeState[Rollouts], node: int, reward: float) -> None:
        memory = state.memory
        if node in memory.rewards:
            return
        memory.rewards[node] = min(1.0, reward)
        answer = answer_of(state.tree.thought[node])
        memory.mass[answer] += reward  # pyright: ignore[reportArgumentType] - a Counter sums any numbers
        memory.top = max(memory.top, memory.mass[answer])
        if node not in memory.agreement:
            memory.unjudged[node] = None

    def _unjudged(self, state: TreeState[Rollouts]) -> int | None:
        """Return a candidate for the discriminator; None while one answer is all but certain."""
        memory = state.memory
        if memory.top > SURE * len(memory.rewards):
            return None
        node = next((node for node in memory.unjudged if not state.tree.has(node, REFUTED)), None)
        if node is not None:  # refuted ones stay: they may be revived
            del memory.unjudged[node]
        return node

    def _judged(self, state: TreeState[Rollouts], outcome: Outcome) -> None:
        memory = state.memory
        for subject in outcome.request.subjects:
            node = state.tree.index[subject]
            said = (
                self._agreeing(evaluation)
                for evaluation in outcome.evaluations
                if state.tree.index[evaluation.thought] == node and evaluation.kind == "agreement"
            )
            memory.agreement[node] = max((same for same in said if same is not None), default=None)
            memory.unjudged.pop(node, None)

    def _agreeing(self, evaluation: Evaluation) -> int | None:
        """Return how many completions agreed, as the discriminator counted them or, of one that does not count, by its share."""
        if evaluation.value is None or evaluation.successes is not None:
            return evaluation.successes
        return round(evaluation.value * self.prefixes)


def _lineage(tree: Tree, node: int) -> list[tuple[str, int]]:
    """Return what a thought is, whatever run it is in: equal seeds then draw equal lots in any run."""
    return [(tree.thought[at].text, tree.thought[at].sample) for at in tree.path(node)]
