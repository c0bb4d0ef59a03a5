"""The arithmetic of the numbers game: questions, steps and exact moves, with no model and no task around them.

A step is one line in the format of the Tree of Thoughts paper (Yao et al., arXiv 2305.10601, §4.1):
`4 * 5 = 20 (left: 6 10 20)`. All arithmetic is exact: a value is an integer or a fraction in lowest terms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from ..graph.errors import UserError

MIN_NUMBERS = 3
MAX_NUMBERS = 6
MAX_DIGITS = 6
MAX_QUESTION = 200
"""Longest question read, in characters."""
DEFAULT_TARGET = 24
STEP_DIGITS = 12
"""Longest run of digits read in a step; a longer one is not a step of this game."""

Sign = Literal["+", "-", "*", "/"]
SIGNS: tuple[Sign, ...] = ("+", "-", "*", "/")
State = tuple[Fraction, ...]
"""The numbers left, ascending."""

_HELP = "write 3 to 6 integers of at most 6 digits, and a target if it is not 24, such as '4 5 6 10 -> 24'"
_QUESTION = re.compile(r"\s*([-\d][-\d\s,]*?)\s*(?:(?:->|=>|=|→)\s*(-?\d+)\s*)?", re.ASCII)
_VALUE = rf"-?\d{{1,{STEP_DIGITS}}}(?:/\d{{1,{STEP_DIGITS}}})?"
_STEP = re.compile(
    rf"\s*({_VALUE}) ?([-+*/]) ?({_VALUE}) ?= ?({_VALUE}) ?\(left: ?({_VALUE}(?: {_VALUE})*)\)\s*", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Puzzle:
    """A question: reach `target` using each number exactly once."""

    numbers: tuple[int, ...]
    """Ascending."""
    target: int = DEFAULT_TARGET

    def __str__(self) -> str:
        """Return the canonical question, `4 5 6 10 -> 24`."""
        return f"{' '.join(map(str, self.numbers))} -> {self.target}"

    @property
    def state(self) -> State:
        """The numbers as exact values."""
        return tuple(Fraction(n) for n in self.numbers)


@dataclass(frozen=True, slots=True)
class Step:
    """One step as written: nothing in it has been checked."""

    first: Fraction
    sign: Sign
    second: Fraction
    result: Fraction
    left: State
    """In the order written."""

    def __str__(self) -> str:
        """Return the step in canonical form, the numbers left ascending."""
        left = " ".join(format_value(v) for v in sorted(self.left))
        return f"{self.equation} (left: {left})"

    @property
    def equation(self) -> str:
        """The equation alone, `4 * 5 = 20`."""
        a, b, c = format_value(self.first), format_value(self.second), format_value(self.result)
        return f"{a} {self.sign} {b} = {c}"


@dataclass(frozen=True, slots=True)
class StepCheck:
    """What checking one step exactly found. All three findings are False for text that is not a step."""

    step: Step | None
    """The step read; None if the text is not in the step format."""
    available: bool
    """Whether the numbers before the step hold both operands."""
    exact: bool
    """Whether the arithmetic is right."""
    complete: bool
    """Whether the numbers left are exactly the ones before, without the operands and with the result as written."""
    reason: str | None
    """What is wrong first, in one line; None if nothing is."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.reason is None


def parse_puzzle(question: str) -> Puzzle:
    """Read a user's question; numbers in any order, the target after `->`, `=>` or `=`, 24 if absent.

    Raises:
        UserError: if it is not a question of this game.
    """
    text = question.replace("\N{MINUS SIGN}", "-")
    match = _QUESTION.fullmatch(text) if len(text) <= MAX_QUESTION else None
    words = re.split(r"[\s,]+", match[1].strip(", \t\n")) if match else []
    target = (match[2] if match else None) or str(DEFAULT_TARGET)
    shown = question if len(question) <= 60 else question[:57] + "..."
    if not match or not all(re.fullmatch(r"-?\d+", word) for word in words):
        raise UserError(f"not a numbers puzzle: {shown!r}; {_HELP}")
    if not MIN_NUMBERS <= len(words) <= MAX_NUMBERS:
        raise UserError(f"{len(words)} numbers in {shown!r}; {_HELP}")
    if any(len(word.lstrip("-")) > MAX_DIGITS for word in (*words, target)):
        raise UserError(f"a number in {shown!r} is too long; {_HELP}")
    return Puzzle(tuple(sorted(int(word) for word in words)), int(target))


