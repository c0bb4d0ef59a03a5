"""The first commands a user types, with the shipped model, each in a process of its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from thoughtgraph.cli.codes import ExitCode
from thoughtgraph.graph.errors import UserError
from thoughtgraph.tasks.numbers_puzzles import data_file

from .cli_world import environment

pytest.importorskip("torch", reason="the shipped model needs the extra `local`")
pytestmark = pytest.mark.slow


def command(db: Path, *argv: str) -> tuple[int, Any, float]:
    """Run a command; return its exit code, its record and its processor seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(
        [sys.executable, "-m", "thoughtgraph", *argv, "--scorer", "none", "--json"],
        env=environment(THOUGHTGRAPH_DB=str(db)),
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    return done.returncode, json.loads(done.stdout), spent


def test_solve(tmp_path: Path) -> None:
    code, record, spent = command(tmp_path / "a.db", "solve", "4 5 6 10")
    assert spent < 20.0
    assert record["status"] in ("solved", "no_answer")
    assert code == (ExitCode.OK if record["status"] == "solved" else ExitCode.UNSOLVED)
    if record["answer"] is not None:
        assert eval(record["answer"]) == 24
    assert 0 < record["usage"]["completion_tokens"] <= 4000


def test_a_puzzle_without_a_solution(tmp_path: Path) -> None:
    code, record, _ = command(tmp_path / "a.db", "solve", "1 1 1 1", "--budget", "tokens=600")
    assert code == ExitCode.UNSOLVED
    assert record["status"] == "no_answer"
    assert 0 < record["usage"]["completion_tokens"] <= 600


def test_run_a_split(tmp_path: Path) -> None:
    try:
        data_file("24.csv")
    except UserError as error:
        pytest.skip(str(error))
    options = ["--split", "test", "--scheme", "mcts", "--limit", "3", "--budget", "tokens=600"]
    code, record, _ = command(tmp_path / "a.db", "run", "game24", *options)
    assert code == ExitCode.OK
    assert (record["problems"], record["finished"], record["failed"]) == (3, 3, 0)
    assert record["accuracy"] == record["solved"] / 3
    assert 0 < record["usage"]["completion_tokens"] <= 1800
