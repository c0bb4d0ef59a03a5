"""How busy the model is kept: 32 slots, log-normal latency with a mean of 20 ms, 32 problems at once, every thought persisted.

    python benchmarks/saturation.py
    python benchmarks/saturation.py --workers 2       # two processes share the run, each with half of the slots

Reported is the share of slot-time in which a slot was at work, from the start of the run to the last problem's end, in `rolling` and `lockstep`, for a
tree search (mcts with progressive widening) and beam search, both with two thoughts a call, and for independent chains (best_of_n). Opening the
searches, and the tail in which the last problems run out of work, count as idle. At full load the model answers 1,600 calls a second, so what the
process itself needs for a call (strategy, machine, agents, store, and the model's stand-in) must stay below 0.6 ms. `cpu_ms_per_call` is that
need as CPU time of all threads, which does not depend on what else the computer does as much as wall-clock time; `main_ms_per_call` is the part of the
event loop's thread. With several workers these are sums, and the clock runs from when all are ready until the last one's end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Literal

from overhead import HashVerifier, step_texts

from thoughtgraph import Budget, LatencyModel, ScriptedModel
from thoughtgraph.agents.generator import StepGenerator
from thoughtgraph.agents.team import Team
from thoughtgraph.graph.host import Setup
from thoughtgraph.graph.ledger import RunSpec
from thoughtgraph.graph.machine import build
from thoughtgraph.graph.schemes import make_strategy
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runner import Runner

MODES: tuple[Literal["rolling"], Literal["lockstep"]] = ("rolling", "lockstep")
SCHEMES: dict[str, dict[str, int | str]] = {
    "mcts": {"branching": 2, "widening": 2, "max_expansions": 50},
    "beam": {"beams": 32, "width": 2, "repeats": 1000},
    "best_of_n": {"n": 100_000, "block": 1, "prompting": "plain"},
}


@dataclass(frozen=True, slots=True)
class Job:
    """What is searched; `slots` and `problems` are those of all workers together."""

    scheme: str
    mode: Literal["lockstep", "rolling"]
    problems: int
    slots: int
    calls: int
    wave: int
    workers: int

    @property
    def spec(self) -> RunSpec:
        """The run."""
        return RunSpec("saturation", "text", self.scheme, {})


@dataclass(frozen=True, slots=True)
class Part:
    """What one worker did: seconds of its slots, of the clock that all processes share, and of processor time."""

    busy: float
    started: float
    ended: float
    cpu: float
    main: float
    calls: int


async def search(job: Job, db: str, ready: Callable[[], object]) -> Part:
    """Search as one of the workers, from when all are `ready`."""
    task = load_task("text")
    scripted = ScriptedModel(step_texts)
    model = LatencyModel(scripted, mean=0.02, sigma=0.8, slots=job.slots // job.workers)
    store = SqlStore.open(db)
    machine, host = build(
        Setup(
            domain=task.domain,
            team=Team(StepGenerator(model, task.domain), verifiers=(HashVerifier(),)),
            strategy=lambda _: make_strategy(job.scheme, SCHEMES[job.scheme], 0),
            store=store,
            budget=Budget(model_calls=job.calls),
            spec=job.spec,
            mode=job.mode,
            wave=job.wave,
        )
    )
    ready()
    started, cpu, main = time.perf_counter(), time.process_time(), time.thread_time()
    await Runner(machine, host, task, job.spec.id, {}).search_all(parallel=job.problems // job.workers)
    ended, cpu, main = time.perf_counter(), time.process_time() - cpu, time.thread_time() - main
    host.shutdown()
    store.close()
    return Part(model.busy_s, started, ended, cpu, main, len(scripted.asked))


_barriers: list[Barrier] = []
"""Of a worker process, the one it waits at; a barrier is given to a process only when that starts."""


def meet_at(barrier: Barrier) -> None:
    """Remember the barrier, in a new worker process."""
    _barriers.append(barrier)


def part(job: Job, db: str) -> Part:
    """Search in a process of its own."""
    return asyncio.run(search(job, db, _barriers[0].wait))


def measure(job: Job) -> dict[str, float]:
    """Return the share of slot-time that was busy, in [0, 1], and milliseconds of CPU a call."""
    task = load_task("text")
    with tempfile.TemporaryDirectory() as folder:
        db = str(Path(folder) / "saturation.db")
        store = SqlStore.open(db)
        store.create_run(job.spec, [task.problem(f"question {i}") for i in range(job.problems)])
        store.close()
        if job.workers == 1:
            parts = [asyncio.run(search(job, db, lambda: None))]
        else:
            spawn = get_context("spawn")
            barrier = spawn.Barrier(job.workers, timeout=120)
            with ProcessPoolExecutor(job.workers, spawn, meet_at, (barrier,)) as pool:
                parts = [one.result() for one in [pool.submit(part, job, db) for _ in range(job.workers)]]
    elapsed = max(one.ended for one in parts) - min(one.started for one in parts)
    made = sum(one.calls for one in parts)
    return {
        "busy": round(sum(one.busy for one in parts) / (job.slots * elapsed), 4),
        "cpu_ms_per_call": round(1000 * sum(one.cpu for one in parts) / made, 4),
        "main_ms_per_call": round(1000 * sum(one.main for one in parts) / made, 4),
    }


def main() -> None:
    """Measure the modes in one run and print; with --out also store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=32)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--calls", type=int, default=400, help="model calls a problem")
    parser.add_argument("--wave", type=int, default=64, help="requests in flight a problem")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the run")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--schemes", nargs="+", choices=SCHEMES, default=list(SCHEMES))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.workers < 1 or args.slots % args.workers or args.problems % args.workers:
        parser.error("the workers must divide the slots and the problems")
    settings = {name: vars(args)[name] for name in ("problems", "slots", "calls", "wave", "workers")}
    runs = {
        f"{scheme}, {mode}": measure(Job(scheme, mode, **settings))
        for scheme in args.schemes
        for mode in args.modes
    }
    measured = ("busy", "cpu_ms_per_call", "main_ms_per_call")
    figures = {name: {run: values[name] for run, values in runs.items()} for name in measured}
    figures |= {**settings, "parameters": {name: SCHEMES[name] for name in args.schemes}}
    print(json.dumps(figures, indent=2))
    if args.out:
        args.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
