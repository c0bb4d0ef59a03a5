"""HumanEval and MBPP in their published formats: what the search sees, what stays hidden, and who passes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from thoughtgraph.graph.errors import UserError
from thoughtgraph.tasks.base import GradingError, Item
from thoughtgraph.tasks.grading import programs
from thoughtgraph.tasks.grading.programs import TestResult, sandboxed
from thoughtgraph.tasks.programs import HumanEvalDomain, HumanEvalTask, MbppDomain, MbppTask
from thoughtgraph.tasks.registry import load_task

# our own problems, in the published formats
DOUBLE: dict[str, Any] = {
    "task_id": "HumanEval/1000",
    "prompt": 'from typing import List\n\n\ndef doubled(numbers: List[int]) -> List[int]:\n    """ Return every number twice as large.\n    >>> doubled([1, 2])\n    [2, 4]\n    >>> doubled([])\n    []\n    """\n',
    "entry_point": "doubled",
    "canonical_solution": "    return [2 * n for n in numbers]\n",
    "test": "\n\nMETADATA = {'author': 'us'}\n\n\ndef check(candidate):\n    assert candidate([]) == []\n    assert candidate([3, -1]) == [6, -2]\n",
}
HELPED: dict[str, Any] = {
    "task_id": "HumanEval/1001",
    "prompt": '\n\ndef shifted(text: str):\n    return "".join(chr((ord(c) - 97 + 5) % 26 + 97) for c in text)\n\n\ndef unshifted(text: str):\n    """\n    takes a text that shifted encoded, and returns the text\n    """\n',
    "entry_point": "unshifted",
    "canonical_solution": '    return "".join(chr((ord(c) - 97 - 5) % 26 + 97) for c in text)\n',
    "test": "def check(candidate):\n    for word in ('abc', 'xyz'):\n        assert candidate(shifted(word)) == word\n",
}
ROOT: dict[str, Any] = {
    "task_id": "HumanEval/1002",
    "prompt": 'def root(x: float) -> float:\n    """ The square root of x.\n\n    >>> root(2.25)\n    1.5\n    >>> root(-1)\n    Traceback (most recent call last):\n    ValueError: negative\n    >>> print(root(4))\n    2.0\n    """\n',
    "entry_point": "root",
    "canonical_solution": "    if x < 0:\n        raise ValueError('negative')\n    return x ** 0.5\n",
    "test": "import math\ndef check(candidate):\n    assert math.fabs(candidate(2.0) - 1.41421356) < 1e-6\n    assert True, 'this prints if it fails'\n",
}
HUMANEVAL = [DOUBLE, HELPED, ROOT]

LAST: dict[str, Any] = {
    "task_id": 11,
    "text": "Write a function to get the last element of a list.",
    "code": "def last(items):\n    return items[-1]",
    "test_list": ["assert last([1, 2]) == 2", "assert last(['a']) == 'a'", "assert last([[], [0]]) == [0]"],
    "test_setup_code": "",
    "challenge_test_list": ["assert last([7]) == 8"],
}
SETUP: dict[str, Any] = {
    "task_id": 601,
    "text": "Write a function to sum the values of a linked list.",
    "code": "def total(node):\n    return 0 if node is None else node.value + total(node.next)",
    "test_list": ["assert total(None) == 0", "assert total(Node(1, Node(2))) == 3"],
    "test_setup_code": "class Node:\n    def __init__(self, value, next=None):\n        self.value = value\n        self.next = next",
    "challenge_test_list": [],
}
SANITIZED: dict[str, Any] = {
    "source_file": "ours",
    "task_id": 12,
    "prompt": "Write a function that returns the area of a circle.",
    "code": "import math\ndef area(r):\n    return math.pi * r * r",
    "test_imports": ["import math"],
    "test_list": ["assert math.isclose(area(1), math.pi)", "assert area(0) == 0"],
}
MBPP = [LAST, SETUP, {**SANITIZED, "task_id": 511}, {**SANITIZED, "task_id": 3}]


def write(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def humaneval(folder: Path) -> list[Item]:
    return list(HumanEvalTask(write(folder / "HumanEval.jsonl", HUMANEVAL)).load("test"))


@pytest.fixture(autouse=True)
def needs_a_sandbox(request: pytest.FixtureRequest) -> None:
    if "no_sandbox" in request.keywords:
        return
    try:
        programs.check_sandbox()
    except UserError as error:
        pytest.skip(str(error))


def test_a_humaneval_question_is_the_official_prompt(tmp_path: Path) -> None:
    items = humaneval(tmp_path)
    assert [item.problem.question for item in items] == [row["prompt"].strip() for row in HUMANEVAL]
    assert [item.problem.id.split(":")[0] for item in items] == [row["task_id"] for row in HUMANEVAL]
    for item, row in zip(items, HUMANEVAL, strict=True):
        assert json.loads(item.reference or "") == {"test": row["test"], "entry_point": row["entry_point"]}
        assert "check(" not in item.problem.question


@pytest.mark.parametrize("row", HUMANEVAL, ids=lambda row: row["entry_point"])
def test_bodies_and_whole_functions_pass(row: dict[str, Any], tmp_path: Path) -> None:
    task = HumanEvalTask(write(tmp_path / "HumanEval.jsonl", [row]))
    [item] = task.load("test")
    body = row["canonical_solution"]
    head = row["prompt"][row["prompt"].index(f"def {row['entry_point']}") :].split("\n")[0]
    for answer in (body, f"{head}\n{body}", f"```python\n{head}\n{body}```", f"{head}\n{body}\n\nif __name__ == '__main__':\n    input()"):  # fmt: skip
        verdict = task.grade(item.problem.question, answer, item.reference)
        assert verdict is not None
        assert verdict.correct, (answer, verdict.reason)


@pytest.mark.parametrize(
    "answer",
    [
        "    return numbers",
        "    return [2 * n for n in numbers",
        "def other(numbers):\n    return []",
        "    raise SystemExit(0)",
        "    import os; os._exit(0)",
        "    while True: pass",
        "    return [0] * 10**12",
        "import sys\nsys.exit(0)",
        "class Anything:\n    def __eq__(self, other): return True\ndef doubled(numbers): return Anything()",
        "    return '''",
    ],
)
def test_wrong_and_hostile_programs_fail(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "SECONDS", 2.0)
    task = HumanEvalTask(write(tmp_path / "HumanEval.jsonl", [DOUBLE]))
    [item] = task.load("test")
    verdict = task.grade(item.problem.question, answer, item.reference)
    assert verdict is not None
    assert not verdict.correct
    assert verdict.reason
    assert "\n" not in verdict.reason


def test_the_docstrings_examples_are_what_the_search_may_test() -> None:
    domain = HumanEvalDomain()
    shown = {row["entry_point"]: domain.visible_tests(row["prompt"].strip()) for row in HUMANEVAL}
    assert shown == {
        "doubled": ("assert (doubled([1, 2])) == ([2, 4])", "assert (doubled([])) == ([])"),
        "unshifted": (),
        "root": ("assert (root(2.25)) == (1.5)",),
    }
    for row in HUMANEVAL:
        question = row["prompt"].strip()
        tests = domain.visible_tests(question)
        if tests:
            assert sandboxed(domain.program(question, row["canonical_solution"]), tests).passed


@pytest.mark.parametrize("domain", [HumanEvalDomain(), MbppDomain()], ids=lambda d: d.name)
@pytest.mark.parametrize(
    "question", ["", "def f(", "def f():\n    '''>>> 1 +\n'''", "x = \x00", "no code", '"""']
)
def test_no_question_makes_the_domain_fail(domain: Any, question: str) -> None:
    assert domain.visible_tests(question) == ()
    assert domain.program(question, "x = 1")


