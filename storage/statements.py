"""The statements of the hot path, built once for a dialect so that SQLAlchemy finds them compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Insert, Interval, Update, bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from .rows import Row
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
    thought: Insert
    edge: Insert
    evaluation: Insert
    model_call: Insert
    tool_call: Insert
    event: Insert
    hold: Update
    """Locks the unit's row if the lease still holds, and changes nothing."""
    extend: Update
    """The same, and extends the lease to `at_expiry`."""


def statements(dialect: str) -> Statements:
    """Return the statements for `sqlite` or `postgresql`."""
    unit, event = table(UnitRow), table(EventRow).alias()
    held = update(unit).where(
        unit.c.run == bindparam("at_run"),
        unit.c.problem == bindparam("at_problem"),
        unit.c.token == bindparam("at_token"),
        unit.c.status == "leased",
    )
    here = (event.c.run == bindparam("at_run")) & (event.c.problem == bindparam("at_problem"))
    # Not max(seq): before its first ANALYZE, PostgreSQL would read the unit's whole log for that.
    last_seq = select(event.c.seq).where(here).order_by(event.c.seq.desc()).limit(1).scalar_subquery()
    next_seq = func.coalesce(last_seq, 0) + 1
    return Statements(
        run=get_or_create(dialect, RunRow, "id"),
        problem=get_or_create(dialect, ProblemRow, "task", "id"),
        unit=get_or_create(dialect, UnitRow, "run", "problem"),
        thought=get_or_create(dialect, ThoughtRow, "id"),
        edge=get_or_create(dialect, EdgeRow, "child", "position"),
        evaluation=get_or_create(dialect, EvaluationRow, "id"),
        model_call=get_or_create(dialect, ModelCallRow, "run", "problem", "id"),
        tool_call=get_or_create(dialect, ToolCallRow, "run", "problem", "id"),
        event=get_or_create(dialect, EventRow, "run", "problem", "key", seq=next_seq),
        hold=held.values(token=unit.c.token),
        extend=held.values(expires_at=expiry(dialect)),
    )


def get_or_create(dialect: str, row: type[Base], *key: str, **computed: Any) -> Insert:
    """Return an insert that leaves a row alone which is there already, by the columns in `key`."""
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(table(row)).values(**computed).on_conflict_do_nothing(index_elements=key).inline()


def insert_all(connection: Connection, statement: Insert, rows: Sequence[Row]) -> None:
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


def expiry_parameters(dialect: str, ttl: float) -> Row:
    """Return the parameters of `expiry` for a lease of `ttl` seconds."""
    span = timedelta(seconds=ttl)
    return {"at_expiry": span if dialect == "postgresql" else datetime.now(UTC) + span}
