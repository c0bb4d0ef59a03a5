"""Which scheme to use for which difficulty and budget: the table of the scheme `compute_optimal`, learned from a comparison.

After Snell et al., arXiv 2408.03314, sections 3.2 and 5.3: problems fall into bins by quantiles of their difficulty, and each bin gets the scheme
that solved most of it. Where we differ:

* Difficulty is taken from the first few samples of the weighted vote, which a search pays for within its budget; the paper takes 2,048 samples and
  does not count them. It is 1 - the mean final score that verifiers gave, as in the paper's model-predicted difficulty; without scores, 1 - the
  share of the most frequent answer, which is ours. The table records at which temperature they were drawn: `compute_optimal` draws its own so.
* Three bins by default, since a few dozen problems do not fill five.
* Edges between equal difficulties are merged, so every bin has problems.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean
from typing import Any

from ...graph.errors import UserError
from ...graph.ids import derive_rng
from ...graph.records import Evaluation, Thought
from ...graph.schemes import get_scheme
from ...graph.schemes.compute_optimal import Entry, reads_table
from ...graph.strategies.evaluation import FirstKnown
from ...graph.strategies.tree import Verdicts
from ...graph.strategies.voting import answer_of
from ...storage.database import Database
from ...storage.read import UnitGraph, unit_graph
from .budgets import key
from .cells import Cell, Plan
from .entries import MAJORITY, WEIGHTED
from .results import Row
from .stats import Interval, resample, share_interval

PROBE = 4
BINS = 3
JUDGED = (WEIGHTED, MAJORITY)
"""The baselines whose samples tell difficulties, the better one first."""


@dataclass(frozen=True, slots=True)
class Searched:
    """One search of each candidate on one problem with one seed."""

    problem: int
    difficulty: float
    """In [0, 1]."""
    solved: Mapping[str, bool]
    """By label."""
    tokens: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Policy:
    """Edges of difficulty, ascending, and the label for each of the bins between them."""

    edges: tuple[float, ...]
    labels: tuple[str, ...]
    """One more than edges."""

    def choose(self, difficulty: float) -> str:
        """Return the label for a difficulty; one on an edge belongs to the easier bin."""
        return self.labels[bisect_left(self.edges, difficulty)]


@dataclass(frozen=True, slots=True)
class Learned:
    """The policy of one budget, and what policies learned the same way solve of problems that they were not learned on."""

    budget: float
    policy: Policy
    sizes: tuple[int, ...]
    """Searches in each bin."""
    share: float | None
    """Solved, 2-fold cross-validated, in [0, 1]; None with a single problem, which has no other half."""
    interval: Interval
    tokens: float
    best_share: float | None
    """The same for the one best scheme, chosen by the same folds."""
    best_label: str
    """The one best scheme on all problems."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """All that was learned."""

    task: str
    model: str
    probe: int
    temperature: float | None
    """Of the samples that told difficulties; None: the generator's own."""
    bins: int
    entries: Mapping[tuple[str, float], Entry]
    """What the table says for a label at a budget."""
    learned: tuple[Learned, ...]
    left_out: int = 0
    """Searches without a difficulty: those that were to tell it failed."""

    def table(self) -> dict[str, Any]:
        """Return the table as `compute_optimal` reads it."""
        return {
            "task": self.task,
            "model": self.model,
            "probe": self.probe,
            "temperature": self.temperature,
            "budgets": {
                key(found.budget): {
                    "edges": list(found.policy.edges),
                    "choices": [self.entries[label, found.budget].as_json() for label in found.policy.labels],
                }
                for found in self.learned
            },
        }

    def as_json(self) -> dict[str, Any]:
        """Return the table with how it was judged."""
        judged = {
            key(found.budget): {
                "labels": list(found.policy.labels),
                "sizes": list(found.sizes),
                "share": found.share,
                "interval": {
                    "low": found.interval.low,
                    "high": found.interval.high,
                    "method": found.interval.method,
                },
                "tokens": found.tokens,
                "best_single": {"label": found.best_label, "share": found.best_share},
            }
            for found in self.learned
        }
        return {
            "bins": self.bins,
            "left_out": self.left_out,
            "cross_validated": judged,
            "table": self.table(),
        }


