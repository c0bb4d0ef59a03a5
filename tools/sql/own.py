"""ThoughtGraph's own store is never a database that agents read: it holds other problems' thoughts, and what they were graded against."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...graph.errors import UserError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

OWN_VERSION = "thoughtgraph_version"
"""The table that every store has (`storage.migrate.VERSION_TABLE`; not imported, for storage is no dependency of tools)."""
OWN_TABLES = frozenset({"run", "problem", "unit", "thought", "edge", "evaluation", "model_call", "tool_call"})
"""Tables that only a store has all of."""

_LOCAL = frozenset({"", "localhost", "127.0.0.1", "::1"})


def refuse_own_tables(names: Iterable[str], shown: str) -> None:
    """Refuse a database with the tables of a store; raises UserError."""
    found = {name.rpartition(".")[2].lower() for name in names}
    if OWN_VERSION in found or found >= OWN_TABLES:
        raise UserError(_refusal(shown))


def refuse_same(url: URL, own: URL, shown: str) -> None:
    """Refuse a database that is the store of this program, by whatever name; raises UserError."""
    if url.get_backend_name() != own.get_backend_name():
        return
    if url.get_backend_name() == "sqlite":
        same = _same_file(url.database or "", own.database or "")
    else:
        same = _place(url) == _place(own)
    if same:
        raise UserError(_refusal(shown))


def _same_file(one: str, other: str) -> bool:
    """Return whether two paths lead to one file, through links of any kind."""
    paths = [os.path.realpath(os.path.expanduser(path)) for path in (one, other)]
    try:
        return paths[0] == paths[1] or os.path.samefile(*paths)
    except OSError:
        return False


def _place(url: URL) -> tuple[str, int, str]:
    host = (url.host or str(url.query.get("host", ""))).lower()
    name = url.database or url.username or ""
    return "" if host in _LOCAL or host.startswith("/") else host, url.port or 5432, name


def _refusal(shown: str) -> str:
    return f"{shown} is ThoughtGraph's own store, which agents may not read; name a database of yours"
