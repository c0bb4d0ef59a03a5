"""Wider or deeper, by Thompson sampling over a tree of whole answers: AB-MCTS (arXiv 2503.04412; code: treequest).

A node is a whole answer with a score r in [0, 1] from the team's verifiers. At each node the arms are GEN (a new attempt here:
at the root from nothing, elsewhere a rewriting of the node's answer, in view of what critics and tools said of it) and the
answers made from it. From the root, arms are drawn until GEN wins or an answer has nothing made from it; one new answer comes
of it.

* `Aggregated`, AB-MCTS-A, first draws GEN against CONT, then among the answers. A new score r counts for GEN of the node it was
  made from and for its own arm there; then, at every ancestor's parent, for the ancestor's arm and for CONT, up to the root. GEN
  of ancestors is not touched (as in the code).
* `MixedModel`, AB-MCTS-M, draws a next score for every answer, from all scores at it and below, and for a new one, from one mixed
  model (`posteriors.py`: exact where the paper samples). An answer at and below which there are `prune_size` scores or more,
  `prune_share` of them equal to two decimals, does not compete. (In the code, where such an answer has the highest draw, the
  next-best answer is taken even if GEN drew more.)

With several agents, which of them makes an attempt is drawn by Thompson sampling over all scores of its attempts anywhere in the
tree (the code's default, `multiarm_bandit_thompson`); GEN and CONT are shared.

An attempt without a score is an observation of nothing: it counts as drawn, not as 0. A refuted one has scored 0. Requests
under way count for nothing either: Thompson sampling spreads a wave by its own randomness. Draws derive from the seed and the
number of attempts asked for so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from ..ids import derive_rng
from ..records import Operator, Outcome
from .parts import Ask, Pick, TreeState
from .posteriors import NOTHING, Beta, Gaussian, Mixed, Scores, fit_mixed
from .solutions import Attempts
from .tree import ROOT, Tree


@dataclass(slots=True)
class Arms:
    """Scores seen, by arm."""

    attempts: Attempts = field(default_factory=Attempts)
    own: dict[int, float] = field(default_factory=dict[int, float])
    """The score of each answer that has one."""
    fresh: dict[int, Scores] = field(default_factory=dict[int, Scores])
    """GEN of a node: the answers made from it."""
    below: dict[int, Scores] = field(default_factory=dict[int, Scores])
    """The arm of an answer: itself and all below it; of the root: everything."""
    continued: dict[int, Scores] = field(default_factory=dict[int, Scores])
    """CONT of a node: all below the answers made from it."""
    maker: dict[int, str] = field(default_factory=dict[int, str])
    """Who made an answer, where it was not the generator."""
    agents: dict[str, Scores] = field(default_factory=dict[str, Scores])
    """The scores of each agent's attempts."""
    equal: dict[int, dict[int, int]] = field(default_factory=dict[int, dict[int, int]])
    """At and below an answer: how often each score was seen, in hundredths."""
    pruned: set[int] = field(default_factory=set[int])
    """Answers that do not compete."""
    fits: dict[int, Mixed] = field(default_factory=dict[int, Mixed])
    """Mixed models by node, until the next score."""

    def observe(self, node: int, score: float | None) -> bool:
        """Bring all arms up to date with an answer's score; return whether it is news."""
        old = self.own.get(node)
        if score == old:
            return False
        self.fits.clear()
        touched = [(self.fresh, self.attempts.source[node])]
        for above in self.attempts.above(node):
            touched.append((self.below, above))
            if above not in (node, ROOT):
                touched.append((self.continued, self.attempts.source[above]))
        for arms, key in touched:
            _replace(arms.setdefault(key, Scores()), old, score)
        _replace(self.agents.setdefault(self.maker.get(node, ""), Scores()), old, score)
        if score is None:
            del self.own[node]
        else:
            self.own[node] = score
        return True


class Model(Protocol):
    """What is believed of the arms."""

    def choose(self, arms: Arms, node: int, rng: Random) -> int | None:
        """Return the answer to go on to, of those made from a node (at least one), or None for GEN."""
        ...

    def agent(self, histories: Sequence[Scores], rng: Random) -> int:
        """Return which agent makes the next attempt."""
        ...


@dataclass(frozen=True, slots=True)
class Aggregated:
    """AB-MCTS-A: node aggregation, with a conjugate posterior for each arm."""

    prior: Gaussian | Beta

    def choose(self, arms: Arms, node: int, rng: Random) -> int | None:
        """See `Model.choose`."""
        fresh = self.prior.after(arms.fresh.get(node, NOTHING)).draw(rng)
        if fresh >= self.prior.after(arms.continued.get(node, NOTHING)).draw(rng):
            return None
        made = arms.attempts.made[node]
        draws = [self.prior.after(arms.below.get(answer, NOTHING)).draw(rng) for answer in made]
        return made[max(range(len(made)), key=draws.__getitem__)]

    def agent(self, histories: Sequence[Scores], rng: Random) -> int:
        """See `Model.agent`."""
        draws = [self.prior.after(scores).draw(rng) for scores in histories]
        return max(range(len(draws)), key=draws.__getitem__)


