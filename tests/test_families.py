"""The families of general tasks: step formats, canonical answers, grading against references from files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoughtgraph.agents.formats import read_subquestion, strip_item
from thoughtgraph.graph.errors import UserError
from thoughtgraph.tasks.families import CodeDomain, MathDomain, MultihopDomain, short_key
from thoughtgraph.tasks.grading.numbers import number_key
from thoughtgraph.tasks.jsonl import read_problems
from thoughtgraph.tasks.registry import load_task
from thoughtgraph.tasks.text import TextDomain

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
DOMAINS = [TextDomain(), MathDomain(), MultihopDomain(), CodeDomain()]
CODE = CodeDomain()
BLOCK = "```python\ndef f(x):\n    return x\n```"


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        ("72", "72"),
        ("72 clips.", "72"),
        ("so she has\n#### 1,234", "1234"),
        ("$1,200.00", "1200"),
        ("**72**", "72"),
        ("50%", "50"),
        ("x = 5", "5"),
        ("-0", "0"),
        ("\N{MINUS SIGN}3", "-3"),
        ("0.5", "1/2"),
        (".50", "1/2"),
        ("2/4 cup", "1/2"),
        (r"so \boxed{\frac{1}{2}}, not \boxed{2} but \boxed{-\dfrac{3}{6}}.", "-1/2"),
        (r"\boxed{\{1, {2}\}}", r"\{1,{2}\}"),
        ("1e3", "1000"),
        ("9" * 60, "9" * 60),
        # no single number: text
        ("5x", "5x"),
        ("-x + 5", "-x + 5"),
        ("sqrt 2", "sqrt 2"),
        ("2 pi", "2 pi"),
        ("(3, 4)", "(3,4)"),
        ("1,2", "1,2"),
        ("3/0", "3/0"),
        ("12 apples and 3 pears", "12 apples and 3 pears"),
        ("NaN", "nan"),
        ("", ""),
    ],
)
def test_mathematical_answers_are_compared_as_numbers(answer: str, key: str) -> None:
    assert number_key(answer) == key
    assert number_key(number_key(answer)) == number_key(answer)


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        ("The Ottawa River!", "ottawa river"),
        ("  an  Apple,  a day", "apple day"),
        ("U.S.A.", "usa"),
        ("yes", "yes"),
        ("Theresa", "theresa"),
        ("The", "the"),
        ("—", "—"),
    ],
)
def test_short_answers_are_compared_without_case_punctuation_and_articles(answer: str, key: str) -> None:
    assert short_key(answer) == key


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        (["Return it.", BLOCK], "def f(x):\n    return x"),
        (["Return it.", *BLOCK.splitlines()], "def f(x):\n    return x"),
        (["```\na = 1\n```", BLOCK], "def f(x):\n    return x"),
        (["Return it."], None),
        ([BLOCK, "That was it."], None),
        (["```python\ndef f(x):"], None),
        (["```"], None),
        ([], None),
    ],
)
def test_a_program_is_the_block_that_ends_the_steps(steps: list[str], code: str | None) -> None:
    reading = CODE.read("q", steps)
    assert (reading.terminal, reading.answer) == (code is not None, code)
    assert reading.key == code


def test_programs_are_compared_without_space_at_the_ends_of_lines() -> None:
    assert CODE.canonical("\n\na = 1  \nif a:\n    b = 2\t\n\n") == "a = 1\nif a:\n    b = 2"
    assert CODE.canonical(BLOCK) == "def f(x):\n    return x"
    empty = CODE.read("q", ["```\n\n```"])
    assert (empty.terminal, empty.key) == (True, None)
    verdict = load_task("code").grade("q", "def f(x):\n    return x ", BLOCK)
    assert verdict is not None
    assert verdict.correct


def test_lines_of_a_program_may_be_equal_and_are_no_claims() -> None:
    assert CODE.flaw("q", ["a", "a"]) is not None
    assert CODE.flaw("q", ["```", "x = 1 + 1", "x = 1 + 1", "```"]) is None
    assert list(CODE.claims("q", ["1 + 1 = 2"])) == []
    assert CODE.prompt("q", ["a\nb"]) == "q\n@@\na\nb\n@@\n"


@pytest.mark.parametrize("domain", DOMAINS[:3], ids=lambda d: d.name)
def test_a_sub_question_ends_a_solution_only_where_it_is_the_question(domain: TextDomain) -> None:
    first = "Sub-question: how many are left? 12 - 5 = 7. Answer: 7"
    assert not domain.read("q", [first]).terminal
    assert not domain.read("q", [first.replace("Sub-question:", "Sub-question, answered again:")]).terminal
    last = "Sub-question: Now we can answer the question: how much is it? 7 * 2 = 14. Answer: 14"
    reading = domain.read("q", [first, last])
    assert (reading.terminal, reading.answer, reading.key) == (True, "14", "14")
    assert list(domain.claims("q", [first])) == ["12 - 5 = 7"]


@pytest.mark.parametrize(
    ("text", "question", "answer", "last"),
    [
        ("Sub-question: who? Answer: me", "who?", "me", False),
        ("sub-question, answered again : who? answer: me", "who?", "me", False),
        ("Sub-question: what is an Answer: to? Answer: this", "what is an Answer: to?", "this", False),
        ("Sub-question: NOW WE CAN ANSWER THE QUESTION: who? Answer: me", None, "me", True),
    ],
)
def test_sub_questions(text: str, question: str | None, answer: str, last: bool) -> None:
    found = read_subquestion(text)
    assert found is not None
    assert (found.answer, found.last) == (answer, last)
    assert question is None or found.question == question


@pytest.mark.parametrize(
    "text", ["Answer: 7", "Sub-question: who?", "Sub-question: who? Answer: ", "", "A Sub-question:"]
)
def test_what_is_no_sub_question(text: str) -> None:
    assert read_subquestion(text) is None


@pytest.mark.parametrize(
    ("line", "text"),
    [("1. a", "a"), ("12) a", "a"), ("(3) a", "a"), ("- a", "a"), ("• a", "a"), ("-3 + 4", "-3 + 4"), ("3 + 4", "3 + 4"), ("1.5 + 2", "1.5 + 2"), ("", "")],
)  # fmt: skip
def test_items_of_a_list(line: str, text: str) -> None:
    assert strip_item(line) == text


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda d: d.name)
@given(
    steps=st.lists(
        st.text(max_size=40) | st.sampled_from(["```", "Answer: 1", "@@", "Sub-question:"]), max_size=5
    )
)
def test_no_model_text_makes_a_domain_fail(domain: TextDomain, steps: list[str]) -> None:
    reading = domain.read("q", steps)
    assert reading.terminal or reading.answer is None
    domain.flaw("q", steps)
    domain.claims("q", steps)
    for step in steps:
        key = domain.canonical(step)
        assert domain.canonical(key) == key or domain.name == "code"


@pytest.mark.parametrize("name", ["math", "multihop", "code"])
def test_problems_come_from_files_and_are_graded_against_references_only(name: str, tmp_path: Path) -> None:
    task = load_task(name)
    assert (task.name, task.domain.name, task.domain.checks) == (name, name, False)
    path = tmp_path / "problems.jsonl"
    path.write_text('{"question": "How much?\\nSay.", "answer": "the 7.0"}\n{"question": "Who?"}\n')
    first, second = read_problems(path, task)
    assert first.problem.task == name
    assert first.problem.id != load_task("text").problem("How much?\nSay.").id
    assert task.grade(second.problem.question, "x", second.reference) is None
    verdict = task.grade(first.problem.question, None, first.reference)
    assert verdict is not None
    assert not verdict.correct
    with pytest.raises(UserError, match=f"--task {name}"):
        task.load("all")


def test_references_of_public_sets_are_read_as_the_answers_they_are() -> None:
    if not DATA.is_dir():
        pytest.skip("the public data is not on this machine")
    gsm8k = [json.loads(line) for line in (DATA / "gsm8k_train_1000.jsonl").read_text().splitlines()]
    keys = [number_key(row["answer"]) for row in gsm8k]
    assert keys == [row["answer"].rsplit("####", 1)[1].strip().replace(",", "") for row in gsm8k]
    math = [json.loads(line) for line in (DATA / "math500.jsonl").read_text().splitlines()]
    assert all(number_key(row["solution"]) == number_key(row["answer"]) for row in math)
