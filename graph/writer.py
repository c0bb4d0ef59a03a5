"""Rows on their way to the store: written in order, in the background, as few transactions as possible.

Rows wait a few milliseconds for company, and what comes while a transaction is under way goes into the next one. `flushed()` is the only wait:
whoever needs rows to be durable before going on awaits it. A failed write is raised there, and at every later one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import fields

from .ledger import Commit

Write = Callable[[Commit], Awaitable[None]]

PATIENCE = 0.005
"""Seconds a row waits for company before a transaction is begun for it: the length of a short wave's remaining stages."""


class Writer:
    """Collects commits of one unit and writes them in order."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._waiting: list[Commit] = []
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._error: Exception | None = None

    def add(self, commit: Commit) -> None:
        """Queue rows; they become durable soon, in the order of the calls."""
        self._waiting.append(commit)
        if self._timer is None and not self._writing:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._start)

    async def flushed(self) -> None:
        """Wait until all rows are durable.

        Raises:
            StoreError: if the store refused or failed; rows after the failure are not written.
        """
        if self._waiting and not self._writing:
            self._start()
        while self._task is not None and not self._task.done():
            await asyncio.shield(self._task)
        if self._error is not None:
            raise self._error

    @property
    def _writing(self) -> bool:
        return self._task is not None and not self._task.done()

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._writing:
            self._task = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        while self._waiting and self._error is None:
            batch, self._waiting = self._waiting, []
            try:
                await self._write(merged(batch))
            except Exception as error:  # noqa: BLE001 - raised to whoever awaits `flushed`
                self._error = error


def merged(commits: list[Commit]) -> Commit:
    """Return one commit with the rows of all, in order."""
    if len(commits) == 1:
        return commits[0]
    return Commit(
        *(tuple(row for commit in commits for row in getattr(commit, f.name)) for f in fields(Commit))
    )
