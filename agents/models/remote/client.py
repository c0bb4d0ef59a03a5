"""A call's way through: written by `request`, sent to a server that `endpoints` chooses, read by `wire`, and tried again as `attempts` allows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ..base import GenerationCall
from ..options import check_above, check_least
from ..text import prompt_token_bound
from .attempts import Asked, Attempts, Patience, unreachable
from .endpoints import Endpoint, Endpoints, EndpointStatistics
from .faults import Fault
from .request import Dialect
from .served import nearest_first, read_context, read_listing, same_model
from .target import Target
from .transport import Transport
from .wire import Reply, read_reply

T = TypeVar("T")
Served = tuple[str | None, T]
"""The model that a reply says it is from, None if it does not say, and what was asked for."""

_BODY = 4 << 20
_BODY_PER_TOKEN = 2048
"""Bytes that a token may take in a reply at most: text, id, and its log-probability beside the likeliest one."""
_BODY_PER_PROMPT_TOKEN = 16
_SCORES = ("/pooling", "/classify")
"""Paths of servers that score."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """See the arguments of `OpenAIModel`; raises UserError outside their ranges."""

    targets: tuple[Target, ...]
    key: str = field(repr=False)
    concurrency: int
    timeout: float
    connect_timeout: float
    patience: Patience
    max_wait: float
    served_as: tuple[str, ...]
    address: str = "--base-url"
    """Where the user says where the servers are, for messages."""

    def __post_init__(self) -> None:
        check_least(1, max_concurrency=self.concurrency)
        check_above(0, timeout=self.timeout, connect_timeout=self.connect_timeout)
        check_least(0, max_wait=self.max_wait)


class Client:
    """Asks the servers of one model, within one event loop.

    Args:
        name: of the model, for messages.
        dialect: how the servers take requests; what is learned about it stays there.
        settings: see there.
    """

    def __init__(self, name: str, dialect: Dialect, settings: ClientSettings) -> None:
        self._name = name
        self._dialect = dialect
        self._settings = settings
        self._transport = Transport(settings.key, settings.timeout, settings.connect_timeout)
        self._endpoints = Endpoints(
            [Endpoint(target, self._transport, settings.concurrency) for target in settings.targets]
        )

    @property
    def statistics(self) -> tuple[EndpointStatistics, ...]:
        return tuple(endpoint.statistics for endpoint in self._endpoints)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def reach(self) -> None:
        """Find out without a request, and without trying again, whether a server is there.

        Raises:
            ModelUnavailableError: if none is.
        """
        faults = await asyncio.gather(*(endpoint.unreachable() for endpoint in self._endpoints))
        if all(faults) and faults[0] is not None:
            raise unreachable(self._name, self._settings.address, faults[0]) from faults[0]

    async def context(self) -> int | None:
        """Return the smallest context in tokens that a server tells for the model; None if none does."""
        listings = [await endpoint.get("/models", _BODY) for endpoint in self._endpoints]
        told = [read_context(body, self._dialect.model) for body in listings if body is not None]
        return min((context for context in told if context is not None), default=None)

    async def ask(self, call: GenerationCall) -> Reply:
        """Make one request, again as often as it helps, and not of a server that just failed it if there is another one.

        Raises:
            ModelError: if there is no reply; `ModelUnavailableError` if no other call would fare better.
        """
        return await self._insist(call, lambda endpoint: self._ask_once(endpoint, call))

    async def post(
        self,
        asked: Asked,
        path: str,
        body: bytes,
        read: Callable[[bytes], Served[T]],
        most: int = 0,
        greet: Callable[[Endpoint], Awaitable[bool]] | None = None,
    ) -> T:
        """Make a request for something else than a generation, such as scores, again as often as it helps.

        Args:
            asked: its identity.
            path: below the server's root, where `/v1/models` is too.
            body: of the request.
            read: makes of the reply's body the served model's name, None if it does not say, and the result; raises Fault.
            most: bytes that an honest reply may have beyond a few million.
            greet: called before, with the server that was chosen; raises Fault, or ModelError. False: it could not be asked after all.

        Raises:
            ModelError: if there is no reply; `ModelUnavailableError` if no other request would fare better.
        """

        async def once(endpoint: Endpoint) -> T | None:
            try:
                if greet is not None and not await greet(endpoint):
                    return None
                reply = await endpoint.post(path, body, _BODY + most)
                if reply is None:
                    return None
                model, result = read(reply)
            except Fault as fault:
                if fault.kind == "not_found":
                    raise await self._explained(endpoint, fault, path, "/v1/models") from fault
                raise
            self._check_served(endpoint, model)
            return result

        return await self._insist(asked, once)

    async def _insist(self, asked: Asked, once: Callable[[Endpoint], Awaitable[T | None]]) -> T:
        """Return what `once` brings from a server; None from it means that this server could not take it after all."""
        settings, failed = self._settings, set[Endpoint]()
        attempts, repeated = Attempts(self._name, settings.patience, settings.address, asked), False
        while True:
            endpoint = self._endpoints.choose(asked.route, failed)
            try:
                self._check_wait(endpoint)
                endpoint.retries += repeated
                reply = await once(endpoint)
            except Fault as fault:
                moves = self._note(endpoint, fault)
                if not (moves and attempts.moved()):
                    await asyncio.sleep(attempts.wait_after(fault))
                failed, repeated = {endpoint}, True
            else:
                if reply is not None:
                    return reply

    def _check_wait(self, endpoint: Endpoint) -> None:
        wait = endpoint.limiter.opens - asyncio.get_running_loop().time()
        if wait > self._settings.max_wait:
            raise Fault(
                "long_wait",
                f"{endpoint.target.url} asks to wait {wait:.0f} s, longer than max_wait ({self._settings.max_wait:g} s)",
            )

    async def _ask_once(self, endpoint: Endpoint, call: GenerationCall) -> Reply | None:
        """Make one request; None if this server could not take it after all."""
        limit = self._dialect.limit(call)
        while True:
            sent = self._dialect.write(call, limit)
            try:
                body = await endpoint.post(self._dialect.path, sent, _most_bytes(call))
                return None if body is None else self._read(endpoint, body, call)
            except Fault as fault:
                if fault.kind == "context":
                    self._dialect.measure(call, fault)
                    if 0 < fault.room < limit:
                        limit = fault.room
                        continue
                if fault.kind in ("refused", "garbled", "unsupported") and self._dialect.learn(
                    self._name, fault, sent
                ):
                    continue
                if fault.kind == "not_found":
                    raise await self._explained(endpoint, fault, self._dialect.path, "/models") from fault
                raise

    def _read(self, endpoint: Endpoint, body: bytes, call: GenerationCall) -> Reply:
        reply = read_reply(body, call)
        self._check_served(endpoint, reply.model)
        endpoint.prompt_tokens += reply.prompt_tokens
        endpoint.cached_tokens += reply.cached_tokens
        endpoint.completion_tokens += reply.completion_tokens
        return reply

    def _check_served(self, endpoint: Endpoint, model: str | None) -> None:
        asked = self._dialect.model
        if model is not None and not same_model(asked, model, self._settings.served_as):
            raise Fault("swapped", f"{endpoint.target.url} was asked for {asked!r} and answered as {model!r}")

    def _note(self, endpoint: Endpoint, fault: Fault) -> bool:
        """Set a server aside that does not answer; return whether the call may go to another one at once."""
        if fault.kind in ("unreachable", "timeout"):
            endpoint.set_aside()
        elif fault.after is None:
            return False
        if not self._endpoints.others(endpoint):
            if fault.after is not None and fault.after > self._settings.max_wait:
                endpoint.limiter.turn_away()
            return False
        endpoint.limiter.turn_away()
        return fault.kind != "timeout"

    async def _explained(self, endpoint: Endpoint, fault: Fault, path: str, models: str) -> Fault:
        """Return the fault with the models that the server has."""
        listing = await endpoint.get(models, _BODY)
        names = () if listing is None else read_listing(listing)
        if not names:
            short = "; it may lack /v1 at its end" if models == "/models" else ""
            return Fault("not_found", f"{endpoint.target.url} has no such model or path ({fault}){short}")
        if self._dialect.model in names:
            flag = f"with{'' if path in _SCORES else 'out'} --runner pooling"
            return Fault(
                "unsupported",
                f"{endpoint.target.url} has the model, but not {path} ({fault}), which vLLM has when it serves {flag}",
            )
        return Fault(
            "not_found",
            f"{endpoint.target.url} has no model {self._dialect.model!r}, but {nearest_first(self._dialect.model, names)}",
        )


def _most_bytes(call: GenerationCall) -> int:
    """Return how long the body of an honest reply may be."""
    prompt = prompt_token_bound(call.prompt) * _BODY_PER_PROMPT_TOKEN
    return _BODY + call.n * (call.sampling.max_tokens * _BODY_PER_TOKEN + prompt)
