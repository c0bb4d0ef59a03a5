"""The numbers game: questions, exact steps, answers composed from steps, grading, splits."""

import random
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoughtgraph.graph.errors import UnknownNameError, UserError
from thoughtgraph.graph.ids import address
from thoughtgraph.tasks.numbers import NumbersDomain, NumbersTask
from thoughtgraph.tasks.numbers_expressions import canonical, compose
from thoughtgraph.tasks.numbers_puzzles import DATA_VARIABLE, countdown_split, walk
from thoughtgraph.tasks.numbers_steps import Puzzle, check_step, moves, parse_step
from thoughtgraph.tools.calculator import Calculator

DOMAIN = NumbersDomain()
TASK = NumbersTask("numbers")
QUESTION = "4 5 6 10 -> 24"
STEPS = ["4 * 5 = 20 (left: 6 10 20)", "10 + 20 = 30 (left: 6 30)", "30 - 6 = 24 (left: 24)"]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("4 5 6 10", "4 5 6 10 -> 24"),
        ("10 6 5 4 -> 24", "4 5 6 10 -> 24"),
        ("4,5,6,10 = 24", "4 5 6 10 -> 24"),
        (" 4, 5 ,6  10=>24\n", "4 5 6 10 -> 24"),
        ("3 1 2 -> -7", "1 2 3 -> -7"),
        ("5 -3 0", "-3 0 5 -> 24"),
        ("5 −3 0 → 100000", "-3 0 5 -> 100000"),
        ("007 1 1", "1 1 7 -> 24"),
        ("999999 1 2 3 4 5 -> 15", "1 2 3 4 5 999999 -> 15"),
    ],
)
def test_questions(text: str, question: str) -> None:
    assert DOMAIN.parse(text) == question
    assert DOMAIN.parse(question) == question


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "hello",
        "4 5",
        "1 2 3 4 5 6 7",
        "4 5 6.5",
        "4 5 six",
        "4-5 6 7",
        "4 5 6 -> x",
        "4 5 6 -> 24 -> 24",
        "1234567 1 2",
        "1 2 3 -> 1234567",
        "٣ ٤ ٥",
        "4 5 6 ->",
        "- 4 5 6",
        "1 " * 5000,
        "4 5 6\x00",
    ],
)
def test_other_questions_are_refused_in_one_line_with_an_example(text: str) -> None:
    with pytest.raises(UserError, match="'4 5 6 10 -> 24'") as caught:
        DOMAIN.parse(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


@given(st.text(max_size=60) | st.text(alphabet="0123456789 ,-=>", max_size=30))
def test_any_text_is_a_question_or_a_user_error(text: str) -> None:
    try:
        question = DOMAIN.parse(text)
    except UserError:
        return
    assert DOMAIN.parse(question) == question
    assert DOMAIN.read(question, []).state == question


def test_prompt_is_question_and_steps_a_line_each() -> None:
    assert DOMAIN.prompt(QUESTION, STEPS[:1]) == "4 5 6 10 -> 24\n4 * 5 = 20 (left: 6 10 20)\n"


def test_reading_a_solution_step_by_step() -> None:
    states = [DOMAIN.read(QUESTION, STEPS[:i]).state for i in range(3)]
    assert states == ["4 5 6 10 -> 24", "6 10 20 -> 24", "6 30 -> 24"]
    reading = DOMAIN.read(QUESTION, STEPS)
    assert reading.terminal
    assert reading.answer == "10 + 4 * 5 - 6"
    assert TASK.grade(QUESTION, reading.answer, None).correct
    assert all(DOMAIN.flaw(QUESTION, STEPS[: i + 1]) is None for i in range(3))
    assert DOMAIN.claims(QUESTION, STEPS) == ["30 - 6 = 24"]
    assert DOMAIN.goal(QUESTION, "10 + 4 * 5 - 6") == "10 + 4 * 5 - 6 = 24"


def test_wrong_arithmetic_composes_to_an_expression_of_another_value() -> None:
    steps = ["4 * 5 = 21 (left: 6 10 21)", "10 + 21 = 30 (left: 6 30)", "30 - 6 = 24 (left: 24)"]
    assert DOMAIN.read(QUESTION, steps).answer == "10 + 4 * 5 - 6"  # right in spite of two errors that cancel
    steps[1] = "10 + 21 = 31 (left: 6 31)"
    steps[2] = "31 - 6 = 24 (left: 24)"
    assert TASK.grade(QUESTION, DOMAIN.read(QUESTION, steps).answer, None).correct
    steps = ["6 - 4 = 2 (left: 2 5 10)", "2 * 5 = 12 (left: 10 12)", "10 + 12 = 24 (left: 24)"]
    reading = DOMAIN.read(QUESTION, steps)
    assert reading.answer == "10 + (6 - 4) * 5"
    verdict = TASK.grade(QUESTION, reading.answer, None)
    assert (verdict.correct, verdict.reason) == (False, "its value is 20")


def test_a_path_with_an_inexact_step_reaches_no_state() -> None:
    assert DOMAIN.read(QUESTION, ["4 * 5 = 21 (left: 6 10 21)"]).state is None
    assert DOMAIN.read(QUESTION, ["4 * 5 = 21 (left: 6 10 21)", "6 + 10 = 16 (left: 16 21)"]).state is None
    assert DOMAIN.read(QUESTION, ["5 * 4 = 20 (left: 20 6 10)"]).state == "6 10 20 -> 24"


def test_steps_that_do_not_compose_have_no_answer() -> None:
    for steps in (
        ["4 * 6 = 24 (left: 24)"],
        ["7 * 5 = 35 (left: 6 10 35)", "35 - 6 = 29 (left: 10 29)", "29 - 10 = 24 (left: 24)"],
        [STEPS[0], STEPS[0], STEPS[1], STEPS[2]],
    ):
        reading = DOMAIN.read(QUESTION, steps)
        assert (reading.terminal, reading.answer, reading.key) == (True, None, None)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("think about it", "not a step; write one as '2 * 9 = 18 (left: 5 7 18)'"),
        ("4 * 5 = 20", "not a step; write one as '2 * 9 = 18 (left: 5 7 18)'"),
        ("4 * 4 = 16 (left: 5 6 10 16)", "4 and 4 are not both among the numbers left, 4 5 6 10"),
        ("4 * 7 = 28 (left: 5 6 10 28)", "4 and 7 are not both among the numbers left, 4 5 6 10"),
        ("4 * 5 = 20 (left: 6 10 21)", "what is left is 6 10 20"),
        ("4 * 5 = 20 (left: 24)", "what is left is 6 10 20"),
        ("4 * 5 = 21 (left: 6 10 21)", None),
        ("10 / 4 = 5/2 (left: 5/2 5 6)", None),
        ("4 - 10 = -6 (left: -6 5 6)", None),
    ],
)
def test_flaws_of_a_step(step: str, reason: str | None) -> None:
    assert DOMAIN.flaw(QUESTION, [step]) == reason


