"""The seams of a tree search: the parts that `TreeSearch` composes, and the state they share.

A published system is a choice of parts (Selector, Expander, Evaluation rule, Backup, Finalizer, and a Stop):

    TreeSearch(name="mcts", selector=Descent(Puct(c=1.25)), expander=Sampler(n=4), backup=MeanBackup(), finalizer=BestSolution())

Parts hold configuration only. What changes is in the tree and, for a selector that needs more, in `SearchState.memory`, whose
type the selector chooses. What `told` and `refresh` leave there must follow from the outcomes told: what was merely asked is
forgotten in a crash, except that `pick` may note what it handed out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from ..records import Horizon, Nested, Operation, Operator, Outcome, Request, Thought
from .tree import ROOT, Tree

M = TypeVar("M")

OPERATIONS_KEPT = 65_536
"""Bound on a state's list of operations where nobody empties it: beyond it the older half is dropped."""


class Choice(NamedTuple):
    """What a finalizer chose, and how."""

    node: int
    score: float | None
    """In [0, 1]; None if nothing scored it."""
    rule: str
    """The rule that decided, which is not the configured one where that had no scores to go by."""
    candidates: int
    """Finished solutions it chose from."""
    unscored: int
    """How many of them have no score."""


@dataclass(slots=True)
class TreeState(Generic[M]):
    """The state of one search. The machine reads `operations`; everything else is the strategy's own."""

    tree: Tree
    memory: M
    operations: list[Operation] = field(default_factory=list[Operation])
    """Operators applied since the list was last emptied. It belongs to the caller, who empties it; see `OPERATIONS_KEPT`."""
    dropped: int = 0
    """Operations lost because nobody emptied the list."""
    told: set[str] = field(default_factory=set[str])
    """Ids of the requests told."""
    pending: dict[str, Request] = field(default_factory=dict[str, Request])
    """Requests asked and not told, oldest first."""
    awaited: dict[int, int] = field(default_factory=dict[int, int])
    """Pending requests by subject node, each ≥ 1."""
    losses: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    """Nodes with a virtual loss for a pending request, children before parents, by the request's id."""
    parked: dict[str, list[tuple[Outcome, str]]] = field(default_factory=dict[str, list[tuple[Outcome, str]]])
    """Outcomes told before a thought they build on, with their requests' ids, by that thought's id."""
    found: set[int] = field(default_factory=set[int])
    """Living solutions that satisfy the Stop."""
    best: int = ROOT
    """The best living thought that is no answer: highest score, scored before unscored, deeper first."""
    revision: int = 0
    """Raised by every change to the tree."""
    choice: tuple[int, Choice | None] = (-1, None)
    """The finalizer's last choice and the revision it was made at."""
    announced: tuple[int, str, int] | None = None
    """Node, rule and unscored candidates of the choice last written to `operations`."""

    def note(self, operator: Operator, nodes: Sequence[int], **detail: float | str | None) -> None:
        """Append an operation."""
        if len(self.operations) >= OPERATIONS_KEPT:
            self.dropped += OPERATIONS_KEPT // 2
            del self.operations[: OPERATIONS_KEPT // 2]
        ids = tuple(self.tree.thought[node].id for node in nodes)
        self.operations.append(Operation(operator, ids, detail))


@dataclass(frozen=True, slots=True)
class Ask:
    """How a selector wants a pick worked on, where that is not up to the expander. The fields are those of `Request`."""

    operator: Operator = Operator.GENERATE
    action: str = ""
    agent: str = ""
    horizon: Horizon = "step"
    distinct: bool = True
    steps: int = 0
    temperature: float | None = None
    nested: Nested | None = None


class Pick(NamedTuple):
    """What a selector wants worked on next."""

    subjects: tuple[int, ...]
    """Nodes: one to continue, several to aggregate, to refine in view of, or to judge."""
    n: int | None = None
    """Samples, or None for as many as the expander usually asks for."""
    first_sample: int = 0
    ask: Ask | None = None
    """What is asked of them; None leaves it to the expander, and `n` must be given otherwise."""


class Selector(Protocol[M]):
    """Which thought to work on next: a descent, a frontier, a plan, a pool."""

    def start(self, tree: Tree) -> M:
        """Return the selector's memory for a new search."""
        ...

    def pick(self, state: TreeState[M]) -> Pick | None:
        """Return the most urgent work that is not under way, or None if there is none now."""
        ...

    def told(self, state: TreeState[M], outcome: Outcome, grown: Sequence[int]) -> None:
        """Learn that a request was told and which new nodes came of it, in order; scores and statistics are up to date.

        Samples that were merged into earlier nodes are in `outcome.thoughts` but not in `grown`; `state.tree.index` has their nodes.
        """
        ...

    def refresh(self, state: TreeState[M], node: int) -> None:
        """Bring what is kept at a node up to date with its children, which are.

        Called for every node touched and all its ancestors, after each ask and tell, after the backup.
        """
        ...


class Expander(Protocol):
    """How a picked thought is worked on: with which operator, how many samples, how far."""

    @property
    def merge(self) -> bool:
        """Whether siblings with the same text share a node."""
        ...

    def request(self, tree: Tree, pick: Pick) -> Request:
        """Return the request for a pick; the same pick must give the same request."""
        ...

    def grown(self, tree: Tree, parent: int) -> None:
        """Set the priors of a node's children after new ones came."""
        ...


class Backup(Protocol):
    """How scores travel up the tree."""

    def update(self, tree: Tree, node: int) -> None:
        """Set a node's visits and value from its own score and its children's values, which are up to date.

        Called once a tell for every node touched and all its ancestors, children before parents.
        """
        ...


class Finalizer(Protocol):
    """Which finished solution is the answer."""

    def choose(self, state: TreeState[Any], candidates: Sequence[int]) -> Choice:
        """Choose among living solutions that have an answer (at least one), in the order they were told."""
        ...


def precedence(tree: Tree, node: int) -> tuple[int, int, str]:
    """Return the key by which equals are ordered, lowest first: sample index, depth, id. It ignores the order of arrival."""
    thought: Thought = tree.thought[node]
    return (thought.sample, thought.depth, thought.id)


def plain(number: float) -> float:
    """Return a whole number without its decimal point, for the record."""
    return int(number) if number.is_integer() else number
