"""Token ids to text while they are generated, and the stop string found wherever token boundaries fall."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..text import REPLACEMENT

Decode = Callable[[tuple[int, ...]], str]
"""Token ids to text, special tokens left out."""

_CONTEXT = 6
"""Prompt tokens decoded along, so that tokenizers which drop a leading space do not drop it from a continuation."""


class TextStream:
    """The text of one sample.

    Args:
        decode: token ids to text, special tokens left out.
        prompt: ids of the prompt.
        stop: stop strings.

    Attributes:
        text: what is complete so far; once a stop string is found, what is before it.
        pieces: text of each token so far, uncut; a token that ends within a character has the piece "".
    """

    __slots__ = ("_decode", "_emitted", "_ids", "_pending", "_stop", "_window", "pieces", "text")

    def __init__(self, decode: Decode, prompt: Sequence[int], stop: tuple[str, ...]) -> None:
        self._decode = decode
        self._ids = tuple(
            prompt[-_CONTEXT:]
        )  # the last ids only, as many as are decoded again with every token
        self._stop = tuple(s for s in stop if s)
        self._window = max(map(len, self._stop), default=1) - 1
        self._pending = len(self._ids)  # ids from here on are not in the text yet
        self._emitted = decode(self._ids) if self._ids else ""  # text of the ids before
        self.text = ""
        self.pieces: list[str] = []

    def push(self, token: int) -> bool:
        """Add a generated token; return whether a stop string is complete."""
        self._ids = (*self._ids, token)
        decoded = self._decode(self._ids)
        if len(decoded) <= len(self._emitted) or decoded.endswith(REPLACEMENT):
            self.pieces.append("")  # a character is not complete yet
            return False
        self.pieces.append(decoded[len(self._emitted) :])
        self._ids = self._ids[self._pending :]
        self._pending = len(self._ids)
        self._emitted = self._decode(self._ids)
        return self._extend(self.pieces[-1])

    def finish(self) -> bool:
        """Add what is still held back, such as half a character; return whether that completes a stop string."""
        rest = self._decode(self._ids)[len(self._emitted) :]
        if not rest:
            return False
        self.pieces[-1] += rest
        return self._extend(rest)

    def _extend(self, piece: str) -> bool:
        searched = max(0, len(self.text) - self._window)
        self.text += piece
        found = [at for at in (self.text.find(s, searched) for s in self._stop) if at >= 0]
        if found:
            self.text = self.text[: min(found)]
        return bool(found)