def test_a_flaw_is_judged_by_what_the_step_before_left() -> None:
    assert (
        DOMAIN.flaw(QUESTION, [STEPS[0], STEPS[0]]) == "4 and 5 are not both among the numbers left, 6 10 20"
    )
    wrong_end = [*STEPS[:2], "30 + 6 = 36 (left: 36)"]
    assert DOMAIN.flaw(QUESTION, wrong_end) == "the last number is 36, not 24"
    assert DOMAIN.flaw(QUESTION, [*STEPS, "24 * 1 = 24 (left: 24)"]) is not None
    assert DOMAIN.flaw(QUESTION, []) is None


def test_checking_a_step_tells_what_is_wrong() -> None:
    state = [Fraction(v) for v in (4, 5, 6, 10)]
    right = check_step(state, STEPS[0])
    assert (right.ok, right.available, right.exact, right.complete) == (True, True, True, True)
    wrong = check_step(state, "4 * 5 = 21 (left: 6 10 21)")
    assert (wrong.available, wrong.exact, wrong.complete) == (True, False, True)
    assert wrong.reason == "4 * 5 = 21 is wrong: it is 20"
    unavailable = check_step(state, "5 * 5 = 25 (left: 4 6 10 25)")
    assert (unavailable.available, unavailable.exact, unavailable.complete) == (False, True, False)
    zero = check_step([Fraction(0), Fraction(3)], "3 / 0 = 0 (left: 0)")
    assert (zero.exact, zero.reason) == (False, "division by zero")
    assert check_step(state, "3/0 + 4 = 4 (left: 4)").step is None
    assert check_step([Fraction(8, 3), Fraction(3)], "3 - 16/6 = 1/3 (left: 2/6)").ok


def test_claims_read_one_way() -> None:
    assert DOMAIN.claims(QUESTION, ["2 / 8/3 = 3/4 (left: 3/4)"]) == ["2 / (8/3) = (3/4)"]
    assert DOMAIN.claims(QUESTION, ["4 - -3 = 7 (left: 7)"]) == ["4 - (-3) = 7"]
    assert DOMAIN.claims(QUESTION, ["no equation"]) == []
    assert DOMAIN.claims(QUESTION, []) == []


