"""Token ids to text while they are generated, and the stop string found wherever token boundaries fall."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .text import REPLACEMENT

_CONTEXT = 6
"""Prompt tokens decoded along, so that tokenizers which drop a leading space do not drop it from a continuation."""


class TextStream:
    """The text of one sample.

    Args:
        decode: token ids to text, special tokens left out.
        prompt: ids of the prompt.
        stop: stop strings.
    """

    __slots__ = ("_decode", "_emitted", "_ids", "_pending", "_start", "_stop", "_window", "text")

    def __init__(self, decode: Callable[[list[int]], str], prompt: Sequence[int], stop: tuple[str, ...]) -> None:
        self._decode = decode
        self._ids = list(prompt[-_CONTEXT:])
        self._stop = tuple(s for s in stop if s)
        self._window = max(map(len, self._stop), default=1) - 1
        self._start = 0  # ids from here on are decoded again with every token
        self._pending = len(self._ids)  # ids from here on are not in the text yet
        self._emitted = decode(self._ids) if self._ids else ""  # text of ids[start:pending]
        self.text = ""

    def push(self, token: int) -> bool:
        """Add a generated token; return whether a stop string is complete, after which `text` ends before it."""
        self._ids.append(token)
        if not self._stop:
            return False
        decoded = self._decode(self._ids[self._start :])
        if len(decoded) <= len(self._emitted) or decoded.endswith(REPLACEMENT):
            return False  # a character is not complete yet
        return self._extend(decoded)

    def finish(self) -> bool:
        """Add what is still held back, such as half a character; return whether that completes a stop string."""
        return self._extend(self._decode(self._ids[self._start :]))

    def _extend(self, decoded: str) -> bool:
        searched = max(0, len(self.text) - self._window)
        self.text += decoded[len(self._emitted) :]
        self._start, self._pending = self._pending, len(self._ids)
        self._emitted = self._decode(self._ids[self._start :])
        found = [at for at in (self.text.find(s, searched) for s in self._stop) if at >= 0]
        if found:
            self.text = self.text[: min(found)]
        return bool(found)
