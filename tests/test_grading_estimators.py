"""pass@k and the rules for short answers."""

from __future__ import annotations

from itertools import combinations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoughtgraph.graph.errors import UserError
from thoughtgraph.tasks.grading.estimators import pass_at_k
from thoughtgraph.tasks.grading.short_answers import exact_match, f1_score, normalised
from thoughtgraph.tasks.gsm8k import Gsm8kTask, gsm8k_key, gsm8k_number


@pytest.mark.parametrize(
    ("n", "c", "k", "estimate"),
    [
        (1, 0, 1, 0.0),
        (1, 1, 1, 1.0),
        (10, 3, 1, 0.3),  # c/n
        (10, 3, 5, 1 - 21 / 252),  # 1 - C(7,5)/C(10,5)
        (5, 2, 3, 0.9),  # 1 - C(3,3)/C(5,3) = 1 - 1/10
        (5, 3, 3, 1.0),  # any three of five hold one of three
        (200, 1, 100, 0.5),
        (4, 0, 4, 0.0),
    ],
)
def test_pass_at_k_by_hand(n: int, c: int, k: int, estimate: float) -> None:
    assert pass_at_k(n, c, k) == pytest.approx(estimate, abs=1e-12)


@given(st.data())
def test_pass_at_k_is_the_average_over_all_choices(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 9))
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    tried = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, tried)) / len(tried), abs=1e-12)


@given(st.integers(1, 3000), st.data())
def test_pass_at_k_is_exact_for_many_attempts(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    assert pass_at_k(n, c, k) == pytest.approx(1 - comb(n - c, k) / comb(n, k), abs=1e-9)


@pytest.mark.parametrize(("n", "c", "k"), [(0, 0, 1), (5, 6, 1), (5, -1, 1), (5, 1, 0), (5, 1, 6)])
def test_impossible_numbers_are_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(UserError, match="1 <= k <= n"):
        pass_at_k(n, c, k)


@pytest.mark.parametrize(
    ("answer", "number", "key"),
    [
        ("so 3 + 4\n#### 7", "7", "7"),
        ("#### 1,234.", "1,234", "1234"),
        ("72", "72", "72"),
        ("$72.00", "$72.00", "72"),
        ("5/6", "5/6", "5/6"),
        ("x = 12", "x = 12", "12"),
        ("He has 12 apples and 3 pears, so 15", "15", "15"),
        ("12 + 30 = 42 dollars a week", "42", "42"),
        ("it is 10-5", "5", "5"),
        ("it is -5 now", "-5", "-5"),
        ("#### 5 and #### 6", "5", "5"),
        ("nothing", None, "nothing"),
        ("", None, ""),
    ],
)
def test_the_number_of_a_gsm8k_answer(answer: str, number: str | None, key: str) -> None:
    assert (gsm8k_number(answer), gsm8k_key(answer)) == (number, key)


@given(st.text(max_size=30) | st.text("0123456789.,-/# x", max_size=20))
def test_a_gsm8k_key_is_its_own_key(answer: str) -> None:
    assert gsm8k_key(gsm8k_key(answer)) == gsm8k_key(answer)


def test_gsm8k_grades_by_value() -> None:
    task = Gsm8kTask()
    assert task.grade("q", "7", None) is None
    for answer, right in (("7.0", True), ("$7", True), ("8", False), ("none", False), (None, False)):
        verdict = task.grade("q", answer, "3+4=<<3+4=7>>7\n#### 7")
        assert verdict is not None
        assert verdict.correct is right


@pytest.mark.parametrize(
    ("answer", "reference", "em", "f1"),
    [
        ("The Ottawa River!", "ottawa river", True, 1.0),
        ("Greenwich Village", "Greenwich Village, New York City", False, 4 / 7),  # P = 1, R = 2/5
        ("yes", "yes", True, 1.0),
        ("yes it is", "yes", False, 0.0),  # a closed answer is right or worth nothing
        ("no", "nothing", False, 0.0),
        ("a b b", "b b c", False, 0.8),  # `a` is an article: P = 2/2, R = 2/3
        ("", "x", False, 0.0),
        ("the", "a", True, 0.0),  # nothing is left of either
        ("U.S.A.", "usa", True, 1.0),
        ("caf\u00e9 \u2013 bar", "caf\u00e9 bar", False, 4 / 5),  # only ASCII punctuation is dropped
    ],
)
def test_exact_match_and_f1_by_hand(answer: str, reference: str, em: bool, f1: float) -> None:
    assert exact_match(answer, reference) is em
    assert f1_score(answer, reference) == pytest.approx(f1, abs=1e-12)


@given(st.text(max_size=30), st.text(max_size=30))
def test_f1_is_symmetric_and_1_for_equal_answers(first: str, second: str) -> None:
    assert f1_score(first, second) == f1_score(second, first)
    assert f1_score(first, first) == (1.0 if normalised(first) else 0.0)
