"""A tool whose effect may not happen twice: killed at every point, resumed, decided by a person."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tool_world import TEXT, scripted, solve

from thoughtgraph.cli import main
from thoughtgraph.graph.errors import ThoughtGraphError
from thoughtgraph.storage.read import list_units, unit_tool_calls
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.storage.undecided import undecided_calls
from thoughtgraph.tools.base import Call, Tool, ToolReply

CHILD = Path(__file__).parent / "once_child.py"


class Story:
    """One run, killed and resumed in processes of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.effects = url, folder / "effects"
        self.effects.touch()

    def go_on(self, when: str = "never", changed: str = "") -> int:
        """Start or resume the run in a process that is killed `when`; return its exit code."""
        command = [sys.executable, str(CHILD), self.url, "run", str(self.effects), when, changed]
        folders = [str(CHILD.parent), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))}
        return subprocess.run(
            command, check=False, env=environment, capture_output=True, timeout=120
        ).returncode

    @property
    def sent(self) -> int:
        """How often the effect happened."""
        return len(self.effects.read_text().splitlines())

    @property
    def ended(self) -> str | None:
        """How the problem's search ended."""
        store = SqlStore.open(self.url)
        [unit] = list_units(store.database, "run")
        store.close()
        return unit.result.stopped if unit.result else None

    @property
    def unknown(self) -> int:
        """How many calls wait for a person."""
        store = SqlStore.open(self.url)
        count = len(undecided_calls(store.database, "run"))
        store.close()
        return count


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """Return a run that was not started."""
    return Story(str(tmp_path / "runs.db"), tmp_path)


@pytest.mark.parametrize(("when", "sent"), [pytest.param("before", 0, marks=pytest.mark.slow), ("after", 1)])
def test_a_kill_between_effect_and_record_stops_for_a_person(
    store_url: str, tmp_path: Path, when: str, sent: int
) -> None:
    story = Story(store_url, tmp_path)
    assert story.go_on(when) < 0
    for _ in range(2):  # asking again changes nothing
        story.go_on()
        assert (story.sent, story.unknown) == (sent, 1)
        assert "may not be made twice and its outcome is unknown" in (story.ended or "")
        assert "thoughtgraph decide run " in (story.ended or "")


@pytest.mark.parametrize("changed", ["model", "tool"])
def test_a_kill_stops_for_a_person_whatever_is_asked_afterwards(story: Story, changed: str) -> None:
    """The thought that called is not come by again when a prompt or a model has changed; its call is still undecided."""
    story.go_on("after")
    story.go_on(changed=changed)
    assert (story.sent, story.unknown) == (1, 1)
    assert story.ended is None or "may not be made twice" in story.ended


def test_a_kill_after_the_record_repeats_nothing(story: Story) -> None:
    assert story.go_on("recorded") < 0
    story.go_on()
    assert (story.sent, story.unknown, story.ended) == (1, 0, "finished")


@pytest.mark.parametrize(
    ("when", "said", "sent"),
    [
        ("after", ["--result", "sent, says the post"], 1),
        pytest.param("after", ["--error", "it was lost"], 1, marks=pytest.mark.slow),
        ("before", ["--again"], 1),
    ],
)
def test_a_person_decides(
    story: Story, when: str, said: list[str], sent: int, capsys: pytest.CaptureFixture[str]
) -> None:
    story.go_on(when)
    story.go_on()
    assert main(["calls", "run", "--db", story.url]) == 0
    told = capsys.readouterr().out
    assert "unknown outcome: " in told
    call = told.split("unknown outcome: ")[1].split()[0]
    assert main(["decide", "run", call, *said, "--db", story.url]) == 0
    assert "thoughtgraph resume run --retry-failed" in capsys.readouterr().out
    story.go_on()
    assert (story.sent, story.unknown, story.ended) == (sent, 0, "finished")
    assert main(["decide", "run", call, *said, "--db", story.url]) == 2
    assert "there is no call of unknown outcome" in capsys.readouterr().err


@pytest.mark.slow
def test_a_decision_is_an_observation_of_its_own_origin(story: Story) -> None:
    story.go_on("after")
    story.go_on()
    store = SqlStore.open(story.url)
    [call] = undecided_calls(store.database, "run")
    assert main(["decide", "run", call.id[:8], "--result", "sent", "--db", story.url]) == 0
    story.go_on()
    rows = unit_tool_calls(store.database, "run", call.problem)
    assert [(row.tool, row.result, row.origin) for row in rows] == [
        ("send", "sent", "person"),
        ("check", "checked", "call"),
    ]
    store.close()


@pytest.mark.slow
def test_killed_again_after_a_person_said_again(story: Story) -> None:
    story.go_on("before")
    story.go_on()
    store = SqlStore.open(story.url)
    [call] = undecided_calls(store.database, "run")
    assert main(["decide", "run", call.id, "--again", "--db", story.url]) == 0
    assert story.go_on("after") < 0
    story.go_on()
    assert story.sent == 1
    [again] = undecided_calls(store.database, "run")
    assert (again.id, again.attempt) == (call.id, 1)
    store.close()


def test_decide_wants_one_decision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for said in ([], ["--again", "--result", "x"]):
        assert main(["decide", "run", "call", *said, "--db", str(tmp_path / "x.db")]) == 2
        assert "say one of --result TEXT, --error TEXT and --again" in capsys.readouterr().err


def test_a_timeout_leaves_the_outcome_unknown(tmp_path: Path) -> None:
    async def hang(call: Call) -> ToolReply:
        await asyncio.sleep(60)
        raise AssertionError

    tool = Tool("send", "Sends.", TEXT, hang, effect="once", seconds=0.05)
    with pytest.raises(
        ThoughtGraphError,
        match=r"may not be made twice and its outcome is unknown.*: send did not answer within 0.05 s",
    ):
        solve(tmp_path, scripted("<<send: x>>", "Answer: x"), tool)


def test_one_thought_that_calls_twice_alike_has_one_effect(tmp_path: Path) -> None:
    called: list[str] = []

    async def send(call: Call) -> ToolReply:
        called.append(call.arguments["text"])
        await asyncio.sleep(0.01)
        return ToolReply("sent")

    tool = Tool("send", "Sends.", TEXT, send, effect="once")
    result = solve(tmp_path, scripted("<<send: x>> and <<send: x>>", "", "Answer: x"), tool)
    assert called == ["x"]
    assert result.usage.tool_calls == 1
