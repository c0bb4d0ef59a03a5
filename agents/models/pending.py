"""Requests on their way through a lane, with those who wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any

_DONE = asyncio.Future[Any].done


class Item:
    """A queued or running request with the futures of those who wait for it."""

    __slots__ = ("batch", "group", "payload", "queued", "rows", "urgent", "waiters")

    def __init__(self, payload: Any, rows: int, group: Hashable, urgent: bool) -> None:
        self.payload = payload
        self.rows = rows
        self.group = group
        self.urgent = urgent
        self.waiters: list[asyncio.Future[Any]] = []
        self.queued = True
        self.batch: Batch | None = None
        """The batch that it runs in; None before."""

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for it any more."""
        return all(map(_DONE, self.waiters))

    def resolve(self, result: Any) -> None:
        """Answer those who wait."""
        for waiter in self.waiters:
            if not waiter.done():
                if isinstance(result, BaseException):
                    waiter.set_exception(result)
                else:
                    waiter.set_result(result)


class Batch:
    """Items that one invocation answers."""

    __slots__ = ("items", "task")

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.task: asyncio.Task[None] | None = None
