"""One or several real servers behind a model: who is asked, what happens when one is gone, and that cancelling reaches the server."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from http_server import Exchange, HttpServer, completion, good, replies

from thoughtgraph.agents.models.base import Generation, GenerationCall, Message, Sampling
from thoughtgraph.agents.models.registry import load_model
from thoughtgraph.agents.models.remote.openai import OpenAIModel
from thoughtgraph.graph.errors import ModelError, ModelUnavailableError, UserError

Start = Callable[..., Awaitable[HttpServer]]
Connect = Callable[..., OpenAIModel]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    opened: list[OpenAIModel] = []

    def make(*servers: HttpServer | str, **options: Any) -> OpenAIModel:
        urls = [server if isinstance(server, str) else server.url for server in servers]
        defaults: dict[str, Any] = {"base_url": urls, "wait": 0.001}
        opened.append(OpenAIModel("m", **defaults | options))
        return opened[-1]

    yield make
    for model in opened:
        await model.aclose()


def call(text: str = "hello", route: str = "") -> GenerationCall:
    return GenerationCall((Message("user", text),), Sampling(9), route=route)


async def asked_for(model: OpenAIModel, servers: list[HttpServer], route: str) -> int:
    """Return which of the servers a call of this route goes to."""
    before = [len(server.asked) for server in servers]
    [result] = await model.generate([call(route=route)])
    assert isinstance(result, Generation), result
    [chosen] = [i for i, server in enumerate(servers) if len(server.asked) > before[i]]
    return chosen


async def test_calls_of_one_route_go_to_one_server(http_server: Start, connect: Connect) -> None:
    servers = [await http_server() for _ in range(3)]
    model = connect(*servers)
    routes = [f"run/{i}" for i in range(30)]
    first = [await asked_for(model, servers, route) for route in routes]
    assert {0, 1, 2} == set(first)
    other = connect(*reversed(servers))  # another process, which has them in another order
    assert [await asked_for(other, servers, route) for route in routes] == first


async def test_when_a_server_dies_only_its_routes_move(http_server: Start, connect: Connect) -> None:
    servers = [await http_server() for _ in range(3)]
    model = connect(*servers)
    routes = [f"run/{i}" for i in range(30)]
    before = [await asked_for(model, servers, route) for route in routes]
    await servers[1].stop()
    after = [await asked_for(model, servers, route) for route in routes]
    assert 1 not in after
    assert all(new == old for old, new in zip(before, after, strict=True) if old != 1)


async def test_calls_without_a_route_go_to_the_least_busy_server(
    http_server: Start, connect: Connect
) -> None:
    servers = [await http_server() for _ in range(3)]
    await connect(*servers).generate([call(str(i)) for i in range(30)])
    assert [len(server.asked) for server in servers] == [10, 10, 10]


async def test_a_server_that_is_much_busier_is_passed_over(http_server: Start, connect: Connect) -> None:
    arrived, everybody = 0, asyncio.Event()

    async def together(exchange: Exchange) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == 40:
            everybody.set()
        await everybody.wait()
        await good(exchange)

    servers = [await http_server(together) for _ in range(2)]
    await connect(*servers).generate([call(str(i), route="run/1") for i in range(40)])
    assert all(len(server.asked) >= 10 for server in servers)


async def test_a_server_that_asks_to_wait_is_left_alone_and_the_other_goes_on(
    http_server: Start, connect: Connect
) -> None:
    servers = [await http_server(replies(b"", 429, retry_after="3600")), await http_server()]
    model = connect(*servers)
    for _ in range(3):
        results = await model.generate([call(str(i), route=f"run/{i}") for i in range(20)])
        assert all(isinstance(result, Generation) for result in results)
    assert 1 <= len(servers[0].asked) <= 20  # of the first round only
    assert model.statistics[0].rate_limited == len(servers[0].asked)


async def test_a_server_that_hangs_is_given_up_for_the_other(http_server: Start, connect: Connect) -> None:
    async def hang(exchange: Exchange) -> None:
        await exchange.left.wait()

    servers = [await http_server(hang), await http_server()]
    model = connect(*servers, timeout=1.0)
    results = await model.generate([call(str(i), route=f"run/{i}") for i in range(20)])
    assert all(isinstance(result, Generation) for result in results)
    hung = len(servers[0].asked)
    assert hung >= 1
    await model.generate([call(str(i), route=f"run/{i}") for i in range(20)])
    assert len(servers[0].asked) == hung  # it is set aside


async def test_servers_that_cannot_be_reached_stop_the_run(connect: Connect) -> None:
    model = connect("http://127.0.0.1:9/v1", "http://127.0.0.1:10/v1")
    with pytest.raises(
        ModelUnavailableError, match=r"http://127\.0\.0\.1:\d+/v1 cannot be reached .*start the server"
    ):
        await model.generate([call()])


async def test_a_wrong_model_name_lists_what_is_served(http_server: Start, connect: Connect) -> None:
    async def other(exchange: Exchange) -> None:
        if exchange.path == "/v1/models":
            await exchange.reply(b'{"data": [{"id": "Llama-4"}, {"id": "mm"}, {"id": "Qwen/Qwen3-8B"}]}')
        else:
            await exchange.reply(b'{"error": {"message": "The model `m` does not exist."}}', 404)

    with pytest.raises(ModelUnavailableError, match=r"has no model 'm', but mm, "):
        await connect(await http_server(other)).generate([call()])


async def test_a_model_that_was_not_asked_for_stops_the_run(http_server: Start, connect: Connect) -> None:
    server = await http_server(replies(completion(model="other-2b")))
    with pytest.raises(ModelUnavailableError, match=r"asked for 'm' and answered as 'other-2b'.*served_as"):
        await connect(server).generate([call()])
    assert len(server.asked) == 1
    [result] = await connect(server, served_as="other-2b").generate([call()])
    assert isinstance(result, Generation)


async def test_cancelling_a_call_hangs_up(http_server: Start, connect: Connect) -> None:
    arrived = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        arrived.set()
        await exchange.left.wait()

    server = await http_server(slow)
    model = connect(server)
    running = asyncio.ensure_future(model.generate([call()]))
    await arrived.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(server.asked[0].left.wait(), 5)
    assert model.statistics[0].in_flight == 0


async def test_closing_cancels_what_is_in_flight_and_what_waits(http_server: Start, connect: Connect) -> None:
    arrived = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        arrived.set()
        await exchange.left.wait()

    server = await http_server(slow)
    model = connect(server, max_concurrency=1)
    running = asyncio.ensure_future(model.generate([call("a"), call("b")]))
    await arrived.wait()
    await model.aclose()
    results = await running
    assert ["was closed before it answered" in str(result) for result in results] == [True, True]
    assert all(type(result) is ModelError for result in results)
    await asyncio.wait_for(server.asked[0].left.wait(), 5)
    assert len(server.asked) == 1


async def test_the_record_of_a_server(http_server: Start, connect: Connect) -> None:
    usage = {"prompt_tokens": 70, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 64}}
    server = await http_server(replies(completion(usage=usage)))
    model = connect(server, max_concurrency=6)
    assert model.statistics == ()
    assert model.limits.concurrency == 6
    results = await model.generate([call(str(i)) for i in range(3)])
    [statistics] = model.statistics
    assert (statistics.url, statistics.requests, statistics.retries) == (server.url, 3, 0)
    assert (statistics.prompt_tokens, statistics.cached_tokens, statistics.completion_tokens) == (
        210,
        192,
        15,
    )
    assert [r.cached_prompt_tokens for r in results if isinstance(r, Generation)] == [64, 64, 64]


async def test_a_spec_may_name_several_servers(http_server: Start) -> None:
    servers = [await http_server() for _ in range(2)]
    model = load_model(f"openai:m?base_url={servers[0].url}&base_url={servers[1].url}")
    assert isinstance(model, OpenAIModel)
    await model.generate([call(str(i)) for i in range(10)])
    assert [len(server.asked) for server in servers] == [5, 5]
    await model.aclose()


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://h/v1", "http://", "http://h:x/v1", "http://h/v1?a=b"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="write one such as http://localhost:8000/v1"):
        OpenAIModel("m", base_url=url)


def test_an_address_with_a_login_is_refused_without_telling_it() -> None:
    with pytest.raises(UserError, match="the base_url of host has a login in it") as caught:
        OpenAIModel("m", base_url="http://user:canary@host/v1")
    assert "canary" not in str(caught.value)


async def metric(vllm_url: str, *names: str) -> float:
    """Return the sum of a vLLM server's counters whose lines begin with one of the names."""
    url = vllm_url.removesuffix("/v1") + "/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        lines = [line for line in (await reply.text()).splitlines() if line.startswith(names)]
    assert lines
    return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.mark.vllm
