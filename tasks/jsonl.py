"""Problems from a file of the user's own: one JSON object a line.

    {"question": "4 5 6 10"}
    {"id": "hard-1", "question": "1 5 5 5", "answer": "5 * (5 - 1 / 5)"}

A file is read whole and every bad line is named before a search starts, so that a long run does not stumble over line 9,000. JSON arrays, CSV and Parquet are
read alike, and so are Hugging Face datasets.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .base import Item, Task
from .sources.entries import read_items
from .sources.hub import PREFIX, hub_rows
from .sources.rows import read_rows


def read_problems(
    path: Path, task: Task, columns: Mapping[str, str] | None = None, split: str | None = None
) -> list[Item]:
    """Return the problems of a file, in order; empty lines are skipped.

    A line is an object with `question`, and optionally `answer` (the reference, text or number) and `id` (text or number: it tells equal questions
    apart, and the problem's own id starts with it). Other fields are ignored. A task of a public set reads the columns of that set instead.

    Args:
        path: the file, in UTF-8.
        task: whose questions they are.
        columns: what columns are called in the file, by what they are called here, such as `{"question": "problem"}`.
        split: which split of a saved dataset that has several.

    Raises:
        UserError: if the file cannot be read, has no problems, or has bad lines; the message names every one.
    """
    return read_items(read_rows(path, split), task, name=str(path), columns=columns)


def read_source(source: str, task: Task, split: str, columns: Mapping[str, str] | None = None) -> list[Item]:
    """Return the problems of what stands behind `file:`: a path, or `hf:NAME`, whose `split` is read.

    Raises:
        UserError: like `read_problems`, and if a dataset cannot be had.
    """
    if source.startswith(PREFIX):
        return read_items(hub_rows(source, split), task, name=source, columns=columns)
    return read_problems(Path(source).expanduser(), task, columns, split)
