"""Self-refine: a draft, then criticism and a better version, again and again (Madaan et al., arXiv 2303.17651).

One model drafts, criticises and refines; the criticism is a note that the refinement reads. A line ends after `rounds` refinements, or when
the critic has nothing to say (the paper has it say that nothing is left to improve). A criticism that failed says nothing of the draft either
way, so the draft is refined without it. Three rounds as in the o1 study (arXiv 2410.13639), whose numbers are a warning: without a signal from
outside, refining tends to make answers worse. The temperature is unverified.

The answer is the last attempt, as in the paper, or the best-scored one (`select`); of several chains, the vote of their last attempts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..records import Operator, Outcome
from ..strategies.chains import Hierarchy, Newest
from ..strategies.evaluation import Stop
from ..strategies.expansion import Sampler
from ..strategies.parts import TreeState
from ..strategies.plan import Line, Lines, Plan, Stage, draft, judge, rewrite
from ..strategies.search import TreeSearch
from ..strategies.voting import BestSolution, Vote
from .base import Scheme, Values
from .common import ENDLESS, stop_score, temperature, whole
from .parameters import Parameter


@dataclass(frozen=True, slots=True)
class Refinement:
    """A draft and its refinements."""

    rounds: int
    temperature: float | None
    stride: int = 1

    def next(self, state: TreeState[Lines], line: Line) -> Stage | None:
        """See `Script.next`."""
        if not line.stage:
            return draft(line, self.temperature)
        if line.stage == "critique":
            if _satisfied(line.replies):
                return None
            return Stage("refine", (rewrite(line.kept[:1], 0, self.temperature),))
        line.kept = line.new or line.kept
        if not line.new or line.count >= self.rounds:
            return None
        line.count += 1
        return Stage("critique", judge(line.new, "critique"))


def _satisfied(replies: Sequence[Outcome | None]) -> bool:
    """Return whether the critic was heard and had nothing to say."""
    return all(reply and not reply.error and not reply.evaluations for reply in replies)


def _build(values: Values, seed: int) -> TreeSearch[Lines]:
    heat, chains = values["temperature"], values["chains"]
    last = Hierarchy(Newest(), BestSolution() if chains == 1 else Vote())
    return TreeSearch(
        "self_refine",
        Plan(Refinement(values["rounds"], heat), chains),
        Sampler(1, horizon="solution", distinct=False, temperature=heat),
        last if values["select"] == "last" else BestSolution(),
        stop=Stop(values["stop_score"]),
    )


SCHEMES = (
    Scheme(
        name="self_refine",
        family="chains",
        summary="a draft, criticised and rewritten in rounds",
        structure="chain",
        step="solution",
        strategy="self-refinement",
        operators=(Operator.GENERATE, Operator.REFINE, Operator.EVALUATE, Operator.PRUNE, Operator.SELECT),
        models=("policy",),
        supervision="none",
        paper="arXiv 2303.17651",
        build=_build,
        parameters=(
            whole("rounds", 3, "refinements at most"),
            whole("chains", 1, "drafts, refined side by side"),
            Parameter(
                "select",
                "choice",
                "last",
                "the last attempt (of several chains: their vote), or the best-scored one",
                choices=("last", "best"),
            ),
            temperature(0.7),
            stop_score(None),
        ),
        needs=lambda values: frozenset({"critique", "refine"}),
        fill={"chains": ENDLESS},
        serial="each refinement reads the criticism of the one before; chains > 1 overlap",
    ),
)
