"""What tool calls cost and where their replies came from, calls that may not be made twice, and tainted thoughts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"

JSON = sa.Text().with_variant(postgresql.JSON(), "postgresql")
NUMBER: sa.Double[float] = sa.Double()
_KEYED = sa.text("key <> ''")


def _more() -> list[sa.Column[object]]:
    return [
        sa.Column("place", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("asked", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("key", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("usd", NUMBER, server_default=sa.text("0"), nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("trusted", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("origin", sa.Text(), server_default=sa.text("'call'"), nullable=False),
    ]


def upgrade() -> None:
    op.add_column("thought", sa.Column("tainted", sa.Boolean(), server_default=sa.false(), nullable=False))
    for column in _more():
        op.add_column("tool_call", column)
    op.create_index(
        op.f("ix_tool_call_run_key"),
        "tool_call",
        ["run", "key"],
        sqlite_where=_KEYED,
        postgresql_where=_KEYED,
    )
    op.create_table(
        "tool_intent",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("thought", sa.Text(), nullable=False),
        sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("arguments", JSON, nullable=False),
        sa.Column("void", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["run", "problem"], ["unit.run", "unit.problem"], name=op.f("fk_tool_intent_run_problem")
        ),
        sa.PrimaryKeyConstraint("run", "problem", "id", "attempt", name=op.f("pk_tool_intent")),
    )


def downgrade() -> None:
    op.drop_table("tool_intent")
    op.drop_index(op.f("ix_tool_call_run_key"), "tool_call")
    for column in reversed(_more()):
        op.drop_column("tool_call", column.name)
    op.drop_column("thought", "tainted")
