"""`thoughtgraph db`: the schema of the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from .codes import ExitCode
from .options import AsJson, Db
from .output import only_data
from .stores import require_database

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from ..storage.migrate import SchemaStatus

app = typer.Typer(help="Check or upgrade the database's schema.", no_args_is_help=True, rich_markup_mode=None)

ADVICE = {
    "empty": "empty; the first run makes its tables",
    "current": "current",
    "older": "older than this program; make a copy of it and run: thoughtgraph db upgrade",
    "newer": "newer than this program; run: pip install --upgrade thoughtgraph",
    "foreign": "of another program; name another database with --db",
}


@app.command()
def check(db: Db = None, as_json: AsJson = False) -> int:
    """Say whether the database's schema is this program's; exit code 0 if so, 4 otherwise."""
    from ..storage.migrate import check as read_status

    with only_data(as_json) as emit:
        place, status = _at(db, read_status)
        if as_json:
            emit(_record(place, status))
        else:
            print(f"{place}: schema {status.revision or 'none'} is {ADVICE[status.state]}")
    return ExitCode.OK if status.state == "current" else ExitCode.DATABASE


@app.command()
def upgrade(db: Db = None, as_json: AsJson = False) -> int:
    """Bring the database's tables up to this program's schema; make a copy of it first."""
    from ..storage.migrate import upgrade as migrate

    with only_data(as_json) as emit:
        place, status = _at(db, lambda engine: migrate(engine))
        if as_json:
            emit(_record(place, status))
        else:
            print(f"{place}: schema {status.revision} is {ADVICE[status.state]}")
    return ExitCode.OK


def _at(db: str | None, work: Callable[[Engine], SchemaStatus]) -> tuple[str, SchemaStatus]:
    """Do something with a database that is there, whatever its schema."""
    from ..storage.database import translated
    from ..storage.engine import default_db_path, open_engine

    place = require_database(db)
    engine = open_engine(db or default_db_path())
    try:
        with translated(engine.url):
            return place, work(engine)
    finally:
        engine.dispose()


def _record(place: str, status: SchemaStatus) -> dict[str, str | None]:
    return {"database": place, "state": status.state, "revision": status.revision, "head": status.head}
