"""Thoughts that are whole attempts, and thoughts that contain a run."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("thought", sa.Column("whole", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("thought", sa.Column("nested", sa.Text(), nullable=True))
    op.add_column("run", sa.Column("parent", sa.Text(), nullable=True))


def downgrade() -> None:
    for table, column in (("run", "parent"), ("thought", "nested"), ("thought", "whole")):
        op.drop_column(table, column)
