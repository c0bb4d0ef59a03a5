"""The one way from an agent to anything that is paid: reserved, scheduled, recorded, and never paid twice.

A gateway belongs to one request of one search. What is on record from before a crash is returned as if it had just arrived: it is reserved
and settled all the same, so a resumed search sees the budget exactly as an uninterrupted one does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..agents.models.base import Generation, GenerationCall, LanguageModel, ScoringModel, Trace, reasons_first
from ..agents.models.codec import generation_from_json, generation_to_json
from ..agents.models.reasoning import without_thoughts
from ..agents.models.scheduler import Scheduler
from ..agents.protocols import Observation
from ..storage.sanitise import sanitise
from ..tools.base import Call, Tool
from .budget import Meter, Reservation
from .errors import BudgetSpentError, ModelError, ModelUnavailableError
from .ids import address
from .ledger import Commit, ModelCall, ToolCall
from .records import Budget, Usage
from .tool_calling import ToolCalling, ToolMemory


async def _nothing_waits() -> None: ...


@dataclass(slots=True)
class Purse:
    """What all gateways of one search share."""

    unit: str
    """Name of the search, for fair scheduling between searches."""
    meter: Meter
    scheduler: Scheduler
    save: Callable[[Commit], None]
    flushed: Callable[[], Awaitable[None]] = _nothing_waits
    """Waits until what was saved is durable."""
    memory: ToolMemory = field(default_factory=ToolMemory)
    """Replies of pure tools."""
    run: str = ""
    question: str = ""
    """The problem's, for tools that work on what belongs to it."""
    calls: dict[str, ModelCall] = field(default_factory=dict[str, ModelCall])
    """Model calls on record whose requests were not told yet."""
    tools: dict[str, ToolCall] = field(default_factory=dict[str, ToolCall])
    """Tool calls on record."""
    attempts: dict[str, int] = field(default_factory=dict[str, int])
    """Of calls that may not be made twice, the number of the next attempt, where it is not 0."""
    observe: Callable[[Observation], None] = lambda observation: None
    """Told of every reply of a tool."""
    barrier: bool = True
    """Whether settlements wait for `settle`: in lockstep a wave's reservations must not depend on arrival order."""
    unsettled: list[tuple[Reservation, Usage]] = field(default_factory=list[tuple[Reservation, Usage]])

    def pay(self, reservation: Reservation, paid: Usage) -> None:
        """Settle a reservation, at the barrier if there is one."""
        self.unsettled.append((reservation, paid))
        if not self.barrier:
            self.settle()

    def settle(self) -> None:
        """Settle what waited for the barrier."""
        for reservation, paid in self.unsettled:
            self.meter.settle(reservation, paid)
        self.unsettled.clear()


