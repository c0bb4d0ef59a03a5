"""Rows on their way to the store: written in order, in the background, as few transactions as possible.

All searches of a process share a journal. Rows wait a few milliseconds for company, and what comes while a transaction is under way goes into the next
one, whatever search it is of. `Writer.flushed()` is the only wait: whoever needs the rows of a search to be durable before going on awaits it. A failed
write is raised there, and at every later one of the same search; others are not concerned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields
from itertools import chain
from operator import attrgetter

from .ledger import Commit, Lease

Write = Callable[[Sequence[tuple[Lease, Commit]]], Awaitable[None]]
"""Writes rows of several units, each named once, in one transaction: all or none."""

PATIENCE = 0.005
"""Seconds a row waits for company before a transaction is begun for it: the length of a short wave's remaining stages."""


class Journal:
    """Writes the rows of all searches of one event loop."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._waiting: dict[Writer, list[Commit]] = {}
        self._writing: dict[Writer, list[Commit]] = {}
        self._round: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def add(self, writer: Writer, commit: Commit) -> None:
        """Queue rows of a search; they become durable soon, in the order of the calls."""
        self._waiting.setdefault(writer, []).append(commit)
        if self._timer is None and self._round is None:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._begin)

    async def settle(self, writer: Writer) -> None:
        """Wait until nothing of a search waits or is being written."""
        while writer in self._writing or writer in self._waiting:
            if self._round is None:
                self._begin()
            assert self._round is not None
            await asyncio.shield(self._round)

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._writing, self._waiting = self._waiting, {}
        self._round = asyncio.create_task(self._transaction())

    async def _transaction(self) -> None:
        batch = [(writer, merged(rows)) for writer, rows in self._writing.items() if writer.error is None]
        try:
            await self._all(batch)
        finally:
            self._writing, self._round = {}, None
            if self._waiting:
                self._begin()

    async def _all(self, batch: list[tuple[Writer, Commit]]) -> None:
        """Write these together; if they cannot be, each by itself, so that a search fails by its own rows only."""
        try:
            if batch:
                await self._write([(writer.lease, rows) for writer, rows in batch])
        except Exception as error:  # noqa: BLE001 - raised to whoever awaits `flushed`
            if len(batch) == 1:
                batch[0][0].error = error
                return
            for one in batch:
                await self._all([one])


class Writer:
    """Collects the commits of one unit."""

    def __init__(self, journal: Journal, lease: Lease) -> None:
        self.lease = lease
        self.error: Exception | None = None
        """Why its rows cannot be written; nothing more is."""
        self._journal = journal

    def add(self, commit: Commit) -> None:
        """Queue rows; they become durable soon, in the order of the calls."""
        self._journal.add(self, commit)

    async def flushed(self) -> None:
        """Wait until all rows are durable.

        Raises:
            StoreError: if the store refused or failed; rows after the failure are not written.
        """
        await self._journal.settle(self)
        if self.error is not None:
            raise self.error


def merged(commits: list[Commit]) -> Commit:
    """Return one commit with the rows of all, in order."""
    if len(commits) == 1:
        return commits[0]
    return Commit(*(tuple(chain.from_iterable(map(rows, commits))) for rows in _TABLES))


_TABLES = [attrgetter(f.name) for f in fields(Commit)]
