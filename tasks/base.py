"""What a task is: a domain the search may consult, a grader it may not, and where problems come from.

The firewall runs through here. `Domain` is all that agents and the machine get: it reads questions and steps and knows
no answer. `Item` pairs a problem with its reference, and only runners and graders hold items.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ..graph.domain import Domain
from ..graph.records import Problem


@dataclass(frozen=True, slots=True)
class Verdict:
    """A grader's judgement of an answer."""

    correct: bool
    extracted: str | None
    canonical: str | None
    reason: str = ""


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
        """Judge an answer exactly; None where that needs a reference and there is none. Called after the search only."""
        ...
