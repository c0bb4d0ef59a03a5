"""A comparison that was stopped, or in which something failed: the same command goes on, and pays nothing twice."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from thoughtgraph.cli.codes import ExitCode
from thoughtgraph.storage.store import SqlStore

from . import cli_world
from .cli_world import Cli, environment, model_server
from .compare_world import EASY, LATE, SCRIPT, command, compare, prepare, shares


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    cli = prepare(Cli(tmp_path, capsys))
    monkeypatch.setenv("THOUGHTGRAPH_DB", cli.db)
    return cli


@contextmanager
def counted_server(seconds: float, monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[str, list[str]]]:
    """Serve a model, and log what it was asked."""
    asked: list[str] = []
    complete: Callable[[dict[str, Any], str], dict[str, Any]] = cli_world._completion  # pyright: ignore[reportPrivateUsage]

    def counted(call: dict[str, Any], said: str) -> dict[str, Any]:
        asked.append(json.dumps(call))
        return complete(call, said)

    monkeypatch.setattr(cli_world, "_completion", counted)
    with model_server(seconds, text=LATE) as url:
        yield url, asked


def figures(record: Any) -> Any:
    """Return what must not depend on interruptions: everything but times and where it is written."""
    rows = [{name: value for name, value in row.items() if name != "wall_seconds"} for row in record["rows"]]
    return {**record, "rows": rows, "command": ""}


def recorded_calls(cli: Cli) -> int:
    engine = create_engine(f"sqlite:///{cli.db}")
    with engine.connect() as connection:
        count = connection.execute(text("select count(*) from model_call")).scalar_one()
    engine.dispose()
    return count


def stopped(cli: Cli, argv: list[str], number: signal.Signals, when: Callable[[], bool]) -> tuple[int, str]:
    """Run a command in a process of its own and send it a signal; return its exit code and what it said."""
    process = subprocess.Popen(
        [sys.executable, "-m", "thoughtgraph", *argv],
        env=environment(THOUGHTGRAPH_DB=cli.db),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not when():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert out == ""
    return process.returncode, err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_the_same_command_goes_on_and_pays_nothing_twice(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with counted_server(0.02, monkeypatch) as (url, asked):
        model = [
            "--model",
            "openai:m",
            "--base-url",
            url,
            "--parallel",
            "2",
            "--no-plot",
            "--json",
            "--seeds",
            "2",
        ]
        fewer = ["--param", "self_consistency.n=1", "--param", "weighted_vote.n=1"]
        argv = [*command(cli, schemes="cot"), *model, *fewer]
        whole = cli(*argv, "--db", str(cli.folder / "whole.db"))
        assert whole.code == 0, whole.err
        calls = len(asked)
        assert calls == 3 * 2 * 2 * 4
        asked.clear()

        stopped(cli, argv, signal.SIGKILL, lambda: len(asked) >= calls // 4)
        time.sleep(0.5)  # the server still answers what the dead process asked
        killed, lost = len(asked), len(asked) - recorded_calls(cli)
        assert 0 <= lost <= 2  # what was under way for two problems
        code, err = stopped(cli, argv, signal.SIGINT, lambda: len(asked) >= killed + calls // 4)
        assert code == ExitCode.INTERRUPTED, err
        assert "Traceback" not in err
        resume = err.splitlines()[-1].partition("resume with: ")[2]
        assert shlex.split(resume)[:2] == ["thoughtgraph", "compare"]
        assert killed < len(asked) < calls
        assert len(asked) - recorded_calls(cli) == lost  # the interruption lost nothing

        again = cli(*shlex.split(resume)[1:])
        assert again.code == 0, again.err
        assert figures(again.record) == figures(whole.record)
        assert again.record["prompts"].startswith("numbers-v")
        assert len(asked) == calls + lost
        assert cli(*argv).record == again.record
        assert len(asked) == calls + lost


def test_a_bar_names_the_cell_at_work(cli: Cli) -> None:
    pytest.importorskip("pty", reason="needs a Unix terminal")
    from .test_cli_terminal import in_terminal

    argv = [*command(cli, "--no-plot", schemes="cot"), "--model", f"scripted:{cli.script}"]
    drawn = in_terminal(cli, *argv, NO_COLOR="", CI="")
    assert "cell 6 of 6: cot, 400, seed 0" in drawn
    assert "24/24" in drawn


def test_a_model_that_stops_answering_leaves_a_comparison_to_resume(cli: Cli) -> None:
    Path(cli.script).write_text(json.dumps({**SCRIPT, "1 2 3 4 -> 24\n": [EASY] * 2}))
    done = compare(cli, "--no-plot", "--json")
    assert done.code == ExitCode.MODEL
    assert done.out == ""
    error, note = done.err.splitlines()
    assert error.startswith("error: the script gave ")
    assert note.startswith("resume with: thoughtgraph compare ")


def change(cli: Cli, statement: str, **values: str) -> None:
    engine = create_engine(f"sqlite:///{cli.db}")
    with engine.begin() as connection:
        assert connection.execute(text(statement), values).rowcount == 1
    engine.dispose()


def test_failed_searches_are_counted_and_can_be_tried_again(cli: Cli) -> None:
    before = compare(cli, "--no-plot", "--json", schemes="cot").record
    row = next(r for r in before["rows"] if r["label"] == "cot")
    failed = "update unit set status='failed', ended='failed', correct=null, stopped='failed: broken' where run=:r and problem=:p"
    change(cli, failed, r=row["runs"][0], p=before["problems"][2])
    done = compare(cli, "--no-plot", "--json", schemes="cot")
    assert done.code == ExitCode.FAILED
    assert (
        f"1 of 24 searches failed and count as not solved; see why: thoughtgraph show {row['runs'][0]}"
        in done.err
    )
    now = next(r for r in done.record["rows"] if r["label"] == "cot")
    assert (now["failed"], now["solved"], now["searches"]) == (1, 0, 4)
    assert now["stopped"] == {"finished": 3, "failed": 1}
    again = compare(cli, "--no-plot", "--json", "--retry-failed", schemes="cot")
    assert again.code == 0, again.err
    assert shares(again.record) == shares(before)


def test_a_cell_that_another_process_searches(cli: Cli) -> None:
    record = compare(cli, "--no-plot", "--json", schemes="cot").record
    run, problem = record["rows"][0]["runs"][0], record["problems"][0]
    change(
        cli,
        "update unit set status='pending', ended=null, correct=null, finished_at=null where run=:r and problem=:p",
        r=run,
        p=problem,
    )
    store = SqlStore.open(cli.db)
    lease = store.claim(run, "elsewhere:1:aa", 60, problem)
    assert lease is not None
    done = compare(cli, "--no-plot", "--json", schemes="cot")
    assert done.code == ExitCode.DATABASE
    assert "1 problems of self_consistency, 200, seed 0 are being searched by another process" in done.err
    store.release(lease)
    store.close()
    assert shares(compare(cli, "--no-plot", "--json", schemes="cot").record) == shares(record)
