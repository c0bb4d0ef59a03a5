"""The machine under LangGraph's development server, which refuses calls that block its event loop."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

CONFIG = Path(__file__).parent.parent / "langgraph.json"

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def post(url: str, body: dict[str, Any]) -> str:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"content-type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=200) as response:
        return response.read().decode()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """URL of a server that runs in an empty folder, stopped after the test; its output must not speak of blocking."""
    command = shutil.which("langgraph", path=str(Path(sys.executable).parent))
    assert command is not None
    port, log = free_port(), tmp_path / "log"
    arguments = ["dev", "--no-browser", "--no-reload", "--port", str(port), "--config", str(CONFIG)]
    environment = {**os.environ, "THOUGHTGRAPH_DB": str(tmp_path / "store.db"), "LANGSMITH_TRACING": "false"}
    with log.open("w") as output:
        process = subprocess.Popen(
            [command, *arguments], cwd=tmp_path, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{url}/ok", process, log)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)
    assert "BlockingError" not in log.read_text()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.25)
        else:
            return
    pytest.fail(f"the server did not start:\n{log.read_text()}")


def numbers_in(text: str) -> list[int]:
    return sorted(int(number) for number in re.findall(r"\d+", text))


def test_the_development_server_answers_streams_and_gives_each_question_of_a_thread_a_run(
    server: str,
) -> None:
    asked: dict[str, Any] = {"assistant_id": "thoughtgraph", "input": {"question": "2 3 7 9"}}
    out = json.loads(post(f"{server}/runs/wait", asked))
    assert out["stopped"] == "finished"
    assert numbers_in(out["answer"]) == [2, 3, 7, 9]

    lines = post(f"{server}/runs/stream", {**asked, "stream_mode": ["custom"]}).splitlines()
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith('data: {"event"')]
    assert [events[0]["event"], events[-1]["event"]] == ["opened", "finished"]

    thread = json.loads(post(f"{server}/threads", {}))["thread_id"]
    runs: set[str] = set()
    for question in ("4 4 10 10", "1 2 4 6"):
        body = {"assistant_id": "thoughtgraph", "input": {"question": question}}
        out = json.loads(post(f"{server}/threads/{thread}/runs/wait", body))
        assert numbers_in(out["answer"]) == numbers_in(question)
        runs.add(out["run"])
    assert len(runs) == 2
