"""The numbers game: Game of 24, Countdown, and any three to six integers with any target.

The domain reads steps as `4 * 5 = 20 (left: 6 10 20)` and answers with the expression that they compose to. The
rewriting is exact and mechanical: each step replaces two of the numbers at hand by its result *as written*, and the
answer substitutes the steps back into one another down to the numbers of the question. A step with wrong arithmetic
therefore composes to an expression whose exact value is not what the step says, and grading, which evaluates the
expression, finds the answer wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice

from ..graph.domain import Domain, Reading
from ..graph.errors import ToolError, UnknownNameError, UserError
from ..graph.ids import address
from ..graph.records import Problem
from ..tools.calculator import Calculator
from .base import Item, Verdict
from .numbers_expressions import answer_line, canonical, compose, expression_of, numbers_in
from .numbers_puzzles import countdown, game24
from .numbers_steps import (
    MAX_NUMBERS,
    Puzzle,
    State,
    StepCheck,
    check_step,
    format_state,
    format_value,
    parse_puzzle,
    parse_step,
)

COUNTDOWN_SIZES = {"train": 10_000, "val": 500, "test": 500}
"""Problems in each split of the Countdown task."""


class NumbersDomain:
    """What agents may know of the numbers game; implements `graph.domain.Domain`."""

    name = "numbers"
    stop = "\n"
    step_tokens = 96
    max_steps = MAX_NUMBERS
    """One fewer than the numbers, and one for a chat model that adds an answer line."""
    instructions = "numbers"
    checks = True

    def parse(self, question: str) -> str:
        """Return the canonical question, `4 5 6 10 -> 24`.

        Raises:
            UserError: if it is not 3 to 6 integers, with or without a target.
        """
        return str(parse_puzzle(question))

    def prompt(self, question: str, steps: Sequence[str]) -> str:
        """Return the question and the steps, each a line."""
        return "".join(f"{line.rstrip()}\n" for line in (question, *steps))

    def read(self, question: str, steps: Sequence[str]) -> Reading:
        """Return what the steps amount to.

        Terminal is a last step that leaves one number, as written, or a line `Answer: EXPRESSION = TARGET`. The
        answer is None where the steps do not compose. The state is what the last step leaves. It is None at the end,
        where answers differ though one number is left, and where some step was not exact: such a path reaches no
        state, and must not be merged with one that does.
        """
        puzzle = parse_puzzle(question)
        if not steps:
            return Reading(terminal=False, state=format_state(puzzle.state, puzzle.target))
        given = answer_line(steps[-1])
        if given is not None:
            return Reading(terminal=True, answer=given, key=canonical(given))
        last = parse_step(steps[-1])
        if last is None:
            return Reading(terminal=False)
        if len(last.left) > 1:
            sound = all(check.ok for check in _checks(puzzle, steps))
            return Reading(terminal=False, state=format_state(last.left, puzzle.target) if sound else None)
        answer = compose(puzzle, [step for text in steps if (step := parse_step(text))])
        return Reading(terminal=True, answer=answer, key=None if answer is None else canonical(answer))

    def flaw(self, question: str, steps: Sequence[str]) -> str | None:
        """Return which rule the last step breaks: its format, the numbers it uses, what it leaves, the end it comes to.

        Whether its arithmetic is right is left to a calculator, which is asked about `claims`.
        """
        if not steps:
            return None
        puzzle = parse_puzzle(question)
        if (given := answer_line(steps[-1])) is not None:
            return misuse(puzzle, given)
        check = _checks(puzzle, steps)[-1]
        if check.step is None or not (check.available and check.complete):
            return check.reason
        if len(check.step.left) == 1 and check.step.result != puzzle.target:
            return f"the last number is {format_value(check.step.result)}, not {puzzle.target}"
        return None

    def claims(self, question: str, steps: Sequence[str]) -> Sequence[str]:
        """Return the equation of the last step; fractions and negative numbers in parentheses, so that it reads one way."""
        if not steps:
            return []
        if (given := answer_line(steps[-1])) is not None:
            return (
                []
                if misuse(parse_puzzle(question), given)
                else [f"{given} = {parse_puzzle(question).target}"]
            )
        step = parse_step(steps[-1])
        if step is None:
            return []
        first, second, result = (_atom(value) for value in (step.first, step.second, step.result))
        return [f"{first} {step.sign} {second} = {result}"]

    def goal(self, question: str, answer: str) -> str | None:
        """Return the equation `ANSWER = TARGET`; None for text that does not use each number exactly once."""
        puzzle = parse_puzzle(question)
        expression = expression_of(answer)
        return None if misuse(puzzle, expression) else f"{expression} = {puzzle.target}"


class NumbersTask:
    """The numbers game with its problems and its grader; implements `tasks.base.Task`.

    Args:
        name: `game24` has the splits of the Tree of Thoughts paper, `countdown` generated ones, and `numbers` none.

    Raises:
        UnknownNameError: for another name.
    """

    domain: Domain = NumbersDomain()

    def __init__(self, name: str = "numbers") -> None:
        if name not in _LOADERS:
            raise UnknownNameError("numbers task", name, _LOADERS)
        self.name = name

    def problem(self, question: str) -> Problem:
        """Return the problem for a user's question; raises UserError like `NumbersDomain.parse`."""
        canonical_question = self.domain.parse(question)
        return Problem(address("problem", self.name, canonical_question), self.name, canonical_question)

    def load(self, split: str, limit: int | None = None) -> Iterator[Item]:
        """Yield the problems of a split, `train`, `val` or `test`, always in the same order.

        Raises:
            UserError: at once, for a split that is not there, a missing data file, or a limit below 1.
        """
        if limit is not None and limit < 1:
            raise UserError(f"a limit of {limit} problems leaves none; give 1 or more")
        puzzles = _LOADERS[self.name](split)
        return (Item(self.problem(str(puzzle))) for puzzle in islice(puzzles, limit))

    def grade(self, question: str, answer: str | None, reference: str | None) -> Verdict:
        """Judge an answer by the rules alone, so `reference` is not looked at and may be None.

        Right is an expression that uses each number of the question exactly once and whose exact value is the target;
        `Answer:` in front of it and `= 24` behind it are allowed.
        """
        if answer is None:
            return Verdict(False, None, None, "no answer")
        puzzle = parse_puzzle(question)
        expression = expression_of(answer)
        key = canonical(expression)
        reason = misuse(puzzle, expression)
        if reason is not None:
            return Verdict(False, expression, key, reason)
        try:
            value = Calculator().evaluate(expression)
        except ToolError as error:
            return Verdict(False, expression, key, str(error))
        return Verdict(value == puzzle.target, expression, key, f"its value is {format_value(value)}")


