"""Interrupting from the command line: the first signal stops gracefully, the second cuts, and nothing known is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from thoughtgraph.cli.codes import ExitCode
from thoughtgraph.graph.errors import ThoughtGraphError
from thoughtgraph.storage.read import latest_run, list_units
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.runner import DRAIN_SECONDS

from .cli_world import Cli, environment, model_server

PUZZLES = [f"4 5 6 {n}" for n in range(10, 18)]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signal handlers in event loops")


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    cli = Cli(tmp_path, capsys)
    monkeypatch.setenv("THOUGHTGRAPH_DB", cli.db)
    return cli


def begin(cli: Cli, url: str, *command: str) -> subprocess.Popen[str]:
    model = ["--model", "openai:m", "--base-url", url, "--scheme", "cot", "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "thoughtgraph", *command, *model],
        env=environment(THOUGHTGRAPH_DB=cli.db),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait(process: subprocess.Popen[str], until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not until():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def statuses(cli: Cli) -> list[str]:
    """Return where the units of the only run stand; [] before it has begun."""
    if not Path(cli.db).exists():
        return []
    try:
        store = SqlStore.open(cli.db)
    except ThoughtGraphError:  # being made at this moment
        return []
    try:
        return [unit.status for unit in list_units(store.database, latest_run(store.database).id)]
    except ThoughtGraphError:
        return []
    finally:
        store.close()


def test_the_first_signal_stops_gracefully_and_resume_goes_on(cli: Cli) -> None:
    path = cli.file(*({"question": puzzle} for puzzle in PUZZLES))
    with model_server(0.3) as url:
        process = begin(cli, url, "run", path, "--parallel", "1")
        wait(process, lambda: "done" in statuses(cli))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == ExitCode.INTERRUPTED, err
        record = json.loads(out)
        assert 1 <= record["finished"] < len(PUZZLES)
        assert "leased" not in statuses(cli)
        assert f"resume with: thoughtgraph resume {record['run']}\n" in err
        assert "Traceback" not in err
        resumed = cli("resume", record["run"], "--json")
        assert resumed.code == 0, resumed.err
        assert resumed.record["finished"] == len(PUZZLES)
        assert resumed.record["usage"]["model_calls"] == len(PUZZLES)


def test_the_second_signal_cuts_calls_under_way(cli: Cli) -> None:
    with model_server(20.0) as url:
        process = begin(cli, url, "solve", "4 5 6 10")
        wait(process, lambda: statuses(cli) == ["leased"])
        time.sleep(0.5)
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        assert time.monotonic() - started < 9.0
        assert process.returncode == ExitCode.INTERRUPTED, err
        assert json.loads(out)["status"] == "interrupted"
        assert "resume with: thoughtgraph resume " in err
    assert statuses(cli) == ["pending"]


def test_how_long_a_stop_waits_and_how_not_to_is_documented(cli: Cli) -> None:
    told = " ".join(cli("run", "--help").out.split())
    assert f"Ctrl-C stops it: requests under way get up to {DRAIN_SECONDS:g} s, a second Ctrl-C" in told
    readme = " ".join((Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8").split())
    assert f"Ctrl-C waits up to {DRAIN_SECONDS:g} s for requests under way, a second one ends them" in readme
