"""pass@k of a run: every finished solution graded, the estimate unbiased."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from math import comb
from pathlib import Path

import pytest

from thoughtgraph.agents.models.base import GenerationCall
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.cli import main
from thoughtgraph.graph.errors import UserError
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.assembly import Replacements
from thoughtgraph.tasks.base import Item
from thoughtgraph.tasks.pass_at_k import Solutions, graded_solutions, pass_rates
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.runs import start
from thoughtgraph.tasks.settings import Settings

RIGHT = {"How many are 2 + 2?": 3, "How many are 3 + 3?": 0}
"""How many of five samples answer a question rightly, with 4; the other answer is 5."""


def answers(call: GenerationCall) -> Sequence[str]:
    asked = str(call.prompt)
    right = next(count for question, count in RIGHT.items() if question in asked)
    return [f"Answer: {4 if call.first_sample + i < right else 5}" for i in range(call.n)]


@pytest.fixture
async def run(tmp_path: Path) -> str:
    """Return the path of a database with the run `run`: five solutions to each of two problems."""
    path = str(tmp_path / "runs.db")
    store = SqlStore.open(path)
    task = load_task("math")
    items = [Item(task.problem(question), "4") for question in RIGHT]
    own = Replacements(model=ScriptedModel(answers, chat=True))
    settings = Settings(
        task="math",
        scheme="self_consistency",
        params={"n": 5},
        model="scripted",
        scorer="none",
        custom=own.names,
    )
    await start(store, settings, items, own=own, run="run")
    store.close()
    return path


def test_all_solutions_are_graded(run: str) -> None:
    store = SqlStore.open(run)
    found = graded_solutions(store, "run")
    store.close()
    assert sorted((one.n, one.correct) for one in found) == [(5, 0), (5, 3)]


def test_rates_are_means_of_the_unbiased_estimate() -> None:
    solutions = [Solutions("a", 5, 3), Solutions("b", 5, 0)]
    for k in range(1, 6):
        one = 1 - comb(2, k) / comb(5, k)
        assert pass_rates(solutions, [k]) == {k: pytest.approx(one / 2)}


def test_the_command(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pass-at-k", "run", "--k", "1,2", "--db", run]) == 0
    assert capsys.readouterr().out == "pass@1: 30.0% of 2 problems\npass@2: 45.0% of 2 problems\n"
    assert main(["pass-at-k", "run", "--k", "2", "--json", "--db", run]) == 0
    assert json.loads(capsys.readouterr().out) == {"problems": 2, "pass_at_k": {"2": pytest.approx(0.45)}}


@pytest.mark.parametrize(
    ("k", "said"),
    [
        (
            "6",
            "pass@6 cannot be estimated: problem .* has 5 finished solutions; choose k from 1 to 5, or draw more",
        ),
        ("0", "--k 0 is not a list of whole numbers of 1 or more"),
        ("a", "--k a is not a list"),
        ("", "--k is not a list"),
    ],
)
def test_what_cannot_be_estimated_is_said(
    run: str, k: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pass-at-k", "run", "--k", k, "--db", run]) == 2
    assert re.search(said, capsys.readouterr().err)


def test_nothing_to_estimate() -> None:
    with pytest.raises(UserError, match="the run has no problems"):
        pass_rates([], [1])
