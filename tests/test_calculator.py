"""The exact calculator: values by hand, agreement with Fraction arithmetic, and refusals."""

import contextlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoughtgraph.graph.errors import ToolError
from thoughtgraph.tools.base import Call, ToolReply
from thoughtgraph.tools.calculator import MAX_LENGTH, Calculator, calculator_tool
from thoughtgraph.tools.calling import check_arguments

CALCULATOR = Calculator()


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("4 * 5", Fraction(20)),
        ("(4 * 5 + 10) - 6", Fraction(24)),
        ("2 - 3 - 4", Fraction(-5)),
        ("2 / 8 / 3", Fraction(1, 12)),
        ("2 / (8/3)", Fraction(3, 4)),
        ("8/(3-8/3)", Fraction(24)),
        ("-3 * -2", Fraction(6)),
        ("-(1 + 2) * 3", Fraction(-9)),
        ("--3", Fraction(3)),
        ("+5", Fraction(5)),
        ("2 - -3", Fraction(5)),
        ("-2 - 3", Fraction(-5)),
        ("0.1 + 0.2", Fraction(3, 10)),
        (".5", Fraction(1, 2)),
        ("6 × 4 ÷ 8 − 1", Fraction(2)),
        ("((((7))))", Fraction(7)),
    ],
)
def test_values(expression: str, value: Fraction) -> None:
    assert CALCULATOR.evaluate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "",
        " ",
        "4 5",
        "2(3)",
        "(2)(3)",
        "()",
        "(2",
        "2)",
        "2 +",
        "* 2",
        "2 ** 3",
        "2 // 3",
        "1e5",
        "x",
        "1,200",
        "½",
        "٣",
        "1 = 1",
        "__import__('os')",
        "2 % 3",
        "1_000",
        "1.",
        "(1)2",
        "2 * )",
        "\0",
    ],
)
def test_text_that_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(ToolError, match="not an arithmetic expression"):
        CALCULATOR.evaluate(expression)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("1 / 0", "division by zero"),
        ("1 / (3 - 3)", "division by zero"),
        ("1" * 41, "limit is 40 digits"),
        ("1 + " * 400 + "1", f"limit is {MAX_LENGTH}"),
        ("(" * 101 + "1" + ")" * 101, "more than 100 nested parentheses"),
    ],
)
def test_limits(expression: str, message: str) -> None:
    with pytest.raises(ToolError, match=message) as caught:
        CALCULATOR.evaluate(expression)
    assert "\n" not in str(caught.value)


def test_the_longest_expressions_need_no_recursion() -> None:
    assert CALCULATOR.evaluate("(" * 100 + "1" + ")" * 100) == 1
    assert CALCULATOR.evaluate("-" * 998 + "1") == 1
    assert CALCULATOR.evaluate("*".join(["9" * 40] * 24)) == (10**40 - 1) ** 24


_EXPRESSIONS = st.recursive(
    st.integers(0, 99).map(str),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    max_leaves=12,
)


@given(_EXPRESSIONS)
def test_agrees_with_python_on_fractions(expression: str) -> None:
    as_fractions = "".join(f"Fraction({word})" if word.isdigit() else word for word in _words(expression))
    try:
        expected = eval(as_fractions, {"Fraction": Fraction})  # the test's own text, generated above
    except ZeroDivisionError:
        with pytest.raises(ToolError, match="division by zero"):
            CALCULATOR.evaluate(expression)
    else:
        assert CALCULATOR.evaluate(expression) == expected


@given(st.text(alphabet="0123456789+-*/(). =x\n", max_size=30) | st.text(max_size=30))
def test_any_text_gives_a_value_or_a_tool_error(text: str) -> None:
    for method in (CALCULATOR.evaluate, CALCULATOR.check_equation):
        with contextlib.suppress(ToolError):
            method(text)


def test_equations() -> None:
    right = CALCULATOR.check_equation("3 * 7 = 21")
    assert (right.left, right.right, right.holds) == (21, 21, True)
    assert not CALCULATOR.check_equation("3 * 7 = 22").holds
    assert CALCULATOR.check_equation("1/3 + 1/6 = 0.5").holds
    for text in ("3 * 7", "3 = 3 = 3", "= 3"):
        with pytest.raises(ToolError):
            CALCULATOR.check_equation(text)


async def test_the_tool_computes_and_checks() -> None:
    tool = calculator_tool()
    assert (tool.name, tool.effect, tool.text_argument) == ("calculator", "pure", "expression")
    assert await tool.run(Call({"expression": "8 / 3"})) == ToolReply("8/3")
    assert await tool.run(Call({"equation": "4 * 5 = 20"})) == ToolReply("4 * 5 = 20 holds", ok=True)
    wrong = await tool.run(Call({"equation": "4 * 5 = 21"}))
    assert wrong == ToolReply("4 * 5 = 21 is wrong: the left side is 20", ok=False)


@pytest.mark.parametrize(
    "arguments", [{}, {"expression": 3}, {"code": "1"}, {"expression": "1", "equation": "1 = 1"}]
)
async def test_the_tool_refuses_other_arguments(arguments: dict[str, object]) -> None:
    with pytest.raises(ToolError, match="calculator cannot take its argument"):
        check_arguments(calculator_tool(), arguments)


def _words(expression: str) -> list[str]:
    return expression.replace("(", " ( ").replace(")", " ) ").split()
