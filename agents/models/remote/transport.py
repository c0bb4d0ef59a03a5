"""How requests travel: HTTP by aiohttp, with what goes wrong told as faults, and with a bound on what is read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.connector import Connection

from ..text import shorten
from .faults import Fault
from .target import Target, tls_context

_IDLE_S = 4.0
"""Seconds after which an idle connection is not used any more: common servers close theirs after five."""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole reply."""

    status: int
    headers: Mapping[str, str]
    """Whose names are looked up in any case."""
    body: bytes


@dataclass(slots=True)
class _Departure:
    """What is to happen to a request, and has happened, before its first byte is sent."""

    check: Callable[[], None]
    reused: bool = False
    """Whether it goes over a connection that answered a request before."""


class _Request(aiohttp.ClientRequest):
    """A request that goes over no connection on which the server spoke unasked: what it said would be taken for this one's reply."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        if conn.protocol is None or conn.protocol.should_close:
            raise aiohttp.ServerDisconnectedError("the server spoke before it was asked")
        return await super().send(conn)


class Transport:
    """Connections to the servers of one model, within one event loop. A request that is cancelled closes its own, by which servers notice.

    Args:
        key: for the Authorization header, "" for none; taken out of what servers say, so that it gets into no message.
        timeout: seconds for one request, with its connection.
        connect_timeout: seconds until a connection is there.
    """

    def __init__(self, key: str, timeout: float, connect_timeout: float) -> None:
        self._key = key.encode()
        self._timeout, self._connect_timeout = timeout, connect_timeout
        self._opening = _sessions(key, aiohttp.ClientTimeout(timeout, connect_timeout))
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self, target: Target, method: str, path: str, body: bytes, most: int, depart: Callable[[], None]
    ) -> Response:
        """Send a request and return the reply.

        Args:
            target: the server.
            method: GET or POST.
            path: what follows the server's base URL.
            body: of the request, JSON.
            most: bytes that the reply's body may have, packed or unpacked.
            depart: called once a connection is there, before anything is sent; what it raises is passed on, and nothing is sent then.

        Raises:
            Fault: `unreachable`, `certificate`, `broken`, `timeout` or `too_large`.
        """
        session = self._session = self._session or await anext(self._opening, None)
        while session and not session.closed:
            departure = _Departure(depart)
            try:
                async with session.request(
                    method,
                    target.url + path,
                    data=BytesIO(body),
                    proxy=target.proxy,
                    ssl=tls_context() if target.secure else True,
                    allow_redirects=False,
                    trace_request_ctx=departure,
                ) as reply:
                    said = await _read(reply, most)
            except (aiohttp.ClientError, TimeoutError) as error:
                if departure.reused and isinstance(error, aiohttp.ClientConnectionError):
                    continue  # it ended before the first byte of a reply: the server closed it while it was idle
                raise self._fault(target.url, error) from error
            if self._key:
                said = said.replace(self._key, b"[key]")
            return Response(reply.status, reply.headers, said)
        raise Fault("broken", "the connections were closed")

    async def aclose(self) -> None:
        """Close all connections."""
        await self._opening.aclose()

    def _fault(self, url: str, error: Exception) -> Fault:
        match error:
            case aiohttp.ConnectionTimeoutError():
                return Fault("unreachable", f"{url} cannot be reached within {self._connect_timeout:g} s")
            case aiohttp.ClientConnectorCertificateError():
                reason = getattr(error.certificate_error, "verify_message", error.certificate_error)
                return Fault("certificate", f"{url} is not trusted ({reason})")
            case aiohttp.ClientConnectorError():
                return Fault("unreachable", f"{url} cannot be reached ({error.strerror or error})")
            case aiohttp.ClientHttpProxyError():
                return Fault("unreachable", f"{url} cannot be reached: the proxy answers {error.status}")
            case TimeoutError():
                return Fault("timeout", f"{url} did not answer in time ({self._timeout:g} s)")
            case _:
                return Fault("broken", f"the reply of {url} is broken: {shorten(str(error))}")


async def _sessions(key: str, timeout: aiohttp.ClientTimeout) -> AsyncGenerator[aiohttp.ClientSession]:
    """Yield one session. It ends with the event loop if nobody closes it before: loops close asynchronous generators that are still open."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    headers |= {"Accept-Encoding": "identity", "User-Agent": "thoughtgraph"}
    tracing = aiohttp.TraceConfig()
    tracing.on_connection_reuseconn.append(_note_reuse)
    tracing.on_request_headers_sent.append(_check_departure)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_S),
        headers=headers | ({"Authorization": f"Bearer {key}"} if key else {}),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=timeout,
        trace_configs=[tracing],
        request_class=_Request,
    ) as session:  # no trust_env: it reads the environment and ~/.netrc anew for each request, in two threads
        yield session


async def _note_reuse(_: Any, context: SimpleNamespace, __: Any) -> None:
    context.trace_request_ctx.reused = True


async def _check_departure(_: Any, context: SimpleNamespace, __: Any) -> None:
    context.trace_request_ctx.check()


async def _read(reply: aiohttp.ClientResponse, most: int) -> bytes:
    """Return the body, unpacked; leave off as soon as it is too long."""
    body = bytearray()
    if (reply.content_length or 0) <= most:
        async for chunk in reply.content.iter_any():
            body += chunk
            if len(body) > most:
                break
        else:
            return bytes(body)
    reply.close()
    raise Fault("too_large", f"the reply is longer than {most} bytes")
