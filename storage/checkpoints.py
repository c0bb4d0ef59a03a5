"""LangGraph's checkpointer, beside the store: a cursor, not the truth.

    async with checkpoint_saver("runs.db") as saver:
        graph = builder.compile(checkpointer=saver)

SQLite allows one writer a file, so checkpoints get a file of their own next to the database; PostgreSQL holds both. Losing the checkpoints loses
nothing: the search is rebuilt from the store.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

from sqlalchemy.engine import URL

from ..graph.errors import StoreError
from .engine import BUSY_TIMEOUT_S, is_memory, parse_url, shown, use_wal

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
    from psycopg import AsyncConnection
    from psycopg.rows import DictRow


_SETUP_LOCK = "7598543871229094259"
"""PostgreSQL's advisory lock for making LangGraph's tables: two programs that do so at once would collide."""


def checkpoint_path(database: str | os.PathLike[str]) -> Path:
    """Return the file of the checkpoints beside a SQLite file: `runs.db` has `runs.checkpoints.db`."""
    path = Path(database)
    return path.with_name(f"{path.stem}.checkpoints.db")


@asynccontextmanager
async def checkpoint_saver(url: str | os.PathLike[str]) -> AsyncGenerator[BaseCheckpointSaver[Any]]:
    """Open the checkpointer that belongs to the store at `url`, ready for use; close it at the end.

    The serializer is strict: it restores plain data only, so that a tampered checkpoint cannot make the program build other objects.

    Raises:
        UserError: if the URL names no database that is supported.
        StoreError: if it cannot be opened, or PostgreSQL's checkpointer is not installed.
    """
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    parsed = parse_url(url)
    serializer = JsonPlusSerializer(allowed_msgpack_modules=None)
    if is_memory(parsed):
        yield InMemorySaver(serde=serializer)
    elif parsed.get_backend_name() == "sqlite":
        async with _sqlite_saver(checkpoint_path(parsed.database or ""), serializer) as saver:
            yield saver
    else:
        async with _postgres_saver(parsed, serializer) as saver:
            yield saver


@asynccontextmanager
async def _sqlite_saver(
    path: Path, serializer: JsonPlusSerializer
) -> AsyncGenerator[BaseCheckpointSaver[Any]]:
    import aiosqlite
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    await asyncio.to_thread(_make_sqlite, path)
    async with aiosqlite.connect(path, timeout=BUSY_TIMEOUT_S) as connection:
        await connection.execute("PRAGMA synchronous=NORMAL")
        saver = AsyncSqliteSaver(connection, serde=serializer)
        await saver.setup()
        yield saver


def _make_sqlite(path: Path) -> None:
    """Make the file, in WAL mode; here and not in aiosqlite, whose thread outlives a connection that fails."""
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as connection:
            use_wal(connection)
    except sqlite3.Error as error:
        raise StoreError(
            f"cannot open the checkpoints {path} ({error}); check its directory, or delete the file: the store rebuilds the search without it"
        ) from error


@asynccontextmanager
async def _postgres_saver(
    url: URL, serializer: JsonPlusSerializer
) -> AsyncGenerator[BaseCheckpointSaver[Any]]:
    try:
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
        from psycopg import AsyncConnection, Error
        from psycopg.rows import DictRow, dict_row
    except ImportError:
        raise StoreError(
            "PostgreSQL's checkpointer is not installed; run: pip install 'thoughtgraph[postgres]'"
        ) from None
    conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        connection = await AsyncConnection[DictRow].connect(
            conninfo, autocommit=True, prepare_threshold=0, row_factory=dict_row
        )
        saver = AsyncPostgresSaver(connection, serde=serializer)
    except Error as error:
        raise StoreError(
            f"cannot open the checkpoints at {shown(url)}: {' '.join(str(error).split())}"
        ) from None
    async with connection:
        # Tried, not waited for: a session that waits for a lock has a snapshot, for which setup's CREATE INDEX CONCURRENTLY would wait.
        while not await _answer(connection, f"select pg_try_advisory_lock({_SETUP_LOCK}) as answer"):
            await asyncio.sleep(0.05)
        await saver.setup()
        await _answer(connection, f"select pg_advisory_unlock({_SETUP_LOCK}) as answer")
        yield saver


async def _answer(connection: AsyncConnection[DictRow], query: LiteralString) -> Any:
    cursor = await connection.execute(query)
    row = await cursor.fetchone()
    return row and row["answer"]
