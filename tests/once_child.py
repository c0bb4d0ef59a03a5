"""A process that is killed in the middle of a tool call that may not be made twice; see test_tool_once.py.

    python once_child.py DATABASE RUN EFFECTS WHEN [CHANGED]

EFFECTS is a file to which every call appends a line. WHEN is `before` the effect, `after` it, `recorded` (after the result is on record) or `never`. CHANGED is
`model`, whose first step is then said in other words, or `tool`, which then has another description.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from tool_world import TEXT, scripted

from thoughtgraph.graph.errors import UserError
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.assembly import Replacements
from thoughtgraph.tasks.base import Item
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runs import resume, start
from thoughtgraph.tasks.settings import Settings
from thoughtgraph.tools.base import Call, Tool, ToolReply


def die() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def team(effects: Path, when: str, changed: str) -> Replacements:
    """Return a model that sends a letter and then looks it up, and the tool that sends it."""

    async def send(call: Call) -> ToolReply:
        if when == "before":
            die()
        with effects.open("a") as file:
            file.write(f"{call.arguments['text']}\n")
            file.flush()
            os.fsync(file.fileno())
        if when == "after":
            die()
        return ToolReply("sent")

    async def check(call: Call) -> ToolReply:
        if when == "recorded":
            die()
        return ToolReply("checked")

    tools = (
        Tool(
            "send",
            "Sends a long letter." if changed == "tool" else "Sends a letter.",
            TEXT,
            send,
            effect="once",
        ),
        Tool("check", "Checks.", TEXT, check, effect="idempotent"),
    )
    first = "So: <<send: hello>>" if changed == "model" else "<<send: hello>>"
    model = scripted(first, "<<check: hello>>", "Answer: done")
    return Replacements(model=model, toolbox=tools)


async def main() -> None:
    """Start the run, or go on with it."""
    database, run, effects, when, changed = (*sys.argv[1:], "")[:5]
    store = SqlStore.open(database)
    own = team(Path(effects), when, changed)
    try:
        try:
            store.run(run)
        except UserError:
            settings = Settings(task="text", scheme="cot", model="scripted", scorer="none", custom=own.names)
            items = [Item(load_task("text").problem("Send it."))]
            await start(store, settings, items, own=own, run=run)
        else:
            await resume(store, run, own=own, retry_failed=True)
    finally:
        store.close()


if __name__ == "__main__":
    asyncio.run(main())
