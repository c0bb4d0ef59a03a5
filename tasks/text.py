"""Any question in plain text: steps are lines, and a line `Answer: …` ends the solution.

The task for questions that have no task of their own. It knows nothing about right and wrong beyond the equations that steps claim; it grades only
against a reference, by equality of canonical answers. The families of `families.py` are made from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from ..agents.formats import read_subquestion
from ..agents.tool_calls import MARK
from ..graph.domain import Domain, Reading
from ..graph.errors import ToolError, UserError
from ..graph.ids import address
from ..graph.records import Problem
from ..tools.calculator import Calculator
from .base import Item, Verdict
from .blocks import in_fence, in_latex

_ANSWER = re.compile(r"\s*(?:final )?answer\s*:\s*(.+)", re.IGNORECASE)
_DIGITS = 28
"""Longest number that `Decimal.normalize` does not round."""
_NUMBER = r"-?\d+(?:\.\d+)?"
_EQUATION = re.compile(
    rf"(?<![\w.+*/=-])({_NUMBER}(?:\s?[-+*/]\s?{_NUMBER})+)\s?=\s?({_NUMBER})(?!\d|\.\d|\s?[-+*/])"
)


class TextDomain:
    """The domain of plain text; implements `graph.domain.Domain`."""

    name = "text"
    stop = "\n"
    step_tokens = 160
    max_steps = 40
    instructions = "text"
    checks = False
    shots = True

    def parse(self, question: str) -> str:
        """Return the question without surrounding space; raises UserError if nothing is left."""
        text = question.strip()
        if not text:
            raise UserError("the question is empty; write a question in quotes")
        return text

    def prompt(self, question: str, steps: Sequence[str]) -> str:
        """Return the question and the steps, each ended by the stop string."""
        return "".join(f"{text}{self.stop}" for text in (question, *steps))

    def read(self, question: str, steps: Sequence[str]) -> Reading:
        """Return a terminal reading if the last step is an answer line, or the last sub-question (`agents.formats`)."""
        answer = _answer(steps[-1]) if steps else None
        if answer is None:
            return Reading(terminal=False)
        return Reading(terminal=True, answer=answer, key=self.canonical(answer))

    def unfinished(self, text: str) -> bool:
        """Return whether a text breaks off inside a fenced block or one of LaTeX's."""
        return in_fence(text) or in_latex(text)

    def flaw(self, question: str, steps: Sequence[str]) -> str | None:
        """Return that a step repeats an earlier one, the only rule there is; a tool may well be called again."""
        repeated = (
            bool(steps) and steps[-1] in steps[:-1] and not MARK.search(steps[-1]) and "```" not in steps[-1]
        )
        return "the step repeats an earlier one" if repeated else None

    def claims(self, question: str, steps: Sequence[str]) -> Sequence[str]:
        """Return the equations between plain numbers in the last step, but for those that only round a value to decimals, such as `337 / 120 = 2.81`."""
        found = _EQUATION.findall(steps[-1]) if steps else []
        return [f"{left} = {right}" for left, right in found if not _rounds(left, right)]

    def goal(self, question: str, answer: str) -> str | None:
        """Return None: no rule can tell a right answer."""
        return None

    def canonical(self, answer: str) -> str:
        """Return the vote key of an answer."""
        return canonical(answer)


class TextTask:
    """Plain questions, or those of another family of text; implements `tasks.base.Task`."""

    def __init__(self, domain: TextDomain | None = None) -> None:
        self._domain = domain or TextDomain()
        self.name: str = self._domain.name
        self.domain: Domain = self._domain

    def problem(self, question: str) -> Problem:
        """Return the problem for a question."""
        canonical_question = self.domain.parse(question)
        return Problem(address("problem", self.name, canonical_question), self.name, canonical_question)

    def load(self, split: str, limit: int | None = None) -> Iterator[Item]:
        """Raise UserError: this task has no problems of its own."""
        raise UserError(
            f"the task {self.name!r} has no splits; "
            f"give a JSONL file of problems: thoughtgraph run FILE --task {self.name}"
        )

    def grade(self, question: str, answer: str | None, reference: str | None) -> Verdict | None:
        """Compare canonical forms; None without a reference."""
        if reference is None:
            return None
        key = None if answer is None else self._domain.canonical(answer)
        right = key == self._domain.canonical(reference)
        return Verdict(right, answer, key, "equality of canonical answers")


def canonical(answer: str) -> str:
    """Return the vote key: numbers by value (`1,200.0` is `1200`), other text casefolded with single spaces and without a final period."""
    text = " ".join(answer.split()).rstrip(". ")
    if "_" in text:  # Decimal reads 52_8 as 528, but it is a numeral of base 8
        return text.casefold()
    try:
        value = Decimal(text.replace(",", "").lstrip("$").rstrip("%"))
    except InvalidOperation:
        return text.casefold()
    if not value.is_finite() or abs(value.adjusted()) > 100:  # written out, 1e400000000 would fill the memory
        return text.casefold()
    if len(value.as_tuple().digits) > _DIGITS:
        return text.casefold()
    return f"{value.normalize():f}" if value else "0"


def _rounds(left: str, right: str) -> bool:
    """Return whether a number with decimals is the value of an expression, rounded to as many."""
    _, point, decimals = right.partition(".")
    if not point:
        return False
    try:
        value = Calculator().evaluate(left)
    except ToolError:
        return False
    return abs(value - Fraction(right)) <= Fraction(1, 2 * 10 ** len(decimals))


def _answer(step: str) -> str | None:
    """Return the answer of a step that ends a solution; None if it does not."""
    found = _ANSWER.fullmatch(step)
    if found is not None:
        return found[1].strip()
    asked = read_subquestion(step)
    return asked.answer if asked is not None and asked.last else None
