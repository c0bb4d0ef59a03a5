"""Rows of files that hold problems, each with where it stands: JSON Lines, JSON arrays, CSV, Parquet, and datasets saved by `datasets`."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ...graph.errors import UserError

INSTALL = "pip install 'thoughtgraph[hub]'"

SAVED = ("dataset_info.json", "dataset_dict.json")
"""Files that tell a folder written by `datasets`' save_to_disk."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row, or what is wrong with it."""

    where: str
    """What it is called in its source: line, item or row."""
    number: int
    """≥ 1."""
    fields: Mapping[str, Any]
    fault: str | None = None
    """Why it cannot be read; then it has no fields."""
    file: str = ""
    """Which file or dataset of a public set it is in; "" if the reader of the message named it."""


def read_rows(path: Path, split: str | None = None) -> Iterator[Row]:
    """Yield the rows of a file, or of a dataset's folder, in order; a bad row is yielded with its fault.

    What a file holds follows from its ending: .csv, .parquet, and anything else is JSON, an array or an object a line; .gz behind it is unpacked.

    Args:
        path: the file or folder.
        split: which split of a folder that holds several.

    Raises:
        UserError: if it cannot be read at all.
    """
    if path.is_dir():
        yield from _saved(path, split)
        return
    kind = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    if kind == "parquet":
        yield from _parquet(path)
        return
    content = _bytes(path).removeprefix(b"\xef\xbb\xbf")
    if kind == "csv":
        yield from _csv(path, content)
    elif content.lstrip()[:1] == b"[" and kind == "json":
        yield from _array(path, content)
    else:
        yield from _lines(content)


def _bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise UserError(f"{str(path)!r} is no gzip file; unpack it, or download it again") from None
    except OSError as error:
        raise UserError(
            f"cannot read {str(path)!r} ({error.strerror}); give a JSONL file of problems"
        ) from None


def _lines(content: bytes) -> Iterator[Row]:
    for number, line in enumerate(content.splitlines(), start=1):
        if line.strip():
            yield _line(number, line)


def _line(number: int, line: bytes) -> Row:
    try:
        value: Any = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return Row("line", number, {}, "not UTF-8")
    except (ValueError, RecursionError):
        return Row("line", number, {}, "not JSON")
    return _object("line", number, value)


def _array(path: Path, content: bytes) -> Iterator[Row]:
    """Yield the objects of a JSON array, numbered: many such files have all on one line."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{str(path)!r} is not UTF-8; save it so") from None
    decoder, at, number = json.JSONDecoder(), text.index("[") + 1, 1
    while (at := _skipped(text, at)) < len(text) and text[at] != "]":
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            line = text.count("\n", 0, at) + 1
            yield Row("item", number, {}, f"not JSON from here on, line {line} of the file")
            return
        yield _object("item", number, value)
        at, number = end, number + 1
    if at >= len(text):
        yield Row("item", number, {}, "not JSON: the array does not end")


def _skipped(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n,":
        at += 1
    return at


def _object(where: str, number: int, value: Any) -> Row:
    if not isinstance(value, dict):
        return Row(where, number, {}, "not a JSON object")
    return Row(where, number, cast("dict[str, Any]", value))


def _csv(path: Path, content: bytes) -> Iterator[Row]:
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
        for row in reader:
            fields: dict[Any, Any] = dict(row)
            if None in fields or None in fields.values():
                yield Row("line", reader.line_num, {}, "as many columns as the first line has are wanted")
            else:
                yield Row("line", reader.line_num, fields)
    except UnicodeDecodeError:
        raise UserError(f"{str(path)!r} is not UTF-8; save it so") from None
    except csv.Error as error:
        raise UserError(f"{str(path)!r} is no CSV file ({error}); write a header and quote texts") from None


def _parquet(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import parquet  # pyright: ignore[reportMissingTypeStubs]
    except ModuleNotFoundError:
        raise UserError(f"{str(path)!r} needs pyarrow: {INSTALL}") from None
    try:
        rows: list[dict[str, Any]] = cast("Any", parquet).read_table(path).to_pylist()
    except Exception as error:  # noqa: BLE001 - pyarrow has many
        raise UserError(f"{str(path)!r} is no Parquet file ({_first_line(error)})") from None
    for number, fields in enumerate(rows, start=1):
        yield Row("row", number, fields)


def _saved(path: Path, split: str | None) -> Iterator[Row]:
    """Yield the rows of a folder that `datasets` saved."""
    dataset = _load_saved(path)
    if isinstance(dataset, dict):  # several splits
        splits = cast("dict[str, Any]", dataset)
        if split not in splits:
            raise UserError(f"{str(path)!r} has no split {split!r}; it has {', '.join(splits)}: give --split")
        dataset = splits[split]
    for number, fields in enumerate(dataset, start=1):
        yield Row("row", number, fields)


def _load_saved(path: Path) -> Any:
    if not any((path / name).is_file() for name in SAVED):
        raise UserError(
            f"{str(path)!r} is a folder but no saved dataset; give a file, or a folder that datasets' save_to_disk wrote"
        )
    try:
        from datasets import load_from_disk  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
    except ModuleNotFoundError:
        raise UserError(f"{str(path)!r} needs datasets: {INSTALL}") from None
    try:
        return load_from_disk(str(path))
    except Exception as error:  # noqa: BLE001 - datasets and pyarrow have many
        raise UserError(f"{str(path)!r} cannot be read as a saved dataset ({_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


csv.field_size_limit(sys.maxsize)
