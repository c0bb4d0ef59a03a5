"""What a call of the sandboxed Python tools costs, in milliseconds and in starts of a bare interpreter on the same computer.

    python benchmarks/sandbox.py                                       # some seconds
    python benchmarks/sandbox.py --out benchmarks/results/sandbox.json

A call is the whole of it: start, program, answer, and the certain end of the process. `interpreter` is `python -I -S -c pass` without any sandbox, and
`ratio` is a median divided by its median: milliseconds depend on what else the computer does, ratios less. `warm` is the time from a call to its
answer where a process waits with the module imported, and time to start the next one in the background between calls.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from thoughtgraph.tools.base import Call
from thoughtgraph.tools.sandbox.boundary import probe
from thoughtgraph.tools.sandbox.embedded import embedded_python
from thoughtgraph.tools.sandbox.limits import Limits
from thoughtgraph.tools.sandbox.process import Sandbox
from thoughtgraph.tools.sandbox.unit_tests import run_tests

AT_ONCE = 64


async def timed(call: Callable[[], Awaitable[Any]], times: int, pause: float = 0.0) -> dict[str, float]:
    """Return median, least and 90th percentile of a call's milliseconds, after one call that does not count."""
    await call()
    found: list[float] = []
    for _ in range(times):
        await asyncio.sleep(pause)
        began = time.perf_counter()
        await call()
        found.append(1000 * (time.perf_counter() - began))
    found.sort()
    return {"median_ms": statistics.median(found), "min_ms": found[0], "p90_ms": found[len(found) * 9 // 10]}


async def interpreter() -> None:
    """Start an interpreter without a sandbox."""
    command = [sys.executable, "-I", "-S", "-c", "pass"]
    await asyncio.to_thread(subprocess.run, command, check=True)


async def at_once(call: Callable[[], Awaitable[Any]]) -> dict[str, float]:
    """Return milliseconds of many calls at once, and of each when shared among them."""
    began = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(AT_ONCE)))
    total = 1000 * (time.perf_counter() - began)
    return {"calls": AT_ONCE, "total_ms": total, "median_ms": total / AT_ONCE}


async def embedded(times: int) -> dict[str, dict[str, float]]:
    """Measure the embedded tier."""
    tool = embedded_python()

    async def call() -> None:
        await tool.run(Call({"code": "print(sum(range(100)))\n1 + 1"}))

    async def after_ten() -> None:
        await tool.run(Call({"code": "x"}, ({"code": "x = 1"}, *[{"code": "x += 1"}] * 9)))

    figures = {
        "embedded": await timed(call, 5 * times),
        "embedded, after 10 snippets": await timed(after_ten, times),
        f"embedded, {AT_ONCE} at once": await at_once(call),
    }
    assert tool.close is not None
    await tool.close()
    return figures


async def process(times: int) -> dict[str, dict[str, float]]:
    """Measure the process tier."""
    sandbox = Sandbox(Limits(seconds=30))

    def program(code: str, where: Sandbox = sandbox, **more: Any) -> Callable[[], Awaitable[None]]:
        async def call() -> None:
            finished = await where.run(code, **more)
            if not finished.ok:
                raise RuntimeError(finished.text())

        return call

    async def tests() -> None:
        await run_tests(sandbox, "def f(x): return x + 1", [f"assert f({n}) == {n + 1}" for n in range(10)])

    figures = {
        "process": await timed(program("print(sum(range(100)))\n1 + 1"), times),
        "process, after 10 snippets": await timed(program("x", earlier=["x = 1", *["x += 1"] * 9]), times),
        "process, 10 unit tests": await timed(tests, times),
        "process, NumPy": await timed(program("import numpy\nnumpy.arange(4).sum()"), times),
        "process, SymPy": await timed(program("import sympy\nsympy.sqrt(8)"), max(3, times // 4)),
        f"process, {AT_ONCE} at once": await at_once(program("1 + 1")),
    }
    for module in ("", "numpy", "sympy"):
        async with Sandbox(Limits(seconds=30), warm=1, preload=[module] if module else []) as warm:
            await warm.warm_up()
            code = f"import {module}\n{module}.__name__" if module else "1 + 1"
            pause = 1.0 if module == "sympy" else 0.4
            name = f"process, warm{f', {module}' if module else ''}"
            figures[name] = await timed(program(code, warm), max(3, times // 2), pause)
    return figures


async def measure(times: int) -> dict[str, Any]:
    """Measure all and return the figures."""
    figures = {"interpreter": await timed(interpreter, times), **await embedded(times)}
    if probe().works:
        figures |= await process(times)
    bare = figures["interpreter"]["median_ms"]
    for found in figures.values():
        found["ratio"] = found["median_ms"] / bare
    rounded = {
        name: {key: round(value, 3) for key, value in found.items()} for name, found in figures.items()
    }
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "boundary": probe().describe(),
        "calls": rounded,
    }


def main() -> None:
    """Measure and print; with --out also store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=20, help="the median of this many calls is reported")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    figures = asyncio.run(measure(args.times))
    print(json.dumps(figures, indent=2))
    if args.out:
        args.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
