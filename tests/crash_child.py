"""Runs a search and kills itself with SIGKILL before or after the n-th store call; see test_crash.py.

python crash_child.py URL LOG COUNT_FILE MODE KILL_AT before|after SCHEME
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from searches import HashVerifier, scripted_calls, scripted_steps
from tool_world import counting

from thoughtgraph.agents.models.base import Generation, GenerationCall
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.graph.errors import ModelError, UserError
from thoughtgraph.graph.records import Budget
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.assembly import Replacements
from thoughtgraph.tasks.base import Item
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runs import resume, start
from thoughtgraph.tasks.settings import Settings

RUN = "crash"
PROBLEMS = ("first question", "second question", "third question", "fourth question")
PARALLEL = 2
WAVE = 3
SCHEMES: dict[str, tuple[dict[str, Any], int]] = {
    "mcts": ({}, 16),
    "forest": ({"trees": 5}, 40),
    "self_consistency": ({"n": 4}, 30),
}
"""What can be searched with: its parameters, and the model calls that a problem may pay; the last one with tools."""


class LoggedModel(ScriptedModel):
    """Writes the id of every call to a file, durably, before it answers: what was paid."""

    def __init__(self, log: Path, tools: bool) -> None:
        super().__init__(scripted_calls if tools else scripted_steps)
        self._log = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        for call in calls:
            os.write(self._log, f"{call.id(self.name)}\n".encode())
        os.fsync(self._log)
        await asyncio.sleep(0.001)
        return await super().generate(calls)


class KillingStore:
    """The real store, with a bullet in it."""

    def __init__(self, store: SqlStore, kill_at: int, when: str) -> None:
        self._store, self._kill_at, self._when = store, kill_at, when
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        return (
            self._shot(real)
            if name in ("create_run", "claim", "commit", "commit_all", "recorded", "finish", "grade")
            else real
        )

    def _shot(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            mine = self.calls
            if mine == self._kill_at and self._when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*args, **kwargs)
            if mine == self._kill_at and self._when == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call


def has_run(url: str) -> bool:
    """Return whether an earlier process got as far as creating the run."""
    store = SqlStore.open(url)
    try:
        store.run(RUN)
    except UserError:
        return False
    finally:
        store.close()
    return True


async def main(url: str, log: str, count: str, mode: Any, kill_at: int, when: str, scheme: str) -> None:
    store: Any = KillingStore(SqlStore.open(url), kill_at, when)
    tools = scheme == "self_consistency"
    model = LoggedModel(Path(log), tools)
    own = Replacements(
        model=model, verifiers=(HashVerifier(),), toolbox=(counting(effect="pure")[0],) if tools else None
    )
    params, calls = SCHEMES[scheme]
    settings = Settings(
        task="text",
        scheme=scheme,
        params=params,
        model=model.name,
        scorer="none",
        tools=False,
        budget=Budget(model_calls=calls),
        mode=mode,
        wave=WAVE,
    )
    task = load_task("text")
    items = [Item(task.problem(question)) for question in PROBLEMS]
    if await asyncio.to_thread(has_run, url):
        await resume(store, RUN, own=own, parallel=PARALLEL)
    else:
        await start(store, settings, items, own=own, run=RUN, parallel=PARALLEL)
    Path(count).write_text(str(store.calls))


if __name__ == "__main__":
    url, log, count, mode, kill_at, when, scheme = sys.argv[1:]
    asyncio.run(main(url, log, count, mode, int(kill_at), when, scheme))
