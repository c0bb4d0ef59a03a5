"""The tables: one row for everything a search thought, paid and decided.

Thoughts, edges, evaluations, calls and events are written once and never changed; the only rows that change are units, which carry the lease.
Names are singular and plain, so that a question can be asked by hand:

    -- the steps of one search, with their process scores
    select t.depth, t.text, e.value from thought t left join evaluation e on e.thought = t.id and e.kind = 'step'
    where t.run = '…' and t.problem = '…' order by t.depth, t.sample;

    -- accuracy and tokens by scheme
    select r.scheme, avg(case when u.correct then 1.0 else 0.0 end), avg(u.completion_tokens)
    from unit u join run r on r.id = u.run where u.status = 'done' group by r.scheme;
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, cast

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from .types import CleanJson, CleanText, FiniteFloat, Timestamp

Json = Annotated[Any, mapped_column(CleanJson)]
RowNumber = Annotated[
    int, mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True)
]
"""Counts rows in the order they were written."""


class Base(DeclarativeBase):
    """What all tables share: types, and names of constraints (a migration can only alter what has a name)."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: CleanText,
        float: FiniteFloat,
        int: BigInteger,
        datetime: Timestamp,
    }


def table(row: type[Base]) -> Table[Any]:
    """Return the table of a row class, for Core statements."""
    return cast("Table[Any]", row.__table__)


class RunRow(Base):
    """A run: one scheme with its settings, over many problems."""

    __tablename__ = "run"

    id: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str]
    scheme: Mapped[str]
    settings: Mapped[Json]
    seed: Mapped[int]
    oracle: Mapped[bool]
    """Whether a reference answer took part in the search."""
    parent: Mapped[str | None]
    """The run of which this one is a thought; null for a run of its own."""
    created_at: Mapped[datetime]


class ProblemRow(Base):
    """A question, without its answer."""

    __tablename__ = "problem"

    task: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    question: Mapped[str]


class UnitRow(Base):
    """One problem in one run: its lease while it is worked on, its result once it is done."""

    __tablename__ = "unit"
    __table_args__ = (
        ForeignKeyConstraint(["task", "problem"], ["problem.task", "problem.id"]),
        Index(None, "run", "status", "position"),
        CheckConstraint("status in ('pending', 'leased', 'done', 'failed')", name="status"),
    )

    run: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    problem: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str]
    position: Mapped[int]
    """Place in the run: units are claimed in this order."""
    status: Mapped[str]
    worker: Mapped[str | None]
    token: Mapped[int]
    """Fencing token: one higher at each claim; a write that names an older one is refused."""
    expires_at: Mapped[datetime | None]
    """End of the lease."""

    ended: Mapped[str | None]
    """How the search ended: answered, no_answer, failed."""
    answer: Mapped[str | None]
    correct: Mapped[bool | None]
    """A grader's verdict on the answer, given after the search; null where there is none."""
    thought: Mapped[str | None]
    """The thought that was answered with."""
    score: Mapped[float | None]
    stopped: Mapped[str | None]
    """Why the search stopped."""
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    model_calls: Mapped[int | None]
    verifier_calls: Mapped[int | None]
    tool_calls: Mapped[int | None]
    seconds: Mapped[float | None]
    usd: Mapped[float | None]
    started_at: Mapped[datetime | None]
    """First claim."""
    finished_at: Mapped[datetime | None]


