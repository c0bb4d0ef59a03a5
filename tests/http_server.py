"""A real HTTP/1.1 server within the test's event loop, which may also send what is no HTTP at all, and sees when a client hangs up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest


class Exchange:
    """One request, and how it is answered.

    Attributes:
        method: of the request.
        path: of the request, as it was sent.
        headers: of the request, names in lower case.
        body: of the request.
        left: set once the client closed the connection.
    """

    def __init__(self, method: str, path: str, headers: dict[str, str], body: bytes, client: _Client) -> None:
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.left = client.left
        self._client = client

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)

    async def reply(self, body: bytes, status: int = 200, **headers: str) -> None:
        """Answer; names of headers are written with underscores."""
        named = {"content-length": str(len(body))} | {k.replace("_", "-"): v for k, v in headers.items()}
        head = f"HTTP/1.1 {status} Status\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in named.items()
        )
        await self.raw(head.encode() + b"\r\n" + body)

    async def raw(self, data: bytes) -> None:
        """Send any bytes."""
        with contextlib.suppress(OSError):
            self._client.writer.write(data)
            await self._client.writer.drain()

    def finish(self) -> None:
        """Close the connection once everything is sent."""
        self._client.writer.close()

    async def forward(self, host: str, port: int) -> None:
        """Pass on everything in both directions until one side closes."""
        reader, writer = await asyncio.open_connection(host, port)

        async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()

        ways = [
            asyncio.ensure_future(pass_on(self._client.bytes, writer)),
            asyncio.ensure_future(pass_on(reader, self._client.writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            writer.transport.abort()

    def hang_up(self) -> None:
        """Reset the connection."""
        self._client.writer.transport.abort()


Behaviour = Callable[[Exchange], Awaitable[None]]


class _Client:
    """A connection: its bytes are read all the time, so that its end is seen at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.left = asyncio.Event()
        self.bytes = asyncio.StreamReader()

    async def read(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self.reader.read(65536):
                self.bytes.feed_data(data)
        self.bytes.feed_eof()
        self.left.set()


class HttpServer:
    """A server on 127.0.0.1; every request is answered by `behaviour`.

    Attributes:
        url: of its API.
        behaviour: may be changed at any time.
        asked: all requests so far.
        connections: number of connections so far.
    """

    def __init__(self, behaviour: Behaviour, secure: ssl.SSLContext | None = None) -> None:
        self.behaviour = behaviour
        self.asked: list[Exchange] = []
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._secure = secure

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._secure)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self._secure else ''}://127.0.0.1:{self.port}/v1"

    async def stop(self) -> None:
        """Listen no more and close all connections."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        client = _Client(reader, writer)
        reading = asyncio.ensure_future(client.read())
        try:
            while (exchange := await self._next(client)) is not None:
                self.asked.append(exchange)
                await self.behaviour(exchange)
        except asyncio.CancelledError:
            pass  # the server stops
        finally:
            writer.transport.abort()
            self._tasks.discard(task)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _next(self, client: _Client) -> Exchange | None:
        try:
            head = (await client.bytes.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.rstrip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await client.bytes.readexactly(int(headers.get("content-length", "0")))
        return Exchange(method, path, headers, body, client)


def completion(text: str = "hi", n: int = 1, **more: Any) -> bytes:
    """Return the body of a chat completion with `n` choices."""
    choices = [
        {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for i in range(n)
    ]
    usage = {"prompt_tokens": 7, "completion_tokens": 2 * n}
    return json.dumps({"choices": choices, "usage": usage} | more).encode()


async def good(exchange: Exchange) -> None:
    """Answer as a server should."""
    await exchange.reply(completion(n=exchange.json.get("n", 1)))


def replies(body: bytes, status: int = 200, **headers: str) -> Behaviour:
    """Return a behaviour that always answers the same."""

    async def behave(exchange: Exchange) -> None:
        await exchange.reply(body, status, **headers)

    return behave


@pytest.fixture
async def http_server() -> AsyncIterator[Callable[..., Awaitable[HttpServer]]]:
    """A function that starts a server, which ends with the test."""
    servers: list[HttpServer] = []

    async def start(behaviour: Behaviour = good, secure: ssl.SSLContext | None = None) -> HttpServer:
        servers.append(HttpServer(behaviour, secure))
        await servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        await server.stop()
