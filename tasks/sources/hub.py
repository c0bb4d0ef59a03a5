"""Hugging Face datasets by name: `hf:OWNER/NAME`, `hf:OWNER/NAME:CONFIG`, `hf:OWNER/NAME@REVISION`; or by path: `hf:./FOLDER`, `hf:/PATH:CONFIG`.

A path may be a folder of a dataset's files, one that `datasets`' save_to_disk wrote, or a file. A name without a leading `/`, `./`, `../` or `~` is a path if it is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...graph.errors import UserError
from .rows import INSTALL, SAVED, Row, read_rows

PREFIX = "hf:"

_NAME = re.compile(r"(?P<path>\w[\w.-]*(?:/\w[\w.-]*)?)(?::(?P<config>[^@:]+))?(?:@(?P<revision>[\w./-]+))?")
_PATH = re.compile(r"(?P<path>(?:~[^/:]*|\.{1,2})?/[^:]*|\.{1,2}|~)(?::(?P<config>[^:]+))?")


@dataclass(frozen=True, slots=True)
class HubName:
    """A dataset of the hub, or a local one."""

    path: str
    """OWNER/NAME, or the absolute path of a local one."""
    config: str | None = None
    revision: str | None = None


def hub_name(text: str) -> HubName:
    """Return what `hf:…` names.

    Raises:
        UserError: if it names nothing.
    """
    name = text.removeprefix(PREFIX)
    local = Path(name).expanduser()
    if name and local.exists():
        return HubName(str(local.absolute()))
    if found := _PATH.fullmatch(name):
        local = Path(found["path"]).expanduser()
        if not local.exists():
            raise UserError(f"there is no {found['path']!r}; give hf: a dataset's folder, or hf:OWNER/NAME")
        return HubName(str(local.absolute()), found["config"])
    found = _NAME.fullmatch(name)
    if found is None:
        raise UserError(
            f"{text!r} names no Hugging Face dataset; write hf:OWNER/NAME, hf:OWNER/NAME:CONFIG, hf:OWNER/NAME@REVISION or hf:./FOLDER"
        )
    local = Path(found["path"])
    path = str(local.absolute()) if local.is_dir() else found["path"]  # `datasets` prefers what is there, too
    return HubName(path, found["config"], found["revision"])


def absolute_name(text: str) -> str:
    """Return `hf:…` with a local path made absolute, so that it means the same elsewhere; raises UserError if it names nothing."""
    name = hub_name(text)
    if not Path(name.path).is_absolute():
        return text
    return f"{PREFIX}{name.path}" + (f":{name.config}" if name.config else "")


def hub_rows(text: str, split: str) -> Iterator[Row]:
    """Yield the rows of a split of a dataset, which `datasets` downloads or has kept.

    Nothing of the dataset's own code is run.

    Raises:
        UserError: if `datasets` is missing, or it cannot get that dataset or split.
    """
    name = hub_name(text)
    local = Path(name.path)
    if local.is_absolute() and (local.is_file() or any((local / file).is_file() for file in SAVED)):
        yield from read_rows(local, split)
        return
    try:
        from datasets import load_dataset  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
    except ModuleNotFoundError:
        raise UserError(f"{text!r} needs datasets: {INSTALL}") from None
    try:
        dataset: Any = load_dataset(name.path, name.config, split=split, revision=name.revision)
    except Exception as error:  # noqa: BLE001 - datasets has many, and its HTTP clients more
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(
            f"cannot get the split {split!r} of {text!r} ({said}); check name, split and network, or give a local file"
        ) from None
    for number, fields in enumerate(dataset, start=1):
        yield Row("row", number, fields)
