"""LangGraph's checkpointer beside the store, on all three kinds of database."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph

from thoughtgraph.graph.errors import StoreError
from thoughtgraph.storage.checkpoints import checkpoint_path, checkpoint_saver
from thoughtgraph.storage.database import open_database


class State(TypedDict):
    step: int
    frontier: list[str]


def advance(state: State) -> State:
    return {"step": state["step"] + 1, "frontier": [*state["frontier"], "id"]}


async def run(url: str, thread: str) -> tuple[State, int]:
    builder: Any = StateGraph(State)  # its own types are partly unknown
    builder.add_node("advance", advance)
    builder.add_edge(START, "advance")
    builder.add_conditional_edges("advance", following)
    config: RunnableConfig = {"configurable": {"thread_id": thread}}
    async with checkpoint_saver(url) as saver:
        graph = builder.compile(checkpointer=saver)
        await graph.ainvoke({"step": 0, "frontier": []}, config)
        return (await graph.aget_state(config)).values, len([c async for c in saver.alist(config)])


def following(state: State) -> str:
    return END if state["step"] >= 3 else "advance"


@pytest.mark.parametrize("with_store", [False, True])
async def test_a_graph_keeps_its_state(store_url: str, with_store: bool) -> None:
    if with_store:
        open_database(store_url).close()
    values, checkpoints = await run(store_url, "t1")
    assert values == {"step": 3, "frontier": ["id"] * 3}
    assert checkpoints == 5
    open_database(store_url).close()
    async with checkpoint_saver(store_url) as saver:
        assert await saver.aget_tuple({"configurable": {"thread_id": "t1"}}) is not None


async def test_an_in_memory_store_has_checkpoints_in_memory() -> None:
    assert await run(":memory:", "t1") == ({"step": 3, "frontier": ["id"] * 3}, 5)


async def test_many_open_new_checkpoints_at_once(store_url: str) -> None:
    found = await asyncio.gather(*(run(store_url, f"t{i}") for i in range(4)))
    assert [checkpoints for _, checkpoints in found] == [5] * 4


async def test_checkpoints_lie_beside_the_database(tmp_path: Path) -> None:
    await run(str(tmp_path / "runs.db"), "t1")
    path = tmp_path / "runs.checkpoints.db"
    assert checkpoint_path(tmp_path / "runs.db") == path
    connection = sqlite3.connect(path)
    assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.parametrize("url", ["missing/runs.db", "postgresql://u:secret@127.0.0.1:1/db"])
async def test_what_cannot_be_opened_is_refused(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match="cannot open the checkpoints") as caught:
        await run(url, "t1")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
