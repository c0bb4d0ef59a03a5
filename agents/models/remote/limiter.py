"""How many requests one server gets at a time: as many as it takes, found out by additive increase and multiplicative decrease.

The limit starts moderate and doubles in a round trip while requests succeed. Where more than a few requests in a row are rejected (429), the first burst of a
round trip halves it, and the number of requests that were not rejected is remembered as the ceiling. A rejection that comes alone lowers the limit to the
ceiling where that was just exceeded; otherwise it had nothing to do with how many requests there were, and changes nothing. From then on the limit closes in on the ceiling, probes slowly beyond it, and faster the
farther it gets without a rejection: the shape of CUBIC (RFC 9438), with round trips for seconds. So it stays near what the server takes most of the
time, and finds out when that becomes more.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextlib import suppress

START = 32
"""Requests at a time to begin with."""
_APPROACH = 0.5
"""Requests that the limit grows by in a round trip below the ceiling, at least."""
_PROBE = 0.25
"""Requests that it grows by at the ceiling; halved each time the ceiling proves right."""
_MIN_PROBE = 1 / 16
_BURST = 3
"""Rejections that are too many, less one for every `_CALM` successes between them."""
_CALM = 8


class Limiter:
    """Admits requests to one server, in the order in which they came, and never before a time that the server named.

    A request enters, is sent, and leaves; how it ended is told before it leaves. Belongs to one event loop.

    Args:
        most: bound of the limit (≥ 1).
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(min(most, START))
        self._ceiling = math.inf
        self._probe = _PROBE
        self._round = 0
        """Number of times the limit was halved."""
        self._burst = 0.0
        """Rejections of late, of requests sent since then."""
        self._gate = -math.inf
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[int | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def limit(self) -> int:
        """Requests that may be in flight at a time now."""
        return int(self._limit)

    @property
    def in_flight(self) -> int:
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Requests that want to enter."""
        return len(self._waiting)

    @property
    def opens(self) -> float:
        """Loop time before which nothing may be sent."""
        return self._gate

    @property
    def closed(self) -> bool:
        """Whether nothing may be sent now."""
        return self._loop.time() < self._gate

    async def enter(self) -> int | None:
        """Wait for a place; return a ticket for `succeeded` and `rejected`, or None if the request was turned away."""
        waiter: asyncio.Future[int | None] = self._loop.create_future()
        self._waiting.append(waiter)
        self._admit()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                with suppress(ValueError):  # passed over already
                    self._waiting.remove(waiter)
            elif waiter.result() is not None:
                self.leave()
            raise

    def leave(self) -> None:
        """Give a place back."""
        self._in_flight -= 1
        self._admit()

    def succeeded(self, ticket: int) -> None:
        """Grow the limit if the request of this ticket was sent since it last fell, and the limit is what holds others back."""
        if ticket != self._round:
            return
        self._burst = max(0.0, self._burst - 1 / _CALM)
        if self._in_flight >= self.limit:
            step = min(1.0, self._pace() / self._limit)
            self._limit = min(float(self._most), self._limit + step)
            if self._limit >= self._ceiling + 2:  # the server takes more than before
                self._probe = _PROBE

    def rejected(self, ticket: int) -> None:
        """Lower the limit if the request of this ticket was sent since it was last halved."""
        if ticket != self._round:
            self._ceiling = max(1.0, self._ceiling - 1)
            return
        self._burst += 1
        burst, beyond = self._burst >= _BURST, self._in_flight > self._ceiling
        if beyond:
            self._probe = max(_MIN_PROBE, self._probe / 2)
        if burst or beyond:
            self._ceiling = max(1.0, self._in_flight - 1)
            self._limit = max(1.0, self._in_flight / 2) if burst else self._ceiling
        if burst:
            self._round += 1
            self._burst = 0.0

    def close_until(self, time: float) -> None:
        """Send nothing before this loop time."""
        self._gate = max(self._gate, time)

    def turn_away(self) -> None:
        """Have all that wait go elsewhere."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def _pace(self) -> float:
        """Return by how many requests the limit should grow in a round trip."""
        beyond = self._limit - self._ceiling
        if beyond < 0:
            return max(_APPROACH, -beyond)
        return self._probe if beyond < 1 else beyond

    def _admit(self) -> None:
        if self.closed:
            if self._timer is None and self._waiting:
                self._timer = self._loop.call_at(self._gate, self._open)
            return
        while self._waiting and self._in_flight < self.limit:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._in_flight += 1
                waiter.set_result(self._round)

    def _open(self) -> None:
        self._timer = None
        self._admit()
