"""Problems that were solved before, as worked examples for one that is alike."""

from __future__ import annotations

import asyncio
import threading
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Unpack

from ...graph.errors import UserError
from ..adapters.common import Overrides
from ..base import Call, Tool, ToolReply
from .bm25 import Passage, PassageIndex
from .documents import query_schema


@dataclass(frozen=True, slots=True)
class SolvedExample:
    """A problem with a solution that was graded right."""

    question: str
    steps: tuple[str, ...]
    """The steps of the solution, in order."""
    answer: str


def solved_examples_tool(
    examples: Callable[[], Iterable[SolvedExample]],
    *,
    name: str = "similar_problems",
    description: str = "Shows solved problems that are like a question, with their steps and answers.",
    top: int = 3,
    **overrides: Unpack[Overrides],
) -> Tool:
    """Return a tool that shows solved problems whose questions are most like a query (BM25, see `bm25.py`).

    Whose examples they may be is up to who gives them (`storage.solved.solved_examples` leaves out everything that is evaluated on). On top of that, an example
    whose question is the one that is being solved, or that is asked for word by word, is never shown.

    Args:
        examples: gives them; called once, at the first call, in a thread.
        name: what a model calls it by.
        description: what a model is told.
        top: examples of a reply at most (≥ 1).
        overrides: further fields of `Tool`.

    Raises:
        UserError: if `top` is below 1.
    """
    if top < 1:
        raise UserError(f"a reply of {top} examples says nothing; give top=1 or more")
    shelf = _Shelf(examples)

    async def run(call: Call) -> ToolReply:
        query = call.arguments["query"]
        hidden = {same_text(query), same_text(call.question)}
        found = await asyncio.to_thread(shelf.search, query, top, hidden)
        text = "\n\n".join(f"[{i}] {_written(one)}" for i, one in enumerate(found, start=1))
        return ToolReply(text or "No solved problem is like it.")

    fields: Overrides = {"scoped": True, **overrides}
    return Tool(
        name=name,
        description=description,
        parameters=query_schema("the question, or words of it"),
        run=run,
        effect="idempotent",  # another process may have more examples
        **fields,
    )


def same_text(question: str) -> str:
    """Return a form of a question that is the same for questions that differ in case, accents' spelling, spaces or a final mark only."""
    folded = unicodedata.normalize("NFKC", question).casefold()
    return " ".join(folded.split()).rstrip(" .?!:")


class _Shelf:
    """Examples, read and indexed at the first search."""

    def __init__(self, examples: Callable[[], Iterable[SolvedExample]]) -> None:
        self._examples = examples
        self._read: list[SolvedExample] = []
        self._index: PassageIndex | None = None
        self._lock = threading.Lock()

    def search(self, query: str, top: int, hidden: set[str]) -> list[SolvedExample]:
        with self._lock:
            if self._index is None:
                self._index = self._fill()
        # the hidden ones are among the best, so more are asked for
        found = self._index.search(query, top + len(hidden))
        examples = [self._read[int(passage.source)] for passage, _ in found]
        return [one for one in examples if same_text(one.question) not in hidden][:top]

    def _fill(self) -> PassageIndex:
        known: dict[str, SolvedExample] = {}
        for example in self._examples():
            known.setdefault(same_text(example.question), example)
        self._read = list(known.values())
        questions = (one.question.encode("utf-8", "replace").decode() for one in self._read)
        return PassageIndex.in_memory(Passage(text, str(i)) for i, text in enumerate(questions))


def _written(example: SolvedExample) -> str:
    """Return an example as text; its answer once, though the last step may say it already."""
    last = example.steps[-1].strip().casefold() if example.steps else ""
    said = last.startswith(("answer:", "final answer:")) and last.endswith(example.answer.casefold())
    return "\n".join(
        (f"Question: {example.question}", *example.steps, *(() if said else (f"Answer: {example.answer}",)))
    )
