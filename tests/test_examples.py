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
    "11_calculator.py": [
        r"^4 4 10 10 -> 24: .+ \(solved\), \d+ tool calls$",
        r"^  step      .+ \(left: .+\)\n  calculator\{'equation': '.+ = \d+'\}: .+ is wrong: the left side is \S+$",
        r"^  \d+ steps refuted, each before anything was built on it$",
    ],
    "12_code_with_tests.py": [
        r"^unit_tests: 1 of 2 tests passed\ntest 2 failed: assert .+\n  the value is 3$",
        r"^unit_tests: 2 of 2 tests passed$",
        r"^stopped: finished, score 1\.0, answer:\ndef median\(numbers\):$",
    ],
    "13_sandboxed_python.py": [
        r"^--> \(23, 248\.2\)$",
        r"^NameError: name 'litres' is not defined$",
        r"^answer 23$",
    ],
    "14_sql_sales.py": [
        r"^    customers \(table\): id, name, country, city, signed_up$",
        r"^  sql_query INSERT INTO .+\n    refused: this tool only reads",
        r"^    Germany \| 4$",
        r"^    refused: SQLite refused: no such column: status$",
        r"^  answer: SELECT count\(\*\) FROM orders WHERE shipped_on IS NULL$",
    ],
    "15_sql_postgres.py": [
        r"^  sale \(table\): id, city, amount\nshop_query SELECT name",
        r"^  refused: PostgreSQL refused: permission denied for table staff$",
        r"^  Porto \| 29$",
        r"^answer: Porto$",
    ],
    "16_mcp_server.py": [
        r"^stations_distance\(start, end\), effect idempotent: Return the length",
        r"^stations_distance\{'start': 'Porto', 'end': 'Lisbon'\} -> 337$",
        r"^answer: 1348$",
    ],
    "17_documents.py": [
        r"^  The new pump moves 30 litres a minute\.$",
        r"^answer: 15$",
        r"^  \[1\] Question: How many minutes takes .+\n  600 / 12 = 50\n  .*Answer: 50$",
    ],
    "18_own_tools.py": [
        r"^price     .+ -> 10\.0 \[call, 4 bytes\]$",
        r"^price     .+ -> error: .+ 'screw' is not one of .+ \[refused, \d+ bytes\]$",
        r"^price     .+ -> 10\.0 \[record, 4 bytes\]$",
        r"^order     .+ -> order 1 is placed \[call, 17 bytes\]$",
        r"^answer: 10 euros; ordered: \['40 bolts'\]; 5 tool calls$",
    ],
}
"""For each example, patterns that its output must match."""

OFFLINE = (
    "04_own_agents.py",
    "09_langchain_model.py",
    "12_code_with_tests.py",
    "13_sandboxed_python.py",
    "14_sql_sales.py",
    "15_sql_postgres.py",
    "17_documents.py",
    "18_own_tools.py",
)
"""Those that load no weights and start no server, which takes most of the time of the others."""

PARTS = ("16_mcp_server_tools.py",)
"""Files that are started by an example."""

MISSING = ("no sandbox here: ", "no PostgreSQL here: ")
"""How an example says that this host has not what it shows."""


def marks(name: str) -> list[pytest.MarkDecorator]:
    """Return the marks of an example's test."""
    quick = name in (*OFFLINE, "01_quickstart.py")
    return [*([] if quick else [pytest.mark.slow]), *([pytest.mark.postgres] if "postgres" in name else [])]


def test_every_example_is_run_and_listed() -> None:
    files = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".sql", ".yaml")}
    assert {name for name in files if name.endswith(".py")} == {*TELLING, *PARTS}
    listed = set(re.findall(r"\(([\w.]+)\)", (EXAMPLES / "README.md").read_text(encoding="utf-8")))
    assert listed == files


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in TELLING])
def test_the_example_shows_what_it_promises(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    environment = {
        **os.environ,
        "THOUGHTGRAPH_DB": str(tmp_path / "examples.db"),
        "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")),  # where the sales database is made
        "PYTHONWARNINGS": "error",
    }
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
    if done.stdout.startswith(MISSING):
        _skip(done.stdout.strip())
    for pattern in TELLING[name]:
        assert re.search(pattern, done.stdout, re.MULTILINE), f"no {pattern!r} in:\n{done.stdout}"
    assert {path.name.partition(".")[0] for path in tmp_path.iterdir()} == {"examples"}


def _skip(why: str) -> None:
    """Skip, but not where the thing that is missing has to be there."""
    required = "THOUGHTGRAPH_REQUIRE_SANDBOX" if "sandbox" in why else "CI"
    if os.environ.get(required) in ("1", "true"):
        pytest.fail(why)
    pytest.skip(why)
