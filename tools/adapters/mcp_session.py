"""One connection to one MCP server: opened, used by many calls at once, and closed by the task that opened it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
from langchain_mcp_adapters.sessions import create_session
from mcp import ClientSession, McpError, StdioServerParameters, stdio_client, types

from .mcp_config import ServerSpec
from .mcp_loop import servers

MAX_TOOLS = 1_000
"""Most tools that a server may list."""
_TAIL = 4_000
"""Bytes of a server's stderr that are kept."""
_PING = 0.5
"""Seconds in which a server that works answers that it does."""
_ENDING = 8.0
"""Seconds that a server has to end before the wait for it is given up; it is asked, then told, then killed after 4."""

# what servers say wrongly is told to the agent; without a handler Python would print tracebacks
logging.getLogger("mcp").addHandler(logging.NullHandler())


class NotSentError(Exception):
    """The request did not reach the server, so it did nothing."""


class LostError(Exception):
    """The connection ended before the answer came: whether the server did it is unknown."""


class Session:
    """A connection. All methods run in one event loop.

    Args:
        spec: how the server is reached.
    """

    def __init__(self, spec: ServerSpec) -> None:
        self._spec = spec
        self._client: ClientSession | None = None
        self._owner: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._tail = _Tail()
        self._telling: asyncio.Task[None] | None = None
        self.stale = False
        """Whether the server said that its tools changed since they were listed."""
        self.doubtful = False
        """Whether a call was given up, so that the server may be at a halt."""
        self.in_flight = 0
        """Calls under way."""
        self.tools: dict[str, types.Tool] = {}
        """What the server offers, by its own names."""

    async def open(self, seconds: float) -> None:
        """Connect and list the tools.

        Raises:
            ConnectionError: if that fails or takes longer than `seconds`; the message says why, with the last line of the server's stderr.
        """
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._own(ready, seconds))
        servers.opened(self)
        self._owner.add_done_callback(lambda _: servers.closed(self))
        await asyncio.wait({self._owner, ready}, return_when=asyncio.FIRST_COMPLETED)
        if not self._owner.done():
            return
        why, said = _reason(self._owner), self._tail.last_line
        raise ConnectionError(f"{why}; it last said: {said}" if said else why)

    async def relist(self) -> None:
        """List the tools again."""
        self.stale = False
        self.tools = await self._racing(self._list())

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> types.CallToolResult:
        """Call a tool by the server's name for it.

        Raises:
            NotSentError: if the request did not reach the server.
            LostError: if the connection ended before the answer.
            McpError: if the server answered with an error of the protocol.
        """
        assert self._client is not None
        client = self._client
        number: int = client._request_id  # pyright: ignore[reportPrivateUsage] - what a cancellation has to name
        params = types.CallToolRequestParams(name=tool, arguments=dict(arguments))
        request = types.ClientRequest(types.CallToolRequest(params=params))
        self.in_flight += 1
        try:
            return await self._racing(client.send_request(request, types.CallToolResult))
        except asyncio.CancelledError:
            self.doubtful = True
            note = types.CancelledNotificationParams(requestId=number, reason="time limit")
            telling = self._notify(types.ClientNotification(types.CancelledNotification(params=note)))
            self._telling = asyncio.create_task(telling)  # no call waits for it
            raise
        finally:
            self.in_flight -= 1

    async def answers(self) -> bool:
        """Return whether the server answers at all; one that a call brought to a halt does not."""
        assert self._client is not None
        try:
            async with asyncio.timeout(_PING):
                await self._racing(self._client.send_ping())
        except (TimeoutError, NotSentError, LostError):
            return False
        except McpError:  # it does not know the request
            return True
        return True

    async def close(self) -> None:
        """End the connection, and the server if it was started here."""
        owner = self._owner
        if owner is None:
            return
        self._stop.set()
        await asyncio.wait({owner}, timeout=_ENDING)
        if not owner.done():
            owner.cancel()
            await asyncio.wait({owner}, timeout=_ENDING)

    @property
    def alive(self) -> bool:
        """Whether its task still runs."""
        return self._owner is not None and not self._owner.done()

    async def _racing(self, work: Any) -> Any:
        """Await an answer, or the end of the connection if that comes first: the library then leaves some requests unanswered."""
        assert self._owner is not None
        answer = asyncio.ensure_future(work)
        try:
            await asyncio.wait({answer, self._owner}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not answer.done():
                answer.cancel()
        if answer.cancelled() or not answer.done():
            raise LostError(_reason(self._owner))
        try:
            return answer.result()
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            raise NotSentError("the connection had ended") from None
        except McpError as error:
            if error.error.code == types.CONNECTION_CLOSED:
                raise LostError(self._tail.last_line or "the connection ended") from None
            if error.error.code == 32600 and error.error.message == "Session terminated":
                raise NotSentError("the server forgot the session") from None
            raise

    async def _notify(self, notification: types.ClientNotification) -> None:
        assert self._client is not None
        try:
            async with asyncio.timeout(1):
                await self._client.send_notification(notification)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError, TimeoutError):
            return

    async def _own(self, ready: asyncio.Future[None], seconds: float) -> None:
        stopped = asyncio.ensure_future(self._stop.wait())
        greeting: asyncio.Task[None] | None = None
        try:
            async with self._connected() as client:
                self._client = client
                greeting = asyncio.create_task(self._greet(client))
                await asyncio.wait({greeting, stopped}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                if not greeting.done():
                    raise TimeoutError(f"it did not answer within {seconds:g} s")
                greeting.result()
                ready.set_result(None)
                await stopped
        finally:
            for task in (stopped, greeting):
                if task is not None:
                    task.cancel()

    async def _greet(self, client: ClientSession) -> None:
        await client.initialize()
        self.tools = await self._list()

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[ClientSession]:
        spec = self._spec
        if spec.transport != "stdio":
            connection: Any = {"transport": spec.transport, "url": spec.url}
            connection["session_kwargs"] = {"message_handler": self._heard}
            if spec.transport != "websocket":
                connection["headers"] = dict(spec.headers)
            async with create_session(connection) as client:
                yield client
            return
        # create_session would have the server write to our own stderr
        parameters = StdioServerParameters(
            command=spec.command, args=list(spec.args), env=dict(spec.env), cwd=spec.cwd
        )
        async with self._tail.reading() as sink, stdio_client(parameters, errlog=sink) as (read, write):
            sink.close()
            async with ClientSession(read, write, message_handler=self._heard) as client:
                yield client

    async def _heard(self, message: Any) -> None:
        root = message.root if isinstance(message, types.ServerNotification) else None
        if isinstance(root, types.ToolListChangedNotification):
            self.stale = True

    async def _list(self) -> dict[str, types.Tool]:
        assert self._client is not None
        found: dict[str, types.Tool] = {}
        cursor: str | None = None
        while True:
            page = await self._client.list_tools(params=types.PaginatedRequestParams(cursor=cursor))
            found.update((tool.name, tool) for tool in page.tools)
            cursor = page.nextCursor
            if not cursor or not page.tools:
                return found
            if len(found) > MAX_TOOLS:
                raise ConnectionError(f"it lists more than {MAX_TOOLS} tools")


class _Tail(asyncio.Protocol):
    """The end of what a server writes to stderr."""

    def __init__(self) -> None:
        self._text = b""

    @property
    def last_line(self) -> str:
        """The last line with anything on it, shortened."""
        lines = [line for line in self._text.decode("utf-8", "replace").splitlines() if line.strip()]
        return " ".join(lines[-1].split())[:300] if lines else ""

    def data_received(self, data: bytes) -> None:
        self._text = (self._text + data)[-_TAIL:]

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[Any]:
        """Open a pipe that is read into here, and give its other end."""
        reading, writing = os.pipe()
        source, sink = os.fdopen(reading, "rb"), os.fdopen(writing, "wb")
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: self, source)
        try:
            yield sink
        finally:
            sink.close()
            await asyncio.sleep(0)  # what a server said before it died is there to be read
            transport.close()


def _reason(owner: asyncio.Task[None]) -> str:
    """Return why a connection's task ended, in one line."""
    if owner.cancelled():
        return "the connection was closed"
    error: Any = owner.exception()
    while isinstance(error, BaseExceptionGroup):  # of anyio's task groups
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    if error is None:
        return "the connection was closed"
    if isinstance(error, TimeoutError) and error.args:
        return str(error)
    if isinstance(error, FileNotFoundError):
        return (
            f"there is no such program ({error.filename})" if error.filename else "there is no such program"
        )
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".rstrip(": ")
