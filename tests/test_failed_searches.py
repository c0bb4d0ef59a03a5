"""A search that the model never answered: it failed, says why, and is asked anew when it is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from thoughtgraph.agents.models.base import Generation, GenerationCall
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.cli.codes import ExitCode
from thoughtgraph.cli.failures import failure_notes
from thoughtgraph.graph.errors import ModelError
from thoughtgraph.graph.machine import build
from thoughtgraph.graph.records import Budget
from thoughtgraph.storage.failures import failed_requests
from thoughtgraph.storage.read import UnitSummary, list_units, unit_events
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runner import Runner, UnitEnd

from .cli_world import Cli
from .fault_replies import Asked, Exchange, Fault, well
from .fault_server import FaultServer
from .searches import digest, make_setup, scripted_steps
from .test_nesting import CHAIN, outer_setup

TASK = load_task("text")
REFUSED = "the model refused the request"


class Moody(ScriptedModel):
    """Refuses every call until it is well again."""

    def __init__(self) -> None:
        super().__init__(scripted_steps)
        self.well = False
        self.refusals = 0

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        if self.well:
            return await super().generate(calls)
        self.refusals += len(calls)
        return [ModelError(REFUSED) for _ in calls]


async def search(setup: Any) -> UnitEnd:
    """Search the one problem of a run."""
    setup.store.create_run(setup.spec, [TASK.problem("question")])
    machine, host = build(setup)
    try:
        [end] = await Runner(machine, host, TASK, setup.spec.id, {}).search_all(1)
    finally:
        host.shutdown()
    return end


def the_unit(store: SqlStore, run: str) -> UnitSummary:
    [unit] = list_units(store.database, run)
    return unit


@pytest.mark.parametrize("scheme", ["cot", "mcts", "beam", "best_of_n"])
async def test_a_search_without_any_answer_of_the_model_failed_and_is_asked_anew(scheme: str) -> None:
    whole, store, model = SqlStore.open(":memory:"), SqlStore.open(":memory:"), Moody()
    await search(make_setup(whole, scheme, run="r"))
    setup = make_setup(store, scheme, run="r", model=model)
    end = await search(setup)
    unit = the_unit(store, "r")
    assert (end.error, end.stopped, end.answer, end.verdict) == (REFUSED, f"failed: {REFUSED}", None, None)
    assert (unit.status, unit.correct) == ("failed", None)
    assert unit.result is not None
    assert unit.result.stopped == end.stopped
    assert unit.result.usage.model_calls == model.refusals > 0
    [note] = failure_notes(store, "r", unit.problem.id)
    assert "went on" not in note
    assert note.endswith(REFUSED)

    refusals = model.refusals
    assert store.reopen_failed("r") == 1
    assert (await search(setup)).error == REFUSED  # it asked again, and was refused again
    assert model.refusals == 2 * refusals

    model.well = True
    assert store.reopen_failed("r") == 1
    end = await search(setup)
    assert end.error is None
    assert the_unit(store, "r").status == "done"
    assert failed_requests(store.database, "r", unit.problem.id).last is None
    found, wanted = digest(store, "r")["question"], digest(whole, "r")["question"]
    for kind in ("thoughts", "edges", "evaluations", "result"):
        assert found[kind] == wanted[kind]
    events = unit_events(store.database, "r", unit.problem.id)
    assert sum(event.kind == "failed" for event in events) == 2 * refusals  # what was tried stays on record


async def test_a_search_that_one_request_answered_did_not_fail() -> None:

    class Half(Moody):
        async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
            self.well = self.well or not self.asked
            answers = await super().generate(calls)
            self.well = self.well and len(self.asked) > 1
            return answers

    store, model = SqlStore.open(":memory:"), Half()
    params = {"n": 3, "block": 1}
    setup = make_setup(store, "self_consistency", params, run="r", model=model, wave=1)
    end = await search(setup)
    assert end.error is None  # one came back
    assert (len(model.asked), model.refusals) == (1, 2)


async def test_a_model_that_says_nothing_did_not_fail() -> None:
    store = SqlStore.open(":memory:")
    end = await search(make_setup(store, "cot", run="r", model=ScriptedModel(lambda call: [""] * call.n)))
    unit = the_unit(store, "r")
    assert end.error is None
    assert unit.result is not None
    assert (unit.status, unit.result.status) == ("done", "no_answer")


async def test_a_budget_spent_on_refusals_is_there_again_for_the_next_try() -> None:
    store, model = SqlStore.open(":memory:"), Moody()
    setup = make_setup(store, "mcts", run="r", model=model, budget=Budget(model_calls=3))
    assert (await search(setup)).stopped == f"failed: {REFUSED}"
    model.well = True
    store.reopen_failed("r")
    end = await search(setup)
    assert (end.stopped, end.usage.model_calls) == ("budget:model_calls", 3)


async def test_a_search_inside_a_thought_that_failed_is_asked_anew_too() -> None:
    store, model = SqlStore.open(":memory:"), Moody()
    setup = outer_setup(store, CHAIN, budget=Budget(model_calls=20), model=model)
    end = await search(setup)
    assert end.error == REFUSED
    assert end.usage.model_calls == model.refusals == 6
    model.well = True
    store.reopen_failed("outer")
    end = await search(setup)
    assert end.error is None
    assert end.answer is not None
    assert end.usage.model_calls == len(model.asked) == 6


def test_the_command_line_exits_with_1_and_tries_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = Cli(tmp_path, capsys)
    monkeypatch.setenv("THOUGHTGRAPH_DB", cli.db)

    async def refuse(exchange: Exchange) -> None:
        await exchange.send({"error": {"message": "no such parameter"}}, 400)

    def refusing(_: Asked) -> tuple[str, Fault]:
        return "refuse", refuse

    file = cli.file({"question": "what is it?", "answer": "3"})
    with FaultServer(refusing) as server:
        options = ("--task", "text", "--scheme", "cot", "--model", "openai:m", "--base-url", server.url)
        done = cli("run", file, *options, "--json")
        assert done.code == ExitCode.FAILED
        assert (done.record["failed"], done.record["graded"]) == (1, 0)
        run = done.record["run"]
        assert f"resume {run} --retry-failed" in done.err
        assert "1 request failed; the last: openai:m refused the request" in cli("show", run).out
        assert (
            cli("resume", run, "--json").code == ExitCode.FAILED
        )  # without being asked to, nothing is tried again
        tries = len(server.asked)
        server.plan = well
        done = cli("resume", run, "--retry-failed", "--json")
        assert done.code == ExitCode.OK
        assert done.record["failed"] == 0
        assert len(server.asked) > tries

        server.plan = refusing
        done = cli("solve", "what else?", *options)
        assert done.code == ExitCode.FAILED
        assert done.error.startswith(
            "the search failed: openai:m refused the request (400: no such parameter)"
        )
