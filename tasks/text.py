"""Any question in plain text: steps are lines, and a line `Answer: …` ends the solution.

The task for questions that have no task of their own. It knows nothing about right and wrong beyond the equations that steps claim; it grades only
against a reference, by equality of canonical answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation

from ..graph.domain import Domain, Reading
from ..graph.errors import UserError
from ..graph.ids import address
from ..graph.records import Problem
from .base import Item, Verdict

_ANSWER = re.compile(r"\s*(?:final )?answer\s*:\s*(.+)", re.IGNORECASE)
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

    def parse(self, question: str) -> str:
        """Return the question without surrounding space; raises UserError if nothing is left."""
        text = question.strip()
        if not text:
            raise UserError("the question is empty; write a question in quotes")
        return text

    def prompt(self, question: str, steps: Sequence[str]) -> str:
        """Return the question and the steps, one a line."""
        return "".join(f"{line}\n" for line in (question, *steps))

    def read(self, question: str, steps: Sequence[str]) -> Reading:
        """Return a terminal reading if the last step is an answer line."""
        found = _ANSWER.fullmatch(steps[-1]) if steps else None
        if found is None:
            return Reading(terminal=False)
        answer = found[1].strip()
        return Reading(terminal=True, answer=answer, key=canonical(answer))

    def flaw(self, question: str, steps: Sequence[str]) -> str | None:
        """Return that a step repeats an earlier one, the only rule there is."""
        return "the step repeats an earlier one" if steps and steps[-1] in steps[:-1] else None

    def claims(self, question: str, steps: Sequence[str]) -> Sequence[str]:
        """Return the equations between plain numbers in the last step."""
        return [f"{left} = {right}" for left, right in _EQUATION.findall(steps[-1])] if steps else []

    def goal(self, question: str, answer: str) -> str | None:
        """Return None: no rule can tell a right answer."""
        return None


class TextTask:
    """Plain questions; implements `tasks.base.Task`."""

    name = "text"
    domain: Domain = TextDomain()

    def problem(self, question: str) -> Problem:
        """Return the problem for a question."""
        canonical_question = self.domain.parse(question)
        return Problem(address("problem", self.name, canonical_question), self.name, canonical_question)

    def load(self, split: str, limit: int | None = None) -> Iterator[Item]:
        """Raise UserError: this task has no problems of its own."""
        raise UserError(
            "the task 'text' has no splits; give a JSONL file of problems: thoughtgraph run FILE --task text"
        )

    def grade(self, question: str, answer: str | None, reference: str | None) -> Verdict | None:
        """Compare canonical forms; None without a reference."""
        if reference is None:
            return None
        key = None if answer is None else canonical(answer)
        return Verdict(key == canonical(reference), answer, key, "equality of canonical answers")


def canonical(answer: str) -> str:
    """Return the vote key: numbers by value (`1,200.0` is `1200`), other text casefolded with single spaces and without a final period."""
    text = " ".join(answer.split()).rstrip(".").strip()
    try:
        value = Decimal(text.replace(",", "").lstrip("$").rstrip("%"))
    except InvalidOperation:
        return text.casefold()
    if not value.is_finite() or abs(value.adjusted()) > 100:  # written out, 1e400000000 would fill the memory
        return text.casefold()
    return f"{value.normalize():f}" if value else "0"
