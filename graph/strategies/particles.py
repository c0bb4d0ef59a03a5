"""Particle filtering over steps (arXiv 2502.01618) and particle Gibbs, as its_hub does them.

What is said of that code was read in its `core/algorithms/particle_gibbs.py`. n particles, each a path, take one step each; then n are drawn from them with replacement, in proportion to

    weight = softmax(logit(s) / T)      s: the newest step's score, clipped to [10⁻⁷, 1 - 10⁻⁷]; T = 1 there

so the weight is the last score alone and starts afresh every round. A finished particle keeps its place and its weight and
competes on. The filter ends when all are finished, or after `max_steps` rounds.

Particle Gibbs runs the filter `iterations` times. From the second time on, some places belong to *reference* particles, drawn
from the last population by weight: their paths are kept as they are, and compete at every round as far as the round has come,
so that free particles may continue a reference's beginning.

Where we differ: a reference competes with its weight at the round (the code means to, and takes its last one); scores may be
missing, and then the particle has weight 0 unless no particle has a score, in which case all weigh the same; what a rule
refuted has weight 0; a finished solution that was checked has the check as its score. Drawing is multinomial (the code's default) or
systematic. Particles at one thought are one request for as many samples.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import Any, Literal

from ..ids import derive_rng
from ..records import Operator, Outcome, Request
from .evaluation import solution_score
from .parts import Ask, Choice, Pick, TreeState, precedence
from .tree import REFUTED, ROOT, TERMINAL, Aggregation, Tree
from .voting import Rule, finalizer

Resampling = Literal["multinomial", "systematic"]

CLIP = 1e-7


def logit(score: float) -> float:
    """Return the inverse sigmoid of a score in [0, 1], clipped to stay finite."""
    score = min(1.0 - CLIP, max(CLIP, score))
    return math.log(score / (1.0 - score))


def weights(scores: Sequence[float | None], copies: Sequence[int], temperature: float = 1.0) -> list[float]:
    """Return each thought's part of the draw, summing to 1.

    Args:
        scores: of the thoughts, at least one; None for an unscored one.
        copies: particles at each, ≥ 1.
        temperature: T > 0; higher is more even.
    """
    known = [logit(score) / temperature for score in scores if score is not None]
    if not known:
        return [n / sum(copies) for n in copies]
    top = max(known)
    raw = [
        0.0 if score is None else n * math.exp(logit(score) / temperature - top)
        for score, n in zip(scores, copies, strict=True)
    ]
    total = math.fsum(raw)
    return [weight / total for weight in raw]


def resample(parts: Sequence[float], n: int, rng: Random, how: Resampling) -> list[int]:
    """Return how often each is drawn; n in all, and n times its part on average.

    Systematic: at the n points (u + i) / n of the running sum, with one u ~ U[0, 1): each is drawn n times its part, rounded up or down.
    """
    if how == "multinomial":
        drawn = Counter(rng.choices(range(len(parts)), weights=parts, k=n))
        return [drawn[i] for i in range(len(parts))]
    counts = [0] * len(parts)
    offset, place = rng.random(), 0
    upto = list(accumulate(parts))
    last = max(i for i, part in enumerate(parts) if part > 0.0)
    for i in range(n):
        while place < last and upto[place] <= (i + offset) / n:
            place += 1
        counts[place] += 1
    return counts


@dataclass(slots=True)
class Swarm:
    """Where the particles are."""

    particles: dict[int, int] = field(default_factory=dict[int, int])
    """Free particles by node, each ≥ 1, in order."""
    references: list[list[int]] = field(default_factory=list[list[int]])
    """Paths of the reference particles, the root first."""
    iteration: int = 0
    round: int = 0
    """Steps taken in this iteration."""
    wanted: dict[int, int] = field(default_factory=dict[int, int])
    """First sample index of this round's request, by the thought it continues."""
    missing: set[int] = field(default_factory=set[int])
    """Those of them not told."""
    queue: deque[int] = field(default_factory=deque[int])
    """Those of them not handed out."""
    born: dict[tuple[int, int], list[int]] = field(default_factory=dict[tuple[int, int], list[int]])
    """New thoughts of step requests that no round has used yet, by thought continued and first sample index."""
    drawn: dict[int, int] = field(default_factory=dict[int, int])
    """Samples of a thought that were planned here or drawn otherwise."""
    over: bool = False

    def population(self) -> dict[int, int]:
        """Return the particles, references included, by node."""
        held = dict(self.particles)
        for path in self.references:
            node = path[min(self.round, len(path) - 1)]
            held[node] = held.get(node, 0) + 1
        return held


