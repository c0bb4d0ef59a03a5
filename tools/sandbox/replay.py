"""Which snippets of a path are run again: all but those that hit a limit or ended their process, for these are as if they had never been run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

_MOST = 10_000
"""Paths that are remembered; one that is forgotten is found out again, at the price of its limit."""


class Spoilt:
    """Remembers which snippet, after which others, is not worth another try."""

    def __init__(self) -> None:
        self._paths: dict[bytes, None] = {}

    def worth(self, earlier: Sequence[str]) -> list[str]:
        """Return the snippets without those that are known not to come to their end."""
        kept: list[str] = []
        for snippet in earlier:
            if _digest([*kept, snippet]) not in self._paths:
                kept.append(snippet)
        return kept

    def remember(self, path: Sequence[str]) -> None:
        """Remember that the last of these snippets does not come to its end after the others."""
        self._paths[_digest(path)] = None
        if len(self._paths) > _MOST:
            del self._paths[next(iter(self._paths))]


def _digest(snippets: Sequence[str]) -> bytes:
    return hashlib.sha256(repr(list(snippets)).encode("utf-8", "backslashreplace")).digest()
