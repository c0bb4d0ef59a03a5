"""The statements of the hot path, built once for a dialect so that SQLAlchemy finds them compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Interval,
    Update,
    bindparam,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from ..graph.ledger import Lease
from .bulk import Bulk
from .rows import EDGE, EVALUATION, EVENT, MODEL_CALL, THOUGHT, TOOL_CALL, TOOL_INTENT
from .schema import (
    Base,
    EdgeRow,
    EvaluationRow,
    EventRow,
    ModelCallRow,
    ProblemRow,
    RunRow,
    ThoughtRow,
    ToolCallRow,
    ToolIntentRow,
    UnitRow,
    table,
)
from .types import Timestamp


@dataclass(frozen=True, slots=True)
class Statements:
    """Get-or-create inserts, the clock, and the fence of leased writes."""

    run: Insert
    problem: Insert
    unit: Insert
    thought: Bulk
    edge: Bulk
    evaluation: Bulk
    model_call: Bulk
    tool_call: Bulk
    tool_intent: Bulk
    event: Bulk
    hold: Update
    """Locks the rows of the units whose leases still hold, and changes nothing; see `lease_parameters`."""
    extend: Update
    """The same, and extends the leases to `at_expiry`."""


def statements(dialect: str) -> Statements:
    """Return the statements for `sqlite` or `postgresql`."""
    unit = table(UnitRow)
    leases = tuple_(unit.c.run, unit.c.problem, unit.c.token).in_(bindparam("held", expanding=True))
    # SQLite uses no index for a list of rows: runs and problems by themselves are what it looks units up by
    runs = unit.c.run.in_(bindparam("runs", expanding=True))
    problems = unit.c.problem.in_(bindparam("problems", expanding=True))
    held = update(unit).where(runs, problems, leases, unit.c.status == "leased")
    return Statements(
        run=get_or_create(dialect, RunRow, "id"),
        problem=get_or_create(dialect, ProblemRow, "task", "id"),
        unit=get_or_create(dialect, UnitRow, "run", "problem"),
        thought=_bulk(dialect, ThoughtRow, THOUGHT, "id"),
        edge=_bulk(dialect, EdgeRow, EDGE, "child", "position"),
        evaluation=_bulk(dialect, EvaluationRow, EVALUATION, "id"),
        model_call=_bulk(dialect, ModelCallRow, MODEL_CALL, "run", "problem", "id"),
        tool_call=_bulk(dialect, ToolCallRow, TOOL_CALL, "run", "problem", "id"),
        tool_intent=_bulk(dialect, ToolIntentRow, TOOL_INTENT, "run", "problem", "id", "attempt"),
        event=_event_bulk(dialect),
        hold=held.values(token=unit.c.token),
        extend=held.values(expires_at=expiry(dialect)),
    )


def _bulk(dialect: str, row: type[Base], columns: Sequence[str], *key: str) -> Bulk:
    """Return an insert of rows with these columns that leaves those alone which are there already."""
    target, names = table(row), _names(columns)
    into = f"insert into {target.name} ({names}) values "
    unless = f" on conflict ({_names(key)}) do nothing"
    types = [target.c[column].type for column in columns]
    return Bulk(columns, types, get_or_create(dialect, row, *key), lambda rows: into + rows + unless)


def _event_bulk(dialect: str) -> Bulk:
    """Return an insert of events that numbers those which are not there yet, unit by unit, in the order of the rows."""
    target, event = table(EventRow), table(EventRow).alias()
    # Not max(seq): before its first ANALYZE, PostgreSQL would read the unit's whole log for that.
    unit = {name: bindparam(f"at_{name}", type_=target.c[name].type) for name in ("run", "problem")}
    here = (event.c.run == unit["run"]) & (event.c.problem == unit["problem"])
    last_seq = select(event.c.seq).where(here).order_by(event.c.seq.desc()).limit(1).scalar_subquery()
    next_seq = func.coalesce(last_seq, 0) + 1
    one = get_or_create(dialect, EventRow, "run", "problem", "key", seq=next_seq, **unit)
    names = _names(EVENT)

    def many(rows: str) -> str:
        return f"""
            with new ({names}, place) as (select *, row_number() over () from (values {rows}))
            insert into event (seq, {names})
            select row_number() over (partition by run, problem order by place) + coalesce(
                (select e.seq from event e where e.run = new.run and e.problem = new.problem order by e.seq desc limit 1), 0
            ), {names}
            from new
            where not exists (
                select 1 from event e where e.run = new.run and e.problem = new.problem and e.key = new.key
            )
            """

    return Bulk(["at_run", "at_problem", *EVENT[2:]], [target.c[column].type for column in EVENT], one, many)


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def get_or_create(dialect: str, row: type[Base], *key: str, **computed: Any) -> Insert:
    """Return an insert that leaves a row alone which is there already, by the columns in `key`."""
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(table(row)).values(**computed).on_conflict_do_nothing(index_elements=key).inline()


def insert_all(connection: Connection, statement: Insert, rows: Sequence[dict[str, Any]]) -> None:
    """Execute an insert once for each row; none is fine."""
    if rows:
        connection.execute(statement, rows)


def now(dialect: str) -> ColumnElement[datetime]:
    """Return the present instant: the server's clock where several machines share one, else this machine's."""
    if dialect == "postgresql":
        return func.clock_timestamp(type_=Timestamp())
    return bindparam(None, datetime.now(UTC), type_=Timestamp())


def expiry(dialect: str) -> ColumnElement[datetime]:
    """Return the end of a lease from now, as `expiry_parameters` fills it in."""
    if dialect == "postgresql":
        return func.clock_timestamp(type_=Timestamp()) + bindparam("at_expiry", type_=Interval())
    return bindparam("at_expiry", type_=Timestamp())


def expiry_parameters(dialect: str, ttl: float) -> dict[str, Any]:
    """Return the parameters of `expiry` for a lease of `ttl` seconds."""
    span = timedelta(seconds=ttl)
    return {"at_expiry": span if dialect == "postgresql" else datetime.now(UTC) + span}


def lease_parameters(leases: Sequence[Lease]) -> dict[str, Any]:
    """Return the parameters of `hold` and `extend` that name leases."""
    held = [(lease.run, lease.problem.id, lease.token) for lease in leases]
    return {
        "held": held,
        "runs": sorted({run for run, _, _ in held}),
        "problems": sorted({p for _, p, _ in held}),
    }
