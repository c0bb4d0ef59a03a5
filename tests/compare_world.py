"""What the tests of comparisons share: a scripted model, problems, and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .cli_world import Cli, Done

# 24 words each: within 200 tokens 3 of them fit (a fourth might not), within 400 all 11 that leave a quarter of the longest solution
LATE = "10 - 4 = 6 (left: 5 6 6)\n5 * 6 = 30 (left: 6 30)\n30 - 6 = 24 (left: 24)\n"
NEVER = "10 + 4 = 14 (left: 5 6 14)\n5 * 6 = 30 (left: 14 30)\n30 - 14 = 16 (left: 16)\n"
SECOND = "6 * 4 = 24 (left: 2 3 24)\n3 - 2 = 1 (left: 1 24)\n24 * 1 = 24 (left: 24)\n"
FIRST = "6 + 4 = 10 (left: 2 3 10)\n3 - 2 = 1 (left: 1 10)\n10 * 1 = 10 (left: 10)\n"
EASY = "1 * 2 = 2 (left: 2 3 4)\n2 * 3 = 6 (left: 4 6)\n4 * 6 = 24 (left: 24)\n"
HARD = "1 + 1 = 2 (left: 1 1 2)\n1 + 1 = 2 (left: 2 2)\n2 * 2 = 4 (left: 4)\n"
SCRIPT = {
    "4 5 6 10 -> 24\n": [NEVER] * 3 + [LATE] * 30,
    "2 3 4 6 -> 24\n": [FIRST] + [SECOND] * 32,
    "1 2 3 4 -> 24\n": [EASY] * 33,
    "1 1 1 1 -> 24\n": [HARD] * 33,
}
QUESTIONS = [{"question": prompt.partition(" ->")[0]} for prompt in SCRIPT]
PARAMS = {
    "voted": {"scheme": "best_of_n", "params": {"select": "majority"}, "budgets": {"200": {"block": 4}}},
}
BUDGET = ("--budget", "tokens=200,400")


def prepare(cli: Cli) -> Cli:
    """Give a command line the script and the file of parameters."""
    Path(cli.script).write_text(json.dumps(SCRIPT))
    (cli.folder / "params.json").write_text(json.dumps(PARAMS))
    return cli


def command(cli: Cli, *more: str, schemes: str = "cot,best_of_n,voted") -> list[str]:
    problems = cli.file(*QUESTIONS)
    params = ["--params", str(cli.folder / "params.json")] if "voted" in schemes else []
    out = ["--out", str(cli.folder / "out")]
    return ["compare", problems, "--schemes", schemes, *BUDGET, *params, *out, *more]


def compare(cli: Cli, *more: str, schemes: str = "cot,best_of_n,voted") -> Done:
    return cli(*command(cli, *more, schemes=schemes), "--model", f"scripted:{cli.script}")


def shares(record: Any) -> dict[tuple[str, int], list[int]]:
    """Return, for each label and budget, how many of the problem's searches solved it."""
    return {
        (r["label"], r["budget"]): [sum(c) for c in zip(*r["solved_by_seed"], strict=True)]
        for r in record["rows"]
    }
