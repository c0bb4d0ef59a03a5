"""Mathematical equivalence by math-verify, in processes that are killed when a comparison takes too long.

math-verify limits its own time by signals, which work in a main thread only, and a hostile answer such as `9^9^9^9` burns its whole limit. So it runs without
a limit of its own in a few processes, started fresh and not forked, and a process that does not answer in time is killed and replaced.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import Any

from ..base import GradingError

SECONDS = 2.0
"""Time limit of a comparison, both directions together."""

START_SECONDS = 120.0
"""Time limit of a process's start."""

MAX_LENGTH = 2_000
"""Longest answer that is compared by value, in characters."""

REMEMBERED = 20_000
"""Comparisons whose outcome is kept in memory."""

_KEPT = ("PATH", "PYTHONPATH", "PYTHONHOME", "HOME", "LANG", "LC_ALL", "SYSTEMROOT", "TEMP", "TMP")
"""Environment of the processes: nothing secret."""


class MathPool:
    """Compares answers; any number of threads may use it.

    Args:
        size: processes at most (≥ 1), each started when it is first needed.
        seconds: time limit of a comparison (> 0).
    """

    def __init__(self, size: int = 2, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._size = size
        self._places = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._known: OrderedDict[tuple[str, str], bool] = OrderedDict()

    def equal(self, gold: str, answer: str) -> bool:
        r"""Return whether an answer has the reference's value, as math-verify judges it in either direction.

        math-verify is not symmetric: with the reference first it takes `1 < x < 2` for `(1,2)` only if the answer is the set, and `x = 5` for `5` only if the answer
        is the equation. Who answers either way is right, and then a vote does not depend on who came first; so both directions are asked.

        Raises:
            GradingError: if it cannot be told, in time or at all.
        """
        if max(len(gold), len(answer)) > MAX_LENGTH:
            raise GradingError(
                f"an answer of {max(len(gold), len(answer))} characters is too long to be compared by value"
            )
        pair = (gold, answer)
        with self._lock:
            if pair in self._known:
                self._known.move_to_end(pair)
                return self._known[pair]
        found = self._compare(gold, answer)
        with self._lock:
            self._known[pair] = found
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return found

    def close(self) -> None:
        """End the processes that have nothing to do."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()

    def forget(self) -> None:
        """Let go of processes that belong to the program from which this one was forked."""
        self._places = threading.BoundedSemaphore(self._size)
        self._lock = threading.Lock()
        self._idle = []

    def _compare(self, gold: str, answer: str) -> bool:
        with self._places:
            worker = self._take()
            reply = worker.ask({"gold": gold, "answer": answer, "seconds": self.seconds}, self.seconds)
            if reply is None:
                worker.end()
                raise GradingError(f"math-verify did not compare the answer within {self.seconds:g} s")
            with self._lock:
                self._idle.append(worker)
        if "error" in reply:
            raise GradingError(f"math-verify cannot compare the answer: {reply['error']}")
        return bool(reply["equal"])

    def _take(self) -> _Worker:
        """Return a process that waits for work, a new one if need be."""
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return _Worker()
            if worker.alive:
                return worker
            worker.end()


class _Worker:
    """One process."""

    def __init__(self) -> None:
        program = Path(__file__).with_name("math_worker.py")
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for this program, which ends them itself
            env={name: os.environ[name] for name in _KEPT if name in os.environ} | {"PYTHONUTF8": "1"},
        )
        if self._read(START_SECONDS) is None:
            self.end()
            raise GradingError(f"math-verify did not start; see what {sys.executable} {program} says")

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        """Return the reply to a request; None if there was none in time, and then the process is gone."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError:
            return None
        return self._read(seconds)

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # what it did not read can no longer be written
                    continue

    def _read(self, seconds: float) -> dict[str, Any] | None:
        """Return the next line; a timer kills who is late, and then there is none: not every system can wait for a pipe with a limit."""
        assert self._process.stdout is not None
        timer = threading.Timer(seconds, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        try:
            return json.loads(line)
        except ValueError:  # killed before or while it wrote
            return None


@cache
def math_pool() -> MathPool:
    """Return the pool that all graders of this process share."""
    pool = MathPool(size=max(1, min(4, os.cpu_count() or 1)))
    atexit.register(pool.close)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=pool.forget)
    return pool
