"""An exact calculator: what the sum in a model's step really is, in fractions, without `eval`.

The grammar is + - * / and parentheses over integers and decimals; `8/3` is a division like any other. Expressions are
compiled to postfix and evaluated on a stack, so deep nesting costs no recursion, and there is no power operator,
so the size of a result is bounded by the length of its expression.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from ..graph.errors import ToolError
from .base import Call, Tool, ToolReply

MAX_LENGTH = 1000
"""Longest expression or equation, in characters."""
MAX_DIGITS = 40
"""Most digits in one number."""
MAX_DEPTH = 100
"""Most parentheses open at once."""

Token = Fraction | str
"""A number, one of `+ - * /`, or `~` for a change of sign."""

_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?|\.\d+)|([-+*/()]))\s*", re.ASCII)
_SPELLINGS = str.maketrans(
    {"\N{MULTIPLICATION SIGN}": "*", "\N{DIVISION SIGN}": "/", "\N{MINUS SIGN}": "-", "\N{DOT OPERATOR}": "*"}
)
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "~": 3}


@dataclass(frozen=True, slots=True)
class Equation:
    """What the two sides of an equation come to."""

    left: Fraction
    right: Fraction

    @property
    def holds(self) -> bool:
        """Whether both sides have the same value, exactly."""
        return self.left == self.right


class Calculator:
    """Exact arithmetic on text. It has no state and is safe to share."""

    def evaluate(self, expression: str) -> Fraction:
        """Return the exact value of an expression such as `(4 * 5 + 10) / 3`.

        Raises:
            ToolError: if it is not an expression, is too long or too deep, or divides by zero.
        """
        stack: list[Fraction] = []
        for token in compile_expression(expression):
            if isinstance(token, Fraction):
                stack.append(token)
            elif token == "~":
                stack.append(-stack.pop())
            else:
                right, left = stack.pop(), stack.pop()
                stack.append(_apply(left, token, right, expression))
        return stack[0]

    def check_equation(self, equation: str) -> Equation:
        """Return both sides of an equation such as `3 * 7 = 21`, evaluated.

        Raises:
            ToolError: if there is not exactly one `=`, or a side cannot be evaluated.
        """
        sides = equation.split("=")
        if len(sides) != 2:
            raise ToolError(
                f"not an equation: {_shown(equation)}; write two expressions with one '=' between them"
            )
        return Equation(self.evaluate(sides[0]), self.evaluate(sides[1]))


def calculator_tool() -> Tool:
    """Return the calculator as a tool: `{"expression": "4 * 5"}` computes, `{"equation": "4 * 5 = 20"}` checks."""
    text = {"type": "string", "maxLength": MAX_LENGTH}
    return Tool(
        name="calculator",
        description="Computes an expression of numbers, + - * / and parentheses exactly, or checks an equation of two.",
        parameters={
            "type": "object",
            "properties": {"expression": text, "equation": text},
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
        },
        run=_calculate,
        effect="pure",
        trusted=True,
        remembered=False,
    )


async def _calculate(call: Call) -> ToolReply:
    calculator = Calculator()
    if "expression" in call.arguments:
        return ToolReply(_written(calculator.evaluate(call.arguments["expression"])))
    text = call.arguments["equation"]
    found = calculator.check_equation(text)
    if found.holds:
        return ToolReply(f"{text.strip()} holds", ok=True)
    return ToolReply(f"{text.strip()} is wrong: the left side is {_written(found.left)}", ok=False)


def compile_expression(expression: str) -> list[Token]:
    """Return an expression in postfix order (Dijkstra's shunting yard); signs of numbers become `~`.

    Raises:
        ToolError: if it is not an expression, or is too long or too deep.
    """
    output: list[Token] = []
    operators: list[str] = []
    depth = 0
    operand_next = True
    for token in _tokens(expression):
        begins_operand = isinstance(token, Fraction) or token == "(" or (operand_next and token in ("+", "-"))
        if operand_next != begins_operand:
            raise _malformed(expression)
        if isinstance(token, Fraction):
            output.append(token)
            operand_next = False
        elif token == "(":
            operators.append(token)
            depth += 1
            if depth > MAX_DEPTH:
                raise ToolError(
                    f"more than {MAX_DEPTH} nested parentheses in {_shown(expression)}; simplify it"
                )
        elif token == ")":
            _unwind(operators, output, 0)
            if not operators:
                raise _malformed(expression)
            operators.pop()
            depth -= 1
        elif operand_next:
            operators.extend("~" if token == "-" else "")
        else:
            _unwind(operators, output, _PRECEDENCE[token])
            operators.append(token)
            operand_next = True
    if operand_next or depth:
        raise _malformed(expression)
    _unwind(operators, output, 0)
    return output


def _unwind(operators: list[str], output: list[Token], precedence: int) -> None:
    while operators and operators[-1] != "(" and _PRECEDENCE[operators[-1]] >= precedence:
        output.append(operators.pop())


def _tokens(expression: str) -> Iterator[Fraction | str]:
    if len(expression) > MAX_LENGTH:
        raise ToolError(
            f"an expression of {len(expression)} characters is too long; the limit is {MAX_LENGTH}"
        )
    text = expression.translate(_SPELLINGS)
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _malformed(expression)
        position = match.end()
        if match[1] is None:
            yield match[2]
        elif len(match[1]) > MAX_DIGITS:
            raise ToolError(f"a number in {_shown(expression)} is too long; the limit is {MAX_DIGITS} digits")
        else:
            yield Fraction(match[1])


def _apply(left: Fraction, sign: str, right: Fraction, expression: str) -> Fraction:
    if sign == "+":
        return left + right
    if sign == "-":
        return left - right
    if sign == "*":
        return left * right
    if right == 0:
        raise ToolError(f"division by zero in {_shown(expression)}")
    return left / right


def _malformed(expression: str) -> ToolError:
    return ToolError(
        f"not an arithmetic expression: {_shown(expression)}; use numbers, + - * / and parentheses"
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _written(value: Fraction) -> str:
    return str(value)
