"""Which puzzles a step scorer may learn from, and which traces of them.

The data rule: nothing that passes through four numbers of a held-out puzzle is learned from, in any order, with any
target, at the start or on the way. Beside it a matter of quality: the puzzles that the policy knows by heart are left
out, since their labels would teach trust and not judgement.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import Literal

from ..graph.ids import derive_rng, derive_seed
from ..tasks.base import Item
from ..tasks.numbers import NumbersTask
from ..tasks.numbers_puzzles import game24, held_out
from ..tasks.numbers_steps import DEFAULT_TARGET, parse_puzzle, parse_step
from .numbers_data import NumbersData

Split = Literal["train", "val"]

OTHERS = 0.3
"""Share kept of the generator's puzzles that are not four numbers with target 24: many are hopeless for the policy."""
_CHUNK = 256
"""Puzzles generated at once."""


def forbidden_in(split: Split) -> frozenset[tuple[int, ...]]:
    """Return the sorted multisets of four numbers that traces of a split must not pass through."""
    return held_out() if split == "train" else frozenset(puzzle.numbers for puzzle in game24("test"))


def touches_held_out(question: str, steps: Sequence[str], forbidden: Collection[tuple[int, ...]]) -> bool:
    """Return whether the question, or what some step says is left, is four numbers among `forbidden`, in any order."""
    states = [parse_puzzle(question).state]
    states += [tuple(sorted(step.left)) for text in steps if (step := parse_step(text))]
    return any(len(state) == 4 and state in forbidden for state in states)


def known_by_heart(question: str) -> bool:
    """Return whether it is one of the training puzzles of 24.csv: the policy has met each of them some 200 times.

    The shipped policy solved 89 % of its samples of these, and 34 % of other puzzles of four numbers with target 24.
    """
    puzzle = parse_puzzle(question)
    return puzzle.target == DEFAULT_TARGET and puzzle.numbers in _listed()


@cache
def _listed() -> frozenset[tuple[int, ...]]:
    return frozenset(puzzle.numbers for puzzle in game24("train"))


def problems(task: NumbersTask, split: Split, count: int, seed: int = 0) -> Iterator[Item]:
    """Yield problems, no question twice: the first of the validation split, or training problems of `numbers_data`.

    Raises:
        UserError: if the public list of puzzles, which says what is held out, is not there.
    """
    if split == "val":
        yield from task.load("val", count)
    else:
        yield from islice(_training_items(task, seed), count)


def _training_items(task: NumbersTask, seed: int) -> Iterator[Item]:
    forbidden = held_out()
    rng = derive_rng(seed, "kept")
    seen: set[str] = set()
    for solutions in NumbersData(derive_seed(seed, "rollouts")).chunks(_CHUNK):
        for solution in solutions:
            puzzle, question = solution.puzzle, str(solution.puzzle)
            like_the_list = len(puzzle.numbers) == 4 and puzzle.target == DEFAULT_TARGET
            if not like_the_list and rng.random() >= OTHERS:
                continue
            if (
                question not in seen
                and not known_by_heart(question)
                and not touches_held_out(question, (), forbidden)
            ):
                seen.add(question)
                yield Item(task.problem(question))
