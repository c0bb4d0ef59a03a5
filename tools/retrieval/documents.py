"""Searching the user's own documents by keywords."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from ...graph.errors import UserError
from ..adapters.common import Overrides
from ..base import Call, Tool, ToolReply
from .bm25 import Passage, PassageIndex
from .passages import Library

PathLike = str | os.PathLike[str]
MAX_QUERY = 1_000
"""Longest query, in characters."""


def documents_tool(
    paths: PathLike | Sequence[PathLike],
    *,
    name: str = "search_documents",
    description: str | None = None,
    top: int = 4,
    index: PathLike | None = None,
    **overrides: Unpack[Overrides],
) -> Tool:
    """Return a tool that searches documents by keywords (BM25, see `bm25.py`) and shows the best passages with file and lines.

    Documents are UTF-8 files: text, Markdown, JSON Lines (a record a line), source code. Of folders everything is read but hidden files, links, files that are
    not text and files above 10 MB; the description says how many those are. Nothing outside the given paths is ever read.

    They are read now, once: later changes are seen by the next tool that is made. Equal calls give equal replies, so they are answered from the record.

    Args:
        paths: files and folders.
        name: what a model calls it by.
        description: what a model is told; None says how much there is to search.
        top: passages of a reply at most (≥ 1).
        index: a file that keeps the index from one program to the next; it is made anew when the documents have changed. None is in memory.
        overrides: further fields of `Tool`.

    Raises:
        UserError: if there is nothing to read, a named file is not text, or the index cannot be kept there.
    """
    if top < 1:
        raise UserError(f"a reply of {top} passages says nothing; give top=1 or more")
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    # the operator's own links are followed, those below are not
    library = Library([Path(path).resolve() if Path(path).exists() else Path(path) for path in given])
    if index is None:
        passages = PassageIndex.in_memory(library.passages())
    else:
        for _ in library.texts():
            continue
        passages = PassageIndex.in_file(Path(index), library.digest, library.passages, lambda: library.digest)
    about = description or (
        f"Searches {library.documents:,} documents ({len(passages):,} passages) by keywords{library.left_out} and "
        f"returns the best {top} passages with file and lines. Use words that the passage would have."
    )

    async def run(call: Call) -> ToolReply:
        found = await asyncio.to_thread(passages.search, call.arguments["query"], top)
        return ToolReply(shown([one for one, _ in found]) or "No passage has any of these words.")

    fields: Overrides = {"version": f"{library.digest}.{top}", **overrides}
    return Tool(
        name=name, description=about, parameters=query_schema("keywords"), run=run, effect="pure", **fields
    )


def query_schema(what: str) -> dict[str, object]:
    """Return the schema of a tool that takes one text."""
    query = {"type": "string", "description": what, "minLength": 1, "maxLength": MAX_QUERY}
    return {
        "type": "object",
        "properties": {"query": query},
        "required": ["query"],
        "additionalProperties": False,
    }


def shown(passages: Sequence[Passage]) -> str:
    """Return passages as an agent reads them, each below where it is from."""
    return "\n\n".join(f"[{i}] {_place(one)}\n{one.text}" for i, one in enumerate(passages, start=1))


def _place(passage: Passage) -> str:
    if not passage.first:
        return passage.source
    lines = (
        f"line {passage.first}" if passage.first == passage.last else f"lines {passage.first}-{passage.last}"
    )
    return f"{passage.source}, {lines}"
