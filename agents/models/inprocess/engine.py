"""One decode that never waits for the slowest: calls arrive and leave while the rows of others are in work.

A model has one engine, and an engine one thread, which runs as long as there is something to do. Before every step it admits what is queued, in order of
arrival, as far as rows are free; a call is answered as soon as its own samples have ended, and rows of a call that nobody waits for any more leave
before the next step.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch

from ....graph.errors import ModelError
from ..base import Generation, GenerationCall
from .decoding import Row, Step, advance
from .draws import Draws
from .logit_memory import LogitMemory
from .measuring import measure
from .rows import Rows

Answer = Generation | ModelError


class _Request:
    """A call in work."""

    __slots__ = ("call", "future", "loop", "open")

    def __init__(self, call: GenerationCall, loop: asyncio.AbstractEventLoop) -> None:
        self.call = call
        self.loop = loop
        self.future: asyncio.Future[Answer] = loop.create_future()
        self.open = 0
        """Rows queued or in work."""

    @property
    def left(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.future.cancelled()


class _Live(NamedTuple):
    """A row and whose it is."""

    row: Row
    request: _Request


class Engine:
    """Answers calls with one model.

    Args:
        model: a transformers causal language model.
        rows: in front of it.
        begin: makes what a call draws, or says why it cannot be answered.
        ends: ids of end tokens.
        pad: id to pad with.
        most: rows in work at most (≥ 1).
    """

    def __init__(
        self,
        model: Any,
        rows: Rows,
        begin: Callable[[GenerationCall], Draws | ModelError],
        *,
        ends: frozenset[int],
        pad: int,
        most: int,
    ) -> None:
        self._model, self._rows, self._begin = model, rows, begin
        self._ends, self._pad, self._most = ends, pad, most
        self._memory = LogitMemory()
        self._live: list[_Live] = []
        self._tokens: list[int] = []
        """What each live row is fed next."""
        self._waiting: deque[_Live] = deque()
        self._begun: dict[_Request, Draws] = {}
        """Calls that are not answered yet."""
        self._answered: list[tuple[_Request, Answer | BaseException]] = []
        self._together: WeakKeyDictionary[asyncio.AbstractEventLoop, list[_Request]] = WeakKeyDictionary()
        """Calls of this turn of an event loop."""
        self._arrived: list[_Request] = []
        self._running = False
        self._lock = threading.Lock()  # guards the two above
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="thoughtgraph-generate")

    async def answer(self, calls: Sequence[GenerationCall]) -> list[Answer]:
        """Answer the calls; to cancel is to leave."""
        loop = asyncio.get_running_loop()
        requests = [_Request(call, loop) for call in calls]
        together = self._together.get(loop)
        if together is None:
            together = self._together[loop] = []
            loop.call_soon(self._submit, loop)
        together += requests
        return list(await asyncio.gather(*(request.future for request in requests)))

    def _submit(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand over what came in one turn of the event loop at once, so that a wave is decoded together however the threads are scheduled."""
        requests = self._together.pop(loop)
        with self._lock:
            self._arrived += requests
            if not self._running:
                self._running = True
                self._thread.submit(self._run)

    def _run(self) -> None:
        with torch.inference_mode():
            while True:
                with self._lock:
                    arrived, self._arrived = self._arrived, []
                    self._running = bool(arrived or self._waiting or self._live)
                    if not self._running:
                        return
                try:
                    self._turn(arrived)
                except Exception as error:  # noqa: BLE001  # whatever it is, those who wait must hear of it
                    self._fail(arrived, error)
                self._deliver()

    def _turn(self, arrived: Sequence[_Request]) -> None:
        """Admit, feed every row a token, and let go what has ended."""
        self._receive(arrived)
        if any(one.request.left for one in self._live):
            self._keep([Step(i, one.row, self._tokens[i]) for i, one in enumerate(self._live)])
        if self._rows.joins or not self._live:
            self._admit()
        if self._live:
            logits = self._rows.step(self._tokens)
            self._keep(advance(logits, [one.row for one in self._live], self._ends, self._memory))

    def _receive(self, arrived: Sequence[_Request]) -> None:
        """Begin calls that have arrived."""
        begun: dict[_Request, Draws] = {}
        for request in arrived:
            try:
                draws = self._begin(request.call)
            except Exception as error:  # noqa: BLE001  # a template's, say; it is this call's alone
                self._answered.append((request, error))
                continue
            if isinstance(draws, ModelError):
                self._answered.append((request, draws))
            else:
                begun[request] = draws
        paths = [path for draws in begun.values() for path in draws.paths()]
        if paths:
            measure(
                self._model,
                paths,
                pad=self._pad,
                batch=self._most,
                memory=self._memory,
                cancelled=lambda: all(request.left for request in begun),
            )
        self._begun |= begun
        for request, draws in begun.items():
            draws.measured()
            self._waiting.extend(self._next(request))

    def _next(self, request: _Request) -> list[_Live]:
        """Return what a call is to draw next; answer it if that is nothing."""
        draws = self._begun[request]
        rows = draws.pending(self._most)
        request.open = len(rows)
        if not rows:
            self._answered.append((request, draws.result()))
            del self._begun[request]
        return [_Live(row, request) for row in rows]

    def _admit(self) -> None:
        """Take from the queue what has room even if all rows fork."""
        room = self._most - sum(one.row.width for one in self._live)
        newcomers: list[_Live] = []
        while self._waiting and (
            (width := self._waiting[0].row.width) <= room or self._waiting[0].request.left
        ):
            one = self._waiting.popleft()
            if one.request.left:
                self._begun.pop(one.request, None)
            else:
                newcomers.append(one)
                room -= width
        if newcomers:
            prompts = [one.row.tokens for one in newcomers]
            order, cached = self._rows.admit(prompts)
            for i, known in zip(order, cached, strict=True):
                newcomers[i].row.cached = known
                self._live.append(newcomers[i])
                self._tokens.append(prompts[i][-1])

    def _keep(self, steps: Sequence[Step]) -> None:
        """Go on with the rows that have neither ended nor been left, each at its place if there is room."""
        requests = [one.request for one in self._live]
        for request in requests:
            request.open -= 1
        for step in steps:
            requests[step.parent].open += 1
        going: list[Step] = []
        for step in steps:
            request = requests[step.parent]
            if step.row.done:
                self._rows.leave(step.parent, step.row.tokens, sound=step.row.error is None)
                request.open -= 1
            elif not request.left:
                going.append(step)
        going = _placed(going)
        self._rows.select([step.parent for step in going])
        self._live = [_Live(step.row, requests[step.parent]) for step in going]
        self._tokens = [step.token for step in going]
        for request in dict.fromkeys(requests):
            if request.left:
                self._begun.pop(request, None)
            elif not request.open:
                self._waiting.extendleft(reversed(self._next(request)))  # before what came later

    def _fail(self, arrived: Sequence[_Request], error: BaseException) -> None:
        """Drop all work, and tell whose it was."""
        self._answered += [(request, error) for request in (*arrived, *self._begun)]
        self._begun.clear()
        self._live, self._tokens = [], []
        self._waiting.clear()
        self._rows.reset()

    def _deliver(self) -> None:
        """Hand answers over to the event loops that wait for them, together."""
        loops: dict[asyncio.AbstractEventLoop, list[tuple[_Request, Answer | BaseException]]] = {}
        for request, answer in self._answered:
            loops.setdefault(request.loop, []).append((request, answer))
        self._answered = []
        for loop, answers in loops.items():
            with contextlib.suppress(RuntimeError):  # it was closed: nobody waits any more
                loop.call_soon_threadsafe(_resolve, answers)


def _placed(steps: Sequence[Step]) -> list[Step]:
    """Order the steps so that as many rows as possible keep their place, and only those at the end move into the gaps."""
    places: list[Step | None] = [None] * len(steps)
    moving: list[Step] = []
    for step in steps:
        if step.parent < len(places) and places[step.parent] is None:
            places[step.parent] = step
        else:
            moving.append(step)
    return [moving.pop() if step is None else step for step in places]


def _resolve(answers: Sequence[tuple[_Request, Answer | BaseException]]) -> None:
    for request, answer in answers:
        if request.future.done():
            continue
        if isinstance(answer, ModelError) or not isinstance(answer, BaseException):
            request.future.set_result(answer)
        else:
            request.future.set_exception(answer)