class ThoughtRow(Base):
    """One step of reasoning; its id is its content address, salted by run and problem."""

    __tablename__ = "thought"
    __table_args__ = (
        ForeignKeyConstraint(["run", "problem"], ["unit.run", "unit.problem"]),
        Index(None, "run", "problem"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    run: Mapped[str]
    problem: Mapped[str]
    operator: Mapped[str]
    text: Mapped[str]
    depth: Mapped[int]
    request: Mapped[str]
    """The request that made it; empty for the root."""
    sample: Mapped[int]
    count: Mapped[int]
    terminal: Mapped[bool]
    answer: Mapped[str | None]
    key: Mapped[str | None]
    state: Mapped[str | None]
    logprob: Mapped[float | None]
    tokens: Mapped[int]
    call: Mapped[str | None]
    """The model call it came from (model_call.id within the unit)."""
    whole: Mapped[bool] = mapped_column(server_default=false())
    """Whether it is an attempt at the whole problem, not a step of its parents' path."""
    nested: Mapped[str | None]
    """The run it contains."""
    tainted: Mapped[bool] = mapped_column(server_default=false())
    """Whether it was made from text of strangers, such as what an untrusted tool answered."""
    created_at: Mapped[datetime]


class EdgeRow(Base):
    """A parent link; `position` is the parent's place among the child's parents."""

    __tablename__ = "edge"
    __table_args__ = (Index(None, "parent"), {"sqlite_with_rowid": False})

    child: Mapped[str] = mapped_column(ForeignKey("thought.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    parent: Mapped[str] = mapped_column(ForeignKey("thought.id"))
    operator: Mapped[str]


class EvaluationRow(Base):
    """One judgement of one thought by one source. A failed one has an error and no value."""

    __tablename__ = "evaluation"
    __table_args__ = (
        UniqueConstraint("id"),
        Index(None, "run", "problem"),
        Index(None, "thought"),
        CheckConstraint("value between 0 and 1", name="value"),
        CheckConstraint("value is null or error is null", name="error"),
    )

    number: Mapped[RowNumber]
    id: Mapped[str]
    run: Mapped[str]
    problem: Mapped[str]
    thought: Mapped[str] = mapped_column(ForeignKey("thought.id"))
    kind: Mapped[str]
    source: Mapped[str]
    value: Mapped[float | None]
    error: Mapped[str | None]
    text: Mapped[str | None]
    rollouts: Mapped[int | None]
    successes: Mapped[int | None]
    request: Mapped[str]
    """The request under which it was made; empty for one added after the search."""
    created_at: Mapped[datetime]


class ModelCallRow(Base):
    """One paid call to a model, as sent and as received."""

    __tablename__ = "model_call"
    __table_args__ = (ForeignKeyConstraint(["run", "problem"], ["unit.run", "unit.problem"]),)

    run: Mapped[str] = mapped_column(primary_key=True)
    problem: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    request: Mapped[str]
    kind: Mapped[str]
    model: Mapped[str]
    prompt: Mapped[Json]
    parameters: Mapped[Json]
    response: Mapped[Json | None]
    error: Mapped[str | None]
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    usd: Mapped[float]
    seconds: Mapped[float]
    created_at: Mapped[datetime]


class ToolCallRow(Base):
    """One tool call at a thought. It may be written before its thought is, so that its effect is never repeated."""

    __tablename__ = "tool_call"
    __table_args__ = (
        ForeignKeyConstraint(["run", "problem"], ["unit.run", "unit.problem"]),
        Index(None, "run", "key", sqlite_where=text("key <> ''"), postgresql_where=text("key <> ''")),
    )

    run: Mapped[str] = mapped_column(primary_key=True)
    problem: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    request: Mapped[str]
    thought: Mapped[str]
    tool: Mapped[str]
    arguments: Mapped[Json]
    result: Mapped[str | None]
    error: Mapped[str | None]
    ok: Mapped[bool | None]
    seconds: Mapped[float]
    place: Mapped[int] = mapped_column(server_default=text("0"))
    """Which of the thought's calls it is, from 0."""
    asked: Mapped[bool] = mapped_column(server_default=false())
    """Whether the thought's own text called the tool; else an agent did, to check the thought."""
    key: Mapped[str] = mapped_column(server_default=text("''"))
    """Equal calls have equal keys; empty where equal calls are not answered from the record."""
    usd: Mapped[float] = mapped_column(server_default=text("0"))
    bytes: Mapped[int] = mapped_column(server_default=text("0"))
    """Length of the result or error in UTF-8."""
    trusted: Mapped[bool] = mapped_column(server_default=false())
    """Whether the reply can hold nothing that somebody else wrote."""
    origin: Mapped[str] = mapped_column(server_default=text("'call'"))
    """call, record (an equal call was on record), refused (nothing was called), person (who said how it had ended)."""
    created_at: Mapped[datetime]


class ToolIntentRow(Base):
    """A call that may not be made twice, before it is made. Without a tool_call of its id, its outcome is unknown."""

    __tablename__ = "tool_intent"
    __table_args__ = (ForeignKeyConstraint(["run", "problem"], ["unit.run", "unit.problem"]),)

    run: Mapped[str] = mapped_column(primary_key=True)
    problem: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    """The call's."""
    attempt: Mapped[int] = mapped_column(primary_key=True)
    request: Mapped[str]
    thought: Mapped[str]
    tool: Mapped[str]
    arguments: Mapped[Json]
    void: Mapped[bool] = mapped_column(server_default=false())
    """Whether a person said that it had no effect, so that the call may be made again."""
    created_at: Mapped[datetime]


class EventRow(Base):
    """Something that happened in a search; `seq` counts from 1 within its unit, without gaps."""

    __tablename__ = "event"
    __table_args__ = (
        ForeignKeyConstraint(["run", "problem"], ["unit.run", "unit.problem"]),
        UniqueConstraint("run", "problem", "key"),
        {"sqlite_with_rowid": False},
    )

    run: Mapped[str] = mapped_column(primary_key=True)
    problem: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str]
    """What makes it the same event when it is written again; the request's id for a told event (see events.py)."""
    kind: Mapped[str]
    subjects: Mapped[Json]
    detail: Mapped[Json]
    created_at: Mapped[datetime]


class LabelRow(Base):
    """A training label of one thought. Append-only."""

    __tablename__ = "label"
    __table_args__ = (Index(None, "thought"), CheckConstraint("value between 0 and 1", name="value"))

    number: Mapped[RowNumber]
    thought: Mapped[str] = mapped_column(ForeignKey("thought.id"))
    kind: Mapped[str]
    """mc (Monte Carlo rollouts), human, …"""
    source: Mapped[str]
    value: Mapped[float]
    rollouts: Mapped[int | None]
    successes: Mapped[int | None]
    created_at: Mapped[datetime]


class DatasetSnapshotRow(Base):
    """A data set as it was exported: what it was made of, and the hash of the result."""

    __tablename__ = "dataset_snapshot"

    id: Mapped[str] = mapped_column(primary_key=True)
    """Content address of (kind, query, sha256)."""
    kind: Mapped[str]
    query: Mapped[Json]
    sha256: Mapped[str]
    rows: Mapped[int]
    path: Mapped[str]
    created_at: Mapped[datetime]


class ModelArtifactRow(Base):
    """A trained model: what it is, what it came from, how good it is."""

    __tablename__ = "model_artifact"

    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    """policy, prm, orm, value."""
    base: Mapped[str | None]
    """The model it was initialised from."""
    path: Mapped[str]
    dataset: Mapped[str | None] = mapped_column(ForeignKey("dataset_snapshot.id"))
    metrics: Mapped[Json]
    created_at: Mapped[datetime]


class ReferenceRow(Base):
    """A reference answer. Only `references.py` reads this table; nothing that searches imports it."""

    __tablename__ = "reference"
    __table_args__ = (ForeignKeyConstraint(["task", "problem"], ["problem.task", "problem.id"]),)

    task: Mapped[str] = mapped_column(primary_key=True)
    problem: Mapped[str] = mapped_column(primary_key=True)
    answer: Mapped[str]