def misuse(puzzle: Puzzle, expression: str) -> str | None:
    """Return why an expression does not use each number of the puzzle exactly once; None if it does."""
    try:
        used = Counter(numbers_in(expression))
    except ToolError as error:
        return str(error)
    given = Counter(puzzle.state)
    for value in sorted({*used, *given}):
        if used[value] != given[value]:
            return f"uses {format_value(value)} {used[value]} times; the question has it {given[value]} times"
    return None


def _checks(puzzle: Puzzle, steps: Sequence[str]) -> list[StepCheck]:
    state: State = puzzle.state
    checks: list[StepCheck] = []
    for text in steps:
        checks.append(check_step(state, text))
        step = checks[-1].step
        state = state if step is None else tuple(sorted(step.left))
    return checks


def _atom(value: Fraction) -> str:
    return f"({format_value(value)})" if value < 0 or value.denominator > 1 else format_value(value)


def _countdown(split: str) -> Iterator[Puzzle]:
    stream = countdown(split)
    return _distinct(stream, COUNTDOWN_SIZES[split])


def _distinct(stream: Iterator[Puzzle], size: int) -> Iterator[Puzzle]:
    seen: set[Puzzle] = set()
    while len(seen) < size:
        puzzle = next(stream)
        if puzzle not in seen:
            seen.add(puzzle)
            yield puzzle


def _none(split: str) -> Iterator[Puzzle]:
    raise UserError(
        f"the task 'numbers' has no split {split!r}; use the task game24 or countdown, or give a question"
    )


_LOADERS: Mapping[str, Callable[[str], Iterable[Puzzle]]] = {
    "numbers": _none,
    "game24": game24,
    "countdown": _countdown,
}
