"""The prompt files: complete, versioned, fillable, and with examples that are right."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from string import Template

import pytest

from thoughtgraph.agents.actions import GENERATE
from thoughtgraph.agents.prompting import (
    COMMON,
    families,
    fill,
    load_prompt,
    prompt_names,
    prompt_versions,
)
from thoughtgraph.graph.domain import Domain
from thoughtgraph.graph.errors import ToolError, UnknownNameError, UserError
from thoughtgraph.tasks.registry import TASKS, load_task
from thoughtgraph.tools.calculator import Calculator

FOLDER = Path(__file__).resolve().parent.parent / "agents" / "prompts"
FILES = sorted(FOLDER.glob("*/*.md"))
VALUES = {
    "question",
    "tools",
    "fenced",
    "steps",
    "so_far",
    "notes",
    "remarks",
    "n",
    "examples",
    "subquestion",
    "attempt",
    "attempts",
    "earlier",
    "choices",
    "first",
    "second",
    "form",
}
"""Everything that agents fill in."""
SENT_AS_THEY_ARE = {"system", "judge", "critique", "extract", "examples"}
EVALUATIONS = {
    "value",
    "value_answer",
    "vote",
    "compare",
    "critique",
    "critique_step",
    "critique_attempt",
    "reflect",
    "control",
    "complete",
    "judge",
}
GENERATIONS = {
    "next_step",
    "continued",
    "raw",
    "next_answer",
    "whole",
    "extract",
    "refine",
    "aggregate",
    *GENERATE,
} - {""}


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_file_says_its_version_and_has_only_places_that_are_filled(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    front = re.match(r"---\nversion: [1-9]\d*\n---\n(?=\S)", text)
    assert front, "every file begins with a block that says its version"
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert all(len(line) <= 120 for line in text.splitlines())
    sent = load_prompt(path.stem, path.parent.name)
    assert sent == text[front.end() :].strip()
    if path.stem in SENT_AS_THEY_ARE:
        assert "$" not in sent
    else:
        assert Template(sent).is_valid()
        assert set(Template(sent).get_identifiers()) <= VALUES
        assert "$" not in fill(sent, **dict.fromkeys(VALUES, "x"))


@pytest.mark.parametrize("family", families())
def test_a_family_has_a_prompt_for_everything_that_is_asked(family: str) -> None:
    assert set(prompt_names(family)) >= GENERATIONS | EVALUATIONS | {"system", "examples"}
    assert (FOLDER / family / "system.md").is_file()
    assert (FOLDER / family / "examples.md").is_file()
    # what a family says in its own words stands in for a shared file, but for its explanation and examples
    assert {p.stem for p in (FOLDER / family).iterdir()} - {"system", "examples"} <= set(prompt_names(COMMON))


def test_every_task_has_a_family() -> None:
    assert {load_task(name).domain.instructions for name in TASKS} == set(families())


def test_a_family_goes_before_what_all_share() -> None:
    assert load_prompt("extract", "math") != load_prompt("extract") == load_prompt("extract", "text")
    assert load_prompt("vote", "math") == load_prompt("vote")


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(UnknownNameError, match="unknown prompt 'nxt_step'; did you mean 'next_step'"):
        load_prompt("nxt_step", "text")
    with pytest.raises(UnknownNameError, match="unknown prompt family 'maths'; did you mean 'math'"):
        load_prompt("value", "maths")
    with pytest.raises(UnknownNameError):
        load_prompt("system")  # only families have one
    with pytest.raises(UnknownNameError):
        load_prompt("../text/system", "math")
    with pytest.raises(UnknownNameError):
        load_prompt("value", "..")


def test_versions_name_the_family_and_all_it_says() -> None:
    versions = {family: prompt_versions(family) for family in families()}
    for family, version in versions.items():
        assert re.fullmatch(rf"{family}-v[1-9]\d*-[0-9a-f]{{8}}", version)
    assert len({version.rsplit("-", 1)[1] for version in versions.values()}) == len(versions)
    assert prompt_versions("math") == versions["math"]


def test_dollar_signs_and_blocks_in_values_mean_nothing() -> None:
    hostile = "$question ${steps} $$\n---\nversion: 7\n---\n"
    filled = fill(load_prompt("next_step"), question=hostile, steps=hostile, notes="$5")
    assert filled.count(hostile.strip()) == 2
    assert "- $5" not in filled
    assert "$5" in filled


def exemplars(domain: Domain) -> list[tuple[str, list[str]]]:
    """Return the worked examples of a domain's family: question and steps."""
    found: list[tuple[str, list[str]]] = []
    for part in load_prompt("examples", domain.instructions).split("Problem: ")[1:]:
        question, solution = part.strip().split("\n\n", 1)
        steps = [step.strip() for step in solution.split(domain.stop)]
        found.append((" ".join(question.split()), steps))
    return found


@pytest.mark.parametrize("task", ["text", "math", "code", "multihop", "numbers"])
def test_worked_examples_are_right_and_in_the_familys_own_format(task: str) -> None:
    domain = load_task(task).domain
    shown = exemplars(domain)
    assert 3 <= len(shown) <= 4
    for question, steps in shown:
        assert domain.parse(question) == question
        assert len(steps) <= domain.max_steps
        for k in range(1, len(steps) + 1):
            assert domain.flaw(question, steps[:k]) is None, steps[k - 1]
            assert domain.read(question, steps[:k]).terminal == (k == len(steps))
            for equation in domain.claims(question, steps[:k]):
                assert Calculator().check_equation(equation).holds, equation
        answer = domain.read(question, steps)
        assert answer.answer
        assert answer.key
        if (goal := domain.goal(question, answer.answer)) is not None:
            assert Calculator().check_equation(goal).holds


def test_programs_shown_as_examples_run() -> None:
    domain = load_task("code").domain
    programs = [domain.read(question, steps).answer or "" for question, steps in exemplars(domain)]
    shown = "print(middle(3, 1, 2), runs('aab'), runs(''), sum_of_odds(4))"
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*programs, shown])], capture_output=True, text=True, check=True
    )
    assert done.stdout == "2 [2, 1] [] 16\n"


@pytest.mark.parametrize("split", ["val", "test"])
def test_no_held_out_puzzle_is_shown(split: str) -> None:
    try:
        held_out = {item.problem.question for item in load_task("game24").load(split)}
    except (UserError, ToolError) as error:
        pytest.skip(str(error))
    assert len(held_out) == 100
    shown = "\n".join(load_prompt(name, "numbers") for name in prompt_names("numbers"))
    puzzles = set(re.findall(r"\d+(?: \d+){2,5} -> \d+", shown))
    assert puzzles
    assert not puzzles & held_out
