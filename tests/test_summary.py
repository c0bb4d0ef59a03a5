"""What the summary of a run says was paid, of a run that was stopped too."""

from __future__ import annotations

from collections.abc import Callable

from thoughtgraph.graph.ledger import Commit, Lease, ModelCall, UnitResult
from thoughtgraph.graph.records import Usage
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.runs import summarise


def test_what_units_under_way_paid_counts_as_far_as_it_is_on_record(
    store: SqlStore, lease: Lease, wave: Callable[[int], Commit]
) -> None:
    def paid() -> Usage:
        return summarise(store, lease.run).usage

    assert paid() == Usage()
    store.commit(lease, wave(1))
    told = paid()
    assert (told.completion_tokens, told.model_calls, told.verifier_calls, told.seconds) == (24, 2, 2, 2.0)
    calls = [
        ModelCall("one", "asked", "generate", "m", "p", {}, [], None, 3, 7, 0.5),
        ModelCall("two", "asked", "generate", "m", "p", {}, None, "refused"),
    ]
    store.commit(lease, Commit(model_calls=tuple(calls)))
    store.release(lease)
    assert paid() == told + Usage(prompt_tokens=3, completion_tokens=7, model_calls=2, usd=0.5)


def test_a_finished_unit_paid_what_its_result_says(
    store: SqlStore, lease: Lease, wave: Callable[[int], Commit]
) -> None:
    store.commit(lease, wave(1))
    usage = Usage(completion_tokens=24, model_calls=2)
    store.finish(lease, UnitResult("no_answer", None, None, None, "finished", usage))
    assert summarise(store, lease.run).usage == usage
