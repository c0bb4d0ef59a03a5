"""The servers behind one model: replicas that answer alike, each with its own limit and record.

A call goes to the replica that its route prefers, so that calls that share a prefix find it in that replica's cache. Who prefers whom follows from
hashes of route and address (rendezvous hashing, Thaler & Ravishankar 1998): nothing is remembered, and when a replica dies only its own routes move. A
replica that is much busier than the others is passed over (bounded loads, Mirrokni et al., arXiv 1608.01350), as is one that is set aside because it
could not be reached or named a time before which it wants no requests.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from .faults import Fault, status_fault
from .limiter import Limiter
from .target import Target
from .transport import Response, Transport

_ASIDE_S = 2.0
"""Seconds a replica is set aside at first, doubled each time until it answers again."""
_MAX_ASIDE_S = 60.0
_BUSIER = 1.25
"""A replica is passed over if it has more than this many times the mean load and a few requests."""
_SLACK = 4


@dataclass(frozen=True, slots=True)
class EndpointStatistics:
    """What one server does at this moment, and what it has done so far."""

    url: str
    in_flight: int
    """Requests sent and not answered yet."""
    waiting: int
    """Requests held back by `limit` or by a Retry-After."""
    limit: int
    """Requests that it gets at a time now; between 1 and `max_concurrency`, it adapts."""
    requests: int
    """Requests sent, failed ones included."""
    retries: int
    """Requests sent because an earlier one had failed."""
    rate_limited: int
    """Replies with status 429."""
    prompt_tokens: int
    cached_tokens: int
    """Those of `prompt_tokens` that were in its prefix cache, where it tells (`usage.prompt_tokens_details.cached_tokens`)."""
    completion_tokens: int


class _ClosedError(Exception):
    """The limiter closed before a request was sent."""


class _ConnectedError(Exception):
    """A connection is there, and nothing is to be sent over it."""


class Endpoint:
    """One server, within one event loop.

    Args:
        target: where it is.
        transport: by which requests get there.
        most: requests at a time at most (≥ 1).
    """

    def __init__(self, target: Target, transport: Transport, most: int) -> None:
        self.target = target
        self.limiter = Limiter(most)
        self.requests = self.retries = self.rate_limited = 0
        self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._failures = 0
        self._aside = 0.0

    @property
    def load(self) -> int:
        """Requests in flight and waiting."""
        return self.limiter.in_flight + self.limiter.waiting

    @property
    def back_at(self) -> float:
        """Loop time until which it is set aside; in the past if it is not."""
        return max(self._aside, self.limiter.opens)

    @property
    def statistics(self) -> EndpointStatistics:
        return EndpointStatistics(
            self.target.url,
            self.limiter.in_flight,
            self.limiter.waiting,
            self.limiter.limit,
            self.requests,
            self.retries,
            self.rate_limited,
            self.prompt_tokens,
            self.cached_tokens,
            self.completion_tokens,
        )

    def set_aside(self) -> None:
        """Leave it alone for a while, because it does not answer."""
        self._aside = self._loop.time() + min(_MAX_ASIDE_S, _ASIDE_S * 2.0 ** min(self._failures, 10))
        self._failures += 1

    async def post(self, path: str, body: bytes, max_body: int) -> bytes | None:
        """Return the body of the reply to a POST, or None if the request was turned away before it was sent.

        Raises:
            Fault: if there is none with a status of 2xx.
        """
        while True:
            ticket = await self.limiter.enter()
            if ticket is None:
                return None
            try:
                response = await self._transport.request(
                    self.target, "POST", path, body, max_body, self._depart
                )
                if response.status // 100 == 2:
                    self._failures = 0
                    self.limiter.succeeded(ticket)
                    return response.body
                raise self._failed(response, ticket)
            except _ClosedError:
                continue
            finally:
                self.limiter.leave()

    async def get(self, path: str, max_body: int) -> bytes | None:
        """Return the body of the reply to a GET, or None if it has none with a status of 2xx."""
        try:
            response = await self._transport.request(self.target, "GET", path, b"", max_body, self._count)
        except Fault:
            return None
        return response.body if response.status // 100 == 2 else None

    async def unreachable(self) -> Fault | None:
        """Return why no connection comes about, tried once; None if one does. Nothing is sent."""

        def depart() -> None:
            raise _ConnectedError

        try:
            await self._transport.request(self.target, "GET", "/models", b"", 0, depart)
        except _ConnectedError:
            return None
        except Fault as fault:
            return fault if fault.kind == "unreachable" else None
        return None

    def _count(self) -> None:
        self.requests += 1

    def _depart(self) -> None:
        if self.limiter.closed:  # it closed while we connected
            raise _ClosedError
        self._count()

    def _failed(self, response: Response, ticket: int) -> Fault:
        fault = status_fault(response.status, response.headers, response.body)
        if response.status == 429 and fault.kind == "busy":
            self.rate_limited += 1
            self.limiter.rejected(ticket)
        if fault.after is not None and fault.kind in ("busy", "server_error"):
            self.limiter.close_until(self._loop.time() + fault.after)
        return fault


class Endpoints:
    """All servers of one model."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._all = tuple(endpoints)
        self._loop = asyncio.get_running_loop()

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._all)

    def choose(self, route: str, without: Collection[Endpoint] = ()) -> Endpoint:
        """Return the server for a call.

        Args:
            route: what its prefix is shared with; "" for the least busy server.
            without: servers that just failed the call; they are taken only if nothing else is left.
        """
        if len(self._all) == 1:
            return self._all[0]
        now = self._loop.time()
        ready = [e for e in self._all if e.back_at <= now]
        candidates = [e for e in ready if e not in without] or ready
        if not candidates:
            return min(self._all, key=lambda e: (e in without, e.back_at))
        if not route:
            return min(candidates, key=lambda e: e.load)
        bound = _BUSIER * sum(e.load for e in candidates) / len(candidates) + _SLACK
        fit = [e for e in candidates if e.load <= bound]  # the least busy one always does
        return max(fit, key=lambda e: _weight(route, e.target.url))

    def others(self, endpoint: Endpoint) -> bool:
        """Return whether another server than this one can be asked now."""
        now = self._loop.time()
        return any(e is not endpoint and e.back_at <= now for e in self._all)


def _weight(route: str, url: str) -> bytes:
    return hashlib.blake2b(f"{route}\0{url}".encode(), digest_size=8).digest()
