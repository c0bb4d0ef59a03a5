"""What searches left in the database, as a step scorer learns it: prefixes, their Monte-Carlo labels, whole traces.

A *prefix* is a thought with all steps before it; a *trace* is the prefix of a thought that nothing continues.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from ..storage.database import Database
from ..storage.labels import Label, read_labels
from ..storage.schema import EdgeRow, ProblemRow, ThoughtRow, UnitRow

LABEL_KIND = "mc"


@dataclass(frozen=True, slots=True)
class Prefix:
    """A thought with the steps that lead to it."""

    thought: str
    parent: str
    problem: str
    question: str
    steps: tuple[str, ...]
    """At least one; the last is the thought's own text."""
    sample: int
    terminal: bool
    answer: str | None
    key: str | None
    """The answer's vote key."""


@dataclass(frozen=True, slots=True)
class Count:
    """Rollouts of one prefix."""

    successes: int
    rollouts: int
    """≥ 1."""

    @property
    def rate(self) -> float:
        """Share of successes, in [0, 1]."""
        return self.successes / self.rollouts


@dataclass(frozen=True, slots=True)
class LabelledTrace:
    """A whole trace with the counts of its prefixes."""

    leaf: Prefix
    counts: tuple[Count | None, ...]
    """One a step; None where the step has no label."""


def read_prefixes(database: Database, run: str) -> list[Prefix]:
    """Return the prefixes of a run (a full id), roots left out, problem by problem in the run's order, parents first."""
    t = ThoughtRow
    rows = (
        select(t.id, EdgeRow.parent, t.problem, ProblemRow.question, t.text, t.sample)
        .add_columns(t.terminal, t.answer, t.key)
        .join(EdgeRow, (EdgeRow.child == t.id) & (EdgeRow.position == 0))
        .join(UnitRow, (UnitRow.run == t.run) & (UnitRow.problem == t.problem))
        .join(ProblemRow, (ProblemRow.task == UnitRow.task) & (ProblemRow.id == UnitRow.problem))
        .where(t.run == run)
        .order_by(UnitRow.position, t.depth, t.sample, t.id)
    )
    found: dict[str, Prefix] = {}
    with database.reading() as connection:
        for thought, parent, problem, question, text, *rest in connection.execute(rows):
            before = found[parent].steps if parent in found else ()
            found[thought] = Prefix(thought, parent, problem, question, (*before, text), *rest)
    return list(found.values())


def read_counts(database: Database, run: str, source: str) -> dict[str, Count]:
    """Return the rollouts of every labelled thought of a run (a full id), labels of the same thought added up."""
    counts: dict[str, Count] = {}
    for label in read_labels(database, run, LABEL_KIND, source):
        known = counts.get(label.thought, Count(0, 0))
        counts[label.thought] = Count(
            known.successes + (label.successes or 0), known.rollouts + (label.rollouts or 0)
        )
    return {thought: count for thought, count in counts.items() if count.rollouts}


def label_of(thought: str, source: str, count: Count) -> Label:
    """Return the label row of a count."""
    return Label(thought, LABEL_KIND, source, count.rate, count.rollouts, count.successes)


def labelled_traces(prefixes: Sequence[Prefix], counts: Mapping[str, Count]) -> list[LabelledTrace]:
    """Return the traces that have a label at some step, in the order of their leaves."""
    by_id = {prefix.thought: prefix for prefix in prefixes}
    inner = {prefix.parent for prefix in prefixes}
    traces: list[LabelledTrace] = []
    for leaf in prefixes:
        if leaf.thought not in inner:
            path = _path(leaf, by_id)
            trace = LabelledTrace(leaf, tuple(counts.get(prefix.thought) for prefix in path))
            if any(trace.counts):
                traces.append(trace)
    return traces


def distinct(traces: Iterable[LabelledTrace]) -> list[LabelledTrace]:
    """Return the traces with different questions or steps, the first of each."""
    found: dict[tuple[str, tuple[str, ...]], LabelledTrace] = {}
    for trace in traces:
        found.setdefault((trace.leaf.question, trace.leaf.steps), trace)
    return list(found.values())


def _path(leaf: Prefix, by_id: Mapping[str, Prefix]) -> list[Prefix]:
    path = [leaf]
    while path[-1].parent in by_id:
        path.append(by_id[path[-1].parent])
    return path[::-1]
