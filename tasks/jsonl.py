"""Problems from a file of the user's own: one JSON object a line.

    {"question": "4 5 6 10"}
    {"id": "hard-1", "question": "1 5 5 5", "answer": "5 * (5 - 1 / 5)"}

A file is read whole and every bad line is named before a search starts, so that a long run does not stumble over line 9,000.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from ..graph.errors import UserError
from .base import Item, Task

MAX_SHOWN = 5
"""Bad lines whose reasons are told; of more, the numbers."""

_ID = re.compile(r"\S{1,100}")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line, read."""

    question: str
    answer: str | None
    id: str | None


def read_problems(path: Path, task: Task) -> list[Item]:
    """Return the problems of a JSONL file, in order; empty lines are skipped.

    A line is an object with `question`, and optionally `answer` (the reference, text or number) and `id` (text or number: it tells equal questions
    apart, and the problem's own id starts with it). Other fields are ignored.

    Args:
        path: the file, in UTF-8.
        task: whose questions they are.

    Raises:
        UserError: if the file cannot be read, has no problems, or has bad lines; the message names every one.
    """
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
    except OSError as error:
        raise UserError(
            f"cannot read {str(path)!r} ({error.strerror}); give a JSONL file of problems"
        ) from None
    items: dict[str, Item] = {}
    first: dict[str, int] = {}
    bad: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            item = _item(_entry(line), task)
            if item.problem.id in items:
                known = first[item.problem.id]
                raise UserError(f"the same problem as line {known}; give them different ids or drop one")
        except UserError as error:
            bad.append((number, str(error)))
            continue
        items[item.problem.id] = item
        first[item.problem.id] = number
    if bad:
        raise UserError(_complaint(path, bad))
    if not items:
        raise UserError(f'{str(path)!r} has no problems; write one a line: {{"question": "4 5 6 10"}}')
    return list(items.values())


def _entry(line: bytes) -> _Entry:
    """Read one line; raises UserError."""
    try:
        value: Any = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise UserError("not UTF-8") from None
    except (ValueError, RecursionError):
        raise UserError("not JSON") from None
    if not isinstance(value, dict):
        raise UserError("not a JSON object")
    fields = cast("dict[str, Any]", value)
    question = fields.get("question")
    if not isinstance(question, str):
        raise UserError("`question` is not text" if "question" in fields else "no `question`")
    name = _text(fields, "id")
    if name is not None and not _ID.fullmatch(name):
        raise UserError("`id` is not 1 to 100 characters without spaces")
    return _Entry(question, _text(fields, "answer"), name)


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise UserError(f"`{name}` is neither text nor a number")
    return None if value is None else str(value)


def _item(entry: _Entry, task: Task) -> Item:
    problem = task.problem(entry.question)
    if entry.id is not None:
        problem = replace(problem, id=f"{entry.id}:{problem.id}")
    return Item(problem, entry.answer)


def _complaint(path: Path, bad: list[tuple[int, str]]) -> str:
    count = "1 bad line" if len(bad) == 1 else f"{len(bad)} bad lines"
    told = "; ".join(f"line {number}: {reason}" for number, reason in bad[:MAX_SHOWN])
    more = f"; also lines {_ranges(number for number, _ in bad[MAX_SHOWN:])}" if len(bad) > MAX_SHOWN else ""
    return f"{str(path)!r} has {count}, nothing was started: {told}{more}"


def _ranges(numbers: Iterable[int]) -> str:
    """Return `4-6, 9` for 4, 5, 6, 9."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
