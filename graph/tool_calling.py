"""One tool call, from what is asked to the row that records it: checked, remembered, never made twice where it may not be.

A call whose effect may not happen twice (`once`) is on record before it is made. After a crash in between nobody knows whether it happened: then the
search of that problem stops, and a person says how it ended (`thoughtgraph decide`). Everything else may be repeated, and is.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from ..storage.sanitise import sanitise
from ..tools.base import Call, Tool
from ..tools.calling import call_tool, check_arguments
from .errors import OutcomeUnknownError, ToolError
from .ids import address
from .ledger import Commit, ToolCall, ToolIntent

REMEMBERED = 10_000
"""Replies of pure tools that a run keeps in memory; the record has all."""


class ToolMemory:
    """Replies of pure tools: equal calls of a run are made once, also when they come at once."""

    def __init__(self, recorded: Callable[[str, str], Awaitable[ToolCall | None]] | None = None) -> None:
        """Make one that asks the record, if there is any, by run and key for what it does not hold."""
        self._recorded = recorded
        self._replies: OrderedDict[tuple[str, str], asyncio.Task[ToolCall]] = OrderedDict()

    async def reply(
        self, run: str, key: str, make: Callable[[], Awaitable[ToolCall]]
    ) -> tuple[ToolCall, bool]:
        """Return the reply to a call, and whether it was there already; a failed call is made again when it comes again."""
        at = (run, key)
        task = self._replies.get(at)
        if task is not None:
            self._replies.move_to_end(at)
            known = await asyncio.wait({task}) and _result(task)
            if known is not None:
                return known, True
        task = self._replies[at] = asyncio.ensure_future(self._made(run, key, make))
        if len(self._replies) > REMEMBERED:
            self._replies.popitem(last=False)
        try:
            row = await task
        except BaseException:
            task.cancel()
            self._replies.pop(at, None)
            raise
        if row.result is None:
            self._replies.pop(at, None)
        return row, row.origin == "record"

    async def _made(self, run: str, key: str, make: Callable[[], Awaitable[ToolCall]]) -> ToolCall:
        recorded = None if self._recorded is None else await self._recorded(run, key)
        return await make() if recorded is None else replace(recorded, origin="record")


def _result(task: asyncio.Task[ToolCall]) -> ToolCall | None:
    if task.cancelled() or task.exception() is not None or task.result().result is None:
        return None
    return task.result()


class Means(Protocol):
    """What a call needs of its search; see `gateway.Purse`."""

    tools: dict[str, ToolCall]
    attempts: dict[str, int]
    memory: ToolMemory
    run: str
    save: Callable[[Commit], None]
    flushed: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ToolCalling:
    """A call that is not on record."""

    means: Means
    request: str
    thought: str
    tool: Tool
    call: Call
    id: str
    place: int
    asked: bool

    async def row(self) -> ToolCall:
        """Make the call, or find an equal one, and record it.

        Raises:
            OutcomeUnknownError: if it may not be made twice, and nobody knows whether it was made, or what came of it.
        """
        tool = self.tool
        try:
            check_arguments(tool, self.call.arguments)
        except ToolError as error:
            return self._kept(replace(self._answered(None, str(error), None, 0.0), origin="refused"))
        if tool.effect == "once":
            row = self._kept(await self._once())
            await self.means.flushed()  # at once: a crash from here on must not ask a person
            return row
        if tool.effect != "pure" or not tool.remembered:
            return self._kept(await self._made())
        row, known = await self.means.memory.reply(self.means.run, self._key, self._made)
        if known:
            row = replace(self._answered(row.result, row.error, row.ok, 0.0), origin="record")
        return self._kept(row)

    @property
    def _key(self) -> str:
        """What makes two calls equal: what the tool's reply may depend on."""
        return address(
            "reply",
            self.tool.identity,
            dict(self.call.arguments),
            [dict(e) for e in self.call.earlier],
            self.call.question,
        )

    async def _once(self) -> ToolCall:
        attempt = self.means.attempts.get(self.id, 0)
        intent = ToolIntent(
            self.id, attempt, self.request, self.thought, self.tool.name, dict(self.call.arguments)
        )
        self.means.save(Commit(intents=(intent,)))
        await self.means.flushed()  # durable, and the lease still ours, before anything happens
        return await self._made()

    async def _made(self) -> ToolCall:
        started = time.perf_counter()
        try:
            reply = await call_tool(self.tool, self.call)
            result, error, ok = sanitise(reply.text), None, reply.ok
        except OutcomeUnknownError as failure:
            if self.tool.effect == "once":
                raise OutcomeUnknownError(f"{_waiting(self.means.run, self.id)}: {failure}") from failure
            result, error, ok = None, sanitise(str(failure)), None
        except ToolError as failure:
            result, error, ok = None, sanitise(str(failure)), None
        return self._answered(result, error, ok, time.perf_counter() - started)

    def _answered(self, result: str | None, error: str | None, ok: bool | None, seconds: float) -> ToolCall:
        tool = self.tool
        remembered = tool.effect == "pure" and tool.remembered
        return ToolCall(
            id=self.id,
            request=self.request,
            thought=self.thought,
            tool=tool.name,
            arguments=dict(self.call.arguments),
            result=result,
            error=error,
            ok=ok,
            seconds=seconds,
            place=self.place,
            asked=self.asked,
            key=self._key if remembered else "",
            usd=tool.usd,
            bytes=len((result or error or "").encode()),
            trusted=tool.trusted,
        )

    def _kept(self, row: ToolCall) -> ToolCall:
        self.means.tools[self.id] = row
        self.means.save(Commit(tool_calls=(row,)))
        return row


def check_decided(run: str, unknown: frozenset[str]) -> None:
    """Refuse to go on with a search some of whose calls may not be made twice and have an unknown outcome, whatever it would do next.

    Raises:
        OutcomeUnknownError: naming one, and how to decide it.
    """
    if unknown:
        waiting = _waiting(run, min(unknown))
        raise OutcomeUnknownError(f"{waiting}: it was interrupted before its outcome was recorded")


def _waiting(run: str, call: str) -> str:
    return (
        f"the tool call {call[:12]} may not be made twice and its outcome is unknown; find out what came of it and say so: thoughtgraph decide {run} "
        f"{call[:12]} --result TEXT, --error TEXT, or --again if nothing happened, then: thoughtgraph resume {run} --retry-failed"
    )
