"""What a task is: a domain the search may consult, a grader it may not, and where problems come from.

The firewall runs through here. `Domain` is all that agents and the machine get: it reads questions and steps and knows
no answer. `Item` pairs a problem with its reference, and only runners and graders hold items.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ..graph.domain import Domain
from ..graph.errors import ThoughtGraphError
from ..graph.records import Problem


class GradingError(ThoughtGraphError):
    """An answer could not be judged: the grader ran out of time, or the reference itself does not work. The answer is not wrong for it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A grader's judgement of an answer."""

    correct: bool
    extracted: str | None
    canonical: str | None
    """The vote key: equal answers have equal ones, see `Domain.canonical`."""
    reason: str = ""
    score: float | None = None
    """Partial credit in [0, 1] where the task's official measure has one beside right and wrong, such as HotpotQA's F1."""


@dataclass(frozen=True, slots=True)
class Item:
    """A problem with its reference answer, which stays on this side of the firewall."""

    problem: Problem
    reference: str | None = None


class Task(Protocol):
    """A domain with its problems and its grader."""

    name: str
    domain: Domain

    def problem(self, question: str) -> Problem:
        """Return the problem for a user's question, parsed; raises UserError like `Domain.parse`."""
        ...

    def load(self, split: str, limit: int | None = None) -> Iterator[Item]:
        """Yield the items of a split; raises UserError for a split that is not there, with the remedy."""
        ...

    def grade(self, question: str, answer: str | None, reference: str | None) -> Verdict | None:
        """Judge an answer exactly; None where that needs a reference and there is none. Called after the search only.

        It may run other processes and take seconds, so an event loop calls it in a thread; any number of threads may call it at once.

        Raises:
            GradingError: if the answer could not be judged; it stays ungraded, with this reason.
            UserError: if nothing can be graded here, such as programs without a sandbox.
        """
        ...
