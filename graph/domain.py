"""What agents and the machine may ask a task: how its steps look and what they amount to.

This is the search's side of the gold-answer firewall: a domain reads questions and steps and knows no reference answer. Problems with their
references, and graders, are in `thoughtgraph.tasks`, which nothing in graph/, agents/ or tools/ imports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


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
    """What a task knows about its own questions and steps.

    `steps` may be any text a model wrote: only `parse` raises.
    """

    name: str
    stop: str
    """The string that ends a step in a raw completion, such as a newline."""
    step_tokens: int
    """Upper bound on the tokens of one step in this task's own step format."""
    max_steps: int
    """Upper bound on the steps of one solution."""
    instructions: str
    """Name of the prompt family (agents/prompts/NAME/) that explains this task to a chat model."""
    checks: bool
    """Whether `goal` can tell a right answer, so that finished solutions can be checked by an exact tool."""

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
        """Return what the steps amount to."""
        ...

    def flaw(self, question: str, steps: Sequence[str]) -> str | None:
        """Return which rule of the task the last step breaks, in one line; None if none that the rules alone can see."""
        ...

    def claims(self, question: str, steps: Sequence[str]) -> Sequence[str]:
        """Return the equations `EXPRESSION = EXPRESSION` that the last step claims, for a calculator to check."""
        ...

    def goal(self, question: str, answer: str) -> str | None:
        """Return the equation that holds if and only if the answer is right; None where no rule can tell."""
        ...

    # Optional, see the functions below:
    #   unfinished(text: str) -> bool   whether a step of this text breaks off inside a block, such as a fenced one
    #   visible_tests(question: str) -> Sequence   tests that the question shows, and program(question, answer) -> str, what they are run on
    #   database_url(question: str) -> str         the database that the question is about, one of database_urls
    #   answers_in_blocks: bool         whether a fenced block is the answer, so that none is a call of a tool
    #   shots: bool                     whether a model that only continues text is shown the family's worked examples first


def unfinished(domain: Domain, text: str) -> bool:
    """Return whether a step of this text breaks off inside a block; where the domain does not say, it never does."""
    rule = getattr(domain, "unfinished", None)
    return rule is not None and rule(text)


def shows_examples(domain: Domain) -> bool:
    """Return whether a model that only continues text is shown worked examples first: it was not trained on the task's own format."""
    return bool(getattr(domain, "shots", False))
