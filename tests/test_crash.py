"""`kill -9` at swept points of a run, on both engines: after resume the record is that of an uninterrupted run.

Every store call of the run is counted; the sweep kills before and after calls spread over the whole run. What was paid is logged durably by the
model itself, in another file than the store.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crash_child import PARALLEL, PROBLEMS, RUN, WAVE
from searches import digest

from thoughtgraph.storage.store import SqlStore

CHILD = Path(__file__).with_name("crash_child.py")
POINTS = {"mcts": 25, "forest": 9, "self_consistency": 9}
"""Kill points; each is two processes, and a forest's take long."""
IN_FLIGHT = {"mcts": PARALLEL * WAVE, "forest": PARALLEL * WAVE * WAVE, "self_consistency": PARALLEL * 4}
"""Model calls that can be under way at once: in a forest every request of a wave is a search with waves of its own."""


def run_child(
    url: str,
    folder: Path,
    mode: str = "lockstep",
    kill_at: int = 0,
    when: str = "before",
    scheme: str = "mcts",
) -> int:
    """Run the child once and return its exit status."""
    command = [
        sys.executable,
        str(CHILD),
        url,
        str(folder / "calls"),
        str(folder / "count"),
        mode,
        str(kill_at),
        when,
        scheme,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -9), done.stderr
    return done.returncode


def paid(folder: Path) -> Counter[str]:
    """Return how often each model call was paid."""
    log = folder / "calls"
    return Counter(log.read_text().split()) if log.exists() else Counter()


@pytest.fixture
def fresh(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str, str], tuple[str, Path]]:
    """Return a maker of empty databases of an engine, each with a folder for its logs."""

    def make(engine: str, name: str) -> tuple[str, Path]:
        folder = tmp_path / name
        folder.mkdir()
        if engine == "sqlite":
            return str(folder / "store.db"), folder
        return request.getfixturevalue("postgres_databases")(), folder

    return make


def record(url: str) -> dict[str, Any]:
    """Return all that a run recorded, with what the runs inside its thoughts did."""
    store = SqlStore.open(url)
    try:
        outer = digest(store, RUN)
        thoughts = [thought for unit in outer.values() for thought in unit["thoughts"].values()]
        inside = {thought.nested: digest(store, thought.nested) for thought in thoughts if thought.nested}
        return {RUN: outer, **inside}
    finally:
        store.close()


@pytest.mark.slow
@pytest.mark.timeout(1200)  # up to fifty processes
@pytest.mark.parametrize("scheme", ["mcts", "forest", "self_consistency"])
@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_killed_run_resumes_to_the_graph_of_an_uninterrupted_one(
    engine: str, scheme: str, fresh: Callable[[str, str], tuple[str, Path]]
) -> None:
    url, folder = fresh(engine, "whole")
    assert run_child(url, folder, scheme=scheme) == 0
    expected = record(url)
    assert (len(expected) > 2 * len(PROBLEMS)) == (scheme == "forest")
    total = int((folder / "count").read_text())
    whole = paid(folder)
    assert max(whole.values()) == 1
    last = POINTS[scheme] - 1
    points = sorted({1 + round(i * (total - 1) / last) for i in range(last + 1)})
    killed = 0
    for place, point in enumerate(points):
        url, folder = fresh(engine, f"killed{point}")
        when = ("before", "after")[place % 2]
        if run_child(url, folder, kill_at=point, when=when, scheme=scheme) == 0:
            continue  # commits coalesce as timing has it, so a run may end a few calls earlier than the one counted
        killed += 1
        assert run_child(url, folder, scheme=scheme) == 0
        assert record(url) == expected, f"killed {when} store call {point}"
        again = paid(folder)
        assert set(again) == set(whole)
        assert again.total() - whole.total() <= IN_FLIGHT[scheme], f"killed {when} store call {point}"
    assert 2 * killed > len(points)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_rolling_run_loses_nothing_and_doubles_nothing(
    when: str, fresh: Callable[[str, str], tuple[str, Path]]
) -> None:
    for point in (5, 13, 21):
        url, folder = fresh("sqlite", f"rolling{point}")
        assert run_child(url, folder, "rolling", point, when) == -9
        before = known(url)
        assert run_child(url, folder, "rolling") == 0
        after = known(url)
        assert before <= after
        again = paid(folder)
        assert again.total() - len(again) <= PARALLEL * WAVE


def known(url: str) -> set[str]:
    """Return the ids of all thoughts in a store."""
    store = SqlStore.open(url)
    try:
        return {thought for unit in digest(store, RUN).values() for thought in unit["thoughts"]}
    finally:
        store.close()
