"""The machine as a whole: reproducibility, budgets, failures, graceful stop."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from searches import HashVerifier, digest, make_setup, runnable, scripted_steps

from thoughtgraph.agents.models.base import Generation, GenerationCall, Limits, Price
from thoughtgraph.agents.models.latency import LatencyModel
from thoughtgraph.agents.models.scripted import ScriptedModel, ScriptedScorer
from thoughtgraph.agents.protocols import Gateway, Judgement, Proposal, Subject
from thoughtgraph.agents.team import Team
from thoughtgraph.agents.verifier import StepScoreVerifier
from thoughtgraph.graph.errors import AgentError, ModelError, ModelUnavailableError, UserError
from thoughtgraph.graph.host import Setup
from thoughtgraph.graph.ledger import ModelCall, RunSpec
from thoughtgraph.graph.machine import build
from thoughtgraph.graph.records import Budget
from thoughtgraph.graph.schemes import defaults, schemes
from thoughtgraph.storage.read import list_units, nested_runs, unit_graph, unit_model_calls
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runner import Drain, Runner
from thoughtgraph.tasks.text import TextDomain

SCHEMES = sorted(schemes())
TASK = load_task("text")


async def search_all(
    setup: Setup, questions: Sequence[str], parallel: int, drain: Drain | None = None
) -> list[Any]:
    """Search these questions in one run, and return how they ended."""
    problems = [TASK.problem(question) for question in questions]
    setup.store.create_run(setup.spec, problems)
    machine, host = build(setup)
    try:
        return await Runner(machine, host, TASK, setup.spec.id, {}, drain or Drain()).search_all(parallel)
    finally:
        host.shutdown()


def calls_of(store: SqlStore, run: str) -> list[ModelCall]:
    """Return all model calls of a run and of the runs inside its thoughts."""
    return [
        call
        for each in (run, *nested_runs(store.database, run))
        for unit in list_units(store.database, each)
        for call in unit_model_calls(store.database, each, unit.problem.id)
    ]


def in_memory() -> SqlStore:
    return SqlStore.open(":memory:")


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_lockstep_gives_the_identical_record_with_one_or_eight_problems_at_once(scheme: str) -> None:
    questions = [f"question {i}" for i in range(8)]
    records: list[Any] = []
    for parallel in (1, 8):
        store = in_memory()
        await search_all(make_setup(store, scheme, run="same"), questions, parallel)
        records.append(digest(store, "same"))
        store.close()
    assert records[0] == records[1]
    assert len(records[0]) == 8


def fingerprint() -> str:
    """Return a digest of a whole search, for comparison between processes."""
    store = in_memory()
    asyncio.run(search_all(make_setup(store, run="same"), ["question"], 1))
    return json.dumps(digest(store, "same"), default=lambda record: asdict(record), sort_keys=True)


def test_the_record_does_not_depend_on_the_hash_seed() -> None:
    code = "import test_machine; print(test_machine.fingerprint())"
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parent), "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "12345")
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) > 1000


async def test_another_seed_gives_another_search() -> None:
    def seeded(call: GenerationCall) -> list[str]:
        return [f"step {(call.seed + call.first_sample + i) % 1000}" for i in range(call.n)]

    records: list[Any] = []
    for seed in (0, 1):
        store = in_memory()
        await search_all(make_setup(store, run="same", seed=seed, script=seeded), ["question"], 1)
        records.append(digest(store, "same")["question"]["thoughts"].keys())
    assert records[0] != records[1]


LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "tokens": st.integers(1, 400),
        "model_calls": st.integers(1, 15),
        "usd": st.floats(1e-5, 1e-2),
    },
).filter(bool)


@pytest.mark.parametrize("mode", ["lockstep", "rolling"])
@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limits=LIMITS, wave=st.integers(1, 6))
def test_no_budget_is_ever_exceeded(scheme: str, mode: Any, limits: dict[str, float], wave: int) -> None:
    model = ScriptedModel(scripted_steps, price=Price(prompt=1.0, completion=2.0))
    budget = Budget(**{"model_calls": 20, **limits})  # pyright: ignore[reportArgumentType]
    store = in_memory()
    setup = make_setup(store, scheme, run="r", model=model, budget=budget, mode=mode, wave=wave)
    [end] = asyncio.run(search_all(setup, ["question"], 1))
    paid = end.usage
    spent = {"tokens": paid.completion_tokens, "model_calls": paid.model_calls, "usd": paid.usd}
    for name, limit in budget.as_dict().items():
        assert spent[name] <= limit
    calls = calls_of(store, "r")
    assert paid.model_calls == len(calls)
    assert paid.completion_tokens == sum(call.completion_tokens for call in calls)
    assert paid.usd == pytest.approx(sum(call.usd for call in calls))
    store.close()


async def test_verifier_and_tool_calls_are_budgeted_and_what_is_left_unscored_is_not_a_zero() -> None:
    scorer = ScriptedScorer(lambda trace: [0.5] * len(trace.steps))
    store = in_memory()
    setup = make_setup(store, "best_of_n", {"n": 6, "block": 6}, run="r", budget=Budget(verifier_calls=4))
    team = Team(setup.team.generator, verifiers=(StepScoreVerifier(scorer, TextDomain()),))
    [end] = await search_all(replace(setup, team=team), ["question"], 1)
    assert end.usage.verifier_calls == 4
    assert end.stopped == "budget:verifier_calls"
    [unit] = list_units(store.database, "r")
    judged = [
        e for found in unit_graph(store.database, "r", unit.problem.id).evaluations.values() for e in found
    ]
    assert sum(e.value is not None for e in judged) == 4
    assert all(e.error == "the budget of verifier_calls is spent" for e in judged if e.value is None)
    assert len(judged) > 4


class Stalling(ScriptedModel):
    """Answers the first two calls, and then never again."""

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        if len(self.asked) >= 2:
            await asyncio.Event().wait()
        return await super().generate(calls)


@pytest.mark.parametrize("mode", ["lockstep", "rolling"])
async def test_seconds_end_the_waiting_and_what_came_in_time_counts(mode: Any) -> None:
    model = Stalling(scripted_steps, limits=Limits(batch=1, concurrency=8))
    store = in_memory()
    setup = make_setup(store, "best_of_n", {"n": 8, "block": 1}, run="r", model=model, mode=mode)
    [end] = await search_all(replace(setup, budget=Budget(seconds=1.0)), ["question"], 1)
    assert end.stopped == "budget:seconds"
    assert end.answer is not None
    assert end.usage.model_calls == 2


class Sour(HashVerifier):
    """Fails in every way a judge can."""

    source = "sour"

    async def verify(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
        good = await super().verify(subjects, gateway)
        bad = [
            Judgement("step", value=float("nan")),
            Judgement("step", value=7.0),
            Judgement("step", error="it broke"),
        ]
        return [bad[i % 4] if i % 4 < 3 else judgement for i, judgement in enumerate(good)]


class Raising(HashVerifier):
    source = "raising"

    async def verify(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
        raise ZeroDivisionError("a bug of the user's")


@pytest.mark.parametrize("verifier", [Sour(), Raising()])
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_failed_evaluation_is_recorded_with_its_reason_and_never_wins(
    scheme: str, verifier: Any
) -> None:
    store = in_memory()
    setup = make_setup(store, scheme, run="r")
    await search_all(replace(setup, team=replace(setup.team, verifiers=(verifier,))), ["question"], 1)
    [unit] = list_units(store.database, "r")
    graph = unit_graph(store.database, "r", unit.problem.id)
    judged = [e for found in graph.evaluations.values() for e in found]
    failed = [e for e in judged if e.error is not None]
    assert failed
    assert all(e.value is None for e in failed)
    reasons = {(e.error or "").split(" returned ")[-1].split(",")[0] for e in failed}
    if isinstance(verifier, Raising):
        assert reasons == {"ZeroDivisionError: a bug of the user's"}
    elif unit.result is not None and unit.result.thought is not None and chooses_by_scores(scheme):
        values = [e.value for e in graph.evaluations.get(unit.result.thought, ()) if e.value is not None]
        finished = [t for t in graph.thoughts.values() if t.terminal]
        scored = [t for t in finished if any(e.value is not None for e in graph.evaluations.get(t.id, ()))]
        assert values or not scored


def chooses_by_scores(scheme: str) -> bool:
    """Return whether a scheme cannot do without scores."""
    return bool({"scores", "step_scores"} & schemes()[scheme].needs(runnable(scheme, defaults(scheme))))


class Flaky(ScriptedModel):
    """Fails every third call for good."""

    def __init__(self) -> None:
        super().__init__(scripted_steps)
        self.count = 0

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        results = await super().generate(calls)
        for i in range(len(results)):
            self.count += 1
            if self.count % 3 == 0:
                results[i] = ModelError("the server said 500")
        return results


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_failed_model_calls_are_recorded_and_the_search_goes_on(scheme: str) -> None:
    store = in_memory()
    [end] = await search_all(make_setup(store, scheme, run="r", model=Flaky()), ["question"], 1)
    calls = calls_of(store, "r")
    assert end.usage.model_calls == len(calls)
    failed = [call for call in calls if call.error is not None]
    assert len(failed) == len(calls) // 3
    assert all(call.response is None and call.error == "the server said 500" for call in failed)


async def test_a_model_that_cannot_answer_stops_the_run_which_can_be_resumed() -> None:
    store = in_memory()
    short = ScriptedModel(["step 1"] * 4)
    with pytest.raises(ModelUnavailableError):
        await search_all(make_setup(store, run="r", model=short), ["question", "other"], 2)
    assert [unit.status for unit in list_units(store.database, "r")] == ["pending", "pending"]
    ends = await search_all(make_setup(store, run="r"), ["question", "other"], 2)
    assert len(ends) == 2


class Greedy:
    """Returns more than it was asked for."""

    name = "greedy"

    async def propose(self, context: Any, gateway: Gateway) -> Sequence[Proposal]:
        return [Proposal((), sample=i) for i in range(context.request.n + 1)]


async def test_an_agent_that_breaks_its_contract_fails_its_unit_by_name() -> None:
    store = in_memory()
    setup = make_setup(store, params={}, run="r")
    [end] = await search_all(replace(setup, team=Team(Greedy())), ["question"], 1)
    assert "'greedy' returned 5 proposals where 4 were asked" in str(end.error)
    [unit] = list_units(store.database, "r")
    assert unit.status == "failed"
    assert issubclass(AgentError, Exception)


@pytest.mark.parametrize("mode", ["lockstep", "rolling"])
async def test_a_drained_run_loses_nothing_and_resumes_to_the_whole(mode: Any) -> None:
    questions = [f"question {i}" for i in range(3)]
    whole = in_memory()
    await search_all(make_setup(whole, run="same", mode=mode), questions, 2)
    store, drain = in_memory(), Drain()
    first = ScriptedModel(scripted_steps)
    slow = LatencyModel(first, mean=0.02, sigma=0.5)
    asyncio.get_running_loop().call_later(0.1, drain.request)
    ends = await search_all(make_setup(store, run="same", mode=mode, model=slow), questions, 2, drain)
    assert len(ends) < 3
    assert not [unit for unit in list_units(store.database, "same") if unit.status == "leased"]
    model = ScriptedModel(scripted_steps)
    await search_all(make_setup(store, run="same", mode=mode, model=model), questions, 2)
    assert len(list_units(store.database, "same")) == 3
    if mode == "lockstep":
        assert digest(store, "same") == digest(whole, "same")
    total = sum(u.result.usage.model_calls for u in list_units(store.database, "same") if u.result)
    assert len(first.asked) + len(model.asked) <= total + 2 * 4


async def test_the_machine_needs_a_question_or_a_unit() -> None:
    machine: Any = build(make_setup(in_memory()))[0]
    with pytest.raises(UserError, match="question"):
        await machine.ainvoke({})
    with pytest.raises(UserError, match="empty"):
        await machine.ainvoke({"question": "  "})


def test_an_impossible_wave_is_refused() -> None:
    with pytest.raises(UserError, match="wave 0"):
        make_setup(in_memory(), wave=0)
    assert RunSpec("r", "text", "mcts", {}).seed == 0
