"""What settings come to: replayed runs, a shipped model's recommendations, the user's own, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from searches import HashVerifier, runnable, scripted_steps

from thoughtgraph import solve
from thoughtgraph.agents.models.base import Price
from thoughtgraph.agents.models.langchain import LangChainModel
from thoughtgraph.agents.models.latency import LatencyModel
from thoughtgraph.agents.models.remote.openai import OpenAIModel
from thoughtgraph.agents.models.scripted import ScriptedModel, ScriptedScorer
from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.records import Budget
from thoughtgraph.storage.read import list_units, unit_graph
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.assembly import Replacements, assemble, recommended
from thoughtgraph.tasks.base import Item
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runs import start
from thoughtgraph.tasks.settings import Settings

SETTINGS = Settings(task="text", model="scripted", scorer="none", tools=False, budget=Budget(model_calls=12))


async def test_a_replayed_run_makes_the_same_thoughts(tmp_path: Path) -> None:
    store = SqlStore.open(tmp_path / "store.db")
    items = [Item(load_task("text").problem("how many?"))]
    judges = Replacements(verifiers=(HashVerifier(),))
    own = replace(judges, model=ScriptedModel(scripted_steps))
    await start(store, SETTINGS, items, own=own, run="first")
    await start(store, replace(SETTINGS, model="replay:first"), items, own=judges, run="second")
    [first], [second] = list_units(store.database, "first"), list_units(store.database, "second")
    assert first.result is not None
    assert second.result is not None
    assert second.result.answer == first.result.answer
    assert replace(second.result.usage, seconds=0.0) == replace(first.result.usage, seconds=0.0)
    texts = [
        sorted(
            thought.text for thought in unit_graph(store.database, run, first.problem.id).thoughts.values()
        )
        for run in ("first", "second")
    ]
    assert texts[0] == texts[1]
    store.close()


async def test_a_replay_of_nothing_is_refused(tmp_path: Path) -> None:
    store = SqlStore.open(tmp_path / "store.db")
    items = [Item(load_task("text").problem("how many?"))]
    with pytest.raises(UserError, match="no run 'nothing'"):
        await start(store, replace(SETTINGS, model="replay:nothing"), items)
    store.close()


def test_a_shipped_models_recommendation_gives_way_to_the_users_settings() -> None:
    plain = recommended(Settings(params={"widening": 9.0}, min_p=0.5))
    assert plain.params["widening"] == 9.0
    assert plain.params["max_expansions"] == 32
    assert plain.min_p == 0.5
    assert recommended(Settings()).min_p == 0.0003
    assert recommended(Settings(model="builtin:numbers?batch=8")).min_p == 0.0003
    other = Settings(model="hf:somewhere")
    assert recommended(other) == other


async def test_the_users_temperature_goes_before_the_schemes(tmp_path: Path) -> None:
    store = SqlStore.open(tmp_path / "store.db")
    items = [Item(load_task("text").problem("how many?"))]
    for scheme in ("self_consistency", "mcts", "beam", "best_of_n"):
        model = ScriptedModel(scripted_steps)
        own = Replacements(model=model, verifiers=(HashVerifier(),))
        await start(store, replace(SETTINGS, scheme=scheme, temperature=0.31), items, own=own)
        assert {call.sampling.temperature for call in model.asked} == {0.31}
    given = replace(SETTINGS, scheme="best_of_n", temperature=0.31, params={"temperature": 0.5})
    model = ScriptedModel(scripted_steps)
    await start(store, given, items, own=Replacements(model=model, verifiers=(HashVerifier(),)))
    assert {call.sampling.temperature for call in model.asked} == {0.5}
    store.close()


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "foo"},
        {"critic": "foo"},
        {"temperature": -1},
        {"temperature": "hot"},
        {"temperature": float("nan")},
        {"min_p": 2},
        {"tools": "no"},
        {"budget": {"tokens": "abc"}},
        {"budget": {"token": 5}},
        {"budget": 5},
        {"wave": "x"},
        {"seed": 1.5},
        {"scheme": 3},
        {"params": [1]},
        {"model": 3},
        {"foo": 1},
        {"task": "text"},
    ],
)
def test_nonsense_is_refused_in_one_line(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError) as refusal:
        solve("4 5 6 10", db=tmp_path / "store.db", **options)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("question", [None, 5, ["4"]])
def test_a_question_is_text(question: Any) -> None:
    with pytest.raises(UserError, match="is not text"):
        solve(question)


OUTCOMES = ScriptedScorer(lambda trace: [0.5] * len(trace.steps), name="outcomes", kind="outcome")


@pytest.mark.parametrize(
    "scheme",
    ["beam", "dvts", "tot_bfs", "mcts_x1", "particle_filter", "rest_mcts", "stepwise_bon", "q_star"],
)
async def test_a_scorer_of_solutions_is_no_scorer_of_steps(scheme: str) -> None:
    store, items = SqlStore.open(":memory:"), [Item(load_task("text").problem("how many?"))]
    own = Replacements(model=ScriptedModel(scripted_steps), scorer=OUTCOMES)
    raw = replace(SETTINGS, scheme=scheme, params=runnable(scheme, {}))
    with pytest.raises(
        UserError, match="needs scores of steps, and outcomes scores finished solutions only; give"
    ) as no:
        await start(store, raw, items, own=own)
    assert "\n" not in str(no.value)
    assert "--scorer" in str(no.value)
    await start(store, raw, items, own=replace(own, scorer=ScriptedScorer(lambda t: [0.5] * len(t.steps))))
    await start(
        store, raw, items, own=replace(own, verifiers=(HashVerifier(),))
    )  # somebody else scores steps
    store.close()


async def test_a_scorer_of_solutions_chooses_among_solutions() -> None:
    store, items = SqlStore.open(":memory:"), [Item(load_task("text").problem("how many?"))]
    own = Replacements(model=ScriptedModel(scripted_steps), scorer=OUTCOMES)
    for scheme in ("best_of_n", "weighted_vote", "mcts"):
        await start(store, replace(SETTINGS, scheme=scheme), items, own=own)
    with pytest.raises(UserError, match="scores finished solutions only"):
        await start(store, replace(SETTINGS, scheme="best_of_n", params={"by": "prm"}), items, own=own)
    store.close()


FREE = ScriptedModel(scripted_steps)
HOSTED = "openai:m?base_url=http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("changes", "own"),
    [
        ({"model": HOSTED}, Replacements()),
        ({"agents": {"judge": HOSTED}}, Replacements(model=FREE)),
        ({}, Replacements(model=OpenAIModel("m", base_url="http://127.0.0.1:9/v1"))),
        (
            {},
            Replacements(model=LatencyModel(OpenAIModel("m", base_url="http://127.0.0.1:9/v1"), mean=0.001)),
        ),
        ({}, Replacements(model=LangChainModel(FakeListChatModel(responses=["x"]), name="langchain:x"))),
    ],
)
def test_a_budget_in_dollars_needs_the_price_of_every_remote_model(
    changes: dict[str, Any], own: Replacements
) -> None:
    store = SqlStore.open(":memory:")
    settings = replace(SETTINGS, scheme="cot", **changes)
    assemble(settings, store, own)
    with pytest.raises(
        UserError, match=r"cannot bind: (openai|langchain):\w+ has no price; say &price=IN,OUT"
    ) as no:
        assemble(replace(settings, budget=Budget(usd=1.0)), store, own)
    assert "\n" not in str(no.value)
    store.close()


def test_a_budget_in_dollars_binds_where_the_price_is_known() -> None:
    store = SqlStore.open(":memory:")
    settings = replace(SETTINGS, scheme="cot", budget=Budget(usd=1.0))
    assemble(settings, store, Replacements(model=FREE))
    priced = OpenAIModel("m", base_url="http://127.0.0.1:9/v1", price=Price())  # free, and said so
    assemble(settings, store, Replacements(model=priced))
    assemble(replace(settings, model=f"{HOSTED}&price=3,15"), store)
    store.close()


def test_a_role_that_no_agent_of_the_scheme_plays_is_refused() -> None:
    with pytest.raises(UserError, match=r"unknown role 'discrimnator' of .*; did you mean 'discriminator'"):
        solve("4 5 6 10", scheme="cot", agents={"discrimnator": "builtin:numbers"}, db=":memory:")
