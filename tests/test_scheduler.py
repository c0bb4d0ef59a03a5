import asyncio
import gc
import math
import weakref
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
from thoughtgraph.agents.models.fair_queue import TURN
from thoughtgraph.agents.models.lane import LONG_QUEUE
from thoughtgraph.agents.models.scheduler import Scheduler, current_scheduler
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


async def test_searches_take_turns_of_a_few_calls() -> None:
    scheduler, model = Scheduler(), Backend(Limits(batch=1))
    busy = [scheduler.generate(model, call(f"a{i}"), group="a") for i in range(50)]
    late = [scheduler.generate(model, call(f"b{i}"), group="b") for i in range(3)]
    await asyncio.gather(*busy, *late)
    order = [prompt for [prompt] in model.batches]
    assert order == [
        *(f"a{i}" for i in range(TURN)),
        *(f"b{i}" for i in range(3)),
        *(f"a{i}" for i in range(TURN, 50)),
    ]


async def test_calls_of_a_search_are_side_by_side_in_a_batch() -> None:
    scheduler, model = Scheduler(), Backend(Limits(batch=64))
    asked = [(group, i) for group in "ab" for i in range(TURN + 2)]
    await asyncio.gather(*(scheduler.generate(model, call(f"{g}{i}"), group=g) for g, i in asked))
    assert model.batches == [[f"{group}{i}" for group, i in asked]]


async def test_urgent_calls_go_before_others_that_came_earlier() -> None:
    scheduler, model = Scheduler(), Backend(Limits(batch=1))
    new = [scheduler.generate(model, call(f"new{i}"), group=i) for i in range(4)]
    judging = [scheduler.generate(model, call(f"judge{i}"), group=i, urgent=True) for i in range(3)]
    await asyncio.gather(*new, *judging)
    order = [prompt for [prompt] in model.batches]
    assert order == ["judge0", "judge1", "judge2", "new0", "new1", "new2", "new3"]


async def test_limits_may_move_while_calls_wait() -> None:
    scheduler, model = Scheduler(), Backend(Limits(concurrency=1))

    async def before() -> None:
        await asyncio.sleep(0)
        if len(model.batches) == 2:
            model.limits = Limits(concurrency=3)

    model.before = before
    await asyncio.gather(*(scheduler.generate(model, call(f"p{i}")) for i in range(9)))
    assert model.most == 3
    model.limits, model.most = Limits(concurrency=2), 0
    await asyncio.gather(*(scheduler.generate(model, call(f"q{i}")) for i in range(9)))
    assert model.most == 2


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


async def test_a_call_cancelled_in_the_turn_in_which_it_would_start_never_starts() -> None:
    """Its waiter is gone before its task had the chance to say so; an equal call made just then is a new one."""
    scheduler, model = Scheduler(), Backend(Limits(batch=1))
    first = asyncio.create_task(scheduler.generate(model, call("p")))
    other = asyncio.create_task(scheduler.generate(model, call("q")))
    await asyncio.sleep(0)  # both are queued; the lane looks at its queue in the next turn
    first.cancel()
    other.cancel()
    again = asyncio.create_task(scheduler.generate(model, call("p")))
    results = await asyncio.gather(first, other, again, return_exceptions=True)
    assert [type(result) for result in results[:2]] == [asyncio.CancelledError] * 2
    assert isinstance(results[2], Generation)
    assert model.batches == [["p"]]
    assert (scheduler.statistics["backend"].queued, scheduler.statistics["backend"].in_flight) == (0, 0)


async def test_equal_calls_in_flight_are_made_once_and_each_is_told_all_of_it() -> None:
    scheduler, model = Scheduler(), Backend(Limits(batch=8, concurrency=2))
    asked = [
        *(call("p", 2).routed(f"run/{i}") for i in range(3)),  # one call, whatever way it takes
        call("p", 3),
        call("q", 2),
    ]
    answers = await asyncio.gather(*(scheduler.generate(model, c, c.route) for c in asked))
    assert answers == [generation(c) for c in asked]
    assert model.batches == [["p", "p", "q"]]
    statistics = scheduler.statistics["backend"]
    assert (statistics.joined, statistics.calls) == (2, 3)
    assert (statistics.prompt_tokens, statistics.completion_tokens) == (3, 7)  # what the model did
    assert sum(a.completion_tokens for a in answers) == 11  # what each pays, as if it were alone
    await scheduler.generate(model, asked[0])  # not in flight any more: made anew
    assert len(model.batches) == 2


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
    with pytest.raises(ModelError, match="2 scores where 1 were wanted"):
        await Scheduler().score(ScriptedScorer(lambda _: [0.1, 0.2]), Trace("q\n", ("a",)))


async def test_closing_answers_a_call_whose_batch_was_about_to_begin() -> None:
    scheduler, model = Scheduler(), Backend(Limits(batch=1))
    task = asyncio.create_task(scheduler.generate(model, call("p")))
    while not (scheduler.statistics and scheduler.statistics["backend"].in_flight):
        await asyncio.sleep(0)
    assert model.batches == []
    await scheduler.aclose()
    with pytest.raises(ModelError, match="cancelled"):
        await asyncio.wait_for(task, 10)


async def test_scores_that_cannot_be_read_are_an_error_and_nobody_waits_for_ever() -> None:
    class Broken(ScriptedScorer):
        async def score(self, traces: Sequence[Trace]) -> Any:
            return [None for _ in traces]

    with pytest.raises(ModelError, match="cannot be read"):
        await Scheduler().score(Broken(lambda _: [0.5]), Trace("q\n", ("a",)))


async def test_there_is_room_while_the_queue_is_short() -> None:
    scheduler, model = Scheduler(), Backend(Limits(batch=2, concurrency=2))
    await scheduler.room()
    gate = asyncio.Event()

    async def before() -> None:
        await gate.wait()

    model.before = before
    most = 4 + 4 * LONG_QUEUE  # in flight, and waiting
    tasks = [asyncio.create_task(scheduler.generate(model, call(f"p{i}"))) for i in range(most)]
    await settle()
    await asyncio.wait_for(scheduler.room(), 10)
    tasks.append(asyncio.create_task(scheduler.generate(model, call("one more"))))
    await settle()
    waiting = [asyncio.create_task(scheduler.room()) for _ in range(2)]
    await settle()
    assert not any(waiter.done() for waiter in waiting)
    tasks[-1].cancel()  # a search that ends makes room, also before a model that hangs
    await asyncio.wait_for(asyncio.gather(*waiting), 10)
    gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def settle() -> None:
    """Let the loop turn until a lane has started what fits."""
    for _ in range(50):
        await asyncio.sleep(0)


def test_a_loop_has_one_scheduler() -> None:
    async def twice() -> list[Scheduler]:
        return [current_scheduler(), current_scheduler()]

    first, again = asyncio.run(twice())
    assert first is again
    assert asyncio.run(twice())[0] is not first


async def test_lanes_of_models_gone_by_are_closed_and_their_statistics_stay() -> None:
    scheduler, gone = Scheduler(), list[weakref.ref[Backend]]()
    for i in range(200):
        model = Backend(Limits())
        gone.append(weakref.ref(model))
        await scheduler.generate(model, call(f"p{i}"))
    gc.collect()
    assert gone[0]() is None
    assert scheduler.statistics["backend"].calls == 200


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
