"""Searches in rounds: continue some thoughts, judge what came, keep some, and again.

A round has one stage or two. Its *places* hold the thoughts to continue; the first stage asks for their continuations, the *candidates*. A `Judge`
may ask for more about them, which is the second stage, and says what each is worth; a `Keeper` chooses the places of the next round.
The requests of a stage do not depend on each other and are asked at once; when all are told, the search goes on. So the result does not
depend on the order in which they come.

When nothing is left to continue, the same is done anew from the root as long as `repeats` allows, and each time the samples begin where
those before ended: the repeats draw independently, as separate searches would. Equal thoughts of equal parents share a node, so what
several of them found is one solution whose count weighs in the vote. A repeat in which nothing came of the root is the last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ..records import Horizon, Operator, Outcome, Request
from .judges import Judge
from .parts import Ask, Pick, TreeState
from .tree import REFUTED, ROOT, TERMINAL, Tree

OVER = -1
"""In place of a thought: nothing is continued here any more."""

Key = tuple[Operator, str, Horizon, int, tuple[int, ...]]
"""What tells the requests of a search in stages apart: operator, action, horizon, first sample, nodes."""


@dataclass(slots=True)
class Stage:
    """Requests that do not depend on each other, and what came of them so far."""

    picks: list[Pick] = field(default_factory=list[Pick])
    """Each has an `ask`."""
    keys: list[Key] = field(default_factory=list[Key])
    arrived: dict[Key, Outcome | None] = field(default_factory=dict[Key, Outcome | None])
    """Outcomes of this stage, None for one that is not asked any more; and of later ones, told early."""
    handed: int = 0
    """Picks before this one were handed out, or need not be."""
    ended: int = 0
    """Picks before this one are told, or given up."""

    def begin(self, picks: list[Pick]) -> None:
        """Go on to the next stage."""
        self.picks = picks
        self.keys = [_key_of(pick) for pick in picks]
        self.handed = self.ended = 0

    def pick(self, tree: Tree) -> Pick | None:
        """Return the next pick that is neither handed out nor told."""
        while self.handed < len(self.picks):
            place = self.handed
            self.handed += 1
            if not self._settled(tree, place):
                return self.picks[place]
        return None

    def told(self, tree: Tree, outcome: Outcome) -> None:
        """Keep an outcome until its stage ends; what the team says when it judges again is none of ours."""
        if outcome.request.grows or outcome.request.n:
            self.arrived[_key(tree, outcome.request)] = outcome

    def complete(self, tree: Tree) -> bool:
        """Return whether a stage is under way and everything asked in it is told."""
        while self.ended < len(self.picks) and self._settled(tree, self.ended):
            self.ended += 1
        return bool(self.picks) and self.ended == len(self.picks)

    def outcomes(self) -> list[Outcome | None]:
        """Return what came of each pick of a complete stage, and forget it."""
        return [self.arrived.pop(key) for key in self.keys]

    def _settled(self, tree: Tree, place: int) -> bool:
        key, pick = self.keys[place], self.picks[place]
        if key not in self.arrived and key[0] is Operator.GENERATE and tree.has(pick.subjects[0], REFUTED):
            self.arrived[key] = (
                None  # refuted since it was planned: if it was asked, its outcome is not waited for
            )
        return key in self.arrived


@dataclass(slots=True)
class Round:
    """Where a search in rounds stands."""

    stage: Stage = field(default_factory=Stage)
    repeat: int = 0
    """Searches from the root that ended, ≥ 0."""
    number: int = 1
    """The current round of this repeat, ≥ 1."""
    places: list[int] = field(default_factory=list[int])
    """Thoughts continued in this round, or `OVER`; a finished one is its own continuation."""
    groups: list[list[int]] | None = None
    """Candidates by place, once they are told and while more is asked about them."""
    last: list[list[int]] = field(default_factory=list[list[int]])
    """Candidates by place of the round before."""
    returned: list[int] = field(default_factory=list[int])
    """The keeper's own."""
    drawn: dict[int, int] = field(default_factory=dict[int, int])
    """Samples asked for so far, by thought."""
    known: dict[int, float | None] = field(default_factory=dict[int, float | None])
    """What the judge was told of thoughts; its own."""
    finished: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """Finished candidates of this repeat with the samples that gave them."""
    fruitful: bool = False
    """Whether anything came of this repeat."""


class Level(NamedTuple):
    """The candidates of a round."""

    groups: Sequence[Sequence[int]]
    """Living ones by place, in the order of their samples."""
    merits: Mapping[int, float | None]
    """What each is worth, in [0, 1]; None where nobody knows."""
    final: bool
    """Whether this was the last round."""

    def candidates(self) -> list[int]:
        """Return all, each once, in the order of places and samples."""
        return list(self.merits)

    def ranked(self, nodes: Sequence[int]) -> list[int]:
        """Return these best first: scored before unscored; equals keep their order."""
        return sorted(nodes, key=lambda node: by_merit(self.merits[node]))


class Keeper(Protocol):
    """Which candidates are continued."""

    def start(self) -> list[int]:
        """Return the places of the first round: the root, as often as it is to be continued."""
        ...

    def samples(self, number: int) -> int:
        """Return how many continuations a thought gets in this round, ≥ 1."""
        ...

    def keep(self, state: TreeState[Round], level: Level) -> list[int]:
        """Return the places of the next round; none if this search from the root is over."""
        ...