@dataclass(frozen=True, slots=True)
class Particles:
    """Selects the thoughts at which particles are; when all were continued, draws the next population."""

    n: int
    """Particles, ≥ 1."""
    max_steps: int
    aggregation: Aggregation
    resampling: Resampling
    sharpness: float
    """T > 0."""
    temperature: float | None
    """Of the generator."""
    seed: int
    iterations: int = 1
    references: int = 0
    """Particles retained from one iteration to the next, < n."""

    def start(self, tree: Tree) -> Swarm:
        """See `Selector.start`."""
        swarm = Swarm({ROOT: self.n})
        self._plan(tree, swarm)
        return swarm

    def pick(self, state: TreeState[Swarm]) -> Pick | None:
        """See `Selector.pick`."""
        swarm = state.memory
        while swarm.queue:
            node = swarm.queue.popleft()
            if node in swarm.missing and not state.tree.has(node, REFUTED):
                ask = Ask(horizon="step", distinct=False, temperature=self.temperature)
                return Pick((node,), swarm.particles[node], swarm.wanted[node], ask)
        return None

    def told(self, state: TreeState[Swarm], outcome: Outcome, grown: Sequence[int]) -> None:
        """See `Selector.told`."""
        tree, swarm, request = state.tree, state.memory, outcome.request
        node = tree.index[request.subjects[0]]
        if _steps(request):
            children = sorted(grown, key=lambda child: precedence(tree, child))
            swarm.born[node, request.first_sample] = children
            if swarm.wanted.get(node) == request.first_sample:
                swarm.missing.discard(node)
        elif request.grows:
            self._give_way(swarm, node, request.first_sample + request.n)
        else:
            swarm.missing.difference_update([n for n in swarm.missing if tree.has(n, REFUTED)])
        while not swarm.missing and not swarm.over:
            self._advance(state)

    def refresh(self, state: TreeState[Swarm], node: int) -> None:
        """See `Selector.refresh`; there is nothing to keep."""

    def _plan(self, tree: Tree, swarm: Swarm) -> None:
        """Plan this round's requests; those told before (in a replay out of order) are not missing."""
        swarm.wanted.clear()
        for node, copies in swarm.particles.items():
            if not tree.has(node, TERMINAL):
                swarm.wanted[node] = swarm.drawn.get(node, 0)
                swarm.drawn[node] = swarm.wanted[node] + copies
        swarm.missing = {node for node, first in swarm.wanted.items() if (node, first) not in swarm.born}
        swarm.queue = deque(swarm.wanted)

    def _give_way(self, swarm: Swarm, node: int, upto: int) -> None:
        """Leave sample indices to another scheme's request, so that nothing is drawn twice."""
        if node in swarm.missing and swarm.wanted[node] < upto:
            swarm.wanted[node] = upto
            upto += swarm.particles[node]
        swarm.drawn[node] = max(swarm.drawn.get(node, 0), upto)

    def _advance(self, state: TreeState[Swarm]) -> None:
        """End a round: weigh what the particles came to, and draw the next population."""
        tree, swarm = state.tree, state.memory
        swarm.round += 1
        stock: dict[int, int] = {}
        for node, copies in swarm.particles.items():
            if tree.has(node, TERMINAL):
                stock[node] = stock.get(node, 0) + copies
            for child in swarm.born.pop((node, swarm.wanted.get(node, -1)), ()):
                stock[child] = stock.get(child, 0) + tree.count[child]
        swarm.particles = stock
        living = {node: n for node, n in swarm.population().items() if not tree.has(node, REFUTED)}
        drawn = self._draw(tree, swarm, living, self.n - len(swarm.references), "resample")
        for node in living:
            if node in stock and node not in drawn:
                state.note(Operator.PRUNE, (node,), reason="resampled", score=tree.score(node))
        swarm.particles = drawn
        if all(tree.has(node, TERMINAL) for node in drawn) or swarm.round >= self.max_steps:
            self._iterate(tree, swarm, dead=not stock)
        else:
            self._plan(tree, swarm)

    def _iterate(self, tree: Tree, swarm: Swarm, *, dead: bool) -> None:
        """End an iteration: begin the next with references from its population. One in which nothing came of any request is the last."""
        swarm.wanted.clear()
        if dead or swarm.iteration + 1 >= self.iterations:
            swarm.over = True
            return
        chosen = self._draw(tree, swarm, swarm.population(), self.references, "reference")
        swarm.references = [tree.path(node) for node, times in chosen.items() for _ in range(times)]
        swarm.iteration, swarm.round = swarm.iteration + 1, 0
        swarm.particles = {ROOT: self.n - len(swarm.references)}
        self._plan(tree, swarm)

    def _draw(self, tree: Tree, swarm: Swarm, held: Mapping[int, int], n: int, what: str) -> dict[int, int]:
        """Draw n particles in proportion to their weights, keeping the order; none from none."""
        if not held or not n:
            return {}
        scores = [solution_score(tree, node, self.aggregation) for node in held]
        parts = weights(scores, list(held.values()), self.sharpness)
        rng = derive_rng(self.seed, what, swarm.iteration, swarm.round)
        how: Resampling = "multinomial" if what == "reference" else self.resampling
        counts = resample(parts, n, rng, how)
        return {node: count for node, count in zip(held, counts, strict=True) if count}


@dataclass(frozen=True, slots=True)
class Survivors:
    """Chooses among the finished particles of the population, each as often as it is there; among all finished solutions if none is."""

    rule: Rule
    aggregation: Aggregation

    def choose(self, state: TreeState[Any], candidates: Sequence[int]) -> Choice:
        """See `Finalizer.choose`."""
        held: dict[int, int] = state.memory.population()
        own = [node for node in candidates for _ in range(held.get(node, 0))]
        return finalizer(self.rule, self.aggregation).choose(state, own or candidates)


def _steps(request: Request) -> bool:
    """Return whether a request is of the kind that moves particles."""
    plain = not request.action and not request.agent and request.nested is None
    return (
        plain and request.operator is Operator.GENERATE and request.horizon == "step" and not request.distinct
    )
