"""MCP servers' tools as tools of ours, over one connection a server that lasts as long as the process needs it.

    tools = mcp_tools("mcp.json")                    # all servers of the file
    tools = mcp_tools("mcp.json", "files", only=["read_file"], pins={"files_read_file": "3f9a…"})

What a server says of its tools goes into prompts, so it is pinned: the version of a tool is a hash of its name, description, schema and annotations. A tool
that describes itself otherwise later, after a restart or by notice, is not called until an operator lists the tools anew or approves the pin.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Unpack

from ...graph.errors import ToolError, UserError
from ..base import Call, Effect, Tool, ToolReply
from ..calling import shortened
from .common import Overrides, blocks_text, checked_schema, plain_arguments, tool_name
from .mcp_config import read_servers
from .mcp_loop import servers
from .mcp_server import START_SECONDS, McpServer, description_hash

if TYPE_CHECKING:
    from mcp import types

MAX_DESCRIPTION = 4_000
"""Longest description that a model is told, in characters; the whole of it is pinned."""


def mcp_tools(
    config: str | os.PathLike[str] | Mapping[str, Any],
    server: str | None = None,
    *,
    only: Collection[str] | None = None,
    pins: Mapping[str, str] | None = None,
    effect: Effect | None = None,
    start_seconds: float = START_SECONDS,
    **overrides: Unpack[Overrides],
) -> tuple[Tool, ...]:
    """Connect to MCP servers and return their tools, each named after its server: `files_read_file`.

    It blocks until the servers have answered, in whatever thread it is called; the calls are awaited in any event loop. Each server runs once in this
    process until one of its tools is closed, which closes it for all of them; the next call would start it again.

    Args:
        config: a JSON file with `mcpServers`, or what such a file holds.
        server: the only server wanted; None is all of them.
        only: names of tools, as their server has them or with its name in front; None is all of them.
        pins: approved versions, by the tools' names here; tools without a pin are left out. None approves what is there now.
        effect: what a repeated call does; None believes the server: `idempotent` if it says that it only reads or that repeating is harmless,
            else `once`.
        start_seconds: how long a server may take to start and list its tools.
        overrides: further fields of `Tool`, of all of them.

    Raises:
        UserError: if `mcp` is not installed, a server cannot be used, a tool is not there, or one is not as it was pinned.
    """
    try:
        import langchain_mcp_adapters.sessions  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise UserError("MCP servers need a further package; run: pip install 'thoughtgraph[mcp]'") from None
    specs = read_servers(config, server)
    found: dict[str, Tool] = {}
    opened: list[McpServer] = []
    try:
        for spec in specs:
            opened.append(McpServer(spec, start_seconds))
            for tool in _tools(opened[-1], only, pins, effect, overrides):
                if tool.name in found:
                    raise UserError(f"two MCP tools would be called {tool.name!r}; rename one of the servers")
                found[tool.name] = tool
        own = "" if server is None else f"{tool_name(server)}_"
        _check_all_found(found, only, [name for name in pins or () if name.startswith(own)])
    except BaseException:
        for one in opened:
            servers.submit(one.close()).result()
        raise
    return tuple(found.values())


def _tools(
    server: McpServer,
    only: Collection[str] | None,
    pins: Mapping[str, str] | None,
    effect: Effect | None,
    overrides: Overrides,
) -> list[Tool]:
    offered = servers.submit(server.offered()).result()
    made: list[Tool] = []
    for own, tool in offered.items():
        name = tool_name(server.spec.name, own)
        if only is not None and own not in only and name not in only:
            continue
        if pins is not None and name not in pins:
            continue
        pin = description_hash(tool)
        if pins is not None and pins[name] != pin:
            raise UserError(
                f"the MCP server {server.spec.name!r} changed what it says of {own!r}: it was approved as {pins[name]}; "
                f"read its description, and if it is good pin {pin}"
            )
        made.append(_tool(server, tool, name, pin, effect, overrides))
    return made


def _check_all_found(
    found: Mapping[str, Tool], only: Collection[str] | None, pinned: Collection[str]
) -> None:
    for wanted in only or ():
        if not any(name == wanted or name.endswith(f"_{tool_name(wanted)}") for name in found):
            raise UserError(
                f"no MCP server offers {wanted!r}, or it is not pinned; there is: {', '.join(found)}"
            )
    for name in pinned:
        if name not in found and only is None:
            raise UserError(f"the MCP tool {name!r} is pinned but not offered; there is: {', '.join(found)}")


def _tool(
    server: McpServer, tool: types.Tool, name: str, pin: str, effect: Effect | None, overrides: Overrides
) -> Tool:
    own = tool.name
    schema = checked_schema(tool.inputSchema, f"the MCP tool {name!r}")
    schema.pop("title", None)
    believed: Effect = effect or _effect(tool)
    repeatable = believed != "once"

    async def run(call: Call) -> ToolReply:
        arguments = _sendable(call.arguments, name)
        result = await servers.run(server.call(own, arguments, pin, repeatable=repeatable))
        text = _text(result)
        if result.isError:
            raise ToolError(text or f"{name} failed and did not say why")
        return ToolReply(text)

    async def close() -> None:
        await servers.run(server.close())

    fields: Overrides = {"version": pin, "close": close, **overrides}
    return Tool(
        name=name,
        description=shortened((tool.description or tool.title or own).strip(), MAX_DESCRIPTION),
        parameters=schema,
        run=run,
        effect=believed,
        **fields,
    )


def _effect(tool: types.Tool) -> Effect:
    said = tool.annotations
    harmless = said is not None and bool(said.readOnlyHint or said.idempotentHint)
    return "idempotent" if harmless else "once"


def _sendable(arguments: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return arguments that the connection can carry: what is not Unicode would end it for all calls."""
    try:
        json.dumps(dict(arguments), ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError):  # a lone surrogate is a ValueError too
        raise ToolError(f"{name} cannot take its arguments: they are not JSON in Unicode") from None
    return plain_arguments(arguments)


def _text(result: types.CallToolResult) -> str:
    if not result.content and result.structuredContent is not None:
        return blocks_text(result.structuredContent)
    return "\n".join(_block(block) for block in result.content)


def _block(block: types.ContentBlock) -> str:
    from mcp import types

    if isinstance(block, types.TextContent):
        return block.text
    if isinstance(block, types.ImageContent | types.AudioContent):
        return f"[{block.type} {block.mimeType}, {len(block.data) * 3 // 4:,} bytes, not shown]"
    if isinstance(block, types.ResourceLink):
        return f"[resource {block.uri}: {block.name}]"
    inner = block.resource
    if isinstance(inner, types.TextResourceContents):
        return f"[resource {inner.uri}]\n{inner.text}"
    return (
        f"[resource {inner.uri}, {inner.mimeType or 'binary'}, {len(inner.blob) * 3 // 4:,} bytes, not shown]"
    )
