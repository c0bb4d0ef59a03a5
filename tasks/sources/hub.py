"""Hugging Face datasets by name: `hf:OWNER/NAME`, `hf:OWNER/NAME:CONFIG`, `hf:OWNER/NAME@REVISION`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...graph.errors import UserError
from .rows import INSTALL, Row

PREFIX = "hf:"

_NAME = re.compile(r"(?P<path>\w[\w.-]*(?:/\w[\w.-]*)?)(?::(?P<config>[^@:]+))?(?:@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True, slots=True)
class HubName:
    """A dataset of the hub."""

    path: str
    config: str | None = None
    revision: str | None = None


def hub_name(text: str) -> HubName:
    """Return what `hf:…` names.

    Raises:
        UserError: if it names nothing.
    """
    found = _NAME.fullmatch(text.removeprefix(PREFIX))
    if found is None:
        raise UserError(
            f"{text!r} names no Hugging Face dataset; write hf:OWNER/NAME, hf:OWNER/NAME:CONFIG or hf:OWNER/NAME@REVISION"
        )
    return HubName(found["path"], found["config"], found["revision"])


def hub_rows(text: str, split: str) -> Iterator[Row]:
    """Yield the rows of a split of a dataset, which `datasets` downloads or has kept.

    Nothing of the dataset's own code is run.

    Raises:
        UserError: if `datasets` is missing, or it cannot get that dataset or split.
    """
    name = hub_name(text)
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
