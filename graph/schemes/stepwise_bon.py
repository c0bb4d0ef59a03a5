"""Step-wise best-of-N: of N next steps the verifier keeps one, and so on to the end.

As compared in the o1 reasoning-patterns study (arXiv 2410.13639): best-of-N at every step, which is a beam of one (N candidates, fan-out N),
except that a finished candidate competes with the unfinished ones: the chain ends when the best candidate is finished. The study runs one
chain; `chains` of them run side by side, for larger budgets.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..records import Operator
from ..strategies.evaluation import Stop
from ..strategies.expansion import Sampler
from ..strategies.parts import Ask, Pick, TreeState
from ..strategies.plan import Kept, Line, Lines, Plan, Stage, merit
from ..strategies.search import TreeSearch
from ..strategies.tree import REFUTED, ROOT, TERMINAL
from ..strategies.voting import finalizer
from .base import Scheme, Values, step_scores
from .common import ENDLESS, samples, select, stop_score, temperature, whole


@dataclass(frozen=True, slots=True)
class Stepwise:
    """A chain that grows by the best of `stride` next steps at a time."""

    stride: int
    """N ≥ 1: candidates a step."""
    max_steps: int
    temperature: float | None

    def next(self, state: TreeState[Lines], line: Line) -> Stage | None:
        """See `Script.next`."""
        tree, node = state.tree, ROOT
        if line.turn:
            ranked = sorted(line.new, key=lambda new: merit(tree, new))
            if not ranked or tree.has(ranked[0], REFUTED):
                return None
            node = ranked[0]
            line.kept = [node]
            for other in ranked[1:]:
                state.note(Operator.PRUNE, (other,), reason="stepwise", score=tree.score(other))
        if tree.has(node, TERMINAL) or line.turn >= self.max_steps:
            return None
        first = 0 if line.turn else line.number * self.stride
        # equal samples are not merged: what another chain drew is no reason to drop a candidate of this one
        ask = Ask(distinct=False, temperature=self.temperature)
        return Stage("step", (Pick((node,), self.stride, first, ask),))


def _build(values: Values, seed: int) -> TreeSearch[Lines]:
    n, heat = values["n"], values["temperature"]
    return TreeSearch(
        "stepwise_bon",
        Plan(Stepwise(n, values["max_steps"], heat), values["chains"]),
        Sampler(n, temperature=heat),
        Kept(finalizer(values["select"], "last")),
        stop=Stop(values["stop_score"]),
    )


SCHEMES = (
    Scheme(
        name="stepwise_bon",
        family="chains",
        summary="one chain, each step the verifier's choice among several",
        structure="chain",
        step="thought",
        strategy="step-wise best-of-N",
        operators=(Operator.GENERATE, Operator.EVALUATE, Operator.PRUNE, Operator.SELECT),
        models=("policy", "step verifier"),
        supervision="preferences (the study's reward model)",
        paper="arXiv 2410.13639",
        build=_build,
        parameters=(
            samples("n", 4, "N: candidates a step"),
            whole("max_steps", 40, "steps at most"),
            whole("chains", 1, "chains, grown side by side"),
            select("best"),
            temperature(None),
            stop_score(None),
        ),
        needs=step_scores,
        fill={"chains": ENDLESS},
        serial="a step waits for the choice before it, and its N samples are one call; chains > 1 overlap",
    ),
)
