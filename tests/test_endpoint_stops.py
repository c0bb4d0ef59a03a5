"""What stops a run: a key that is refused, a quota that is spent, a server that always fails, and whoever started it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from thoughtgraph.agents.models.remote.openai import OpenAIModel
from thoughtgraph.cli.codes import ExitCode
from thoughtgraph.graph.errors import ModelUnavailableError
from thoughtgraph.storage.read import latest_run, list_units, unit_graph, unit_model_calls
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.base import Item
from thoughtgraph.tasks.crew import Replacements
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runner import DRAIN_SECONDS
from thoughtgraph.tasks.runs import resume, start
from thoughtgraph.tasks.settings import Settings

from .cli_world import Cli, environment
from .fault_server import FaultServer
from .faults import always, nth

SETTINGS = Settings(task="text", scheme="cot")


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    cli = Cli(tmp_path, capsys)
    monkeypatch.setenv("THOUGHTGRAPH_DB", cli.db)
    return cli


def items(count: int) -> list[Item]:
    task = load_task("text")
    return [Item(task.problem(f"What comes of {i}?")) for i in range(count)]


def asking(url: str, **options: str) -> list[str]:
    spec = "&".join(f"{name}={value}" for name, value in {"base_url": url, **options}.items())
    return ["--task", "text", "--scheme", "cot", "--model", f"openai:m?{spec}"]


@pytest.mark.parametrize("fault", ["401", "402", "403", "429 quota"])
def test_a_refused_account_ends_the_run_at_the_first_try_with_one_line(cli: Cli, fault: str) -> None:
    path = cli.file(*({"question": f"What comes of {i}?"} for i in range(40)))
    with FaultServer(always(fault)) as server:
        done = cli("run", path, *asking(server.url), "--parallel", "4", "--json")
        assert set(server.tries) == {1}
        assert len(server.asked) <= 4
    assert done.code == ExitCode.MODEL
    assert done.out == ""
    error, how_to_resume = done.err.splitlines()
    assert error.startswith("error: openai:m")
    assert fault[:3] in error
    assert how_to_resume.startswith("resume with: ")


def test_a_server_that_always_fails_fails_each_call_after_five_tries(cli: Cli) -> None:
    path = cli.file(*({"question": f"What comes of {i}?"} for i in range(4)))
    with FaultServer(always("500")) as server:
        done = cli("run", path, *asking(server.url, wait="0.001"), "--json")
        assert server.tries == [5] * len(server.tries)
        assert len(server.tries) >= 4
    assert done.code == ExitCode.FAILED
    assert done.record["failed"] == 4
    store = SqlStore.open(cli.db)
    run = latest_run(store.database).id
    for unit in list_units(store.database, run):
        assert unit.result is not None
        assert unit.result.stopped.startswith("failed: openai:m failed 5 times, at last with: ")
        assert list(unit_graph(store.database, run, unit.problem.id).thoughts.values())[1:] == []
        calls = unit_model_calls(store.database, run, unit.problem.id)
        assert all("failed 5 times" in (call.error or "") for call in calls)
        assert calls
    store.close()


@pytest.mark.parametrize("fault", ["401", "429 quota", "model swapped"])
async def test_a_run_that_was_stopped_goes_on_when_the_cause_is_mended(fault: str, tmp_path: Path) -> None:
    store = SqlStore.open(str(tmp_path / "runs.db"))
    with FaultServer(nth(fault, 5)) as server:
        model = OpenAIModel("m", base_url=server.url)
        own = Replacements(model=model)
        with pytest.raises(ModelUnavailableError):
            await start(store, SETTINGS, items(12), own=own, run="r", parallel=2)
        asked = len(server.asked)
        assert asked < 12
        summary = await resume(store, "r", own=own)
        await model.aclose()
        assert summary.finished == 12
        assert summary.failed == 0
        faulty = [a for a in server.asked if a.fault or a.ended != "answered"]
        assert len(server.asked) - len(faulty) == summary.usage.model_calls == 12
    store.close()


async def test_cancelling_a_run_disconnects_all_it_asked_for_within_a_second(tmp_path: Path) -> None:
    store = SqlStore.open(str(tmp_path / "runs.db"))
    with FaultServer(always("hang")) as server:
        model = OpenAIModel("m", base_url=server.url)
        running = asyncio.ensure_future(
            start(store, SETTINGS, items(12), own=Replacements(model=model), parallel=6)
        )
        assert await server.until(lambda: len(server.in_flight) == 6)
        running.cancel()
        assert await server.until(lambda: not server.in_flight, 1.0)
        with pytest.raises(asyncio.CancelledError):
            await running
        assert len(server.asked) == 6
        assert {asked.ended for asked in server.asked} == {"disconnected"}
        await model.aclose()
    units = list_units(store.database, latest_run(store.database).id)
    assert {unit.status for unit in units} == {"pending"}
    store.close()


def child(cli: Cli, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command],
        env=environment(THOUGHTGRAPH_DB=cli.db),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def disconnected_within_a_second(server: FaultServer, interrupt: Callable[[], None]) -> bool:
    """Interrupt, and return whether the server lost all who asked it within a second."""
    interrupted = time.monotonic()
    interrupt()
    assert server.wait_until(lambda: not server.in_flight)
    return max(asked.ended_at for asked in server.asked) - interrupted < 1.0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal handlers in event loops")
def test_the_second_ctrl_c_disconnects_all_that_was_asked(cli: Cli) -> None:
    path = cli.file(*({"question": f"What comes of {i}?"} for i in range(12)))
    with FaultServer(always("hang")) as server:
        process = child(cli, "-m", "thoughtgraph", "run", path, *asking(server.url), "-j", "6", "--json")
        assert server.wait_until(lambda: len(server.in_flight) == 6, 60), process.communicate()
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.readline()
        patience = f"up to {DRAIN_SECONDS:g} s for 6 requests under way"
        assert said.startswith(f"stopping: waiting {patience}, Ctrl-C again ends them now; resume with: ")
        assert disconnected_within_a_second(server, lambda: process.send_signal(signal.SIGINT))
        out, err = process.communicate(timeout=30)
        assert process.returncode == ExitCode.INTERRUPTED, (out, err)
        assert len(server.asked) == 6
        assert "Traceback" not in err


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to whole groups of processes")
def test_ctrl_c_in_a_script_disconnects_what_it_asked_for(cli: Cli) -> None:
    with FaultServer(always("hang")) as server:
        code = (
            "import thoughtgraph\n"
            f"thoughtgraph.solve('What?', task='text', scheme='cot', model='openai:m', base_url={server.url!r})"
        )
        process = child(cli, "-c", code)
        assert server.wait_until(lambda: len(server.in_flight) == 1, 60), process.communicate()
        assert disconnected_within_a_second(server, lambda: process.send_signal(signal.SIGINT))
        _, err = process.communicate(timeout=30)
        assert err.splitlines()[-1] == "KeyboardInterrupt"
