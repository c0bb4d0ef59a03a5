"""Content addresses and derived seeds.

Every record's id is a BLAKE2b hash over the canonical JSON of what determines it, so doing a thing again gives
the same id and the store's get-or-create makes a repeated execution harmless. Every random choice derives from
(seed, labels) the same way: no module-level generator, no dependence on order of arrival or PYTHONHASHSEED.
"""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import orjson

ID_LENGTH = 20
"""Hex digits in an id: 80 bits, so 10^9 records collide with probability below 10^-6."""


def address(kind: str, *parts: Any) -> str:
    """Return the content address of `parts`, JSON values, under the namespace `kind`."""
    return _digest(kind, parts)[:ID_LENGTH]


def derive_seed(seed: int, *labels: Any) -> int:
    """Return a seed in [0, 2^63) that depends on `seed` and `labels` alone."""
    return int(_digest("seed", (seed, *labels))[:16], 16) >> 1


def derive_rng(seed: int, *labels: Any) -> random.Random:
    """Return a generator of its own for one decision."""
    return random.Random(derive_seed(seed, *labels))


def _digest(kind: str, parts: tuple[Any, ...]) -> str:
    return hashlib.blake2b(_canonical((kind, parts)), digest_size=16).hexdigest()


def _canonical(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a lone surrogate, which is not UTF-8, or an integer beyond 64 bits
        return json.dumps(value, ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode("ascii")
