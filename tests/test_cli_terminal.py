"""What is drawn on a terminal, and that nothing is drawn where it would be in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from .cli_world import Cli, environment

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
    scripted = (
        ["--scheme", "cot", "--model", f"scripted:{cli.script}"] if command[0] in ("solve", "run") else []
    )
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
    assert "tokens/s" in drawn
    assert "2/2" in drawn
    assert "2 of 2 solved" in drawn
    for variables in ({"NO_COLOR": "1", "CI": ""}, {"NO_COLOR": "", "CI": "true"}):
        plain = in_terminal(cli, "run", path, **variables)
        assert "tokens/s" not in plain
        assert "\x1b" not in plain
    assert "tokens/s" not in in_terminal(cli, "run", path, "--quiet", NO_COLOR="", CI="")


def test_a_tree_has_colours_on_a_terminal(cli: Cli) -> None:
    in_terminal(cli, "solve", "4 5 6 10")
    drawn = in_terminal(cli, "show", NO_COLOR="", CI="")
    assert "10 - 4 = 6" in drawn
    assert "\x1b[" in drawn
