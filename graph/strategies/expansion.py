"""Expanders: how a picked thought is worked on, and what prior its children get."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..errors import UserError
from ..records import Horizon, Operator, Request
from .parts import Pick
from .tree import Tree

Prior = Literal["uniform", "count", "logprob"]
"""P of a child among its siblings, refuted ones included, summing to 1.

uniform: 1 / siblings. count: how many of the parent's samples gave it (`Thought.count`), the empirical policy. logprob:
exp(mean log-probability of its tokens), normalised without a softmax (OpenR, arXiv 2410.09671).
"""


@dataclass(frozen=True, slots=True)
class Sampler:
    """Draws samples from the generator: next steps, or whole solutions."""

    n: int
    """Samples a request, unless the pick says otherwise (≥ 1)."""
    horizon: Horizon = "step"
    distinct: bool = True
    """Whether equal samples of a request become one thought with a count."""
    temperature: float | None = None
    """≥ 0; None is the generator's own."""
    heating: float = 0.0
    """Added to the temperature for each earlier request on the same thought (≥ 0): what is likely was drawn before."""
    merge: bool = False
    """Whether a thought shares the node of an earlier sibling with the same text, as it may come of a second expansion."""
    prior: Prior | None = None
    """None leaves all priors at 1."""

    def request(self, tree: Tree, pick: Pick) -> Request:
        """See `Expander.request`."""
        return Request(
            operator=Operator.GENERATE,
            subjects=tuple(tree.thought[node].id for node in pick.subjects),
            n=self.n if pick.n is None else pick.n,
            first_sample=pick.first_sample,
            horizon=self.horizon,
            distinct=self.distinct,
            temperature=self._heat(pick.first_sample),
        )

    def _heat(self, drawn: int) -> float | None:
        return None if self.temperature is None else self.temperature + self.heating * (drawn // self.n)

    def grown(self, tree: Tree, parent: int) -> None:
        """See `Expander.grown`.

        Raises:
            UserError: if the prior needs log-probabilities and the generator gives none.
        """
        if self.prior is None:
            return
        children = tree.children(parent)
        weights = [self._weight(tree, child) for child in children]
        total = math.fsum(weights)
        for child, weight in zip(children, weights, strict=True):
            tree.prior[child] = weight / total

    def _weight(self, tree: Tree, node: int) -> float:
        if self.prior == "uniform":
            return 1.0
        if self.prior == "count":
            return float(tree.count[node])
        thought = tree.thought[node]
        if thought.logprob is None:
            raise UserError(
                "prior=logprob needs log-probabilities, and this generator gives none; use prior=count"
            )
        # the floor keeps the sum above 0 where every sibling is all but impossible
        return max(math.exp(thought.logprob / max(thought.tokens, 1)), 1e-300)
