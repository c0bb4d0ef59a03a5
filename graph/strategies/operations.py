"""Graph of thoughts: generate, score, keep the best, aggregate, refine (Besta et al., arXiv 2308.09687), as a script of `plan.py`.

A static plan of operations, as the authors' controller executes it; each works on the thoughts that were kept after the one before it:

    generate   `stride` attempts at the question
    aggregate  `aggregate` times one attempt out of all that were kept, which all are its parents
    refine     `refine` new versions of the best one kept

Aggregate and refine alternate for `rounds`. After each operation the new thoughts are scored, by the team's verifiers or by an evaluator that
is asked for a value each, and of them and those kept before, the best `keep` are kept. With `parts`, the question is split first; each part is
answered `stride` times by searches of their own inside thoughts, and the best result of each part is kept for the first aggregation. That new
thoughts compete with what was kept before them is so for refinements in the authors' sorting example, as far as we remember (unverified), and
ours for aggregations.

The Blueprint (arXiv 2501.11223, §5.3) says that a model of its own controls the graph, which the authors' code does not have. With `asks_control`
it does: before each operation after the first, an evaluator is asked which one comes next, or whether to stop. What it says that cannot be read or
done (aggregating a single thought, say) falls to the plan's operation at this place. It orders at most as many as the plan has, so it ends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..records import Nested, Operator
from .parts import Ask, Pick, TreeState
from .plan import Line, Lines, Stage, combine, judge, merit, portion
from .tree import REFUTED, ROOT, TERMINAL

INSIDE = 0.75
"""Part of the budget for the searches that answer the parts."""

_ORDERS = ("generate", "refine", "aggregate", "stop")


@dataclass(frozen=True, slots=True)
class Operations:
    """A graph of operations. `Line.count` is how many of them were begun; answering the parts is one."""

    stride: int
    """Attempts of the first operation, at the question or at each part, ≥ 1."""
    keep: int
    """Best attempts kept after each operation, ≥ 1."""
    aggregate: int
    """Samples of an aggregation, ≥ 1."""
    refine: int
    """Samples of a refinement, ≥ 1."""
    rounds: int
    """≥ 0."""
    parts: int
    """Parts that the question is split into first, ≥ 0; 0: it is not."""
    solver: Nested
    """The search that answers a part; which part and with which share of the budget is filled in."""
    asks_value: bool
    """Whether an evaluator is asked for the value of new thoughts."""
    asks_control: bool
    """Whether an evaluator says which operation comes next."""
    temperature: float | None

    def next(self, state: TreeState[Lines], line: Line) -> Stage | None:
        """See `Script.next`."""
        if not line.stage:
            return self._split() if self.parts else self._generate(line)
        if line.stage == "split":
            return self._solve(state, line) or self._generate(line)
        if line.stage == "control":
            return self._operate(line, self._ordered(state, line))
        if line.stage != "score":
            line.kept += line.new
            living = [node for node in line.new if not state.tree.has(node, REFUTED)]
            if self.asks_value and living:
                return Stage("score", judge(living, "value"))
        attempts = self._keep_best(state, line)
        if not line.kept:
            return self._generate(line) if line.stage == "solve" else None
        if not attempts:
            return self._operate(line, "combine" if line.count <= max(1, 2 * self.rounds) else "stop")
        if self.asks_control and line.count <= 2 * self.rounds:
            ask = Ask(Operator.EVALUATE, action="control")
            return Stage("control", (Pick(tuple(line.kept), 1, line.turn, ask),))
        return self._operate(line, self._planned(line))

    def _split(self) -> Stage:
        ask = Ask(action="split", horizon="solution", temperature=self.temperature)
        return Stage("split", (Pick((ROOT,), self.parts, 0, ask),))

    def _solve(self, state: TreeState[Lines], line: Line) -> Stage | None:
        """Return the stage in which the parts are answered, or None if there are none."""
        tree = state.tree
        parts = [node for node in line.new if not tree.has(node, TERMINAL | REFUTED)]
        of = len(parts) * self.stride
        picks: list[Pick] = []
        for place in range(of):
            part, sample = parts[place // self.stride], place % self.stride
            share = portion(place, of, INSIDE)
            nested = replace(self.solver, question=tree.thought[part].text, share=share)
            picks.append(Pick((part,), 1, sample, Ask(horizon="solution", distinct=False, nested=nested)))
        line.count = 1
        return Stage("solve", picks) if picks else None

    def _generate(self, line: Line) -> Stage | None:
        line.count = 0
        return self._operate(line, "generate")

    def _operate(self, line: Line, operation: str) -> Stage | None:
        """Return the stage of an operation; every one draws samples of its own, also where the same thoughts are kept again."""
        line.count += 1
        if operation == "stop":
            return None
        if operation == "generate":
            ask = Ask(horizon="solution", temperature=self.temperature)
            return Stage(operation, (Pick((ROOT,), self.stride, line.turn * self.stride, ask),))
        if operation == "combine" or (operation == "aggregate" and len(line.kept) > 1):
            nodes, n = line.kept, self.aggregate
        else:
            nodes, n = line.kept[:1], self.refine
        return Stage(operation, (combine(nodes, n, line.turn * n, self.temperature),))

    def _planned(self, line: Line) -> str:
        """Return the plan's operation at this place."""
        if line.count > 2 * self.rounds:
            return "stop"
        return "aggregate" if line.count % 2 else "refine"

    def _ordered(self, state: TreeState[Lines], line: Line) -> str:
        """Return the operation that the controller chose, or the plan's where it chose none that can be done."""
        said = [
            evaluation.text.strip().lower()
            for reply in line.replies
            if reply
            for evaluation in reply.evaluations
            if evaluation.kind == "choice" and evaluation.text is not None
        ]
        order = next((word for word in said if word in _ORDERS), None)
        if order == "aggregate" and len(line.kept) == 1:
            order = None
        operation = order or self._planned(line)
        state.note(Operator.SELECT, line.kept, operation=operation, by="model" if order else "plan")
        return operation

    def _keep_best(self, state: TreeState[Lines], line: Line) -> bool:
        """Keep the best attempts, or the best living result of each part; return whether they are attempts at the whole."""
        tree = state.tree
        ranked = sorted(line.kept, key=lambda node: merit(tree, node))
        attempts = [node for node in ranked if not tree.thought[node].nested]
        if attempts:
            best = attempts[: self.keep]
            dropped = attempts[self.keep :]
        else:
            of_part = {tree.parent[node]: node for node in reversed(ranked) if not tree.has(node, REFUTED)}
            best = [
                of_part[part] for part in dict.fromkeys(tree.parent[n] for n in line.kept) if part in of_part
            ]
            dropped = [node for node in ranked if node not in of_part.values()]
        for node in dropped:
            state.note(Operator.PRUNE, (node,), reason="keep", score=tree.score(node))
        line.kept = best
        return bool(attempts)
