"""The store: `graph.ledger.Store` on SQL.

    store = SqlStore.open("runs.db")
    store.create_run(spec, problems)
    while lease := store.claim(spec.id, worker="w1", ttl=60):
        recorded = store.recorded(lease)       # where an earlier worker stopped
        store.commit(lease, rows, ttl=60)      # one transaction, refused if the lease was lost
        store.finish(lease, result)

Every write of a unit starts by touching the unit's row under the lease's token: that is the fence, and it makes writers of one unit take turns.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from sqlalchemy import ColumnElement, Connection, Update, func, select, update

from ..graph.errors import LeaseLostError, UserError
from ..graph.ledger import Commit, Lease, Recorded, RunSpec, ToolCall, UnitResult
from ..graph.records import Evaluation, Problem, Thought, Usage
from .database import Database, open_database
from .events import keyed_events, set_errors_aside
from .loading import thoughts_of, tool_reply_of
from .read import read_unit, resolve_run, run_spec
from .replay import paid_so_far, recorded_unit
from .rows import (
    edge_rows,
    evaluation_rows,
    event_rows,
    model_call_rows,
    thought_rows,
    tool_call_rows,
    tool_intent_rows,
)
from .sanitise import sanitise
from .schema import ProblemRow, RunRow, ThoughtRow, UnitRow, table
from .statements import expiry, expiry_parameters, insert_all, lease_parameters, now, statements

_CHUNK = 500
"""Ids in one IN list."""


class SqlStore:
    """The store on an open database; safe to use from several threads and, on one file or server, from several processes."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._dialect = database.dialect
        self._statements = statements(database.dialect)

    @classmethod
    def open(cls, url: str | os.PathLike[str] | None = None) -> SqlStore:
        """Open or create the database at a path or URL; see `open_database`."""
        return cls(open_database(url))

    def close(self) -> None:
        """Close all connections."""
        self.database.close()

    def create_run(self, spec: RunSpec, problems: Sequence[Problem]) -> None:
        """Create a run with its units, in the order given, or add units to it; existing rows stay.

        Raises:
            UserError: if a problem of the same task and id is stored with another question, or the seed does not fit in 64 bits.
        """
        if not -(2**63) <= spec.seed < 2**63:
            raise UserError(f"seed {spec.seed} does not fit in 64 bits; choose a smaller one")
        with self.database.writing() as connection:
            run = {
                "id": spec.id,
                "task": spec.task,
                "scheme": spec.scheme,
                "settings": dict(spec.settings),
                "seed": spec.seed,
                "oracle": spec.oracle,
                "parent": spec.parent,
                "created_at": datetime.now(UTC),
            }
            insert_all(connection, self._statements.run, [run])
            connection.execute(select(RunRow.id).where(RunRow.id == spec.id).with_for_update())
            for start in range(0, len(problems), _CHUNK):
                self._add_units(connection, spec.id, problems[start : start + _CHUNK])

    def run(self, run: str) -> RunSpec:
        """Return a run's specification; raises UserError if no run, or more than one, has an id that starts so."""
        return run_spec(self.database, resolve_run(self.database, run))

    def claim(self, run: str, worker: str, ttl: float, problem: str | None = None) -> Lease | None:
        """Lease a unit that is pending or whose lease has expired, for `ttl` seconds; None if none is left.

        Units come in the order they were added, those of dead workers first. No unit is leased twice at a time, and each claim of a unit gets a
        higher fencing token.
        """
        with self.database.writing() as connection:
            for free in (
                (UnitRow.status == "leased") & (UnitRow.expires_at < now(self._dialect)),
                UnitRow.status == "pending",
            ):
                lease = self._claim(connection, free, run, worker, ttl, problem)
                if lease is not None:
                    return lease
        return None

    def commit(self, lease: Lease, commit: Commit, ttl: float | None = None) -> None:
        """Write rows in one transaction, and extend the lease to `ttl` seconds from now.

        Raises:
            LeaseLostError: if the lease was fenced off, given back or finished; nothing is written.
            StoreError: if the database fails, or a value cannot be stored; nothing is written.
        """
        self.commit_all([(lease, commit)], ttl)

    def commit_all(self, commits: Sequence[tuple[Lease, Commit]], ttl: float | None = None) -> None:
        """Write rows of several units, each named once, in one transaction, and extend the leases to `ttl` seconds from now.

        Raises:
            LeaseLostError: if a lease was fenced off, given back or finished; nothing is written.
            StoreError: if the database fails, or a value cannot be stored; nothing is written.
        """
        on, present = self._statements, datetime.now(UTC)
        with self.database.writing() as connection:
            self._fence(connection, [lease for lease, _ in commits], ttl)
            keyed = [(lease, keyed_events(connection, lease, rows.events)) for lease, rows in commits]
            for bulk, rows in (
                (on.model_call, (model_call_rows(lease, c.model_calls, present) for lease, c in commits)),
                (on.tool_intent, (tool_intent_rows(lease, c.intents, present) for lease, c in commits)),
                (on.tool_call, (tool_call_rows(lease, c.tool_calls, present) for lease, c in commits)),
                (on.thought, (thought_rows(lease, c.thoughts, present) for lease, c in commits)),
                (on.edge, (edge_rows(c.thoughts) for _, c in commits)),
                (on.evaluation, (evaluation_rows(lease, c.evaluations, present) for lease, c in commits)),
                (on.event, (event_rows(lease, events, present) for lease, events in keyed)),
            ):
                bulk.execute(connection, list(chain.from_iterable(rows)))

    def recorded(self, lease: Lease) -> Recorded:
        """Return what is recorded of a unit."""
        return recorded_unit(self.database, lease.run, lease.problem.id)

    def tool_reply(self, run: str, key: str) -> ToolCall | None:
        """Return an answered tool call of a run (a full id) that equals what is to be called; None if there is none."""
        with self.database.reading() as connection:
            return tool_reply_of(connection, run, key)

    def paid(self, run: str, problem: str) -> Usage:
        """Return what a unit that has not ended paid, by its record (full ids)."""
        return paid_so_far(self.database, run, problem)

    def result(self, run: str, problem: str) -> UnitResult | None:
        """Return how a unit ended, by full ids; None while it has not. Raises UserError if there is no such unit."""
        return read_unit(self.database, run, problem).result

    def path(self, run: str, problem: str, thought: str) -> list[Thought]:
        """Return the thoughts from the root of a unit to this one, along first parents; raises UserError if it is not there."""
        with self.database.reading() as connection:
            thoughts = {t.id: t for t in thoughts_of(connection, run, problem)}
        if thought not in thoughts:
            raise UserError(f"run {run!r} has no thought {thought!r}; see: thoughtgraph show {run}")
        path = [thoughts[thought]]
        while path[-1].parents:
            path.append(thoughts[path[-1].parents[0]])
        return path[::-1]

    def finish(self, lease: Lease, result: UnitResult) -> None:
        """Record how the unit ended and give the lease back; raises LeaseLostError if it was fenced off."""
        usage = result.usage
        self._end(
            lease,
            status="failed" if result.status == "failed" else "done",
            ended=result.status,
            answer=result.answer,
            thought=result.thought,
            score=result.score,
            stopped=result.stopped,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            model_calls=usage.model_calls,
            verifier_calls=usage.verifier_calls,
            tool_calls=usage.tool_calls,
            seconds=usage.seconds,
            usd=usage.usd,
            finished_at=now(self._dialect),
        )

    def grade(self, run: str, problem: str, correct: bool) -> None:
        """Record a grader's verdict on a finished unit's answer; a later verdict replaces it.

        Raises:
            UserError: if there is no such unit, or it is not finished.
        """
        finished = update(UnitRow).where(
            UnitRow.run == run, UnitRow.problem == problem, UnitRow.ended.is_not(None)
        )
        with self.database.writing() as connection:
            if connection.execute(finished.values(correct=correct)).rowcount == 0:
                raise UserError(f"problem {problem!r} of run {run!r} cannot be graded; it has no result")

    def release(self, lease: Lease) -> None:
        """Give the lease back with the unit unfinished; nothing happens if it was lost already."""
        with self.database.writing() as connection:
            connection.execute(self._ended(lease).values(status="pending", worker=None, expires_at=None))

    def workers(self, run: str) -> list[str]:
        """Return the workers that hold leases on units of a run."""
        with self.database.reading() as connection:
            held = select(UnitRow.worker).where(UnitRow.run == run, UnitRow.status == "leased").distinct()
            return [worker for worker in connection.execute(held).scalars() if worker is not None]

    def evict(self, run: str, worker: str) -> int:
        """End a dead worker's leases on a run now instead of at their expiry, and return how many there were.

        Should it live after all, its writes are refused like those of any worker that lost its lease.
        """
        held = (UnitRow.run == run) & (UnitRow.worker == worker) & (UnitRow.status == "leased")
        statement = update(UnitRow).where(held).values(status="pending", worker=None, expires_at=None)
        with self.database.writing() as connection:
            return connection.execute(statement).rowcount

    def reopen_failed(self, run: str) -> int:
        """Make the failed units of a run claimable again, and return how many there were.

        What they recorded stays, but an error is no answer: requests that failed count as not told, and are asked and paid anew.
        """
        nothing: dict[str, Any] = dict.fromkeys(_RESULT)
        failed = (UnitRow.run == run) & (UnitRow.status == "failed")
        with self.database.writing() as connection:
            units = connection.execute(select(UnitRow.problem, UnitRow.token).where(failed)).all()
            for problem, token in units:
                set_errors_aside(connection, run, problem, token)
            return connection.execute(
                update(UnitRow).where(failed).values(status="pending", **nothing)
            ).rowcount

    def add_evaluations(self, evaluations: Sequence[Evaluation]) -> None:
        """Add evaluations after the search, by a better verifier or by hand; those that are there already stay.

        Raises:
            UserError: if a thought is not in the database; nothing is written.
        """
        ids = sorted({evaluation.thought for evaluation in evaluations})
        present = datetime.now(UTC)
        with self.database.writing() as connection:
            units: dict[str, Lease] = {}
            for start in range(0, len(ids), _CHUNK):
                columns = select(ThoughtRow.id, ThoughtRow.run, ThoughtRow.problem)
                for thought, run, problem in connection.execute(
                    columns.where(ThoughtRow.id.in_(ids[start : start + _CHUNK]))
                ):
                    units[thought] = Lease(run, Problem(problem, "", ""), 0, "")
            for evaluation in evaluations:
                if evaluation.thought not in units:
                    raise UserError(f"there is no thought {evaluation.thought!r} to evaluate")
            rows = [row for e in evaluations for row in evaluation_rows(units[e.thought], (e,), present)]
            self._statements.evaluation.execute(connection, rows)

    def _add_units(self, connection: Connection, run: str, problems: Sequence[Problem]) -> None:
        rows = [{"task": p.task, "id": p.id, "question": p.question} for p in problems]
        insert_all(connection, self._statements.problem, rows)
        stored = select(ProblemRow.task, ProblemRow.id, ProblemRow.question).where(
            ProblemRow.id.in_([p.id for p in problems])
        )
        questions = {(task, id_): question for task, id_, question in connection.execute(stored)}
        for problem in problems:
            key = (sanitise(problem.task), sanitise(problem.id))
            if questions[key] != sanitise(problem.question):
                raise UserError(
                    f"problem {problem.id!r} of task {problem.task!r} is stored with another question; give it another id"
                )
        last = connection.execute(select(func.max(UnitRow.position)).where(UnitRow.run == run)).scalar() or 0
        units: list[dict[str, Any]] = [
            {
                "run": run,
                "problem": p.id,
                "task": p.task,
                "position": last + i,
                "status": "pending",
                "token": 0,
            }
            for i, p in enumerate(problems, start=1)
        ]
        insert_all(connection, self._statements.unit, units)

    def _claim(
        self,
        connection: Connection,
        free: ColumnElement[bool],
        run: str,
        worker: str,
        ttl: float,
        problem: str | None,
    ) -> Lease | None:
        unit = table(UnitRow)
        wanted = select(UnitRow.problem).where(UnitRow.run == run, free)
        if problem is not None:
            wanted = wanted.where(UnitRow.problem == problem)
        # PostgreSQL: two claims at once must not wait for each other and then take the same unit. SQLite has one writer anyway.
        wanted = wanted.order_by(UnitRow.position).limit(1).with_for_update(skip_locked=True)
        found = connection.execute(wanted).scalar()
        if found is None:
            return None
        claimed = (
            update(unit)
            .where(unit.c.run == run, unit.c.problem == found)
            .values(
                status="leased",
                worker=worker,
                token=unit.c.token + 1,
                expires_at=expiry(self._dialect),
                started_at=func.coalesce(unit.c.started_at, now(self._dialect)),
            )
        )
        connection.execute(claimed, expiry_parameters(self._dialect, ttl))
        row = connection.execute(
            select(UnitRow.token, ProblemRow.id, ProblemRow.task, ProblemRow.question)
            .join(ProblemRow, (ProblemRow.task == UnitRow.task) & (ProblemRow.id == UnitRow.problem))
            .where(UnitRow.run == run, UnitRow.problem == found)
        ).one()
        return Lease(run, Problem(row.id, row.task, row.question), row.token, worker)

    def _fence(self, connection: Connection, leases: Sequence[Lease], ttl: float | None) -> None:
        held = lease_parameters(leases)
        if ttl is None:
            result = connection.execute(self._statements.hold, held)
        else:
            result = connection.execute(self._statements.extend, held | expiry_parameters(self._dialect, ttl))
        if result.rowcount < len(leases):
            raise _lost(leases)

    def _ended(self, lease: Lease) -> Update:
        return update(UnitRow).where(
            UnitRow.run == lease.run,
            UnitRow.problem == lease.problem.id,
            UnitRow.token == lease.token,
            UnitRow.status == "leased",
        )

    def _end(self, lease: Lease, **values: Any) -> None:
        with self.database.writing() as connection:
            if (
                connection.execute(self._ended(lease).values(worker=None, expires_at=None, **values)).rowcount
                == 0
            ):
                raise _lost([lease])


_RESULT = (
    "ended",
    "answer",
    "correct",
    "thought",
    "score",
    "stopped",
    "prompt_tokens",
    "completion_tokens",
    "model_calls",
    "verifier_calls",
    "tool_calls",
    "seconds",
    "usd",
    "finished_at",
)
"""Columns of table unit that `finish` and `grade` fill in."""


def _lost(leases: Sequence[Lease]) -> LeaseLostError:
    named = ", ".join(
        f"problem {lease.problem.id!r} of run {lease.run!r} (token {lease.token})" for lease in leases
    )
    return LeaseLostError(
        f"the lease on {named} is no longer held; stop working on it, nothing was written"
        if len(leases) == 1
        else f"one of the leases on {named} is no longer held; nothing was written"
    )
