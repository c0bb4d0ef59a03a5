"""How busy the model is kept: 32 slots, log-normal latency with a mean of 20 ms, 32 problems at once, every thought persisted.

    python benchmarks/saturation.py

Reported is the share of slot-time in which a slot was at work, from the start of the run to the last problem's end, in `rolling` and `lockstep`, for a
tree search (mcts with progressive widening, two thoughts a call) and for independent chains (best_of_n). Opening the searches, and the tail in which
the last problems run out of work, count as idle. At full load the model answers 1,600 calls a second, so what the process itself needs for a
call (strategy, machine, store, in one thread each) must stay below 0.6 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
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

SCHEMES: dict[str, dict[str, int | str]] = {
    "mcts": {"branching": 2, "widening": 2, "max_expansions": 50},
    "best_of_n": {"n": 100_000, "block": 1, "prompting": "plain"},
}


async def measure(
    scheme: str, mode: Literal["lockstep", "rolling"], problems: int, slots: int, calls: int, wave: int
) -> float:
    """Return the share of slot-time that was busy, in [0, 1]."""
    task = load_task("text")
    model = LatencyModel(ScriptedModel(step_texts), mean=0.02, sigma=0.8, slots=slots)
    with tempfile.TemporaryDirectory() as folder:
        store = SqlStore.open(str(Path(folder) / "saturation.db"))
        spec = RunSpec("saturation", "text", scheme, {})
        store.create_run(spec, [task.problem(f"question {i}") for i in range(problems)])
        team = Team(StepGenerator(model, task.domain), verifiers=(HashVerifier(),))
        machine, host = build(
            Setup(
                domain=task.domain,
                team=team,
                strategy=lambda _: make_strategy(scheme, SCHEMES[scheme], 0),
                store=store,
                budget=Budget(model_calls=calls),
                spec=spec,
                mode=mode,
                wave=wave,
            )
        )
        started = time.perf_counter()
        await Runner(machine, host, task, spec.id, {}).search_all(parallel=problems)
        elapsed = time.perf_counter() - started
        host.shutdown()
        store.close()
    return model.busy_s / (slots * elapsed)


def main() -> None:
    """Measure both modes in one run and print; with --out also store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=32)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--calls", type=int, default=400, help="model calls a problem")
    parser.add_argument("--wave", type=int, default=64, help="requests in flight a problem")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    busy = {
        f"{scheme}, {mode}": round(
            asyncio.run(measure(scheme, mode, args.problems, args.slots, args.calls, args.wave)), 4
        )
        for scheme in SCHEMES
        for mode in ("rolling", "lockstep")
    }
    figures = {"busy": busy, **{name: vars(args)[name] for name in ("problems", "slots", "calls", "wave")}}
    print(json.dumps(figures, indent=2))
    if args.out:
        args.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
