"""Training data of the numbers game: exact, repeatable, and free of the held-out puzzles; and its tokenizer."""

from collections import Counter
from fractions import Fraction
from itertools import combinations_with_replacement
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.ids import derive_rng
from thoughtgraph.tasks.numbers_puzzles import countdown_split, data_file, game24, held_out
from thoughtgraph.tasks.numbers_steps import Puzzle, check_step, parse_puzzle, parse_step
from thoughtgraph.training.numbers_data import MIXTURE, NumbersData, Solution, Solver, touches
from thoughtgraph.training.tokenizer import PUNCTUATION, SPECIAL, STEP, STEP_END, build_tokenizer

TOKENIZER = build_tokenizer()


@pytest.fixture(scope="module")
def solutions() -> list[Solution]:
    try:
        data_file("24.csv")
    except UserError as error:
        pytest.skip(str(error))
    return NumbersData(seed=5).chunk(0, 3000)


def test_no_four_numbers_held_out_are_ever_met(solutions: list[Solution]) -> None:
    forbidden = {p.numbers for split in ("val", "test") for p in game24(split)}
    assert len(forbidden) == 200
    met: set[tuple[int, ...]] = set()
    for solution in solutions:
        for (
            line
        ) in solution.text.splitlines():  # from the text that is learned, not from the records behind it
            step = parse_step(line)
            state = parse_puzzle(line).state if step is None else step.left
            if len(state) == 4 and all(value.denominator == 1 for value in state):
                met.add(tuple(sorted(int(value) for value in state)))
    assert len(met) > 1200
    assert not met & forbidden


def test_the_filter_sees_starts_and_states_on_the_way() -> None:
    forbidden = frozenset({(4, 5, 6, 10)})
    start = Solution(Puzzle((4, 5, 6, 10), 99), ())
    step = parse_step("2 + 3 = 5 (left: 4 5 6 10)")
    assert step
    assert touches(start, forbidden)
    assert touches(Solution(Puzzle((2, 3, 4, 6, 10)), (step,)), forbidden)
    assert not touches(Solution(Puzzle((4, 5, 6, 11)), ()), forbidden)


def test_the_filter_is_needed(solutions: list[Solution]) -> None:
    data = NumbersData(seed=5)
    data.forbidden = frozenset()
    assert any(touches(solution, held_out()) for solution in data.chunk(0, 400))


def test_every_solution_is_exact_and_reaches_its_target(solutions: list[Solution]) -> None:
    for solution in solutions:
        state = solution.puzzle.state
        for step in solution.steps:
            assert check_step(state, str(step)).ok
            state = step.left
        assert state == (solution.puzzle.target,)


def test_countdown_problems_of_other_splits_are_left_out(solutions: list[Solution]) -> None:
    other = [s.puzzle.numbers for s in solutions if s.puzzle.target != 24]
    assert len(other) > 600
    assert {countdown_split(numbers) for numbers in other} == {"train"}


def test_the_mixture_is_mostly_game_of_24_and_has_every_size(solutions: list[Solution]) -> None:
    assert sum(MIXTURE.values()) == pytest.approx(1.0)
    sizes = Counter(len(s.puzzle.numbers) for s in solutions)
    assert set(sizes) == {3, 4, 5, 6}
    cards = sum(s.puzzle.target == 24 and len(s.puzzle.numbers) == 4 for s in solutions)
    assert cards / len(solutions) == pytest.approx(MIXTURE["game24"] + MIXTURE["wide24"], abs=0.03)


def test_a_chunk_depends_on_seed_and_index_alone(solutions: list[Solution]) -> None:
    data, again = NumbersData(seed=7), NumbersData(seed=7)
    data.chunk(0, 20)
    assert data.chunk(3, 40) == again.chunk(3, 40)
    assert data.chunk(3, 40) != data.chunk(4, 40)
    assert NumbersData(seed=8).chunk(3, 40) != data.chunk(3, 40)


def test_the_solver_finds_the_only_solution_with_fractions() -> None:
    path = Solver().sample(derive_rng(0), Puzzle((3, 3, 8, 8)).state)
    assert [str(step) for step in path] == [
        "8 / 3 = 8/3 (left: 8/3 3 8)",
        "3 - 8/3 = 1/3 (left: 1/3 8)",
        "8 / 1/3 = 24 (left: 24)",
    ]
    assert Solver().weight(Puzzle((1, 1, 1, 1)).state) == 0
    assert Solver().sample(derive_rng(0), Puzzle((1, 1, 1, 1)).state) == ()


def test_the_solver_solves_exactly_the_1362_solvable_card_puzzles() -> None:
    solver = Solver(Fraction(24))
    hands = combinations_with_replacement(range(1, 14), 4)
    solvable = {hand for hand in hands if solver.weight(Puzzle(hand).state)}
    assert len(solvable) == 1362


def _ids(text: str) -> list[int]:
    return cast("list[int]", TOKENIZER(text)["input_ids"])


def _decoded(ids: list[int]) -> str:
    return str(TOKENIZER.decode(ids, skip_special_tokens=True))  # pyright: ignore[reportUnknownMemberType]


def test_tokens_of_a_step() -> None:
    tokens = TOKENIZER.convert_ids_to_tokens(_ids("4 6 120 -> 24\n-3 * 8/3 = -8 (left: -8 1024)\n"))
    question = ["<bos>", "4", " ", "6", " ", "120", " -> ", "24", "\n"]
    equation = ["-", "3", " * ", "8", "/", "3", " = ", "-", "8"]
    left = [" (left: ", "-", "8", " ", "1", "0", "2", "4", STEP_END]
    assert tokens == [*question, *equation, *left]
    assert len(_ids("4 * 5 = 20 (left: 6 10 20)\n")) == 1 + 12


def test_special_tokens_have_their_places() -> None:
    assert TOKENIZER.convert_tokens_to_ids(list(SPECIAL)) == [0, 1, 2, 3, 4]
    assert (TOKENIZER.pad_token_id, TOKENIZER.bos_token_id, TOKENIZER.eos_token_id) == (0, 1, 2)
    assert len(TOKENIZER) == len(SPECIAL) + len(PUNCTUATION) + 1000
    assert STEP in TOKENIZER.all_special_tokens
    assert _decoded([4]) == ""


_VALUES = st.fractions(min_value=-2000, max_value=2000, max_denominator=1200).map(str)


@st.composite
def step_lines(draw: st.DrawFn) -> str:
    first, second, result, *left = draw(st.lists(_VALUES, min_size=4, max_size=8))
    return f"{first} {draw(st.sampled_from('+-*/'))} {second} = {result} (left: {' '.join(left)})\n"


@given(st.lists(st.integers(-5000, 5000), min_size=3, max_size=6), st.lists(step_lines(), max_size=5))
def test_decoding_is_exact(numbers: list[int], steps: list[str]) -> None:
    text = f"{Puzzle(tuple(sorted(numbers)), numbers[0])}\n{''.join(steps)}"
    ids = _ids(text)
    assert TOKENIZER.unk_token_id not in ids
    assert _decoded(ids) == text
    assert "".join(_decoded([i]) for i in ids) == text
