"""Chains: whole solutions sampled independently, or rewritten one after another, then one chosen.

* Chain of thought: one greedy chain, exactly one; after worked examples (Wei et al., arXiv 2201.11903) or after "let's think step by step"
  (Kojima et al., arXiv 2205.11916). If it is truncated there is no answer.
* Self-consistency (Wang et al., arXiv 2203.11171): N samples, majority of the answers.
* Best-of-N: N samples, the verifier chooses. It is an outcome verifier, which judges a finished solution as a whole (Cobbe et al.,
  arXiv 2110.14168; where nobody does, the score at the last step stands for it, as the one at the final token does there), or a process
  verifier: the product of its steps' scores (Lightman et al., arXiv 2305.20050).
* Verifier-weighted vote (Snell et al., arXiv 2408.03314, §5.1): N samples, votes weighted by the score at the last step.

What counts a step that is neither right nor wrong is up to the process verifier (Lightman et al.: as right). A solution that a rule refuted is
no candidate, whoever judges.

Samples are asked for in blocks. A block is one request and so one model call, which shares the prompt among its samples; blocks are
what runs concurrently and what a budget can stop between. 8 samples a block is the default: with 8 requests in flight that is
64 sequences, which fills a small server, and at most 7 samples are paid beyond a budget of seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import UserError
from ..records import Outcome
from .evaluation import FirstKnown, Stop
from .expansion import Sampler
from .parts import Choice, Finalizer, Pick, TreeState, precedence
from .search import TreeSearch
from .tree import ROOT, Aggregation, Tree
from .voting import BestSolution, Rule, Vote, finalizer

BLOCK = 8

Prompting = Literal["few_shot", "zero_shot", "plain"]
"""How a chain is asked for; plain: in the generator's own way."""

Judge = Literal["auto", "orm", "prm"]
"""Whose scores best-of-N goes by. orm: the outcome verifier's, or else the score at the last step alone. prm: the aggregated scores of the
steps, and nothing else. auto: the outcome verifier's, or else the aggregated scores of the steps."""


@dataclass(slots=True)
class Drawn:
    """Which blocks were asked or told."""

    taken: set[int] = field(default_factory=set[int])
    """First sample indices."""
    first: int = 0
    """The lowest first sample index that may not be taken yet."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Selects the root until `n` samples were drawn from it, `block` at a time, the last block being what is left."""

    n: int
    block: int = BLOCK

    def start(self, tree: Tree) -> Drawn:
        """See `Selector.start`."""
        return Drawn()

    def pick(self, state: TreeState[Drawn]) -> Pick | None:
        """See `Selector.pick`."""
        drawn = state.memory
        while drawn.first in drawn.taken:
            drawn.first += self.block
        if drawn.first >= self.n:
            return None
        drawn.taken.add(drawn.first)
        return Pick((ROOT,), min(self.block, self.n - drawn.first), drawn.first)

    def told(self, state: TreeState[Drawn], outcome: Outcome, grown: Sequence[int]) -> None:
        """See `Selector.told`."""
        request = outcome.request
        if request.grows and request.subjects == (state.tree.thought[ROOT].id,):
            state.memory.taken.add(request.first_sample)

    def refresh(self, state: TreeState[Drawn], node: int) -> None:
        """See `Selector.refresh`; there is nothing to keep."""


