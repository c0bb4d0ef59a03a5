"""What a live display is told of the models."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from thoughtgraph.agents.models.base import Generation, GenerationCall, Limits, Price, Sample, Sampling, Trace
from thoughtgraph.agents.models.load import WINDOW_SECONDS, Load, LoadMeter, ModelStatistics
from thoughtgraph.agents.models.scheduler import Scheduler
from thoughtgraph.agents.models.scripted import ScriptedScorer
from thoughtgraph.cli.progress import load_line
from thoughtgraph.graph.errors import ModelError


def test_rates_are_of_the_last_seconds() -> None:
    now, statistics = 0.0, ModelStatistics()
    meter = LoadMeter("m", statistics, clock=lambda: now)
    assert meter.read().tokens_per_second == 0.0
    now, statistics.completion_tokens = 2.0, 200
    statistics.prompt_tokens, statistics.cached_prompt_tokens = 1000, 900
    assert meter.read() == Load("m", 100.0, 0, 0, 1000, 900)
    now = 4.0
    assert meter.read().tokens_per_second == 50.0
    now = 4.0 + 2 * WINDOW_SECONDS
    assert meter.read() == Load("m", 0.0, 0, 0, 0, 0)


class Gated:
    """A language model that answers once its gate is open, and says what it had in its cache."""

    name = "gated"
    chat = False
    price = Price()
    limits = Limits(concurrency=2)

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        """Answer with 5 tokens each."""
        await self.gate.wait()
        return [Generation((Sample("x", "end", 5),), 20, cached_prompt_tokens=15) for _ in calls]


async def test_the_scheduler_tells_what_is_in_flight_queued_and_cached() -> None:
    scheduler, model = Scheduler(), Gated()
    assert scheduler.load() == []
    calls = [GenerationCall(f"p{i}", Sampling(8)) for i in range(5)]
    tasks = [asyncio.create_task(scheduler.generate(model, call)) for call in calls]
    for _ in range(10):
        await asyncio.sleep(0)
    [load] = scheduler.load()
    assert (load.model, load.in_flight, load.queued) == ("gated", 2, 3)
    model.gate.set()
    await asyncio.gather(*tasks)
    await scheduler.score(ScriptedScorer(lambda _: [0.5]), Trace("q\n", ("a",)))
    generated, scored = scheduler.load()
    assert (generated.in_flight, generated.queued) == (0, 0)
    assert generated.tokens_per_second > 0.0
    assert (generated.prompt_tokens, generated.cached_prompt_tokens) == (100, 75)
    assert (scored.model, scored.tokens_per_second) == ("scripted-scorer", 0.0)


def test_how_much_was_cached_is_no_part_of_an_answer() -> None:
    sample = Sample("x", "end", 1)
    assert Generation((sample,), 20, cached_prompt_tokens=16) == Generation((sample,), 20)


def test_one_line_says_what_all_models_are_at() -> None:
    policy = Load("policy", 1234.4, 24, 1100, 1000, 870)
    scorer = Load("scorer", 0.0, 8, 3, 0, 0)
    assert load_line([]) == ""
    assert load_line([scorer]) == "0 tokens/s, 8 in flight, 3 queued"
    assert load_line([policy, scorer]) == "1,234 tokens/s, 32 in flight, 1,103 queued, 87% of prompts cached"
