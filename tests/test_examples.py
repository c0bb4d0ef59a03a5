"""Every example runs as its reader would run it, on an empty database, and shows what it promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

TELLING = {
    "01_quickstart.py": [
        r"^2 3 7 9 -> 24: .+ \(solved\)$",
        r"^  \S+ [-+*/] \S+ = \S+ \(left: 24\) +score [01]\.\d\d$",
        r"^flowchart TD$",
    ],
    "02_async_many.py": [
        r"^2 3 7 9 -> 24 .*solved +finished$",
        r"^1 1 1 1 -> 24 +- +no_answer ",
        r"^run \w{12}: 3 of 4 solved with beam search$",
    ],
    "03_subgraph.py": [r"^Give me four numbers", r"^> And 2 3 7 9\?\n24 = .*[-+*/]"],
    "04_own_agents.py": [r"17 \* 20 = 360  refuted: 17 \* 20 is 340", r"^answer 391, score 1\.0, 4 calls$"],
    "05_read_with_sqlalchemy.py": [
        r"^  depth 3: +\d+ thoughts, +\d+ tokens, mean score 0\.\d\d$",
        r"is wrong: the left side is .+\[after '.+', score 0\.\d\d\]$",
        r"^  builtin:numbers@\w+: \d+ calls, \d+ tokens$",
        r"^  answer .+, score 1\.0, stopped: finished$",
    ],
    "06_read_with_sql.py": [
        r"^  mcts \| 4 4 10 10 -> 24 \| .+ \| 1\.0 \| finished \| \d+$",
        r"^  0 \| 4 4 10 10 -> 24 \| 0 \| None$",
        r"^  3 \| .+ \(left: 24\) \| \d+ \| 0\.\d+$",
        r"^  generate \| \d+$",
    ],
    "07_review.py": [
        r"^-> \{'reject': 'show me another one'\}$",
        r"^final: .+ after 2 reviews, \d+ model calls$",
    ],
    "08_stream_events.py": [
        r"^run \w{12}: 2 3 7 9 -> 24\n  \+ \d+ thoughts\n    \d+ in all, ",
        r'"event": "finished"',
    ],
    "09_langchain_model.py": [r"^answer 391: 100% of the votes", r"refuted: 17 \* 23 = 381 is wrong"],
    "10_own_scheme.py": [
        r"^patient_vote@[0-9a-f]{8}: UCT over steps",
        r"^n=2: .+ \(solved\), \d+ calls, \d+ tokens$",
        r"^n=6: .+ \(solved\), \d+ calls, \d+ tokens$",
    ],
}
"""For each example, patterns that its output must match."""

OFFLINE = ("04_own_agents.py", "09_langchain_model.py")
"""Those that load no weights, which takes most of the time of the others."""


def test_every_example_is_run_and_listed() -> None:
    files = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".sql", ".yaml")}
    assert {name for name in files if name.endswith(".py")} == set(TELLING)
    listed = set(re.findall(r"\(([\w.]+)\)", (EXAMPLES / "README.md").read_text(encoding="utf-8")))
    assert listed == files


@pytest.mark.parametrize(
    "name",
    [
        name if name in (*OFFLINE, "01_quickstart.py") else pytest.param(name, marks=pytest.mark.slow)
        for name in TELLING
    ],
)
def test_the_example_shows_what_it_promises(name: str, tmp_path: Path) -> None:
    environment = {**os.environ, "THOUGHTGRAPH_DB": str(tmp_path / "examples.db"), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for pattern in TELLING[name]:
        assert re.search(pattern, done.stdout, re.MULTILINE), f"no {pattern!r} in:\n{done.stdout}"
    assert {path.name.partition(".")[0] for path in tmp_path.iterdir()} == {"examples"}
