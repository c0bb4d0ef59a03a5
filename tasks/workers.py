"""Several processes search one run: Python keeps one processor busy a process, and a quick engine needs more than one.

This process supervises. Each worker (`worker.py`) has an event loop, a scheduler, connections and a share of the problems at once; they take units by
lease, so nothing is dealt out beforehand. What they say comes as JSON, a line each; they are told to stop on their standard input, whose end
means that nobody supervises them any more.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..agents.models.load import Load
from ..graph.errors import ModelUnavailableError, StoreError, ThoughtGraphError, UserError
from ..graph.host import evict_dead
from ..graph.records import Usage
from ..storage.engine import is_memory
from ..storage.store import SqlStore
from .base import Item, Verdict
from .crew import Replacements
from .runner import UnitEnd
from .settings import Settings

if TYPE_CHECKING:
    from .runs import Watch

GRACE_SECONDS = 15.0
"""How long workers have to write what they know once nobody waits for them."""

ERRORS: tuple[type[ThoughtGraphError], ...] = (
    ModelUnavailableError,
    StoreError,
    UserError,
    ThoughtGraphError,
)
"""What an error of a worker is raised as here: the first that it is an instance of."""

_LINE_BYTES = 1 << 26
"""Longest line that a worker may say: an answer is in it."""


def check_shareable(
    settings: Settings, own: Replacements | None, store: SqlStore, parallel: int, workers: int
) -> None:
    """Refuse what several processes cannot search together.

    Raises:
        UserError: on models or agents that live in this process, a database that does, or fewer problems at once than workers.
    """
    if workers < 1:
        raise UserError(f"impossible workers={workers}; give the number of processes, 1 or more")
    if workers == 1:
        return
    specs = {"model": settings.model, "scorer": settings.scorer, **settings.agents}
    for role, spec in specs.items():
        if spec.partition(":")[0] in ("builtin", "hf", "vllm"):
            raise UserError(
                f"the {role} {spec} runs inside a process, and each of {workers} workers would load its weights again; "
                "use --workers 1, or serve it and name it as openai: or pooling:"
            )
    if own is not None and own.names:
        raise UserError(
            f"{', '.join(own.names)} of your own cannot be sent to other processes; use one worker"
        )
    if is_memory(store.database.url):
        raise UserError(
            "a database in memory cannot be shared by several workers; name a file or postgresql://…"
        )
    if parallel < workers:
        raise UserError(
            f"{parallel} problems at once leave some of {workers} workers idle; use --parallel {workers} or more"
        )


@dataclass(slots=True)
class Supervisor:
    """Starts the workers of a run, listens to them, and replaces those that die."""

    store: SqlStore
    run: str
    items: Mapping[str, Item]
    watch: Watch
    workers: int
    _living: dict[int, asyncio.subprocess.Process] = field(
        default_factory=dict[int, asyncio.subprocess.Process]
    )
    _loads: dict[int, Sequence[Load]] = field(default_factory=dict[int, Sequence[Load]])
    _error: ThoughtGraphError | None = None
    _deaths: int = 0

    async def search(self, parallel: int) -> None:
        """Have all units that are left searched, up to `parallel` (≥ the number of workers) at once in all.

        Raises:
            ThoughtGraphError: what stopped one worker, and with it all; or that they die again and again.
        """
        drain, count = self.watch.drain, self.workers
        drain.listeners.append(self._tell_all)
        shares = [parallel // count + (number < parallel % count) for number in range(count)]
        tending = [asyncio.ensure_future(self._tend(number, share)) for number, share in enumerate(shares)]
        try:
            await asyncio.gather(*tending)
        finally:
            for task in tending:
                task.cancel()
            await asyncio.gather(*tending, return_exceptions=True)
            drain.listeners.remove(self._tell_all)
            await asyncio.to_thread(evict_dead, self.store, self.run)
        if self._error is not None:
            raise self._error

    async def _tend(self, number: int, share: int) -> None:
        """Keep one worker going until no unit is left: one that died is replaced, for what it held may be all that is left."""
        while not (self.watch.drain.requested or self._error):
            process = await self._begin(share)
            self._living[number] = process
            if self.watch.drain.requested or self._error:  # it came while the process was being made
                _tell(process, "stop")
            try:
                done = await self._listen(number, process)
                status = await process.wait()
            finally:
                del self._living[number]
                self._loads.pop(number, None)
                await _end(process)
            if done:
                return
            await asyncio.to_thread(evict_dead, self.store, self.run)
            self._died(number, process.pid, status)

    async def _begin(self, share: int) -> asyncio.subprocess.Process:
        # in a session of its own: Ctrl-C in a terminal reaches this process only, which tells the workers
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "thoughtgraph.tasks.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=_LINE_BYTES,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        job = {"database": _address(self.store), "run": self.run, "parallel": share, "workers": self.workers}
        _tell(process, json.dumps(job))
        return process

    async def _listen(self, number: int, process: asyncio.subprocess.Process) -> bool:
        """Pass on what a worker says until it ends; return whether it said that it was done."""
        assert process.stdout is not None
        done = False
        async for line in process.stdout:
            if not line.endswith(b"\n"):
                break  # killed in the middle of a word
            said: dict[str, Any] = json.loads(line)
            match said["say"]:
                case "ended":
                    self._ended(said)
                case "load":
                    self._loads[number] = [Load(**load) for load in said["loads"]]
                    if self.watch.on_load is not None:
                        self.watch.on_load([load for loads in self._loads.values() for load in loads])
                case "error":
                    done, kind = True, int(said["kind"])
                    self._stop(ERRORS[kind](said["text"]))
                case _:
                    done = True
        return done

    def _ended(self, said: dict[str, Any]) -> None:
        if self.watch.on_end is not None:
            verdict = None if said["verdict"] is None else Verdict(**said["verdict"])
            problem, usage = self.items[said["problem"]].problem, Usage(**said["usage"])
            self.watch.on_end(
                UnitEnd(problem, said["answer"], verdict, said["stopped"], usage, said["error"])
            )

    def _died(self, number: int, pid: int, status: int) -> None:
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        self._deaths += 1
        then = "its problems go on in a new one"
        if self.watch.drain.requested or self._error:
            then = "its problems are free for a resume"
        elif self._deaths > 2 * self.workers:
            then = "too many did, so the run stops"
            self._stop(
                ThoughtGraphError(
                    f"{self._deaths} worker processes of run {self.run} died; look for what ends them, such as too little memory"
                )
            )
        self.watch.on_notice(f"worker {number + 1} (process {pid}) {how}; {then}")

    def _stop(self, error: ThoughtGraphError) -> None:
        """Stop all workers for an error of one; the first is the one that is raised."""
        if self._error is None:
            self._error = error
            self._tell_all()

    def _tell_all(self) -> None:
        for process in self._living.values():
            _tell(process, "stop")


def _tell(process: asyncio.subprocess.Process, line: str) -> None:
    assert process.stdin is not None
    if not process.stdin.is_closing():
        process.stdin.write(line.encode() + b"\n")


async def _end(process: asyncio.subprocess.Process) -> None:
    """Let go of a worker; one that still runs sees that nobody supervises it, and is killed if it does not end."""
    assert process.stdin is not None
    process.stdin.close()
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), GRACE_SECONDS)
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _address(store: SqlStore) -> str:
    """Return where a store is, for another process: the password is in it."""
    url = store.database.url
    if url.get_backend_name() == "sqlite":
        return url.database or ""
    return url.render_as_string(hide_password=False)
