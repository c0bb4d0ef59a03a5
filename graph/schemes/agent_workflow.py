"""Agent workflow: plan, solve, check, integrate.

The strongest of the methods that the o1 study compares (arXiv 2410.13639) with a plain model: a workflow of stages that takes the problem
apart. The study writes one for each domain, which its text does not give in full; this one is general, and ours:

    plan       the sub-problems the question falls into, one a line, of which the first `max_parts` are used
    solve      each sub-problem by a search of its own inside a thought, side by side
    check      what is wrong with each result, in words; a criticism that failed is left out
    integrate  all results, and what was said of them, into a whole solution

Without a plan, or where it came to nothing, was refuted, or none of its parts could be solved, `solvers` searches inside thoughts each try the
whole question, and their attempts are integrated. The inner searches share three quarters of the budget in equal parts; the rest is for the
other stages. The answer is chosen among the integrated solutions; before there is one, among the attempts.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..records import Operator
from ..strategies.evaluation import Stop
from ..strategies.expansion import Sampler
from ..strategies.parts import Ask, Pick, TreeState
from ..strategies.plan import Kept, Line, Lines, Plan, Stage, combine, judge, portion
from ..strategies.search import TreeSearch
from ..strategies.tree import REFUTED, ROOT, TERMINAL
from ..strategies.voting import finalizer
from .base import Scheme, Values
from .common import ENDLESS, samples, select, stop_score, temperature, whole
from .inner import inner, needs_of, scheme_named, search_in
from .parameters import Parameter

INSIDE = 0.75
"""Part of the budget for the searches inside thoughts."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """Plan, solve, check, integrate."""

    plan: bool
    max_parts: int
    solver: str
    stride: int
    """Searches for the whole question, where there is no plan."""
    check: bool
    n: int
    temperature: float | None

    def next(self, state: TreeState[Lines], line: Line) -> Stage | None:
        """See `Script.next`."""
        if line.stage == "":
            return self._plan(line) if self.plan else self._try_whole(line)
        if line.stage == "plan":
            return self._solve(state, line) or self._try_whole(line)
        if line.stage == "integrate":
            line.kept = line.new or line.kept
            return None
        if line.stage != "check":
            if not line.new:
                return self._try_whole(line) if line.stage == "solve" else None
            line.kept = line.new
            if self.check:
                return Stage("check", judge(line.kept, "critique"))
        return Stage("integrate", (combine(line.kept, self.n, 0, self.temperature),))

    def _plan(self, line: Line) -> Stage:
        ask = Ask(action="plan", horizon="solution", distinct=False, temperature=self.temperature)
        return Stage("plan", (Pick((ROOT,), 1, line.number * self.stride, ask),))

    def _solve(self, state: TreeState[Lines], line: Line) -> Stage | None:
        """Return the stage in which the plan's parts are solved, or None if there are none."""
        if not line.new or state.tree.has(line.new[0], TERMINAL | REFUTED):
            return None
        parts = [part for text in state.tree.thought[line.new[0]].text.splitlines() if (part := text.strip())]
        parts = parts[: self.max_parts]
        picks = [
            self._search(line.new[0], place, part, portion(place, len(parts), INSIDE))
            for place, part in enumerate(parts)
        ]
        return Stage("solve", picks) if picks else None

    def _try_whole(self, line: Line) -> Stage:
        first, of = line.number * self.stride, self.stride
        picks = [self._search(ROOT, first + i, None, portion(i, of, INSIDE)) for i in range(of)]
        return Stage("try", picks)

    def _search(self, subject: int, sample: int, question: str | None, share: float) -> Pick:
        """Return a search inside a thought; attempts at the whole question must differ, so they are sampled as we are."""
        nested = search_in(self.solver, question, share, None if question else self.temperature)
        return Pick((subject,), 1, sample, Ask(horizon="solution", distinct=False, nested=nested))


def _build(values: Values, seed: int) -> TreeSearch[Lines]:
    scheme_named(values["solver"])
    heat = values["temperature"]
    script = Workflow(
        values["plan"],
        values["max_parts"],
        values["solver"],
        values["solvers"],
        values["check"],
        values["n"],
        heat,
    )
    return TreeSearch(
        "agent_workflow",
        Plan(script, values["workflows"]),
        Sampler(1, horizon="solution", distinct=False, temperature=heat),
        Kept(finalizer(values["select"], "last")),
        stop=Stop(values["stop_score"]),
    )


def _needs(values: Values) -> frozenset[str]:
    optional = (("plan", values["plan"]), ("critique", values["check"]))
    return (
        needs_of(values["solver"]) | {"aggregate", "refine"} | {need for need, wanted in optional if wanted}
    )


SCHEMES = (
    Scheme(
        name="agent_workflow",
        family="chains",
        summary="plan, solve the parts in searches of their own, check, integrate",
        structure="nested",
        step="solution of a part",
        strategy="staged workflow",
        operators=(
            Operator.GENERATE,
            Operator.AGGREGATE,
            Operator.REFINE,
            Operator.EVALUATE,
            Operator.PRUNE,
            Operator.SELECT,
        ),
        models=("policy",),
        supervision="none",
        paper="arXiv 2410.13639",
        build=_build,
        parameters=(
            Parameter("plan", "bool", True, "whether the question is taken apart first"),
            whole("max_parts", 6, "sub-problems of a plan that are used"),
            inner("solver", "cot", "scheme of the searches inside thoughts"),
            samples("solvers", 3, "searches for the whole question, where there is no plan"),
            Parameter("check", "bool", True, "whether results are criticised before they are integrated"),
            samples("n", 1, "integrated solutions"),
            whole("workflows", 1, "workflows side by side"),
            select("best"),
            temperature(0.7),
            stop_score(None),
        ),
        needs=_needs,
        raw={"plan": False},
        fill={"workflows": ENDLESS},
    ),
)
