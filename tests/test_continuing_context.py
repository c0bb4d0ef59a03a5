"""Contexts that are too short, base models and whole searches: what happens through the machine, with real weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from searches import make_setup
from test_models_hf import save_model

from thoughtgraph.agents.generator import ContinuingGenerator, StepGenerator
from thoughtgraph.agents.models.base import GenerationCall, Sample
from thoughtgraph.agents.models.inprocess.hf import HFModel
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.agents.team import Team
from thoughtgraph.cli.failures import failure_notes
from thoughtgraph.graph.errors import ModelError
from thoughtgraph.graph.machine import build
from thoughtgraph.graph.records import Budget
from thoughtgraph.storage.failures import failed_requests
from thoughtgraph.storage.read import list_units, unit_events, unit_graph, unit_model_calls
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runner import Drain, Runner

CHAT = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


async def searched(generator: Any, scheme: str, domain: str, budget: Budget) -> tuple[Any, SqlStore]:
    """Return how a search for the answer to a question ended, and its record."""
    store, task = SqlStore.open(":memory:"), load_task(domain)
    setup = make_setup(store, scheme, run="run", team=Team(generator), domain=task.domain, budget=budget)
    store.create_run(setup.spec, [task.problem("the cat sat on the mat")])
    machine, host = build(setup)
    try:
        [end] = await Runner(machine, host, task, "run", {}, Drain()).search_all(1)
    finally:
        host.shutdown()
    return end, store


def errors(store: SqlStore) -> list[str]:
    """Return why requests failed, as the record tells."""
    [unit] = list_units(store.database, "run")
    told = [e for e in unit_events(store.database, "run", unit.problem.id) if e.kind == "told"]
    return [e.detail["error"] for e in told if e.detail["error"]]


@pytest.mark.parametrize("scheme", ["mcts", "beam", "best_of_n"])
async def test_a_question_longer_than_the_context_fails_with_a_clear_line(
    tmp_path: Path, scheme: str
) -> None:
    model = HFModel(save_model(tmp_path / "base", max_position_embeddings=64), device="cpu")
    domain = load_task("text").domain
    generator = StepGenerator(model, domain, shots=True)  # the worked examples alone are longer
    end, store = await searched(generator, scheme, "text", Budget(model_calls=12))
    assert end.answer is None
    found = errors(store)
    assert found
    assert end.error == found[-1]
    assert all("the context of" in error and "64" in error and "\n" not in error for error in found)
    [unit] = list_units(store.database, "run")
    calls = unit_model_calls(store.database, "run", unit.problem.id)
    assert calls
    assert all(call.error and call.response is None for call in calls)
    assert len(unit_graph(store.database, "run", unit.problem.id).thoughts) == 1
    store.close()


async def test_paths_that_outgrow_the_context_fail_and_the_others_go_on(tmp_path: Path) -> None:
    """A noisy model in a context of few steps: the search ends, what was cut is no thought, and what did not fit is on record."""
    model = HFModel(save_model(tmp_path / "base", max_position_embeddings=64), device="cpu")

    domain = load_task("text").domain
    domain = type("Letters", (type(domain),), {"stop": "a", "step_tokens": 24})()
    end, store = await searched(StepGenerator(model, domain), "mcts", "text", Budget(model_calls=40))
    assert end.error is None
    assert end.usage.model_calls <= 40
    [unit] = list_units(store.database, "run")
    calls = unit_model_calls(store.database, "run", unit.problem.id)
    answered = [sample for call in calls if call.response for sample in call.response["samples"]]
    assert {sample["finish"] for sample in answered} & {"length"}
    for call in calls:
        if call.response:
            longest = max(len(sample["token_ids"]) for sample in call.response["samples"])
            assert len(call.response["prompt_token_ids"]) + longest <= 64
    store.close()


async def test_a_search_goes_on_beside_prompts_that_do_not_fit() -> None:
    def script(call: GenerationCall) -> list[Sample]:
        if str(call.prompt).count("long") >= 2:
            raise ModelError("the prompt has 70 tokens, and the context of tiny 64")
        return [
            Sample(f"long {i}", "stop", 2) if i % 2 else Sample("Answer: 3", "stop", 2)
            for i in range(call.first_sample, call.first_sample + call.n)
        ]

    domain = load_task("text").domain
    end, store = await searched(
        StepGenerator(ScriptedModel(script), domain), "mcts", "text", Budget(model_calls=30)
    )
    assert end.answer == "3"
    found = errors(store)
    assert set(found) == {"the prompt has 70 tokens, and the context of tiny 64"}
    [unit] = list_units(store.database, "run")
    failed = failed_requests(store.database, "run", unit.problem.id)
    assert (failed.failed, failed.last) == (len(found), found[-1])
    assert failed.total > failed.failed
    [note] = failure_notes(store, "run", unit.problem.id)
    requests = "1 request" if len(found) == 1 else f"{len(found)} requests"
    assert note == f"{requests} failed, the search went on without; the last: {found[-1]}"
    store.close()


async def test_a_search_goes_on_with_its_own_turns(tmp_path: Path) -> None:
    """A real chat model, whose template strips its turns: each prompt on record begins with one before it, token by token."""
    model = HFModel(save_model(tmp_path / "chat", CHAT, max_position_embeddings=2048), device="cpu")
    domain = load_task("text").domain
    domain = type("Letters", (type(domain),), {"stop": "t", "step_tokens": 24})()
    end, store = await searched(
        ContinuingGenerator(model, domain, temperature=1.0), "mcts", "text", Budget(model_calls=12)
    )
    assert end.error is None
    [unit] = list_units(store.database, "run")
    calls = unit_model_calls(store.database, "run", unit.problem.id)
    prompts = {tuple(call.response["prompt_token_ids"]) for call in calls if call.response}
    assert len(prompts) > 1
    root = min(prompts, key=len)
    read = [model.tokenizer.decode(list(prompt)) for prompt in prompts]
    assert all(text.startswith(model.tokenizer.decode(list(root))) for text in read)
    assert all(prompt[: len(root)] == root for prompt in prompts)
    assert {text[-1] for text in read if text != model.tokenizer.decode(list(root))} == {"t"}
    store.close()
