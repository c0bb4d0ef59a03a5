"""Plans: work in stages, each made of what the stage before it brought, in several lines side by side.

A *script* names the stages. The requests of one stage do not depend on each other and are asked at once; when all are told, the script says
what follows, in view of what came. A *line* is one run through the script: one chain of revisions, one graph of operations. Lines do not
depend on each other. A new one is begun whenever the earlier ones have nothing left to ask, so earlier lines go first, and a plan of a
million lines costs what is begun of it.

Everything follows from the outcomes told: work is recognised by its content, also work that this object never asked, and an outcome that
comes before its line has got so far waits for it. A request that came to nothing ends its stage like any other; what becomes of the line
then is the script's to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, NamedTuple, Protocol

from ..records import Operator, Outcome, Request
from .parts import Ask, Choice, Finalizer, Pick, TreeState, precedence
from .tree import REFUTED, ROOT, TERMINAL, Tree

Key = tuple[Operator, str, int, tuple[str, ...]]
"""What tells the requests of a plan apart: operator, action, first sample, subjects."""


class Stage(NamedTuple):
    """Work that is asked at once."""

    name: str
    picks: Sequence[Pick]
    """At least one; each has an `ask`. No two of a search have the same operator, action, first sample and subjects."""


@dataclass(slots=True)
class Line:
    """How far one run through the script has come."""

    number: int
    """From 0."""
    stage: str = ""
    """Name of the last stage begun; "" before the first."""
    turn: int = 0
    """Stages begun."""
    new: list[int] = field(default_factory=list[int])
    """Thoughts that the last stage brought, in the order of its picks."""
    replies: list[Outcome | None] = field(default_factory=list[Outcome | None])
    """What came of the last stage, in the order of its picks; None for a pick that was overtaken by a refutation."""
    kept: list[int] = field(default_factory=list[int])
    """Thoughts that the script goes on with; its own."""
    count: int = 0
    """A number of the script's own."""
    left: int = 0
    """Picks of the last stage not told yet."""
    placed: int = 0
    """Picks of all stages."""


@dataclass(slots=True)
class Lines:
    """The memory of a plan."""

    lines: list[Line] = field(default_factory=list[Line])
    """Those begun, by number."""
    ready: list[tuple[int, int, Key, Pick]] = field(default_factory=list[tuple[int, int, Key, Pick]])
    """Heap of the work to hand out: earlier lines first, in each line the order of its picks."""
    waiting: dict[Key, tuple[int, int]] = field(default_factory=dict[Key, tuple[int, int]])
    """Line and place of all work of the current stages that is not told."""
    early: dict[Key, Outcome] = field(default_factory=dict[Key, Outcome])
    """Outcomes told before their line came to their stage."""


