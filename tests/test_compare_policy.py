"""The policy table: difficulty from the first samples, bins by quantiles, choices, cross-validation without leaks, and what is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoughtgraph.graph.ledger import UnitResult
from thoughtgraph.graph.records import Evaluation, Operator, Problem, Thought, Usage
from thoughtgraph.graph.schemes.composition import _KEPT  # pyright: ignore[reportPrivateUsage]
from thoughtgraph.graph.schemes.compute_optimal import kept_table, read_table
from thoughtgraph.storage.read import UnitGraph
from thoughtgraph.tasks.comparison import policy
from thoughtgraph.tasks.comparison.policy import Policy, Searched, best, cross_validate, difficulty, fit

from .cli_world import Cli
from .compare_world import compare, prepare


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
    return UnitGraph("run", Problem("p", "text", "?"), "root", thoughts, (), evaluations, {}, None)


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
    assert difficulty(searched, 9) == pytest.approx(1 - 2 / 4)  # a sample that left no thought does not count
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


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    cli = prepare(Cli(tmp_path, capsys))
    monkeypatch.setenv("THOUGHTGRAPH_DB", cli.db)
    return cli


def test_a_table_that_chooses_a_file_needs_neither_it_nor_its_folder(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, outside = cli.folder / "inside", cli.folder / "outside"
    inside.mkdir()
    outside.mkdir()
    monkeypatch.chdir(inside)
    Path("mine.yaml").write_text("name: mine\nbase: cot")
    done = compare(cli, "--no-plot", "--learn", "policy.json", schemes="mine.yaml")
    assert done.code == 0, done.err
    text = Path("policy.json").read_text()
    monkeypatch.chdir(outside)
    (inside / "mine.yaml").unlink()
    _KEPT.clear()  # as in another process
    chosen = [choice for _, bins in read_table(text).budgets for choice in bins.choices]
    assert {choice.composition for choice in chosen} == {"", "name: mine\nbase: cot"}
    kept = kept_table(str(inside / "policy.json"), None)
    assert kept_table(kept, None) == kept


def test_a_table_never_chooses_what_reads_one(cli: Cli) -> None:
    # it probes by one sample and goes on as cot: as good and as cheap, and first by name
    chain = {"scheme": "cot", "params": {"prompting": "plain"}}
    table = json.dumps({"probe": 1, "budgets": {"1": {"edges": [], "choices": [chain]}}})
    preset = cli.folder / "a_preset.yaml"
    preset.write_text(f"name: a_preset\nbase: compute_optimal\nparams: {{table: '{table}'}}")
    file = cli.folder / "policy.json"
    done = compare(cli, "--no-plot", "--json", "--learn", str(file), schemes=f"{preset},cot")
    rows = {row["label"]: row for row in done.record["rows"] if row["budget"] == 400}
    assert rows[str(preset)]["tokens"] == rows["cot"]["tokens"]
    assert {c.scheme for _, bins in read_table(file.read_text()).budgets for c in bins.choices} >= {"cot"}


def test_a_table_records_the_temperature_it_was_learned_at(cli: Cli) -> None:
    file = cli.folder / "policy.json"
    more = ["--no-plot", "--learn", str(file), "--param"]
    assert compare(cli, *more, "weighted_vote.temperature=1.6", schemes="cot").code == 0
    assert json.loads(file.read_text())["temperature"] == 1.6
    assert compare(cli, *more, "weighted_vote.temperature=none", schemes="cot").code == 0
    assert json.loads(file.read_text())["temperature"] is None


def test_without_a_baseline_nothing_is_learned(cli: Cli) -> None:
    few_shot = [f"--param={name}.prompting=few_shot" for name in ("self_consistency", "weighted_vote")]
    file = cli.folder / "policy.json"
    done = compare(cli, "--no-plot", "--learn", str(file), *few_shot, schemes="cot")
    assert done.code != 0
    assert "no policy table can be learned: the samples of weighted_vote or self_consistency" in done.err
    assert "the baseline weighted_vote is left out" in done.err
    assert not file.exists()


def test_no_table_is_written_without_a_difficulty(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(graph: UnitGraph, probe: int) -> None:
        """What `difficulty` says of a search that failed."""

    monkeypatch.setattr(policy, "difficulty", failed)
    file = cli.folder / "policy.json"
    done = compare(cli, "--no-plot", "--learn", str(file), schemes="cot")
    assert done.code != 0
    assert "no policy table can be learned: every search of weighted_vote failed" in done.err
    assert not file.exists()
