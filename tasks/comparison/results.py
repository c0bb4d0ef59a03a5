"""The rows of a comparison: what each entry solved and paid at each budget, read from the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any

from ...graph.records import Usage
from ...storage.database import Database
from ...storage.read import UnitSummary, list_units, run_spec
from .cells import Cell, Plan
from .entries import BASELINES
from .stats import RESAMPLES, Difference, Interval, difference, resample, share_interval


@dataclass(frozen=True, slots=True)
class Row:
    """One entry at one budget, over all seeds. Figures of cost are means over searches of one problem."""

    label: str
    scheme: str
    budget: float
    params: Mapping[str, Any]
    """All of the scheme's parameters, as they were used."""
    agents: Mapping[str, str]
    """Further models, by role."""
    runs: tuple[str, ...]
    """By seed."""
    solved: tuple[tuple[bool, ...], ...]
    """Shape (seeds, problems)."""
    tokens: tuple[tuple[int, ...], ...]
    """Generated tokens, shape (seeds, problems)."""
    interval: Interval
    """Of the share solved."""
    failures: tuple[int, ...]
    """By seed: searches that ended in an error; they count as not solved."""
    unanswered: int
    """Searches that found no answer within the budget; they count as not solved."""
    usage: Usage
    """Summed over all searches."""
    wall_seconds: float
    """Time in which at least one search of the row was under way."""
    stopped: Mapping[str, int]
    """Searches by why they ended; failed ones are one class."""
    oracle: bool
    differences: Mapping[str, Difference] = field(default_factory=dict[str, Difference])
    """To the baselines, by their labels."""

    @property
    def searches(self) -> int:
        """Searches in it: problems times seeds."""
        return sum(map(len, self.solved))

    @property
    def failed(self) -> int:
        """Searches that ended in an error."""
        return sum(self.failures)

    @property
    def counts(self) -> tuple[int, ...]:
        """For each problem, how many of its searches solved it."""
        return tuple(map(sum, zip(*self.solved, strict=True)))

    @property
    def share(self) -> float:
        """Solved searches, in [0, 1]."""
        return sum(self.counts) / self.searches

    @property
    def mean_tokens(self) -> float:
        """Generated tokens a search."""
        return fmean(n for row in self.tokens for n in row)

    @property
    def most_tokens(self) -> int:
        """Generated tokens of the search that paid most."""
        return max(n for row in self.tokens for n in row)

    def per_search(self, name: str) -> float:
        """Return a figure of `Usage` per search."""
        return getattr(self.usage, name) / self.searches

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {
            "label": self.label,
            "scheme": self.scheme,
            "budget": self.budget,
            "params": dict(self.params),
            "agents": dict(self.agents),
            "runs": list(self.runs),
            "searches": self.searches,
            "solved": sum(self.counts),
            "share": self.share,
            "interval": {
                "low": self.interval.low,
                "high": self.interval.high,
                "method": self.interval.method,
            },
            "differences": {name: found.as_json() for name, found in self.differences.items()},
            "failed": self.failed,
            "unanswered": self.unanswered,
            "stopped": dict(self.stopped),
            "tokens": self.mean_tokens,
            "tokens_most": self.most_tokens,
            "prompt_tokens": self.per_search("prompt_tokens"),
            "model_calls": self.per_search("model_calls"),
            "verifier_calls": self.per_search("verifier_calls"),
            "tool_calls": self.per_search("tool_calls"),
            "usd": self.per_search("usd"),
            "wall_seconds": self.wall_seconds,
            "oracle": self.oracle,
            "solved_by_seed": [[int(solved) for solved in row] for row in self.solved],
            "tokens_by_seed": [list(row) for row in self.tokens],
        }


def read_rows(database: Database, plan: Plan, times: int = RESAMPLES, seed: int = 0) -> list[Row]:
    """Return the rows of a comparison whose cells are all searched, by budget and then as the entries stand.

    Args:
        database: where the cells are recorded.
        plan: the comparison.
        times: resamples of the bootstrap.
        seed: of its draws.
    """
    cells: dict[tuple[float, str], list[Cell]] = {}
    for cell in plan.cells:
        cells.setdefault((cell.budget, cell.entry.label), []).append(cell)
    order = [item.problem.id for item in plan.items]
    rows = [_row(database, found, order) for found in cells.values()]
    counts = [row.counts for row in rows]
    sums = resample(counts, times, seed)
    seeds = len(plan.seeds)
    at = {(row.budget, row.label): i for i, row in enumerate(rows)}
    compared: list[Row] = []
    for row, ours, our_sums in zip(rows, counts, sums, strict=True):
        against = {
            name: at[row.budget, name] for name in BASELINES if (row.budget, name) in at and name != row.label
        }
        compared.append(
            replace(
                row,
                interval=share_interval(ours, seeds, our_sums),
                differences={
                    name: difference(ours, counts[i], our_sums, sums[i], seeds) for name, i in against.items()
                },
            )
        )
    return compared


def _row(database: Database, cells: Sequence[Cell], order: Sequence[str]) -> Row:
    """Return the row of one entry at one budget, without its statistics."""
    first = cells[0]
    units: list[list[UnitSummary]] = []
    for cell in cells:
        found = {unit.problem.id: unit for unit in list_units(database, cell.run)}
        units.append([found[problem] for problem in order])
    results = [[unit.result for unit in row if unit.result is not None] for row in units]
    every = [result for row in results for result in row]
    specs = [run_spec(database, cell.run) for cell in cells]
    return Row(
        label=first.entry.label,
        scheme=first.scheme,
        budget=first.budget,
        params=first.params,
        agents=first.recorded.get("agents", {}),
        runs=tuple(cell.run for cell in cells),
        solved=tuple(tuple(unit.correct is True for unit in row) for row in units),
        tokens=tuple(tuple(result.usage.completion_tokens for result in row) for row in results),
        interval=Interval(0.0, 1.0),
        failures=tuple(sum(result.status == "failed" for result in row) for row in results),
        unanswered=sum(result.status == "no_answer" for result in every),
        usage=sum((result.usage for result in every), Usage()),
        wall_seconds=sum(busy_seconds(row) for row in units),
        stopped=Counter("failed" if r.status == "failed" else r.stopped for r in every),
        oracle=any(spec.oracle for spec in specs),
    )


def busy_seconds(units: Sequence[UnitSummary]) -> float:
    """Return the time in which at least one of these finished units was being searched.

    A unit's search is taken to be the `seconds` before its end: the time between an interruption and the resume does not count.
    """
    spans: list[tuple[datetime, datetime]] = sorted(
        (unit.finished_at - timedelta(seconds=unit.result.usage.seconds), unit.finished_at)
        for unit in units
        if unit.finished_at is not None and unit.result is not None
    )
    total, until = timedelta(), None
    for begin, end in spans:
        fresh = begin if until is None else max(begin, until)
        total += max(timedelta(), end - fresh)
        until = end if until is None else max(until, end)
    return total.total_seconds()
