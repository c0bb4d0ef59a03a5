"""Opening databases: commands that only look must not make a new one where a path was mistyped."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..graph.errors import StoreError

if TYPE_CHECKING:
    from ..storage.store import SqlStore


def database_place(db: str | None) -> tuple[str, bool]:
    """Return the path or URL of the database, as people write it, and whether there is one as far as can be told without opening it.

    Raises:
        UserError: if it names no database that is supported.
    """
    from ..storage.engine import default_db_path, is_memory, parse_url, shown

    url = parse_url(db or default_db_path())
    here = url.get_backend_name() != "sqlite" or (not is_memory(url) and Path(url.database or "").exists())
    return shown(url), here


def require_database(db: str | None) -> str:
    """Return the path or URL of a database that is there; raises StoreError otherwise."""
    place, here = database_place(db)
    if not here:
        raise StoreError(
            f"there is no database {place}; name another one with --db, or make it with: thoughtgraph solve"
        )
    return place


@contextmanager
def opened(db: str | None, *, existing: bool = False) -> Generator[SqlStore]:
    """Open a store and close it at the end.

    Raises:
        UserError, SchemaVersionError, StoreError: as `storage.database.open_database`; StoreError also if `existing` and there is none.
    """
    from ..storage.store import SqlStore

    if existing:
        require_database(db)
    store = SqlStore.open(db)
    try:
        yield store
    finally:
        store.close()
