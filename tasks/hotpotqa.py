"""HotpotQA: questions over two paragraphs (Yang et al. 2018, arXiv 1809.09600); right is the official exact match, and F1 is told beside it.

Where a row has paragraphs (`context`), as in the distractor setting, they are part of the question; without them the question stands alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ..graph.errors import UserError
from .base import Verdict
from .families import MultihopDomain
from .grading.short_answers import exact_match, f1_score, normalised
from .public import PublicTask
from .sources.entries import Entry, id_of, scalar_of, text_of
from .sources.public import Source
from .text import canonical

SOURCE = Source(
    task="hotpotqa",
    splits={
        "train": ("hotpot_train_v1.1.json", "train-*.parquet"),
        "dev": ("hotpot_dev_distractor_v1.json", "validation-*.parquet"),
        "dev_fullwiki": ("hotpot_dev_fullwiki_v1.json", "fullwiki/validation-*.parquet"),
    },
    hub="hf:hotpotqa/hotpot_qa:distractor",
    hub_splits={"dev": "validation", "dev_fullwiki": "validation"},
    origin="https://hotpotqa.github.io",
)


class HotpotDomain(MultihopDomain):
    """Questions whose short answers are compared as HotpotQA does."""

    name = "hotpotqa"

    def canonical(self, answer: str) -> str:
        """Return the normalised answer (`grading.short_answers`); of one that it leaves nothing of, the text."""
        return normalised(answer) or canonical(answer)


class HotpotTask(PublicTask):
    """HotpotQA with its problems and its grader; implements `tasks.base.Task`."""

    def __init__(self, data: str = "") -> None:
        super().__init__(HotpotDomain(), SOURCE, data)

    def entry(self, fields: Mapping[str, Any]) -> Entry:
        """Return a row's question with its paragraphs, its answer and its id."""
        question = text_of(fields, "question").strip()
        paragraphs = _paragraphs(fields.get("context"))
        if question and paragraphs:
            question = "\n".join((question, "Paragraphs:", *paragraphs))
        return Entry(question, scalar_of(fields, "answer"), id_of(fields, "_id", "id"))

    def grade(self, question: str, answer: str | None, reference: str | None) -> Verdict | None:
        """Return the official exact match with F1 as the score; None without a reference."""
        if reference is None:
            return None
        if answer is None:
            return Verdict(False, None, None, "no answer", 0.0)
        f1 = f1_score(answer, reference)
        right = exact_match(answer, reference)
        return Verdict(right, answer, self._domain.canonical(answer), f"F1 {f1:.3f}", f1)


def _paragraphs(context: Any) -> list[str]:
    """Return the paragraphs of a context as lines, `Title: text`: pairs as published, or the two lists of the hub. Raises UserError."""
    if isinstance(context, Mapping):
        columns = cast("Mapping[str, Any]", context)
        context = list(zip(columns.get("title", ()), columns.get("sentences", ()), strict=False))
    try:
        pairs = [(str(title), [str(s) for s in sentences]) for title, sentences in context or ()]
    except (TypeError, ValueError):
        raise UserError("`context` is not a list of [title, [sentences]]") from None
    return [f"{title}: {' '.join(''.join(sentences).split())}" for title, sentences in pairs]
