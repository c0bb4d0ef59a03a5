"""What a task is: a domain the search may consult, a grader it may not, and where problems come from.

The firewall runs through here. `Domain` is all that agents and the machine get: it reads questions and steps and knows
no answer. `Item` pairs a problem with its reference, and only runners and graders hold items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..graph.records import Problem


@dataclass(frozen=True, slots=True)
class Reading:
    """What a task reads off a path of steps, without knowing any reference answer."""

    terminal: bool
    """Whether the last step finishes the solution, rightly or wrongly."""
    answer: str | None = None
    key: str | None = None
    """Canonical form of the answer; equal answers have equal keys. It is the vote key."""
    state: str | None = None
    """Canonical form of the state reached, or None where the task knows none."""


class Domain(Protocol):
    """What a task knows about its own questions and steps. It never knows a reference answer."""

    name: str
    stop: str
    """The string that ends a step in a raw completion, such as a newline."""
    step_tokens: int
    """Upper bound on the tokens of one step in this task's own step format."""
    max_steps: int
    """Upper bound on the steps of one solution."""

    def parse(self, question: str) -> str:
        """Return the canonical form of a user's question.

        Raises:
            UserError: if it is not a question of this task; the message says what one looks like.
        """
        ...

    def prompt(self, question: str, steps: Sequence[str]) -> str:
        """Return the text that a raw-completion model continues: the question and the steps so far."""
        ...

    def read(self, question: str, steps: Sequence[str]) -> Reading:
        """Return what the steps amount to; `steps` may be any model text and never raises."""
        ...

    def instructions(self) -> str:
        """Return the name of the prompt file (under agents/prompts) that explains this task to a chat model."""
        ...


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

    def grade(self, question: str, answer: str | None, reference: str | None) -> Verdict:
        """Judge an answer exactly. Called after the search, never during it."""
        ...
