"""Generated tokens per second of the in-process backend, against `transformers.generate` with the same weights, prompts and lengths.

    python benchmarks/decode.py --out benchmarks/results/decode.json

The shipped policy is copied without its end token, so that every sample has the length asked for. All prompts are new to both sides but for
`children`, in which every answer is continued, as a search does: there the backend finds what it read and wrote before. `staggered`: requests of
different lengths arrive one by one; `generate` takes all that have arrived, and the next ones wait for the last of them. Both sides take turns,
and each ratio is the median over the rounds. CPU seconds are those of the process, and say more than the clock on a machine that is shared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from thoughtgraph.agents.models.base import Generation, GenerationCall, Sampling
from thoughtgraph.agents.models.builtin import load_builtin_model
from thoughtgraph.agents.models.inprocess.hf import HFModel

BATCHES = (1, 8, 64)
TOKENS = 48
STEP = 12
"""Tokens of a thought."""


class Asked(NamedTuple):
    """A request."""

    prompt: str
    tokens: int
    temperature: float = 0.7


class Cost(NamedTuple):
    """What one side needed for a case."""

    tokens: int
    wall_s: float
    cpu_s: float
    latency_s: float = 0.0
    """Mean time from a request's arrival to its answer."""


Side = Callable[[], Awaitable[tuple[int, float]]]
"""Does the work of a case; returns the tokens generated and the mean latency in seconds."""


def prompts(count: int, rng: random.Random) -> list[str]:
    """Return beginnings of Game of 24 solutions, about 14 tokens each."""
    drawn = [[rng.randint(1, 13) for _ in range(4)] for _ in range(count)]
    return [f"{a} {b} {c} {d}\n{a} + {b} = {a + b} (left: {a + b} {c} {d})\n" for a, b, c, d in drawn]


def endless(folder: Path) -> HFModel:
    """Return the shipped policy, without an end token."""
    policy = load_builtin_model("numbers")
    policy.module.config.eos_token_id = policy.module.generation_config.eos_token_id = None
    policy.tokenizer.eos_token = None
    policy.module.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    return HFModel(folder, device="cpu", chat=False)


def ours(model: HFModel, asked: Sequence[Asked], seed: int) -> Awaitable[list[Generation]]:
    """Ask for all at once."""

    async def one(i: int, request: Asked) -> Generation:
        sampling = Sampling(request.tokens, temperature=request.temperature)
        [answer] = await model.generate([GenerationCall(request.prompt, sampling, seed=seed + i)])
        assert isinstance(answer, Generation), answer
        return answer

    return asyncio.gather(*(one(i, request) for i, request in enumerate(asked)))


def theirs(model: HFModel, asked: Sequence[Asked]) -> list[str]:
    """Generate a batch, as long as its longest; return the texts, each cut to its length."""
    tokenizer, temperature = model.tokenizer, asked[0].temperature
    batch = tokenizer(
        [request.prompt for request in asked], return_tensors="pt", padding=True, padding_side="left"
    )
    how: dict[str, Any] = (
        {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    )
    out = model.module.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        max_new_tokens=max(request.tokens for request in asked),
        pad_token_id=tokenizer.pad_token_id,
        **how,
    )[:, batch["input_ids"].shape[1] :]
    return [
        tokenizer.decode(ids[: request.tokens], skip_special_tokens=True)
        for ids, request in zip(out, asked, strict=True)
    ]


def at_once(model: HFModel, asked: Sequence[Asked], seed: int) -> tuple[Side, Side]:
    """Return both sides of a batch."""
    tokens = sum(request.tokens for request in asked)

    async def left() -> tuple[int, float]:
        await ours(model, asked, seed)
        return tokens, 0.0

    async def right() -> tuple[int, float]:
        theirs(model, asked)
        return tokens, 0.0

    return left, right


def children(model: HFModel, beginnings: Sequence[str], seed: int) -> tuple[Side, Side]:
    """Return both sides of four thoughts in a row, in each of the chains."""
    tokens = 4 * STEP * len(beginnings)

    async def left() -> tuple[int, float]:
        texts = list(beginnings)
        for _ in range(4):
            answers = await ours(model, [Asked(text, STEP) for text in texts], seed)
            texts = [text + answer.samples[0].text for text, answer in zip(texts, answers, strict=True)]
        return tokens, 0.0

    async def right() -> tuple[int, float]:
        texts = list(beginnings)
        for _ in range(4):
            answers = theirs(model, [Asked(text, STEP) for text in texts])
            texts = [text + answer for text, answer in zip(texts, answers, strict=True)]
        return tokens, 0.0

    return left, right


