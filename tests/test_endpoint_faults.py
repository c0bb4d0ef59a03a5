"""Every way in which an endpoint goes wrong, by itself: what becomes of it, how often it is tried, and what is left of it.

All of them together, over whole runs: `test_endpoint_storm.py`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

import pytest

from thoughtgraph.agents.models.base import Generation, GenerationCall, Message, Sampling
from thoughtgraph.agents.models.remote.openai import OpenAIModel
from thoughtgraph.agents.models.text import prompt_token_bound
from thoughtgraph.graph.errors import ModelError, ModelUnavailableError

from .fault_replies import Asked, Exchange, Fault, Plan, Said, truth, well
from .fault_server import FaultServer
from .faults import BOMB_BYTES, FAULTS, FORGED, LARGE_BYTES, always, nth, rejecting, times

MALFORMED = [
    "bad UTF-8",
    "HTML with 200",
    "an empty body",
    "truncated JSON",
    "a list",
    "choices empty",
    "choices null",
    "choices missing",
    "content a list",
    "finish missing",
    "lone surrogate",
    "NUL",
]
BROKEN = ["short body", "reset", "reset in the body", "not HTTP", "bad gzip"]
FAILING = ["500", "503", "an error with 200"]
BUSY = ["429", "429 for seconds", "429 until a date past"]
ASKED_AGAIN = dict.fromkeys([*MALFORMED, *BROKEN, *FAILING], 5) | dict.fromkeys(BUSY, 10)
"""What may go well the next time, and how often it is tried."""
STOPS_THE_RUN = ["401", "402", "403", "404 model", "429 quota", "501", "quota with 200", "model swapped"]
"""Cannot go well for any call: tried once."""
UNTRUE_LOGPROBS = ["logprob NaN", "logprob inf", "logprob -inf", "logprob missing"]
UNTRUE_USAGE = ["usage missing", "usage zero", "usage negative", "usage huge", "usage text", "usage a list"]
LONG = ["hang", "slow drip"]
LARGE = ["gzip bomb", "100 MB", "100 MB in chunks"]
OWN_TEST = [
    "400 context",
    "content null",
    "content empty",
    "content filter",
    "cut by length",
    "fewer choices",
    "more choices",
]


def test_every_fault_of_the_list_is_tried_below() -> None:
    tried = [*ASKED_AGAIN, *STOPS_THE_RUN, *UNTRUE_LOGPROBS, *UNTRUE_USAGE, *LONG, *LARGE, *OWN_TEST]
    assert sorted(tried) == sorted(FAULTS)


@asynccontextmanager
async def endpoint(plan: Plan, **options: Any) -> AsyncGenerator[tuple[FaultServer, OpenAIModel]]:
    """A server with this plan, and a model that asks it."""
    settings: dict[str, Any] = {"wait": 0.001, "timeout": 20.0}
    with FaultServer(plan) as server:
        model = OpenAIModel("m", base_url=server.url, **settings | options)
        try:
            yield server, model
        finally:
            await model.aclose()


USER = (Message("user", "hello"),)


def call(n: int = 1, prompt: Any = USER, **sampling: Any) -> GenerationCall:
    parameters: dict[str, Any] = {"max_tokens": 50}
    return GenerationCall(prompt, Sampling(**parameters | sampling), n=n, seed=4)


async def answer(model: OpenAIModel, asked: GenerationCall) -> Generation:
    [result] = await model.generate([asked])
    assert isinstance(result, Generation), result
    return result


async def failure(model: OpenAIModel, asked: GenerationCall) -> str:
    """Return why a call failed for good, alone."""
    [result] = await model.generate([asked])
    assert type(result) is ModelError, result
    assert "\n" not in str(result)
    return str(result)


def said(asked: Asked) -> list[Said]:
    """Return the true samples of a request."""
    body = asked.body
    prompt = body.get("messages") or body["prompt"]
    stop = tuple(body.get("stop", ()))
    return [truth(prompt, body["seed"], i, stop, body["max_tokens"]) for i in range(body["n"])]


def assert_true(result: Generation, asked: Asked, *, logprobs: bool = True) -> None:
    """Assert that a result is what the server truly says, token by token."""
    for sample, true in zip(result.samples, said(asked), strict=True):
        assert sample.text == true.text
        assert sample.token_ids == true.ids
        assert sample.logprobs == (true.logprobs if logprobs else None)
        assert sample.pieces == true.pieces
        assert sample.tokens == len(true.ids)


@pytest.mark.parametrize("completions", [False, True], ids=["chat", "text"])
async def test_what_the_server_says_when_it_is_well(completions: bool) -> None:
    async with endpoint(well, completions=completions) as (server, model):
        prompt: Any = "hello" if completions else USER
        assert_true(await answer(model, call(3, prompt)), server.asked[0])
        stopped = await answer(model, call(3, prompt, stop=("\n",)))
        assert_true(stopped, server.asked[1])
        assert all("\n" not in sample.text for sample in stopped.samples)
        short = await answer(model, call(1, prompt, max_tokens=1))
        assert short.samples[0].finish == "length"
        assert server.tries == [1, 1, 1]


@pytest.mark.parametrize("fault", ASKED_AGAIN)
async def test_a_fault_that_lasts_fails_its_call_after_so_many_tries(fault: str) -> None:
    tries = ASKED_AGAIN[fault]
    async with endpoint(always(fault)) as (server, model):
        assert f" failed {tries} times, at last with: " in await failure(model, call(2))
        assert server.tries == [tries]
        assert all(asked.body == server.asked[0].body for asked in server.asked)


@pytest.mark.parametrize("completions", [False, True], ids=["chat", "text"])
@pytest.mark.parametrize("fault", ASKED_AGAIN)
async def test_a_fault_that_passes_leaves_nothing_behind(fault: str, completions: bool) -> None:
    if completions and fault == "content a list":
        pytest.skip("a text completion's text has no such form")
    async with endpoint(times(fault, 2), completions=completions) as (server, model):
        result = await answer(model, call(2, "hello" if completions else USER))
        assert server.tries == [3]
        assert_true(result, server.asked[-1])


@pytest.mark.parametrize("flaps", [1, 4])
async def test_a_server_that_flaps_is_waited_for(flaps: int) -> None:
    async with endpoint(times("503", flaps)) as (server, model):
        results = await model.generate([call(prompt=(Message("user", f"question {i}"),)) for i in range(8)])
        assert all(isinstance(result, Generation) for result in results)
        assert server.tries == [flaps + 1] * 8


@pytest.mark.parametrize("fault", STOPS_THE_RUN)
async def test_what_cannot_go_well_is_tried_once_and_said_in_a_line(fault: str) -> None:
    async with endpoint(always(fault)) as (server, model):
        with pytest.raises(ModelUnavailableError, match="openai:m") as raised:
            await model.generate([call()])
        assert "\n" not in str(raised.value)
        assert server.tries == [1]


@pytest.mark.parametrize("fault", LONG)
async def test_what_takes_too_long_is_cut_off_however_it_drags(fault: str) -> None:
    async with endpoint(always(fault), timeout=0.3) as (server, model):
        began = time.monotonic()
        assert " failed 3 times, at last with: " in await failure(model, call())
        assert time.monotonic() - began < 10  # a drip alone would take a minute
        assert server.tries == [3]
        assert await server.until(lambda: not server.in_flight, 5)
        assert {asked.ended for asked in server.asked} == {"disconnected"}


@pytest.mark.parametrize("fault", LARGE)
async def test_a_body_beyond_all_measure_is_never_held_in_memory(fault: str) -> None:
    async with endpoint(always(fault)) as (server, model):
        tracemalloc.start()
        try:
            assert " failed 2 times, at last with: " in await failure(model, call())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < min(LARGE_BYTES, BOMB_BYTES) // 4
        assert server.tries == [2]


@pytest.mark.parametrize("fault", UNTRUE_LOGPROBS)
@pytest.mark.parametrize("completions", [False, True], ids=["chat", "text"])
async def test_a_log_probability_that_is_none_is_left_out(fault: str, completions: bool) -> None:
    async with endpoint(always(fault), completions=completions) as (server, model):
        result = await answer(model, call(2, "hello" if completions else USER))
        assert_true(result, server.asked[0], logprobs=False)
        assert server.tries == [1]


@pytest.mark.parametrize("fault", UNTRUE_USAGE)
async def test_usage_that_cannot_be_is_counted_by_ourselves(fault: str) -> None:
    async with endpoint(always(fault)) as (server, model):
        result = await answer(model, call(2))
        assert_true(result, server.asked[0])
        assert 0 < result.prompt_tokens <= prompt_token_bound(USER)
        assert server.tries == [1]


@pytest.mark.parametrize("fault", ["content null", "content empty"])
async def test_an_empty_answer_has_no_text(fault: str) -> None:
    async with endpoint(always(fault)) as (server, model):
        result = await answer(model, call(2))
        assert [sample.text for sample in result.samples] == ["", ""]
        assert server.tries == [1]


@pytest.mark.parametrize(
    ("fault", "finish"), [("content filter", "filter"), ("cut by length", "length")], ids=["filter", "length"]
)
async def test_an_answer_that_was_withheld_or_cut_says_so(fault: str, finish: str) -> None:
    async with endpoint(always(fault)) as (server, model):
        result = await answer(model, call(2))
        assert [sample.finish for sample in result.samples] == [finish, finish]
        assert server.tries == [1]


async def test_a_server_is_not_taken_to_know_no_n_for_one_reply() -> None:
    async with endpoint(nth("fewer choices", 1)) as (server, model):
        for _ in range(3):
            await answer(model, call(3))
        assert [asked.body["n"] for asked in server.asked] == [3, 1, 1, 3, 3]
    async with endpoint(always("fewer choices")) as (server, model):
        for _ in range(5):
            await answer(model, call(3))
        assert [asked.body["n"] for asked in server.asked].count(3) == 3  # then it is clear


async def test_samples_that_are_missing_are_asked_for_and_those_too_many_dropped() -> None:
    async with endpoint(times("fewer choices", 1)) as (server, model):
        result = await answer(model, call(3))
        assert [asked.body["n"] for asked in server.asked] == [3, 1, 1]
        assert len({asked.body["seed"] for asked in server.asked}) == 3
        firsts = [said(asked)[0] for asked in server.asked]
        assert [sample.text for sample in result.samples] == [true.text for true in firsts]
        assert [sample.token_ids for sample in result.samples] == [true.ids for true in firsts]
    async with endpoint(always("more choices")) as (server, model):
        result = await answer(model, call(2))
        assert server.tries == [1]
        assert [sample.text for sample in result.samples] == [true.text for true in said(server.asked[0])]


async def test_a_prompt_that_is_too_long_fails_its_call_alone_and_once() -> None:
    async with endpoint(always("400 context")) as (server, model):
        assert "maximum context length" in await failure(model, call())
        assert server.tries == [1]


def crowded(context: int) -> Plan:
    """Refuse what does not fit in a context, as vLLM does; a token has four letters, or is a digit."""

    def plan(asked: Asked) -> tuple[str, Fault] | None:
        [turn], wanted = asked.body["messages"], asked.body["max_tokens"]
        prompt = 10 + len(turn["content"]) // 4 + sum(letter.isdigit() for letter in turn["content"])
        if prompt + wanted <= context:
            return None

        async def fault(exchange: Exchange) -> None:
            message = (
                f"This model's maximum context length is {context} tokens. However, you requested {prompt + wanted} tokens "
                f"({prompt} in the messages, {wanted} in the completion)."
            )
            await exchange.send({"error": {"message": message, "code": "context_length_exceeded"}}, 400)

        return "400 crowded", fault

    return plan


async def test_a_context_that_a_server_told_once_is_kept_to() -> None:
    def asked_for(server: FaultServer) -> list[tuple[int, str]]:
        return [(asked.body["max_tokens"], asked.fault) for asked in server.asked]

    async with endpoint(crowded(200)) as (server, model):
        await answer(model, call(max_tokens=150))  # fits, and is not touched: nothing was learned
        await answer(model, call(max_tokens=500))
        first, refused, cut = asked_for(server)
        assert (first, refused) == ((150, ""), (500, "400 crowded"))
        assert 150 < cut[0] < 200
        assert cut[1] == ""
        for words in ("goodbye", "a longer word, or two, in a sentence"):
            await answer(model, call(prompt=(Message("user", words),), max_tokens=500))
        *_, short, long = asked_for(server)
        assert (short[1], long[1]) == ("", "")
        assert 150 < long[0] < short[0] < 200
        await answer(model, call(max_tokens=189))  # fits, and is not touched either
        assert asked_for(server)[-1] == (189, "")

        dense = (Message("user", "1 2 " * 20),)  # more tokens a letter than any before
        await answer(model, call(prompt=dense, max_tokens=500))
        assert [fault for _, fault in asked_for(server)[-2:]] == ["400 crowded", ""]
        before = len(server.asked)
        await answer(model, call(prompt=dense, max_tokens=400))
        assert len(server.asked) == before + 1


@pytest.mark.parametrize("parameter", ["logprobs", "return_token_ids", "seed"])
async def test_a_parameter_that_is_refused_is_left_out_from_then_on(
    parameter: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with endpoint(rejecting(parameter)) as (server, model):
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                await answer(model, call(2))
        assert [parameter in asked.body for asked in server.asked] == [True, False, False, False]
        assert len(caplog.records) == 1


def told_to_wait(header: str) -> Fault:
    """Return a fault that asks for patience in a header."""

    async def fault(exchange: Exchange) -> None:
        await exchange.send({"error": {"message": "slow down"}}, 429, headers={"retry-after": header})

    return fault


async def test_nothing_is_sent_before_the_time_that_the_server_named() -> None:
    for seconds in (0.4, 0.0):
        until = int(time.time()) + 2.0
        header = str(seconds) if seconds else formatdate(until, usegmt=True)
        fault = told_to_wait(header)

        def plan(asked: Asked, fault: Fault = fault) -> tuple[str, Fault] | None:
            return ("429", fault) if asked.number == 1 else None

        async with endpoint(plan) as (server, model):
            await answer(model, call())
            first, second = server.asked
            waited = second.began_at - first.ended_at
            if seconds:
                assert waited >= seconds
            else:
                assert time.time() - (time.monotonic() - second.began_at) >= until


async def test_a_wait_beyond_reason_stops_the_run() -> None:
    for header in ("3600", formatdate(time.time() + 3600, usegmt=True)):
        fault = told_to_wait(header)

        def plan(_: Asked, fault: Fault = fault) -> tuple[str, Fault]:
            return "429", fault

        async with endpoint(plan) as (server, model):
            with pytest.raises(ModelUnavailableError, match="asks to wait 3"):
                await model.generate([call()])
            assert server.tries == [1]


@pytest.mark.parametrize("leave", ["cancel", "close"])
async def test_who_no_longer_waits_is_no_longer_served(leave: str) -> None:
    async with endpoint(always("hang")) as (server, model):
        calls = [call(prompt=(Message("user", f"question {i}"),)) for i in range(5)]
        waiting = asyncio.ensure_future(model.generate(calls))
        assert await server.until(lambda: len(server.in_flight) == 5)
        if leave == "cancel":
            waiting.cancel()
        else:
            await model.aclose()
        assert await server.until(lambda: not server.in_flight, 1.0)
        assert {asked.ended for asked in server.asked} == {"disconnected"}
        assert server.tries == [1] * 5
        await asyncio.gather(waiting, return_exceptions=True)


async def test_no_faulty_reply_is_part_of_a_result() -> None:
    """The forged texts of all faults that send one, against the list of what is kept of them."""
    kept: list[str] = []
    for name in FAULTS.keys() - {*STOPS_THE_RUN, *LONG, *LARGE}:
        async with endpoint(always(name), tries=1) as (_, model):
            [result] = await model.generate([call(2)])
            samples = result.samples if isinstance(result, Generation) else ()
            if FORGED in json.dumps([sample.text for sample in samples if sample.finish != "filter"]):
                kept.append(name)
    assert kept == []
