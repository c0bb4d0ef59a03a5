"""Whole searches with a chat team: every registered scheme, with a chat model that answers whatever it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from scheme_cases import SMALL
from searches import always, digest, make_setup

from thoughtgraph.agents.evaluators import PromptedVerifier, evaluators_for
from thoughtgraph.agents.generator import PromptedGenerator
from thoughtgraph.agents.models.base import GenerationCall
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.agents.team import Team
from thoughtgraph.agents.verifier import RuleVerifier
from thoughtgraph.graph.domain import Domain
from thoughtgraph.graph.ids import derive_seed
from thoughtgraph.graph.machine import build
from thoughtgraph.graph.records import Budget, Operator, Outcome
from thoughtgraph.graph.schemes import make_strategy, schemes
from thoughtgraph.graph.strategies.expansion import Sampler
from thoughtgraph.graph.strategies.parts import Ask, Pick, TreeState
from thoughtgraph.graph.strategies.search import TreeSearch
from thoughtgraph.graph.strategies.tree import ROOT, Tree
from thoughtgraph.graph.strategies.voting import Vote
from thoughtgraph.storage.read import list_units, unit_events, unit_graph
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runner import Drain, Runner

WORDS = {
    "alone on the last line, one of these": ["sure", "likely", "impossible"],
    "The best choice is": ["The best choice is 1", "Well.\nThe best choice is 2", "The best choice is 99"],
    "one word: first or second": ["first", "second", "neither"],
    "exactly one of the four words": ["generate", "refine", "aggregate", "stop"],
    "Judge the": ["OK", "The last line is wrong."],
    "should be done differently": ["Count first."],
    "in at most four short sentences": ["The first step is weak."],
    "different next steps": ["one {i}\ntwo {i}\nAnswer: {i}"],
    "sub-problems": ["part one {i}\npart two {i}"],
    "that can be done independently": ["part one {i}\npart two {i}"],
    "the next sub-question": [
        "Sub-question: what {i}? Answer: {i}",
        "Sub-question: Now we can answer the question: what? Answer: {i}",
    ],
    "this sub-question once more": ["Sub-question, answered again: what? Answer: {i}"],
    "again in other words": ["What is {i}?"],
    "Write the next step": ["step {i}", "Answer: {i}"],
    "": ["step {i}\nthen {i}\nAnswer: {i}"],
}
"""What is answered, by what the prompt says."""


def answers(call: GenerationCall) -> list[str]:
    assert not isinstance(call.prompt, str)
    asked = call.prompt[-1].content
    choices = next(replies for mark, replies in WORDS.items() if mark in asked)
    drawn = [derive_seed(call.seed, asked, call.first_sample + i) for i in range(call.n)]
    return [choices[draw % len(choices)].replace("{i}", str(draw % 7)) for draw in drawn]


def chat_team(domain: Domain) -> tuple[Team, ScriptedModel]:
    model = ScriptedModel(answers, chat=True)
    generator = PromptedGenerator(model, domain)
    verifiers = (RuleVerifier(domain), PromptedVerifier(model, domain))
    evaluators = evaluators_for(model, None, domain, model)
    return Team(
        generator, verifiers=verifiers, others={"discriminator": generator}, evaluators=evaluators
    ), model


def given(scheme: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a scheme's parameters as they are: a chat model needs no others."""
    return dict(params)


async def search(scheme: str, budget: Budget, **changes: Any) -> tuple[Any, ScriptedModel, SqlStore]:
    store = SqlStore.open(":memory:")
    task = load_task("math")
    team, model = chat_team(task.domain)
    params = dict(SMALL.get(scheme, {}))
    setup = make_setup(
        store, scheme, params, budget=budget, run="run", team=team, domain=task.domain, **changes
    )
    setup = replace(setup, strategy=always(make_strategy(scheme, params, 0)), complete=given)
    store.create_run(setup.spec, [task.problem("How many are 3 dozen?")])
    machine, host = build(setup)
    try:
        [end] = await Runner(machine, host, task, "run", {}, Drain()).search_all(1)
    finally:
        host.shutdown()
    return end, model, store


@pytest.mark.parametrize("scheme", sorted(schemes()))
async def test_every_scheme_searches_with_a_chat_team(scheme: str) -> None:
    end, model, store = await search(scheme, Budget(model_calls=40))
    assert len(model.asked) <= end.usage.model_calls <= 40  # equal calls in flight are asked once
    assert end.answer is not None
    [unit] = list_units(store.database, "run")
    graph = unit_graph(store.database, "run", unit.problem.id)
    for evaluations in graph.evaluations.values():
        assert not [e.error for e in evaluations if e.error and "asked twice" not in e.error]
    again, _, other = await search(scheme, Budget(model_calls=40))
    assert again.answer == end.answer
    assert digest(store, "run") == digest(other, "run")


@pytest.mark.parametrize("mode", ["lockstep", "rolling"])
@pytest.mark.parametrize("tokens", [300, 7000, 20_000])
async def test_a_budget_of_tokens_holds_with_a_chat_team(mode: Any, tokens: int) -> None:
    for scheme in ("mcts", "got"):
        if scheme not in schemes():
            continue
        end, model, _ = await search(scheme, Budget(tokens=tokens), mode=mode)
        assert end.usage.completion_tokens <= tokens
        assert end.usage.model_calls >= len(model.asked)


@dataclass(frozen=True)
class Beside:
    """Selects the root for a long attempt and, in the same wave, for a critique that does not fit beside it."""

    def start(self, tree: Tree) -> set[str]:
        return set()

    def pick(self, state: TreeState[set[str]]) -> Pick | None:
        asks = {"": Ask(horizon="solution"), "critique": Ask(Operator.EVALUATE, "critique")}
        action = next((action for action in asks if action not in state.memory), None)
        if action is None:
            return None
        state.memory.add(action)
        return Pick((ROOT,), 1, 0, asks[action])

    def told(self, state: TreeState[set[str]], outcome: Outcome, grown: Sequence[int]) -> None:
        state.memory.add(outcome.request.action)

    def refresh(self, state: TreeState[set[str]], node: int) -> None:
        pass


@pytest.mark.parametrize("mode", ["lockstep", "rolling"])
async def test_an_evaluation_that_has_to_wait_for_budget_is_made_and_counted_once(mode: Any) -> None:
    store = SqlStore.open(":memory:")
    task = load_task("math")
    team, model = chat_team(task.domain)
    team = replace(team, verifiers=())
    strategy = TreeSearch("two", Beside(), Sampler(1), Vote())
    # the attempt reserves 6400 tokens and uses few, so the critique, which reserves 256, fits only then
    setup = make_setup(store, run="run", team=team, domain=task.domain, budget=Budget(tokens=6500), mode=mode)
    setup = replace(setup, strategy=always(strategy))
    store.create_run(setup.spec, [task.problem("How many are 3 dozen?")])
    machine, host = build(setup)
    try:
        [end] = await Runner(machine, host, task, "run", {}, Drain()).search_all(1)
    finally:
        host.shutdown()
    assert (len(model.asked), end.usage.model_calls, end.usage.verifier_calls) == (2, 2, 1)
    [unit] = list_units(store.database, "run")
    told = [e for e in unit_events(store.database, "run", unit.problem.id) if e.kind == "told"]
    assert [e.detail["request"]["action"] for e in told] == ["", "critique"]
