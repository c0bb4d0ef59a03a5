"""A comparison as people read it: a table for the terminal, a Markdown report, and the record that both are drawn from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...graph.display_text import clean, shorten
from .budgets import key
from .cells import Plan
from .policy import Lesson
from .results import Row
from .stats import BOOTSTRAP, NEWCOMBE, PAIRED, RESAMPLES, TAIL, WILSON, Difference, Interval

FORMAT = 1
"""Of the record."""

LONGEST = 60
"""Characters of a parameter's value in the report."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that a comparison found, and how it was made."""

    target: str
    """The task or the file, as the user named it."""
    split: str | None
    """None for a file."""
    command: str
    plan: Plan
    rows: Sequence[Row]
    lesson: Lesson | None = None
    resamples: int = RESAMPLES
    bootstrap_seed: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        plan, identity = self.plan, self.plan.identity
        shared = plan.cells[0].recorded
        own = ("task", "scheme", "params", "model", "scorer", "budget", "seed", "review", "custom", "agents")
        return {
            "format": FORMAT,
            "id": plan.id,
            "task": plan.settings.task,
            "target": self.target,
            "split": self.split,
            "problems": [item.problem.id for item in plan.items],
            "seeds": list(plan.seeds),
            "budget": {
                "limit": plan.budgets.limit,
                "values": list(plan.budgets.values),
                "others": dict(plan.budgets.others),
            },
            "model": {"spec": plan.settings.model, "name": identity.model},
            "scorer": {"spec": plan.settings.scorer, "name": identity.scorer},
            "generator": identity.generator,
            "judges": list(identity.judges),
            "others": list(identity.others),
            "prompts": identity.prompts,
            "code": identity.code.as_json(),
            "settings": {name: value for name, value in shared.items() if name not in own},
            "oracle": any(row.oracle for row in self.rows),
            "statistics": {
                "confidence": 1 - 2 * TAIL,
                "interval": sorted({row.interval.method for row in self.rows}),
                "difference": "; ".join(sorted(self.difference_methods)) or PAIRED,
                "resamples": self.resamples,
                "seed": self.bootstrap_seed,
            },
            "notes": list(plan.notes),
            "rows": [row.as_json() for row in self.rows],
            "policy": None if self.lesson is None else self.lesson.as_json(),
            "command": self.command,
        }

    @property
    def difference_methods(self) -> set[str]:
        """How the intervals of the differences were made."""
        return {found.method for row in self.rows for found in row.differences.values()}


def result_rows(comparison: Comparison) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the header and the rows of the table of results, as text."""
    header = (
        comparison.plan.budgets.limit,
        "scheme",
        "solved",
        "share",
        "95 % interval",
        "failed",
        "tokens",
        "calls",
        "verifier",
        "tools",
        "wall s",
    )
    return header, [
        (
            key(row.budget),
            row.label,
            f"{sum(row.counts)} of {row.searches}",
            f"{row.share:.1%}",
            _interval(row.interval),
            str(row.failed),
            f"{row.mean_tokens:,.0f}",
            f"{row.per_search('model_calls'):,.1f}",
            f"{row.per_search('verifier_calls'):,.1f}",
            f"{row.per_search('tool_calls'):,.1f}",
            f"{row.wall_seconds:,.1f}",
        )
        for row in comparison.rows
    ]


def difference_rows(comparison: Comparison) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the header and the rows of the table of differences to the baselines, in percentage points, as text."""
    header = (
        comparison.plan.budgets.limit,
        "scheme",
        "against",
        "difference",
        "95 % interval",
        "p",
        "below 0",
    )
    return header, [
        (key(row.budget), row.label, baseline, *_difference(found))
        for row in comparison.rows
        for baseline, found in row.differences.items()
    ]


def markdown(comparison: Comparison, plot: str | None) -> str:
    """Return the report; `plot` is the picture's file name, None where there is none."""
    plan = comparison.plan
    blocks = [
        f"# Schemes compared on {_source(comparison)}",
        "\n".join(f"    {line}" for line in comparison.command.splitlines()),
        _facts(comparison),
        *(f"**Note:** {_sentence(note)}" for note in plan.notes),
        "## Results",
        _method(comparison),
        _table(*result_rows(comparison), right=2),
        *([f"![Share solved against the budget, with 95 % intervals]({plot})"] if plot else []),
        "## Differences to the baselines",
        _difference_method(comparison),
        _table(*difference_rows(comparison), right=3),
        *(_lesson(comparison.lesson) if comparison.lesson else []),
        "## Parameters",
        "As recorded with the runs: the schemes' defaults and all that was set.",
        _parameters(comparison),
        "## Why searches ended",
        _table(*_endings(comparison), right=2),
    ]
    return "\n\n".join(blocks) + "\n"


def _facts(comparison: Comparison) -> str:
    plan, identity = comparison.plan, comparison.plan.identity
    others = ", ".join(f"{name}={key(value)}" for name, value in plan.budgets.others.items())
    oracle = any(row.oracle for row in comparison.rows)
    settings = comparison.as_json()["settings"]
    facts = {
        "problems": f"{len(plan.items)} of {_source(comparison)}",
        "seeds": ", ".join(map(str, plan.seeds)),
        "budget a problem": f"{plan.budgets.limit}: {', '.join(plan.budgets.keys)}{f'; {others}' if others else ''}",
        "model": f"{identity.model} (`{plan.settings.model}`)",
        "judges": ", ".join(identity.judges) or "none",
        **({"further models": ", ".join(identity.others)} if identity.others else {}),
        "prompts": identity.prompts or "none: the model only continues text",
        "settings": ", ".join(f"{name}={_value(v)}" for name, v in settings.items() if v not in ({}, [])),
        "oracle": "a reference answer took part in the search"
        if oracle
        else "none: no reference took part in any search",
        "code": str(identity.code),
    }
    return "\n".join(f"* {name}: {_cell(text)}" for name, text in facts.items())