class Script(Protocol):
    """What a line does, stage by stage."""

    @property
    def stride(self) -> int:
        """Samples of the root that belong to one line (≥ 1): line i draws those from i · stride to (i + 1) · stride - 1."""
        ...

    def next(self, state: TreeState[Lines], line: Line) -> Stage | None:
        """Return the stage after the one that ended, or the first; None if the line ends here.

        It must follow from the tree and the line, of which it may change `kept` and `count`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """Selects the work of `lines` lines of a script."""

    script: Script
    lines: int = 1
    """≥ 1."""

    def start(self, tree: Tree) -> Lines:
        """See `Selector.start`."""
        return Lines()

    def pick(self, state: TreeState[Lines]) -> Pick | None:
        """See `Selector.pick`."""
        memory = state.memory
        while memory.ready or len(memory.lines) < self.lines:
            if not memory.ready:
                self._begin(state)
                continue
            _, _, key, pick = heappop(memory.ready)
            if key not in memory.waiting:
                continue  # told meanwhile
            if _possible(state.tree, pick):
                return pick
            self._reply(state, key, None)
        return None

    def told(self, state: TreeState[Lines], outcome: Outcome, grown: Sequence[int]) -> None:
        """See `Selector.told`."""
        memory, request = state.memory, outcome.request
        if request.subjects == (state.tree.thought[ROOT].id,):
            number = request.first_sample // self.script.stride
            while len(memory.lines) <= number < self.lines:
                self._begin(state)
        key = _key(request)
        if key in memory.waiting:
            self._reply(state, key, outcome)
        elif request.n:
            memory.early[key] = outcome

    def refresh(self, state: TreeState[Lines], node: int) -> None:
        """See `Selector.refresh`; there is nothing to keep."""

    def _begin(self, state: TreeState[Lines]) -> None:
        line = Line(len(state.memory.lines))
        state.memory.lines.append(line)
        self._advance(state, line)

    def _reply(self, state: TreeState[Lines], key: Key, outcome: Outcome | None) -> None:
        number, place = state.memory.waiting.pop(key)
        line = state.memory.lines[number]
        line.replies[place] = outcome
        line.left -= 1
        self._advance(state, line)

    def _advance(self, state: TreeState[Lines], line: Line) -> None:
        """Begin the stages whose predecessors are told; what was told early may complete several."""
        while not line.left:
            index = state.tree.index
            line.new = [index[thought.id] for reply in line.replies if reply for thought in reply.thoughts]
            stage = self.script.next(state, line)
            line.replies = []
            if stage is None:
                return
            assert stage.picks, f"the stage {stage.name!r} asks for nothing"
            line.stage = stage.name
            line.turn += 1
            for pick in stage.picks:
                self._place(state, line, pick)

    def _place(self, state: TreeState[Lines], line: Line, pick: Pick) -> None:
        memory, key = state.memory, _key_of(state.tree, pick)
        early = memory.early.pop(key, None)
        if early is None:
            memory.waiting[key] = (line.number, len(line.replies))
            heappush(memory.ready, (line.number, line.placed, key, pick))
            line.left += 1
        line.replies.append(early)
        line.placed += 1


@dataclass(frozen=True, slots=True)
class Kept:
    """A choice among the solutions that the lines of a plan go on with or ended with; among all where none of these is finished."""

    choice: Finalizer

    def choose(self, state: TreeState[Any], candidates: Sequence[int]) -> Choice:
        """See `Finalizer.choose`."""
        memory: Lines = state.memory
        kept = {node for line in memory.lines for node in line.kept}
        return self.choice.choose(state, [node for node in candidates if node in kept] or candidates)


def _key(request: Request) -> Key:
    return (request.operator, request.action, request.first_sample, request.subjects)


def _key_of(tree: Tree, pick: Pick) -> Key:
    assert pick.ask is not None
    subjects = tuple(tree.thought[node].id for node in pick.subjects)
    return (pick.ask.operator, pick.ask.action, pick.first_sample, subjects)


def _possible(tree: Tree, pick: Pick) -> bool:
    """Return whether the work may still be done: a thought refuted since it was planned is not continued."""
    assert pick.ask is not None
    return pick.ask.operator is not Operator.GENERATE or not tree.has(pick.subjects[0], REFUTED | TERMINAL)


def draft(line: Line, temperature: float | None) -> Stage:
    """Return the stage of a line's first attempt at the whole problem."""
    ask = Ask(horizon="solution", distinct=False, temperature=temperature)
    return Stage("draft", (Pick((ROOT,), 1, line.number, ask),))


def rewrite(nodes: Sequence[int], first: int, temperature: float | None) -> Pick:
    """Return the work of rewriting the first of these attempts in view of the others, as one further attempt of its line."""
    ask = Ask(Operator.REFINE, horizon="solution", distinct=False, temperature=temperature)
    return Pick(tuple(nodes), 1, first, ask)


def combine(nodes: Sequence[int], n: int, first: int, temperature: float | None) -> Pick:
    """Return the work of making `n` whole solutions out of these thoughts: an aggregation, or of a single one a refinement."""
    operator = Operator.AGGREGATE if len(nodes) > 1 else Operator.REFINE
    return Pick(tuple(nodes), n, first, Ask(operator, horizon="solution", temperature=temperature))


def judge(nodes: Sequence[int], action: str) -> list[Pick]:
    """Return the work of judging these thoughts, each by itself."""
    return [Pick((node,), 1, 0, Ask(Operator.EVALUATE, action=action)) for node in nodes]


def merit(tree: Tree, node: int) -> tuple[bool, bool, float, tuple[int, int, str]]:
    """Return the key by which thoughts are kept, best first: by score, unscored ones after scored ones, refuted ones last."""
    score = tree.score(node)
    return (tree.has(node, REFUTED), score is None, -(score or 0.0), precedence(tree, node))


def portion(place: int, of: int, part: float = 1.0) -> float:
    """Return which share of what is left, in (0, 1], gives the search at this place (from 0) 1 / `of` of a part of the budget.

    A search inside a thought gets a share of what is left when it begins. With those before it under way, the part / of that each is due is
    this share of the rest; what they do not spend is shared among those that begin later.
    """
    return part / (of - place * part)