@dataclass(frozen=True, slots=True)
class MixedModel:
    """AB-MCTS-M: one mixed model for all arms of a node."""

    def choose(self, arms: Arms, node: int, rng: Random) -> int | None:
        """See `Model.choose`."""
        made = arms.attempts.made[node]
        groups = [arms.below.get(answer, NOTHING) for answer in made]
        fit = arms.fits.get(node)
        if fit is None:
            fit = arms.fits[node] = fit_mixed(groups)
        best, choice = fit.draw(NOTHING, rng), None
        for answer, scores in zip(made, groups, strict=True):
            if answer not in arms.pruned and (draw := fit.draw(scores, rng)) > best:
                best, choice = draw, answer
        return choice

    def agent(self, histories: Sequence[Scores], rng: Random) -> int:
        """See `Model.agent`."""
        fit = fit_mixed(histories)
        draws = [fit.draw(scores, rng) for scores in histories]
        return max(range(len(draws)), key=draws.__getitem__)


@dataclass(frozen=True, slots=True)
class Thompson:
    """Selects where to make the next attempt, and who makes it."""

    n: int
    """Attempts, ≥ 1."""
    model: Model
    agents: tuple[str, ...]
    """Those that may make an attempt, at least one, as requests name them."""
    seed: int
    temperature: float | None
    prune_size: int | None = None
    """Scores at and below an answer from which on it may be pruned; None: never."""
    prune_share: float = 1.0

    def start(self, tree: Tree) -> Arms:
        """See `Selector.start`."""
        return Arms()

    def pick(self, state: TreeState[Arms]) -> Pick | None:
        """See `Selector.pick`."""
        arms = state.memory
        asked = arms.attempts.asked(state)
        if asked >= self.n:
            return None
        rng, node = derive_rng(self.seed, "thompson", asked), ROOT
        while node in arms.attempts.made:
            answer = self.model.choose(arms, node, rng)
            if answer is None:
                break
            node = answer
        agent = self.agents[0]
        if len(self.agents) > 1:
            agent = self.agents[self.model.agent([arms.agents.get(a, NOTHING) for a in self.agents], rng)]
        operator = Operator.GENERATE if node == ROOT else Operator.REFINE
        ask = Ask(operator, "", agent, "solution", distinct=False, temperature=self.temperature)
        return Pick((node,), 1, arms.attempts.take(node), ask)

    def told(self, state: TreeState[Arms], outcome: Outcome, grown: Sequence[int]) -> None:
        """See `Selector.told`."""
        arms = state.memory
        for node in arms.attempts.told(state.tree, outcome, grown):
            if outcome.request.agent:
                arms.maker[node] = outcome.request.agent
            self._observe(state, node)

    def refresh(self, state: TreeState[Arms], node: int) -> None:
        """See `Selector.refresh`."""
        if node in state.memory.attempts.source:
            self._observe(state, node)

    def _observe(self, state: TreeState[Arms], node: int) -> None:
        """Back up an answer's score, if it is news."""
        tree, arms, score = state.tree, state.memory, state.tree.score(node)
        old = arms.own.get(node)
        if not arms.observe(node, score):
            return
        for above in arms.attempts.above(node):
            scores = arms.below[above]
            tree.set_value(above, scores.mean if scores.n else None, scores.n, scores.n)
            if self.prune_size is not None and above != ROOT:
                self._prune(state, above, old, score)
        state.note(Operator.BACKPROPAGATE, (node,), score=score)

    def _prune(self, state: TreeState[Arms], answer: int, old: float | None, new: float | None) -> None:
        """Count a score at or below an answer, and see whether the answer still competes."""
        assert self.prune_size is not None
        arms = state.memory
        seen = arms.equal.setdefault(answer, {})
        for value, change in ((old, -1), (new, 1)):
            if value is not None:
                hundredths = round(100 * value)
                seen[hundredths] = seen.get(hundredths, 0) + change
        n = arms.below[answer].n
        pruned = n >= self.prune_size and max(seen.values()) >= self.prune_share * n
        if pruned and answer not in arms.pruned:
            state.note(Operator.PRUNE, (answer,), reason="equal scores", scores=n)
        (arms.pruned.add if pruned else arms.pruned.discard)(answer)


def _replace(scores: Scores, old: float | None, new: float | None) -> None:
    if old is not None:
        scores.remove(old)
    if new is not None:
        scores.add(new)
