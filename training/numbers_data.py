"""Solutions of numbers puzzles to learn a policy from, sampled without end and without the held-out puzzles.

The mixture is mostly Game of 24. For a target of 24 the solutions of a puzzle are enumerated and one is drawn with
probability proportional to its weight (`FRACTION_WEIGHT` for each step to a fraction, so a fraction is a last
resort). For other targets a random walk from the numbers gives a puzzle and its solution at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from ..graph.ids import derive_rng
from ..tasks.numbers_puzzles import COUNTDOWN_LARGEST, MAX_VALUE, countdown_split, game24, held_out, walk
from ..tasks.numbers_steps import DEFAULT_TARGET, Puzzle, State, Step, moves

FRACTION_WEIGHT = 0.05
LARGEST_CARD = 13
LARGEST_WIDE = 25
MIXTURE = {"game24": 0.50, "wide24": 0.16, "triple24": 0.06, "cards": 0.12, "countdown": 0.14, "odd": 0.02}
"""Share of each kind of puzzle.

game24: the training puzzles of 24.csv. wide24: four numbers up to 25, target 24. triple24: three numbers, target 24.
cards: four numbers up to 13, other targets. countdown: three to six numbers up to 100, targets 10 to 100.
odd: negative numbers and fractions on the way, negative targets.
"""


@dataclass(frozen=True, slots=True)
class Solution:
    """A puzzle with one exact solution."""

    puzzle: Puzzle
    steps: tuple[Step, ...]

    @property
    def text(self) -> str:
        """The text to learn: the question and every step, each a line."""
        return "".join(f"{line}\n" for line in (self.puzzle, *self.steps))


def touches(solution: Solution, forbidden: frozenset[tuple[int, ...]]) -> bool:
    """Return whether any state of the solution with four numbers is in `forbidden`."""
    states = [solution.puzzle.state, *(step.left for step in solution.steps)]
    return any(len(s) == 4 and tuple(s) in forbidden for s in states)


@dataclass(slots=True)
class Solver:
    """Weighs and samples all solutions for one target, by exhaustive enumeration with memory of the states met."""

    target: Fraction = Fraction(DEFAULT_TARGET)
    _weights: dict[State, float] = field(default_factory=dict[State, float])
    _branches: dict[State, tuple[list[Step], list[float]]] = field(
        default_factory=dict[State, tuple[list[Step], list[float]]]
    )

    def weight(self, state: State) -> float:
        """Return the summed weight of the solutions from `state` (ascending); 0 if there is none."""
        if len(state) == 1:
            return float(state[0] == self.target)
        known = self._weights.get(state)
        if known is None:
            known = sum(self._branch(state)[1])
            self._weights[state] = known
        return known

    def sample(self, rng: random.Random, state: State) -> tuple[Step, ...]:
        """Return one solution drawn by weight; empty if there is none."""
        path: list[Step] = []
        while len(state) > 1:
            steps, weights = self._branch(state)
            if not steps:
                return ()
            path.append(rng.choices(steps, weights)[0])
            state = path[-1].left
        return tuple(path)

    def _branch(self, state: State) -> tuple[list[Step], list[float]]:
        known = self._branches.get(state)
        if known is not None:
            return known
        steps: list[Step] = []
        weights: list[float] = []
        for step in moves(state):
            if step.result <= MAX_VALUE and (weight := self.weight(step.left)):
                steps.append(step)
                weights.append(weight if step.result.denominator == 1 else weight * FRACTION_WEIGHT)
        if steps:
            self._branches[state] = steps, weights
        return steps, weights


class NumbersData:
    """An endless, seeded stream of training solutions; chunk `i` depends on the seed and `i` alone.

    Raises:
        UserError: if the public list of puzzles, which says what is held out, is not there.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.forbidden = held_out()
        self._cards = [p for p in game24("train") if p.numbers not in self.forbidden]
        self._solver = Solver()
        self._kinds: dict[str, Callable[[random.Random], Solution | None]] = {
            "game24": self._game24,
            "wide24": lambda rng: self._target24(rng, 4, LARGEST_WIDE),
            "triple24": lambda rng: self._target24(rng, 3, rng.choice((13, 30, 100))),
            "cards": lambda rng: _walked(rng, 4, 1, LARGEST_CARD, targets=range(1, 101)),
            "countdown": lambda rng: _walked(
                rng, rng.randint(3, 6), 1, rng.choice((25, COUNTDOWN_LARGEST)), targets=range(10, 101)
            ),
            "odd": lambda rng: _walked(
                rng, rng.randint(3, 5), -13, 13, targets=range(-100, 101), plain=False
            ),
        }

    def chunk(self, index: int, size: int) -> list[Solution]:
        """Return `size` solutions, none of which touches a held-out puzzle."""
        rng = derive_rng(self.seed, "numbers", index)
        kinds = rng.choices(list(MIXTURE), list(MIXTURE.values()), k=size)
        return [self._draw(rng, self._kinds[kind]) for kind in kinds]

    def chunks(self, size: int, first: int = 0) -> Iterator[list[Solution]]:
        """Yield chunks without end, from chunk `first`."""
        while True:
            yield self.chunk(first, size)
            first += 1

    def _draw(self, rng: random.Random, kind: Callable[[random.Random], Solution | None]) -> Solution:
        while True:
            solution = kind(rng)
            if (
                solution
                and not touches(solution, self.forbidden)
                and not _is_held_out_countdown(solution.puzzle)
            ):
                return solution

    def _game24(self, rng: random.Random) -> Solution | None:
        return self._solved(rng, rng.choice(self._cards))

    def _target24(self, rng: random.Random, count: int, largest: int) -> Solution | None:
        puzzle = Puzzle(tuple(sorted(rng.randint(1, largest) for _ in range(count))))
        return None if puzzle.numbers in self.forbidden else self._solved(rng, puzzle)

    def _solved(self, rng: random.Random, puzzle: Puzzle) -> Solution | None:
        steps = self._solver.sample(rng, puzzle.state)
        return Solution(puzzle, steps) if steps else None


def _walked(
    rng: random.Random, count: int, smallest: int, largest: int, *, targets: Sequence[int], plain: bool = True
) -> Solution | None:
    numbers = tuple(sorted(rng.randint(smallest, largest) for _ in range(count)))
    steps = walk(rng, numbers, fractions=0.02 if plain else 0.3, negatives=not plain)
    if not steps or steps[-1].result not in targets or (plain and steps[-1].result == DEFAULT_TARGET):
        return None
    return Solution(Puzzle(numbers, int(steps[-1].result)), tuple(steps))


def _is_held_out_countdown(puzzle: Puzzle) -> bool:
    return puzzle.target != DEFAULT_TARGET and countdown_split(puzzle.numbers) != "train"