def format_value(value: Fraction | int) -> str:
    """Return `8/3`, `-3` or `20`: lowest terms, no spaces."""
    return str(Fraction(value))


def format_state(state: Sequence[Fraction | int], target: Fraction | int) -> str:
    """Return the canonical state, `6 10 20 -> 24`: the numbers ascending, then the target."""
    return f"{' '.join(format_value(v) for v in sorted(state))} -> {format_value(target)}"


def parse_step(text: str) -> Step | None:
    """Read one step line, or return None if it is not in the step format (a zero denominator is not)."""
    match = _STEP.fullmatch(text) if len(text) <= 1000 else None
    if match is None:
        return None
    try:
        first, second, result = (Fraction(match[i]) for i in (1, 3, 4))
        left = tuple(Fraction(word) for word in match[5].split())
    except ZeroDivisionError:
        return None
    sign: Sign = match[2]  # pyright: ignore[reportAssignmentType]  # the pattern admits the four signs only
    return Step(first, sign, second, result, left)


def apply(first: Fraction, sign: Sign, second: Fraction) -> Fraction | None:
    """Return the exact value of `first sign second`; None for a division by zero."""
    if sign == "+":
        return first + second
    if sign == "-":
        return first - second
    if sign == "*":
        return first * second
    return first / second if second else None


def take(state: Sequence[Fraction], used: Sequence[Fraction]) -> State | None:
    """Return the multiset `state` without the values `used`, ascending; None if one is not there."""
    rest = list(state)
    for value in used:
        if value not in rest:
            return None
        rest.remove(value)
    return tuple(sorted(rest))


def check_step(state: Sequence[Fraction], text: str) -> StepCheck:
    """Check one step, as written, exactly.

    Args:
        state: the numbers available before it, in any order.
        text: the step; any text is allowed.
    """
    step = parse_step(text)
    if step is None:
        return StepCheck(None, False, False, False, "not a step; write one as '2 * 9 = 18 (left: 5 7 18)'")
    rest = take(state, (step.first, step.second))
    value = apply(step.first, step.sign, step.second)
    exact = value == step.result
    complete = rest is not None and sorted((*rest, step.result)) == sorted(step.left)
    reason: str | None = None
    if rest is None:
        held = " ".join(format_value(v) for v in sorted(state))
        operands = f"{format_value(step.first)} and {format_value(step.second)}"
        reason = f"{operands} are not both among the numbers left, {held}"
    elif value is None:
        reason = "division by zero"
    elif not exact:
        reason = f"{step.equation} is wrong: it is {format_value(value)}"
    elif not complete:
        reason = f"what is left is {' '.join(format_value(v) for v in sorted((*rest, step.result)))}"
    return StepCheck(step, rest is not None, exact, complete, reason)


def moves(state: Sequence[Fraction], *, negatives: bool = False) -> Iterator[Step]:
    """Yield every legal step from `state` (ascending) once, commutative operands in ascending order.

    Args:
        state: the numbers left.
        negatives: also subtract the larger from the smaller. Without negative numbers in play no solution
            with a positive target needs it.
    """
    seen: set[tuple[Fraction, Fraction]] = set()
    for i, a in enumerate(state):
        for j in range(i + 1, len(state)):
            b = state[j]
            if (a, b) in seen:
                continue
            seen.add((a, b))
            rest = (*state[:i], *state[i + 1 : j], *state[j + 1 :])
            for first, sign, second in _operations(a, b, negatives):
                result = apply(first, sign, second)
                if result is not None:
                    yield Step(first, sign, second, result, tuple(sorted((*rest, result))))


def _operations(a: Fraction, b: Fraction, negatives: bool) -> Iterator[tuple[Fraction, Sign, Fraction]]:
    yield a, "+", b
    yield b, "-", a
    yield a, "*", b
    yield b, "/", a
    if a != b:
        yield a, "/", b
        if negatives:
            yield a, "-", b
