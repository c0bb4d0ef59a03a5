"""Several processes on one run: every problem once, one voice for errors and signals, and a dead worker costs nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from thoughtgraph.agents.models import registry
from thoughtgraph.cli.codes import ExitCode
from thoughtgraph.graph.errors import ThoughtGraphError, UserError
from thoughtgraph.graph.host import is_dead
from thoughtgraph.storage.read import latest_run, list_units
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.base import Item
from thoughtgraph.tasks.crew import Replacements
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runner import UnitEnd
from thoughtgraph.tasks.runs import Drain, Watch, start
from thoughtgraph.tasks.settings import Settings

from .cli_world import Cli, environment, model_server
from .searches import HashVerifier, digest

PUZZLES = [f"4 5 6 {n}" for n in range(4, 14)]
SHARED = ("--scheme", "cot", "--workers", "2")


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    cli = Cli(tmp_path, capsys)
    monkeypatch.setenv("THOUGHTGRAPH_DB", cli.db)
    return cli


@pytest.fixture
def script(tmp_path: Path) -> str:
    """A model that answers every puzzle in ways of its own."""
    outputs = {
        f"{item.problem.question}\n": [f"4 + {i} = {4 + i} (left: {i} 5 6)\n" for i in range(8)]
        for item in items()
    }
    path = tmp_path / "puzzles.json"
    path.write_text(json.dumps(outputs))
    return f"scripted:{path}"


def items() -> list[Item]:
    task = load_task("numbers")
    return [Item(task.problem(puzzle)) for puzzle in PUZZLES]


async def test_two_workers_search_every_problem_once(store: SqlStore, script: str, tmp_path: Path) -> None:
    settings = Settings(scheme="self_consistency", params={"n": 8}, model=script, scorer="none")
    ends: list[UnitEnd] = []
    watch = Watch(Drain(), ends.append)
    summary = await start(store, settings, items(), run="shared", workers=2, parallel=4, watch=watch)
    assert summary.finished == summary.graded == len(PUZZLES)
    assert sorted(end.problem.question for end in ends) == sorted(item.problem.question for item in items())
    assert [unit.token for unit in list_units(store.database, "shared")] == [1] * len(PUZZLES)
    alone = SqlStore.open(tmp_path / "alone.db")
    try:
        assert (await start(alone, settings, items(), run="shared")).solved == summary.solved
        assert digest(alone, "shared") == digest(store, "shared")
    finally:
        alone.close()


REFUSED = [
    ((), "the model builtin:numbers runs inside a process, and each of 2 workers would load its weights"),
    (("--model", "openai:m", "--scorer", "hf:prm"), "the scorer hf:prm runs inside a process"),
    (("--model", "openai:m", "--agent", "judge=vllm:j"), "the judge vllm:j runs inside a process"),
    (("--model", "openai:m", "--db", ":memory:"), "a database in memory cannot be shared"),
    (("--model", "openai:m", "--parallel", "1"), "use --parallel 2 or more"),
]


@pytest.mark.parametrize(("options", "why"), REFUSED, ids=[why for _, why in REFUSED])
def test_what_several_workers_cannot_search_is_refused(cli: Cli, options: tuple[str, ...], why: str) -> None:
    path = cli.file({"question": "4 5 6 10"})
    done = cli("run", path, *SHARED, *options)
    assert done.code == ExitCode.USAGE
    assert why in done.error


async def test_agents_of_ones_own_stay_in_their_process(tmp_path: Path, script: str) -> None:
    store = SqlStore.open(tmp_path / "own.db")
    own = Replacements(verifiers=(HashVerifier(),))
    try:
        with pytest.raises(UserError, match="verifiers of your own cannot be sent to other processes"):
            await start(store, Settings(model=script), items(), own=own, workers=2)
    finally:
        store.close()


def test_an_error_that_stops_one_worker_stops_all_and_is_shown_once(cli: Cli) -> None:
    path = cli.file(*({"question": puzzle} for puzzle in PUZZLES))
    with model_server(0.0, status=401) as url:
        done = cli("run", path, *SHARED, "--model", "openai:m", "--base-url", url)
    assert done.code == ExitCode.MODEL, done.err
    assert done.err.count("error: ") == 1
    assert done.err.splitlines()[-1].startswith("resume with: thoughtgraph resume ")
    assert set(statuses(cli)) == {"pending"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no command `false`")
async def test_workers_that_die_again_and_again_stop_the_run(
    tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, notices = SqlStore.open(tmp_path / "dying.db"), list[str]()
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    try:
        with pytest.raises(ThoughtGraphError, match="5 worker processes of run dying died"):
            await start(
                store,
                Settings(scheme="cot", model=script, scorer="none"),
                items(),
                run="dying",
                workers=2,
                watch=Watch(Drain(), on_notice=notices.append),
            )
        assert {unit.status for unit in list_units(store.database, "dying")} == {"pending"}
    finally:
        store.close()
    assert "ended with status 1; its problems go on in a new one" in notices[0]
    assert 5 <= len(notices) <= 6


def test_requests_at_the_same_time_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_loaded", {})
    monkeypatch.setattr(registry, "_sharers", 1)
    registry.share_limits(3)
    model = registry.load_model("openai:m?base_url=http://127.0.0.1:1/v1&max_concurrency=32")
    assert model.limits.concurrency == 10
    with pytest.raises(UserError, match="max_concurrency=2 of openai:m cannot be divided over 3 workers"):
        registry.load_model("openai:m?base_url=http://127.0.0.1:1/v1&max_concurrency=2")


# Processes of their own, which are killed and interrupted.


def statuses(cli: Cli) -> list[str]:
    return [unit.status for unit in looked(cli, lambda store, run: list_units(store.database, run)) or ()]


def workers(cli: Cli) -> list[str]:
    return looked(cli, lambda store, run: store.workers(run)) or []


def looked(cli: Cli, look: Callable[[SqlStore, str], Any]) -> Any:
    """Return what is to be seen of the only run; None before it has begun."""
    if not Path(cli.db).exists():
        return None
    try:
        store = SqlStore.open(cli.db)
    except ThoughtGraphError:  # being made at this moment
        return None
    try:
        return look(store, latest_run(store.database).id)
    except ThoughtGraphError:
        return None
    finally:
        store.close()


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def begin(cli: Cli) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """A function that starts a run of two workers and waits until both work."""
    begun: list[subprocess.Popen[str]] = []

    def run(url: str) -> subprocess.Popen[str]:
        path = cli.file(*({"question": puzzle} for puzzle in PUZZLES))
        options = (*SHARED, "--parallel", "2", "--json", "--model", "openai:m", "--base-url", url)
        process = subprocess.Popen(
            [sys.executable, "-m", "thoughtgraph", "run", path, *options],
            env=environment(THOUGHTGRAPH_DB=cli.db),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        wait(lambda: len(workers(cli)) == 2)
        return process

    yield run
    for process in begun:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_worker_is_told_of_and_its_problems_go_on(cli: Cli, begin: Any) -> None:
    with model_server(1.0) as url:
        process = begin(url)
        killed = int(workers(cli)[0].split(":")[1])
        os.kill(killed, signal.SIGKILL)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    [line] = err.splitlines()
    assert f"(process {killed}) was killed by SIGKILL; its problems go on in a new one" in line
    record = json.loads(out)
    assert record["finished"] == record["graded"] == len(PUZZLES)
    assert record["usage"]["model_calls"] == len(PUZZLES)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal handlers in event loops")
def test_one_signal_drains_all_workers_and_resume_goes_on(cli: Cli, begin: Any) -> None:
    with model_server(1.0) as url:
        process = begin(url)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == ExitCode.INTERRUPTED, err
        assert "Traceback" not in err
        record = json.loads(out)
        assert record["finished"] < len(PUZZLES)
        assert "leased" not in statuses(cli)
        assert f"resume with: thoughtgraph resume {record['run']}\n" in err
        resumed = cli("resume", record["run"], "--workers", "2", "--json")
    assert resumed.code == 0, resumed.err
    assert resumed.record["usage"]["model_calls"] == resumed.record["finished"] == len(PUZZLES)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal handlers in event loops")
def test_the_second_signal_cuts_the_calls_of_all_workers(cli: Cli, begin: Any) -> None:
    with model_server(20.0) as url:
        process = begin(url)
        held = workers(cli)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert time.monotonic() - started < 9.0
    assert process.returncode == ExitCode.INTERRUPTED, err
    assert set(statuses(cli)) == {"pending"}
    assert all(is_dead(worker) for worker in held)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_workers_end_with_their_supervisor(cli: Cli, begin: Any) -> None:
    with model_server(20.0) as url:
        process = begin(url)
        held = workers(cli)
        process.kill()
        wait(lambda: all(is_dead(worker) for worker in held))
    assert set(statuses(cli)) == {"pending"}
