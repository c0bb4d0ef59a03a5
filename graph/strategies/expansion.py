"""Expanders: how a picked thought is worked on, and what prior its children get."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import UserError
from ..records import Horizon, Operator, Request
from .parts import Pick
from .tree import Tree

Prior = Literal["uniform", "count", "logprob", "probability"]
"""P of a child among its siblings, refuted ones included, summing to 1.

uniform: 1 / siblings. count: how many of the parent's samples gave it (`Thought.count`), the empirical policy. logprob:
exp(mean log-probability of its tokens), normalised without a softmax (OpenR, arXiv 2410.09671). probability: exp(sum of its tokens'
log-probabilities), what the policy gives the step at temperature 1. It does not depend on how often a step was drawn, so it fits samples drawn
without replacement, whose counts are all 1 and say nothing.
"""


HOTTEST = 2.0
"""Temperature up to which requests are heated: the highest that servers with OpenAI's API accept."""


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
    """Added to the temperature for each earlier request on the same thought, up to `HOTTEST` (≥ 0): what is likely was drawn before."""
    merge: bool = False
    """Whether a thought shares the node of an earlier sibling with the same text, as it may come of a second expansion."""
    prior: Prior | None = None
    """None leaves all priors at 1."""
    action: str = ""
    """What exactly is asked; see `Request.action`."""

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
            action=self.action,
        )

    def _heat(self, drawn: int) -> float | None:
        if self.temperature is None:
            return None
        return max(self.temperature, min(HOTTEST, self.temperature + self.heating * (drawn // self.n)))

    def grown(self, tree: Tree, parent: int) -> None:
        """See `Expander.grown`.

        Raises:
            UserError: if the prior needs log-probabilities and the generator gives none.
        """
        if self.prior is None:
            return
        children = tree.children(parent)
        weights = self._weights(tree, children)
        total = math.fsum(weights)
        for child, weight in zip(children, weights, strict=True):
            tree.prior[child] = weight / total

    def _weights(self, tree: Tree, nodes: Sequence[int]) -> list[float]:
        if self.prior == "uniform":
            return [1.0] * len(nodes)
        if self.prior == "count":
            return [float(tree.count[node]) for node in nodes]
        logprobs = [self._logprob(tree, node) for node in nodes]
        if self.prior == "probability":
            most = max(logprobs, default=0.0)  # exp of a long step's own would be 0
            return [math.exp(logprob - most) for logprob in logprobs]
        # the floor keeps the sum above 0 where every sibling is all but impossible
        return [max(math.exp(logprob), 1e-300) for logprob in logprobs]

    def _logprob(self, tree: Tree, node: int) -> float:
        thought = tree.thought[node]
        if thought.logprob is None:
            raise UserError(
                f"prior={self.prior} needs log-probabilities, and this generator gives none; use prior=count"
            )
        return thought.logprob if self.prior == "probability" else thought.logprob / max(thought.tokens, 1)