def _method(comparison: Comparison) -> str:
    methods = {row.interval.method for row in comparison.rows}
    parts: list[str] = []
    if BOOTSTRAP in methods:
        parts.append(
            f"percentile {BOOTSTRAP} ({comparison.resamples:,} resamples), all seeds of a problem drawn together"
        )
    if WILSON in methods:
        why = ", where all problems came out the same" if BOOTSTRAP in methods else ""
        parts.append(f"Wilson's over problems{why}")
    return (
        "The budget is a cap on what one search of a problem may pay, enforced before each call: a search ends where its next call might exceed "
        "it. The columns *tokens* to *tools* are means of what was really paid. Failed searches and those without an answer count as not solved. "
        f"Intervals: {'; '.join(parts)}. *wall s* is the time of the whole row, its problems searched side by side."
    )


def _difference_method(comparison: Comparison) -> str:
    alike = (
        f"; {NEWCOMBE} (Stat. Med. 17, 1998, method 10) where all problems differ by the same amount, as then all resamples do"
        if NEWCOMBE in comparison.difference_methods
        else ""
    )
    return (
        f"Percentage points, over the same problems: {PAIRED}, {comparison.resamples:,} resamples, seed {comparison.bootstrap_seed}{alike}. "
        "*p* is an exact two-sided sign test over the problems on which they differ, not corrected for the number of comparisons; *below 0* is the "
        "share of resamples in which the scheme solves less than the baseline."
    )


def _lesson(lesson: Lesson) -> list[str]:
    header = (
        "budget",
        "bins",
        "scheme by bin, easy to hard",
        "cross-validated",
        "95 % interval",
        "tokens",
        "one best scheme",
    )
    rows = [
        (
            key(found.budget),
            " / ".join(map(str, found.sizes)),
            ", ".join(found.policy.labels),
            _percent(found.share),
            _interval(found.interval),
            f"{found.tokens:,.0f}",
            f"{_percent(found.best_share)} ({found.best_label})",
        )
        for found in lesson.learned
    ]
    left_out = f" {lesson.left_out} searches that were to tell it failed." if lesson.left_out else ""
    return [
        "## Policy by difficulty",
        (
            f"Difficulty is estimated from the first {lesson.probe} samples of the baseline, and cut into {lesson.bins} bins by quantiles.{left_out} "
            "The table names the scheme that solved most of each bin. What it solves on problems it was learned on says nothing, so the share is "
            "2-fold cross-validated: edges and choices from one half of the problems, judged on the other. The last column is the one best scheme, "
            "chosen by the same halves. The chosen schemes had the whole budget here; `compute_optimal` pays for its samples out of it."
        ),
        _table(header, rows, right=3),
    ]


def _endings(comparison: Comparison) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    reasons = sorted({reason for row in comparison.rows for reason in row.stopped})
    header = (comparison.plan.budgets.limit, "scheme", *reasons, "no answer", "most tokens")
    return header, [
        (
            key(row.budget),
            row.label,
            *(str(row.stopped.get(reason, 0)) for reason in reasons),
            str(row.unanswered),
            f"{row.most_tokens:,}",
        )
        for row in comparison.rows
    ]


def _parameters(comparison: Comparison) -> str:
    budgets: dict[tuple[str, str, str], list[str]] = {}
    for row in comparison.rows:
        params = ", ".join(f"{name}={_value(value)}" for name, value in row.params.items()) or "none"
        budgets.setdefault((row.label, row.scheme, params), []).append(key(row.budget))
    rows = [(label, scheme, ", ".join(at), params) for (label, scheme, params), at in sorted(budgets.items())]
    return _table(("label", "scheme", comparison.plan.budgets.limit, "parameters"), rows, right=4)


def _source(comparison: Comparison) -> str:
    task = comparison.plan.settings.task
    if comparison.split is not None:
        return f"{comparison.target}, split {comparison.split}"
    return f"{comparison.target} (task {task})"


def _difference(found: Difference) -> tuple[str, ...]:
    return (
        f"{100 * found.mean:+.1f}",
        f"{100 * found.low:+.1f} to {100 * found.high:+.1f}",
        f"{found.p:.4f}" if found.p < 0.001 else f"{found.p:.3f}",
        f"{found.below:.1%}",
    )


def _interval(interval: Interval) -> str:
    return f"{100 * interval.low:.1f}–{100 * interval.high:.1f} %"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], right: int) -> str:
    """Return a Markdown table whose columns from `right` on are aligned to the right."""
    rule = ["---" if i < right else "---:" for i in range(len(header))]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in (header, rule, *rows))


def _cell(text: str) -> str:
    """Return text for one cell of a Markdown table."""
    return clean(text).replace("|", "\\|")


def _sentence(text: str) -> str:
    return f"{clean(text).rstrip('.')}."


def _value(value: Any) -> str:
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, sort_keys=True)
    if isinstance(value, str):  # a policy table is a long text; the record has it whole
        return shorten(value, LONGEST)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
