"""Where the files of a public set are looked for, by split.

--data FILE      that file
--data FOLDER    the set's own file names in FOLDER and FOLDER/TASK
--data hf:NAME   a Hugging Face dataset, or hf:./FOLDER with its files
nothing          like FOLDER, in $THOUGHTGRAPH_DATA; there a name such as test.jsonl, which could be any set's, counts in TASK only
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from ...graph.errors import UserError
from .hub import PREFIX, absolute_name, hub_rows
from .rows import SAVED, Row, read_rows

VARIABLE = "THOUGHTGRAPH_DATA"

_SPLIT_WORDS = frozenset({"train", "dev", "val", "validation", "test"})


@dataclass(frozen=True, slots=True)
class Source:
    """A public set: its splits, and the names under which it is published."""

    task: str
    splits: Mapping[str, Sequence[str]]
    """Names or patterns of the files of each split, official ones; several files that match one pattern are its parts. A name that ends in `/` is a folder with a
    JSON file a problem."""
    hub: str
    """Name on the Hugging Face hub, as `--data` takes it; FOLDER for a set that is not there."""
    hub_splits: Mapping[str, str]
    """Names of splits there, where they differ."""
    origin: str
    """Where the files come from."""

    def rows(self, split: str, data: str = "") -> Iterator[Row]:
        """Yield the rows of a split.

        Args:
            split: one of `splits`.
            data: what `--data` says; "" for the usual place.

        Raises:
            UserError: for an unknown split, or if there is no such file; the message says what to give.
        """
        self.check_split(split, data)
        if data.startswith(PREFIX):
            return _named(data, hub_rows(data, self.hub_splits.get(split, split)))
        if not data:
            return self._found(split, _usual())
        path = Path(data).expanduser()
        if not path.exists():
            kinds = f"a file, a folder or {self.hub}" if self._on_hub else "a file or a folder"
            raise UserError(f"there is no {data!r}; give --data {kinds}")
        if path.is_file():
            self._check_name(path, split)
            return _named(str(path), read_rows(path))
        if any((path / name).is_file() for name in SAVED):
            return _named(str(path), read_rows(path, self.hub_splits.get(split, split)))
        return self._found(split, path)

    @property
    def _on_hub(self) -> bool:
        return self.hub.startswith(PREFIX)

    def check_split(self, split: str, data: str = "") -> None:
        """Raise UserError if there is no such split; where `--data` said nothing, the message tells of files too."""
        if split not in self.splits:
            own = "" if data else f", or a file: thoughtgraph run FILE --task {self.task}"
            raise UserError(
                f"{self.task} has no split {split!r}; give --split {' or '.join(self.splits)}{own}"
            )

    def _check_name(self, path: Path, split: str) -> None:
        """Refuse a file that says by its name that it is of another split."""
        said = _SPLIT_WORDS & set(re.split(r"[\W_\d]+", path.name.lower()))
        if said and not said & {*re.split(r"[\W_\d]+", split), self.hub_splits.get(split, split)}:
            fits = [name for name in self.splits if said & {name, self.hub_splits.get(name, name)}]
            raise UserError(
                f"{path.name} is {' and '.join(sorted(said))} by its name, not {split}; "
                f"give --split{''.join(f' {name}' for name in fits[:1])}, or the split's own file"
            )

    def _found(self, split: str, folder: Path | None) -> Iterator[Row]:
        there = [name for name in self.splits if folder is not None and self._files(name, folder)]
        if folder is None or split not in there:
            has = f"; it has --split {' or '.join(there)}" if there else ""
            where = f"{str(folder)!r} has no" if folder else f"{VARIABLE} is not set, so there is no"
            names = " or ".join(name for name in self.splits[split][:2])
            raise UserError(
                f"{where} {names} for {self.task}'s split {split!r}{has}; get it from {self.origin}, and give --data FILE or FOLDER"
                + (f", or give --data {self.hub}" if self._on_hub else "")
            )
        return chain.from_iterable(map(_rows, self._files(split, folder)))

    def _files(self, split: str, folder: Path) -> list[Path]:
        for place in (folder / self.task, folder):
            for pattern in self.splits[split]:
                if place == _usual() and re.split(r"\W", pattern)[0] in _SPLIT_WORDS:
                    continue
                found = sorted(place.glob(pattern.rstrip("/")))
                found = [p for p in found if p.is_dir() == pattern.endswith("/")]
                if found:
                    return found
        return []


def given_data(data: str | None) -> str:
    """Return what `--data` says as it is recorded with a run: paths absolute; "" where it only says what $THOUGHTGRAPH_DATA does, which is looked at anyway."""
    if not data or data == os.environ.get(VARIABLE):
        return ""
    if data.startswith(PREFIX):
        return absolute_name(data)
    if "://" in data:
        return data
    return str(Path(data).expanduser().absolute())


def _usual() -> Path | None:
    folder = os.environ.get(VARIABLE)
    return Path(folder).expanduser() if folder else None


def _named(source: str, rows: Iterator[Row]) -> Iterator[Row]:
    return (replace(row, file=source) for row in rows)


def _rows(path: Path) -> Iterator[Row]:
    return _folder(path) if path.is_dir() else _named(str(path), read_rows(path))


def _folder(path: Path) -> Iterator[Row]:
    """Yield what each JSON file of a folder holds, with an id made of its place, as MATH-500 has it."""
    files = sorted(path.rglob("*.json"), key=lambda file: (file.parent.name, len(file.name), file.name))
    for number, file in enumerate(files, start=1):
        name = "/".join((path.name, *file.relative_to(path).parts))
        for row in read_rows(file):
            yield Row("file", number, {"unique_id": name, **row.fields}, row.fault, str(file))
