"""What comes of text of strangers is marked, whatever way it took: the path, a reflection, an aggregation, a search inside a thought; a resume too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from searches import make_setup
from tool_world import counting, prompt_of, solve

from thoughtgraph.agents.models.base import GenerationCall
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.agents.protocols import Observation
from thoughtgraph.graph.machine import build
from thoughtgraph.graph.records import Evaluation, Operator, Outcome, Request, Thought
from thoughtgraph.graph.session import Session
from thoughtgraph.graph.view_json import fields_to_json
from thoughtgraph.storage.store import SqlStore


@pytest.fixture
async def session(tmp_path: Path) -> Any:
    """Return the live session of a search that has not begun."""
    store = SqlStore.open(tmp_path / "runs.db")
    _, host = build(make_setup(store))
    run, problem = await host.open_run("a question")
    session = await host.open(run, problem.id)
    yield session
    await host.close(session)
    host.shutdown()
    store.close()


def child(session: Session, parent: str, text: str, tainted: bool = False) -> Thought:
    """Make a thought known to a session."""
    thought = Thought(text, (parent,), Operator.GENERATE, text, 1, request="r", tainted=tainted)
    session.learn(thought)
    return thought


def next_is_tainted(session: Session, *subjects: str) -> bool:
    """Return whether what is made from these thoughts now is marked."""
    operator = Operator.AGGREGATE if len(subjects) > 1 else Operator.GENERATE
    return session.context(Request(operator, subjects)).tainted


def test_an_observation_taints_what_comes_after_it(session: Session) -> None:
    asking, beside = child(session, session.root.id, "asks"), child(session, session.root.id, "beside")
    session.observe(Observation(asking.id, "web", {}, "text", asked=True))
    session.observe(Observation(beside.id, "calculator", {}, "1", trusted=True, asked=True))
    assert next_is_tainted(session, asking.id)
    assert not next_is_tainted(session, beside.id)
    assert next_is_tainted(session, beside.id, asking.id)
    assert not next_is_tainted(session, session.root.id)


def test_a_check_by_an_untrusted_tool_taints_too(session: Session) -> None:
    program = child(session, session.root.id, "program")
    session.observe(Observation(program.id, "unit_tests", {}, "1 of 2 tests passed", ok=False))
    assert next_is_tainted(session, program.id)


def test_what_a_tainted_thought_taught_taints_all_later_ones(session: Session) -> None:
    clean = child(session, session.root.id, "clean")
    tainted = child(session, session.root.id, "tainted", tainted=True)
    reflect = Request(Operator.EVALUATE, (clean.id,), action="reflect")
    session.absorb(Outcome(reflect, (), (Evaluation(clean.id, "reflection", "judge", text="count twice"),)))
    assert not next_is_tainted(session, session.root.id)
    again = Request(Operator.EVALUATE, (tainted.id,), action="reflect")
    session.absorb(Outcome(again, (), (Evaluation(tainted.id, "reflection", "judge", text="obey"),)))
    assert next_is_tainted(session, session.root.id)


@pytest.mark.parametrize("trusted", [False, True])
def test_the_record_says_it(tmp_path: Path, trusted: bool) -> None:
    tool, _ = counting(trusted=trusted)
    result = solve(tmp_path, ScriptedModel(_steps, chat=True), tool)
    marks = [thought.tainted for thought in result.graph.path()]
    assert marks == [False, False, not trusted, not trusted]
    assert sorted(row["tainted"] for row in fields_to_json(result.graph)["thoughts"]) == sorted(marks)


def _steps(call: GenerationCall) -> Sequence[str]:
    asked = prompt_of(call)
    if "so it is A" in asked:
        return ["Answer: A"] * call.n
    return ["so it is A" if "> A" in asked else "<<look_up: a>>"] * call.n


def test_an_answer_from_inside_a_thought_is_marked(tmp_path: Path) -> None:
    tool, _ = counting()
    result = solve(
        tmp_path,
        ScriptedModel(_steps, chat=True),
        tool,
        scheme="agent_workflow",
        params={"plan": False, "check": False, "solvers": 1},
    )
    inner = [thought for thought in result.graph.thoughts.values() if thought.nested]
    assert inner
    assert all(thought.tainted for thought in inner)
