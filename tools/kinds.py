"""What makes the tools of each kind that `registry` knows; nothing heavy is imported before a tool is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from ..graph.errors import UserError
from .base import Call, Effect, Tool, ToolReply

if TYPE_CHECKING:
    from .retrieval.past_runs import SolvedExample


@dataclass(frozen=True, slots=True)
class Around:
    """What tools may need of the search they are for."""

    tests_of: Callable[[str], Sequence[str]] | None = None
    """Returns the tests that a question shows; None where the task's questions show none."""
    database_of: Callable[[str], str] | None = None
    """Returns the URL of the database that a question is about, one that the task knows; None where they are about none."""
    databases: Sequence[str] = ()
    """URLs of all of them."""
    examples: Callable[[], Iterable[SolvedExample]] | None = None
    """Returns solved problems of past runs that may be shown in this one."""
    own_store: str | None = None
    """URL of the database of reasoning graphs, which no tool may open."""


def calculator() -> Tool:
    """Make the calculator."""
    from .calculator import calculator_tool

    return calculator_tool()


def embedded(
    *,
    name: str = "python",
    seconds: float = 2.0,
    memory_mb: int = 64,
    recursion: int = 500,
    output_bytes: int = 100_000,
) -> Tool:
    """Make the embedded interpreter; see `sandbox.embedded.embedded_python`."""
    from .sandbox.embedded import embedded_python

    tool = embedded_python(
        seconds=seconds, memory_mb=memory_mb, recursion=recursion, output_bytes=output_bytes
    )
    return replace(tool, name=name)


def sandbox(
    *,
    name: str = "sandbox",
    packages: Sequence[str] | None = None,
    preload: Sequence[str] = (),
    warm: int = 0,
    accept: Literal["rlimits"] | None = None,
    seconds: float = 5.0,
    memory_mb: int = 512,
    disk_mb: int = 16,
    output_bytes: int = 1_000_000,
    threads: bool = False,
) -> Tool:
    """Make the sandboxed process; see `sandbox.process.sandboxed_python` and `sandbox.limits.Limits`."""
    from .sandbox.jail import PACKAGES
    from .sandbox.limits import Limits
    from .sandbox.process import sandboxed_python

    limits = Limits(seconds, memory_mb, disk_mb, output_bytes, threads=threads)
    named = PACKAGES if packages is None else tuple(packages)
    tool = sandboxed_python(limits=limits, packages=named, preload=preload, warm=warm, accept=accept)
    return replace(tool, name=name)


def unit_tests(
    *,
    around: Around,
    accept: Literal["rlimits"] | None = None,
    seconds: float = 5.0,
    memory_mb: int = 512,
) -> Tool:
    """Make what runs the tests that a question shows; see `sandbox.unit_tests.unit_tests_tool`."""
    from .sandbox.limits import Limits
    from .sandbox.process import Sandbox
    from .sandbox.unit_tests import unit_tests_tool

    if around.tests_of is None:
        raise UserError("the questions of this task show no tests; leave the tool unit_tests out")
    box = Sandbox(Limits(seconds, memory_mb), accept=accept)
    return replace(unit_tests_tool(box, around.tests_of), close=box.aclose)


def sql(
    *,
    around: Around,
    url: str | None = None,
    name: str = "sql",
    tables: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    seconds: float = 2.0,
    max_rows: int = 100,
    max_bytes: int = 20_000,
    accept: str = "",
) -> Sequence[Tool]:
    """Make the tools of a database; without a URL, those of the database that each question is about."""
    from .sql import sql_tools

    def of(url: str) -> tuple[Tool, ...]:
        return sql_tools(
            url,
            tables=tables,
            seconds=seconds,
            max_rows=max_rows,
            max_bytes=max_bytes,
            name=name,
            own_store=around.own_store,
            accept=accept,
        )

    if url:
        return of(url)
    if around.database_of is None:
        raise UserError(
            "the questions of this task are about no database; name one: sql:URL, such as sql:sqlite:///sales.db"
        )
    return routed(around.database_of, of, around.databases)


def documents(*, path: str, name: str = "search_documents", top: int = 4) -> Tool:
    """Make full-text search over a folder or file."""
    from .retrieval.documents import documents_tool

    return documents_tool(path, name=name, top=top)


def similar_problems(*, around: Around, top: int = 2) -> Tool:
    """Make search over solved problems of past runs."""
    from .retrieval.past_runs import solved_examples_tool

    if around.examples is None:
        raise UserError("there are no past runs here; leave the tool similar_problems out")
    return solved_examples_tool(around.examples, top=top)


def mcp(
    *,
    config: str,
    server: str | None = None,
    only: Sequence[str] | None = None,
    pins: Mapping[str, str] | None = None,
    effect: Effect | None = None,
) -> Sequence[Tool]:
    """Make the tools of MCP servers."""
    from .adapters.mcp import mcp_tools

    return mcp_tools(config, server, only=only, pins=pins, effect=effect)


def function(*, function: str, effect: Effect = "once") -> Tool:
    """Make a tool of a typed function, or of a LangChain tool or retriever."""
    from .adapters.functions import imported_function

    return imported_function(function, effect=effect)


def routed(
    target_of: Callable[[str], str], tools_of: Callable[[str], tuple[Tool, ...]], targets: Sequence[str]
) -> tuple[Tool, ...]:
    """Return tools that work on what each question is about: on one of these targets, whose tools are made when the first question asks for it."""
    known: dict[str, Mapping[str, Tool]] = {}

    def made(target: str) -> Mapping[str, Tool]:
        if target not in known:
            known[target] = {tool.name: tool for tool in tools_of(target)}
        return known[target]

    def route(tool: Tool) -> Tool:
        async def run(call: Call) -> ToolReply:
            target = target_of(call.question)
            tools = known.get(target) or await asyncio.to_thread(made, target)
            return await tools[tool.name].run(call)

        return replace(tool, run=run, scoped=True)

    return tuple(route(tool) for tool in made(targets[0]).values())
