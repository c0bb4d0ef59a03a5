"""Readers, labels, models and reference answers."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from thoughtgraph.graph.errors import StoreError, UserError
from thoughtgraph.graph.ledger import Commit, Lease, RunSpec, UnitResult
from thoughtgraph.graph.records import Edge, Evaluation, Operator, Problem, Thought, Usage
from thoughtgraph.storage.labels import (
    DatasetSnapshot,
    Label,
    ModelArtifact,
    add_labels,
    read_datasets,
    read_labels,
    read_models,
    register_dataset,
    register_model,
)
from thoughtgraph.storage.read import (
    latest_run,
    list_runs,
    list_units,
    read_unit,
    resolve_problem,
    resolve_run,
    run_usage,
    thought_unit,
    unit_events,
    unit_graph,
    unit_model_calls,
    unit_tool_calls,
    unit_usage,
)
from thoughtgraph.storage.references import read_references, set_references
from thoughtgraph.storage.store import SqlStore

ROOT = Path(__file__).parent.parent
RESULT = UnitResult("answered", "24", "t", 0.75, "finished", Usage(1, 2, 3, 4, 5, 6.5, 0.25))


def test_runs_are_listed_newest_first(store: SqlStore, lease: Lease, spec: RunSpec) -> None:
    store.finish(lease, RESULT)
    store.grade(spec.id, lease.problem.id, True)
    store.create_run(replace(spec, id="run-2"), [])
    newest, oldest = list_runs(store.database)
    assert (newest.spec.id, newest.units, newest.solved) == ("run-2", 0, 0)
    assert oldest.spec == spec
    assert (oldest.units, oldest.pending, oldest.leased, oldest.done, oldest.failed, oldest.solved) == (
        2,
        1,
        0,
        1,
        0,
        1,
    )
    assert timedelta(0) <= datetime.now(UTC) - oldest.created_at < timedelta(minutes=1)
    assert latest_run(store.database).id == "run-2"
    assert [run.spec.id for run in list_runs(store.database, limit=1)] == ["run-2"]


def test_an_empty_database_has_no_latest_run(store: SqlStore) -> None:
    with pytest.raises(UserError, match="no runs yet"):
        latest_run(store.database)


def test_prefixes_name_one_run(store: SqlStore, spec: RunSpec) -> None:
    for name in ("abc", "abcd", "abde", "x%_"):
        store.create_run(replace(spec, id=name), [])
    assert resolve_run(store.database, "abc") == "abc"
    assert resolve_run(store.database, "abd") == "abde"
    assert store.run("x").id == "x%_"
    for prefix, message in (
        ("ab", "several runs"),
        ("%", "no run '%'"),
        ("zz", "no run 'zz'"),
        ("", "no run ''"),
    ):
        with pytest.raises(UserError, match=message):
            resolve_run(store.database, prefix)


def test_prefixes_name_one_problem(store: SqlStore, spec: RunSpec) -> None:
    store.create_run(spec, [Problem(name, "t", "q") for name in ("1", "10", "20")])
    assert resolve_problem(store.database, spec.id, "1") == "1"
    assert resolve_problem(store.database, spec.id, "2") == "20"
    for prefix in ("", "3"):
        with pytest.raises(UserError):
            resolve_problem(store.database, spec.id, prefix)


def test_units_show_where_they_stand(store: SqlStore, lease: Lease, spec: RunSpec) -> None:
    leased, pending = list_units(store.database, spec.id)
    assert (leased.problem, leased.status, leased.worker, leased.token) == (
        lease.problem,
        "leased",
        "worker-1",
        1,
    )
    assert leased.expires_at is not None
    assert timedelta(seconds=50) < leased.expires_at - datetime.now(UTC) <= timedelta(seconds=60)
    assert (pending.problem.id, pending.status, pending.worker, pending.started_at) == (
        "p2",
        "pending",
        None,
        None,
    )
    store.finish(lease, RESULT)
    done = read_unit(store.database, spec.id, "p1")
    assert done.result == RESULT
    assert (done.status, done.worker, done.expires_at) == ("done", None, None)
    assert done.started_at is not None
    assert done.finished_at is not None
    assert done.started_at <= done.finished_at
    with pytest.raises(UserError, match="no problem 'p9'"):
        read_unit(store.database, spec.id, "p9")


def test_usage_is_summed_over_units(store: SqlStore, lease: Lease, spec: RunSpec) -> None:
    assert run_usage(store.database, spec.id) == Usage()
    store.finish(lease, RESULT)
    other = store.claim(spec.id, "w", 60)
    assert other is not None
    store.finish(other, RESULT)
    assert run_usage(store.database, spec.id) == Usage(2, 4, 6, 8, 10, 13.0, 0.5)


def test_a_unit_s_graph(store: SqlStore, lease: Lease, root: Thought, wave: Callable[[int], Commit]) -> None:
    first = wave(0)
    merged = Thought("merged", tuple(t.id for t in first.thoughts), Operator.AGGREGATE, "m", 2, "r2")
    store.commit(lease, first)
    store.commit(lease, Commit((merged,)))
    a, b = first.thoughts
    late = Evaluation(a.id, "step", "prm@2", 0.1)
    store.add_evaluations([late])
    graph = unit_graph(store.database, lease.run, lease.problem.id)
    assert graph.problem == lease.problem
    assert graph.root == root.id
    assert list(graph.thoughts.values()) == [root, a, b, merged]
    assert sorted(graph.edges, key=str) == sorted(
        [
            Edge(root.id, a.id, 0, Operator.GENERATE),
            Edge(root.id, b.id, 0, Operator.GENERATE),
            Edge(a.id, "merged", 0, Operator.AGGREGATE),
            Edge(b.id, "merged", 1, Operator.AGGREGATE),
        ],
        key=str,
    )
    assert graph.evaluations == {a.id: (first.evaluations[0], late), b.id: (first.evaluations[1],)}
    assert graph.result is None
    with pytest.raises(UserError, match="no problem 'p9'"):
        unit_graph(store.database, lease.run, "p9")


def test_a_unit_s_log_and_calls(store: SqlStore, lease: Lease, wave: Callable[[int], Commit]) -> None:
    commit = wave(0)
    store.commit(lease, commit)
    where = (store.database, lease.run, lease.problem.id)
    assert [event.kind for event in unit_events(*where)] == ["select", "told", "told", "backpropagate"]
    assert sorted(unit_model_calls(*where), key=str) == sorted(commit.model_calls, key=str)
    assert sorted(unit_tool_calls(*where), key=str) == sorted(commit.tool_calls, key=str)
    assert unit_usage(*where).completion_tokens == 24
    thought = commit.thoughts[0].id
    assert thought_unit(store.database, thought[:12]) == (thought, lease.run, lease.problem.id)
    with pytest.raises(UserError, match="no thought"):
        thought_unit(store.database, "ffffffffff")


def test_labels_are_appended(store: SqlStore, lease: Lease, root: Thought) -> None:
    first = Label(root.id, "mc", "builtin:numbers", 0.25, rollouts=8, successes=2)
    second = Label(root.id, "human", "anna", 1.0)
    add_labels(store.database, [first, second])
    add_labels(store.database, [first])
    assert read_labels(store.database) == [first, second, first]
    assert read_labels(store.database, run=lease.run, kind="human", source="anna") == [second]
    assert read_labels(store.database, run="run-2") == []
    with pytest.raises(StoreError):
        add_labels(store.database, [second, replace(first, thought="missing")])
    assert len(read_labels(store.database)) == 3
    with pytest.raises(UserError, match="not in"):
        Label(root.id, "mc", "s", float("nan"))


def test_models_and_their_data(store: SqlStore) -> None:
    snapshot = DatasetSnapshot("prm", {"runs": ["run-1"], "kind": "mc"}, "ab" * 32, 100, "data/prm.jsonl")
    dataset = register_dataset(store.database, snapshot)
    assert register_dataset(store.database, replace(snapshot, path="moved.jsonl")) == dataset
    assert read_datasets(store.database, "prm") == [snapshot]
    assert read_datasets(store.database, "sft") == []
    model = ModelArtifact("numbers-prm", "1", "prm", "models/1", "builtin:numbers", dataset, {"auc": 0.9})
    register_model(store.database, model)
    register_model(store.database, model)
    register_model(store.database, replace(model, version="2"))
    assert [m.version for m in read_models(store.database, "numbers-prm")] == ["2", "1"]
    assert read_models(store.database, "other") == []
    with pytest.raises(UserError, match="registered with other contents"):
        register_model(store.database, replace(model, metrics={"auc": 0.1}))
    with pytest.raises(StoreError):
        register_model(store.database, replace(model, version="3", dataset="missing"))


def test_references_are_kept_apart(store: SqlStore, spec: RunSpec) -> None:
    store.create_run(spec, [Problem("p1", "numbers", "1 2 3 4"), Problem("p2", "numbers", "2 3 4 5")])
    set_references(store.database, "numbers", {"p1": "24"})
    set_references(store.database, "numbers", {"p1": "24", "p2": "25"})
    assert read_references(store.database, "numbers") == {"p1": "24", "p2": "25"}
    assert read_references(store.database, "math") == {}
    set_references(store.database, "numbers", {"p1": "23"})
    assert read_references(store.database, "numbers") == {"p1": "23", "p2": "25"}
    with pytest.raises(StoreError):
        set_references(store.database, "numbers", {"p9": "23"})


def test_nothing_that_searches_can_reach_a_reference() -> None:
    rooms = ("graph", "agents", "tools", "storage")
    allowed = {"storage/references.py", "storage/schema.py"}
    checked = 0
    for room in rooms:
        for path in (ROOT / room).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            if name in allowed or "migrations" in name:
                continue
            checked += 1
            names = {
                part
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Import | ast.ImportFrom)
                for alias in node.names
                for part in (*alias.name.split("."), *(getattr(node, "module", None) or "").split("."))
            }
            assert not names & {"references", "ReferenceRow"}, f"{name} reaches for reference answers"
    assert checked > 20
