"""Tree search as a composition of parts: the one place that knows the ask-and-tell protocol.

The laws of `base.py` are kept here for every composition: a request is told once; outcomes may come in any order, even before the
thoughts they build on (they wait for them); what was asked and not told is forgotten in a crash and asked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic

from ..errors import UserError
from ..records import Answer, Operator, Outcome, Request, Thought
from .evaluation import EvaluationRule, FirstKnown, Stop, settle
from .parts import Backup, Choice, Expander, Finalizer, M, Pick, Selector, TreeState, plain, precedence
from .tree import EXHAUSTED, FAILED, REFUTED, TERMINAL, Tree


@dataclass(frozen=True, slots=True)
class TreeSearch(Generic[M]):
    """A strategy made of parts; see `parts.py`. Chains, beams and Monte-Carlo trees are configurations of it."""

    name: str
    selector: Selector[M]
    expander: Expander
    finalizer: Finalizer
    rule: EvaluationRule = field(default_factory=FirstKnown)
    backup: Backup | None = None
    stop: Stop = field(default_factory=lambda: Stop(None))
    merge_states: bool = False
    """Whether thoughts of one level that reach equal states share a node and its statistics."""

    def start(self, root: Thought) -> TreeState[M]:
        """See `Strategy.start`."""
        tree = Tree(root)
        return TreeState(tree, self.selector.start(tree))

    def ask(self, state: TreeState[M], k: int) -> tuple[list[Request], TreeState[M]]:
        """See `Strategy.ask`.

        Raises:
            UserError: if k < 1.
        """
        if k < 1:
            raise UserError(f"asked for {k} requests; ask for 1 or more")
        requests: list[Request] = []
        while len(requests) < k and not state.found:
            pick = self.selector.pick(state)
            if pick is None:
                break
            request = _asked(state.tree, pick) if pick.ask else self.expander.request(state.tree, pick)
            request_id = request.id
            state.pending[request_id] = request
            state.note(
                Operator.SELECT,
                pick.subjects,
                request=request_id,
                visits=plain(state.tree.visits[pick.subjects[0]]),
                value=state.tree.value(pick.subjects[0]),
            )
            self._await(state, request_id, pick.subjects)
            requests.append(request)
        return requests, state

    def tell(self, state: TreeState[M], outcomes: Sequence[Outcome]) -> TreeState[M]:
        """See `Strategy.tell`."""
        for outcome in outcomes:
            request_id = outcome.request.id
            if request_id in state.told:
                continue
            state.told.add(request_id)
            if state.pending.pop(request_id, None) is not None:
                self._arrive(state, request_id, outcome.request)
            queue = [(outcome, request_id)]
            while queue:
                ready, ready_id = queue.pop()
                missing = _missing(state.tree, ready)
                if missing is not None:
                    state.parked.setdefault(missing, []).append((ready, ready_id))
                    continue
                self._absorb(state, ready, ready_id)
                if state.parked:
                    for thought in reversed(ready.thoughts):
                        queue.extend(reversed(state.parked.pop(thought.id, ())))
        return state

    def answer(self, state: TreeState[M]) -> Answer | None:
        """See `Strategy.answer`.

        The finalizer's choice among the living solutions with an answer: those that satisfy the Stop, if any do. Those whose answer has no canonical form are considered only
        if no other is there. If there are none: the best unfinished thought, with text None. A refuted thought is never answered.
        """
        tree = state.tree
        if len(tree) == 1:
            return None
        choice = self.choose(state)
        if choice is None:
            return Answer(tree.thought[state.best].id, None, None, tree.score(state.best))
        chosen = tree.thought[choice.node]
        return Answer(chosen.id, chosen.answer, chosen.key, choice.score)

    def choose(self, state: TreeState[M]) -> Choice | None:
        """Return the finalizer's choice, or None if nothing is finished; a choice that is news is noted as an operation."""
        revision, choice = state.choice
        if revision != state.revision:
            candidates = sorted(state.found) or _candidates(state.tree)
            choice = self.finalizer.choose(state, candidates) if candidates else None
            state.choice = (state.revision, choice)
        if choice is not None and (choice.node, choice.rule, choice.unscored) != state.announced:
            state.announced = (choice.node, choice.rule, choice.unscored)
            state.note(
                Operator.SELECT,
                (choice.node,),
                final=choice.rule,
                score=choice.score,
                candidates=choice.candidates,
                unscored=choice.unscored,
            )
        return choice

    def _await(self, state: TreeState[M], request_id: str, nodes: tuple[int, ...]) -> None:
        """Put a virtual loss on a request's subjects and all above them."""
        for node in nodes:
            state.awaited[node] = state.awaited.get(node, 0) + 1
        losses = state.losses[request_id] = list(state.tree.climb(nodes))
        for node in losses:
            state.tree.pending[node] += 1
            self.selector.refresh(state, node)

    def _arrive(self, state: TreeState[M], request_id: str, request: Request) -> None:
        """Take the virtual losses of a request off again, from where they were put: nodes may have got more parents since."""
        for subject in request.subjects:
            node = state.tree.index[subject]
            waiting = state.awaited.pop(node) - 1
            if waiting:
                state.awaited[node] = waiting
        for node in state.losses.pop(request_id):
            state.tree.pending[node] -= 1
            self.selector.refresh(state, node)

    def _absorb(self, state: TreeState[M], outcome: Outcome, request_id: str) -> None:
        tree, request = state.tree, outcome.request
        before = len(tree)
        subjects = {tree.index[subject] for subject in request.subjects}
        had = {subject: len(tree.children(subject)) for subject in subjects}
        merge, states = self.expander.merge, self.merge_states
        touched = {tree.add(thought, merge=merge, merge_states=states) for thought in outcome.thoughts}
        grown = range(before, len(tree))
        for evaluation in outcome.evaluations:
            node = tree.index[evaluation.thought]
            tree.judge(node, evaluation)
            touched.add(node)
        if request.grows:
            for subject in subjects:
                tree.expansions[subject] += 1
                tree.rollouts[subject] += request.horizon == "answer"
                tree.next_sample[subject] = max(tree.next_sample[subject], request.first_sample + request.n)
        settled, refuted = settle(tree, self.rule, touched)
        if request.grows and request.horizon == "step":
            for subject, children in had.items():
                lives = any(not tree.has(child, REFUTED) for child in tree.children(subject)[children:])
                tree.barren[subject] = 0 if lives else tree.barren[subject] + 1
                if outcome.exhausted:
                    tree.mark(subject, EXHAUSTED, True)
        for parent in {parent for node in touched for parent in tree.parents(node)}:
            self.expander.grown(tree, parent)
        state.revision += 1
        self._log(state, outcome, request_id, sorted(touched), refuted)
        self._track(state, settled)
        for node in tree.climb(settled | subjects):
            if self.backup is not None:
                self.backup.update(tree, node)
            self.selector.refresh(state, node)
        if self.backup is not None and settled:
            top = tree.index[request.subjects[0]]
            state.note(Operator.BACKPROPAGATE, (top,), visits=plain(tree.visits[top]), value=tree.value(top))
        self.selector.told(state, outcome, grown)

    def _track(self, state: TreeState[M], settled: set[int]) -> None:
        """Keep the best unfinished thought and the solutions that end the search."""
        tree = state.tree
        for node in settled:
            if not tree.has(node, TERMINAL):
                continue
            if self.stop.found(tree, node):
                state.found.add(node)
            else:
                state.found.discard(node)
        # a champion that was judged anew may have fallen: then, rarely, everyone is asked again
        pool = range(len(tree)) if state.best in settled else [state.best, *settled]
        state.best = min(pool, key=lambda node: _unfinished_rank(tree, node))

    def _log(
        self,
        state: TreeState[M],
        outcome: Outcome,
        request_id: str,
        touched: Sequence[int],
        refuted: Sequence[int],
    ) -> None:
        tree, request = state.tree, outcome.request
        subjects = [tree.index[subject] for subject in request.subjects]
        if request.grows:
            thoughts = len(outcome.thoughts)
            state.note(request.operator, subjects, request=request_id, thoughts=thoughts, error=outcome.error)
        if touched:
            state.note(
                Operator.EVALUATE,
                touched,
                request=request_id,
                scored=sum(tree.score(node) is not None for node in touched),
                unscored=sum(tree.score(node) is None for node in touched),
                failed=sum(tree.has(node, FAILED) for node in touched),
            )
        for node in refuted:
            state.note(Operator.PRUNE, (node,), reason="refuted")