class RequestGateway:
    """The gateway of one request; implements `agents.protocols.Gateway`."""

    def __init__(self, purse: Purse, request: str) -> None:
        self._purse = purse
        self._request = request
        self.usage = Usage()
        """What this request paid so far, seconds left out."""
        self.exhausted = False
        """Whether a call for samples without replacement brought none: nothing is left to draw."""
        self._answered: dict[str, tuple[str, Generation]] = {}
        """Calls answered before the request had to wait for the budget and start again."""
        self._counted: set[str] = set()
        """Tool calls that were counted, however often the request has to start again."""
        self._judges = False
        """Whether its judgements were counted."""
        self.evaluates = False
        """Whether judges have their turn: a search waits for them, so their calls go before new thoughts."""

    async def generate(self, model: LanguageModel, call: GenerationCall) -> tuple[str, Generation]:
        """See `Gateway.generate`."""
        wanted = call_id = call.id(model.name)
        before = self._answered.get(wanted)
        if before is not None:
            return before
        purse, price = self._purse, model.price
        reservation = purse.meter.reserve_generation(
            call.n, call.sampling.max_tokens, price.usd(call.n * _prompt_bound(call), 0), price.usd(0, 1)
        )
        if (reservation.samples, reservation.max_tokens) != (call.n, call.sampling.max_tokens):
            shorter = replace(call.sampling, max_tokens=reservation.max_tokens)
            call = replace(call, n=reservation.samples, sampling=shorter)
            call_id = call.id(model.name)
        known = purse.calls.get(call_id)
        if known is not None:
            generation = generation_from_json(known.response)
        else:
            generation = await self._paid(model, call, call_id, reservation)
        paid = Usage(
            prompt_tokens=generation.prompt_tokens,
            completion_tokens=generation.completion_tokens,
            model_calls=1,
            usd=price.usd(generation.prompt_tokens, generation.completion_tokens),
        )
        purse.pay(reservation, paid)
        self.usage += paid
        if call.unique and not any(sample.tokens for sample in generation.samples):
            self.exhausted = True
        self._answered[wanted] = (call_id, generation)
        return call_id, generation

    async def score(self, model: ScoringModel, traces: Sequence[Trace]) -> list[list[float] | str]:
        """See `Gateway.score`."""
        fit = len(traces)
        if not self._judges:  # an evaluation request's judgements were counted before it was answered
            fit = self._purse.meter.take_verifier_calls(len(traces))
            self.usage += Usage(verifier_calls=fit)
        scores = await asyncio.gather(*(self._score(model, trace) for trace in traces[:fit]))
        return [*scores, *["the budget of verifier_calls is spent"] * (len(traces) - fit)]

    def judge(self, n: int) -> None:
        """Count `n` judgements made by prompting a model, once, however often the request has to start again.

        Raises:
            BudgetSpentError: if they do not all fit.
        """
        if self._judges:
            return
        if self._purse.meter.take_verifier_calls(n) < n:
            raise BudgetSpentError("verifier_calls")
        self._judges = True
        self.usage += Usage(verifier_calls=n)

    def reserve_nested(self, share: float) -> tuple[Reservation, Budget]:
        """Reserve a share of what is left for a search inside a thought; see `Meter.reserve_nested`."""
        return self._purse.meter.reserve_nested(share)

    def release(self, reservation: Reservation) -> None:
        """Give a reservation back: nothing was paid under it that is not on record of the search inside."""
        self._purse.meter.settle(reservation, Usage())

    def refuse(self, limit: str) -> None:
        """Raise BudgetSpentError: what is left of a limit is too little; `held` if calls under way may leave more."""
        self._purse.meter.refuse(limit)

    def pay_nested(self, reservation: Reservation, paid: Usage) -> None:
        """Settle such a reservation to what the search paid."""
        paid = replace(paid, seconds=0.0)
        self._purse.pay(reservation, paid)
        self.usage += paid

    async def call_tool(
        self,
        thought: str,
        tool: Tool,
        arguments: Mapping[str, Any],
        earlier: tuple[Mapping[str, Any], ...] = (),
        place: int = 0,
        *,
        asked: bool = False,
    ) -> Observation:
        """See `Gateway.call_tool`."""
        call_id = address("tool", thought, tool.name, dict(arguments))
        if call_id not in self._counted:
            self._purse.meter.take_tool_call(tool.usd)
            self._counted.add(call_id)
            self.usage += Usage(tool_calls=1, usd=tool.usd)
        purse = self._purse
        row = purse.tools.get(call_id)
        if row is None:
            call = Call(arguments, earlier if tool.stateful else (), purse.question if tool.scoped else "")
            using = ToolCalling(purse, self._request, thought, tool, call, call_id, place, asked)
            row = await using.row()
        return self._observed(row)

    def refuse_call(
        self, thought: str, tool: str, arguments: Mapping[str, Any], why: str, place: int = 0
    ) -> Observation:
        """See `Gateway.refuse_call`."""
        error = sanitise(why)
        call_id = address("refused", thought, tool, dict(arguments), error)
        size = len(error.encode())
        row = ToolCall(
            call_id,
            self._request,
            thought,
            tool,
            dict(arguments),
            None,
            error,
            place=place,
            asked=True,
            bytes=size,
            origin="refused",
        )
        if self._purse.tools.setdefault(call_id, row) is row:
            self._purse.save(Commit(tool_calls=(row,)))
        return self._observed(row)

    def _observed(self, row: ToolCall) -> Observation:
        observation = observation_of(row)
        self._purse.observe(observation)
        return observation

    async def _score(self, model: ScoringModel, trace: Trace) -> list[float] | str:
        try:
            return await self._purse.scheduler.score(model, trace, group=self._purse.unit)
        except ModelUnavailableError:
            raise
        except ModelError as error:
            return str(error)

    async def _paid(
        self, model: LanguageModel, call: GenerationCall, call_id: str, reservation: Reservation
    ) -> Generation:
        started = time.perf_counter()
        try:
            routed, group = call.routed(self._purse.unit), self._purse.unit
            generation = await self._purse.scheduler.generate(model, routed, group, urgent=self.evaluates)
            if not isinstance(call.prompt, str):  # a raw text has no thoughts of its own
                generation = without_thoughts(generation, opened=reasons_first(model))
        except ModelError as error:
            self._purse.pay(reservation, Usage(model_calls=1))
            self.usage += Usage(model_calls=1)
            failed = address("failed", call_id, str(error))
            self._record(model, call, failed, None, str(error), time.perf_counter() - started)
            raise
        self._record(model, call, call_id, generation, None, time.perf_counter() - started)
        return generation

    def _record(
        self,
        model: LanguageModel,
        call: GenerationCall,
        call_id: str,
        generation: Generation | None,
        error: str | None,
        seconds: float,
    ) -> None:
        prompt = (
            call.prompt
            if isinstance(call.prompt, str)
            else [{"role": turn.role, "content": turn.content} for turn in call.prompt]
        )
        sampling = call.sampling
        parameters: dict[str, Any] = {
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "min_p": sampling.min_p,
            "stop": list(sampling.stop),
            "n": call.n,
            "seed": call.seed,
            "first_sample": call.first_sample,
        }
        if call.unique:
            parameters |= {"unique": True, "avoid": list(call.avoid)}
        if sampling.alternatives:
            parameters["alternatives"] = sampling.alternatives
        prompt_tokens = generation.prompt_tokens if generation else 0
        completion_tokens = generation.completion_tokens if generation else 0
        row = ModelCall(
            id=call_id,
            request=self._request,
            kind="generate",
            model=model.name,
            prompt=prompt,
            parameters=parameters,
            response=generation_to_json(generation) if generation else None,
            error=error,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            usd=model.price.usd(prompt_tokens, completion_tokens),
            seconds=seconds,
        )
        self._purse.save(Commit(model_calls=(row,)))


def observation_of(row: ToolCall) -> Observation:
    """Return a recorded tool call as agents see it."""
    return Observation(
        row.thought, row.tool, row.arguments, row.result, row.error, row.ok, row.trusted, row.place, row.asked
    )


def _prompt_bound(call: GenerationCall) -> int:
    """Return an upper bound of the prompt's tokens: no token is shorter than a byte; 16 a turn for the chat template.

    It counts once a sample: some servers bill it so.
    """
    if isinstance(call.prompt, str):
        return len(call.prompt.encode()) + 16
    return sum(len(turn.content.encode()) + 16 for turn in call.prompt) + 16
