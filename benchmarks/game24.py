"""What search adds on the Game of 24: the 100 test puzzles (ranks 901-1000) of the Tree of Thoughts paper, with the shipped model.

    python benchmarks/game24.py

Schemes run with their defaults and the shipped model's recommended settings, which were chosen on the validation split; the test split only
reports. No reference answer exists in this game: the exact calculator checks equations, as a tool, and the rows without it say so. Set
THOUGHTGRAPH_DATA to the folder with 24.csv.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Any

from thoughtgraph import Budget
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.comparison.stats import wilson
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runs import start
from thoughtgraph.tasks.settings import Settings

ALONE: dict[str, Any] = {"tools": False, "budget": Budget(tokens=2000)}

ROWS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("cot: one greedy chain", {"scheme": "cot"}),
    ("self_consistency: majority vote alone", {**ALONE, "scheme": "self_consistency", "scorer": "none"}),
    (
        "best_of_n, by the step scorer alone",
        {**ALONE, "scheme": "best_of_n"},
    ),
    ("beam, by the step scorer alone", {**ALONE, "scheme": "beam"}),
    ("mcts, by the step scorer alone", {**ALONE, "scheme": "mcts"}),
    (
        "mcts, with the calculator, at most 1,500 tokens a puzzle",
        {"scheme": "mcts", "budget": Budget(tokens=1500)},
    ),
    ("mcts, with the calculator", {"scheme": "mcts"}),
)


def measure(name: str, settings: dict[str, Any], split: str) -> dict[str, Any]:
    """Search all puzzles of a split once, seed 0, and return the figures."""
    items = list(load_task("game24").load(split))
    store = SqlStore.open(":memory:")
    started = time.perf_counter()
    summary = asyncio.run(start(store, Settings(task="game24", **settings), items, parallel=16))
    store.close()
    interval = wilson(summary.solved, summary.problems)
    return {
        "row": name,
        "solved": summary.solved,
        "of": summary.problems,
        "interval_95": [round(interval.low, 3), round(interval.high, 3)],
        "tokens_per_puzzle": round(summary.usage.completion_tokens / summary.problems),
        "wall_seconds": round(time.perf_counter() - started),
    }


def main() -> None:
    """Measure all rows and print them; with --out also store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, settings in ROWS:
        rows.append(measure(name, settings, args.split))
        print(json.dumps(rows[-1]), flush=True)
    if args.out:
        args.out.write_text(json.dumps({"split": args.split, "seed": 0, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
