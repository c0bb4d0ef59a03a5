"""Create all tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

TEXT = sa.Text()
JSON = sa.Text().with_variant(postgresql.JSON(), "postgresql")
NUMBER: sa.Double[float] = sa.Double()
COUNT = sa.BigInteger()
FLAG = sa.Boolean()
INSTANT = sa.DateTime(timezone=True)
ROW = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_dataset_snapshot()
    _create_problem()
    _create_run()
    _create_model_artifact()
    _create_reference()
    _create_unit()
    _create_event()
    _create_model_call()
    _create_thought()
    _create_tool_call()
    _create_edge()
    _create_evaluation()
    _create_label()


def downgrade() -> None:
    for name in (
        "label",
        "evaluation",
        "edge",
        "tool_call",
        "thought",
        "model_call",
        "event",
        "unit",
        "reference",
        "model_artifact",
        "run",
        "problem",
        "dataset_snapshot",
    ):
        op.drop_table(name)


def _create_dataset_snapshot() -> None:
    op.create_table(
        "dataset_snapshot",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("query", JSON, nullable=False),
        sa.Column("sha256", TEXT, nullable=False),
        sa.Column("rows", COUNT, nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset_snapshot")),
    )


def _create_problem() -> None:
    op.create_table(
        "problem",
        sa.Column("task", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("question", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("task", "id", name=op.f("pk_problem")),
    )


def _create_run() -> None:
    op.create_table(
        "run",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("task", TEXT, nullable=False),
        sa.Column("scheme", TEXT, nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("seed", COUNT, nullable=False),
        sa.Column("oracle", FLAG, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )


def _create_model_artifact() -> None:
    op.create_table(
        "model_artifact",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("version", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("base", TEXT, nullable=True),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("dataset", TEXT, nullable=True),
        sa.Column("metrics", JSON, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["dataset"], ["dataset_snapshot.id"], name=op.f("fk_model_artifact_dataset")),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_model_artifact")),
    )


def _create_reference() -> None:
    op.create_table(
        "reference",
        sa.Column("task", TEXT, nullable=False),
        sa.Column("problem", TEXT, nullable=False),
        sa.Column("answer", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["task", "problem"], ["problem.task", "problem.id"], name=op.f("fk_reference_task_problem")
        ),
        sa.PrimaryKeyConstraint("task", "problem", name=op.f("pk_reference")),
    )


def _create_unit() -> None:
    op.create_table(
        "unit",
        sa.Column("run", TEXT, nullable=False),
        sa.Column("problem", TEXT, nullable=False),
        sa.Column("task", TEXT, nullable=False),
        sa.Column("position", COUNT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("worker", TEXT, nullable=True),
        sa.Column("token", COUNT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=True),
        sa.Column("ended", TEXT, nullable=True),
        sa.Column("answer", TEXT, nullable=True),
        sa.Column("correct", FLAG, nullable=True),
        sa.Column("thought", TEXT, nullable=True),
        sa.Column("score", NUMBER, nullable=True),
        sa.Column("stopped", TEXT, nullable=True),
        sa.Column("prompt_tokens", COUNT, nullable=True),
        sa.Column("completion_tokens", COUNT, nullable=True),
        sa.Column("model_calls", COUNT, nullable=True),
        sa.Column("verifier_calls", COUNT, nullable=True),
        sa.Column("tool_calls", COUNT, nullable=True),
        sa.Column("seconds", NUMBER, nullable=True),
        sa.Column("usd", NUMBER, nullable=True),
        sa.Column("started_at", INSTANT, nullable=True),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.CheckConstraint("status in ('pending', 'leased', 'done', 'failed')", name=op.f("ck_unit_status")),
        sa.ForeignKeyConstraint(["run"], ["run.id"], name=op.f("fk_unit_run")),
        sa.ForeignKeyConstraint(
            ["task", "problem"], ["problem.task", "problem.id"], name=op.f("fk_unit_task_problem")
        ),
        sa.PrimaryKeyConstraint("run", "problem", name=op.f("pk_unit")),
    )
    op.create_index(op.f("ix_unit_run_status_position"), "unit", ["run", "status", "position"], unique=False)


def _create_event() -> None:
    op.create_table(
        "event",
        sa.Column("run", TEXT, nullable=False),
        sa.Column("problem", TEXT, nullable=False),
        sa.Column("seq", COUNT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("subjects", JSON, nullable=False),
        sa.Column("detail", JSON, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["run", "problem"], ["unit.run", "unit.problem"], name=op.f("fk_event_run_problem")
        ),
        sa.PrimaryKeyConstraint("run", "problem", "seq", name=op.f("pk_event")),
        sa.UniqueConstraint("run", "problem", "key", name=op.f("uq_event_run_problem_key")),
        sqlite_with_rowid=False,
    )


def _create_model_call() -> None:
    op.create_table(
        "model_call",
        sa.Column("run", TEXT, nullable=False),
        sa.Column("problem", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("request", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("prompt", JSON, nullable=False),
        sa.Column("parameters", JSON, nullable=False),
        sa.Column("response", JSON, nullable=True),
        sa.Column("error", TEXT, nullable=True),
        sa.Column("prompt_tokens", COUNT, nullable=False),
        sa.Column("completion_tokens", COUNT, nullable=False),
        sa.Column("usd", NUMBER, nullable=False),
        sa.Column("seconds", NUMBER, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["run", "problem"], ["unit.run", "unit.problem"], name=op.f("fk_model_call_run_problem")
        ),
        sa.PrimaryKeyConstraint("run", "problem", "id", name=op.f("pk_model_call")),
    )


def _create_thought() -> None:
    op.create_table(
        "thought",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("run", TEXT, nullable=False),
        sa.Column("problem", TEXT, nullable=False),
        sa.Column("operator", TEXT, nullable=False),
        sa.Column("text", TEXT, nullable=False),
        sa.Column("depth", COUNT, nullable=False),
        sa.Column("request", TEXT, nullable=False),
        sa.Column("sample", COUNT, nullable=False),
        sa.Column("count", COUNT, nullable=False),
        sa.Column("terminal", FLAG, nullable=False),
        sa.Column("answer", TEXT, nullable=True),
        sa.Column("key", TEXT, nullable=True),
        sa.Column("state", TEXT, nullable=True),
        sa.Column("logprob", NUMBER, nullable=True),
        sa.Column("tokens", COUNT, nullable=False),
        sa.Column("call", TEXT, nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["run", "problem"], ["unit.run", "unit.problem"], name=op.f("fk_thought_run_problem")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_thought")),
    )
    op.create_index(op.f("ix_thought_run_problem"), "thought", ["run", "problem"], unique=False)


def _create_tool_call() -> None:
    op.create_table(
        "tool_call",
        sa.Column("run", TEXT, nullable=False),
        sa.Column("problem", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("request", TEXT, nullable=False),
        sa.Column("thought", TEXT, nullable=False),
        sa.Column("tool", TEXT, nullable=False),
        sa.Column("arguments", JSON, nullable=False),
        sa.Column("result", TEXT, nullable=True),
        sa.Column("error", TEXT, nullable=True),
        sa.Column("ok", FLAG, nullable=True),
        sa.Column("seconds", NUMBER, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["run", "problem"], ["unit.run", "unit.problem"], name=op.f("fk_tool_call_run_problem")
        ),
        sa.PrimaryKeyConstraint("run", "problem", "id", name=op.f("pk_tool_call")),
    )


def _create_edge() -> None:
    op.create_table(
        "edge",
        sa.Column("child", TEXT, nullable=False),
        sa.Column("position", COUNT, nullable=False),
        sa.Column("parent", TEXT, nullable=False),
        sa.Column("operator", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["child"], ["thought.id"], name=op.f("fk_edge_child")),
        sa.ForeignKeyConstraint(["parent"], ["thought.id"], name=op.f("fk_edge_parent")),
        sa.PrimaryKeyConstraint("child", "position", name=op.f("pk_edge")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_edge_parent"), "edge", ["parent"], unique=False)


def _create_evaluation() -> None:
    op.create_table(
        "evaluation",
        sa.Column("number", ROW, autoincrement=True, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("run", TEXT, nullable=False),
        sa.Column("problem", TEXT, nullable=False),
        sa.Column("thought", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("value", NUMBER, nullable=True),
        sa.Column("error", TEXT, nullable=True),
        sa.Column("text", TEXT, nullable=True),
        sa.Column("rollouts", COUNT, nullable=True),
        sa.Column("successes", COUNT, nullable=True),
        sa.Column("request", TEXT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.CheckConstraint("value between 0 and 1", name=op.f("ck_evaluation_value")),
        sa.CheckConstraint("value is null or error is null", name=op.f("ck_evaluation_error")),
        sa.ForeignKeyConstraint(["thought"], ["thought.id"], name=op.f("fk_evaluation_thought")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_evaluation")),
        sa.UniqueConstraint("id", name=op.f("uq_evaluation_id")),
    )
    op.create_index(op.f("ix_evaluation_run_problem"), "evaluation", ["run", "problem"], unique=False)
    op.create_index(op.f("ix_evaluation_thought"), "evaluation", ["thought"], unique=False)


def _create_label() -> None:
    op.create_table(
        "label",
        sa.Column("number", ROW, autoincrement=True, nullable=False),
        sa.Column("thought", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("value", NUMBER, nullable=False),
        sa.Column("rollouts", COUNT, nullable=True),
        sa.Column("successes", COUNT, nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.CheckConstraint("value between 0 and 1", name=op.f("ck_label_value")),
        sa.ForeignKeyConstraint(["thought"], ["thought.id"], name=op.f("fk_label_thought")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_label")),
    )
    op.create_index(op.f("ix_label_thought"), "label", ["thought"], unique=False)
