"""A person decides before an answer is final: what each reply does, and that nothing passes the gate unseen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from searches import HashVerifier, make_setup

from thoughtgraph.agents.protocols import Gateway, Judgement, Subject
from thoughtgraph.agents.team import Team
from thoughtgraph.graph.host import Setup
from thoughtgraph.graph.machine import build
from thoughtgraph.graph.records import Budget
from thoughtgraph.storage.read import list_units, unit_graph
from thoughtgraph.storage.store import SqlStore

CONFIG: Any = {"configurable": {"thread_id": "1"}}


class Checker(HashVerifier):
    """Holds every answer for right, so that the first one ends the search."""

    source = "checker"

    async def verify(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
        return [Judgement("outcome", value=1.0) if s.thought.answer is not None else None for s in subjects]


def reviewed(store: SqlStore, budget: Budget | None = None, *, checked: bool = True) -> Setup:
    setup = make_setup(store, budget=budget or Budget(model_calls=40))
    verifiers = (HashVerifier(), Checker()) if checked else (HashVerifier(),)
    return replace(setup, review="answer", team=Team(setup.team.generator, verifiers=verifiers))


def machine_of(setup: Setup, saver: InMemorySaver | None = None) -> Any:
    return build(setup, saver or InMemorySaver())[0]


async def asked(machine: Any, put: Any) -> dict[str, Any]:
    """Go on until the machine asks, and return what it shows."""
    out: dict[str, Any] = await machine.ainvoke(put, CONFIG)
    [question] = out["__interrupt__"]
    return question.value


def result_of(store: SqlStore) -> tuple[str | None, str | None, str]:
    [unit] = list_units(store.database, only_run(store))
    assert unit.result is not None
    return unit.result.status, unit.result.answer, unit.result.stopped


def only_run(store: SqlStore) -> str:
    with store.database.reading() as connection:
        [run] = connection.exec_driver_sql("select id from run").scalars().all()
    return str(run)


def judged_by_a_person(store: SqlStore) -> dict[str, list[tuple[str, float | None, str | None]]]:
    run = only_run(store)
    [unit] = list_units(store.database, run)
    evaluations = unit_graph(store.database, run, unit.problem.id).evaluations
    found = {
        thought: [(e.kind, e.value, e.text) for e in on if e.source == "person"]
        for thought, on in evaluations.items()
    }
    return {thought: on for thought, on in found.items() if on}


@pytest.fixture
def memory() -> SqlStore:
    return SqlStore.open(":memory:")


async def test_accept_makes_the_answer_final(memory: SqlStore) -> None:
    machine = machine_of(reviewed(memory))
    shown = await asked(machine, {"question": "question"})
    assert shown["question"] == "question"
    assert shown["score"] == 1.0
    assert shown["steps"][-1] == f"Answer: {shown['answer']}"
    assert shown["choices"] == ["accept", "continue", {"reject": "the reason"}]
    out = await machine.ainvoke(Command(resume="accept"), CONFIG)
    assert out["answer"] == shown["answer"]
    assert result_of(memory) == ("answered", shown["answer"], "finished")
    assert judged_by_a_person(memory) == {}


async def test_a_rejected_answer_is_refuted_with_its_reason_and_another_is_found(memory: SqlStore) -> None:
    machine = machine_of(reviewed(memory))
    first = await asked(machine, {"question": "question"})
    second = await asked(machine, Command(resume={"reject": "it is a guess"}))
    assert second["thought"] != first["thought"]
    assert judged_by_a_person(memory) == {first["thought"]: [("rule", 0.0, "it is a guess")]}
    await machine.ainvoke(Command(resume="accept"), CONFIG)
    assert result_of(memory) == ("answered", second["answer"], "finished")


async def test_continue_searches_for_a_better_answer_and_keeps_the_first_one_in_play(
    memory: SqlStore,
) -> None:
    machine = machine_of(reviewed(memory))
    first = await asked(machine, {"question": "question"})
    second = await asked(machine, Command(resume="continue"))
    assert second["thought"] != first["thought"]
    assert second["score"] == 1.0
    [(kind, value, _)] = judged_by_a_person(memory)[first["thought"]]
    assert (kind, value) == ("outcome", 0.5)
    third = await asked(machine, Command(resume={"reject": "worse"}))
    assert third["thought"] not in (second["thought"],)


async def test_the_same_thought_can_be_continued_and_then_rejected(memory: SqlStore) -> None:
    machine = machine_of(reviewed(memory, Budget(model_calls=12)))
    first = await asked(machine, {"question": "question"})
    shown = await asked(machine, Command(resume="continue"))
    seen = 0
    while shown["thought"] != first["thought"]:
        shown = await asked(machine, Command(resume={"reject": "no"}))
        seen += 1
        assert seen < 100
    out: dict[str, Any] = await machine.ainvoke(Command(resume={"reject": "after all"}), CONFIG)
    kinds = [kind for kind, _, _ in judged_by_a_person(memory)[first["thought"]]]
    assert kinds == ["outcome", "rule"]
    assert out.get("answer") is None


async def test_nothing_unaccepted_becomes_final_when_the_budget_is_spent(memory: SqlStore) -> None:
    machine = machine_of(reviewed(memory, Budget(model_calls=8), checked=False))
    shown = await asked(machine, {"question": "question"})
    assert shown["stopped"] == "budget:model_calls"
    assert shown["choices"] == ["accept", {"reject": "the reason"}]
    rejected: list[str] = []
    while True:
        rejected.append(shown["thought"])
        out: dict[str, Any] = await machine.ainvoke(Command(resume={"reject": "no"}), CONFIG)
        if "__interrupt__" not in out:
            break
        shown = out["__interrupt__"][0].value
    assert len(rejected) == len(set(rejected)) > 1
    assert result_of(memory) == ("no_answer", None, "budget:model_calls")


async def test_an_impossible_reply_is_asked_again_with_the_reason(memory: SqlStore) -> None:
    machine = machine_of(reviewed(memory))
    shown = await asked(machine, {"question": "question"})
    assert "error" not in shown
    for reply in ("perhaps", 7, {"decline": "x"}):
        again = await asked(machine, Command(resume=reply))
        assert again["thought"] == shown["thought"]
        assert f"answered with {reply!r}" in again["error"]
    out = await machine.ainvoke(Command(resume="accept"), CONFIG)
    assert out["answer"] == shown["answer"]


async def test_a_spent_search_cannot_continue(memory: SqlStore) -> None:
    machine = machine_of(reviewed(memory, Budget(model_calls=8), checked=False))
    await asked(machine, {"question": "question"})
    again = await asked(machine, Command(resume="continue"))
    assert "cannot continue (budget:model_calls)" in again["error"]
    out = await machine.ainvoke(Command(resume="accept"), CONFIG)
    assert out["stopped"] == "budget:model_calls"


async def test_a_waiting_review_holds_no_lease_and_is_answered_by_another_machine(memory: SqlStore) -> None:
    saver = InMemorySaver()
    before = machine_of(reviewed(memory), saver)
    first = await asked(before, {"question": "question"})
    [unit] = list_units(memory.database, only_run(memory))
    assert (unit.status, unit.worker) == ("pending", None)
    setup = reviewed(memory)
    after = machine_of(setup, saver)
    second = await asked(after, Command(resume={"reject": "no"}))
    assert second["thought"] != first["thought"]
    out: dict[str, Any] = await machine_of(setup, saver).ainvoke(Command(resume="accept"), CONFIG)
    assert out["answer"] == second["answer"]
    assert result_of(memory) == ("answered", second["answer"], "finished")


async def test_without_any_solution_there_is_nothing_to_review(memory: SqlStore) -> None:
    setup = make_setup(memory, budget=Budget(model_calls=4), script=lambda call: ["step"] * call.n)
    machine = machine_of(replace(setup, review="answer"))
    out: dict[str, Any] = await machine.ainvoke({"question": "question"}, CONFIG)
    assert "__interrupt__" not in out
    assert result_of(memory)[0] == "no_answer"
