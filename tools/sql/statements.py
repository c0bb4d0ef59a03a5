"""The second layer: what is not one reading query is told so before the database sees it, in words that an agent can act on.

It is no boundary. Those are the authorizer on SQLite and the role on PostgreSQL, which hold alone. So a query that this parser cannot read is not
refused, but left to the database: its grammar lags behind the databases', and refusing real queries would cost correct answers. Only where the
operator accepted a PostgreSQL role that can write is a query that cannot be read refused.
"""

from __future__ import annotations

import logging
from typing import Any

from ...graph.errors import ToolError

LENGTH = 50_000
"""Longest query, in characters."""
_PARSED = 20_000
"""Longest query that is parsed, in characters: about a tenth of a second."""
_DEEPEST = 200
"""Brackets open at once that are parsed; the parser recurses."""
_SUBSCRIPTS = 64
"""Square brackets that are parsed."""

_READ_ONLY = "this tool only reads: write one SELECT (WITH and VALUES work too)"

_NODES = (
    "Insert Update Delete Merge Create Drop Alter AlterColumn TruncateTable Copy Command Set Pragma Attach Detach Use Transaction Commit "
    "Rollback Into Lock Grant Revoke Kill Analyze Describe Show LoadData Cache Uncache Export Summarize Execute Declare"
)
_FORBIDDEN = _NODES.split()
"""Classes of sqlglot's tree."""

_FUNCTIONS = (
    "pg_read_", "pg_ls_", "pg_stat_file", "pg_terminate_", "pg_cancel_", "pg_advisory_", "pg_try_advisory_", "pg_notify", "pg_reload_",
    "pg_rotate_", "pg_logical_", "pg_create_", "pg_drop_", "pg_export_", "pg_switch_", "pg_backup_", "pg_start_", "pg_stop_", "pg_promote",
    "pg_wal_", "pg_replication_", "pg_stat_reset", "set_config", "nextval", "setval", "lo_", "loread", "lowrite", "dblink", "query_to_xml",
    "cursor_to_xml", "table_to_xml", "schema_to_xml", "database_to_xml", "load_extension", "readfile", "writefile", "edit", "fts3_tokenizer",
)  # fmt: skip
"""Beginnings of functions that do something, or read what is no table."""


def check_statement(
    sql: str, dialect: str, *, must_parse: bool = False, tables: frozenset[str] | None = None
) -> None:
    """Refuse what is not one query.

    Args:
        sql: what an agent wrote.
        dialect: `sqlite` or `postgresql`.
        must_parse: refuse what cannot be parsed as well.
        tables: names that may be read, with their schema where it is not `public`; None is no check.

    Raises:
        ToolError: saying what to write instead.
    """
    if not sql.strip():
        raise ToolError(f"the query is empty; {_READ_ONLY}")
    if len(sql) > LENGTH:
        raise ToolError(f"the query has {len(sql)} characters; the limit is {LENGTH}")
    if "\0" in sql or any("\ud800" <= character <= "\udfff" for character in sql):
        raise ToolError("the query holds characters that no text has (NUL or half of a pair); leave them out")
    if (
        must_parse and 'u&"' in sql.lower()
    ):  # PostgreSQL's names in escapes, which the parser reads as something else
        raise ToolError('names written U&"…" are not read here; write them plainly')
    statements = parse_statements(sql, "postgres" if dialect == "postgresql" else dialect)
    if statements is None:
        if must_parse:
            raise ToolError("the query cannot be parsed, so it is not run here; write a plainer SELECT")
        return
    if len(statements) != 1:
        raise ToolError(f"{len(statements)} statements were given, one at a time is run; {_READ_ONLY}")
    _check_tree(statements[0], tables)


def parse_statements(sql: str, dialect: str) -> list[Any] | None:
    """Return sqlglot's trees of the statements in a text, in bounded time; None if they cannot be read, or only with much effort.

    The parser tries and goes back: 40 joins without a condition, 40 nested arrays cost it exponential time, many subscripts quadratic time. So its
    steps are counted; those of real queries are hardly more than their tokens.

    Args:
        sql: the text.
        dialect: sqlglot's name of it: `sqlite`, `postgres`.
    """
    from sqlglot import exp
    from sqlglot.dialects.dialect import Dialect
    from sqlglot.errors import SqlglotError

    if len(sql) > _PARSED or sql.count("[") > _SUBSCRIPTS or _depth(sql) > _DEEPEST:
        return None
    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # what it cannot read, it warns about for each query
    try:
        known = Dialect.get_or_raise(dialect)
        tokens = known.tokenize(sql)
        steps = iter(range(5 * len(tokens) + 2_000))
        base: Any = known.parser_class

        class Counting(base):
            def _advance(self, times: int = 1) -> None:
                if next(steps, None) is None:
                    raise RecursionError("too many steps")
                super()._advance(times)  # pyright: ignore[reportUnknownMemberType]

        parsed: list[Any] = Counting(dialect=known).parse(tokens, sql)
    except (SqlglotError, RecursionError, ValueError):  # ValueError: a dialect that it does not know
        return None
    # Nothing but a comment behind the last semicolon is a Semicolon.
    return [tree for tree in parsed if tree is not None and not isinstance(tree, exp.Semicolon)]


def _depth(sql: str) -> int:
    deepest = depth = 0
    for character in sql:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _check_tree(statement: Any, tables: frozenset[str] | None) -> None:
    from sqlglot import exp

    if not isinstance(statement, exp.Query | exp.Values | exp.Table):
        raise ToolError(_READ_ONLY)
    forbidden = tuple(getattr(exp, name) for name in _FORBIDDEN if hasattr(exp, name))
    for node in statement.walk():
        if isinstance(node, forbidden):
            raise ToolError(f"{type(node).__name__.upper()} is not possible here; {_READ_ONLY}")
        if isinstance(node, exp.Func):
            _check_function(node)
        elif isinstance(node, exp.Table) and node.name and tables is not None:
            name = _name_of(node)
            if name not in tables and not _is_expression(node):
                raise ToolError(f"the table {name!r} is not granted; there are: {', '.join(sorted(tables))}")


def _check_function(node: Any) -> None:
    name = (node.name if type(node).__name__ == "Anonymous" else node.sql_name()).lower()
    if name.startswith(_FUNCTIONS):
        raise ToolError(f"the function {name!r} is not available here; {_READ_ONLY}")


def _name_of(node: Any) -> str:
    """Return a table's name as PostgreSQL reads it, its schema before it unless that is `public`."""
    parts = [_folded(node.args.get(part)) for part in ("catalog", "db", "this")]
    return ".".join(part for part in parts if part and (part != "public" or part is parts[2]))


def _folded(identifier: Any) -> str:
    if identifier is None:
        return ""
    return identifier.name if identifier.args.get("quoted") else identifier.name.lower()


def _is_expression(node: Any) -> bool:
    """Return whether a table's name means a common table expression where it stands: one before its own, unless they are RECURSIVE."""
    from sqlglot import exp

    if node.db or node.catalog:
        return False
    inner: Any = node
    outer: Any = node.parent
    while outer is not None:
        if isinstance(outer, exp.With):
            seen: list[Any] = outer.expressions if outer.recursive else outer.expressions[: inner.index or 0]
            inner = outer.parent
            outer = inner.parent
        else:
            around = outer.args.get("with_")
            seen = around.expressions if around is not None else []
            inner, outer = outer, outer.parent
        if any(_folded(cte.args["alias"].this) == _folded(node.this) for cte in seen):
            return True
    return False
