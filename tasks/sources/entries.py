"""From rows to problems: what columns are called, which are missing, and every bad row named before anything starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...graph.errors import UnknownNameError, UserError
from ..base import Item, Task
from .rows import Row

MAX_SHOWN = 5
"""Bad rows whose reasons are told; of more, the numbers."""

_ID = re.compile(r"\S{1,100}")

_LIKELY = {
    "question": ("problem", "prompt", "input", "query", "text", "instruction"),
    "answer": ("solution", "output", "target", "label", "response"),
}
"""Names under which a column often goes."""

_PLAIN = ("question", "answer", "id")
_OF_TASKS = {
    "hotpotqa": ("_id", "context"),
    "humaneval": ("prompt", "test", "entry_point", "task_id"),
    "math": ("problem", "solution", "unique_id"),
    "mbpp": ("text", "prompt", "test_list", "test_imports", "test_setup_code", "task_id"),
    "text2sql": ("query", "SQL", "db_id", "evidence", "question_id"),
}
"""Further columns that the `entry` of a task reads."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a row says."""

    question: str
    answer: str | None = None
    """The reference."""
    id: str | None = None


class MissingColumnError(UserError):
    """A row lacks a column.

    Args:
        name: what it is called here.
        given: what the user said that it is called in the rows.
    """

    def __init__(self, name: str, given: str | None = None) -> None:
        super().__init__(f"no `{given or name}`")
        self.name = name


ReadEntry = Callable[[Mapping[str, Any]], Entry]


def plain_entry(fields: Mapping[str, Any]) -> Entry:
    """Return what `question`, and optionally `answer` and `id`, say; raises UserError."""
    return Entry(text_of(fields, "question"), scalar_of(fields, "answer"), id_of(fields, "id"))


def reader(task: Task) -> ReadEntry:
    """Return how a task's rows are read: its own way, `task.entry`, or the plain one."""
    return getattr(task, "entry", plain_entry)


def text_of(fields: Mapping[str, Any], *names: str) -> str:
    """Return the text of the first of these columns that is there; raises UserError, naming the first."""
    for name in names:
        if name in fields:
            if not isinstance(fields[name], str):
                raise UserError(f"`{name}` is not text")
            return fields[name]
    raise MissingColumnError(names[0])


def scalar_of(fields: Mapping[str, Any], name: str) -> str | None:
    """Return a column that is text or a number, as text; None if it is missing or null. Raises UserError."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise UserError(f"`{name}` is neither text nor a number")
    return None if value is None else str(value)


def id_of(fields: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of these columns that is there, as an id; raises UserError."""
    for name in names:
        value = scalar_of(fields, name)
        if value is not None:
            if not _ID.fullmatch(value):
                raise UserError(f"`{name}` is not 1 to 100 characters without spaces")
            return value
    return None


def texts_of(fields: Mapping[str, Any], name: str) -> list[str]:
    """Return a column that is a list of texts; empty if it is missing or null. Raises UserError."""
    value: Any = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):  # pyright: ignore[reportUnknownVariableType]
        raise UserError(f"`{name}` is not a list of texts")
    return value  # pyright: ignore[reportUnknownVariableType]


def renamed(fields: Mapping[str, Any], columns: Mapping[str, str]) -> Mapping[str, Any]:
    """Return fields with the columns that the user named under the names they go by here.

    Raises:
        MissingColumnError: if a column that the user named is not there.
    """
    for want, have in columns.items():
        if have not in fields:
            raise MissingColumnError(want, have)
    return {**fields, **{want: fields[have] for want, have in columns.items()}} if columns else fields


def check_columns(columns: Iterable[str], task: Task) -> None:
    """Raise UserError for a name that a task's rows are not read by: a misspelt one would be ignored."""
    known = {*_PLAIN, *_OF_TASKS.get(task.name, ())}
    for name in columns:
        if name not in known:
            raise UnknownNameError("left-hand name of --column", name, known)


