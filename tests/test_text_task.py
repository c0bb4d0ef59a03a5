"""The plain-text task: answer lines, canonical answers, claimed equations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoughtgraph.graph.errors import UserError
from thoughtgraph.tasks.text import TextDomain, TextTask, canonical

DOMAIN = TextDomain()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("1,200.0", "1200"),
        ("$3.50", "3.5"),
        ("0.0", "0"),
        ("-0", "0"),
        ("Paris.", "paris"),
        ("  New   York ", "new york"),
        ("NaN", "nan"),
        ("1e400000000", "1e400000000"),
        ("1" * 28, "1" * 28),
        ("1" * 40, "1" * 40),  # Decimal would round it
    ],
)
def test_canonical_answers(text: str, key: str) -> None:
    assert canonical(text) == key


def test_an_answer_line_ends_the_solution() -> None:
    reading = DOMAIN.read("q", ["12 * 4 = 48", "Answer: 48.0"])
    assert reading.terminal
    assert (reading.answer, reading.key) == ("48.0", "48")
    assert not DOMAIN.read("q", ["The answer is near"]).terminal


@pytest.mark.parametrize(
    ("step", "claims"),
    [
        ("so 12 * 4 = 48 apples", ["12 * 4 = 48"]),
        ("3+4=8, then 2 - 5 = -3.", ["3+4 = 8", "2 - 5 = -3"]),
        ("x + 4 = 8", []),
        ("1 + 2 = 3 + 4", []),
        ("1 + 2 = 3.25", ["1 + 2 = 3.25"]),
        ("a line without numbers", []),
    ],
)
def test_claims_are_equations_between_plain_numbers(step: str, claims: list[str]) -> None:
    assert list(DOMAIN.claims("q", [step])) == claims


@given(st.lists(st.text(max_size=40), max_size=4))
def test_no_model_text_makes_the_domain_fail(steps: list[str]) -> None:
    DOMAIN.read("q", steps)
    DOMAIN.flaw("q", steps)
    DOMAIN.claims("q", steps)


def test_grading_needs_a_reference() -> None:
    task = TextTask()
    assert task.grade("q", "7", None) is None
    verdict = task.grade("q", "7.0", "7")
    assert verdict is not None
    assert verdict.correct
    missing = task.grade("q", None, "7")
    assert missing is not None
    assert not missing.correct


def test_an_empty_question_is_refused() -> None:
    with pytest.raises(UserError, match="empty"):
        TextTask().problem("  \n ")
    with pytest.raises(UserError, match="JSONL"):
        TextTask().load("test")
