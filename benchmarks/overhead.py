"""What the machine itself costs: a model that answers at once, every thought persisted.

    python benchmarks/overhead.py                     # 5,000 thoughts, waves of 8: milliseconds a thought, all in
    python benchmarks/overhead.py --thoughts 100000   # one large tree: is the cost a thought flat, is memory bounded?

"All in" is wall-clock time of the whole search, from the question to the recorded answer, with LangGraph, strategy, agents and SQLite, divided
by the thoughts made; `cpu_ms_per_thought` is CPU time of all threads, which depends less on what else the computer does. A wave is 8 requests;
`--branching` thoughts come of each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thoughtgraph import Budget, ScriptedModel
from thoughtgraph.agents.generator import StepGenerator
from thoughtgraph.agents.models.base import GenerationCall
from thoughtgraph.agents.protocols import Gateway, Judgement, Subject
from thoughtgraph.agents.team import Team
from thoughtgraph.graph.host import Setup
from thoughtgraph.graph.ids import derive_seed
from thoughtgraph.graph.ledger import RunSpec
from thoughtgraph.graph.machine import build
from thoughtgraph.graph.schemes import make_strategy
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.runner import collected_rarely
from thoughtgraph.tasks.text import TextDomain


class HashVerifier:
    """Judges a thought by its address: a cheap stand-in for a value model, so that the tree has a shape."""

    source = "hash"

    async def verify(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
        """Return a value in [0, 1) for every thought."""
        return [Judgement("value", value=int(s.thought.id[:8], 16) / 2**32) for s in subjects]


def step_texts(call: GenerationCall) -> list[str]:
    """Return `n` different steps that depend on the prompt alone."""
    first = derive_seed(call.seed, call.first_sample)
    return [f"step {(first + i) % 10**8}" for i in range(call.n)]


def setup(store: SqlStore, thoughts: int, branching: int) -> Setup:
    """Return a search that makes about this many thoughts."""
    domain = TextDomain()
    domain.max_steps = 10_000
    team = Team(StepGenerator(ScriptedModel(step_texts), domain), verifiers=(HashVerifier(),))
    return Setup(
        domain=domain,
        team=team,
        strategy=lambda _: make_strategy("mcts", {"branching": branching}, 0),
        store=store,
        budget=Budget(model_calls=thoughts // branching),
        spec=RunSpec("", "text", "mcts", {}),
    )


async def measure(thoughts: int, branching: int, folder: Path) -> dict[str, float]:
    """Search once and return the figures."""
    path = folder / "overhead.db"
    store = SqlStore.open(str(path))
    built, host = build(setup(store, thoughts, branching))
    machine: Any = built  # its stream is typed as a union over all stream modes
    marks: list[tuple[int, float]] = [(1, time.perf_counter())]
    cpu = time.process_time()
    updates = machine.astream({"question": "How much?"}, stream_mode="updates")
    with collected_rarely():  # as the runner does
        marks += [(u["generate"]["thoughts"], time.perf_counter()) async for u in updates if "generate" in u]
    ended, cpu = time.perf_counter(), time.process_time() - cpu
    host.shutdown()
    store.close()
    made = marks[-1][0]
    rows = sum(file.stat().st_size for file in folder.iterdir())
    return {
        "thoughts": made,
        "branching": branching,
        "ms_per_thought": 1000 * (ended - marks[0][1]) / made,
        "cpu_ms_per_thought": 1000 * cpu / made,
        "last_to_first_tenth": _pace(marks, made, 0.9, 1.0) / _pace(marks, made, 0.0, 0.1),
        "bytes_per_thought": rows / made,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _pace(marks: Sequence[tuple[int, float]], made: int, start: float, end: float) -> float:
    """Return seconds a thought between two fractions of the search."""
    inside = [mark for mark in marks if start * made <= mark[0] <= end * made]
    return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])


def main() -> None:
    """Measure and print; with --out also store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--thoughts", type=int, default=5000)
    parser.add_argument("--branching", type=int, default=4, help="thoughts a request")
    parser.add_argument("--repeat", type=int, default=3, help="the median of this many is reported")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    runs: list[dict[str, float]] = []
    for _ in range(args.repeat):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(asyncio.run(measure(args.thoughts, args.branching, Path(folder))))
    runs.sort(key=lambda figures: figures["ms_per_thought"])
    median = {name: round(value, 4) for name, value in runs[len(runs) // 2].items()}
    print(json.dumps(median, indent=2))
    if args.out:
        args.out.write_text(json.dumps(median, indent=2) + "\n")


if __name__ == "__main__":
    main()
