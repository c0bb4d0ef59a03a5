"""What `vllm:` does, told by a process of the interpreter that has vLLM: python vllm_child.py BASE ADAPTER OUT.

OUT gets a JSON object; `test_vllm.py` starts this, and compares what it says with `hf:`.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import signal
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from vllm_cases import GREEDY, LONG, QUESTIONS, SAMPLED, SEARCH, TOO_LONG, thoughts

from thoughtgraph import asolve
from thoughtgraph.agents.models.base import Generation, GenerationCall, Sampling, make_ready
from thoughtgraph.agents.models.codec import generation_to_json
from thoughtgraph.agents.models.registry import load_model
from thoughtgraph.graph.errors import ModelError

LONG_ANSWER = GenerationCall("1 2 3 4 -> 24\n", Sampling(240, temperature=2.0), n=64)
"""Hot samples, of which some go on for long."""


async def ask(model: Any, call: GenerationCall) -> Any:
    """Return the answer to a call as JSON, an error as its text."""
    [result] = await model.generate([call])
    return generation_to_json(result) if isinstance(result, Generation) else f"{result}"


async def calls(base: str) -> dict[str, Any]:
    model = load_model(f"vllm:{base}")
    await make_ready(model)
    told: dict[str, Any] = {"name": model.name, "concurrency": model.limits.concurrency}
    told["ready"] = model._engine._engine is not None  # pyright: ignore
    told["sampled together"] = await asyncio.gather(*(ask(model, call) for call in SAMPLED))
    told["sampled alone"] = [await ask(model, call) for call in SAMPLED]
    told["sampled one by one"] = [
        [await ask(model, GenerationCall(call.prompt, call.sampling, 1, call.seed, i)) for i in range(call.n)]
        for call in SAMPLED[:2]
    ]
    told["greedy"] = [await ask(model, call) for call in GREEDY]
    told["too long"] = await ask(model, TOO_LONG)
    told["too hot"] = await ask(model, GenerationCall("1 2 3 4 -> 24\n", Sampling(4, temperature=3.0)))
    told["unique"] = await ask(model, GenerationCall("1 2 3 4 -> 24\n", Sampling(4), unique=True))
    await model.generate([LONG])
    [again] = await model.generate([LONG])
    told["cached"] = (
        [again.cached_prompt_tokens, again.prompt_tokens] if isinstance(again, Generation) else f"{again}"
    )
    told["cancelled"] = await cancel(model)
    for child in children():  # as the terminal does to all processes of a group
        child.send_signal(signal.SIGINT)
    told["interrupted"] = await ask(model, GREEDY[0])
    return told


async def cancel(model: Any) -> dict[str, Any]:
    engine = model._engine._engine
    task = asyncio.create_task(model.generate([LONG_ANSWER]))
    while not engine.get_num_unfinished_requests():
        await asyncio.sleep(0.001)
    task.cancel()
    [ended] = await asyncio.gather(task, return_exceptions=True)
    # what was aborted is gone when this short answer is there; what was not would still be generated
    afterwards = await ask(model, GREEDY[0])
    left = engine.get_num_unfinished_requests()
    return {"ended": type(ended).__name__, "left": left, "afterwards": afterwards}


async def searches(base: str, folder: Path) -> list[Any]:
    """Search in an event loop of its own, so in the second of this process."""
    return [
        thoughts(await asolve(question, model=f"vllm:{base}", db=folder / "vllm.db", **SEARCH))
        for question in QUESTIONS
    ]


async def adapted(base: str, adapter: str) -> dict[str, Any]:
    """Shut down the engine and start it again, with an adapter."""
    plain = load_model(f"vllm:{base}")
    await plain.aclose()  # pyright: ignore
    tuned = load_model(f"vllm:{base}?adapter={adapter}")
    both = await asyncio.gather(*(ask(model, call) for model in (plain, tuned) for call in GREEDY))
    return {"name": tuned.name, "plain": both[: len(GREEDY)], "tuned": both[len(GREEDY) :]}


async def death(base: str) -> dict[str, Any]:
    """Kill the engine's process during a call."""
    model: Any = load_model(f"vllm:{base}")
    task = asyncio.create_task(model.generate([LONG_ANSWER]))
    while not model._engine._engine.get_num_unfinished_requests():
        await asyncio.sleep(0.001)
    for child in children():
        child.kill()
    return {"during": await failure(task), "after": await failure(model.generate([GREEDY[0]]))}


def children() -> list[Any]:
    """Return the engine's processes."""
    return importlib.import_module("psutil").Process().children(recursive=True)


async def failure(call: Awaitable[Any]) -> list[str]:
    """Return the class and the message of the error that a call raises."""
    try:
        return ["none", f"{await call}"]
    except ModelError as error:
        return [type(error).__name__, f"{error}"]


if __name__ == "__main__":
    base, adapter, out = sys.argv[1:]
    told: dict[str, Any] = {}
    told["calls"] = asyncio.run(calls(base))
    told["searches"] = asyncio.run(searches(base, Path(out).parent))
    told["adapted"] = asyncio.run(adapted(base, adapter))
    told["death"] = asyncio.run(death(base))
    Path(out).write_text(json.dumps(told), encoding="utf-8")
