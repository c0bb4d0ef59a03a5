"""Solved problems as examples: what is shown of them, and what never is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from thoughtgraph.graph.errors import ToolError, UserError
from thoughtgraph.graph.ids import address
from thoughtgraph.graph.ledger import Commit, RunSpec, UnitResult
from thoughtgraph.graph.records import Budget, Operator, Problem, Thought, Usage
from thoughtgraph.storage.read import list_units
from thoughtgraph.storage.schema import RunRow
from thoughtgraph.storage.solved import solved_examples
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.base import Item
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runs import start
from thoughtgraph.tasks.settings import Settings
from thoughtgraph.tools.base import Call
from thoughtgraph.tools.calling import call_tool
from thoughtgraph.tools.retrieval.past_runs import SolvedExample, same_text, solved_examples_tool

EXAMPLES = [
    SolvedExample("How many apples has Ann?", ("She has 3.", "So 3 apples."), "3"),
    SolvedExample("How many pears has Bob?", ("Bob has 4 pears.",), "4"),
    SolvedExample("What is the speed of the train?", ("60 km in 1 h.",), "60"),
    SolvedExample("how many  apples has ann", ("A copy.",), "3"),
]


async def ask(tool: Any, query: str, question: str = "") -> str:
    return (await call_tool(tool, Call({"query": query}, question=question))).text


async def test_similar_problems_are_shown_with_their_solutions() -> None:
    tool = solved_examples_tool(lambda: EXAMPLES, top=2)
    assert (tool.name, tool.effect, tool.scoped, tool.trusted) == (
        "similar_problems",
        "idempotent",
        True,
        False,
    )
    assert await ask(tool, "the train's speed") == (
        "[1] Question: What is the speed of the train?\n60 km in 1 h.\nAnswer: 60"
    )
    assert await ask(tool, "apples") == (
        "[1] Question: How many apples has Ann?\nShe has 3.\nSo 3 apples.\nAnswer: 3"
    )
    assert (await ask(tool, "how many")).count("Question:") == 2
    assert await ask(tool, "zebra") == "No solved problem is like it."
    with pytest.raises(ToolError, match="no words"):
        await ask(tool, "?")


async def test_the_question_itself_is_never_shown() -> None:
    tool = solved_examples_tool(lambda: EXAMPLES)
    assert "Ann" not in await ask(tool, "HOW MANY apples\nhas Ann")
    assert "Ann" not in await ask(tool, "apples ann", question="How many apples has Ann ?")
    assert "Bob" in await ask(tool, "how many", question="How many apples has Ann?")


async def test_examples_are_read_once_and_when_they_are_needed() -> None:
    read: list[int] = []

    def examples() -> Iterator[SolvedExample]:
        read.append(1)
        yield from EXAMPLES

    tool = solved_examples_tool(examples)
    assert read == []
    await asyncio.gather(*(ask(tool, "apples") for _ in range(8)))
    assert read == [1]
    assert await ask(solved_examples_tool(list), "apples") == "No solved problem is like it."
    with pytest.raises(UserError, match="top=1 or more"):
        solved_examples_tool(list, top=0)


def test_same_text() -> None:
    assert same_text("  What is\n2 + 2 ?") == same_text("what is 2 + 2")
    assert same_text("Ｆｕｌｌ") == "full"
    assert same_text("1 2 3") != same_text("12 3")


Solve = Callable[..., str]


@pytest.fixture
def solve(store: SqlStore) -> Solve:
    """Records a run of one problem that ended right, with a path of two steps."""
    count = iter(range(1_000_000))

    def make(
        question: str,
        split: str | None = "train",
        *,
        task: str = "text",
        right: bool | None = True,
        oracle: bool = False,
        parent: str | None = None,
        steps: tuple[str, ...] = ("one", "two"),
        whole: bool = False,
    ) -> str:
        run = f"run-{next(count)}"
        problem = Problem(address("problem", task, question), task, question)
        settings = {} if split is None else {"split": split}
        store.create_run(RunSpec(run, task, "mcts", settings, 0, oracle, parent), [problem])
        lease = store.claim(run, "w", ttl=60)
        assert lease is not None
        path = [Thought(address("t", run, 0), (), Operator.GENERATE, question, 0)]
        for i, step in enumerate(steps, start=1):
            last = i == len(steps)
            id_ = address("t", run, i)
            path.append(
                Thought(
                    id_,
                    (path[-1].id,),
                    Operator.GENERATE,
                    step,
                    i,
                    "r",
                    terminal=last,
                    answer="42",
                    whole=whole,
                )
            )
        store.commit(lease, Commit(tuple(path)), ttl=60)
        store.finish(lease, UnitResult("answered", "42", path[-1].id, 1.0, "finished", Usage()))
        if right is not None:
            store.grade(run, problem.id, right)
        return run

    return make


def questions(store: SqlStore, **options: Any) -> list[str]:
    return [one.question for one in solved_examples(store.database, "text", **options)]


def test_solved_problems_with_the_path_of_their_answer(store: SqlStore, solve: Solve) -> None:
    solve("a?")
    solve("b?", steps=("first line\n\nsecond line",), whole=True)
    solve("c?", steps=("draft", "better\nAnswer: 42"), whole=True)
    found = solved_examples(store.database, "text")
    assert found == [
        SolvedExample("c?", ("better", "Answer: 42"), "42"),
        SolvedExample("b?", ("first line", "second line"), "42"),
        SolvedExample("a?", ("one", "two"), "42"),
    ]
    assert [one.question for one in solved_examples(store.database, "text", limit=2)] == ["c?", "b?"]


def test_only_right_answers_of_runs_on_the_split(store: SqlStore, solve: Solve) -> None:
    solve("kept?")
    solve("wrong?", right=False)
    solve("not graded?", right=None)
    solve("oracle?", oracle=True)
    solve("no split?", None)
    solve("test?", "test")
    solve("validation?", "validation")
    solve("inside?", parent="run-0")
    solve("other task?", task="numbers")
    assert questions(store) == ["kept?"]
    assert questions(store, only_splits=("validation",)) == ["validation?"]


def test_what_is_evaluated_on_is_never_shown_wherever_it_was_solved(store: SqlStore, solve: Solve) -> None:
    solve("in both?")
    solve("IN  both", "test", right=False)
    solve("under another task?")
    solve("Under another task", "test", task="copy")
    solve("kept?")
    assert questions(store) == ["kept?"]


def test_the_own_run_and_its_problems_are_left_out(store: SqlStore, solve: Solve) -> None:
    solve("asked now?")
    own = solve("asked  NOW")
    solve("kept?")
    assert questions(store, exclude_runs=[own]) == ["kept?"]
    problem = list_units(store.database, own)[0].problem.id
    assert questions(store, exclude_problems=[problem]) == ["kept?"]
    assert len(questions(store)) == 2


def test_each_question_once_the_newest(store: SqlStore, solve: Solve) -> None:
    solve("a?", steps=("old",))
    solve("A ?", steps=("new",))
    found = solved_examples(store.database, "text")
    assert [(one.question, one.steps) for one in found] == [("A ?", ("new",))]


async def test_a_run_of_the_shipped_model(tmp_path: Path) -> None:
    task = load_task("numbers")
    store = SqlStore.open(str(tmp_path / "store.db"))
    try:
        puzzles = ["4 5 6 10", "1 2 3 4", "6 6 6 6"]
        items = [Item(task.problem(puzzle)) for puzzle in puzzles]
        await start(store, Settings(budget=Budget(tokens=4_000)), items, run="past", parallel=3)
        with store.database.writing() as connection:
            connection.execute(update(RunRow).values(settings={"split": "train"}))
        right = [unit for unit in list_units(store.database, "past") if unit.correct]
        assert right
        found = solved_examples(store.database, "numbers")
        assert {one.question for one in found} == {unit.problem.question for unit in right}
        for one in found:
            assert len(one.steps) == 3
            assert "left:" in one.steps[0]
        tool = solved_examples_tool(lambda: solved_examples(store.database, "numbers"))
        reply = await ask(tool, "5 6 10 11 -> 24", question=items[1].problem.question)
        assert "left:" in reply
        assert items[1].problem.question not in reply
    finally:
        store.close()