def read_items(
    rows: Iterable[Row],
    task: Task,
    *,
    name: str,
    columns: Mapping[str, str] | None = None,
    limit: int | None = None,
    public: bool = False,
    data: str = "",
) -> list[Item]:
    """Return the problems that rows hold, in order.

    Args:
        rows: of a file or dataset; read to the end, or until `limit` problems are there.
        task: whose problems they are.
        name: what the source is called in messages.
        columns: what the columns are called in these rows, by what they are called here.
        limit: problems at most.
        public: whether it is a public set: equal problems may come again, for such sets need not have ids, and get ids of their own; each must have a reference.
        data: what `--data` says, told where there is no row to tell the file by.

    Raises:
        UserError: if there is no problem, a row is bad, or a name in `columns` is unknown; the message names every bad row.
    """
    check_columns(columns or (), task)
    items: dict[str, Item] = {}
    first: dict[str, str] = {}
    bad: list[tuple[Row, UserError]] = []
    read = reader(task)
    for row in rows:
        if limit is not None and len(items) >= limit:
            break
        try:
            if row.fault is not None:
                raise UserError(row.fault)
            item = _item(read(renamed(row.fields, columns or {})), task)
            if public and item.reference is None:
                raise MissingColumnError(getattr(task, "reference_column", "answer"))
            if item.problem.id in items:
                if not public:
                    raise UserError(
                        f"the same problem as {first[item.problem.id]}; give them different ids or drop one"
                    )
                item = _again(item, items)
        except UserError as error:
            bad.append((row, error))
            continue
        items[item.problem.id] = item
        first[item.problem.id] = f"{row.where} {row.number}"
    if bad:
        raise UserError(_complaint(name, bad))
    if not items:
        where = f"{data!r} ({name})" if data else f"{name!r}"
        raise UserError(f'{where} has no problems; write one a line: {{"question": "4 5 6 10"}}')
    return list(items.values())


def _item(entry: Entry, task: Task) -> Item:
    problem = task.problem(entry.question)
    if entry.id is not None:
        problem = replace(problem, id=f"{entry.id}:{problem.id}")
    return Item(problem, entry.answer)


def _again(item: Item, items: Mapping[str, Item]) -> Item:
    """Return an item under an id that is free."""
    count = 2
    while (name := f"{count}:{item.problem.id}") in items:
        count += 1
    return replace(item, problem=replace(item.problem, id=name))


def _complaint(name: str, bad: list[tuple[Row, UserError]]) -> str:
    where = bad[0][0].where
    count = f"1 bad {where}" if len(bad) == 1 else f"{len(bad)} bad {where}s"
    files = {row.file for row, _ in bad}
    if len(files) > 1:  # a number alone does not tell which of the files it is in
        told = "; ".join(f"{row.file}, {row.where} {row.number}: {reason}" for row, reason in bad[:MAX_SHOWN])
        rest = f"{len(bad) - MAX_SHOWN} more" if len(bad) > MAX_SHOWN else ""
    else:
        told = "; ".join(f"{row.where} {row.number}: {reason}" for row, reason in bad[:MAX_SHOWN])
        rest = _ranges(row.number for row, _ in bad[MAX_SHOWN:])
        rest = f"{where}s {rest}" if rest else ""
    file = files.pop() if len(files) == 1 else ""
    source = f"{file!r} ({name})" if file and file != name else f"{name!r}"
    more = f"; also {rest}" if rest else ""
    return f"{source} has {count}, nothing was started: {told}{more}{_remedy(bad)}"


def _remedy(bad: list[tuple[Row, UserError]]) -> str:
    """Return which columns there are and which flag names the missing one; "" if none is missing."""
    for row, error in bad:
        if isinstance(error, MissingColumnError):
            there = [column for column in row.fields if column]
            likely = next((c for c in _LIKELY.get(error.name, ()) if c in there), "NAME")
            columns = ", ".join(there) or "none"
            return f"; {row.where} {row.number} has the columns: {columns}; say which it is, such as --column {error.name}={likely}"
    return ""


def _ranges(numbers: Iterator[int]) -> str:
    """Return `4-6, 9` for 4, 5, 6, 9."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
