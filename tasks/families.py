"""Families of general tasks beside plain text: word problems, questions over several facts, programs.

Each has its own prompts (agents/prompts/NAME/), step format and canonical answers. Public sets (gsm8k, math, hotpotqa, humaneval, mbpp, text2sql) build on these domains
and bring problems and graders; `multihop` and `code` take problems from the user's own file and compare canonical answers.

* math: steps and answers as in plain text; answers are compared as formulas, so `$1,200.00`, `1200 dollars` and `#### 1200` are one, and so are `1/2` and `0.5`.
* multihop: short answers, compared as HotpotQA's official evaluation does: lower case, without punctuation and articles.
* code: steps are separated by a line `@@`, so that they may have lines of their own; the last is a fenced block, and its content is the answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..graph.domain import Reading
from .blocks import in_fence
from .grading.math_keys import math_key
from .text import TextDomain, canonical

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = re.compile(r"[^\w\s]|_")
_FENCE = "```"


class MathDomain(TextDomain):
    """Word problems in mathematics; the domain of plain text but for its prompts and its answers."""

    name = "math"
    instructions = "math"

    def canonical(self, answer: str) -> str:
        """See `grading.math_keys.math_key`."""
        return math_key(answer)


class MultihopDomain(TextDomain):
    """Questions whose short answers follow from several facts."""

    name = "multihop"
    instructions = "multihop"

    def canonical(self, answer: str) -> str:
        """See `short_key`."""
        return short_key(answer)


class CodeDomain(TextDomain):
    """Programs: a few steps of plain text, then the whole program in a fenced block."""

    name = "code"
    stop = "\n@@\n"
    step_tokens = 512
    """The program is one step."""
    max_steps = 12
    instructions = "code"
    answers_in_blocks = True

    def read(self, question: str, steps: Sequence[str]) -> Reading:
        """Return a terminal reading if the steps end with a fenced block; its content is the answer.

        Blocks are looked for in the lines of all steps, since an attempt that is one thought comes back line by line.
        """
        block = _last_block([line for step in steps for line in step.splitlines()])
        if block is None:
            return Reading(terminal=False)
        code = "\n".join(block)
        return Reading(terminal=True, answer=code, key=self.canonical(code) or None)

    def unfinished(self, text: str) -> bool:
        """Return whether a text breaks off inside a fenced block; what looks like LaTeX in a program is none."""
        return in_fence(text)

    def flaw(self, question: str, steps: Sequence[str]) -> str | None:
        """Return that a step repeats an earlier one; lines of code may."""
        return None if any(_FENCE in step for step in steps) else super().flaw(question, steps)

    def claims(self, question: str, steps: Sequence[str]) -> Sequence[str]:
        """Return nothing: what looks like an equation in a program is none."""
        return []

    def program(self, question: str, answer: str) -> str:
        """Return the whole program that an answer amounts to: here the answer itself."""
        return self.canonical(answer)

    def canonical(self, answer: str) -> str:
        """Return a program without space at the ends of its lines and without empty lines around it; of a fenced block, its content."""
        block = _last_block(answer.strip().splitlines())
        lines = answer.splitlines() if block is None else block
        return "\n".join(line.rstrip() for line in lines).strip("\n")


def short_key(answer: str) -> str:
    """Return the vote key of a short answer: lower case, without punctuation, articles and extra space."""
    text = _ARTICLES.sub(" ", _PUNCTUATION.sub("", answer.lower()))
    return " ".join(text.split()) or canonical(answer)


def _last_block(lines: Sequence[str]) -> list[str] | None:
    """Return the lines of the fenced block that ends a text; None if it does not end with one."""
    opened: int | None = None
    block: list[str] | None = None
    for number, line in enumerate(lines):
        text = line.strip()
        if opened is None and text.startswith(_FENCE):
            opened, block = number, None
        elif opened is not None and text == _FENCE:
            opened, block = None, list(lines[opened + 1 : number])
        elif opened is None and text:
            block = None
    return block
