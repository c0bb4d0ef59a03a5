"""Which version a database's tables have, and how to bring them up to this program's.

Migrations are Alembic's, run from inside the package: no ini file, no command line. The version is kept in a table of our own name, so that the
database may belong to another Alembic user too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from ..graph.errors import SchemaVersionError, StoreError
from .engine import IMMEDIATE, shown
from .schema import Base

VERSION_TABLE = "thoughtgraph_version"

_CHECKPOINT_TABLES = {
    "checkpoints",
    "checkpoint_blobs",
    "checkpoint_writes",
    "checkpoint_migrations",
    "writes",
}
"""LangGraph's own tables, which share a PostgreSQL database with ours."""

_LOCK = 0x7468_6F75_6768_7467
"""PostgreSQL's advisory lock for creating and migrating tables; any constant will do."""

SchemaState = Literal["empty", "current", "older", "newer", "foreign"]


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """How a database stands to this program."""

    state: SchemaState
    """empty: no tables yet; foreign: tables of some other program."""
    revision: str | None
    """The database's revision; None if it has none."""
    head: str
    """This program's revision."""


def check(engine: Engine) -> SchemaStatus:
    """Return how the database stands to this program; changes nothing."""
    with engine.connect() as connection:
        return _status(connection)


def ready(engine: Engine) -> None:
    """Make sure the tables are this program's; create them in an empty database.

    Raises:
        SchemaVersionError: if the tables are older or newer; an older database is never changed without being asked.
        StoreError: if the tables are another program's.
    """
    status = check(engine)
    if status.state == "empty":
        upgrade(engine)
    elif status.state != "current":
        raise _refusal(engine, status)


def upgrade(engine: Engine, revision: str = "head") -> SchemaStatus:
    """Bring the tables up to `revision` in one transaction; two programs that do so at once take turns.

    Raises:
        SchemaVersionError: if the tables are newer than this program.
        StoreError: if the tables are another program's.
    """
    with engine.execution_options(**{IMMEDIATE: True}).begin() as connection:
        _lock(connection)
        status = _status(connection)
        if status.state in ("newer", "foreign"):
            raise _refusal(engine, status)
        command.upgrade(_config(connection), revision)
        return _status(connection)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the tables back to `revision`; what the older tables cannot hold is lost."""
    with engine.execution_options(**{IMMEDIATE: True}).begin() as connection:
        _lock(connection)
        command.downgrade(_config(connection), revision)


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    location = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(location).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes.update(connection=connection, metadata=Base.metadata, version_table=VERSION_TABLE)
    return config


def _status(connection: Connection) -> SchemaStatus:
    scripts = ScriptDirectory.from_config(_config())
    head = scripts.get_current_head()
    assert head is not None, "the package has lost its migrations"
    tables = set(inspect(connection).get_table_names())
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    revision = context.get_current_revision() if VERSION_TABLE in tables else None
    state: SchemaState
    if revision is None:
        state = "foreign" if tables - _CHECKPOINT_TABLES - {VERSION_TABLE} else "empty"
    elif revision == head:
        state = "current"
    else:
        known = {script.revision for script in scripts.walk_revisions()}
        state = "older" if revision in known else "newer"
    return SchemaStatus(state, revision, head)


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _refusal(engine: Engine, status: SchemaStatus) -> StoreError:
    where = shown(engine.url)
    if status.state == "older":
        return SchemaVersionError(
            f"the database {where} has schema {status.revision}, older than {status.head}; make a copy of it and run: "
            f"thoughtgraph db upgrade --db {where}"
        )
    if status.state == "newer":
        return SchemaVersionError(
            f"the database {where} has schema {status.revision}, which this program does not know (it speaks {status.head}); "
            "run: pip install --upgrade thoughtgraph"
        )
    return StoreError(f"the database {where} holds tables of another program; name another one with --db")
