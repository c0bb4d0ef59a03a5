"""Tasks whose problems are public sets: loaded from the published files, graded by the set's own measure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..graph.errors import UserError
from .base import Item
from .sources.entries import Entry, plain_entry, read_items
from .sources.public import Source
from .sources.rows import Row
from .text import TextDomain, TextTask


class PublicTask(TextTask):
    """A public set; implements `tasks.base.Task`.

    Args:
        domain: what the search may know.
        source: where the files are.
        data: what `--data` says, see `sources.public`; "" for the usual place.
    """

    reference_column = "answer"
    """Where rows have the reference; `load` refuses a row without it, since it could never be graded."""

    def __init__(self, domain: TextDomain, source: Source, data: str = "") -> None:
        super().__init__(domain)
        self.source = source
        self.data = data

    def load(self, split: str, limit: int | None = None) -> Iterator[Item]:
        """Yield the problems of a split, in the order of its file.

        Raises:
            UserError: at once, for a split that is not there, a missing or malformed file, or a limit below 1.
        """
        if limit is not None and limit < 1:
            raise UserError(f"a limit of {limit} problems leaves none; give 1 or more")
        name = f"{self.name}, split {split}"  # of bad rows the file is told, see `Row.file`
        return iter(read_items(self.rows(split), self, name=name, limit=limit, public=True, data=self.data))

    def rows(self, split: str) -> Iterator[Row]:
        """Yield the rows of a split; raises UserError."""
        return self.source.rows(split, self.data)

    def entry(self, fields: Mapping[str, Any]) -> Entry:
        """Return what a row says, in the columns of the published files; raises UserError."""
        return plain_entry(fields)