def learn(
    database: Database, plan: Plan, rows: Sequence[Row], probe: int = PROBE, bins: int = BINS
) -> Lesson:
    """Learn the policy table of a comparison.

    Args:
        database: where its cells are recorded.
        plan: the comparison.
        rows: its rows.
        probe: samples that tell a problem's difficulty (≥ 1).
        bins: of difficulty, at most (≥ 1).

    Raises:
        UserError: as `check_learnable`, or if every search failed that was to tell a difficulty.
    """
    check_learnable(plan)
    told_by = _told_by(plan, rows)
    difficulties = _difficulties(database, plan, told_by, probe)
    learned: list[Learned] = []
    for budget in plan.budgets.values:
        candidates = [row for row in rows if row.budget == budget and not reads_table(get_scheme(row.scheme))]
        searched = _searched(candidates, difficulties)
        if searched:
            learned.append(_judge(budget, searched, bins, len(plan.seeds)))
    if not learned:
        raise UserError(
            f"no policy table can be learned: every search of {told_by.label} failed, and its samples tell difficulties; "
            "see why with `thoughtgraph show`, and repeat the command with --retry-failed, or without --learn"
        )
    return Lesson(
        task=plan.settings.task,
        model=plan.identity.model,
        probe=probe,
        temperature=told_by.params["temperature"],
        bins=bins,
        entries={(cell.entry.label, cell.budget): _entry(cell) for cell in plan.cells},
        learned=tuple(learned),
        left_out=sum(value is None for row in difficulties for value in row),
    )


def check_learnable(plan: Plan) -> None:
    """Raise UserError if no policy table can be learned of a comparison, whatever its searches find."""
    if not {entry.label for entry in plan.entries} & {*JUDGED}:
        reasons = "; ".join(
            note for note in plan.notes if any(f"baseline {name} " in note for name in JUDGED)
        )
        raise UserError(
            f"no policy table can be learned: the samples of {' or '.join(JUDGED)} tell difficulties, and neither is compared"
            + (f" ({reasons})" if reasons else "")
            + "; make one of them possible, or leave out --learn"
        )


def difficulty(graph: UnitGraph, probe: int) -> float | None:
    """Return how hard a problem looks from the first samples of a search by whole chains, in [0, 1], as `compute_optimal` sees it.

    1 - the mean score of the samples that finished and were scored; without any, 1 - the share that the most frequent answer has of the samples that left a thought;
    1 if nothing was finished; None if the search failed.
    """
    if graph.result is not None and graph.result.status == "failed":
        return None
    drawn = [t for t in graph.thoughts.values() if t.parents and t.sample < probe]
    samples = len({thought.sample for thought in drawn})
    finished = [thought for thought in drawn if thought.terminal]
    scores = [score for thought in finished if (score := _score(graph, thought)) is not None]
    if scores:
        return 1.0 - fmean(scores)
    votes = Counter(answer_of(thought) for thought in finished if thought.answer is not None)
    return 1.0 - max(votes.values()) / samples if votes else 1.0


