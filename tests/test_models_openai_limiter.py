"""How many requests a server gets at a time: in virtual time against a simulated server, and by counting at a real one."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from http_server import Exchange, HttpServer, completion
from virtual_time import run_virtually

from thoughtgraph.agents.models.base import Generation, GenerationCall, Message, Sampling
from thoughtgraph.agents.models.remote.limiter import START, Limiter
from thoughtgraph.agents.models.remote.openai import OpenAIModel


class SimulatedServer:
    """Takes `capacity` requests at a time, each for about a second, and rejects the others at once."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.running = 0
        self.rejected = 0
        self.busy_s = 0.0
        self.random = random.Random(1)

    async def answers(self) -> bool:
        await asyncio.sleep(0.05)  # the way there and back
        if self.running >= self.capacity:
            self.rejected += 1
            return False
        self.running += 1
        took = self.random.uniform(0.5, 1.5)
        await asyncio.sleep(took)
        self.busy_s += took
        self.running -= 1
        return True


async def keep_asking(limiter: Limiter, server: SimulatedServer, until: float) -> None:
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        ticket = await limiter.enter()
        assert ticket is not None
        if await server.answers():
            limiter.succeeded(ticket)
            limiter.leave()
        else:
            limiter.rejected(ticket)
            limiter.leave()
            await asyncio.sleep(0.5)


async def utilisation(capacity: int, most: int, workers: int, seconds: float) -> tuple[float, float]:
    """Return the share of the server's time that was used after a minute, and the share of requests rejected."""
    server, limiter = SimulatedServer(capacity), Limiter(most)
    loop = asyncio.get_running_loop()
    tasks = [asyncio.ensure_future(keep_asking(limiter, server, seconds)) for _ in range(workers)]
    await asyncio.sleep(60)
    busy, start, rejected = server.busy_s, loop.time(), server.rejected
    await asyncio.gather(*tasks)
    elapsed = loop.time() - start
    answered = server.busy_s - busy
    return answered / (capacity * elapsed), (server.rejected - rejected) / max(1.0, answered)


@pytest.mark.parametrize("capacity", [4, 8, 20, 64])
def test_it_stays_near_the_servers_true_limit(capacity: int) -> None:
    used, rejected = run_virtually(utilisation(capacity, most=256, workers=100, seconds=200))
    assert used >= 0.85
    assert rejected <= 0.05


def test_a_server_without_a_limit_gets_as_many_as_allowed() -> None:
    used, rejected = run_virtually(utilisation(128, most=128, workers=256, seconds=120))
    assert used >= 0.9  # two thirds of a round trip in ten are the way there and back
    assert rejected == 0


def test_it_recovers_when_the_server_takes_more() -> None:
    async def scenario() -> tuple[int, float]:
        server, limiter = SimulatedServer(8), Limiter(256)
        tasks = [asyncio.ensure_future(keep_asking(limiter, server, 180)) for _ in range(100)]
        await asyncio.sleep(60)
        before = limiter.limit
        server.capacity = 64
        await asyncio.sleep(60)
        after: list[int] = []
        for _ in range(50):
            after.append(limiter.limit)
            await asyncio.sleep(1)
        await asyncio.gather(*tasks)
        return before, sum(after) / len(after)

    before, after = run_virtually(scenario())
    assert before <= 9
    assert 0.85 * 64 <= after <= 65


async def filled(limiter: Limiter, places: int) -> list[int]:
    tickets = [await limiter.enter() for _ in range(places)]
    assert all(ticket is not None for ticket in tickets)
    return [ticket for ticket in tickets if ticket is not None]


def test_a_round_trip_of_rejections_halves_the_limit_once() -> None:
    async def scenario() -> None:
        limiter = Limiter(64)
        tickets = await filled(limiter, START)
        for ticket in tickets[:20]:
            limiter.rejected(ticket)
            limiter.leave()
        assert limiter.limit == (START - 2) // 2  # at the third
        [late] = await filled(limiter, 1)
        limiter.rejected(late)
        assert limiter.limit == START - 20  # as many as were not rejected

    run_virtually(scenario())


