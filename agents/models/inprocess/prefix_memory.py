"""What a model computed for sequences that it read or wrote lately, found again by their beginning.

A search asks for the same thought again, or for what follows a thought: the prompt is one that was read, and the step one that was written, a moment ago.
Their keys and values are copied where the prompt begins like a sequence remembered, and only the rest is read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from torch import Tensor

BYTES = 1 << 28
"""Remembered at most; of the shipped model about 700 sequences, of one with 7 billion parameters about 500 tokens."""


class _Node:
    """A prefix; every node without children is a sequence remembered."""

    __slots__ = ("children", "sequence")

    def __init__(self) -> None:
        self.children: dict[int, _Node] = {}
        self.sequence: tuple[int, ...] | None = None


class PrefixMemory:
    """Keys and values by token sequence; the sequences not asked for the longest are forgotten first.

    Args:
        most: bytes kept at most (≥ 0).
    """

    def __init__(self, most: int = BYTES) -> None:
        self._most = most
        self._used = 0
        self._kept: OrderedDict[tuple[int, ...], Tensor] = OrderedDict()
        self._root = _Node()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, ids: tuple[int, ...], bytes_: int, copy: Callable[[], Tensor]) -> None:
        """Remember a sequence, if none that begins with it is known; those that it begins with are forgotten.

        Args:
            ids: of its tokens.
            bytes_: that it needs.
            copy: makes its keys and values.
        """
        if bytes_ > self._most or not ids or self._walk(ids)[1] == len(ids):
            return
        node = self._root
        for token in ids:
            if node.sequence is not None:
                self._drop(node.sequence)
                node.sequence = None
            node = node.children.setdefault(token, _Node())
        node.sequence = ids
        self._kept[ids] = copy()
        self._used += bytes_
        while self._used > self._most:
            self._forget(next(iter(self._kept)))

    def find(self, ids: Sequence[int]) -> tuple[Tensor | None, int]:
        """Return keys and values of a sequence that begins like this one, and the number of tokens they have in common (≥ 0)."""
        node, length = self._walk(ids)
        if not length:
            return None, 0
        while node.sequence is None:
            node = next(iter(node.children.values()))
        self._kept.move_to_end(node.sequence)
        return self._kept[node.sequence], length

    def _walk(self, ids: Sequence[int]) -> tuple[_Node, int]:
        node = self._root
        for length, token in enumerate(ids):
            child = node.children.get(token)
            if child is None:
                return node, length
            node = child
        return node, len(ids)

    def _drop(self, ids: tuple[int, ...]) -> None:
        kept = self._kept.pop(ids)
        self._used -= kept.numel() * kept.element_size()

    def _forget(self, ids: tuple[int, ...]) -> None:
        """Drop a sequence and the nodes that only it has."""
        self._drop(ids)
        path = [self._root]
        for token in ids:
            path.append(path[-1].children[token])
        path[-1].sequence = None
        for depth in range(len(ids), 0, -1):
            if path[depth].children or path[depth].sequence is not None:
                return
            del path[depth - 1].children[ids[depth - 1]]
