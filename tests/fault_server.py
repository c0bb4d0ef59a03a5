"""A server that speaks OpenAI's protocol over raw sockets, so that a test can break it anywhere; the faults are in `faults.py`.

    with FaultServer(always("reset")) as server:
        model = OpenAIModel("m", base_url=server.url)

It runs in a thread of its own, and notes every request with how it ended. What it says when it is well is in `fault_replies.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Self

from .fault_replies import Asked, Exchange, Fault, Plan, well

_REPORTS = ("logprobs", "return_token_ids")
"""Parameters that change what is reported of an answer, and not the answer."""


class FaultServer:
    """Answers `/v1/chat/completions`, `/v1/completions` and `/v1/models` on a port of 127.0.0.1, in a thread.

    Args:
        plan: says which request meets which fault.
        latency: seconds before any reply to a completion, a fault's included.
        model: the only one served.
    """

    def __init__(self, plan: Plan = well, latency: float = 0.0, model: str = "m") -> None:
        self.plan, self.latency, self.model = plan, latency, model
        self.asked: list[Asked] = []
        self.url = ""
        self._tries: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._broken: list[Exception] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()
        if self._broken:
            raise self._broken[0]

    @property
    def tries(self) -> list[int]:
        """How often each call was tried, in the order of their first tries."""
        return list(self._tries.values())

    @property
    def in_flight(self) -> list[Asked]:
        """Requests that have not ended."""
        return [asked for asked in self.asked if not asked.ended]

    def wait_until(self, condition: Callable[[], bool], seconds: float = 30.0) -> bool:
        """Wait until a condition on what was asked holds; return whether it came to hold."""
        with self._changed:
            return self._changed.wait_for(condition, seconds)

    async def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> bool:
        """Do what `wait_until` does, without holding up the event loop."""
        return await asyncio.to_thread(self.wait_until, condition, seconds)

    async def _serve(self) -> None:
        server = await self._loop.create_server(lambda: _Connection(self._accept), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for talk in self._connections:
            talk.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the next turn of the loop

    def _accept(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._connections.add(self._loop.create_task(self._talk(connection, reader, writer)))

    async def _talk(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = next(
                    (int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:")), 0
                )
                body: dict[str, Any] = json.loads(await reader.readexactly(length)) if length else {}
                await self._answer(head.split(" ")[1], body, connection, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.transport.abort()

    async def _answer(
        self, path: str, body: dict[str, Any], connection: _Connection, writer: asyncio.StreamWriter
    ) -> None:
        if not path.endswith("/completions"):
            known = path.endswith("/models")
            models = {"object": "list", "data": [{"id": self.model, "object": "model"}]}
            exchange = Exchange(Asked(path, body, "", 0), writer)
            await exchange.send(
                models if known else {"error": {"message": f"no {path}"}}, 200 if known else 404
            )
            return
        asked, fault = self._noted(path, body)
        replying = asyncio.ensure_future(self._reply(Exchange(asked, writer), fault))
        leaving = asyncio.ensure_future(connection.gone.wait())
        try:
            await asyncio.wait({replying, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            left = connection.gone.is_set() and not (replying.done() and writer.is_closing())
            for task in (replying, leaving):
                task.cancel()
            [error, _] = await asyncio.gather(replying, leaving, return_exceptions=True)
            if isinstance(error, Exception) and not isinstance(error, ConnectionError):
                self._broken.append(error)
            with self._changed:
                asked.ended = "disconnected" if left else "broken" if asked.fault else "answered"
                asked.ended_at = time.monotonic()
                self._changed.notify_all()

    def _noted(self, path: str, body: dict[str, Any]) -> tuple[Asked, Fault | None]:
        wanted = {key: value for key, value in body.items() if key not in _REPORTS}
        call = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
        with self._changed:
            self._tries[call] += 1
            asked = Asked(path, body, call, self._tries[call])
            name, fault = self.plan(asked) or ("", None)
            asked.fault = name
            self.asked.append(asked)
            self._changed.notify_all()
        return asked, fault

    async def _reply(self, exchange: Exchange, fault: Fault | None) -> None:
        await asyncio.sleep(self.latency)
        if fault is None:
            await exchange.send(exchange.completion())
        else:
            await fault(exchange)


class _Connection(asyncio.StreamReaderProtocol):
    """A connection that tells when the client has left, also while nothing is read from it."""

    def __init__(
        self, handle: Callable[[_Connection, asyncio.StreamReader, asyncio.StreamWriter], None]
    ) -> None:
        self.gone = asyncio.Event()
        super().__init__(asyncio.StreamReader(), lambda reader, writer: handle(self, reader, writer))

    def eof_received(self) -> bool | None:
        self.gone.set()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        super().connection_lost(exc)
