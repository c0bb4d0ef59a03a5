"""The SQL tools: an agent lists, describes, samples and queries a database of the user's, and can do nothing else to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from ...graph.display_text import clean
from ...graph.errors import ToolError, UserError
from ..base import Call, Tool, ToolReply
from .opening import fingerprint, open_source, parse
from .results import Limits, QueryResult, as_table
from .running import checked
from .source import Source, TableInfo, Tables
from .statements import LENGTH
from .stopping import Stopper, in_thread

PARALLEL = 8
"""Queries of a database at once in a process; of the other three tools, `_ASIDE` each."""
_ASIDE = 2
_SLACK_S = 10.0
"""What a tool's own time limit exceeds the query's by: for a wait while all threads are taken, never for the query."""
_EXAMPLES = 3
"""Values shown of a column where it is described, out of the first `_LOOKED_AT` rows."""
_LOOKED_AT = 50
_TABLES = 200
"""Most tables listed."""


def sql_tools(
    url: str,
    *,
    tables: Tables | None = None,
    seconds: float = 2.0,
    max_rows: int = 100,
    max_bytes: int = 20_000,
    name: str = "sql",
    own_store: str | None = None,
    accept: str = "",
) -> tuple[Tool, ...]:
    """Return the tools `sql_tables`, `sql_describe`, `sql_sample` and `sql_query` of a database, which is connected to and checked.

    SQLite is read in a helper process that cannot write; PostgreSQL by a role that cannot write, or it is refused
    (`read_only_role_sql` writes the SQL that makes one). Of other databases the tables are described, but no query is run.

    Args:
        url: a path, or SQLAlchemy's URL.
        tables: names of tables that may be read, or for each table the names of columns; None is all. On PostgreSQL the role must not be able to
            read more.
        seconds: time limit of a query (> 0).
        max_rows: most rows of a reply (≥ 1).
        max_bytes: longest reply, in bytes, about (≥ 1).
        name: what the tools' names begin with, so that several databases can be granted.
        own_store: path or URL of ThoughtGraph's store, which is refused.
        accept: `writer` accepts a PostgreSQL role that can write. The database is then protected by a READ ONLY transaction and by what PostgreSQL
            takes for a cursor, and `tables` by a parser only: functions that run with such a role's rights, such as a superuser's
            `pg_read_file`, are kept from agents by name only. Weaker; for databases that may be lost.

    Raises:
        UserError: if a limit is impossible, or the database cannot be reached, would let a query write, or is ThoughtGraph's store.
    """
    if not (seconds > 0 and max_rows >= 1 and max_bytes >= 1):
        raise UserError("seconds is above 0, max_rows and max_bytes 1 or more")
    source = open_source(url, tables, own_store=own_store, accept=accept)
    limits = Limits(seconds=seconds, rows=max_rows, bytes=max_bytes)
    version = fingerprint(parse(url), tables, seconds, max_rows, max_bytes, accept)
    return _Database(source, limits).tools(name, version)


@dataclass(frozen=True, slots=True)
class _Argument:
    name: str
    description: str
    longest: int


_TABLE = _Argument("table", "name of a table or view", 200)
_QUERY = _Argument("query", "one SELECT statement", LENGTH)


class _Database:
    """What the four tools share."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self._threads = ThreadPoolExecutor(PARALLEL + 3 * _ASIDE, thread_name_prefix="sql")

    def tools(self, name: str, version: str) -> tuple[Tool, ...]:
        """Return them."""
        dialect = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}.get(
            self._source.dialect, self._source.dialect
        )
        what = f"the {dialect} database" if name == "sql" else f"the {dialect} database {name!r}"
        seconds, rows = self._limits.seconds, self._limits.rows
        query = self._tool(
            f"{name}_query",
            f"Runs one {dialect} SELECT on {what} and returns at most {rows} rows; it only reads, within {seconds:g} s.",
            _QUERY,
            self._query,
            version,
        )
        return (
            self._tool(f"{name}_tables", f"Lists the tables of {what}.", None, self._tables, version),
            self._tool(
                f"{name}_describe",
                f"Describes a table of {what}: columns, types, keys, a few values.",
                _TABLE,
                self._describe,
                version,
            ),
            self._tool(
                f"{name}_sample",
                f"Returns the first rows of a table of {what}.",
                _TABLE,
                self._sample,
                version,
            ),
            replace(query, language="sql" if name == "sql" else "", parallel=PARALLEL),
        )

    def _tool(
        self,
        name: str,
        description: str,
        argument: _Argument | None,
        do: Callable[[str, Stopper], str],
        version: str,
    ) -> Tool:
        return Tool(
            name=name,
            description=description,
            parameters=_parameters(argument),
            run=self._running(argument, do),
            effect="idempotent",
            seconds=self._limits.seconds + _SLACK_S,
            parallel=_ASIDE,
            version=version,
            max_reply=max(self._limits.bytes * 2, 2_000),
            close=self._close,
        )

    def _running(
        self, argument: _Argument | None, do: Callable[[str, Stopper], str]
    ) -> Callable[[Call], Awaitable[ToolReply]]:
        async def run(call: Call) -> ToolReply:
            text = call.arguments[argument.name] if argument is not None else ""
            return ToolReply(await in_thread(self._threads, lambda stopper: do(text, stopper)))

        return run

    async def _close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)

    def _tables(self, _: str, stopper: Stopper) -> str:
        tables = self._source.tables(self._limits.seconds, stopper)
        if not tables:
            return "(no tables)"
        lines = [
            f"{clean(table.name)} ({table.kind}): {', '.join(clean(column.name) for column in table.columns)}"
            for table in tables[:_TABLES]
        ]
        return "\n".join(_within(lines, self._limits.bytes, len(tables)))

    def _describe(self, name: str, stopper: Stopper) -> str:
        table = self._table(name, stopper)
        try:
            looked = self._first_rows(table, _LOOKED_AT, stopper)
        except (
            ToolError
        ):  # a view that fails, a database on which nothing is run: its columns are known all the same
            looked = None
        lines = [f"{clean(table.name)} ({table.kind})"]
        for number, column in enumerate(table.columns):
            words = [
                clean(column.name),
                clean(column.type),
                "" if column.nullable or column.key else "not null",
            ]
            words.append("primary key" if column.key else "")
            examples = _examples(looked, number)
            line = " ".join(word for word in words if word)
            lines.append(f"  {line}: {examples}" if examples else f"  {line}")
        for key in table.foreign_keys:
            target = f"({', '.join(key.targets)})" if key.targets else ""
            words = clean(f"({', '.join(key.columns)}) references {key.table}{target}")
            lines.append(f"  foreign key {words}")
        return "\n".join(_within(lines, self._limits.bytes, len(lines)))

    def _sample(self, name: str, stopper: Stopper) -> str:
        table = self._table(name, stopper)
        return as_table(self._first_rows(table, min(10, self._limits.rows), stopper), self._limits)

    def _query(self, sql: str, stopper: Stopper) -> str:
        limits = checked(sql, self._source, self._limits)
        return as_table(self._source.query(sql, limits, stopper), limits)

    def _first_rows(self, table: TableInfo, count: int, stopper: Stopper) -> QueryResult:
        columns = ", ".join(_quoted(column.name) for column in table.columns)
        name = table.name.removeprefix(f"{table.schema}.") if table.schema else table.name
        place = f"{_quoted(table.schema)}.{_quoted(name)}" if table.schema else _quoted(name)
        sql = f"SELECT {columns} FROM {place} LIMIT {count}"
        return self._source.query(sql, replace(self._limits, rows=count), stopper)

    def _table(self, name: str, stopper: Stopper) -> TableInfo:
        """Return a table by the name that an agent wrote; raises ToolError."""
        tables = self._source.tables(self._limits.seconds, stopper)
        wanted = _plain(name)
        for same in (str, str.lower):
            for table in tables:
                if same(table.name) == same(wanted):
                    return table
        names = ", ".join(clean(table.name) for table in tables[:_TABLES])
        raise ToolError(f"there is no table {clean(name)!r}; there are: {names or 'none'}")


