"""GSM8K: grade-school word problems (Cobbe et al. 2021, arXiv 2110.14168); the answer is one number.

The published grader takes the number behind `####`, drops commas and compares texts. A search's answer is what stands behind `Answer:`, so here a number is found like this:
behind `####` if that is there (the published rule); else the whole answer, if it is one number with or without a unit; else its last number (the `flexible-extract` rule
of EleutherAI's lm-evaluation-harness, on the answer line alone). Numbers are compared by value, so `72.0` and `$72` are `72`, which the published grader denies; what it takes
for right is right here too.
"""

from __future__ import annotations

import re

from .base import Verdict
from .families import MathDomain
from .grading.numbers import number_key, single_number
from .public import PublicTask
from .sources.public import Source
from .text import canonical

SOURCE = Source(
    task="gsm8k",
    splits={
        split: (f"{split}.jsonl", f"gsm8k_{split}.jsonl", f"main/{split}-*.parquet", f"{split}-*.parquet")
        for split in ("train", "test")
    },
    hub="hf:openai/gsm8k:main",
    hub_splits={},
    origin="https://github.com/openai/grade-school-math, folder grade_school_math/data",
)

_MARKED = re.compile(r"#### (-?[0-9.,]+)")
_NUMBER = re.compile(r"(?:(?<![\w)])[-\N{MINUS SIGN}])?(?:\d[\d,]*(?:\.\d+)?|\.\d+)")


class Gsm8kDomain(MathDomain):
    """Word problems whose answer is a number."""

    name = "gsm8k"

    def canonical(self, answer: str) -> str:
        """See `gsm8k_key`."""
        return gsm8k_key(answer)


class Gsm8kTask(PublicTask):
    """GSM8K with its problems and its grader; implements `tasks.base.Task`."""

    def __init__(self, data: str = "") -> None:
        super().__init__(Gsm8kDomain(), SOURCE, data)

    def grade(self, question: str, answer: str | None, reference: str | None) -> Verdict | None:
        """Compare numbers by value; None without a reference."""
        if reference is None:
            return None
        wanted = gsm8k_key(reference)
        if answer is None:
            return Verdict(False, None, None, "no answer")
        key = gsm8k_key(answer)
        return Verdict(key == wanted, gsm8k_number(answer), key, f"{wanted} is wanted")


def gsm8k_number(answer: str) -> str | None:
    """Return the number that an answer comes to, as it stands there; None if there is none."""
    marked = _MARKED.search(answer)
    if marked is not None:
        return marked[1].rstrip(".,")
    if single_number(number_key(answer)):
        return answer.strip()
    numbers = _NUMBER.findall(answer)
    return numbers[-1] if numbers else None


def gsm8k_key(answer: str) -> str:
    """Return the vote key: the value of the answer's number; of an answer without one, its text."""
    number = gsm8k_number(answer)
    key = canonical(answer) if number is None else number_key(number)
    return key if single_number(key) or number is None else canonical(number)
