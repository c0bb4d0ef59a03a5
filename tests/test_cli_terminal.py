"""What is drawn on a terminal, and that nothing is drawn where it would be in the way."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from .cli_world import Cli, environment, model_server

pty = pytest.importorskip("pty", reason="needs a Unix terminal")


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(tmp_path, capsys)


def in_terminal(cli: Cli, *command: str, **variables: str) -> str:
    """Run a command in a terminal and return what it drew."""
    here, there = os.openpty()
    env = environment(THOUGHTGRAPH_DB=cli.db, TERM="xterm", COLUMNS="120", **variables)
    drawn: list[bytes] = []

    def read() -> None:
        while True:
            try:
                data = os.read(here, 65536)
            except OSError:  # the other end is closed
                return
            if not data:
                return
            drawn.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    searches = command[0] in ("solve", "run") and "--model" not in command
    scripted = ["--scheme", "cot", "--model", f"scripted:{cli.script}"] if searches else []
    done = subprocess.run(
        [sys.executable, "-m", "thoughtgraph", *command, *scripted],
        env={k: v for k, v in env.items() if v},
        stdin=subprocess.DEVNULL,
        stdout=there,
        stderr=there,
        check=False,
        timeout=60,
    )
    os.close(there)
    reader.join(10)
    os.close(here)
    text = b"".join(drawn).decode()
    assert done.returncode == 0, text
    return text


def test_a_run_draws_a_bar(cli: Cli) -> None:
    path = cli.file({"question": "4 5 6 10"}, {"question": "1 2 3 4"})
    drawn = in_terminal(cli, "run", path, NO_COLOR="", CI="")
    assert "2/2" in drawn
    assert "2 of 2 solved" in drawn
    for variables in ({"NO_COLOR": "1", "CI": ""}, {"NO_COLOR": "", "CI": "true"}):
        plain = in_terminal(cli, "run", path, **variables)
        assert "2/2" not in plain
        assert "\x1b" not in plain
    for option in ("--quiet", "--json"):
        assert "2/2" not in in_terminal(cli, "run", path, option, NO_COLOR="", CI="")


def test_a_tree_has_colours_on_a_terminal(cli: Cli) -> None:
    in_terminal(cli, "solve", "4 5 6 10")
    drawn = in_terminal(cli, "show", NO_COLOR="", CI="")
    assert "10 - 4 = 6" in drawn
    assert "\x1b[" in drawn


def test_under_the_bar_is_what_the_models_are_at(cli: Cli) -> None:
    """A real run against a server that takes a moment a call."""
    path = cli.file(*({"question": question} for question in ("4 5 6 10", "1 2 3 4", "1 1 1 1")))
    options = ("--scheme", "cot", "--model", "openai:m", "--parallel", "3")
    with model_server(0.7) as url:
        drawn = in_terminal(cli, "run", path, *options, "--base-url", url, NO_COLOR="", CI="")
    assert re.search(r"\d+ tokens/s, [1-3] in flight, \d queued", drawn)


def test_solving_says_what_the_models_are_at(cli: Cli) -> None:
    with model_server(0.7) as url:
        served = ("--scheme", "cot", "--model", "openai:m", "--base-url", url)
        drawn = in_terminal(cli, "solve", "4 5 6 10", *served, NO_COLOR="", CI="")
    assert re.search(r"searching: .*tokens/s, 1 in flight, 0 queued", drawn)
