"""Which model a server says it is: whether that is the one asked for, and which others it has."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from typing import Any, cast

import orjson

_VERSION = re.compile(r"[-@:](?:\d{4}-\d{2}-\d{2}|\d{8}|\d{6}|\d{4}|\d{3}|v\d+(?:\.\d+)*)(?:-v\d+)?(?::\d+)?")
"""A date or a version number, as providers append it to a name: -2025-08-07, -20250807, -0613, @001, -v1:0."""

_CONTEXTS = ("max_model_len", "context_length", "context_window")
"""What servers call a model's context in a listing."""


def same_model(asked: str, answered: str, served_as: Collection[str]) -> bool:
    """Return whether the model that answered is the one asked for.

    It is if its name is one of `served_as`, or the last part of its path is the last part of the asked name, with or without a date or version number
    after it; case does not matter. So `openai/gpt-5-mini` may be answered by `gpt-5-mini-2025-08-07`, and a name ending in `-latest` by a dated one; but
    `gpt-4` not by `gpt-4-32k`, nor a dated name by the bare one.
    """
    if answered == asked or answered in served_as:
        return True
    wanted, got = _last(asked), _last(answered)
    if got == wanted:
        return True
    stem = wanted.removesuffix("-latest")
    return got.startswith(stem) and _VERSION.fullmatch(got, len(stem)) is not None


def _last(name: str) -> str:
    """Return the last part of a path, without a variant such as `:free`, in lower case."""
    return re.sub(r":[a-z]+$", "", name.lower().rstrip("/").rpartition("/")[2])


def read_listing(body: bytes) -> tuple[str, ...]:
    """Return the names in a reply to `GET /models`, none if it cannot be read."""
    try:
        rows = cast("dict[str, Any]", orjson.loads(body))["data"]
        return tuple(str(row["id"]) for row in rows)
    except (ValueError, KeyError, TypeError):
        return ()


def read_context(body: bytes, model: str) -> int | None:
    """Return the context in tokens that a reply to `GET /models` gives a model; None if it gives none.

    OpenAI's protocol has no field for it: vLLM writes `max_model_len`, others one of the other names.
    """
    try:
        rows = cast("dict[str, Any]", orjson.loads(body))["data"]
        told = [row.get(key) for row in rows if row["id"] == model for key in _CONTEXTS]
    except (ValueError, KeyError, TypeError):
        return None
    return next((value for value in told if isinstance(value, int) and value > 0), None)


def nearest_first(asked: str, names: Collection[str], most: int = 8) -> str:
    """Return names for a message, those most like the asked one first."""
    ranked = sorted(
        names, key=lambda name: -difflib.SequenceMatcher(None, asked.lower(), name.lower()).ratio()
    )
    rest = f" and {len(ranked) - most} more" if len(ranked) > most else ""
    return ", ".join(ranked[:most]) + rest
