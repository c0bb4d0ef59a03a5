"""Rows on their way to the store: together where possible, in order, and each search failing by its own rows only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from thoughtgraph.graph.errors import LeaseLostError, StoreError
from thoughtgraph.graph.flight import Flight
from thoughtgraph.graph.ledger import Commit, Event, Lease, RunSpec
from thoughtgraph.graph.records import Problem
from thoughtgraph.graph.writer import Journal, Writer
from thoughtgraph.storage.store import SqlStore

PROBLEMS = [Problem(f"p{i}", "text", f"question {i}") for i in range(3)]


def leases(store: SqlStore) -> list[Lease]:
    store.create_run(RunSpec("run", "text", "mcts", {}), PROBLEMS)
    return [lease for _ in PROBLEMS if (lease := store.claim("run", "worker", 60))]


def told(name: str) -> Commit:
    return Commit(events=(Event("told", (name,), {"nothing": None}),))


class Recorder:
    """Writes to a store, and keeps what each transaction was asked to write."""

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self.transactions: list[list[tuple[str, int]]] = []

    async def __call__(self, commits: Sequence[tuple[Lease, Commit]]) -> None:
        self.transactions.append([(lease.problem.id, len(rows.events)) for lease, rows in commits])
        await asyncio.to_thread(self.store.commit_all, commits, 60)


def keys(store: SqlStore) -> list[tuple[str, int, str]]:
    with store.database.reading() as connection:
        rows = connection.exec_driver_sql("select problem, seq, key from event order by problem, seq")
        return [(problem, seq, key) for problem, seq, key in rows]


async def test_rows_of_several_searches_share_a_transaction() -> None:
    store = SqlStore.open(":memory:")
    record = Recorder(store)
    journal = Journal(record)
    writers = [Writer(journal, lease) for lease in leases(store)]
    for name in ("a", "b"):
        for writer in writers:
            writer.add(told(name))
    await asyncio.gather(*(writer.flushed() for writer in writers))
    assert record.transactions == [[("p0", 2), ("p1", 2), ("p2", 2)]]
    assert keys(store) == [(p.id, seq, key) for p in PROBLEMS for seq, key in ((1, "a"), (2, "b"))]


async def test_a_lost_lease_fails_its_own_search_only() -> None:
    store = SqlStore.open(":memory:")
    journal = Journal(Recorder(store))
    first, second, third = (Writer(journal, lease) for lease in leases(store))
    store.evict("run", "worker")
    for writer in (first, third):
        assert store.claim("run", "worker", 60, writer.lease.problem.id) is not None
    first.lease, third.lease = (Lease(w.lease.run, w.lease.problem, 2, "worker") for w in (first, third))
    for writer in (first, second, third):
        writer.add(told("a"))
    await first.flushed()
    await third.flushed()
    with pytest.raises(LeaseLostError, match="'p1'"):
        await second.flushed()
    second.add(told("b"))
    with pytest.raises(LeaseLostError):
        await second.flushed()
    assert keys(store) == [("p0", 1, "a"), ("p2", 1, "a")]


async def test_a_value_that_cannot_be_stored_fails_its_own_search_only() -> None:
    store = SqlStore.open(":memory:")
    journal = Journal(Recorder(store))
    first, second, _ = (Writer(journal, lease) for lease in leases(store))
    first.add(Commit(events=(Event("told", ("a",), {"score": float("nan")}),)))
    second.add(told("a"))
    await second.flushed()
    with pytest.raises(StoreError, match="cannot be stored"):
        await first.flushed()
    assert keys(store) == [("p1", 1, "a")]


def test_several_units_are_written_together_or_not_at_all() -> None:
    store = SqlStore.open(":memory:")
    held = leases(store)
    store.release(held[1])
    with pytest.raises(LeaseLostError, match="one of the leases"):
        store.commit_all([(lease, told("a")) for lease in held], 60)
    assert keys(store) == []


def test_many_events_are_numbered_without_gaps_and_repeats_are_left_out() -> None:
    store = SqlStore.open(":memory:")
    held = leases(store)
    long = Commit(events=tuple(Event("told", (f"{i:03}",), {"i": i}) for i in range(700)))
    store.commit_all([(lease, told("005")) for lease in held], 60)
    store.commit_all([(lease, long) for lease in held], 60)
    store.commit_all([(lease, long) for lease in held], 60)
    names = ["005", *(f"{i:03}" for i in range(700) if i != 5)]
    assert keys(store) == [(p.id, seq, key) for p in PROBLEMS for seq, key in enumerate(names, start=1)]


class Back:
    """What comes of a request."""

    def __init__(self, held: bool = False) -> None:
        self.held = held


async def after(gate: asyncio.Event, back: Back) -> Back:
    await gate.wait()
    return back


async def test_a_held_request_wakes_nobody_while_there_are_calls_to_wait_for() -> None:
    flight, gates = Flight[Back](), [asyncio.Event() for _ in range(3)]
    for place, gate in enumerate(gates):
        flight.begin(str(place), after(gate, Back(held=place == 0)))
    gates[0].set()
    waiting = asyncio.create_task(flight.wait(None))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    gates[2].set()
    await waiting
    assert [back.held for back in flight.collect()] == [True, False]
    assert list(flight.tasks) == ["1"]
    gates[1].set()
    await flight.wait(None)
    assert len(flight.collect()) == 1


async def test_a_wait_goes_on_until_enough_is_back_or_time_is_up() -> None:
    flight, gates = Flight[Back](), [asyncio.Event() for _ in range(3)]
    for place, gate in enumerate(gates):
        flight.begin(str(place), after(gate, Back()))
    enough = False
    gates[0].set()
    await flight.wait(0.01, lambda: enough)
    assert len(flight.collect()) == 1
    enough = True
    gates[1].set()
    await flight.wait(None, lambda: enough)
    assert len(flight.collect()) == 1
    await flight.end()
    assert flight.collect() == []
    assert flight.tasks == {}