@dataclass(frozen=True, slots=True)
class Newest:
    """The attempt that was made last: the deepest; of equals the first by precedence. Its score is its own."""

    def choose(self, state: TreeState[Any], candidates: Sequence[int]) -> Choice:
        """See `Finalizer.choose`."""
        tree = state.tree
        node = min(candidates, key=lambda i: (-tree.depth[i], precedence(tree, i)))
        unscored = sum(tree.score(i) is None for i in candidates)
        return Choice(node, tree.score(node), "last", len(candidates), unscored)


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A choice within each chain of attempts, then one among the chosen (Snell et al., arXiv 2408.03314, §6)."""

    within: Finalizer
    across: Finalizer

    def choose(self, state: TreeState[Any], candidates: Sequence[int]) -> Choice:
        """See `Finalizer.choose`."""
        chains: dict[int, list[int]] = {}
        for node, first in zip(candidates, _firsts(state.tree, candidates), strict=True):
            chains.setdefault(first, []).append(node)
        chosen = [self.within.choose(state, chain) for chain in chains.values()]
        choice = self.across.choose(state, [one.node for one in chosen])
        return choice._replace(candidates=len(candidates), unscored=sum(one.unscored for one in chosen))


def _firsts(tree: Tree, nodes: Sequence[int]) -> list[int]:
    """Return the first attempt of each node's chain: its ancestor below the root, along primary parents."""
    known: dict[int, int] = {}
    for node in nodes:
        trail: list[int] = []
        while node not in known and tree.parent[node] != ROOT:
            trail.append(node)
            node = tree.parent[node]
        first = known.setdefault(node, node)
        known.update(dict.fromkeys(trail, first))
    return [known[node] for node in nodes]


def cot(temperature: float | None = 0.0, prompting: Prompting = "few_shot") -> TreeSearch[Drawn]:
    """Return chain of thought: one sample to the answer."""
    return TreeSearch("cot", Blocks(1), _chains(1, temperature, prompting), BestSolution())


def self_consistency(
    n: int = 40,
    temperature: float | None = 0.7,
    block: int = BLOCK,
    stop_score: float | None = None,
    prompting: Prompting = "few_shot",
) -> TreeSearch[Drawn]:
    """Return self-consistency: the majority of `n` samples."""
    selector, expander = Blocks(n, block), _chains(block, temperature, prompting)
    return TreeSearch("self_consistency", selector, expander, Vote(), stop=Stop(stop_score))


def best_of_n(
    n: int = 100,
    select: Rule = "best",
    by: Judge = "auto",
    aggregation: Aggregation | None = None,
    temperature: float | None = 0.7,
    block: int = BLOCK,
    stop_score: float | None = None,
    prompting: Prompting = "few_shot",
) -> TreeSearch[Drawn]:
    """Return best-of-N: the verifier's choice among `n` samples, or the vote it weighs.

    `aggregation` is `prod` for the choice of a process verifier and `last` otherwise, unless given.

    Raises:
        UserError: on an aggregation of steps with an outcome verifier, which has one score.
    """
    if by == "orm" and aggregation not in (None, "last"):
        raise UserError(
            f"by=orm goes by one score a solution, not by aggregation={aggregation}; add by=prm or leave it out"
        )
    process = by == "prm"
    if aggregation is None:
        aggregation = "prod" if process else "last"
    return TreeSearch(
        "best_of_n",
        Blocks(n, block),
        _chains(block, temperature, prompting),
        finalizer(select, aggregation, steps_only=process),
        # a process verifier's step has no score but its own: a check of the solution is not one of its steps
        rule=FirstKnown(("step",)) if process else FirstKnown(),
        stop=Stop(stop_score),
    )


def weighted_vote(
    n: int = 100,
    aggregation: Aggregation = "last",
    temperature: float | None = 0.7,
    block: int = BLOCK,
    stop_score: float | None = None,
    prompting: Prompting = "few_shot",
) -> TreeSearch[Drawn]:
    """Return the verifier-weighted vote: of the answers of `n` samples the one with the highest sum of scores."""
    return TreeSearch(
        "weighted_vote",
        Blocks(n, block),
        _chains(block, temperature, prompting),
        Vote(weighted=True, aggregation=aggregation),
        stop=Stop(stop_score),
    )


def _chains(n: int, temperature: float | None, prompting: Prompting) -> Sampler:
    action = "" if prompting == "plain" else prompting
    return Sampler(n, horizon="answer", distinct=False, temperature=temperature, action=action)
