"""One event loop, in a thread of its own, in which all connections to MCP servers of a process live.

A connection must be opened and closed by one task (anyio's cancel scopes demand it), and should outlive the event loop of any search: assembly, which
lists the tools, runs in threads without a loop, and a program may search in one `asyncio.run` after another. Here none of that ends a server.
The way there and back costs about 0.1 ms, a call to a server in another process several times as much.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Closable(Protocol):
    """A connection."""

    async def close(self) -> None: ...


CLOSING = 12.0
"""Seconds that the end of the program waits for servers to end; one that ignores all requests is killed after 4."""


class ServerLoop:
    """Runs coroutines in the loop's thread, which starts with the first."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()
        self._open: set[Closable] = set()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine from any thread; cancelling the future cancels it."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="mcp servers", daemon=True
                )
                self._thread.start()
                atexit.register(self.stop)
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine from any other event loop; cancelling it cancels the coroutine."""
        return await asyncio.wrap_future(self.submit(work))

    def opened(self, connection: Closable) -> None:
        """Have a connection closed at the end of the program. Runs in the loop, as `closed`."""
        self._open.add(connection)

    def closed(self, connection: Closable) -> None:
        """Forget a connection, which was closed."""
        self._open.discard(connection)

    def stop(self) -> None:
        """Close what is open and end the thread; a later coroutine starts another."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        ending = asyncio.run_coroutine_threadsafe(self._close(), loop)
        try:
            ending.result(CLOSING)
        except TimeoutError:
            ending.cancel()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(1.0)
        if not thread.is_alive():
            loop.close()
        atexit.unregister(self.stop)

    async def _close(self) -> None:
        await asyncio.gather(*(one.close() for one in self._open), return_exceptions=True)


servers = ServerLoop()
"""The loop of this process."""
