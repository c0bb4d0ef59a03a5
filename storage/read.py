"""Readers for people, viewers and exports; none of them needs a lease, and none changes anything."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row, Select, func, select

from ..graph.errors import UserError
from ..graph.ledger import EndStatus, Event, ModelCall, RunSpec, ToolCall, UnitResult, UnitStatus
from ..graph.records import Edge, Evaluation, Problem, Thought, Usage
from .database import Database
from .events import TOLD
from .loading import edges_of, evaluations_of, events_of, model_calls_of, thoughts_of, tool_calls_of
from .replay import told_usage
from .schema import ProblemRow, RunRow, ThoughtRow, UnitRow


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run with the counts of its units."""

    spec: RunSpec
    created_at: datetime
    units: int
    pending: int
    leased: int
    done: int
    failed: int
    solved: int
    """Units whose answer was graded right."""


@dataclass(frozen=True, slots=True)
class UnitSummary:
    """One problem of a run: where it stands, and its result once it has one."""

    run: str
    problem: Problem
    status: UnitStatus
    worker: str | None
    token: int
    expires_at: datetime | None
    result: UnitResult | None
    correct: bool | None
    """The grader's verdict on the answer; None where there is none."""
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class UnitGraph:
    """The reasoning graph of one unit, as it stands."""

    run: str
    problem: Problem
    root: str | None
    """Id of the thought without parents; None before the search has begun."""
    thoughts: dict[str, Thought]
    """By id; parents before children."""
    edges: tuple[Edge, ...]
    evaluations: dict[str, tuple[Evaluation, ...]]
    """By thought, in the order they were written; thoughts without any are left out."""
    tool_calls: dict[str, tuple[ToolCall, ...]]
    """By thought, in the order of the thought's calls; thoughts without any are left out."""
    result: UnitResult | None


def resolve_run(database: Database, prefix: str) -> str:
    """Return the full id of the one run whose id starts with `prefix`.

    Raises:
        UserError: if there is none, or more than one.
    """
    with database.reading() as connection:
        starts = func.substr(RunRow.id, 1, len(prefix)) == prefix
        ids = connection.execute(select(RunRow.id).where(starts).order_by(RunRow.id).limit(5)).scalars().all()
    if prefix in ids:
        return prefix
    if not ids or not prefix:
        raise UserError(f"there is no run {prefix!r}; list them with: thoughtgraph runs")
    if len(ids) > 1:
        raise UserError(f"several runs start with {prefix!r} ({', '.join(ids)}, …); give more of the id")
    return ids[0]


def resolve_problem(database: Database, run: str, prefix: str) -> str:
    """Return the full id of the one problem of a run (a full id) whose id starts with `prefix`; raises UserError otherwise."""
    with database.reading() as connection:
        starts = func.substr(UnitRow.problem, 1, len(prefix)) == prefix
        rows = select(UnitRow.problem).where(UnitRow.run == run, starts).order_by(UnitRow.position).limit(5)
        ids = connection.execute(rows).scalars().all()
        exact = connection.execute(rows.where(UnitRow.problem == prefix)).scalar()
    if exact is not None:
        return exact
    if not ids:
        raise UserError(f"run {run!r} has no problem {prefix!r}; list them with: thoughtgraph show {run}")
    if len(ids) > 1:
        raise UserError(f"several problems start with {prefix!r} ({', '.join(ids)}, …); give more of the id")
    return ids[0]


def run_spec(database: Database, run: str) -> RunSpec:
    """Return the specification of a run by its full id; raises UserError if there is none."""
    with database.reading() as connection:
        row = connection.execute(_runs().where(RunRow.id == run)).one_or_none()
    if row is None:
        raise UserError(f"there is no run {run!r}; list them with: thoughtgraph runs")
    return _spec(row)


def list_runs(database: Database, limit: int | None = None) -> list[RunSummary]:
    """Return runs, newest first; those inside a thought of another run are left out."""
    counts = (
        select(
            UnitRow.run,
            func.count().label("units"),
            *(
                func.count().filter(UnitRow.status == s).label(s)
                for s in ("pending", "leased", "done", "failed")
            ),
            func.count().filter(UnitRow.correct.is_(True)).label("solved"),
        )
        .group_by(UnitRow.run)
        .subquery()
    )
    names = ("units", "pending", "leased", "done", "failed", "solved")
    rows = (
        _runs(*(func.coalesce(counts.c[name], 0).label(name) for name in names))
        .outerjoin(counts, counts.c.run == RunRow.id)
        .where(RunRow.parent.is_(None))
        .order_by(RunRow.created_at.desc(), RunRow.id)
        .limit(limit)
    )
    with database.reading() as connection:
        return [
            RunSummary(_spec(row), row.created_at, *(getattr(row, name) for name in names))
            for row in connection.execute(rows)
        ]


def nested_runs(database: Database, run: str) -> list[str]:
    """Return the runs inside the thoughts of a run (a full id), those inside theirs included, outer ones first."""
    found: list[str] = []
    level = [run]
    with database.reading() as connection:
        while level:
            ids = select(RunRow.id).where(RunRow.parent.in_(level)).order_by(RunRow.created_at, RunRow.id)
            level = list(connection.execute(ids).scalars().all())
            found += level
    return found


def latest_run(database: Database) -> RunSpec:
    """Return the newest run; raises UserError if there is none."""
    runs = list_runs(database, limit=1)
    if not runs:
        raise UserError("the database has no runs yet; start one with: thoughtgraph solve")
    return runs[0].spec


def list_units(database: Database, run: str) -> list[UnitSummary]:
    """Return the units of a run (a full id) in their order."""
    with database.reading() as connection:
        return [_unit(row) for row in connection.execute(_units(run).order_by(UnitRow.position))]