def test_mbpp_shows_the_first_test_and_grades_by_all(tmp_path: Path) -> None:
    task = MbppTask(write(tmp_path / "mbpp.jsonl", MBPP))
    [item] = task.load("test")
    question = item.problem.question
    assert question == f"{LAST['text']}\nYour code should pass this test:\n{LAST['test_list'][0]}"
    assert MbppDomain().visible_tests(question) == (LAST["test_list"][0],)
    hidden = json.loads(item.reference or "")
    assert hidden == {"tests": LAST["test_list"], "setup": ""}  # the challenge is no part of the measure
    for code, right in ((LAST["code"], True), ("def last(items):\n    return items[1]", False)):
        verdict = task.grade(question, code, item.reference)
        assert verdict is not None
        assert verdict.correct is right


def test_mbpp_splits_are_told_by_ids(tmp_path: Path) -> None:
    task = MbppTask(write(tmp_path / "mbpp.jsonl", MBPP))
    found = {split: [int(i.problem.id.split(":")[0]) for i in task.load(split)] for split in ("train", "validation", "test", "prompt")}  # fmt: skip
    assert found == {"train": [601], "validation": [511], "test": [11], "prompt": [3]}
    with pytest.raises(UserError, match="mbpp has no split 'dev'; give --split train or validation or test"):
        task.load("dev")


