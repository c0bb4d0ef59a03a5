"""pass@k of a run: how likely one of k solutions drawn for a problem is right, from all that its search finished."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from ..graph.errors import UserError
from ..graph.records import Thought
from ..storage.read import list_units, run_spec, unit_graph
from ..storage.references import read_references
from ..storage.store import SqlStore
from .base import Task
from .grading.estimators import pass_at_k
from .registry import task_of
from .settings import Settings

_AT_ONCE = 4
"""Answers graded at once: a grader may run processes."""


@dataclass(frozen=True, slots=True)
class Solutions:
    """The finished solutions of one problem."""

    problem: str
    n: int
    """How many there are, equal ones counted as often as they were drawn."""
    correct: int


def graded_solutions(store: SqlStore, run: str) -> list[Solutions]:
    """Grade every finished solution of a run (a full id), not only the answers it chose.

    Raises:
        UserError: if a problem has no reference and cannot be graded without one.
        GradingError: if an answer cannot be judged.
    """
    spec = run_spec(store.database, run)
    task = task_of(Settings.from_json(spec.settings))
    references = read_references(store.database, spec.task)
    counted: list[Solutions] = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for unit in list_units(store.database, run):
            graph = unit_graph(store.database, run, unit.problem.id)
            ended = [thought for thought in graph.thoughts.values() if thought.terminal]
            answers = list(dict.fromkeys(thought.answer for thought in ended))
            judge = partial(_right, task, unit.problem.question, references.get(unit.problem.id))
            right = pool.map(judge, answers)
            verdicts = dict(zip(answers, right, strict=True))
            counted.append(_counted(unit.problem.id, ended, {a for a, good in verdicts.items() if good}))
    return counted


def pass_rates(solutions: Sequence[Solutions], ks: Iterable[int]) -> dict[int, float]:
    """Return the mean pass@k over problems by k, in [0, 1], by the unbiased estimator (arXiv 2107.03374, eq. 1).

    It supposes that the solutions of a problem were drawn independently and alike, as `self_consistency` and `best_of_n` draw them.

    Raises:
        UserError: if a problem has fewer than k solutions, or there is none.
    """
    if not solutions:
        raise UserError("the run has no problems; there is nothing to estimate")
    rates: dict[int, float] = {}
    for k in ks:
        short = min(solutions, key=lambda one: one.n)
        if not 1 <= k <= short.n:
            raise UserError(
                f"pass@{k} cannot be estimated: problem {short.problem} has {short.n} finished solutions; choose k from 1 to {short.n}, or draw more"
            )
        rates[k] = sum(pass_at_k(one.n, one.correct, k) for one in solutions) / len(solutions)
    return rates


def _right(task: Task, question: str, reference: str | None, answer: str | None) -> bool:
    verdict = task.grade(question, answer, reference)
    if verdict is None:
        raise UserError(f"the task {task.name!r} cannot grade {question!r:.60} without a reference answer")
    return verdict.correct


def _counted(problem: str, ended: Sequence[Thought], right: set[str | None]) -> Solutions:
    n = sum(thought.count for thought in ended)
    return Solutions(problem, n, sum(thought.count for thought in ended if thought.answer in right))