def staggered(model: HFModel, asked: Sequence[Asked], spacing: float, seed: int) -> tuple[Side, Side]:
    """Return both sides of requests that arrive every `spacing` seconds."""
    tokens = sum(request.tokens for request in asked)

    async def left() -> tuple[int, float]:
        async def one(i: int, request: Asked) -> float:
            due = start + i * spacing
            await asyncio.sleep(due - time.perf_counter())
            await ours(model, [request], seed + i)
            return time.perf_counter() - due

        start = time.perf_counter()
        return tokens, statistics.fmean(
            await asyncio.gather(*(one(i, request) for i, request in enumerate(asked)))
        )

    async def right() -> tuple[int, float]:
        start, done = time.perf_counter(), 0
        latencies: list[float] = []
        while done < len(asked):
            await asyncio.sleep(max(0.0, start + done * spacing - time.perf_counter()))
            arrived = min(len(asked), int((time.perf_counter() - start) / spacing) + 1)
            theirs(model, asked[done:arrived])
            latencies += [time.perf_counter() - start - i * spacing for i in range(done, arrived)]
            done = arrived
        return tokens, statistics.fmean(latencies)

    return left, right


async def timed(side: Side) -> Cost:
    """Do the work and measure it."""
    wall, cpu = time.perf_counter(), time.process_time()
    tokens, latency = await side()
    return Cost(tokens, time.perf_counter() - wall, time.process_time() - cpu, latency)


def compared(pairs: Sequence[tuple[Cost, Cost]]) -> dict[str, Any]:
    """Return medians of both sides, and of the ratios (ours over theirs, more is better)."""

    def median(values: Sequence[float]) -> float:
        return round(statistics.median(values), 3)

    sides = [[pair[i] for pair in pairs] for i in (0, 1)]
    report: dict[str, Any] = {
        name: {
            "tokens_per_s": round(statistics.median(cost.tokens / cost.wall_s for cost in costs), 1),
            "tokens_per_cpu_s": round(statistics.median(cost.tokens / cost.cpu_s for cost in costs), 1),
        }
        for name, costs in zip(("ours", "generate"), sides, strict=True)
    }
    report["ratio"] = median([theirs.wall_s / ours.wall_s for ours, theirs in pairs])
    report["ratio_cpu"] = median([theirs.cpu_s / ours.cpu_s for ours, theirs in pairs])
    if pairs[0][0].latency_s:
        for name, costs in zip(("ours", "generate"), sides, strict=True):
            report[name]["latency_s"] = median([cost.latency_s for cost in costs])
    return report


async def measure(rounds: int, requests: int, spacing: float) -> dict[str, Any]:
    """Return the report."""
    import torch

    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        model = endless(Path(folder))
        assert model.decoding.startswith("calls join"), model.decoding
        pairs: dict[str, list[tuple[Cost, Cost]]] = {}
        for i in range(-1, rounds):  # the first one warms up
            cases: dict[str, tuple[Side, Side]] = {
                f"{kind}, batch {size}": at_once(
                    model, [Asked(prompt, TOKENS, temperature) for prompt in prompts(size, rng)], 100 * i
                )
                for size in BATCHES
                for kind, temperature in (("greedy", 0.0), ("sampled", 0.7))
            }
            cases["children, 8 chains"] = children(model, prompts(8, rng), 100 * i)
            mixed = [Asked(prompt, rng.randint(8, 64)) for prompt in prompts(requests, rng)]
            cases[f"staggered, {requests} requests"] = staggered(model, mixed, spacing, 100 * i)
            for name, (left, right) in cases.items():
                pair = (await timed(left), await timed(right))
                if i >= 0:
                    pairs.setdefault(name, []).append(pair)
    return {
        "cases": {name: compared(found) for name, found in pairs.items()},
        "setting": {
            "rounds": rounds,
            "tokens": TOKENS,
            "spacing_s": spacing,
            "threads": torch.get_num_threads(),
            "torch": version("torch"),
            "transformers": version("transformers"),
        },
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=48, help="requests that arrive one by one")
    parser.add_argument("--spacing", type=float, default=0.02, help="seconds between them")
    parser.add_argument("--out", type=Path, help="where to store the figures")
    options = parser.parse_args()
    report = asyncio.run(measure(options.rounds, options.requests, options.spacing))
    text = json.dumps(report, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
