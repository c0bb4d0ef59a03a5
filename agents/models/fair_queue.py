"""Calls that wait for one model: urgent ones first, problem by problem in turn, and each problem's calls in their order.

A problem's turn lasts up to `TURN` calls. Calls of one problem mostly continue one tree, so they begin alike: side by side they find that beginning in
the engine's prefix cache, which may have lost it by the time calls of many other problems went between them.

How long a call waits is bounded. A call with p calls of its group and priority before it, while at most G groups of that priority wait, starts after
at most

    p + (ceil((p + 1) / TURN) + 1) · (G - 1) · TURN

others of its priority. Of `SHARE` calls that start in a row while calls that are not urgent wait, at least one is such a call.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

TURN = 8
"""Calls that a group starts in a row while others wait; a search has 8 requests in flight by default."""

SHARE = 8
"""Where calls of both kinds wait, at least one in so many is not urgent."""


class Waiting(Protocol):
    """What can wait; equal to itself only."""

    @property
    def group(self) -> Hashable:
        """Whose turn it waits for."""
        ...

    @property
    def urgent(self) -> bool:
        """Whether it goes before what is not."""
        ...

    @property
    def rows(self) -> int:
        """How much of a batch it takes (≥ 1)."""
        ...


W = TypeVar("W", bound=Waiting)


class FairQueue(Generic[W]):
    """A queue of two priorities in which groups take turns; every operation takes constant time.

    Args:
        turn: calls that a group starts in a row while others wait (≥ 1).

    Attributes:
        size: items that wait.
        rows: rows of all that waits.
    """

    def __init__(self, turn: int = TURN) -> None:
        self._urgent, self._others = _Ring[W](turn), _Ring[W](turn)
        self._passed = 0
        """Urgent calls taken in a row while others waited."""
        self.size = self.rows = 0

    def push(self, item: W) -> None:
        """Let an item wait."""
        (self._urgent if item.urgent else self._others).push(item)
        self.size += 1
        self.rows += item.rows

    def pop(self, room: float = math.inf) -> W | None:
        """Take the next item; None if there is none, or it has more rows than there is room for."""
        ring, waits = self._others, self._others.groups
        urgent = self._urgent.groups and not (waits and self._passed >= SHARE - 1)
        if urgent:
            ring = self._urgent
        item = ring.pop(room)
        if item is not None:
            self._passed = self._passed + 1 if urgent and waits else 0
            self.size -= 1
            self.rows -= item.rows
        return item

    def discard(self, item: W) -> None:
        """Take out an item that waits."""
        (self._urgent if item.urgent else self._others).discard(item)
        self.size -= 1
        self.rows -= item.rows


class _Ring(Generic[W]):
    """Groups in the order of their turns, each with its items in the order of their arrival."""

    __slots__ = ("_taken", "_turn", "groups")

    def __init__(self, turn: int) -> None:
        self.groups: OrderedDict[Hashable, OrderedDict[W, None]] = OrderedDict()
        self._turn = turn
        self._taken = 0
        """Items that the first group had of its turn."""

    def push(self, item: W) -> None:
        items = self.groups.get(item.group)
        if items is None:
            items = self.groups[item.group] = OrderedDict()
        items[item] = None

    def pop(self, room: float) -> W | None:
        if not self.groups:
            return None
        group = next(iter(self.groups))
        items = self.groups[group]
        item = next(iter(items))
        if item.rows > room:
            return None
        del items[item]
        self._taken += 1
        if not items:
            del self.groups[group]
            self._taken = 0
        elif self._taken == self._turn:
            self.groups.move_to_end(group)
            self._taken = 0
        return item

    def discard(self, item: W) -> None:
        items = self.groups[item.group]
        del items[item]
        if not items:
            if next(iter(self.groups)) == item.group:
                self._taken = 0
            del self.groups[item.group]
