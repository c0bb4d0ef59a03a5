"""What the scheduler itself costs: a model that answers at once, asked by many searches at the same time.

    python benchmarks/scheduling.py

Reported is processor time in microseconds a call through `Scheduler.generate`, the asking task included, for a served model (one call an invocation) and for
one in this process (batches); the median of some rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Sequence

from thoughtgraph.agents.models.base import Generation, GenerationCall, Limits, Price, Sample, Sampling
from thoughtgraph.agents.models.scheduler import Scheduler
from thoughtgraph.graph.errors import ModelError


class Instant:
    """A language model that answers at once, after one turn of the event loop."""

    name = "instant"
    chat = False
    price = Price()
    answer = Generation((Sample("x", "end", 1),), prompt_tokens=1)

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        """Answer every call with the same."""
        await asyncio.sleep(0)
        return [self.answer] * len(calls)


async def cost(limits: Limits, problems: int, wave: int, rounds: int) -> float:
    """Return processor microseconds a call: `problems` searches with `wave` requests in flight each, of `rounds` calls each."""
    scheduler, model, sampling = Scheduler(), Instant(limits), Sampling(16)

    async def request(problem: int, place: int) -> None:
        for turn in range(rounds):
            call = GenerationCall(f"problem {problem}, request {place}, step {turn}\n", sampling)
            await scheduler.generate(model, call, group=problem)

    started = time.process_time()
    await asyncio.gather(*(request(p, w) for p in range(problems) for w in range(wave)))
    return (time.process_time() - started) / (problems * wave * rounds) * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=32)
    parser.add_argument("--wave", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=40, help="calls in a row a request")
    parser.add_argument("--repeat", type=int, default=7)
    args = parser.parse_args()
    kinds = {"served, 32 slots": Limits(1, 32), "in process, batches of 64": Limits(64, 1)}
    figures = {
        kind: round(
            statistics.median(
                asyncio.run(cost(limits, args.problems, args.wave, args.rounds)) for _ in range(args.repeat)
            ),
            1,
        )
        for kind, limits in kinds.items()
    }
    print(json.dumps({"microseconds a call": figures, **vars(args)}, indent=2))


if __name__ == "__main__":
    main()
