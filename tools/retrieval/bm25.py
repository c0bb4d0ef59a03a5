"""Ranking of short passages of text by keywords: Okapi BM25 on SQLite FTS5, in memory or in a file.

A passage's score is the sum over the query's words of

    ln((N - n + 0.5) / (n + 0.5)) · f (k1 + 1) / (f + k1 (1 - b + b · length / mean length)),    k1 = 1.2, b = 0.75

with N passages, n of them with the word, f times in this one; where more than half have the word, the logarithm counts as 1e-6 (so FTS5's `bm25`; Robertson and
Zaragoza, "The Probabilistic Relevance Framework", 2009, §3). In an index of
more than 1,000 passages such words are not looked for at all, unless there are no others: they decide nothing and cost most. Words are compared by their stems (Porter) without case and accents. A text without
spaces, such as Chinese, is one word to it.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ...graph.errors import ToolError, UserError

MAX_WORDS = 64
"""Words of a query that are looked for; further ones are ignored."""
_MANY = 1_000
"""Passages from which on words that most of them have are not looked for."""
_REMEMBERED = 10_000
"""Words of which it is remembered how common they are."""
_FORMAT = 1
_APPLICATION = 0x54475049
"""Marks a file as an index of ours, so that nobody else's is overwritten."""

_WORD = re.compile(r"[^\W_]+")
_SCHEMA = f"""
pragma application_id = {_APPLICATION};
pragma user_version = {_FORMAT};
create table digest (value text not null);
create table passage (id integer primary key, text text not null, source text not null, first integer not null, last integer not null);
create virtual table words using fts5 (text, content = 'passage', content_rowid = 'id', tokenize = 'porter unicode61 remove_diacritics 2');
"""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text, and where it is from."""

    text: str
    source: str = ""
    first: int = 0
    """Number of its first line in the source, from 1; 0 where that means nothing."""
    last: int = 0


class PassageIndex:
    """Passages that can be searched, from any thread. Made by `in_memory` or `in_file`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._size: int = connection.execute("select count(*) from passage").fetchone()[0]
        self._common: dict[str, bool] = {}
        """Whether most passages have a word, of those that were asked for."""

    @classmethod
    def in_memory(cls, passages: Iterable[Passage]) -> PassageIndex:
        """Index passages; the index is gone with the object."""
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        try:
            _fill(connection, passages, lambda: "")
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    @classmethod
    def in_file(
        cls, path: Path, digest: str, passages: Callable[[], Iterable[Passage]], made: Callable[[], str]
    ) -> PassageIndex:
        """Open the index in a file, made anew if it is not of this digest.

        Args:
            path: the file; other processes may use it at the same time.
            digest: what the passages have to be made of.
            passages: gives them, if they are needed.
            made: the digest of what was given, once all of it was.

        Raises:
            UserError: if the file is something else, or cannot be written.
        """
        if not _holds(path, digest):
            part = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.part")
            try:
                part.unlink(missing_ok=True)
                connection = sqlite3.connect(part)
                try:
                    _fill(connection, passages(), made)
                finally:
                    connection.close()
                os.replace(part, path)
            except (OSError, sqlite3.OperationalError) as error:
                raise UserError(
                    f"cannot write the index {str(path)!r} ({error}); name another file"
                ) from None
            finally:
                part.unlink(missing_ok=True)
        return cls(sqlite3.connect(_read_only(path), uri=True, check_same_thread=False))

    def __len__(self) -> int:
        return self._size

    def __del__(self) -> None:
        self._connection.close()

    def search(self, query: str, top: int) -> list[tuple[Passage, float]]:
        """Return the best passages with any of the query's words, and their scores (> 0), best first; equal ones in their order.

        The query is taken for words only: nothing in it is an operator or names a column.

        Raises:
            ToolError: if there are no words in it.
        """
        words = words_of(query)
        if not words:
            raise ToolError("there are no words to search for; write some that the passage would have")
        columns = "select text, source, first, last, -score from passage join"
        found = "(select rowid as id, bm25(words) as score from words where words match ? order by score, rowid limit ?)"
        with self._lock:
            asked = " OR ".join(f'"{word}"' for word in self._telling(words))
            rows = self._connection.execute(
                f"{columns} {found} using (id) order by score, id", (asked, top)
            ).fetchall()
        return [(Passage(*row[:4]), row[4]) for row in rows]

    def _telling(self, words: list[str]) -> list[str]:
        """Return the words that tell passages apart, or all if none does."""
        if self._size <= _MANY:
            return words
        if len(self._common) >= _REMEMBERED:
            self._common.clear()
        for word in words:
            if word not in self._common:
                count = "select count(*) from words where words match ?"
                having: int = self._connection.execute(count, (f'"{word}"',)).fetchone()[0]
                self._common[word] = having > self._size / 2
        return [word for word in words if not self._common[word]] or words


def words_of(query: str) -> list[str]:
    """Return the different words of a query, in order."""
    found = _WORD.findall(unicodedata.normalize("NFC", query).lower())
    return list(dict.fromkeys(found))[:MAX_WORDS]


def _fill(connection: sqlite3.Connection, passages: Iterable[Passage], made: Callable[[], str]) -> None:
    try:
        connection.executescript(_SCHEMA)
    except sqlite3.OperationalError as error:
        if "fts5" not in str(error):
            raise
        raise UserError("this Python's SQLite has no FTS5; use one that has, such as python.org's") from None
    with connection:
        rows = ((one.text, one.source, one.first, one.last) for one in passages)
        connection.executemany("insert into passage (text, source, first, last) values (?, ?, ?, ?)", rows)
        connection.execute("insert into words (words) values ('rebuild')")
        connection.execute("insert into digest values (?)", (made(),))


def _holds(path: Path, digest: str) -> bool:
    """Return whether a file is an index of this digest; raises UserError if it is no index at all."""
    if not path.exists():
        return False
    try:
        connection = sqlite3.connect(_read_only(path), uri=True)
        try:
            if connection.execute("pragma application_id").fetchone()[0] != _APPLICATION:
                raise UserError(f"{str(path)!r} is not an index of documents; name another file for it")
            if connection.execute("pragma user_version").fetchone()[0] != _FORMAT:
                return False
            connection.execute("select count(*) from passage").fetchone()
            return connection.execute("select value from digest").fetchone() == (digest,)
        finally:
            connection.close()
    except sqlite3.DatabaseError:
        raise UserError(f"{str(path)!r} is not an index of documents; name another file for it") from None


def _read_only(path: Path) -> str:
    return f"{path.absolute().as_uri()}?mode=ro"
