"""One MCP server: its connection, opened again when it was lost, and what was approved of its tools."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import finalize

from ...graph.errors import OutcomeUnknownError, ToolError, UserError
from .mcp_config import ServerSpec
from .mcp_loop import servers

if TYPE_CHECKING:
    from mcp import types

    from .mcp_session import Session

START_SECONDS = 30.0
"""How long a server may take to start and list its tools; one that has to be downloaded first may need more."""


@dataclass(slots=True)
class _Held:
    """What a server holds."""

    session: Session | None = None


def _let_go(held: _Held) -> None:
    if held.session is not None and held.session.alive:
        servers.submit(held.session.close())


class McpServer:
    """One server with its connection, which is opened when it is first needed, and again after it was lost.

    Args:
        spec: how it is reached.
        start_seconds: limit of connecting (> 0).
    """

    def __init__(self, spec: ServerSpec, start_seconds: float = START_SECONDS) -> None:
        self.spec = spec
        self._seconds = start_seconds
        self._held = _Held()
        self._opening: asyncio.Task[Session] | None = None
        # a server whose tools nobody holds any more, and nobody closed; at the end of the program the loop closes all
        finalize(self, _let_go, self._held).atexit = False

    async def offered(self) -> dict[str, types.Tool]:
        """Return what the server offers, by its own names. Runs in the servers' loop, as all methods here.

        Raises:
            UserError: if it cannot be reached.
        """
        try:
            return (await self._opened()).tools
        except ConnectionError as error:
            raise UserError(f"the MCP server {self.spec.name!r} cannot be used: {error}") from None

    async def call(
        self, tool: str, arguments: Mapping[str, Any], pin: str, *, repeatable: bool
    ) -> types.CallToolResult:
        """Call a tool by the server's own name for it.

        Args:
            tool: the server's name.
            arguments: JSON values.
            pin: the version that was approved.
            repeatable: whether it may be called again where the first outcome is unknown.

        Raises:
            ToolError: if it could not be called.
            OutcomeUnknownError: if the connection was lost before the answer, and it may not be called again.
        """
        from mcp import McpError

        from .mcp_session import LostError, NotSentError

        name = self.spec.name
        for last in (False, True):
            session = await self._approved(tool, pin)
            try:
                return await session.call(tool, arguments)
            except NotSentError as error:
                why = f"the server {name!r} cannot be reached: {error}"
            except LostError as error:
                why = f"the connection to the server {name!r} was lost during a call of {tool!r} ({error})"
                if not repeatable:
                    await self._drop(session)
                    raise OutcomeUnknownError(f"{why}, so its outcome is unknown") from None
            except McpError as error:
                raise ToolError(f"the server {name!r} refused the call: {error.error.message}") from None
            await self._drop(session)
            if last:
                raise ToolError(why)
        raise AssertionError

    async def close(self) -> None:
        """End the connection; a later call opens another."""
        session, self._held.session = self._held.session, None
        if session is not None:
            await session.close()

    async def _approved(self, tool: str, pin: str) -> Session:
        """Return a connection whose server works and describes a tool as it was approved; raises ToolError if there is none."""
        from mcp import McpError

        from .mcp_session import LostError, NotSentError

        try:
            session = await self._opened()
            if session.doubtful and not session.in_flight:
                session.doubtful = False
                if not await session.answers():
                    await self._drop(session)
                    session = await self._opened()
            if session.stale:
                await session.relist()
        except (ConnectionError, NotSentError, LostError, McpError) as error:
            raise ToolError(f"the server {self.spec.name!r} cannot be reached: {error}") from None
        self._check(session, tool, pin)
        return session

    async def _opened(self) -> Session:
        if self._opening is None:
            if self._held.session is not None and self._held.session.alive:
                return self._held.session
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(_seen)
        # who waits may have less time than a server needs to start, so it starts whether they still wait or not
        return await asyncio.shield(self._opening)

    async def _open(self) -> Session:
        from .mcp_session import Session

        try:
            session = Session(self.spec)
            self._held.session = session
            await session.open(self._seconds)
            return session
        finally:
            self._opening = None

    async def _drop(self, session: Session | None) -> None:
        if session is None:
            return
        if self._held.session is session:
            self._held.session = None
        await session.close()

    def _check(self, session: Session, tool: str, pin: str) -> None:
        found = session.tools.get(tool)
        if found is None:
            raise ToolError(f"the server {self.spec.name!r} no longer offers {tool!r}")
        now = description_hash(found)
        if now != pin:
            raise ToolError(
                f"the server {self.spec.name!r} changed what it says of its tool {tool!r} since that was approved ({pin} is now {now}); "
                "it is not called until the operator has read and approved it"
            )


def description_hash(tool: types.Tool) -> str:
    """Return a hash of all that a server says of a tool and that a model or we act on: 32 hex digits of SHA-256."""
    said = tool.model_dump(mode="json", include={"name", "description", "inputSchema", "annotations"})
    text = json.dumps(said, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def _seen(opening: asyncio.Task[Any]) -> None:
    """Take note of an error that nobody waited for any more."""
    if not opening.cancelled():
        opening.exception()
