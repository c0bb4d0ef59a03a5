"""Which MCP servers there are: the `mcpServers` file that other programs read too.

    {"mcpServers": {
      "files": {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "/srv/docs"], "env": {"TOKEN": "${FILES_TOKEN}"}},
      "search": {"url": "https://example.org/mcp", "headers": {"Authorization": "Bearer ${SEARCH_KEY}"}}
    }}

`${NAME}` is the environment variable of this program. A server that is started gets the variables that its entry names, and of ours only those that
programs cannot do without (`PATH`, `HOME`, …), never keys that happen to be set.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from ...graph.errors import UnknownNameError, UserError

Transport = Literal["stdio", "http", "sse", "websocket"]

_TRANSPORTS: Mapping[str, Transport] = {
    "stdio": "stdio",
    "http": "http",
    "streamable_http": "http",
    "streamable-http": "http",
    "streamableHttp": "http",
    "sse": "sse",
    "websocket": "websocket",
    "ws": "websocket",
}
_KNOWN = ("command", "args", "env", "cwd", "url", "transport", "headers")
_OTHERS = frozenset(
    {
        "type",
        "disabled",
        "autoApprove",
        "alwaysAllow",
        "disabledTools",
        "description",
        "icon",
        "name",
        "timeout",
    }
)
"""What other programs keep in an entry; `type` is another name of `transport`, and what is disabled is left out."""

_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """How one server is reached."""

    name: str
    transport: Transport
    command: str = ""
    """The program to start; "" if it is reached by its URL."""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    cwd: str | None = None
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


def read_servers(
    config: str | os.PathLike[str] | Mapping[str, Any], server: str | None = None
) -> list[ServerSpec]:
    """Return the servers of a configuration that are not disabled.

    Args:
        config: a JSON file, or what such a file holds.
        server: the only one wanted; None is all.

    Raises:
        UserError: if it cannot be read, has no such server, or an entry is wrong; the message names the field.
    """
    if isinstance(config, Mapping):
        where, value = "the MCP configuration", cast("Any", config)
    else:
        where = f"{str(config)!r}"
        value = _read(Path(config))
    entries: Any = cast("Mapping[str, Any]", value).get("mcpServers") if isinstance(value, Mapping) else None
    if not isinstance(entries, Mapping) or not entries:
        raise UserError(
            f'{where} names no servers; write {{"mcpServers": {{"NAME": {{"command": "…", "args": []}}}}}}'
        )
    found = cast("Mapping[str, Any]", entries)
    if server is not None and server not in found:
        raise UnknownNameError(f"MCP server in {where}", server, found)
    wanted = {server: found[server]} if server is not None else found
    specs = [_spec(name, entry, where) for name, entry in wanted.items() if not _disabled(entry)]
    if not specs:
        raise UserError(f"all servers of {where} are disabled; enable the one that is wanted")
    return specs


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r} ({error.strerror}); give a file of MCP servers") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{str(path)!r} is not JSON ({error}); give a file of MCP servers") from None


def _disabled(entry: Any) -> bool:
    return isinstance(entry, Mapping) and cast("Mapping[str, Any]", entry).get("disabled") is True


def _spec(name: str, entry: Any, where: str) -> ServerSpec:
    whose = f"the MCP server {name!r} in {where}"
    if not isinstance(entry, Mapping):
        raise UserError(f"{whose} is not an object; give it a `command` or a `url`")
    fields = cast("Mapping[str, Any]", entry)
    for key in fields:
        if key not in _KNOWN and key not in _OTHERS:
            raise UnknownNameError(f"field of {whose}", key, _KNOWN)
    command, url = _text(fields, "command", whose), _text(fields, "url", whose)
    if bool(command) == bool(url):
        raise UserError(f"{whose} needs either a `command` or a `url`")
    transport = _transport(fields, whose, "stdio" if command else "http")
    return ServerSpec(
        name=name,
        transport=transport,
        command=command,
        args=tuple(_list(fields, "args", whose)),
        env=_mapping(fields, "env", whose),
        cwd=_text(fields, "cwd", whose) or None,
        url=url,
        headers=_mapping(fields, "headers", whose),
    )


def _transport(fields: Mapping[str, Any], whose: str, default: Transport) -> Transport:
    named: Any = fields.get("transport", fields.get("type", default))
    found = _TRANSPORTS.get(named) if isinstance(named, str) else None
    if found is None:
        raise UnknownNameError(f"transport of {whose}", str(named), set(_TRANSPORTS.values()))
    if (found == "stdio") != (default == "stdio"):
        raise UserError(
            f"{whose} cannot be reached by {named}; a `command` needs stdio, a `url` anything else"
        )
    return found


def _text(fields: Mapping[str, Any], key: str, whose: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str):
        raise UserError(f"`{key}` of {whose} is not text")
    return _expanded(value, key, whose)


def _list(fields: Mapping[str, Any], key: str, whose: str) -> list[str]:
    value = fields.get(key, [])
    if not isinstance(value, list | tuple) or not all(
        isinstance(one, str) for one in cast("list[Any]", value)
    ):
        raise UserError(f"`{key}` of {whose} is not a list of texts")
    return [_expanded(one, key, whose) for one in cast("list[str]", value)]


def _mapping(fields: Mapping[str, Any], key: str, whose: str) -> dict[str, str]:
    value: Any = fields.get(key) or {}
    if not isinstance(value, Mapping):
        raise UserError(f"`{key}` of {whose} is not an object of texts")
    found: dict[str, str] = {}
    for name, one in cast("Mapping[str, Any]", value).items():
        if not isinstance(one, str):
            raise UserError(f"`{key}.{name}` of {whose} is not text; write it in quotes")
        found[name] = _expanded(one, f"{key}.{name}", whose)
    return found


def _expanded(text: str, key: str, whose: str) -> str:
    for name in _VARIABLE.findall(text):
        if name not in os.environ:
            raise UserError(f"`{key}` of {whose} names the environment variable {name}, which is not set")
    return _VARIABLE.sub(lambda match: os.environ[match[1]], text)
