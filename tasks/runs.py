"""Whole runs: start one on a set of problems, resume one, and sum it up from the store."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..agents.models.load import Load
from ..agents.models.reuse import Reuse
from ..graph.errors import UserError
from ..graph.host import Setup, evict_dead
from ..graph.ledger import RunSpec
from ..graph.machine import build
from ..graph.records import Usage
from ..storage.read import list_units, run_usage
from ..storage.references import read_references, set_references
from ..storage.replay import paid_so_far
from ..storage.store import SqlStore
from ..tools.calling import close_tools
from .assembly import Replacements, assemble
from .base import GradingError, Item, Task
from .registry import task_of
from .runner import Drain, EventListener, Listener, Runner
from .settings import Settings
from .workers import Supervisor, check_shareable


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
    """Summed over the finished units, and over what is on record of those begun; `seconds` are search seconds, which overlap where searches run side
    by side."""

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
    """Told of what machines stream, where this process searches itself."""
    on_load: Callable[[Sequence[Load]], None] | None = None
    """Told now and then what the models of several workers are at."""
    on_notice: Callable[[str], None] = logging.getLogger(__name__).warning
    """Told in a line of what went wrong without stopping the run."""


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
    workers: int = 1,
) -> Summary:
    """Create a run over these problems and search them all, up to `parallel` at once in all `workers`; for `reuse` see `assemble`.

    More than one worker are processes of their own: for remote models, whose answers one process cannot take in fast enough. `reuse` is of this process.

    Raises:
        UserError: if there is nothing to search, the settings fit nothing, or several workers cannot search it.
        ModelUnavailableError, StoreError: if the run cannot go on; it can be resumed.
    """
    if not items:
        raise UserError("there are no problems to search; give a split or a file that has some")
    check_shareable(settings, own, store, parallel, workers)
    if workers > 1 and reuse is not None:
        raise UserError("answers to reuse are in the memory of one process; use one worker")
    run = run or new_run_id()
    setup = await asyncio.to_thread(assemble, settings, store, own, run, reuse)  # it may load a model
    spec = setup.spec
    await asyncio.to_thread(store.create_run, spec, [item.problem for item in items])
    references = {item.problem.id: item.reference for item in items if item.reference is not None}
    await asyncio.to_thread(set_references, store.database, spec.task, references)
    return await _search(store, setup, {item.problem.id: item for item in items}, parallel, watch, workers)


async def resume(
    store: SqlStore,
    run: str,
    *,
    own: Replacements | None = None,
    parallel: int = 8,
    watch: Watch | None = None,
    retry_failed: bool = False,
    workers: int = 1,
) -> Summary:
    """Search the units of a recorded run that are left, with the settings it was started with; for `parallel` and `workers` see `start`.

    Raises:
        UserError: if there is no such run, it used agents of the user's own that are not given again, or several workers cannot search it.
    """
    spec = await asyncio.to_thread(store.run, run)
    check_shareable(Settings.from_json(spec.settings), own, store, parallel, workers)
    if retry_failed:
        await asyncio.to_thread(store.reopen_failed, spec.id)
    setup, items = await _recorded(store, spec, own)
    return await _search(store, setup, items, parallel, watch, workers)


async def take_part(store: SqlStore, run: str, parallel: int, watch: Watch) -> None:
    """Search units of a recorded run, up to `parallel` at once, until none is free: what one of several workers does.

    Raises:
        UserError, ModelUnavailableError, StoreError: if the run cannot go on.
    """
    setup, items = await _recorded(store, await asyncio.to_thread(store.run, run), None)
    await _search_here(setup, items, parallel, watch)


async def _recorded(
    store: SqlStore, spec: RunSpec, own: Replacements | None
) -> tuple[Setup, dict[str, Item]]:
    """Return what searches a recorded run, and its problems by id."""
    units = await asyncio.to_thread(list_units, store.database, spec.id)
    references = await asyncio.to_thread(read_references, store.database, spec.task)
    items = {unit.problem.id: Item(unit.problem, references.get(unit.problem.id)) for unit in units}
    return await asyncio.to_thread(assemble, Settings.from_json(spec.settings), store, own, spec.id), items


async def _search(
    store: SqlStore,
    setup: Setup,
    items: Mapping[str, Item],
    parallel: int,
    watch: Watch | None,
    workers: int,
) -> Summary:
    watch, spec = watch or Watch(Drain()), setup.spec
    await asyncio.to_thread(evict_dead, store, spec.id)
    if workers == 1:
        await _search_here(setup, items, parallel, watch)
    else:
        await Supervisor(store, spec.id, items, watch, workers).search(parallel)
    ungraded = await asyncio.to_thread(
        _grade_rest, store, task_of(Settings.from_json(spec.settings)), spec.id, items
    )
    if ungraded:
        count = "1 answer" if len(ungraded) == 1 else f"{len(ungraded)} answers"
        watch.on_notice(
            f"{count} could not be graded and count as neither right nor wrong; the last: {ungraded[-1]}"
        )
    return await asyncio.to_thread(summarise, store, spec.id)


async def _search_here(setup: Setup, items: Mapping[str, Item], parallel: int, watch: Watch) -> None:
    machine, host = build(replace(setup, review="never"))
    task = task_of(Settings.from_json(setup.spec.settings))
    runner = Runner(machine, host, task, setup.spec.id, items, watch.drain, watch.on_end, watch.on_event)
    try:
        await runner.search_all(parallel)
    finally:
        await close_tools(setup.tools)
        host.shutdown()


def _grade_rest(store: SqlStore, task: Task, run: str, items: Mapping[str, Item]) -> list[GradingError]:
    """Grade what was answered just before a crash, or could not be graded before; return why some cannot be now."""
    ungraded: list[GradingError] = []
    for unit in list_units(store.database, run):
        if unit.result is not None and unit.result.status != "failed" and unit.correct is None:
            item = items.get(unit.problem.id, Item(unit.problem))
            try:
                verdict = task.grade(unit.problem.question, unit.result.answer, item.reference)
            except GradingError as error:
                ungraded.append(error)
                continue
            if verdict is not None:
                store.grade(run, unit.problem.id, verdict.correct)
    return ungraded


def summarise(store: SqlStore, run: str) -> Summary:
    """Sum up a run (a full id) from the store."""
    units = list_units(store.database, run)
    results = [unit.result for unit in units if unit.result is not None]
    begun = [unit.problem.id for unit in units if unit.result is None and unit.started_at is not None]
    return Summary(
        run=run,
        problems=len(units),
        finished=len(results),
        graded=sum(1 for unit in units if unit.correct is not None),
        solved=sum(1 for unit in units if unit.correct),
        failed=sum(1 for result in results if result.status == "failed"),
        usage=sum(
            (paid_so_far(store.database, run, problem) for problem in begun), run_usage(store.database, run)
        ),
    )
