"""What a test says, read without running it: which value it expects of which expression."""

from __future__ import annotations

import ast
import warnings
from typing import Any


def assertions(source: str, entry_point: str) -> list[str]:
    """Return the tests in a function `check(candidate)`, as HumanEval has it, one by one; where that cannot be, the whole and a call of it as one test.

    Args:
        source: defines `check`, and nothing else that its tests need.
        entry_point: name of the program's function.
    """
    whole = [f"{source}\n\ncheck({entry_point})"]
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return whole
    checks = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "check"]
    others = [
        node for node in tree.body if node not in checks and not isinstance(node, (ast.Assign, ast.Expr))
    ]
    if len(checks) != 1 or others or len(checks[0].args.args) != 1:
        return whole
    candidate = checks[0].args.args[0].arg
    tests: list[str] = []
    for statement in checks[0].body:
        if isinstance(statement, ast.Assert):
            names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
            if entry_point in names - {candidate}:
                return whole
            tests.append(ast.unparse(_Renamed(candidate, entry_point).visit(statement)))
        elif not isinstance(statement, (ast.Pass, ast.Expr)):
            return whole
    # `assert True, "..."` is in many of them and says nothing
    tests = [test for test in tests if not test.startswith("assert True")]
    return tests or whole


class _Renamed(ast.NodeTransformer):
    """Puts one name for another."""

    def __init__(self, old: str, new: str) -> None:
        self._old = old
        self._new = new

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._new, node.ctx) if node.id == self._old else node


def comparison(test: str) -> tuple[str, str] | None:
    """Return expression and expected literal of `assert EXPRESSION == LITERAL`; None for a snippet of any other form."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the test's text
            tree = ast.parse(test)
        match tree.body:
            case [ast.Assert(test=ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]))]:
                if literal(ast.unparse(left))[0]:
                    left, right = right, left
                ast.literal_eval(right)
                return ast.unparse(left), ast.unparse(right)
            case _:
                return None
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None


def literal(text: str | None) -> tuple[bool, Any]:
    """Return whether a text is a literal, and its value. It comes from the program."""
    try:
        return True, None if text is None else ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return False, None


def equal(left: Any, right: Any) -> bool:
    """Return whether two literals' values are equal."""
    try:
        return bool(left == right)
    except RecursionError:
        return False
