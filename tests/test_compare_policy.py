"""The policy table: difficulty from the first samples, bins by quantiles, choices, and cross-validation without leaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoughtgraph.graph.ledger import UnitResult
from thoughtgraph.graph.records import Evaluation, Operator, Problem, Thought, Usage
from thoughtgraph.storage.read import UnitGraph
from thoughtgraph.tasks.comparison.policy import Policy, Searched, best, cross_validate, difficulty, fit


def graph(
    *samples: tuple[str | None, Sequence[tuple[Any, float | None]], Sequence[tuple[Any, float | None]]],
) -> UnitGraph:
    """Return a search by chains of two steps: for each sample its answer (None: unfinished) and what was said of its steps."""
    root = Thought("root", (), Operator.GENERATE, "the question", 0)
    thoughts, evaluations = {"root": root}, dict[str, tuple[Evaluation, ...]]()
    for i, (answer, first, second) in enumerate(samples):
        a, b = f"{i}a", f"{i}b"
        thoughts[a] = Thought(a, ("root",), Operator.GENERATE, "step", 1, sample=i)
        evaluations[a] = tuple(judged(a, n, *said) for n, said in enumerate(first))
        if answer is not None:
            thoughts[b] = Thought(
                b, (a,), Operator.GENERATE, "end", 2, sample=i, terminal=True, answer=answer, key=answer
            )
            evaluations[b] = tuple(judged(b, n, *said) for n, said in enumerate(second))
    return UnitGraph("run", Problem("p", "text", "?"), "root", thoughts, (), evaluations, None)


def judged(thought: str, n: int, kind: Any, value: float | None) -> Evaluation:
    return Evaluation(thought, kind, f"judge {n}", value, error="failed" if value is None else None)


def test_difficulty_is_what_verifiers_gave_the_first_samples() -> None:
    step = [("step", 0.9)]
    searched = graph(
        ("1", step, [("step", 0.8)]),
        ("2", step, [("step", 0.3), ("outcome", 1.0), ("outcome", None)]),  # the outcome goes before the step
        ("3", [("rule", 0.0)], step),  # refuted on its way: 0
        (None, step, []),  # unfinished: no score
        ("5", step, [("step", 0.0)]),  # not among the first four
    )
    assert difficulty(searched, 4) == pytest.approx(1 - (0.8 + 1.0 + 0.0) / 3)
    assert difficulty(searched, 2) == pytest.approx(1 - 0.9)
    assert difficulty(searched, 5) == pytest.approx(1 - 1.8 / 4)


def test_difficulty_without_scores_is_disagreement() -> None:
    searched = graph(("7", [], []), ("8", [], [("step", None)]), ("7", [], []), (None, [], []))
    assert difficulty(searched, 4) == pytest.approx(
        1 - 2 / 4
    )  # two of four say 7; a failed evaluation is no score
    assert difficulty(searched, 1) == 0.0
    assert difficulty(graph((None, [], []), (None, [], [])), 4) == 1.0
    assert difficulty(graph(), 4) == 1.0
    failed = replace(searched, result=UnitResult("failed", None, None, None, "failed: broken", Usage()))
    assert difficulty(failed, 4) is None  # an error is never a score


def one(problem: int, hard: float, **solved: tuple[bool, int]) -> Searched:
    return Searched(
        problem,
        hard,
        {label: right for label, (right, _) in solved.items()},
        {label: tokens for label, (_, tokens) in solved.items()},
    )


def test_the_policy_by_hand() -> None:
    searched = [
        one(0, 0.0, a=(True, 10), b=(True, 30)),  # bin 1: both solve it all, a is cheaper
        one(1, 0.1, a=(True, 10), b=(True, 30)),
        one(2, 0.4, a=(True, 10), b=(False, 30)),  # bin 2: one each, a is cheaper
        one(3, 0.5, a=(False, 10), b=(True, 30)),
        one(4, 0.8, a=(False, 10), b=(True, 30)),  # bin 3: b
        one(5, 0.9, a=(False, 10), b=(True, 30)),
    ]
    policy = fit(searched, 3)
    assert policy == Policy((0.1, 0.5), ("a", "a", "b"))
    assert [policy.choose(d) for d in (0.0, 0.1, 0.11, 0.5, 0.51, 1.0)] == ["a", "a", "a", "a", "b", "b"]
    assert fit(searched, 1) == Policy((), ("b",))  # b solves five of six, a three
    assert best([one(0, 0.0, b=(True, 5), a=(True, 5))]) == "a"  # equal in all: by name


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(1, 6))
def test_every_bin_has_problems(difficulties: list[int], bins: int) -> None:
    searched = [one(i, d / 4, a=(True, 1)) for i, d in enumerate(difficulties)]
    policy = fit(searched, bins)
    assert list(policy.edges) == sorted(set(policy.edges))
    assert len(policy.labels) == len(policy.edges) + 1 <= bins
    filled = {sum(edge < s.difficulty for edge in policy.edges) for s in searched}
    assert filled == set(range(len(policy.labels)))


def test_cross_validation_learns_from_the_other_half() -> None:
    # each problem is solved by a scheme of its own only: learned on all, the table would solve something; from the other half it cannot
    labels = [f"s{i}" for i in range(8)]
    searched = [one(i, 0.5, **{s: (s == f"s{i}", 10) for s in labels}) for i in range(8)]
    assert searched[0].solved[fit(searched[:1], 1).labels[0]]
    chosen = cross_validate(searched, 1)
    assert sorted(s.problem for s, _, _ in chosen) == list(range(8))
    assert not any(s.solved[label] or s.solved[single] for s, label, single in chosen)


def test_all_searches_of_a_problem_are_in_the_same_half() -> None:
    labels = [f"s{i}" for i in range(6)]
    searched = [one(i // 2, 0.5, **{s: (s == f"s{i // 2}", 10) for s in labels}) for i in range(12)]
    assert not any(s.solved[label] for s, label, _ in cross_validate(searched, 2))
    assert cross_validate(searched[:2], 2) == []  # a single problem has no other half