def _plain(name: str) -> str:
    """Return a name without the quotes and the schema `public` or `main` that an agent may have written."""
    plain = name.strip().strip('"`[]')
    return plain.removeprefix("public.").removeprefix("main.").strip('"')


def _parameters(argument: _Argument | None) -> dict[str, Any]:
    properties = {}
    if argument is not None:
        text = {
            "type": "string",
            "description": argument.description,
            "minLength": 1,
            "maxLength": argument.longest,
        }
        properties = {argument.name: text}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _examples(looked: QueryResult | None, number: int) -> str:
    """Return a few different values of a column, on one line."""
    found: dict[str, None] = {}
    for row in looked.rows if looked is not None else ():
        if row[number] is not None and len(found) < _EXAMPLES:
            text = as_table(QueryResult(("",), ((row[number],),), truncated=False), Limits()).splitlines()[1]
            found[text if len(text) <= 40 else f"{text[:40]}…"] = None
    return f"e.g. {', '.join(found)}" if found else ""


def _within(lines: list[str], limit: int, total: int) -> list[str]:
    """Return as many lines as fit into so many bytes, one at least, and a mark if some are left out."""
    size = 0
    for shown, line in enumerate(lines):
        size += len(line.encode()) + 1
        if size > limit and shown:
            return [*lines[:shown], f"[cut off here: {shown} of {total} lines shown]"]
    return lines if len(lines) >= total else [*lines, f"[cut off here: {len(lines)} of {total} lines shown]"]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
