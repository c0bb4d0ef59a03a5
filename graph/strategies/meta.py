"""A search that chooses its scheme: compute-optimal test-time scaling (Snell et al., arXiv 2408.03314, §3).

A few samples, the *probe*, tell how hard the problem is; a policy names the scheme for that difficulty; it is told the probe's
outcomes, so they are paid once and stay candidates, and it carries on from there. The paper estimates difficulty from 2048
samples that it does not count; here the probe is part of the budget.

Difficulty in [0, 1] is 1 - the mean final score of the probe's solutions, as the evaluation rule gives it: a refuted one has 0,
unscored ones are left out. Where nothing is scored: 1 - the share of the most frequent answer among the samples that left a
thought, of which those without an answer agree with nobody; samples that left none do not count. A probe in which nothing was
finished is as hard as can be: 1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..records import Answer, Operation, Operator, Outcome, Request, Thought
from .base import Strategy
from .chains import BLOCK, Blocks, Drawn
from .evaluation import Stop
from .expansion import Sampler
from .parts import TreeState
from .search import TreeSearch
from .tree import ROOT, TERMINAL, Tree
from .voting import Vote, answer_of


class Policy(Protocol):
    """Which strategy a difficulty calls for."""

    def check(self) -> None:
        """Raise UserError if there is no policy to go by: asked before anything is paid."""
        ...

    def strategy(self, difficulty: float) -> Strategy[Any]:
        """Return the strategy for a difficulty in [0, 1]; the same one for the same difficulty."""
        ...


@dataclass(slots=True)
class MetaState:
    """The state of the search that is under way: the probe, then the chosen one. What a tree search's state shows is read from there."""

    strategy: Strategy[Any]
    inner: Any
    """Its state."""
    operations: list[Operation]
    """The same list as the inner state's."""
    probe: frozenset[str]
    """Ids of the probe's requests."""
    heard: list[Outcome] = field(default_factory=list[Outcome])
    """Outcomes told while the probe lasts, for the chosen strategy to be told."""
    difficulty: float | None = None
    """None while the probe lasts."""

    @property
    def tree(self) -> Tree:
        """The tree searched."""
        return self.inner.tree

    @property
    def told(self) -> set[str]:
        """Ids of the requests told."""
        return self.inner.told

    @property
    def found(self) -> set[int]:
        """Living solutions that end the search."""
        return self.inner.found

    @property
    def best(self) -> int:
        """The best living thought that is no answer."""
        return self.inner.best

    @property
    def pending(self) -> dict[str, Request]:
        """Requests asked and not told."""
        return self.inner.pending

    @property
    def awaited(self) -> dict[int, int]:
        """Pending requests by node."""
        return self.inner.awaited

    @property
    def parked(self) -> dict[str, Any]:
        """Outcomes that wait for a thought they build on."""
        return self.inner.parked

    @property
    def dropped(self) -> int:
        """Operations lost because nobody emptied the list."""
        return self.inner.dropped


@dataclass(frozen=True, slots=True)
class ComputeOptimal:
    """Probes, then hands over to the strategy of its policy."""

    policy: Policy
    probe: int
    """Samples that tell how hard a problem is, ≥ 1."""
    temperature: float | None = None
    """Of the probe's samples; None: the generator's own."""
    action: str = ""
    """How they are asked for; see `Request.action`."""
    block: int = BLOCK
    name: str = "compute_optimal"

    def start(self, root: Thought) -> MetaState:
        """See `Strategy.start`."""
        probing = self._probing()
        blocks = -(-self.probe // self.block)
        requests, _ = probing.ask(probing.start(root), blocks)
        inner = probing.start(root)
        return MetaState(probing, inner, inner.operations, frozenset(request.id for request in requests))

    def ask(self, state: MetaState, k: int) -> tuple[list[Request], MetaState]:
        """See `Strategy.ask`.

        Raises:
            UserError: if k < 1, or before the first request if there is no policy.
        """
        if state.difficulty is None:
            self.policy.check()
        requests, state.inner = state.strategy.ask(state.inner, k)
        return requests, state

    def tell(self, state: MetaState, outcomes: Sequence[Outcome]) -> MetaState:
        """See `Strategy.tell`."""
        for outcome in outcomes:
            if state.difficulty is None and outcome.request.id not in state.told:
                state.heard.append(outcome)
            state.inner = state.strategy.tell(state.inner, [outcome])
            if state.difficulty is None and state.probe <= state.told:
                self._hand_over(state)
        return state

    def answer(self, state: MetaState) -> Answer | None:
        """See `Strategy.answer`."""
        return state.strategy.answer(state.inner)

    def _hand_over(self, state: MetaState) -> None:
        """Choose the strategy, and tell it all that was told."""
        probing: TreeState[Any] = state.inner
        tree = state.tree
        difficulty = estimate(tree, state.probe)
        chosen = self.policy.strategy(difficulty)
        probing.note(Operator.SELECT, (ROOT,), scheme=chosen.name, difficulty=difficulty)
        inner = chosen.start(tree.thought[ROOT])
        inner = chosen.tell(inner, state.heard)
        inner.operations = state.operations  # what it noted of the probe was noted before
        state.strategy, state.inner, state.difficulty = chosen, inner, difficulty
        state.heard = []

    def _probing(self) -> TreeSearch[Drawn]:
        sampler = Sampler(
            self.block, "answer", distinct=False, temperature=self.temperature, action=self.action
        )
        return TreeSearch(
            self.name, Blocks(self.probe, self.block), sampler, Vote(weighted=True), stop=Stop(None)
        )


def estimate(tree: Tree, probe: frozenset[str]) -> float:
    """Return a problem's difficulty in [0, 1], from what came of these requests."""
    scores: list[float] = []
    votes: Counter[str] = Counter()
    samples: set[int] = set()
    for node, thought in enumerate(tree.thought):
        if thought.request not in probe:
            continue
        samples.add(thought.sample)
        if not tree.has(node, TERMINAL):
            continue
        if (score := tree.score(node)) is not None:
            scores.append(score)
        if thought.answer is not None:
            votes[answer_of(thought)] += 1
    if scores:
        return 1.0 - math.fsum(scores) / len(scores)
    return 1.0 - max(votes.values()) / len(samples) if votes else 1.0