@dataclass(frozen=True, slots=True)
class Rounds:
    """Selects the requests of a search in rounds."""

    keeper: Keeper
    judge: Judge
    max_steps: int
    """Rounds of one repeat, ≥ 1."""
    repeats: int = 1
    """≥ 1."""
    temperature: float | None = None
    action: str = ""
    """How continuations are asked for."""
    single: bool = False
    """Whether of candidates with equal states only the first is judged, and the others are worth 0."""

    def start(self, tree: Tree) -> Round:
        """See `Selector.start`."""
        memory = Round(places=self.keeper.start())
        memory.stage.begin(self._grow(tree, memory))
        return memory

    def pick(self, state: TreeState[Round]) -> Pick | None:
        """See `Selector.pick`."""
        return state.memory.stage.pick(state.tree)

    def told(self, state: TreeState[Round], outcome: Outcome, grown: Sequence[int]) -> None:
        """See `Selector.told`."""
        stage = state.memory.stage
        stage.told(state.tree, outcome)
        while stage.complete(state.tree):
            self._advance(state)

    def refresh(self, state: TreeState[Round], node: int) -> None:
        """See `Selector.refresh`; there is nothing to keep."""

    def _advance(self, state: TreeState[Round]) -> None:
        memory = state.memory
        outcomes = memory.stage.outcomes()
        if memory.groups is None:
            memory.groups = self._arrange(state.tree, memory, outcomes)
            copies = self._copies(state.tree, memory.groups)
            fresh = [[node for node in group if node not in copies] for group in memory.groups]
            picks = self.judge.plan(state.tree, fresh, memory.known, memory.repeat)
            if picks:
                memory.stage.begin(picks)
                return
        else:
            self.judge.learn(state, outcomes, memory.known)
        self._keep(state, memory.groups)

    def _arrange(self, tree: Tree, memory: Round, outcomes: list[Outcome | None]) -> list[list[int]]:
        """Return the living candidates by place."""
        told = iter(outcomes)
        groups: list[list[int]] = []
        for place in memory.places:
            if not _continued(tree, place):
                groups.append([place] if place != OVER and not tree.has(place, REFUTED) else [])
                continue
            thoughts = outcome.thoughts if (outcome := next(told)) else ()
            nodes = [tree.index[thought.id] for thought in thoughts]
            pairs = zip(nodes, thoughts, strict=True)
            memory.finished += [(node, thought.count) for node, thought in pairs if thought.terminal]
            memory.fruitful = memory.fruitful or bool(nodes)
            groups.append([node for node in dict.fromkeys(nodes) if not tree.has(node, REFUTED)])
        return groups

    def _copies(self, tree: Tree, groups: Sequence[Sequence[int]]) -> set[int]:
        return copies(tree, [node for group in groups for node in group]) if self.single else set()

    def _keep(self, state: TreeState[Round], groups: list[list[int]]) -> None:
        tree, memory = state.tree, state.memory
        living = [[node for node in group if not tree.has(node, REFUTED)] for group in groups]
        worthless = self._copies(tree, living)
        merits = {
            node: 0.0 if node in worthless else self.judge.merit(tree, node, memory.known)
            for group in living
            for node in group
        }
        level = Level(living, merits, memory.number >= self.max_steps)
        memory.places = self.keeper.keep(state, level)
        memory.groups, memory.last = None, living
        memory.number += 1
        picks = self._grow(tree, memory)
        if not picks and memory.fruitful and memory.repeat + 1 < self.repeats:
            memory.repeat += 1
            memory.number = 1
            memory.places, memory.last = self.keeper.start(), []
            memory.finished.clear()
            memory.fruitful = False
            picks = self._grow(tree, memory)
        memory.stage.begin(picks)

    def _grow(self, tree: Tree, memory: Round) -> list[Pick]:
        places = [place for place in memory.places if _continued(tree, place)]
        shared = Counter(places)
        n = self.keeper.samples(memory.number)
        picks: list[Pick] = []
        for node in places:
            first = memory.drawn.get(node, 0)
            memory.drawn[node] = first + n
            # distinct samples leave out what the thought's other children say: right only where it has none
            alone = first == 0 and shared[node] == 1 and (node == ROOT or not self.judge.grows)
            ask = Ask(action=self.action, distinct=alone, temperature=self.temperature)
            picks.append(Pick((node,), n, first, ask))
        return picks


def _continued(tree: Tree, place: int) -> bool:
    return place != OVER and not tree.has(place, TERMINAL)


def copies(tree: Tree, nodes: Sequence[int]) -> set[int]:
    """Return the nodes whose state an earlier one of these has."""
    first: dict[str, int] = {}
    found: set[int] = set()
    for node in nodes:
        state = tree.thought[node].state
        if state is not None and not tree.has(node, TERMINAL) and first.setdefault(state, node) != node:
            found.add(node)
    return found


def by_merit(merit: float | None) -> tuple[bool, float]:
    """Return the key by which thoughts sort best first, unscored ones last."""
    return (merit is None, -(merit or 0.0))


def _key(tree: Tree, request: Request) -> Key:
    nodes = tuple(tree.index[subject] for subject in request.subjects)
    return (request.operator, request.action, request.horizon, request.first_sample, nodes)


def _key_of(pick: Pick) -> Key:
    assert pick.ask is not None
    return (pick.ask.operator, pick.ask.action, pick.ask.horizon, pick.first_sample, pick.subjects)
