"""Alembic's entry point. Alembic loads it by its path, so all it needs comes through the configuration's attributes."""

from alembic import context

given = context.config.attributes
context.configure(
    connection=given["connection"],
    target_metadata=given["metadata"],
    version_table=given["version_table"],
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
