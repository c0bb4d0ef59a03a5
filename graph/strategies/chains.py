"""Chains: whole solutions sampled independently, then one chosen.

* Chain of thought (Wei et al., arXiv 2201.11903): one greedy chain, exactly one. If it is truncated there is no answer.
* Self-consistency (Wang et al., arXiv 2203.11171): N samples, majority of the answers.
* Best-of-N (Cobbe et al., arXiv 2110.14168; Lightman et al., arXiv 2305.20050): N samples, the verifier chooses or weighs the vote.

Samples are asked for in blocks. A block is one request and so one model call, which shares the prompt among its samples; blocks are
what runs concurrently and what a budget can stop between. 8 samples a block is the default: with 8 requests in flight that is
64 sequences, which fills a small server, and at most 7 samples are paid beyond a budget of seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..records import Request
from .evaluation import Stop
from .expansion import Sampler
from .parts import Pick, TreeState
from .search import TreeSearch
from .tree import ROOT, Aggregation, Tree
from .voting import BestSolution, Rule, Vote, finalizer

BLOCK = 8


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

    def told(self, state: TreeState[Drawn], request: Request, grown: Sequence[int]) -> None:
        """See `Selector.told`."""
        if request.n and request.subjects == (state.tree.thought[ROOT].id,):
            state.memory.taken.add(request.first_sample)

    def refresh(self, state: TreeState[Drawn], node: int) -> None:
        """See `Selector.refresh`; there is nothing to keep."""


def cot(temperature: float | None = 0.0) -> TreeSearch[Drawn]:
    """Return chain of thought: one sample to the answer."""
    return TreeSearch("cot", Blocks(1), _chains(1, temperature), BestSolution())


def self_consistency(
    n: int = 40, temperature: float | None = 0.7, block: int = BLOCK, stop_score: float | None = None
) -> TreeSearch[Drawn]:
    """Return self-consistency: the majority of `n` samples."""
    selector, expander = Blocks(n, block), _chains(block, temperature)
    return TreeSearch("self_consistency", selector, expander, Vote(), stop=Stop(stop_score))


def best_of_n(
    n: int = 100,
    select: Rule = "best",
    aggregation: Aggregation = "last",
    temperature: float | None = 0.7,
    block: int = BLOCK,
    stop_score: float | None = None,
) -> TreeSearch[Drawn]:
    """Return best-of-N: the verifier's choice among `n` samples, or the vote it weighs."""
    return TreeSearch(
        "best_of_n",
        Blocks(n, block),
        _chains(block, temperature),
        finalizer(select, aggregation),
        stop=Stop(stop_score),
    )


def _chains(n: int, temperature: float | None) -> Sampler:
    return Sampler(n, horizon="answer", distinct=False, temperature=temperature)
