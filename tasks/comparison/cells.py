"""The cells of a comparison: one recorded run for each (entry, budget, seed), all over the same problems.

A cell's run has the content address of all that determines it, so the same comparison again finds what is done, goes on with what is half done,
and shares cells with other comparisons.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...agents.models.reuse import Reuse
from ...agents.prompting import prompt_versions
from ...agents.team import Team
from ...graph.domain import Domain
from ...graph.errors import StoreError, UserError
from ...graph.ids import address
from ...graph.records import Usage
from ...graph.schemes import get_scheme
from ...graph.schemes.parameters import read_parameters
from ...storage.database import Database
from ...storage.read import UnitSummary, list_units
from ...storage.store import SqlStore
from ..assembly import assemble
from ..base import Item, Task
from ..registry import task_of
from ..runs import Summary, Watch, start, summarise
from ..settings import Settings
from .budgets import Budgets, key
from .code import CodeVersion
from .entries import Entry


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a comparison."""

    entry: Entry
    budget: float
    seed: int
    run: str
    """Content address of all that determines it."""
    settings: Settings
    """As asked."""
    scheme: str
    """As the run keeps it."""
    recorded: Mapping[str, Any]
    """The settings as the run keeps them: with what the model recommends filled in."""
    params: Mapping[str, Any]
    """All of the scheme's parameters: as recorded, the rest as its defaults."""

    @property
    def name(self) -> str:
        """The cell in words."""
        return f"{self.entry.label}, {key(self.budget)}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Identity:
    """What the searches were made with, beside their settings."""

    model: str
    """Name of the model with its version."""
    generator: str
    judges: tuple[str, ...]
    """Verifiers, critics and evaluators, with the versions of their models."""
    others: tuple[str, ...]
    """Further generators."""
    prompts: str | None
    """Name and version of the prompts; None for a model that only continues text."""
    code: CodeVersion

    def as_json(self) -> list[Any]:
        """Return what determines results: the code by its files, not by the commit that holds them."""
        agents = [self.model, self.generator, list(self.judges), list(self.others), self.prompts]
        return [*agents, self.code.version, self.code.sources]

    @property
    def scorer(self) -> str | None:
        """The step scorer among the judges."""
        return next((name for name in self.judges if name.startswith("score:")), None)


REUSED = (
    "Model calls that an earlier search of this comparison had made were answered from memory (--reuse). A model that draws by the seed "
    "would have given the same answers; of any other, one answer stands for all equal calls. Their costs are counted in full; wall-clock times are "
    "too short."
)
"""Note on a comparison that was searched so."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A comparison before it is carried out."""

    items: Sequence[Item]
    entries: tuple[Entry, ...]
    budgets: Budgets
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    """By budget, then entry, then seed."""
    identity: Identity
    settings: Settings
    """Those that all cells share."""
    notes: tuple[str, ...] = ()
    """What a reader has to know about it."""

    @property
    def id(self) -> str:
        """Content address of the whole comparison."""
        return address("comparison", [cell.run for cell in self.cells])


def plan(
    store: SqlStore,
    base: Settings,
    items: Sequence[Item],
    entries: Sequence[Entry],
    budgets: Budgets,
    seeds: Sequence[int],
    code: CodeVersion,
) -> Plan:
    """Lay out all cells and check each, so that nothing is found wrong after hours of search. Loads the models.

    Args:
        store: where the cells will be.
        base: settings that all cells share; scheme, parameters, budget and seed are theirs.
        items: the problems, each gradable.
        entries: what is compared.
        budgets: what each search may pay.
        seeds: different ones, at least one.
        code: the version of this program.

    Raises:
        UserError: if there are no problems, one cannot be graded, or an entry cannot be searched with these models.
    """
    task = task_of(base)
    check_gradable(task, items)
    notes: list[str] = []
    kept: list[Entry] = []
    cells: list[Cell] = []
    identities: list[Identity] = []
    problems = [[item.problem.id, item.problem.question, item.reference] for item in items]
    for entry in entries:
        try:
            found = [_cell(store, base, entry, budgets, value, seeds[0]) for value in budgets.values]
        except UserError as error:
            if not entry.added:
                raise
            notes.append(f"the baseline {entry.label} is left out: {error}")
            continue
        kept.append(entry)
        identity = _identity(base, found[0][1], task.domain, code)
        identities.append(identity)
        cells += [_seeded(cell, seed, problems, identity) for cell, _ in found for seed in seeds]
    if not cells:
        raise UserError("; ".join(notes) or "there is nothing to compare; name some schemes")
    cells.sort(key=lambda cell: cell.budget)
    return Plan(
        items, tuple(kept), budgets, tuple(seeds), tuple(cells), _joined(identities), base, tuple(notes)
    )


