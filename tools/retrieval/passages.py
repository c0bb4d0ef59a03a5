"""Documents cut into passages: what is read of a folder, and where a text may be cut."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from ...graph.errors import UserError
from .bm25 import Passage

LENGTH = 800
"""Longest passage, in characters, the overlap not counted."""
OVERLAP = 120
"""Longest end of a passage that the next one begins with, where a paragraph is cut."""
MAX_BYTES = 10_000_000
"""Largest file that is read."""
_FORMAT = 1
"""Changes when passages are cut otherwise."""

Line = tuple[int, str]
"""A line's number, from 1, and its text, or part of it."""


@dataclass(slots=True)
class Library:
    """Files of text under some folders. Reading it counts what was left out, and hashes what was not.

    Hidden files and folders (`.git`, `.env`) are left out, and so is whatever a link points to, for that may lie outside.

    Args:
        roots: files and folders; a file that is named here is read whatever it is called.

    Raises:
        UserError: if one does not exist.
    """

    roots: Sequence[Path]
    documents: int = 0
    """Read so far, or in the last reading."""
    skipped: Counter[str] = field(default_factory=Counter[str])
    """Files left out, by reason."""
    digest: str = ""
    """Of all that was read, names included; once it was."""

    def __post_init__(self) -> None:
        for root in self.roots:
            if not root.exists():
                raise UserError(f"there is no file or folder {str(root)!r}; name the documents to search")

    def texts(self) -> Iterator[tuple[str, str]]:
        """Read all documents: names relative to their folder, and texts.

        Raises:
            UserError: if a file that was named cannot be read as text, or there is nothing to read.
        """
        self.documents, self.skipped, self.digest = 0, Counter(), ""
        hashed = hashlib.sha256(f"{_FORMAT} {LENGTH} {OVERLAP}".encode())
        for root, path in self._files():
            found = _text(path)
            if isinstance(found, _Unread):
                if path == root:
                    raise UserError(
                        f"{str(path)!r} cannot be searched: it is {found.reason}; convert it to text"
                    )
                self.skipped[found.reason] += 1
                continue
            name = _name(root, path, several=len(self.roots) > 1)
            for part in (name, found):
                content = part.encode()
                hashed.update(len(content).to_bytes(8, "big") + content)
            self.documents += 1
            yield name, found
        if not self.documents:
            raise UserError(
                f"there is no text to search in {', '.join(map(str, self.roots))}{self.left_out}; name UTF-8 files"
            )
        self.digest = hashed.hexdigest()[:32]

    def passages(self) -> Iterator[Passage]:
        """Read all documents and cut them."""
        for name, text in self.texts():
            yield from cut(name, text)

    @property
    def left_out(self) -> str:
        """What the last reading left out, as a remark; "" if nothing."""
        if not self.skipped:
            return ""
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(self.skipped.items()))
        return f" ({self.skipped.total()} files were left out: {counts})"

    def _files(self) -> Iterator[tuple[Path, Path]]:
        """Return files to read with the root that each is from, in an order that depends on their names alone."""
        for root in self.roots:
            if not root.is_dir():
                yield root, root
                continue
            for folder, folders, files in os.walk(root, followlinks=False):
                for name in list(folders):
                    if name.startswith("."):
                        folders.remove(name)
                    elif os.path.islink(os.path.join(folder, name)):
                        folders.remove(name)
                        self.skipped["a link"] += 1
                folders.sort()
                for name in sorted(files):
                    if not name.startswith("."):
                        yield root, Path(folder, name)


@dataclass(frozen=True, slots=True)
class _Unread:
    reason: str


def _text(path: Path) -> str | _Unread:
    """Return a file's text, or why it has none. What was named by the operator may be a link, what was found may not."""
    try:
        if path.is_symlink():
            return _Unread("a link")
        # opened without following or waiting: what was a file may have become a link or a pipe
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                return _Unread("no file")
            if found.st_size > MAX_BYTES:
                return _Unread(f"larger than {MAX_BYTES // 1_000_000} MB")
            content = file.read(MAX_BYTES)
    except OSError:
        return _Unread("not readable")
    if b"\0" in content:
        return _Unread("not text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _Unread("not UTF-8")


def _name(root: Path, path: Path, *, several: bool) -> str:
    relative = Path(root.name) if path == root else path.relative_to(root)
    shown = Path(root.name, relative) if several and path != root else relative
    return " ".join(os.fsencode(shown.as_posix()).decode("utf-8", "replace").split("\n"))


def cut(name: str, text: str) -> Iterator[Passage]:
    """Cut a document into passages at its paragraphs, and longer paragraphs at lines or words; a line of JSON Lines is a passage of its own."""
    lines = text.split("\n")
    if not name.endswith((".jsonl", ".ndjson")):
        yield from (_passage(name, chunk) for chunk in _chunks(_paragraphs(lines)))
        return
    for number, line in enumerate(lines, start=1):
        fields = list(enumerate(_record(line).splitlines()))
        for chunk in _chunks([fields] if fields else []):
            yield replace(_passage(name, chunk), first=number, last=number)


def _paragraphs(lines: Sequence[str]) -> Iterator[list[Line]]:
    """Return paragraphs; headings belong to what follows them."""
    current: list[Line] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            current.append((number, line.rstrip()))
        elif current and not current[-1][1].startswith("#"):
            yield current
            current = []
    if current:
        yield current


def _chunks(paragraphs: Iterable[list[Line]]) -> Iterator[list[Line]]:
    current: list[Line] = []
    for paragraph in paragraphs:
        pieces = [piece for line in paragraph for piece in _pieces(line)]
        size = _size(pieces)
        if current and _size(current) + size > LENGTH:
            yield current
            current = []
        if size <= LENGTH:
            current += pieces
            continue
        for piece in pieces:
            if current and _size([*current, piece]) > LENGTH:
                yield current
                current = [current[-1]] if len(current[-1][1]) <= OVERLAP else []
            current.append(piece)
    if current:
        yield current


def _size(pieces: Sequence[Line]) -> int:
    return sum(len(text) + 1 for _, text in pieces)


def _pieces(line: Line) -> Iterator[Line]:
    """Return a line, cut at spaces where it is too long."""
    number, text = line
    most = LENGTH - OVERLAP - 2
    while len(text) > most:
        space = text.rfind(" ", most // 2, most)
        end = space if space > 0 else most
        yield number, text[:end]
        text = text[end:].lstrip(" ")
    if text:
        yield number, text


def _passage(name: str, pieces: Sequence[Line]) -> Passage:
    text = pieces[0][1]
    for (before, _), (number, piece) in pairwise(pieces):
        text += ("\n\n" if number > before + 1 else "\n" if number > before else " ") + piece
    return Passage(text, name, pieces[0][0], pieces[-1][0])


def _record(line: str) -> str:
    """Return a line of JSON Lines as text, a field a line; any other line as it is."""
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        return line.strip()
    if not isinstance(value, dict):
        return line.strip()
    told: list[str] = []
    for key, one in cast("dict[str, Any]", value).items():
        told.append(f"{key}: {one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)}")
    return "\n".join(told).encode("utf-8", "replace").decode()
