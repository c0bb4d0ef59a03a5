"""A model slowed down to the pace of a served one, to measure how full a search keeps its engine.

slow = LatencyModel(ScriptedModel(answer), mean=0.02, slots=32)
...                        # run searches over it
slow.utilisation           # share of the slots' time that was spent answering
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from statistics import NormalDist

from ...graph.errors import ModelError
from ...graph.ids import derive_seed
from .base import Generation, GenerationCall, LanguageModel, Limits
from .wrapping import WrappingModel

_NORMAL = NormalDist()


class LatencyModel(WrappingModel):
    """Answers like `inner`, each call after a log-normal delay in one of a limited number of slots.

    A call's delay derives from its content and `seed`, not from when it arrives.

    Args:
        inner: the model that answers.
        mean: mean delay of a call in seconds (> 0).
        sigma: standard deviation of the delay's logarithm (≥ 0); 0.8 is a heavy but realistic tail.
        slots: calls that are answered at the same time (≥ 1).
        seed: of the delays.

    Attributes:
        busy_s: slot-seconds spent answering so far.
        peak: most calls that were being answered at the same time.
    """

    def __init__(
        self, inner: LanguageModel, mean: float = 0.02, sigma: float = 0.8, slots: int = 32, seed: int = 0
    ) -> None:
        if mean <= 0 or sigma < 0 or slots < 1:
            raise ValueError(f"mean {mean!r}, sigma {sigma!r}, slots {slots!r}: must be > 0, ≥ 0, ≥ 1")
        super().__init__(inner)
        self._mu = math.log(mean) - sigma**2 / 2
        self._sigma = sigma
        self._slots = slots
        self._seed = seed
        self._free = asyncio.Semaphore(slots)
        self._first: float | None = None
        self._last = 0.0
        self.busy_s = 0.0
        self.peak = 0
        self._answering = 0

    @property
    def limits(self) -> Limits:
        return Limits(batch=1, concurrency=self._slots)

    @property
    def utilisation(self) -> float:
        """Busy slot-time over all slot-time between the first call's start and the last one's end, in [0, 1]."""
        if self._first is None or self._last <= self._first:
            return 0.0
        return min(1.0, self.busy_s / (self._slots * (self._last - self._first)))

    def delay(self, call: GenerationCall) -> float:
        """Return the delay of this call in seconds."""
        share = ((derive_seed(self._seed, "latency", call.id(self.name)) >> 11) + 0.5) / 2**52
        return math.exp(self._mu + self._sigma * _NORMAL.inv_cdf(share))

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        """Answer the calls, each in a slot of its own."""
        if len(calls) == 1:
            return [await self._answer(calls[0])]
        return list(await asyncio.gather(*(self._answer(call) for call in calls)))

    async def _answer(self, call: GenerationCall) -> Generation | ModelError:
        async with self._free:
            start = time.perf_counter()
            self._first = start if self._first is None else self._first
            self._answering += 1
            self.peak = max(self.peak, self._answering)
            try:
                await asyncio.sleep(self.delay(call))
                [result] = await self._inner.generate([call])
                return result
            finally:
                self._answering -= 1
                self._last = time.perf_counter()
                self.busy_s += self._last - start
