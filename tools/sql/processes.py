"""Helper processes that read SQLite, and that can be killed: a few wait for the next call, more are started on demand."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...graph.errors import ToolError
from .stopping import Stopper

IDLE = 4
"""Processes kept for the next calls, of all databases together."""
GRACE = 0.06
"""Seconds that a process gets beyond the deadline to end a query by itself, so that it need not be killed."""
_CALLS = 500
"""Calls after which a process is replaced: what its allocator keeps is given back."""
_LONGEST = 512 * 1024 * 1024
"""Longest reply read, in bytes."""

_PROGRAM = Path(__file__).with_name("sqlite_worker.py")


class _Worker:
    """One process."""

    def __init__(self) -> None:
        kept = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-X", "utf8", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=os.path.abspath(os.sep),
            env=kept,  # no secrets of this program's environment
            start_new_session=True,  # Ctrl-C is for this program, which ends them itself
        )
        self.calls = 0

    def ask(self, request: bytes) -> bytes:
        """Send a request line and return the reply line; b"" if the process ended."""
        self.calls += 1
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(request)
            self.process.stdin.flush()
            return self.process.stdout.readline(_LONGEST)
        except (BrokenPipeError, ConnectionResetError):
            return b""

    def kill(self) -> None:
        self.process.kill()

    def end(self) -> None:
        """Kill the process and wait until it is gone."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


class Workers:
    """The processes of this program. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []

    def ask(self, request: Mapping[str, Any], seconds: float, stopper: Stopper) -> dict[str, Any]:
        """Return the reply to a request of `sqlite_worker`.

        Args:
            request: what to do, without the time limit.
            seconds: time limit, the start of a process included.
            stopper: ends it earlier.

        Raises:
            ToolError: if it took too long, or the process died of it.
        """
        started = time.monotonic()
        worker = self._take()
        left = max(0.01, seconds - (time.monotonic() - started))
        line = json.dumps({**request, "seconds": left}).encode() + b"\n"
        with stopper.watching(worker.kill, (left + GRACE, worker.kill)):
            reply = worker.ask(line)
        if reply.endswith(b"\n"):
            answer: dict[str, Any] = json.loads(reply)
            if answer.get("kind") == "memory":
                self._replace(worker)
            else:
                self._give(worker)
            return answer
        self._replace(worker)
        if time.monotonic() - started >= seconds:
            return {"kind": "time", "error": "killed"}
        raise ToolError("the process that read the database died of the query; make it simpler")

    def close(self) -> None:
        """End all processes that wait; later calls start new ones."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()

    def forget(self) -> None:
        """Let go of processes that belong to the program from which this one was forked."""
        self._lock = threading.Lock()
        self._idle = []

    def _take(self) -> _Worker:
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        if worker is not None and worker.process.poll() is not None:
            worker.end()
            worker = None
        return worker or _Worker()

    def _give(self, worker: _Worker) -> None:
        with self._lock:
            keep = len(self._idle) < IDLE and worker.calls < _CALLS
            if keep:
                self._idle.append(worker)
        if not keep:
            worker.end()

    def _replace(self, worker: _Worker) -> None:
        """End a process and start another one, which will be ready by the time of the next call; nobody waits for that."""
        worker.kill()
        threading.Thread(target=self._replaced, args=(worker,), daemon=True).start()

    def _replaced(self, worker: _Worker) -> None:
        worker.end()
        self._give(_Worker())


WORKERS = Workers()
"""Shared by all databases: a process keeps nothing from one call to the next."""

atexit.register(WORKERS.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=WORKERS.forget)
