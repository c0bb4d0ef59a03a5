"""What the command line's tests share: calling it in this process, scripts of models, a slow model server."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from thoughtgraph.agents.prompting import fill, load_prompt
from thoughtgraph.cli import main

SOLUTION = "10 - 4 = 6 (left: 5 6 6)\n5 * 6 = 30 (left: 6 30)\n30 - 6 = 24 (left: 24)\n"
WRONG = "1 + 1 = 2 (left: 1 1 2)\n1 + 1 = 2 (left: 2 2)\n2 * 2 = 4 (left: 4)\n"
SCRIPT = {
    "4 5 6 10 -> 24\n": [SOLUTION],
    "1 1 1 1 -> 24\n": [WRONG],
    "1 2 3 4 -> 24\n": ["1 * 2 = 2 (left: 2 3 4)\n2 * 3 = 6 (left: 4 6)\n4 * 6 = 24 (left: 24)\n"],
}


def text_prompt(question: str) -> str:
    """Return what a base model is given of a question of the task `text` before the first step."""
    examples = load_prompt("examples", "text")
    return fill(load_prompt("raw", "text"), examples=examples, question=question) + "\n\n"


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def record(self) -> Any:
        """The one JSON record on stdout."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out, parse_constant=_never)

    @property
    def error(self) -> str:
        """The one line on stderr, which is an error."""
        assert self.out == ""
        assert self.err.startswith("error: "), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("error: ").rstrip("\n")


class Cli:
    """Calls the command line in this process, with a database and a scripted model of its own."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capture = folder, capture
        self.db = str(folder / "cli.db")
        self.script = str(folder / "script.json")
        Path(self.script).write_text(json.dumps(SCRIPT))

    def __call__(self, *argv: str) -> Done:
        self._capture.readouterr()
        code = main(argv)
        captured = self._capture.readouterr()
        return Done(code, captured.out, captured.err)

    def file(self, *lines: Any) -> str:
        """Write a file of problems; what is not text is written as JSON."""
        path = self.folder / "problems.jsonl"
        path.write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines))
        return str(path)


def environment(**more: str) -> dict[str, str]:
    """Return an environment without settings of ours, for a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("THOUGHTGRAPH_")}
    return kept | {"NO_COLOR": "1"} | more


@contextmanager
def model_server(seconds: float, text: str = SOLUTION, status: int = 200) -> Generator[str]:
    """Serve chat completions that all say the same, each after a while; gives the base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(seconds)
            reply = {"error": {"message": "no such key"}} if status != 200 else _completion(asked, text)
            body = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of clients that were killed in the middle of a call."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _completion(asked: dict[str, Any], text: str) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": asked["model"],
        "choices": [choice | {"index": i} for i in range(asked.get("n") or 1)],
        "usage": {"prompt_tokens": 10, "completion_tokens": 30, "total_tokens": 40},
    }


def _never(constant: str) -> Any:
    raise AssertionError(f"{constant} is not JSON")
