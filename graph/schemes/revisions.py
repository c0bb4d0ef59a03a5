"""Sequential revisions: chains of attempts, each made in view of the ones before it (Snell et al., arXiv 2408.03314, §6).

`chains` run side by side and each has `revisions` attempts, the first one counted, so N = chains · revisions attempts in any ratio of
parallel to sequential; all parallel is best-of-N. A revision reads the last four attempts of its chain, newest first, whatever became of
them. The paper's model is trained to revise wrong attempts, and breaks about 38 % of the right ones; so the answer is never just the last
attempt:

    hierarchical   within each chain the weighted vote, for which its best attempt stands with its score; among the chains again
    majority       one vote of all attempts, which the paper uses where there is no verifier
    weighted       one weighted vote of all attempts

Which weight a chain has among the chains is not spelled out in what we read of the paper; the score of the attempt that stands for it is our
reading. An attempt that came to nothing is made up for by the next one. √N × √N of N = 64 is the default; the temperature is unverified.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..records import Operator
from ..strategies.chains import Hierarchy
from ..strategies.evaluation import Stop
from ..strategies.expansion import Sampler
from ..strategies.parts import TreeState
from ..strategies.plan import Line, Lines, Plan, Stage, draft, rewrite
from ..strategies.search import TreeSearch
from ..strategies.voting import Vote, finalizer
from .base import Scheme, Values
from .common import ENDLESS, aggregation, stop_score, temperature, whole
from .parameters import Parameter


@dataclass(frozen=True, slots=True)
class Revisions:
    """A chain of attempts."""

    attempts: int
    """In a chain, ≥ 1."""
    seen: int
    """Latest attempts that a revision reads, ≥ 1."""
    temperature: float | None
    stride: int = 1

    def next(self, state: TreeState[Lines], line: Line) -> Stage | None:
        """See `Script.next`."""
        if not line.turn:
            return draft(line, self.temperature)
        line.kept = [*line.new, *line.kept][: self.seen]
        if not line.kept or line.turn >= self.attempts:
            return None
        return Stage("revise", (rewrite(line.kept, line.turn, self.temperature),))


def _build(values: Values, seed: int) -> TreeSearch[Lines]:
    heat, vote = values["temperature"], Vote(weighted=True, aggregation=values["aggregation"])
    flat = values["select"] != "hierarchical"
    return TreeSearch(
        "sequential_revisions",
        Plan(Revisions(values["revisions"], values["seen"], heat), values["chains"]),
        Sampler(1, horizon="solution", distinct=False, temperature=heat),
        finalizer(values["select"], values["aggregation"]) if flat else Hierarchy(vote, vote),
        stop=Stop(values["stop_score"]),
    )


def _needs(values: Values) -> frozenset[str]:
    return frozenset({"refine"} if values["select"] == "majority" else {"refine", "scores"})


SCHEMES = (
    Scheme(
        name="sequential_revisions",
        family="chains",
        summary="chains of attempts, each revised in view of the last ones",
        structure="chains",
        step="solution",
        strategy="sequential revisions",
        operators=(Operator.GENERATE, Operator.REFINE, Operator.EVALUATE, Operator.PRUNE, Operator.SELECT),
        models=("policy", "outcome verifier", "step verifier"),
        supervision="wrong attempts followed by a right one; outcome labels of revisions",
        paper="arXiv 2408.03314",
        build=_build,
        parameters=(
            whole("chains", 8, "chains side by side"),
            whole("revisions", 8, "attempts of a chain, the first one counted"),
            whole("seen", 4, "latest attempts that a revision reads"),
            Parameter(
                "select",
                "choice",
                "hierarchical",
                "weighted vote within each chain, then among the chains; or one choice among all attempts",
                choices=("hierarchical", "majority", "weighted", "best"),
            ),
            aggregation("last"),
            temperature(0.7),
            stop_score(None),
        ),
        needs=_needs,
        fill={"chains": ENDLESS},
    ),
)