def test_an_answer_line_of_a_chat_model() -> None:
    reading = DOMAIN.read(QUESTION, ["Answer: (4 * 5 + 10) - 6 = 24"])
    assert (reading.terminal, reading.answer) == (True, "(4 * 5 + 10) - 6")
    assert reading.key == DOMAIN.read(QUESTION, STEPS).key
    assert DOMAIN.flaw(QUESTION, ["Answer: 4 * 6 = 24"]) == "uses 5 0 times; the question has it 1 times"
    assert DOMAIN.claims(QUESTION, ["answer: (10 - 4) * 5 - 6"]) == ["(10 - 4) * 5 - 6 = 24"]
    assert DOMAIN.goal(QUESTION, "4 * 6") is None


@pytest.mark.parametrize(
    ("question", "answer", "correct"),
    [
        (QUESTION, "(4 * 5 + 10) - 6", True),
        (QUESTION, "Answer: (4*5+10)-6 = 24", True),
        (QUESTION, "(10 − 4) × 5 − 6", True),
        (QUESTION, "(4 * 5 + 10) - 6 = 25", True),  # what stands behind the equals sign decides nothing
        (QUESTION, "4 * 5 + 10 + 6", False),
        (QUESTION, "4 * 6", False),
        (QUESTION, "4 * 6 + 5 - 5 + 10 - 10", False),
        (QUESTION, "24", False),
        (QUESTION, "45 - 10 - 6", False),
        (QUESTION, "", False),
        (QUESTION, "I give up", False),
        (QUESTION, "4 / (5 - 5)", False),
        (QUESTION, None, False),
        ("3 3 8 8 -> 24", "8 / (3 - 8 / 3)", True),
        ("3 3 8 8 -> 24", "8 / (3 - 8 / 3) + 0.0000001 * 0", False),
        ("1 2 3 -> -6", "-(1 + 2 + 3)", False),  # changing a sign is no step of the game
        ("-3 4 4 -> 16", "4 - -3 * 4", True),
        ("-3 4 4 -> 16", "4 + 3 * 4", False),
        ("0 1 2 -> 24", "1 / 0 + 2", False),
    ],
)
def test_grading_is_exact(question: str, answer: str | None, correct: bool) -> None:
    assert TASK.grade(question, answer, None).correct is correct


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        ("6 * (10 - 6)", "(10-6)*6", True),
        ("1 + 2 + 3 * 4", "4 * 3 + (2 + 1)", True),
        ("10 - (5 - 3)", "10 + 3 - 5", True),
        ("8 / (4 / 2)", "2 * 8 / 4", True),
        ("8 / (3 - 8 / 3)", "8/(3-(8/3))", True),
        ("(1 + 2) * 3", "1 + 2 * 3", False),
        ("8 - 4", "4 - 8", False),
        ("8 / 4", "4 / 8", False),
        ("No  Idea", "no idea", True),
    ],
)
def test_equal_answers_have_equal_keys(left: str, right: str, equal: bool) -> None:
    assert (canonical(left) == canonical(right)) is equal


@st.composite
def walks(draw: st.DrawFn) -> tuple[Puzzle, list[str]]:
    numbers = draw(st.lists(st.integers(-13, 30), min_size=3, max_size=6))
    rng = random.Random(draw(st.integers(0, 10**6)))
    steps = walk(rng, numbers, fractions=0.5, negatives=True) or []
    whole = bool(steps) and steps[-1].result.denominator == 1
    target = int(steps[-1].result) if whole else 24
    return Puzzle(tuple(sorted(numbers)), target), [str(step) for step in steps] if whole else []


@given(walks())
def test_every_exact_walk_is_a_right_solution(walked: tuple[Puzzle, list[str]]) -> None:
    puzzle, steps = walked
    question = str(puzzle)
    for i in range(len(steps)):
        path = steps[: i + 1]
        assert DOMAIN.flaw(question, path) is None
        assert Calculator().check_equation(DOMAIN.claims(question, path)[0]).holds
        assert str(parse_step(path[-1])) == path[-1]
    if steps:
        reading = DOMAIN.read(question, steps)
        assert reading.terminal
        assert reading.answer
        assert TASK.grade(question, reading.answer, None).correct
        assert Calculator().check_equation(DOMAIN.goal(question, reading.answer) or "").holds
        assert canonical(canonical(reading.answer)) == reading.key


@given(walks(), st.integers(0, 4), st.integers(-3, 3).filter(bool))
def test_a_wrong_result_in_any_step_is_found(
    walked: tuple[Puzzle, list[str]], index: int, error: int
) -> None:
    puzzle, steps = walked
    if not steps:
        return
    index %= len(steps)
    state = puzzle.state if index == 0 else (parse_step(steps[index - 1]) or pytest.fail("no step")).left
    head, tail = steps[index].split(" = ")
    result, left = tail.split(" (")
    check = check_step(state, f"{head} = {Fraction(result) + error} ({left}")
    assert not check.exact
    assert not check.ok


_LINES = (
    st.text(max_size=40)
    | st.text(alphabet="0123456789+-*/=() lefnswr:Aa", max_size=60)
    | st.sampled_from(STEPS)
)