def _asked(tree: Tree, pick: Pick) -> Request:
    """Return the request of a pick that says itself what is to be done."""
    ask = pick.ask
    assert ask is not None
    assert pick.n is not None, "a pick with an ask says how many samples it wants"
    return Request(
        ask.operator,
        tuple(tree.thought[node].id for node in pick.subjects),
        pick.n,
        pick.first_sample,
        ask.horizon,
        ask.distinct,
        ask.temperature,
        ask.action,
        ask.agent,
        ask.steps,
        ask.nested,
    )


def _missing(tree: Tree, outcome: Outcome) -> str | None:
    """Return a thought that the outcome builds on and the tree does not know yet."""
    new: set[str] = set()
    for subject in outcome.request.subjects:
        if subject not in tree.index:
            return subject
    for thought in outcome.thoughts:
        for parent in thought.parents:
            if parent not in tree.index and parent not in new:
                return parent
        new.add(thought.id)
    for evaluation in outcome.evaluations:
        if evaluation.thought not in tree.index and evaluation.thought not in new:
            return evaluation.thought
    return None


def _candidates(tree: Tree) -> list[int]:
    living = [node for node in tree.terminals if not tree.has(node, REFUTED)]
    keyed = [node for node in living if tree.thought[node].key is not None]
    return keyed or [node for node in living if tree.thought[node].answer is not None]


def _unfinished_rank(tree: Tree, node: int) -> tuple[bool, bool, float, int, tuple[int, int, str]]:
    """Order living thoughts without an answer by score, scored ones first, then deeper, then earlier ones."""
    score = tree.score(node)
    answered = tree.has(node, REFUTED) or tree.thought[node].answer is not None
    return (answered, score is None, -(score or 0.0), -tree.depth[node], precedence(tree, node))
