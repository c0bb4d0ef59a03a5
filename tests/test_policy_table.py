"""Runs of compute_optimal: where its table comes from, that the run's record holds it, and what is refused before there is a record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from searches import HashVerifier, scripted_steps

from thoughtgraph.agents.models.advice import Advice, builtin_advice, read_advice
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.records import Budget
from thoughtgraph.graph.schemes.compute_optimal import kept_table, read_table
from thoughtgraph.storage.read import list_runs
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks import assembly
from thoughtgraph.tasks.assembly import Replacements, assemble
from thoughtgraph.tasks.base import Item
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runner import Drain
from thoughtgraph.tasks.runs import Watch, resume, start
from thoughtgraph.tasks.settings import Settings

VOTE: dict[str, Any] = {"scheme": "self_consistency", "params": {"n": 6, "prompting": "plain"}}
TREE: dict[str, Any] = {"scheme": "mcts", "params": {}}
TABLE: dict[str, Any] = {
    "task": "text",
    "model": "scripted",
    "probe": 2,
    "budgets": {
        "100": {"edges": [0.4], "choices": [VOTE, TREE]},
        "900": {"edges": [], "choices": [TREE]},
    },
}
ADVICE: dict[str, Any] = {
    "min_p": 0.0,
    "step_tokens": 40,
    "unique": False,
    "schemes": {},
    "policy_table": "table.json",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder: what it recommends, and a table."""
    (tmp_path / "search.json").write_text(json.dumps(ADVICE))
    (tmp_path / "table.json").write_text(json.dumps(TABLE))
    return tmp_path


def own() -> Replacements:
    return Replacements(model=ScriptedModel(scripted_steps), verifiers=(HashVerifier(),))


def settings(scheme: str = "compute_optimal", /, budget: Budget | None = None, **params: Any) -> Settings:
    budget = budget or Budget(tokens=400)
    return Settings(
        task="text", scheme=scheme, params=params, model="scripted", scorer="none", tools=False, budget=budget
    )


async def refused(asked: Settings) -> str:
    """Return why a run is refused, of which nothing is recorded."""
    store = SqlStore.open(":memory:")
    with pytest.raises(UserError) as refusal:
        await start(store, asked, [Item(load_task("text").problem("how many?"))], own=own())
    assert list_runs(store.database) == []
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


async def test_a_resume_needs_no_table_file(folder: Path) -> None:
    store, drain, file = SqlStore.open(folder / "store.db"), Drain(), folder / "table.json"
    items = [Item(load_task("text").problem(question)) for question in ("one?", "two?", "three?")]

    def stop(end: object) -> None:
        drain.request()

    asked = settings(table=str(file))
    summary = await start(store, asked, items, own=own(), parallel=1, watch=Watch(drain, on_end=stop))
    assert 0 < summary.finished < 3
    recorded = store.run(summary.run).settings["params"]["table"]
    assert read_table(recorded) == read_table(file.read_text())
    file.unlink()
    assert (await resume(store, summary.run, own=own())).finished == 3
    assert store.run(summary.run).settings["params"]["table"] == recorded
    store.close()


@pytest.mark.parametrize("given", [{}, {"table": "auto"}])
async def test_the_table_of_the_model_in_use_is_found_and_recorded(
    given: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def advice(spec: str) -> Advice:
        return read_advice(folder)

    monkeypatch.setattr(assembly, "builtin_advice", advice)
    store = SqlStore.open(":memory:")
    items = [Item(load_task("text").problem("how many?"))]
    summary = await start(store, settings(**given), items, own=own())
    assert summary.finished == 1
    recorded = store.run(summary.run).settings["params"]["table"]
    assert recorded == kept_table("auto", json.dumps(TABLE))


async def test_without_a_table_there_is_no_run(folder: Path) -> None:
    assert "learn one with `thoughtgraph compare" in await refused(settings())
    assert "learn one with `thoughtgraph compare" in await refused(settings(table="auto"))
    inner = settings("llama_berry", inner="compute_optimal")
    assert "learn one with `thoughtgraph compare" in await refused(inner)
    assert "cannot be read: No such file" in await refused(settings(table=str(folder / "none.json")))


def test_a_model_recommends_no_table_where_none_was_learned(folder: Path) -> None:
    assert read_advice(folder).policy_table == json.dumps(TABLE)
    (folder / "table.json").unlink()
    assert read_advice(folder).policy_table is None
    shipped = builtin_advice("builtin:numbers")
    assert shipped is not None
    if shipped.policy_table is not None:
        known = read_table(kept_table("auto", shipped.policy_table))
        assert (known.probe, known.temperature) == (4, 1.6)


@pytest.mark.parametrize(
    ("given", "budget", "looked_up"),
    [
        ({}, Budget(tokens=400), 400),
        ({"budget_tokens": "0"}, Budget(tokens=400), 400),
        ({"budget_tokens": 900}, Budget(tokens=400), 900),
        ({}, Budget(model_calls=9), 0),
    ],
)
def test_the_budget_looked_up_is_the_runs(
    given: dict[str, Any], budget: Budget, looked_up: int, folder: Path
) -> None:
    asked = settings(budget=budget, table=str(folder / "table.json"), **given)
    params = assemble(asked, SqlStore.open(":memory:"), own()).spec.settings["params"]
    assert params.get("budget_tokens", 0) == looked_up


def test_a_preset_keeps_its_own_budget(folder: Path) -> None:
    file = folder / "mine.yaml"
    file.write_text("name: mine\nbase: compute_optimal\nparams: {budget_tokens: 100}")
    asked = settings(str(file), table=str(folder / "table.json"))
    params = assemble(asked, SqlStore.open(":memory:"), own()).spec.settings["params"]
    assert "budget_tokens" not in params
    assert read_table(params["table"]) == read_table(json.dumps(TABLE))


async def test_a_search_inside_a_thought_has_a_registered_scheme(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    Path("mine.yaml").write_text("name: mine\nbase: mcts")
    for name in ("mine.yaml", "nowhere.YML", "mine@01234567"):
        said = await refused(settings("forest", scheme=name))
        assert f"scheme 'forest': scheme='{name}' is a file's scheme" in said
        assert "give a name from `thoughtgraph schemes`" in said
    assert "unknown scheme 'mtcs'; did you mean 'mcts'?" in await refused(settings("forest", scheme="mtcs"))
    Path("grove.yaml").write_text("name: grove\nbase: forest\nparams: {scheme: mine.yaml}")
    assert "grove.yaml: scheme 'forest': scheme='mine.yaml'" in await refused(settings("grove.yaml"))
    assert assemble(settings("forest", scheme="beam"), SqlStore.open(":memory:"), own())
