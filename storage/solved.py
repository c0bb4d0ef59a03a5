"""Solved problems of past runs that may be shown to later searches, and none that anything is evaluated on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Connection, Row, literal, select

from ..tools.retrieval.past_runs import SolvedExample, same_text
from .database import Database
from .schema import EdgeRow, ProblemRow, RunRow, ThoughtRow, UnitRow

_BATCH = 500
"""Values of one `in` at most."""


def solved_examples(
    database: Database,
    task: str,
    *,
    exclude_runs: Collection[str] = (),
    exclude_problems: Collection[str] = (),
    only_splits: Collection[str] = ("train",),
    limit: int = 1_000,
) -> list[SolvedExample]:
    """Return problems of a task that were answered right, newest first, each question once, with the path of the answer.

    A run counts if its settings name one of the splits; one that names none, or in which a reference answer took part, or that ran inside a thought, does not. A
    question is left out wherever it was solved if it is also a question of a run on another split, of an excluded run, or of an excluded problem: questions
    are compared by their words (`same_text`) and over all tasks, so that a copy of a test set under another name leaks nothing.

    Args:
        database: where the runs are.
        task: whose problems.
        exclude_runs: full ids; the run that asks belongs here.
        exclude_problems: full ids of problems of this task; the problem that is asked belongs here.
        only_splits: values of the setting `split` that may be shown.
        limit: examples at most (≥ 1).
    """
    with database.reading() as connection:
        runs = connection.execute(
            select(RunRow.id, RunRow.task, RunRow.settings, RunRow.oracle, RunRow.parent)
        ).all()
        excluded = set(exclude_runs)
        hidden_runs = [
            r.id for r in runs if r.id in excluded or (_split(r) or None) not in {None, *only_splits}
        ]
        hidden = set(_questions_of_runs(connection, hidden_runs))
        hidden |= set(_questions(connection, task, exclude_problems))
        shown_runs = [r.id for r in runs if _may_show(r, task, only_splits) and r.id not in excluded]
        chosen = _chosen(connection, shown_runs, hidden, set(exclude_problems), limit)
        paths = _paths(connection, [unit.thought for unit in chosen])
    return [SolvedExample(u.question, paths[u.thought], u.answer) for u in chosen if paths.get(u.thought)]


def _split(run: Row[*tuple[Any, ...]]) -> str:
    settings: Any = run.settings
    return (
        str(cast("Mapping[str, Any]", settings).get("split") or "") if isinstance(settings, Mapping) else ""
    )


def _may_show(run: Row[*tuple[Any, ...]], task: str, splits: Collection[str]) -> bool:
    return run.task == task and _split(run) in splits and not run.oracle and run.parent is None


def _questions_of_runs(connection: Connection, runs: Sequence[str]) -> Iterator[str]:
    same = (ProblemRow.task == UnitRow.task) & (ProblemRow.id == UnitRow.problem)
    for batch in _batches(runs):
        rows = select(ProblemRow.question).join(UnitRow, same).where(UnitRow.run.in_(batch)).distinct()
        yield from map(same_text, connection.execute(rows).scalars())


def _questions(connection: Connection, task: str, problems: Collection[str]) -> Iterator[str]:
    for batch in _batches(list(problems)):
        rows = select(ProblemRow.question).where(ProblemRow.task == task, ProblemRow.id.in_(batch))
        yield from map(same_text, connection.execute(rows).scalars())


def _chosen(
    connection: Connection, runs: Sequence[str], hidden: set[str], problems: set[str], limit: int
) -> list[Row[*tuple[Any, ...]]]:
    """Return right answers to different questions that are not hidden, newest first."""
    u = UnitRow
    same = (ProblemRow.task == u.task) & (ProblemRow.id == u.problem)
    found: list[Row[*tuple[Any, ...]]] = []
    for batch in _batches(runs):
        rows = select(u.problem, u.thought, u.answer, u.finished_at, ProblemRow.question).join(
            ProblemRow, same
        )
        right = (u.correct.is_(True), u.status == "done", u.thought.is_not(None), u.answer.is_not(None))
        found += cast("Any", connection.execute(rows.where(u.run.in_(batch), *right)).all())
    found.sort(key=lambda row: (str(row.finished_at), row.thought), reverse=True)
    seen = set(hidden)
    chosen: list[Row[*tuple[Any, ...]]] = []
    for row in found:
        question = same_text(row.question)
        if question not in seen and row.problem not in problems and len(chosen) < limit:
            seen.add(question)
            chosen.append(row)
    return chosen


def _paths(connection: Connection, thoughts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the steps up to each thought, along first parents; those of a whole attempt are its own lines."""
    found: dict[str, list[tuple[int, bool, str]]] = {}
    t, e = ThoughtRow, EdgeRow
    for batch in _batches(thoughts):
        start = select(t.id.label("end"), t.id, literal(0).label("distance"), t.whole).where(t.id.in_(batch))
        path = start.cte("path", recursive=True)
        up = (
            select(path.c.end, t.id, path.c.distance + 1, t.whole)
            .join(e, (e.child == path.c.id) & (e.position == 0))
            .join(t, t.id == e.parent)
            .where(path.c.whole.is_(False))
        )
        path = path.union_all(up)
        rows = (
            select(path.c.end, path.c.distance, t.whole, t.text).join(t, t.id == path.c.id).where(t.depth > 0)
        )
        for end, distance, whole, text in connection.execute(rows):
            found.setdefault(end, []).append((distance, whole, text))
    return {end: tuple(_steps(path)) for end, path in found.items()}


def _steps(path: list[tuple[int, bool, str]]) -> Iterator[str]:
    for _, whole, text in sorted(path, reverse=True):
        yield from (line for line in text.splitlines() if line.strip()) if whole else (text,)


def _batches(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[start : start + _BATCH] for start in range(0, len(values), _BATCH))
