"""From a URL to a database that is read, and what of it may be shown: never its password."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from ...graph.errors import UserError
from .other import OtherSource
from .own import refuse_same
from .postgres import PostgresSource
from .source import Source, Tables
from .sqlite import SqliteSource

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

Accept = Literal["", "writer"]
"""`writer`: a PostgreSQL role that can write is accepted; what protects the database then is weaker (`PostgresSource`)."""


def open_source(
    url: str, tables: Tables | None = None, *, own_store: str | None = None, accept: str = ""
) -> Source:
    """Return a database that has been checked.

    Args:
        url: a path, or SQLAlchemy's URL.
        tables: what is granted; None is all.
        own_store: path or URL of ThoughtGraph's store.
        accept: see `Accept`.

    Raises:
        UserError: if it names no database, cannot be reached, would let a query write, or is the store.
    """
    if accept not in ("", "writer"):
        raise UserError(f"accept={accept!r} means nothing; it is 'writer' or left out")
    parsed = parse(url)
    if own_store is not None:
        refuse_same(parsed, parse(own_store), shown(parsed))
    source = _source(parsed, tables, accept)
    source.check()
    return source


def _source(url: URL, tables: Tables | None, accept: str) -> Source:
    match url.get_backend_name():
        case "sqlite":
            if not url.database or url.database == ":memory:":
                raise UserError("a SQLite database in memory cannot be read from outside; name a file")
            return SqliteSource(url.database, tables)
        case "postgresql":
            return PostgresSource(url, tables, writer=accept == "writer")
        case _:
            return OtherSource(url, tables)


def parse(url: str) -> URL:
    """Return the URL of a path or URL, a SQLite file's path plain; raises UserError."""
    from sqlalchemy.engine import URL, make_url
    from sqlalchemy.exc import ArgumentError

    if "://" not in url:
        return URL.create("sqlite", database=url)
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        raise UserError(
            "the database URL cannot be read; give a path, sqlite:///PATH or postgresql://…"
        ) from None
    if backend == "postgres":
        return parsed.set(drivername="postgresql")
    if backend == "sqlite" and (parsed.database or "").startswith("file:"):
        path = unquote((parsed.database or "").removeprefix("file:").partition("?")[0])
        return parsed.set(database=path.removeprefix("//"), query={})
    return parsed


def shown(url: URL) -> str:
    """Return a URL as it may be shown."""
    if url.get_backend_name() == "sqlite":
        return repr(url.database)
    return url.set(query={}).render_as_string(hide_password=True)


def fingerprint(url: URL, *more: object) -> str:
    """Return what tells one database, grant and set of limits from another: a hash, without the password."""
    place = [url.get_backend_name(), url.host, url.port, url.database, url.username]
    text = json.dumps([place, *more], default=list, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