def read_unit(database: Database, run: str, problem: str) -> UnitSummary:
    """Return one unit, by full ids; raises UserError if there is none."""
    with database.reading() as connection:
        row = connection.execute(_units(run).where(UnitRow.problem == problem)).one_or_none()
    if row is None:
        raise UserError(f"run {run!r} has no problem {problem!r}; list them with: thoughtgraph show {run}")
    return _unit(row)


def run_usage(database: Database, run: str) -> Usage:
    """Return what a run (a full id) paid in its finished units; seconds are summed over units, not wall-clock time of the run."""
    columns = (
        UnitRow.prompt_tokens,
        UnitRow.completion_tokens,
        UnitRow.model_calls,
        UnitRow.verifier_calls,
        UnitRow.tool_calls,
        UnitRow.seconds,
        UnitRow.usd,
    )
    with database.reading() as connection:
        row = connection.execute(select(*(func.sum(c) for c in columns)).where(UnitRow.run == run)).one()
    counts = [int(value or 0) for value in row[:5]]
    return Usage(*counts, seconds=float(row[5] or 0.0), usd=float(row[6] or 0.0))


def unit_usage(database: Database, run: str, problem: str) -> Usage:
    """Return what a unit paid so far, by its told requests; for a finished unit see its result."""
    with database.reading() as connection:
        return told_usage(events_of(connection, run, problem, TOLD))


def unit_graph(database: Database, run: str, problem: str) -> UnitGraph:
    """Return the reasoning graph of a unit, by full ids; raises UserError if there is no such unit."""
    with database.reading() as connection:
        row = connection.execute(_units(run).where(UnitRow.problem == problem)).one_or_none()
        if row is None:
            raise UserError(
                f"run {run!r} has no problem {problem!r}; list them with: thoughtgraph show {run}"
            )
        thoughts = thoughts_of(connection, run, problem)
        edges = edges_of(connection, run, problem)
        judged: dict[str, list[Evaluation]] = {}
        for evaluation in evaluations_of(connection, run, problem):
            judged.setdefault(evaluation.thought, []).append(evaluation)
        called: dict[str, list[ToolCall]] = {}
        for call in tool_calls_of(connection, run, problem):
            called.setdefault(call.thought, []).append(call)
    unit = _unit(row)
    thoughts.sort(key=lambda thought: thought.depth)
    return UnitGraph(
        run=run,
        problem=unit.problem,
        root=next((thought.id for thought in thoughts if not thought.parents), None),
        thoughts={thought.id: thought for thought in thoughts},
        edges=tuple(edges),
        evaluations={thought: tuple(found) for thought, found in judged.items()},
        tool_calls={
            thought: tuple(sorted(found, key=lambda call: call.place)) for thought, found in called.items()
        },
        result=unit.result,
    )


def unit_events(database: Database, run: str, problem: str) -> list[Event]:
    """Return the event log of a unit, by full ids."""
    with database.reading() as connection:
        return events_of(connection, run, problem)


def unit_model_calls(database: Database, run: str, problem: str) -> list[ModelCall]:
    """Return all model calls of a unit, by full ids, failed ones included."""
    with database.reading() as connection:
        return model_calls_of(connection, run, problem)


def unit_tool_calls(database: Database, run: str, problem: str) -> list[ToolCall]:
    """Return all tool calls of a unit, by full ids."""
    with database.reading() as connection:
        return tool_calls_of(connection, run, problem)


def thought_unit(database: Database, prefix: str) -> tuple[str, str, str]:
    """Return (thought, run, problem) of the one thought whose id starts with `prefix`; raises UserError otherwise."""
    upper = prefix + "g"  # ids are hexadecimal
    rows = select(ThoughtRow.id, ThoughtRow.run, ThoughtRow.problem).where(
        ThoughtRow.id >= prefix, ThoughtRow.id < upper
    )
    with database.reading() as connection:
        found = connection.execute(rows.limit(2)).all()
    if len(found) != 1:
        what = "there is no thought" if not found else "several thoughts start with"
        raise UserError(f"{what} {prefix!r}; give the id as `thoughtgraph show` prints it")
    thought, run, problem = found[0]
    return thought, run, problem


def _runs(*more: Any) -> Select[*tuple[Any, ...]]:
    r = RunRow
    return select(r.id, r.task, r.scheme, r.settings, r.seed, r.oracle, r.parent, r.created_at, *more)


def _spec(row: Row[*tuple[Any, ...]]) -> RunSpec:
    return RunSpec(row.id, row.task, row.scheme, row.settings, row.seed, row.oracle, row.parent)


def _units(run: str) -> Select[*tuple[Any, ...]]:
    same = (ProblemRow.task == UnitRow.task) & (ProblemRow.id == UnitRow.problem)
    return select(UnitRow.__table__, ProblemRow.question).join(ProblemRow, same).where(UnitRow.run == run)


def _unit(row: Row[*tuple[Any, ...]]) -> UnitSummary:
    result: UnitResult | None = None
    if row.ended is not None:
        usage = Usage(
            row.prompt_tokens,
            row.completion_tokens,
            row.model_calls,
            row.verifier_calls,
            row.tool_calls,
            row.seconds,
            row.usd,
        )
        result = UnitResult(
            cast(EndStatus, row.ended), row.answer, row.thought, row.score, row.stopped, usage
        )
    return UnitSummary(
        run=row.run,
        problem=Problem(row.problem, row.task, row.question),
        status=row.status,
        worker=row.worker,
        token=row.token,
        expires_at=row.expires_at,
        result=result,
        correct=row.correct,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
