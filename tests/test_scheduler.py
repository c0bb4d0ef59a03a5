import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from thoughtgraph.agents.models.base import (
    Generation,
    GenerationCall,
    Limits,
    Price,
    Sample,
    Sampling,
    Trace,
)
from thoughtgraph.agents.models.scheduler import Scheduler
from thoughtgraph.agents.models.scripted import ScriptedScorer
from thoughtgraph.graph.errors import ModelError, ModelUnavailableError


def call(prompt: str, n: int = 1) -> GenerationCall:
    return GenerationCall(prompt, Sampling(max_tokens=8), n=n)


def echo(asked: GenerationCall) -> list[str]:
    return [f"{asked.prompt}/{i}" for i in range(asked.n)]


def generation(asked: GenerationCall) -> Generation:
    return Generation(tuple(Sample(text, "end", 1) for text in echo(asked)), prompt_tokens=1)


class Backend:
    """A real backend of a test's own: records its batches and answers by `answer`, after `opened` is set."""

    name = "backend"
    chat = False
    price = Price()

    def __init__(
        self,
        limits: Limits,
        answer: Callable[[GenerationCall], Generation | ModelError] = generation,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.limits = limits
        self.answer = answer
        self.before = before
        self.batches: list[list[str]] = []
        self.running = 0
        self.most = 0
        self.cancelled = 0

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        self.batches.append([str(c.prompt) for c in calls])
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await (self.before() if self.before else asyncio.sleep(0.001))
            return [self.answer(c) for c in calls]
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1


async def test_simultaneous_calls_share_batches_and_come_back_in_place() -> None:
    scheduler, model = Scheduler(), Backend(Limits(batch=4))
    answers = await asyncio.gather(*(scheduler.generate(model, call(f"p{i}")) for i in range(10)))
    assert [a.samples[0].text for a in answers] == [f"p{i}/0" for i in range(10)]
    assert [len(batch) for batch in model.batches] == [4, 4, 2]
    statistics = scheduler.statistics["backend"]
    assert (statistics.calls, statistics.invocations, statistics.max_batch) == (10, 3, 4)
    assert (statistics.prompt_tokens, statistics.completion_tokens, statistics.errors) == (10, 10, 0)
    assert 0.002 < statistics.busy_s < 1


async def test_requests_of_following_loop_turns_still_coalesce() -> None:
    scheduler, model = Scheduler(), Backend(Limits(batch=64))

    async def search(i: int) -> None:
        for _ in range(i % 4):  # arrive in different turns of the loop
            await asyncio.sleep(0)
        await scheduler.generate(model, call(f"p{i}"))

    await asyncio.gather(*(search(i) for i in range(16)))
    assert [len(batch) for batch in model.batches] == [16]


async def test_rows_of_a_batch_are_bounded_and_a_larger_call_goes_alone() -> None:
    scheduler, model = Scheduler(), Backend(Limits(batch=8))
    await asyncio.gather(*(scheduler.generate(model, call(f"p{n}", n)) for n in (5, 3, 2, 20, 1)))
    assert model.batches == [["p5", "p3"], ["p2"], ["p20"], ["p1"]]


async def test_concurrency_is_bounded() -> None:
    scheduler, model = Scheduler(), Backend(Limits(batch=1, concurrency=3))
    await asyncio.gather(*(scheduler.generate(model, call(f"p{i}")) for i in range(12)))
    assert model.most == 3
    assert len(model.batches) == 12


async def test_a_busy_search_does_not_starve_another() -> None:
    scheduler, model = Scheduler(), Backend(Limits(batch=1))
    busy = [scheduler.generate(model, call(f"a{i}"), group="a") for i in range(50)]
    late = [scheduler.generate(model, call(f"b{i}"), group="b") for i in range(3)]
    await asyncio.gather(*busy, *late)
    order = [prompt for [prompt] in model.batches]
    assert order[:6] == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert order[6:] == [f"a{i}" for i in range(3, 50)]


async def test_a_failed_call_fails_alone() -> None:
    def answer(asked: GenerationCall) -> Generation | ModelError:
        return ModelError("no luck") if asked.prompt == "bad" else generation(asked)

    scheduler, model = Scheduler(), Backend(Limits(batch=4), answer)
    results = await asyncio.gather(
        *(scheduler.generate(model, call(p)) for p in ("x", "bad", "y")), return_exceptions=True
    )
    assert isinstance(results[1], ModelError)
    assert isinstance(results[0], Generation)
    assert isinstance(results[2], Generation)
    assert scheduler.statistics["backend"].errors == 1


async def test_an_unavailable_model_fails_all_that_is_queued_and_can_be_asked_again() -> None:
    broken = True

    async def before() -> None:
        await asyncio.sleep(0)
        if broken:
            raise ModelUnavailableError("no key; set one")

    scheduler, model = Scheduler(), Backend(Limits(batch=1), before=before)
    results = await asyncio.gather(
        *(scheduler.generate(model, call(f"p{i}")) for i in range(5)), return_exceptions=True
    )
    assert [type(result) for result in results] == [ModelUnavailableError] * 5
    assert len(model.batches) == 1  # four never reached the backend
    broken = False
    assert (await scheduler.generate(model, call("again"))).samples[0].text == "again/0"


async def test_a_backends_own_bug_reaches_its_callers_only() -> None:
    def answer(asked: GenerationCall) -> Generation:
        if asked.prompt == "bug":
            raise ZeroDivisionError
        return generation(asked)

    scheduler, model = Scheduler(), Backend(Limits(batch=1), answer)
    results = await asyncio.gather(
        *(scheduler.generate(model, call(p)) for p in ("bug", "x")), return_exceptions=True
    )
    assert isinstance(results[0], ZeroDivisionError)
    assert isinstance(results[1], Generation)


def too_few(_: GenerationCall) -> Generation:
    return Generation((), 1)


def a_text(_: GenerationCall) -> Any:
    return "text"


@pytest.mark.parametrize(
    ("answer", "message"), [(too_few, "0 samples for a call of 1"), (a_text, "returned str")]
)
async def test_a_broken_contract_is_a_model_error(
    answer: Callable[[GenerationCall], Generation], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        await Scheduler().generate(Backend(Limits(), answer), call("p"))


async def test_a_cancelled_waiter_leaves_the_queue_unpaid() -> None:
    scheduler, model = Scheduler(), Backend(Limits(batch=1))
    tasks = [asyncio.create_task(scheduler.generate(model, call(f"p{i}"))) for i in range(4)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [prompt for [prompt] in model.batches] == ["p0", "p1", "p3"]


async def test_an_invocation_nobody_waits_for_is_cancelled_and_its_slot_freed() -> None:
    forever = asyncio.Event()

    async def before() -> None:
        if len(model.batches) == 1:
            await forever.wait()

    scheduler, model = Scheduler(), Backend(Limits(batch=2), before=before)
    tasks = [asyncio.create_task(scheduler.generate(model, call(f"p{i}"))) for i in range(2)]
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    await asyncio.sleep(0.01)
    assert model.cancelled == 0  # one still waits
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (await scheduler.generate(model, call("next"))).samples[0].text == "next/0"
    assert model.cancelled == 1


async def test_equal_traces_in_flight_are_scored_once_even_if_the_first_asker_leaves() -> None:
    scorer = ScriptedScorer(lambda trace: [0.5] * len(trace.steps))
    scheduler, trace = Scheduler(), Trace("q\n", ("a", "b"))
    tasks = [asyncio.create_task(scheduler.score(scorer, trace)) for _ in range(3)]
    tasks.append(asyncio.create_task(scheduler.score(scorer, Trace("q\n", ("c",)))))
    await asyncio.sleep(0)
    tasks[0].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[1:] == [[0.5, 0.5], [0.5, 0.5], [0.5]]
    assert isinstance(results[0], asyncio.CancelledError)
    assert scorer.asked == [trace, Trace("q\n", ("c",))]
    assert scheduler.statistics["scripted-scorer"].joined == 2
    await scheduler.score(scorer, trace)  # not in flight any more: scored anew
    assert len(scorer.asked) == 3


@pytest.mark.parametrize("score", [math.nan, -0.1, 1.5, math.inf])
async def test_a_score_outside_the_unit_interval_is_an_error_never_a_zero(score: float) -> None:
    with pytest.raises(ModelError, match="not in"):
        await Scheduler().score(ScriptedScorer(lambda _: [score]), Trace("q\n", ("a",)))


async def test_a_wrong_number_of_scores_is_an_error() -> None:
    with pytest.raises(ModelError, match="2 scores for 1 steps"):
        await Scheduler().score(ScriptedScorer(lambda _: [0.1, 0.2]), Trace("q\n", ("a",)))


async def test_closing_fails_what_waits_and_stops_what_runs() -> None:
    forever = asyncio.Event()

    async def before() -> None:
        await forever.wait()

    scheduler, model = Scheduler(), Backend(Limits(batch=1), before=before)
    tasks = [asyncio.create_task(scheduler.generate(model, call(f"p{i}"))) for i in range(3)]
    await asyncio.sleep(0.01)
    await scheduler.aclose()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [ModelError] * 3
    assert model.cancelled == 1
    with pytest.raises(ModelError, match="closed"):
        await scheduler.generate(model, call("late"))
