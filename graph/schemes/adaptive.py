"""Adaptive self-consistency: sample until the vote is decided.

Samples are drawn in blocks; when a block is told, a criterion looks at the votes so far (as the vote counts them: refuted
solutions and those without an answer give none):

* `beta`, `dirichlet`: Adaptive-Consistency (Aggarwal et al., arXiv 2305.11860; threshold 0.95 and at most 40 samples as in
  their code, which was read): the leader is the likeliest answer with this probability, against the runner-up or against all
  (`posteriors.py`). They look after every sample; so does block=1.
* `window`: Early-Stopping Self-Consistency (arXiv 2401.10480): all answers of one block, its window, are the same; 5 is the
  window of the paper's figure 1, and its other window sizes are unverified here. A sample without an answer is not the same.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from ..records import Operator
from ..strategies.chains import Blocks, Drawn
from ..strategies.evaluation import Stop
from ..strategies.expansion import Sampler
from ..strategies.parts import Pick, TreeState
from ..strategies.posteriors import beta_lead, dirichlet_lead
from ..strategies.search import TreeSearch
from ..strategies.tree import REFUTED, Tree
from ..strategies.voting import Vote
from .base import Scheme, Values
from .common import ENDLESS, PROMPTING, prompt_action, prompted, samples, stop_score, temperature, whole
from .parameters import Parameter

Criterion = Literal["beta", "dirichlet", "window"]


@dataclass(frozen=True, slots=True)
class UntilDecided(Blocks):
    """Selects the root, a block at a time, until the vote is decided or `n` samples were drawn."""

    criterion: Criterion = "beta"
    confidence: float = 0.95

    def pick(self, state: TreeState[Drawn]) -> Pick | None:
        """See `Selector.pick`."""
        if state.pending or self.decided(state.tree):
            return None
        return Blocks.pick(self, state)

    def decided(self, tree: Tree) -> bool:
        """Return whether no further sample is needed."""
        if self.criterion == "window":
            blocks: dict[int, Counter[str]] = {}
            for node, key in _votes(tree):
                place = tree.thought[node].sample // self.block
                blocks.setdefault(place, Counter())[key] += tree.count[node]
            return any(max(votes.values()) >= self.block for votes in blocks.values())
        votes: Counter[str] = Counter()
        for node, key in _votes(tree):
            votes[key] += tree.count[node]
        if not votes:
            return False
        counts = sorted(votes.values(), reverse=True)
        if self.criterion == "beta":
            return beta_lead(counts[0], counts[1] if len(counts) > 1 else 0) >= self.confidence
        return dirichlet_lead(counts) >= self.confidence


def _votes(tree: Tree) -> list[tuple[int, str]]:
    """Return the living solutions that vote, with their answers: those with a canonical form, if any has one."""
    living = [node for node in tree.terminals if not tree.has(node, REFUTED)]
    keyed = [(node, key) for node in living if (key := tree.thought[node].key) is not None]
    return keyed or [(node, text) for node in living if (text := tree.thought[node].answer) is not None]


def adaptive_consistency(
    n: int = 40,
    criterion: Criterion = "beta",
    confidence: float = 0.95,
    temperature: float | None = 0.7,
    block: int = 5,
    stop_score: float | None = None,
    action: str = "",
) -> TreeSearch[Drawn]:
    """Return self-consistency that stops when the vote is decided."""
    selector = UntilDecided(n, block, criterion, confidence)
    sampler = Sampler(block, "answer", distinct=False, temperature=temperature, action=action)
    return TreeSearch("adaptive_consistency", selector, sampler, Vote(), stop=Stop(stop_score))


def _build(values: Values, seed: int) -> TreeSearch[Drawn]:
    own = {name: value for name, value in values.items() if name != "prompting"}
    return adaptive_consistency(**own, action=prompt_action(values))


_ADAPTIVE = Scheme(
    name="adaptive_consistency",
    family="sampling",
    summary="majority vote over chains, drawn until the vote is decided",
    structure="chains",
    step="thought",
    strategy="adaptive majority voting",
    operators=(Operator.GENERATE, Operator.SELECT, Operator.EVALUATE, Operator.PRUNE),
    models=("policy",),
    supervision="none",
    paper="arXiv 2305.11860",
    build=_build,
    parameters=(
        whole("n", 40, "chains at most"),
        Parameter(
            "criterion",
            "choice",
            "beta",
            "when a vote is decided: leader against runner-up, leader against all, or a block of one mind",
            choices=("beta", "dirichlet", "window"),
        ),
        Parameter(
            "confidence",
            "float",
            0.95,
            "probability that the leader is the likeliest answer",
            above=0.5,
            maximum=1.0,
        ),
        temperature(0.7),
        samples("block", 5, "samples between two looks at the vote; the window of criterion=window"),
        stop_score(None),
        PROMPTING,
    ),
    needs=prompted,
    raw={"prompting": "plain"},
    fill={"n": ENDLESS},
    serial="the votes of one block decide whether the next is drawn; the samples of a block share one call",
)

SCHEMES = (_ADAPTIVE,)