def check_gradable(task: Task, items: Sequence[Item]) -> None:
    """Raise UserError if there are no problems, or some whose answers nothing here can judge."""
    if not items:
        raise UserError("there are no problems to compare on; give a split or a file that has some")
    open_ended = [i for i in items if task.grade(i.problem.question, None, i.reference) is None]
    if open_ended:
        raise UserError(
            f"{len(open_ended)} of {len(items)} problems cannot be graded, such as "
            f"{open_ended[0].problem.question[:60]!r}; give each its `answer` in the file"
        )


async def search(
    store: SqlStore,
    plan: Plan,
    watch: Watch,
    *,
    parallel: int = 8,
    retry_failed: bool = False,
    reuse: bool = False,
    on_cell: Callable[[Cell, Sequence[UnitSummary]], None] | None = None,
) -> Summary:
    """Search every cell that is not done, one after the other, until all are or the watch's drain is asked for.

    Args:
        store: where the cells are recorded.
        plan: what to search.
        watch: see `runs.Watch`.
        parallel: problems searched at once.
        retry_failed: whether problems that failed before are searched again.
        reuse: whether a model call that an earlier cell made is answered from memory.
        on_cell: told of each cell when its turn comes, with its units as they stand then.

    Returns:
        The cells summed up.

    Raises:
        ModelUnavailableError, StoreError, UserError: what stopped it. The same comparison again goes on from there.
    """
    memory = Reuse() if reuse else None
    for cell in plan.cells:
        if watch.drain.requested:
            break
        if retry_failed:
            await asyncio.to_thread(store.reopen_failed, cell.run)
        units = await asyncio.to_thread(list_units, store.database, cell.run)
        if on_cell is not None:
            on_cell(cell, units)
        if _done(units):
            continue
        await start(
            store, cell.settings, plan.items, run=cell.run, parallel=parallel, watch=watch, reuse=memory
        )
        if not watch.drain.requested:
            await asyncio.to_thread(_require_done, store.database, cell)
    return await asyncio.to_thread(_total, store, plan)


def _cell(
    store: SqlStore, base: Settings, entry: Entry, budgets: Budgets, value: float, seed: int
) -> tuple[Cell, Team]:
    """Return the cell of an entry at a budget, not yet addressed, and who acts in it."""
    settings = replace(
        base,
        scheme=entry.scheme,
        params=entry.params_at(key(value)),
        budget=budgets.budget(value),
        seed=seed,
    )
    setup = assemble(settings, store)
    recorded, scheme = setup.spec.settings, get_scheme(entry.scheme)
    params = read_parameters(scheme.name, scheme.parameters, recorded["params"])
    return Cell(entry, value, seed, "", settings, setup.spec.scheme, recorded, params), setup.team


def _seeded(cell: Cell, seed: int, problems: Any, identity: Identity) -> Cell:
    """Return the same cell with another seed, addressed by all that determines it."""
    recorded = {**cell.recorded, "seed": seed}
    run = address("cell", problems, identity.as_json(), cell.scheme, recorded)
    return replace(cell, seed=seed, run=run, settings=replace(cell.settings, seed=seed), recorded=recorded)


def _joined(identities: Sequence[Identity]) -> Identity:
    """Return one identity for all entries, which may have different judges and further models."""
    return replace(
        identities[0],
        judges=tuple(dict.fromkeys(judge for identity in identities for judge in identity.judges)),
        others=tuple(dict.fromkeys(other for identity in identities for other in identity.others)),
    )


def _identity(base: Settings, team: Team, domain: Domain, code: CodeVersion) -> Identity:
    model: Any = getattr(team.generator, "model", None)
    name = getattr(model, "name", base.model)
    judges = [judge.source for judge in (*team.verifiers, *team.critics, *team.evaluators.values())]
    return Identity(
        model=str(name),
        generator=team.generator.name,
        judges=tuple(dict.fromkeys(judges)),
        others=tuple(f"{arm}: {other.name}" for arm, other in team.others.items()),
        prompts=prompt_versions(domain.instructions) if getattr(model, "chat", False) else None,
        code=code,
    )


def _done(units: Sequence[UnitSummary]) -> bool:
    """Return whether every unit ended and, unless it failed, was graded."""
    return bool(units) and all(
        unit.result is not None and (unit.result.status == "failed" or unit.correct is not None)
        for unit in units
    )


def _require_done(database: Database, cell: Cell) -> None:
    left = sum(unit.result is None for unit in list_units(database, cell.run))
    if left:
        raise StoreError(
            f"{left} problems of {cell.name} are being searched by another process; repeat the command when that has ended"
        )


def _total(store: SqlStore, plan: Plan) -> Summary:
    problems = len(plan.items)
    total = Summary(plan.cells[0].run, problems * len(plan.cells), 0, 0, 0, 0, Usage())
    for cell in plan.cells:
        s = summarise(store, cell.run)
        total = replace(
            total,
            finished=total.finished + s.finished,
            graded=total.graded + s.graded,
            solved=total.solved + s.solved,
            failed=total.failed + s.failed,
            usage=total.usage + s.usage,
        )
    return total
