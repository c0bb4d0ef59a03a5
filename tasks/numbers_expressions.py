"""Answers of the numbers game as text: composing them from steps, reading their numbers, comparing them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from ..graph.errors import ToolError
from ..tools.calculator import compile_expression
from .numbers_steps import Puzzle, Sign, Step, format_value

_ANSWER = re.compile(r"\s*(?:final )?answer\s*:(.*)", re.IGNORECASE | re.DOTALL)
_EQUALS = re.compile(r"=\s*-?\d+\s*\.?\s*", re.ASCII)
_LONGEST = 1000

_SUM, _PRODUCT, _LEAF = 1, 2, 3
_Term = tuple[bool, str]
"""Whether it is subtracted from a sum, or divides a product; and the term itself."""


def answer_line(text: str) -> str | None:
    """Return the expression in a line `Answer: EXPRESSION = 24`; None if it is no such line."""
    match = _ANSWER.fullmatch(text[:_LONGEST])
    return expression_of(match[1]) if match else None


def expression_of(answer: str) -> str:
    """Return an answer without `Answer:` in front and `= 24` behind."""
    text = answer[:_LONGEST]
    match = _ANSWER.fullmatch(text)
    text = match[1] if match else text
    expression, equals, rest = text.partition("=")
    return (expression if _EQUALS.fullmatch(equals + rest) else text).strip().strip("`$").strip()


def compose(puzzle: Puzzle, steps: Sequence[Step]) -> str | None:
    """Return the expression that the steps compose to, with no parentheses but needed ones.

    Each step takes its operands from the numbers at hand and puts its result there as written, right or wrong. What
    the steps say is left is not looked at.

    Returns:
        The expression, such as `4 * 5 + 10 - 6`; None if an operand is not at hand, or more than one number is in the end.
    """
    hand = [(value, format_value(value), _LEAF) for value in puzzle.state]
    hand = [(value, f"({text})" if value < 0 else text, level) for value, text, level in hand]
    for step in steps:
        operands: list[tuple[Fraction, str, int]] = []
        for wanted in (step.first, step.second):
            found = next((item for item in hand if item[0] == wanted), None)
            if found is None:
                return None
            hand.remove(found)
            operands.append(found)
        (_, first, first_level), (_, second, second_level) = operands
        text, level = _join(first, first_level, step.sign, second, second_level)
        hand.append((step.result, text, level))
    return hand[0][1] if len(hand) == 1 else None


def numbers_in(expression: str) -> list[Fraction]:
    """Return the numbers in an expression, with the signs written directly in front of them.

    Raises:
        ToolError: if it is not an expression, or changes the sign of more than a number, which is no step of the game.
    """
    numbers: list[Fraction] = []
    after_number = False
    for token in compile_expression(expression):
        if isinstance(token, Fraction):
            numbers.append(token)
        elif token == "~":
            if not after_number:
                raise ToolError("a minus sign in front of more than a number; subtract instead")
            numbers[-1] = -numbers[-1]
        after_number = isinstance(token, Fraction)
    return numbers


def canonical(expression: str) -> str:
    """Return a form that is equal for expressions that differ only in order, grouping and spaces.

    Sums and products are flattened and their terms sorted, so `6 * (10 - 6)` and `(10-6)*6` are both `(10-6)*6`. Text
    that is not an expression is folded to lower case and single spaces.
    """
    try:
        postfix = compile_expression(expression)
    except ToolError:
        return " ".join(expression.casefold().split())
    stack: list[tuple[int, list[_Term]]] = []
    for token in postfix:
        if isinstance(token, Fraction):
            stack.append((_LEAF, [(False, format_value(token))]))
        elif token == "~":
            stack.append((_SUM, [(not minus, term) for minus, term in _terms(stack.pop(), _SUM)]))
        else:
            level = _SUM if token in "+-" else _PRODUCT
            second, first = stack.pop(), stack.pop()
            inverse = token in "-/"
            terms = [(inverse != other, term) for other, term in _terms(second, level)]
            stack.append((level, [*_terms(first, level), *terms]))
    return _render(stack[0])


def _join(first: str, first_level: int, sign: Sign, second: str, second_level: int) -> tuple[str, int]:
    level = _SUM if sign in "+-" else _PRODUCT
    left = f"({first})" if first_level < level else first
    inverse = sign in "-/"
    right = f"({second})" if second_level < level or (inverse and second_level == level) else second
    return f"{left} {sign} {right}", level


def _terms(node: tuple[int, list[_Term]], level: int) -> list[_Term]:
    kind, terms = node
    if kind in (level, _LEAF):
        return terms
    return [(False, f"({_render(node)})")]


def _render(node: tuple[int, list[_Term]]) -> str:
    kind, terms = node
    join, inverse = ("*", "/") if kind == _PRODUCT else ("+", "-")
    ordered = sorted(terms, key=lambda term: (term[0], -len(term[1]), term[1]))
    text = "".join(f"{inverse if inverted else join}{term}" for inverted, term in ordered)
    return text.removeprefix(join) if text[0] == join else text if kind != _PRODUCT else f"1{text}"