@given(st.lists(_LINES, max_size=6))
def test_no_model_text_makes_the_domain_fail(steps: list[str]) -> None:
    reading = DOMAIN.read(QUESTION, steps)
    DOMAIN.flaw(QUESTION, steps)
    DOMAIN.claims(QUESTION, steps)
    if reading.answer is not None:
        DOMAIN.goal(QUESTION, reading.answer)
    TASK.grade(QUESTION, reading.answer, None)


@pytest.mark.parametrize(
    "text", ["9" * 10**6, "(" * 10**5, "1+" * 10**5, "4 * 5 = 20 (left: " + "6 " * 10**5 + ")"]
)
def test_long_text_is_read_quickly(text: str) -> None:
    for steps in ([text], [f"Answer: {text}"]):
        assert not TASK.grade(QUESTION, DOMAIN.read(QUESTION, steps).answer, None).correct
        assert DOMAIN.flaw(QUESTION, steps)


def test_moves_are_all_the_legal_steps() -> None:
    found = [step.equation for step in moves((Fraction(2), Fraction(6)))]
    assert found == ["2 + 6 = 8", "6 - 2 = 4", "2 * 6 = 12", "6 / 2 = 3", "2 / 6 = 1/3"]
    assert [step.equation for step in moves((Fraction(0), Fraction(0)))] == [
        "0 + 0 = 0",
        "0 - 0 = 0",
        "0 * 0 = 0",
    ]
    assert len(list(moves(tuple(Fraction(n) for n in (6, 6, 6))))) == 4
    assert "2 - 6 = -4" in [s.equation for s in moves((Fraction(2), Fraction(6)), negatives=True)]


def test_composing_uses_needed_parentheses_only() -> None:
    def composed(numbers: tuple[int, ...], *steps: str) -> str | None:
        return compose(Puzzle(numbers), [step for text in steps if (step := parse_step(text))])

    assert composed((1, 2, 3), "2 - 3 = -1 (left: -1 1)", "1 - -1 = 2 (left: 2)") == "1 - (2 - 3)"
    assert composed((1, 2, 3), "2 + 3 = 5 (left: 1 5)", "5 + 1 = 6 (left: 6)") == "2 + 3 + 1"
    assert composed((-3, 2, 4), "2 / 4 = 1/2 (left: -3 1/2)", "-3 / 1/2 = -6 (left: -6)") == "(-3) / (2 / 4)"


def test_the_public_list_and_its_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ["Rank,Puzzles"] + [f"{rank},{1 + rank % 13} {1 + rank // 13} 1 2" for rank in range(1, 1363)]
    (tmp_path / "24.csv").write_text("\n".join(rows), encoding="utf-8")
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    task = NumbersTask("game24")
    sizes = {split: len(list(task.load(split))) for split in ("train", "val", "test")}
    assert sizes == {"train": 1162, "val": 100, "test": 100}
    first = next(task.load("test"))
    assert first.reference is None
    assert first.problem.question == "1 2 5 70 -> 24"  # rank 901: 901 % 13 = 4, 901 // 13 = 69
    assert first.problem.id == address("problem", "game24", "1 2 5 70 -> 24")
    assert len(list(task.load("val", limit=7))) == 7


def test_missing_data_and_splits_are_user_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    with pytest.raises(UserError, match=r"no 24\.csv in .*tree-of-thought-llm"):
        NumbersTask("game24").load("test")
    (tmp_path / "24.csv").write_text("Rank,Puzzles\nx,1 2\n", encoding="utf-8")
    with pytest.raises(UserError, match="not the Game of 24 list"):
        NumbersTask("game24").load("test")
    with pytest.raises(UserError, match="unknown split 'dev'"):
        NumbersTask("game24").load("dev")
    with pytest.raises(UserError, match="unknown split 'dev'"):
        NumbersTask("countdown").load("dev")
    with pytest.raises(UserError, match="has no split"):
        NumbersTask("numbers").load("test")
    with pytest.raises(UserError, match="limit of 0"):
        NumbersTask("countdown").load("test", 0)
    with pytest.raises(UnknownNameError, match="did you mean 'game24'"):
        NumbersTask("game42")


def test_countdown_problems_are_seeded_distinct_and_split_by_content() -> None:
    task = NumbersTask("countdown")
    test = [item.problem.question for item in task.load("test", 60)]
    assert test == [item.problem.question for item in task.load("test", 60)]
    assert len(set(test)) == 60
    for split in ("train", "val", "test"):
        for item in task.load(split, 60):
            numbers, target = item.problem.question.split(" -> ")
            assert countdown_split([int(n) for n in numbers.split()]) == split
            assert int(target) in range(10, 101)
            assert int(target) != 24
    assert len(list(task.load("val"))) == 500
