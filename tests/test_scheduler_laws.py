"""Laws of the scheduler over random searches, limits, failures and cancellations."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from thoughtgraph.agents.models.base import Generation, GenerationCall, Limits, Price, Sample, Sampling
from thoughtgraph.agents.models.scheduler import Scheduler
from thoughtgraph.graph.errors import ModelError


@dataclass(frozen=True)
class Ask:
    """One call of a random day: in which turn of the loop it comes and, maybe, is given up."""

    group: int
    urgent: bool
    n: int
    turn: int
    gives_up: int | None
    fails: bool


ASKS = st.lists(
    st.builds(
        Ask,
        group=st.integers(0, 3),
        urgent=st.booleans(),
        n=st.integers(1, 4),
        turn=st.integers(0, 12),
        gives_up=st.none() | st.integers(0, 12),
        fails=st.booleans(),
    ),
    max_size=25,
)
LIMITS = st.builds(Limits, batch=st.integers(1, 6), concurrency=st.integers(1, 4))


@dataclass
class Engine:
    """A language model that answers after some turns of the loop, and sees whether its limits are kept."""

    limits: Limits
    name: str = "engine"
    chat: bool = False
    price: Price = field(default_factory=Price)
    running: int = 0
    started: list[str] = field(default_factory=list[str])

    @property
    def begun(self) -> set[str]:
        """Numbers of the calls that it was asked."""
        return {prompt.split()[0] for prompt in self.started}

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        """Answer with the prompt, or fail where it says so."""
        self.running += 1
        assert self.running <= self.limits.concurrency
        assert len(calls) == 1 or sum(call.n for call in calls) <= self.limits.batch
        self.started += [str(call.prompt) for call in calls]
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            return [self._answer(call) for call in calls]
        finally:
            self.running -= 1

    def _answer(self, call: GenerationCall) -> Generation | ModelError:
        if "fails" in str(call.prompt):
            return ModelError(str(call.prompt))
        return Generation((Sample(str(call.prompt), "end", 1),) * call.n, prompt_tokens=1)


async def day(asks: Sequence[Ask], engine: Engine, scheduler: Scheduler) -> Sequence[object]:
    """Return what each call came to; one that was given up before it began never begins."""

    async def turns(count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    async def one(place: int, ask: Ask) -> Generation:
        await turns(ask.turn)
        prompt = f"{place} {'fails' if ask.fails else ''}"
        call = GenerationCall(prompt, Sampling(8), n=ask.n)
        return await scheduler.generate(engine, call, ask.group, urgent=ask.urgent)

    tasks = [asyncio.create_task(one(place, ask)) for place, ask in enumerate(asks)]

    async def give_up(place: int, after: int) -> None:
        await turns(after)
        tasks[place].cancel()
        await turns(2)  # a batch that it was taken for already may begin
        if str(place) not in engine.begun:
            unbegun.add(place)

    unbegun = set[int]()
    leaving = [give_up(place, ask.gives_up) for place, ask in enumerate(asks) if ask.gives_up is not None]
    await asyncio.gather(*leaving)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    given_up = [place for place in unbegun if isinstance(results[place], asyncio.CancelledError)]
    assert not any(str(place) in engine.begun for place in given_up)
    return results


@given(ASKS, LIMITS)
def test_every_call_is_answered_once_within_the_limits_and_none_that_was_given_up_before(
    asks: list[Ask], limits: Limits
) -> None:
    engine, scheduler = Engine(limits), Scheduler()
    results = asyncio.run(day(asks, engine, scheduler))
    started = Counter(int(prompt.split()[0]) for prompt in engine.started)
    assert all(count == 1 for count in started.values())
    for place, (ask, result) in enumerate(zip(asks, results, strict=True)):
        if isinstance(result, asyncio.CancelledError):
            assert ask.gives_up is not None
        elif ask.fails:
            assert isinstance(result, ModelError)
            assert str(result).startswith(f"{place} ")
        else:
            assert isinstance(result, Generation)
            assert [sample.text for sample in result.samples] == [f"{place} "] * ask.n
    if scheduler.statistics:
        statistics = scheduler.statistics["engine"]
        assert (statistics.in_flight, statistics.queued) == (0, 0)
        assert statistics.calls == len(engine.started)


@given(ASKS)
def test_calls_of_a_group_and_priority_start_in_the_order_they_came(asks: list[Ask]) -> None:
    engine = Engine(Limits())
    asyncio.run(day(asks, engine, Scheduler()))
    kinds: dict[tuple[int, bool], list[tuple[int, int]]] = {}
    for prompt in engine.started:
        place = int(prompt.split()[0])
        ask = asks[place]
        kinds.setdefault((ask.group, ask.urgent), []).append((ask.turn, place))
    for order in kinds.values():
        assert order == sorted(order)