@pytest.mark.parametrize("how", ["cancel", "aclose"])
async def test_vllm_stops_what_is_cancelled(vllm_policy_url: str, how: str) -> None:
    working = ("vllm:num_requests_running", "vllm:num_requests_waiting{")
    model = OpenAIModel("numbers", base_url=vllm_policy_url, completions=True)
    calls = [GenerationCall(f"{i} 5 6 10\n", Sampling(240, stop=("never",)), n=8) for i in range(1, 13)]
    running = asyncio.ensure_future(model.generate(calls))
    while not await metric(vllm_policy_url, *working):
        assert not running.done()
    if how == "cancel":
        running.cancel()
    else:
        await model.aclose()
    written = await metric(vllm_policy_url, "vllm:generation_tokens_total")
    await asyncio.gather(running, return_exceptions=True)
    cancelled = time.perf_counter()
    while await metric(vllm_policy_url, *working):
        await asyncio.sleep(0.02)
    seconds = time.perf_counter() - cancelled
    written = await metric(vllm_policy_url, "vllm:generation_tokens_total") - written
    print(f"idle {seconds:.2f} s after {how}, {written:.0f} tokens written meanwhile")
    assert written < 12 * 8 * 240 / 4  # a few steps of all at most: not the rest of the answers
    await model.aclose()


async def test_whether_a_server_is_there_is_found_out_without_a_request(
    http_server: Start, connect: Connect
) -> None:
    there, gone = await http_server(), await http_server()
    await gone.stop()
    await connect(gone, there).reach()
    assert there.asked == []
    with pytest.raises(ModelUnavailableError, match=r"cannot be reached .*, tried once; start the server"):
        await connect(gone).reach()
