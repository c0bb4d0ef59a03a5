"""Where numbers puzzles come from: the public Game of 24 list with its splits, and generated Countdown puzzles.

The splits are law: ranks 901-1000 of the list are the test puzzles of the Tree of Thoughts paper (Yao et al., arXiv
2305.10601, §4.1), ranks 801-900 are for validation, and only the rest may be learned from.
"""

from __future__ import annotations

import csv
import os
import random
import zlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from ..graph.errors import UserError
from .numbers_steps import DEFAULT_TARGET, SIGNS, Puzzle, Sign, Step, apply

DATA_VARIABLE = "THOUGHTGRAPH_DATA"
SOURCE = "https://github.com/princeton-nlp/tree-of-thought-llm, file src/tot/data/24/24.csv"
SPLITS = ("train", "val", "test")
TEST_RANKS = range(901, 1001)
VALIDATION_RANKS = range(801, 901)
COUNTDOWN_TARGETS = range(10, 101)
COUNTDOWN_LARGEST = 100
MAX_VALUE = 999
"""Largest absolute value that a generated solution passes through."""


def data_file(name: str) -> Path:
    """Return the path of a public data file, from `$THOUGHTGRAPH_DATA` or `../shared/data`.

    Raises:
        UserError: if it is not there; the message says where to get it.
    """
    folder = os.environ.get(DATA_VARIABLE)
    roots = [Path(folder)] if folder else [Path("../shared/data"), Path(__file__).parents[2] / "shared/data"]
    for root in roots:
        if (root / name).is_file():
            return root / name
    raise UserError(
        f"no {name} in {' or '.join(map(str, roots))}; download it from {SOURCE} and set {DATA_VARIABLE} to its folder"
    )


def split_of_rank(rank: int) -> str:
    """Return the split of a rank of 24.csv."""
    if rank in TEST_RANKS:
        return "test"
    return "val" if rank in VALIDATION_RANKS else "train"


def game24(split: str) -> list[Puzzle]:
    """Return the Game of 24 puzzles of a split, by rank.

    Raises:
        UserError: for an unknown split, or if the list is missing or malformed.
    """
    _check_split(split)
    path = data_file("24.csv")
    with path.open(newline="", encoding="utf-8") as lines:
        try:
            rows = [
                (int(r["Rank"]), tuple(sorted(map(int, r["Puzzles"].split())))) for r in csv.DictReader(lines)
            ]
        except (KeyError, ValueError, AttributeError) as error:
            raise UserError(f"{path} is not the Game of 24 list; download it from {SOURCE}") from error
    return [Puzzle(numbers) for rank, numbers in rows if split_of_rank(rank) == split]


def held_out() -> frozenset[tuple[int, ...]]:
    """Return the sorted multisets of four numbers that must never be learned from, with any target."""
    return frozenset(p.numbers for split in ("val", "test") for p in game24(split))


def countdown_split(numbers: Sequence[int]) -> str:
    """Return the split that a Countdown multiset belongs to: a tenth each for validation and test, by content."""
    bucket = zlib.crc32(" ".join(map(str, sorted(numbers))).encode()) % 10
    return {0: "test", 1: "val"}.get(bucket, "train")


def countdown(split: str, seed: int = 0) -> Iterator[Puzzle]:
    """Return Countdown puzzles of a split without end: 3 to 6 numbers in 1..100, target 10..100 but not 24.

    Every puzzle is solvable, since its target is the result of a random walk from its numbers. A puzzle can repeat.

    Raises:
        UserError: for an unknown split.
    """
    _check_split(split)
    return _countdown(split, random.Random(f"countdown {split} {seed}"))


def _countdown(split: str, rng: random.Random) -> Iterator[Puzzle]:
    while True:
        numbers = [rng.randint(1, COUNTDOWN_LARGEST) for _ in range(rng.randint(3, 6))]
        if countdown_split(numbers) == split:
            path = walk(rng, numbers)
            target = int(path[-1].result) if path and path[-1].result.denominator == 1 else 0
            if target in COUNTDOWN_TARGETS and target != DEFAULT_TARGET:
                yield Puzzle(tuple(sorted(numbers)), target)


def walk(
    rng: random.Random, numbers: Sequence[int], *, fractions: float = 0.0, negatives: bool = False
) -> list[Step] | None:
    """Return random steps from `numbers` down to one; None if no step within ±`MAX_VALUE` was found.

    Args:
        rng: the source of randomness.
        numbers: the start.
        fractions: chance to take a step to a fraction once it is drawn; otherwise another is drawn.
        negatives: also subtract the larger from the smaller.
    """
    state = list(Puzzle(tuple(sorted(numbers))).state)
    path: list[Step] = []
    while len(state) > 1:
        step = _random_step(rng, state, fractions, negatives)
        if step is None:
            return None
        path.append(step)
        state = list(step.left)
    return path


def _random_step(rng: random.Random, state: list[Fraction], fractions: float, negatives: bool) -> Step | None:
    for _ in range(100):
        i, j = sorted(rng.sample(range(len(state)), 2))
        a, b = state[i], state[j]
        sign: Sign = rng.choice(SIGNS)
        if (sign == "-" and not (negatives and rng.random() < 0.5)) or (sign == "/" and rng.random() < 0.8):
            a, b = b, a
        result = apply(a, sign, b)
        if (
            result is None
            or abs(result) > MAX_VALUE
            or (result.denominator > 1 and rng.random() >= fractions)
        ):
            continue
        rest = [*state[:i], *state[i + 1 : j], *state[j + 1 :], result]
        return Step(a, sign, b, result, tuple(sorted(rest)))
    return None


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r} of the numbers game; choose one of: {', '.join(SPLITS)}")