def fit(searched: Sequence[Searched], bins: int) -> Policy:
    """Return the policy that solves most of these searches: for each bin the label with the most solved, then the fewest tokens, then by name.

    Args:
        searched: at least one; all with the same labels.
        bins: at most so many (≥ 1).
    """
    ordered = sorted(s.difficulty for s in searched)
    cuts = (ordered[len(ordered) * i // bins - 1] for i in range(1, bins) if len(ordered) * i >= bins)
    edges = tuple(sorted({cut for cut in cuts if cut < ordered[-1]}))
    groups: list[list[Searched]] = [[] for _ in range(len(edges) + 1)]
    for one in searched:
        groups[bisect_left(edges, one.difficulty)].append(one)
    return Policy(edges, tuple(best(group) for group in groups))


def best(searched: Sequence[Searched]) -> str:
    """Return the label that solves most of these searches, then pays the fewest tokens, then comes first by name."""
    return min(
        searched[0].solved,
        key=lambda label: (
            -sum(s.solved[label] for s in searched),
            sum(s.tokens[label] for s in searched),
            label,
        ),
    )


def cross_validate(searched: Sequence[Searched], bins: int) -> list[tuple[Searched, str, str]]:
    """Return, for each search, the label chosen for it, and the one best label, by what was learned on the other half of the problems.

    Halves are drawn once and for all; a problem's searches are in the same half. With a single problem there is no other half, and nothing is returned.
    """
    problems = sorted({s.problem for s in searched})
    derive_rng(0, "folds", len(problems)).shuffle(problems)
    halves = set(problems[: len(problems) // 2]), set(problems[len(problems) // 2 :])
    if not all(halves):
        return []
    chosen: list[tuple[Searched, str, str]] = []
    for held, rest in (halves, halves[::-1]):
        known = [s for s in searched if s.problem in rest]
        policy, single = fit(known, bins), best(known)
        chosen += [(s, policy.choose(s.difficulty), single) for s in searched if s.problem in held]
    return chosen


def _judge(budget: float, searched: Sequence[Searched], bins: int, seeds: int) -> Learned:
    policy = fit(searched, bins)
    sizes = Counter(bisect_left(policy.edges, s.difficulty) for s in searched)
    chosen = cross_validate(searched, bins)
    solved: dict[int, int] = {}
    for one, label, _ in chosen:
        solved[one.problem] = solved.get(one.problem, 0) + one.solved[label]
    counts = [solved[problem] for problem in sorted(solved)]
    interval = share_interval(counts, seeds, resample([counts])[0]) if counts else Interval(0.0, 1.0)
    return Learned(
        budget=budget,
        policy=policy,
        sizes=tuple(sizes[i] for i in range(len(policy.labels))),
        share=fmean(one.solved[label] for one, label, _ in chosen) if chosen else None,
        interval=interval,
        tokens=fmean(one.tokens[label] for one, label, _ in chosen) if chosen else 0.0,
        best_share=fmean(one.solved[single] for one, _, single in chosen) if chosen else None,
        best_label=best(searched),
    )


def _entry(cell: Cell) -> Entry:
    """Return what a table says to choose a cell's scheme; a file's is named as runs keep it, with its text."""
    recorded = cell.recorded
    return Entry(cell.scheme, tuple(recorded["params"].items()), recorded.get("composition", ""))


def _told_by(plan: Plan, rows: Sequence[Row]) -> Row:
    """Return the row whose samples tell difficulties: a baseline's at the largest budget; `check_learnable` says that there is one."""
    largest = plan.budgets.values[-1]
    return next(row for name in JUDGED for row in rows if row.label == name and row.budget == largest)


def _difficulties(database: Database, plan: Plan, told_by: Row, probe: int) -> list[list[float | None]]:
    """Return the difficulty of each problem, by seed."""
    problems = [item.problem.id for item in plan.items]
    return [
        [difficulty(unit_graph(database, run, problem), probe) for problem in problems]
        for run in told_by.runs
    ]


def _searched(rows: Sequence[Row], difficulties: Sequence[Sequence[float | None]]) -> list[Searched]:
    return [
        Searched(
            problem,
            value,
            {row.label: row.solved[seed][problem] for row in rows},
            {row.label: row.tokens[seed][problem] for row in rows},
        )
        for seed, of_seed in enumerate(difficulties)
        for problem, value in enumerate(of_seed)
        if value is not None
    ]


def _score(graph: UnitGraph, thought: Thought) -> float | None:
    """Return the score of a finished sample, as searches see it: 0 if anything in it was refuted, else its newest step's."""
    path: list[Thought] = [thought]
    while path[-1].parents:
        path.append(graph.thoughts[path[-1].parents[0]])
    said = chain.from_iterable(graph.evaluations.get(step.id, ()) for step in path)
    refuted = any(e.kind == "rule" and e.value == 0.0 for e in said)
    last = graph.evaluations.get(thought.id, ())
    verdicts = Verdicts(refuted, _mean(last, "outcome"), _mean(last, "value"), _mean(last, "step"))
    return FirstKnown().score(verdicts)


def _mean(evaluations: Sequence[Evaluation], kind: str) -> float | None:
    values = [e.value for e in evaluations if e.kind == kind and e.value is not None]
    return fmean(values) if values else None
