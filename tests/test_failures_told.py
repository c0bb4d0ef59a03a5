"""What fails without stopping a search is said: judgements and requests, in `solve`, `run`, `resume` and `show`, in words and in records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from thoughtgraph.agents.models.base import Trace
from thoughtgraph.agents.models.scripted import ScriptedModel, ScriptedScorer
from thoughtgraph.agents.protocols import Gateway, Judgement, Subject
from thoughtgraph.cli.failures import failure_notes, failure_record
from thoughtgraph.graph.errors import ModelError
from thoughtgraph.graph.records import Budget
from thoughtgraph.storage.failures import Failures, failed_judgements, failed_requests
from thoughtgraph.storage.read import list_units, unit_graph
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.base import Item
from thoughtgraph.tasks.crew import Replacements
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runs import start
from thoughtgraph.tasks.settings import Settings

from .cli_world import Cli
from .searches import scripted_steps
from .test_nesting import CHAIN, outer_setup, search

REASON = "the scorer is out of order"


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    cli = Cli(tmp_path, capsys)
    monkeypatch.setenv("THOUGHTGRAPH_DB", cli.db)
    return cli


@pytest.fixture
def unjudged(cli: Cli) -> list[str]:
    """Options of a search whose judge never says what it is asked."""
    files = {"model": ["Answer: 4"] * 400, "judge": ["hm"] * 400}
    for name, outputs in files.items():
        (cli.folder / f"{name}.json").write_text(json.dumps(outputs))
    model, judge = (f"scripted:{cli.folder / name}.json" for name in files)
    scheme = ("--task", "text", "--scheme", "best_of_n", "--param", "n=4")
    return [*scheme, "--model", model, "--scorer", "judge", "--agent", f"judge={judge}?chat=true"]


def test_a_judge_that_always_fails_is_told_by_every_command(cli: Cli, unjudged: list[str]) -> None:
    file = cli.file({"question": "2 + 2?", "answer": 4}, {"question": "3 + 3?", "answer": 6})
    done = cli("run", file, *unjudged)
    assert done.code == 0
    assert "1 of 2 solved" in done.out  # which says nothing of the judge
    [note] = [text for text in done.out.splitlines() if "judgements" in text]
    assert "8 of 8 judgements failed, the searches went on without; the last: " in note
    [run] = cli("runs", "--json").record
    assert note in cli("show", run["run"]).out.splitlines()
    for problem in json.loads(cli("show", run["run"], "--format", "json").out):
        shown = cli("show", run["run"], "--problem", problem["problem"]).out
        assert "4 of 4 judgements failed, the search went on without; the last: " in shown

    failures = cli("resume", run["run"], "--json").record["failures"]
    assert failures["judgements"] == {"failed": 8, "of": 8, "last": note.partition("the last: ")[2]}
    assert failures["requests"] == {"failed": 0, "of": failures["requests"]["of"], "last": None}
    assert failures["requests"]["of"] > 0

    assert "4 of 4 judgements failed, the search went on" in cli("solve", "2 + 2?", *unjudged).out
    assert cli("solve", "2 + 2?", *unjudged, "--json").record["failures"]["judgements"]["failed"] == 4


def test_nothing_is_said_where_nothing_failed(cli: Cli) -> None:
    done = cli("solve", "4 5 6 10", "--scheme", "cot", "--model", f"scripted:{cli.script}")
    assert "failed" not in done.out
    done = cli("solve", "4 5 6 10", "--scheme", "cot", "--model", f"scripted:{cli.script}", "--json")
    assert done.record["failures"]["judgements"] == {"failed": 0, "of": 0, "last": None}


async def test_judgements_are_counted_among_those_of_the_judge_that_failed() -> None:
    def moody(trace: Trace) -> list[float]:
        if len(trace.steps) % 2:
            raise ModelError(REASON)
        return [0.5] * len(trace.steps)

    store = SqlStore.open(":memory:")
    settings = Settings(
        task="text",
        model="scripted",
        scheme="mcts",
        scorer="none",
        tools=False,
        budget=Budget(model_calls=12),
    )
    own = Replacements(model=ScriptedModel(scripted_steps), scorer=ScriptedScorer(moody))
    await start(store, settings, [Item(load_task("text").problem("how many?"))], own=own, run="r")
    [unit] = list_units(store.database, "r")
    rows = [
        evaluation
        for found in unit_graph(store.database, "r", unit.problem.id).evaluations.values()
        for evaluation in found
        if evaluation.source == "score:scripted-scorer"
    ]
    failed = [evaluation for evaluation in rows if evaluation.error]
    assert 0 < len(failed) < len(rows)
    wanted = Failures(len(failed), len(rows), REASON)
    assert failed_judgements(store.database, "r") == wanted
    assert failed_judgements(store.database, "r", unit.problem.id) == wanted
    assert failed_requests(store.database, "r").failed == 0
    [note] = failure_notes(store, "r")
    assert note.startswith(f"{len(failed)} of {len(rows)} judgements failed, the search went on without")
    assert note.endswith(REASON)
    store.close()


async def test_requests_of_a_run_are_told_like_those_of_a_search() -> None:
    asked = 0

    def now_and_then(call: object) -> list[str]:
        nonlocal asked
        asked += 1
        if asked % 3 == 0:
            raise ModelError("the server\nis tired")
        return ["Answer: 4"]

    store, task = SqlStore.open(":memory:"), load_task("text")
    settings = Settings(
        task="text",
        model="scripted",
        scheme="self_consistency",
        params={"n": 6, "block": 1},
        scorer="none",
        wave=1,
    )
    items = [Item(task.problem(question)) for question in ("a?", "b?")]
    await start(store, settings, items, own=Replacements(model=ScriptedModel(now_and_then)), run="r")
    requests = failure_record(store, "r")["requests"]
    assert (requests["failed"], requests["of"]) == (4, 12)
    assert failure_notes(store, "r") == [
        "4 requests failed, the searches went on without; the last: the server is tired"
    ]
    store.close()


async def test_judgements_inside_a_thought_count_for_its_run() -> None:
    class Broken:
        source = "broken"

        async def verify(self, subjects: Sequence[Subject], gateway: Gateway) -> Sequence[Judgement | None]:
            raise ModelError(REASON)

    store = SqlStore.open(":memory:")
    setup = outer_setup(store, CHAIN, budget=Budget(model_calls=20))
    await search(replace(setup, team=replace(setup.team, verifiers=(Broken(),))))
    assert failed_judgements(store.database, "outer").failed > 2  # one of each inner chain at least
    store.close()
