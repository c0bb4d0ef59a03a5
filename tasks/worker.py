"""One of several processes that search a run; `workers.Supervisor` starts it as `python -m thoughtgraph.tasks.worker`."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import IO, Any

from ..agents.models.registry import share_limits
from ..agents.models.scheduler import current_scheduler
from ..graph.errors import ThoughtGraphError
from ..storage.store import SqlStore
from .runner import Drain, UnitEnd
from .runs import Watch, take_part
from .workers import ERRORS, GRACE_SECONDS

LOAD_SECONDS = 0.5
"""Between two reports of what the models are at."""

Say = Callable[[dict[str, Any]], None]


def main() -> None:
    """Read the job from standard input, work on it, and say on standard output what happens."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever libraries print must not be taken for our words
    orders = os.fdopen(0, "rb", buffering=0, closefd=False)
    line = orders.readline()
    if not line:  # the supervisor is gone already
        return
    job = json.loads(line)

    def say(what: dict[str, Any]) -> None:
        try:
            print(json.dumps(what), file=out, flush=True)
        except OSError:  # nobody listens any more; the end of the orders says so too
            return

    share_limits(job["workers"])
    try:
        asyncio.run(_work(job, orders, say))
    except ThoughtGraphError as error:
        say(_error(error, str(error)))
    except Exception as error:  # noqa: BLE001 - told to the supervisor, who stops the run
        if os.environ.get("THOUGHTGRAPH_DEBUG"):
            traceback.print_exc()
        what = f"a worker met an unexpected {type(error).__name__}: {error}"
        say(_error(error, f"{what}; set THOUGHTGRAPH_DEBUG=1 and repeat it to see where"))
    else:
        say({"say": "done"})


async def _work(job: dict[str, Any], orders: IO[bytes], say: Say) -> None:
    drain, loop = Drain(), asyncio.get_running_loop()
    threading.Thread(target=_obey, args=(orders, drain, loop), daemon=True).start()
    store = await asyncio.to_thread(SqlStore.open, job["database"])
    telling = asyncio.create_task(_tell_load(say))
    try:
        await take_part(store, job["run"], job["parallel"], Watch(drain, lambda end: say(_ended(end))))
    finally:
        telling.cancel()
        store.close()


def _obey(orders: IO[bytes], drain: Drain, loop: asyncio.AbstractEventLoop) -> None:
    """Stop when told so: the first time gracefully, the second at once; at once too when the supervisor is gone."""
    with suppress(RuntimeError):  # the loop is closed: the work is done
        while orders.readline():
            loop.call_soon_threadsafe(drain.request)
        for _ in range(2):
            loop.call_soon_threadsafe(drain.request)
        # a call that cannot be cancelled must not keep a worker that nobody supervises
        loop.call_soon_threadsafe(loop.call_later, GRACE_SECONDS, os._exit, 1)


async def _tell_load(say: Say) -> None:
    while True:
        await asyncio.sleep(LOAD_SECONDS)
        say({"say": "load", "loads": [asdict(load) for load in current_scheduler().load()]})


def _ended(end: UnitEnd) -> dict[str, Any]:
    return {
        "say": "ended",
        "problem": end.problem.id,
        "answer": end.answer,
        "verdict": None if end.verdict is None else asdict(end.verdict),
        "stopped": end.stopped,
        "usage": end.usage.as_dict(),
        "error": end.error,
    }


def _error(error: Exception, text: str) -> dict[str, Any]:
    kind = next((i for i, kind in enumerate(ERRORS) if isinstance(error, kind)), len(ERRORS) - 1)
    return {"say": "error", "kind": kind, "text": text}


if __name__ == "__main__":
    main()
