"""Whole runs: start one on a set of problems, resume one, and sum it up from the store."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..agents.models.reuse import Reuse
from ..graph.errors import UserError
from ..graph.host import Setup, evict_dead
from ..graph.machine import build
from ..graph.records import Usage
from ..storage.read import list_units, run_usage
from ..storage.references import read_references, set_references
from ..storage.store import SqlStore
from .assembly import Replacements, assemble
from .base import Item, Task
from .registry import load_task
from .runner import Drain, EventListener, Listener, Runner
from .settings import Settings


@dataclass(frozen=True, slots=True)
class Summary:
    """A run as it stands in the store."""

    run: str
    problems: int
    finished: int
    """Units that ended, failed ones included."""
    graded: int
    """Units whose answer the task could grade."""
    solved: int
    failed: int
    usage: Usage
    """Summed over the finished units; `seconds` are search seconds, which overlap where searches run side by side."""

    @property
    def accuracy(self) -> float | None:
        """Solved per graded or failed problem, in [0, 1]; None where nothing could be graded."""
        return self.solved / (self.graded + self.failed) if self.graded else None


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told of progress, and who may stop a run."""

    drain: Drain
    on_end: Listener | None = None
    on_event: EventListener | None = None


def new_run_id() -> str:
    """Return an id that no other run has."""
    return uuid.uuid4().hex[:12]


async def start(
    store: SqlStore,
    settings: Settings,
    items: Sequence[Item],
    *,
    own: Replacements | None = None,
    run: str | None = None,
    parallel: int = 8,
    watch: Watch | None = None,
    reuse: Reuse | None = None,
) -> Summary:
    """Create a run over these problems and search them all; for `reuse` see `assemble`.

    Raises:
        UserError: if there is nothing to search, or the settings fit nothing.
        ModelUnavailableError, StoreError: if the run cannot go on; it can be resumed.
    """
    if not items:
        raise UserError("there are no problems to search; give a split or a file that has some")
    run = run or new_run_id()
    setup = await asyncio.to_thread(assemble, settings, store, own, run, reuse)  # it may load a model
    spec = setup.spec
    await asyncio.to_thread(store.create_run, spec, [item.problem for item in items])
    references = {item.problem.id: item.reference for item in items if item.reference is not None}
    await asyncio.to_thread(set_references, store.database, spec.task, references)
    return await _search(store, setup, {item.problem.id: item for item in items}, parallel, watch)


async def resume(
    store: SqlStore,
    run: str,
    *,
    own: Replacements | None = None,
    parallel: int = 8,
    watch: Watch | None = None,
    retry_failed: bool = False,
) -> Summary:
    """Search the units of a recorded run that are left, with the settings it was started with.

    Raises:
        UserError: if there is no such run, or it used agents of the user's own that are not given again.
    """
    spec = await asyncio.to_thread(store.run, run)
    if retry_failed:
        await asyncio.to_thread(store.reopen_failed, spec.id)
    units = await asyncio.to_thread(list_units, store.database, spec.id)
    references = await asyncio.to_thread(read_references, store.database, spec.task)
    items = {unit.problem.id: Item(unit.problem, references.get(unit.problem.id)) for unit in units}
    settings = Settings.from_json(spec.settings)
    setup = await asyncio.to_thread(assemble, settings, store, own, spec.id)
    return await _search(store, setup, items, parallel, watch)


async def _search(
    store: SqlStore, setup: Setup, items: Mapping[str, Item], parallel: int, watch: Watch | None
) -> Summary:
    watch, spec = watch or Watch(Drain()), setup.spec
    machine, host = build(replace(setup, review="never"))
    task = load_task(spec.task)
    runner = Runner(machine, host, task, spec.id, items, watch.drain, watch.on_end, watch.on_event)
    try:
        await asyncio.to_thread(evict_dead, store, spec.id)
        await runner.search_all(parallel)
        await asyncio.to_thread(_grade_rest, store, task, spec.id, items)
    finally:
        host.shutdown()
    return await asyncio.to_thread(summarise, store, spec.id)


def _grade_rest(store: SqlStore, task: Task, run: str, items: Mapping[str, Item]) -> None:
    """Grade what was answered just before a crash."""
    for unit in list_units(store.database, run):
        if unit.result is not None and unit.result.status != "failed" and unit.correct is None:
            item = items.get(unit.problem.id, Item(unit.problem))
            verdict = task.grade(unit.problem.question, unit.result.answer, item.reference)
            if verdict is not None:
                store.grade(run, unit.problem.id, verdict.correct)


def summarise(store: SqlStore, run: str) -> Summary:
    """Sum up a run (a full id) from the store."""
    units = list_units(store.database, run)
    results = [unit.result for unit in units if unit.result is not None]
    return Summary(
        run=run,
        problems=len(units),
        finished=len(results),
        graded=sum(1 for unit in units if unit.correct is not None),
        solved=sum(1 for unit in units if unit.correct),
        failed=sum(1 for result in results if result.status == "failed"),
        usage=run_usage(store.database, run),
    )
