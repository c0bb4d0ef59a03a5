"""What a search of 10,000 thoughts writes: checkpoints of constant size, and bytes on disk in proportion to thoughts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from searches import make_setup

from thoughtgraph.agents.models.base import GenerationCall
from thoughtgraph.graph.ids import derive_seed
from thoughtgraph.graph.machine import build
from thoughtgraph.graph.records import Budget
from thoughtgraph.storage.checkpoints import checkpoint_path, checkpoint_saver
from thoughtgraph.storage.store import SqlStore

CHECKPOINT_BYTES = 8192


class Written(NamedTuple):
    """What a search left on disk."""

    thoughts: int
    largest_checkpoint: int
    """Bytes of the largest checkpoint with its metadata and the writes of its step."""
    bytes: int
    """Sizes of the store and of the checkpoints, together."""


def long_search(call: GenerationCall) -> list[str]:
    """Write steps that never repeat and never end, of the length of a sentence."""
    draws = (derive_seed(0, call.prompt, call.first_sample + i) for i in range(call.n))
    return [f"consider case {draw % 10**12}, which leaves the others as they were" for draw in draws]


async def search(folder: Path, calls: int) -> Written:
    """Search with 4 thoughts a call, as a program would: with the store's own checkpointer, every step saved."""
    folder.mkdir()
    path = folder / "store.db"
    store = SqlStore.open(path)
    async with checkpoint_saver(path) as saver:
        setup = make_setup(store, params={}, script=long_search, budget=Budget(model_calls=calls), wave=8)
        machine, host = build(setup, saver)
        runnable: Any = machine
        config: Any = {"configurable": {"thread_id": "1"}}
        await runnable.ainvoke({"question": "question"}, config)
        state = await runnable.aget_state(config)
    host.shutdown()
    store.close()
    with closing(sqlite3.connect(checkpoint_path(path))) as connection:
        [largest] = connection.execute(
            "select max(length(checkpoint) + length(metadata) + ifnull((select sum(length(value)) from writes w"
            " where w.checkpoint_id = c.checkpoint_id), 0)) from checkpoints c"
        ).fetchone()
    size = sum(file.stat().st_size for file in folder.iterdir())
    return Written(state.values["thoughts"], largest, size)


async def test_checkpoints_stay_small_and_bytes_on_disk_grow_in_proportion_to_thoughts(
    tmp_path: Path,
) -> None:
    few = await search(tmp_path / "few", 625)
    many = await search(tmp_path / "many", 2500)
    assert few.thoughts == 2501
    assert many.thoughts == 10_001
    assert many.largest_checkpoint <= CHECKPOINT_BYTES
    assert few.largest_checkpoint <= CHECKPOINT_BYTES
    per_thought = (few.bytes / few.thoughts, many.bytes / many.thoughts)
    assert max(per_thought) / min(per_thought) < 1.3
