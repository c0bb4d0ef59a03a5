"""Blocking functions of somebody else's, away from the event loop.

A thread cannot be killed. What does not come back within its time limit goes on in its thread, and may still do what it does, though nobody reads its
result. So it gets a thread of its own that neither other work nor the end of the program waits for; and a function that left too many behind is
not called again until one of them ends.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

from ...graph.errors import ToolError

MAX_ABANDONED = 8
"""Calls of one function that may still run after they were given up."""


class Threads:
    """Runs one function's calls in threads.

    Args:
        name: what agents know the function by.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._abandoned: set[threading.Thread] = set()

    async def run(self, function: Callable[[], Any]) -> Any:
        """Return what a function returns, or raise what it raises; an attempt to exit the program is a ToolError.

        Raises:
            ToolError: if too many calls that were given up still run.
        """
        self._abandoned = {thread for thread in self._abandoned if thread.is_alive()}
        if len(self._abandoned) >= MAX_ABANDONED:
            raise ToolError(
                f"{self._name} is not called: {len(self._abandoned)} calls that were stopped by their time limit still run"
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def work() -> None:
            result, error = None, None
            try:
                result = context.run(function)
            except Exception as raised:  # noqa: BLE001 - handed to who awaits the call
                error = _bearable(raised, self._name)
            except BaseException as raised:  # noqa: BLE001 - sys.exit() in a tool ends the call, not the program
                error = ToolError(f"{self._name} failed: it raised {type(raised).__name__}")
            try:
                loop.call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:  # the loop was closed meanwhile
                return

        thread = threading.Thread(target=work, name=f"tool {self._name}", daemon=True)
        thread.start()
        try:
            return await future
        except asyncio.CancelledError:
            self._abandoned.add(thread)
            raise


def _settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():  # given up
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _bearable(error: Exception, name: str) -> Exception:
    """Return an error as a future can hold it."""
    return ToolError(f"{name} failed: it raised StopIteration") if isinstance(error, StopIteration) else error
