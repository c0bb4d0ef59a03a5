r"""MATH and MATH-500: competition problems (Hendrycks et al. 2021, arXiv 2103.03874; the 500 of Lightman et al. 2023, arXiv 2305.20050).

An answer is right if its key (`grading.math_keys`) is the reference's, or if math-verify takes the two for the same value in either direction (`grading.math_pool`).
The first says by the form alone what math-verify would say too, and needs no other process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..graph.errors import UserError
from .base import Verdict
from .families import MathDomain
from .grading.math_keys import math_key
from .grading.math_pool import MathPool, math_pool
from .grading.numbers import marked_answer
from .public import PublicTask
from .sources.entries import Entry, id_of, scalar_of, text_of
from .sources.public import Source

SOURCE = Source(
    task="math",
    splits={
        "train": ("train/", "MATH/train/", "train.jsonl", "math_train.jsonl", "train-*.parquet"),
        "test": ("test/", "MATH/test/", "test.jsonl", "math_test.jsonl", "test-*.parquet"),
        "math500": ("math500.jsonl", "math500_test.jsonl", "test.jsonl"),
    },
    hub="hf:HuggingFaceH4/MATH-500",
    hub_splits={"math500": "test"},
    origin="https://github.com/hendrycks/math (MATH) or https://github.com/openai/prm800k, folder prm800k/math_splits (MATH-500)",
)


class MathTask(PublicTask):
    """Mathematics with its problems and its grader; implements `tasks.base.Task`.

    Args:
        data: what `--data` says.
        pool: who compares values; None is the process's own pool.
    """

    def __init__(self, data: str = "", pool: MathPool | None = None) -> None:
        super().__init__(MathDomain(), SOURCE, data)
        self._pool = pool

    def entry(self, fields: Mapping[str, Any]) -> Entry:
        r"""Return what a row of MATH or MATH-500 says, or one with `question` and `answer`; without an answer it is what the solution has in `\boxed{}`."""
        names = ("question",) if "question" in fields else ("question", "problem")
        answer = scalar_of(fields, "answer")
        if answer is None and (solution := scalar_of(fields, "solution")) is not None:
            answer = marked_answer(solution)
            if answer == solution:
                raise UserError("`solution` has no \\boxed{} answer, and there is no `answer`")
        return Entry(text_of(fields, *names), answer, id_of(fields, "id", "unique_id"))

    def grade(self, question: str, answer: str | None, reference: str | None) -> Verdict | None:
        """Compare values; None without a reference. Raises GradingError if math-verify cannot tell in time."""
        if reference is None:
            return None
        if answer is None:
            return Verdict(False, None, None, "no answer")
        key, extracted = math_key(answer), marked_answer(answer)
        if not extracted.strip():
            return Verdict(False, None, None, "no answer")
        if key == math_key(reference):
            return Verdict(True, extracted, key, "equality of canonical answers")
        pool = self._pool or math_pool()
        return Verdict(pool.equal(marked_answer(reference), extracted), extracted, key, "math-verify")
