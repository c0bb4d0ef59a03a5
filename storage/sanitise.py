"""The one place where values are made fit for both databases, or refused.

Neither SQLite nor PostgreSQL keeps every string that Python, or a language model, can produce: U+0000 cannot be stored as text in PostgreSQL, and
a lone surrogate cannot be encoded as UTF-8 at all. Both are replaced by U+FFFD, the replacement character, in text and anywhere inside JSON
values; nothing else is changed. NaN and infinities are refused: SQLite would turn NaN into NULL without a word, and JSON has neither.

Every text, JSON and float column goes through here (`types.py`), so no writer can forget it. What comes from a model should be cleaned on arrival
by the same `sanitise`, so that a resumed search reads what the interrupted one read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, cast

import orjson

from ..graph.errors import StoreError

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_NUL_ESCAPE = "\\u0000"
_STRICT = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def sanitise(text: str) -> str:
    """Return `text` with each U+0000 and each lone surrogate replaced by U+FFFD."""
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def dump_json(value: Any) -> str:
    """Return `value` as compact JSON whose strings are sanitised; tuples become arrays.

    Raises:
        StoreError: if it holds NaN, an infinity, something JSON has no form for, or keys that sanitising would merge.
    """
    try:
        data = orjson.dumps(value, option=_STRICT)
        # NaN and infinities come out as null, U+0000 as an escape: then, and where orjson is stricter than JSON, the slow way decides
        if b"null" not in data and b"\\u0000" not in data:
            return data.decode()
    except TypeError:
        pass
    try:
        text = _encode(value)
        if _NUL_ESCAPE in text or not (text.isascii() or _UNSTORABLE.search(text) is None):
            text = _encode(_sanitised(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(f"a value cannot be stored as JSON ({error}); mend what produced it") from error
    return text


def finite(value: float) -> float:
    """Return `value`; raises StoreError if it is NaN or infinite."""
    if not math.isfinite(value):
        raise StoreError(
            f"the number {value!r} cannot be stored; a failed measurement is stored as missing, with its error"
        )
    return value


def _sanitised(value: Any) -> Any:
    if isinstance(value, str):
        return sanitise(value)
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value)
        clean = {_sanitised(key): _sanitised(item) for key, item in items.items()}
        if len(clean) < len(items):
            raise ValueError("two keys differ only in characters that cannot be stored")
        return clean
    if isinstance(value, list | tuple):
        return [_sanitised(item) for item in cast("list[Any]", value)]
    return value