def test_rejections_that_come_alone_starve_nobody() -> None:
    """One request in fifty is rejected, however many there are: halving for each would leave the square root of that."""

    class Sporadic(SimulatedServer):
        async def answers(self) -> bool:
            return self.random.random() >= 0.02 and await super().answers()

    async def scenario() -> float:
        server, limiter = Sporadic(1000), Limiter(64)
        async with asyncio.timeout(900):
            await asyncio.gather(*(keep_asking(limiter, server, 600) for _ in range(64)))
        return server.busy_s / (64 * 600)

    assert run_virtually(scenario()) >= 0.7


def test_the_limit_grows_only_where_it_holds_others_back() -> None:
    async def scenario() -> None:
        limiter = Limiter(1000)
        for _ in range(100):
            [ticket] = await filled(limiter, 1)
            limiter.succeeded(ticket)
            limiter.leave()
        assert limiter.limit == START
        for ticket in await filled(limiter, START):
            limiter.succeeded(ticket)
        assert limiter.limit == START + 1  # the others found free places

    run_virtually(scenario())


def test_nothing_enters_before_the_stated_time() -> None:
    async def scenario() -> list[float]:
        limiter, loop = Limiter(4), asyncio.get_running_loop()
        limiter.close_until(7.0)
        limiter.close_until(3.0)  # an earlier time changes nothing

        async def one() -> float:
            await limiter.enter()
            return loop.time()

        return await asyncio.gather(*(one() for _ in range(4)))

    assert all(7.0 <= time < 7.1 for time in run_virtually(scenario()))


def test_a_request_that_is_cancelled_gives_its_place_back() -> None:
    async def scenario() -> None:
        limiter = Limiter(1)
        await filled(limiter, 1)
        waiting = [asyncio.ensure_future(limiter.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()  # while it waits
        limiter.leave()
        waiting[1].cancel()  # after it was let in, before it knows
        await asyncio.gather(*waiting, return_exceptions=True)
        assert waiting[2].result() is not None
        assert (limiter.in_flight, limiter.waiting) == (1, 0)

    run_virtually(scenario())


def test_those_who_wait_can_be_turned_away() -> None:
    async def scenario() -> None:
        limiter = Limiter(1)
        await filled(limiter, 1)
        waiting = [asyncio.ensure_future(limiter.enter()) for _ in range(2)]
        await asyncio.sleep(0)
        limiter.turn_away()
        assert await asyncio.gather(*waiting) == [None, None]

    run_virtually(scenario())


@pytest.mark.slow
async def test_a_real_server_with_a_limit_is_kept_full(
    http_server: Callable[..., Awaitable[HttpServer]],
) -> None:
    """R14: the client's limit comes to at least 85 % of what the server takes, read whenever the server takes a request."""
    limit, running = 12, 0
    limits: list[int] = []

    async def limited(exchange: Exchange) -> None:
        nonlocal running
        if running >= limit:
            return await exchange.reply(b'{"error": {"message": "slow down"}}', 429, retry_after="0.01")
        running += 1
        limits.append(model.statistics[0].limit)
        await asyncio.sleep(0.02)
        running -= 1
        return await exchange.reply(completion())

    server = await http_server(limited)
    model = OpenAIModel("m", base_url=server.url, wait=0.01, tries=20)
    results = await model.generate([call(i) for i in range(1200)])
    await model.aclose()
    assert all(isinstance(result, Generation) for result in results)
    settled = limits[len(limits) // 3 :]
    assert 0.85 * limit <= sum(settled) / len(settled) <= limit + 1


async def test_no_request_at_all_is_sent_before_the_time_that_one_reply_names(
    http_server: Callable[..., Awaitable[HttpServer]],
) -> None:
    loop, arrived, told = asyncio.get_running_loop(), asyncio.Event(), 0.0
    early: list[float] = []

    async def storm(exchange: Exchange) -> None:
        nonlocal told
        if len(server.asked) <= START:
            if len(server.asked) == START:
                told = loop.time() + 0.3
                arrived.set()
            await arrived.wait()
            return await exchange.reply(b"", 429, retry_after="0.3")
        if loop.time() < told:
            early.append(told - loop.time())
        return await exchange.reply(completion())

    server = await http_server(storm)
    model = OpenAIModel("m", base_url=server.url, wait=0.01)
    results = await model.generate([call(i) for i in range(3 * START)])
    [statistics] = model.statistics
    await model.aclose()
    assert all(isinstance(result, Generation) for result in results)
    assert (statistics.rate_limited, statistics.retries) == (START, START)
    assert not early


def call(number: int) -> GenerationCall:
    return GenerationCall((Message("user", str(number)),), Sampling(9))
