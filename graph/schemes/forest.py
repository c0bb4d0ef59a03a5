"""Forest: several trees on one question, and a vote among their answers (Forest-of-Thought, arXiv 2412.09078).

Every tree is a search of its own inside a thought, of any scheme that grows a tree, with a seed of its own and an equal part of the budget;
what one does not spend is shared among those begun later. No further tree is begun once more than half of all `trees` have the same answer.
All trees can grow at once; those under way when the vote is decided are waited for, and count.

The rest of the paper is not here: it activates only promising trees, has answers correct themselves, varies the prompt by tree, and asks an
expert model where the trees do not agree. All that is said of the paper is from memory and unverified.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..records import Operator, Outcome
from ..strategies.evaluation import Stop
from ..strategies.expansion import Sampler
from ..strategies.parts import Ask, Pick, TreeState
from ..strategies.plan import portion
from ..strategies.search import TreeSearch
from ..strategies.tree import REFUTED, ROOT, Tree
from ..strategies.voting import Rule, finalizer
from .base import Scheme, Values
from .common import ENDLESS, select, stop_score, whole
from .inner import inner, needs_of, search_in, tree_scheme
from .parameters import Parameter


@dataclass(slots=True)
class Grove:
    """Which trees were asked or told, and how they voted."""

    taken: set[int] = field(default_factory=set[int])
    first: int = 0
    """The lowest tree that may not be taken yet."""
    votes: Counter[str] = field(default_factory=Counter[str])
    """Living answers by key, of all trees told."""
    most: int = 0
    """Votes of the most frequent answer."""


@dataclass(frozen=True, slots=True)
class Trees:
    """Selects the root for one tree after the other, until the vote is decided."""

    trees: int
    scheme: str
    share: float | None
    """Part of what is left that a tree gets; None: an equal part of all."""

    def start(self, tree: Tree) -> Grove:
        """See `Selector.start`."""
        return Grove()

    def pick(self, state: TreeState[Grove]) -> Pick | None:
        """See `Selector.pick`."""
        grove = state.memory
        while grove.first in grove.taken:
            grove.first += 1
        if 2 * grove.most > self.trees or grove.first >= self.trees:
            return None
        grove.taken.add(grove.first)
        share = portion(grove.first, self.trees) if self.share is None else self.share
        ask = Ask(horizon="solution", distinct=False, nested=search_in(self.scheme, None, share))
        return Pick((ROOT,), 1, grove.first, ask)

    def told(self, state: TreeState[Grove], outcome: Outcome, grown: Sequence[int]) -> None:
        """See `Selector.told`."""
        tree, grove = state.tree, state.memory
        if outcome.request.grows:
            grove.taken.add(outcome.request.first_sample)
        else:  # an answer may have been refuted
            grove.votes.clear()
            grove.most = 0
            grown = tree.terminals
        for node in grown:
            key = tree.thought[node].key
            if key is not None and not tree.has(node, REFUTED):
                grove.votes[key] += 1
                grove.most = max(grove.most, grove.votes[key])

    def refresh(self, state: TreeState[Grove], node: int) -> None:
        """See `Selector.refresh`; there is nothing to keep."""


def _build(values: Values, seed: int) -> TreeSearch[Grove]:
    rule: Rule = values["select"]
    tree_scheme(values["scheme"], "scheme")
    return TreeSearch(
        "forest",
        Trees(values["trees"], values["scheme"], values["share"]),
        Sampler(1, horizon="solution", distinct=False),
        finalizer(rule, "last"),
        stop=Stop(values["stop_score"]),
    )


SCHEMES = (
    Scheme(
        name="forest",
        family="graphs",
        summary="several trees on one question, and their vote with early consensus",
        structure="nested",
        step="solution of a tree",
        strategy="forest of trees",
        operators=(Operator.GENERATE, Operator.EVALUATE, Operator.PRUNE, Operator.SELECT),
        models=("policy", "value model", "outcome verifier", "step verifier"),
        supervision="that of the trees",
        paper="arXiv 2412.09078",
        build=_build,
        parameters=(
            whole("trees", 4, "trees"),
            inner("scheme", "mcts", "scheme of the trees"),
            Parameter(
                "share",
                "float",
                None,
                "part of what is left of the budget that a tree may spend; none: equal parts for all trees",
                above=0.0,
                maximum=1.0,
                optional=True,
            ),
            select("majority"),
            stop_score(None),
        ),
        needs=lambda values: needs_of(values["scheme"]),
        fill={"trees": ENDLESS, "share": 0.2},
    ),
)