def test_setup_code_and_the_sanitized_array(tmp_path: Path) -> None:
    path = tmp_path / "sanitized-mbpp.json"
    path.write_text(json.dumps([SANITIZED, SETUP], indent=1))
    for split, row in (("test", SANITIZED), ("train", SETUP)):
        task = MbppTask(str(tmp_path))
        [item] = task.load(split)
        verdict = task.grade(
            item.problem.question, f"from __future__ import annotations\n{row['code']}", item.reference
        )
        assert verdict is not None
        assert verdict.correct, verdict.reason
        shown = MbppDomain().visible_tests(item.problem.question)
        assert len(shown) == 1
        assert sandboxed(row["code"], shown).passed  # with what the test needs
    assert item.problem.question.startswith(SETUP["text"])


def test_packed_files_and_the_usual_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THOUGHTGRAPH_DATA", str(tmp_path))
    packed = gzip.compress("".join(json.dumps(row) + "\n" for row in HUMANEVAL).encode())
    (tmp_path / "HumanEval.jsonl.gz").write_bytes(packed)
    assert len(list(load_task("humaneval").load("test", 2))) == 2
    (tmp_path / "HumanEval.jsonl.gz").write_bytes(b"not packed")
    with pytest.raises(UserError, match="is no gzip file"):
        load_task("humaneval").load("test")


def test_what_cannot_be_run_is_no_zero() -> None:
    def broken(program: str, tests: Sequence[str], setup: str) -> TestResult:
        raise GradingError("the tests could not be run: no process")

    task = HumanEvalTask(judge=broken)
    reference = json.dumps({"test": DOUBLE["test"], "entry_point": "doubled"})
    with pytest.raises(GradingError, match="could not be run"):
        task.grade(DOUBLE["prompt"], "    return []", reference)
    assert task.grade(DOUBLE["prompt"], "x", None) is None
    for nothing in (None, "  \n"):
        verdict = task.grade(DOUBLE["prompt"], nothing, reference)
        assert verdict is not None
        assert not verdict.correct
    with pytest.raises(GradingError, match="no tests"):
        sandboxed("x = 1", [])


def test_a_host_without_a_sandbox_says_so_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thoughtgraph.tools.sandbox import boundary

    data = write(tmp_path / "HumanEval.jsonl", HUMANEVAL)
    monkeypatch.setattr(
        boundary, "probe", lambda: boundary.Boundary("", False, "bubblewrap is not installed")
    )
    with pytest.raises(UserError, match="bubblewrap is not installed"):
        HumanEvalTask(data).load("test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": "a story"}, "line 1: `prompt` is no Python function"),
        ({"prompt": None}, "`prompt` is not text"),
        ({"test": None}, "line 1: no `test`"),
        ({"entry_point": 3}, "`entry_point` is not text"),
        ({"task_id": "a b"}, "`task_id` is not 1 to 100"),
    ],
)
def test_bad_rows_are_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        HumanEvalTask(write(tmp_path / "HumanEval.jsonl", [DOUBLE | change])).load("test")
    assert message in str(caught.value)
