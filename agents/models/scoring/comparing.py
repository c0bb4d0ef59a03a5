"""Whether a server reads text as the tokenizer here does: ids of another tokenizer would be scored all the same, and mean something else."""

from __future__ import annotations

import asyncio
import string
from collections.abc import Sequence
from typing import Any, cast
from weakref import WeakKeyDictionary

import orjson

from ....graph.errors import ModelUnavailableError
from ..remote.endpoints import Endpoint
from ..remote.faults import Fault
from .formats import TraceFormat

PATH = "/tokenize"
_CHARACTERS = string.digits + string.ascii_letters + string.punctuation
_SENTENCE = "\nStep 1: 3 * 12 = 36 (left: 4 6)\n"
_SPECIAL = 16
"""Special tokens compared at most, the mark of a format aside."""
_MOST = 1 << 20
"""Bytes of a reply at most."""
_NOT_NOW = ("unreachable", "certificate", "broken", "timeout", "busy")
"""Faults that say nothing of the path: a request for scores would meet them too, and they are dealt with as its own."""


class Comparison:
    """Asks each server once, before its first request for scores, how it reads a text, where it tells (vLLM: `POST /tokenize`).

    Args:
        name: of the scoring model, for messages.
        model: the server's name for it.
        source: where the tokenizer here is from.
        tokenizer: of transformers.
        format: how traces are written, for its mark.

    Attributes:
        told: for each server asked so far, by URL, whether it told; what it told is the same as here.
    """

    def __init__(self, name: str, model: str, source: str, tokenizer: Any, format: TraceFormat) -> None:
        self._name, self._source, self._tokenizer = name, source, tokenizer
        text = probe_text(tokenizer, format)
        self._ids: list[int] = list(tokenizer.encode(text, add_special_tokens=False))
        self._body = orjson.dumps({"model": model, "prompt": text, "add_special_tokens": False})
        self._locks: WeakKeyDictionary[Endpoint, asyncio.Lock] = WeakKeyDictionary()
        self.told: dict[str, bool] = {}

    async def greet(self, endpoint: Endpoint) -> bool:
        """Compare what a server tells, once; return False if it could not be asked after all.

        Raises:
            ModelUnavailableError: if its tokenizer is another one.
            Fault: if there is no reply, for a reason that is not the path's.
        """
        if endpoint.target.url in self.told:
            return True
        async with self._locks.setdefault(endpoint, asyncio.Lock()):
            return endpoint.target.url in self.told or await self._ask(endpoint)

    async def _ask(self, endpoint: Endpoint) -> bool:
        url = endpoint.target.url
        try:
            reply = await endpoint.post(PATH, self._body, _MOST)
        except Fault as fault:
            if fault.kind in _NOT_NOW:
                raise
            if fault.kind != "server_error":  # such a one may tell before the next request
                self.told[url] = False
            return True
        if reply is None:
            return False
        theirs = _read_ids(reply)
        if theirs:
            self._compare(url, theirs)
        self.told[url] = bool(theirs)
        return True

    def _compare(self, url: str, theirs: Sequence[int]) -> None:
        ours = self._ids
        if list(theirs) == ours:
            return
        at = next(
            (k for k, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one != other),
            min(len(ours), len(theirs)),
        )
        here, there = (str(ids[at]) if at < len(ids) else "nothing" for ids in (ours, theirs))
        text = self._tokenizer.decode(ours[at : at + 1])
        raise ModelUnavailableError(
            f"{self._name}: the tokenizer {self._source!r} is not that of the served model: it writes {text!r} as {here}, and {url} as {there}; "
            "give the served model's own as ?tokenizer=FOLDER or OWNER/NAME"
        )


def probe_text(tokenizer: Any, format: TraceFormat) -> str:
    """Return a text of some 230 tokens at most: every character of ASCII by itself, a step, the tokens of the chat template, and the format's mark."""
    template = str(tokenizer.chat_template or "")
    chat = (token for token in tokenizer.get_added_vocab() if token in template)
    special = list(dict.fromkeys([*chat, *tokenizer.all_special_tokens]))[:_SPECIAL]
    mark = "" if format.tag is None else tokenizer.decode([format.tag])
    return " ".join(_CHARACTERS) + _SENTENCE + "".join([*special, mark])


def _read_ids(body: bytes) -> list[int]:
    """Return the ids in a reply; none if it has none."""
    try:
        value: Any = orjson.loads(body)
    except ValueError:
        return []
    ids = cast("dict[str, Any]", value).get("tokens") if isinstance(value, dict) else None
    if not isinstance(ids, list) or not all(type(id_) is int for id_ in cast("list[Any]", ids)):
        return []
    return cast("list[int]", ids)
