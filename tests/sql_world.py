"""Databases with something to hide, and what must be as it was after whatever an agent tried."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, make_url

from thoughtgraph.graph.errors import ToolError
from thoughtgraph.tools.base import Call, Tool, ToolReply

CANARY = "CANARY-7f3a"
"""What no reply may hold: it is in every hidden table, column and file."""

SQLITE = f"""
create table customers (id integer primary key, name text not null, card text);
create table orders (id integer primary key, customer integer not null references customers (id), amount real, placed text, note text);
create table "Ünï ""ç"" ode" ("select" integer, "größe cm" real);
create table hidden (id integer primary key, word text);
create view dear as select id, customer, amount from orders where amount > 10;
create view peek as select word from hidden where id = 2;
create virtual table pages using fts5 (title, body);
insert into customers values (1, 'Ann', '{CANARY}'), (2, 'Bob', '{CANARY}'), (3, 'Zoë | Łukasz', null);
insert into orders values (1, 1, 3.5, '2024-01-31', 'first'), (2, 1, 20.25, '2024-02-01', null), (3, 2, 11, '2024-02-29', 'a
b'), (4, 2, null, '2024-03-01', '');
insert into "Ünï ""ç"" ode" values (1, 2.5);
insert into hidden values (1, '{CANARY}'), (2, 'public');
insert into pages values ('one', 'the quick brown fox'), ('two', 'the lazy dog');
create trigger noted after insert on orders begin insert into hidden values (99, 'x'); end;
"""

GRANT: Mapping[str, Sequence[str]] = {
    "orders": [],
    "customers": ["id", "name"],
    "dear": [],
    "peek": [],
    'Ünï "ç" ode': [],
}
"""What a restricted tool may read of `SQLITE`."""


@dataclass(frozen=True)
class Attempt:
    """How one call went."""

    text: str
    """The reply, or the error's message."""
    refused: bool
    seconds: float


def make_sqlite(directory: Path) -> str:
    """Make a database and other files with canaries; return the database's path."""
    directory.mkdir(exist_ok=True)
    path = directory / "data.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(f"pragma synchronous = off; {SQLITE}")
    connection.close()
    with sqlite3.connect(directory / "other.db") as other:
        other.executescript(f"create table hidden (word text); insert into hidden values ('{CANARY}')")
    other.close()
    (directory / "file.txt").write_text(CANARY)
    return str(path)


def connected(url: str | URL) -> Any:
    """Return a psycopg connection of its own transactions, to be used in a `with`; untyped, for its statements are texts of our own making."""
    import psycopg

    plain = make_url(url).set(drivername="postgresql")
    return psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True)


def files(directory: Path) -> dict[str, str]:
    """Return every file below a directory with the hash of what it holds."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def named(tools: Sequence[Tool], name: str) -> Tool:
    """Return the tool whose name ends so."""
    return next(tool for tool in tools if tool.name.endswith(name))


async def ask(tools: Sequence[Tool], name: str, **arguments: Any) -> str:
    """Return the reply of one tool."""
    reply: ToolReply = await named(tools, name).run(Call(arguments))
    return reply.text


async def attempt(tools: Sequence[Tool], sql: str) -> Attempt:
    """Return how a query went."""
    started = time.monotonic()
    try:
        text, refused = await ask(tools, "query", query=sql), False
    except ToolError as error:
        text, refused = str(error), True
    return Attempt(text, refused, time.monotonic() - started)


async def close(tools: Sequence[Tool]) -> None:
    """Let go of what tools hold."""
    for tool in tools:
        if tool.close is not None:
            await tool.close()
