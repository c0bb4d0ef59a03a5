"""The store's promises: written once, written whole, and only under a lease that holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event, func, select

from thoughtgraph.graph.errors import LeaseLostError, StoreError, UserError
from thoughtgraph.graph.ledger import Commit, Event, Lease, RunSpec, UnitResult
from thoughtgraph.graph.records import Evaluation, Operator, Outcome, Problem, Request, Thought, Usage
from thoughtgraph.storage.read import unit_events, unit_graph
from thoughtgraph.storage.schema import Base, EvaluationRow, EventRow
from thoughtgraph.storage.store import SqlStore

Wave = Callable[[int], Commit]
RESULT = UnitResult("answered", "24", None, 0.9, "finished", Usage(1, 2, 3, 4, 5, 6.5, 0.25))


def counts(store: SqlStore) -> dict[str, int]:
    with store.database.reading() as connection:
        return {
            t.name: connection.execute(select(func.count()).select_from(t)).scalar_one()
            for t in Base.metadata.sorted_tables
        }


def contents(store: SqlStore) -> dict[str, list[Any]]:
    """All rows but their clock times."""
    with store.database.reading() as connection:
        return {
            t.name: sorted(
                repr([value for name, value in row.items() if not name.endswith("_at")])
                for row in connection.execute(select(t)).mappings()
            )
            for t in Base.metadata.sorted_tables
        }


def test_every_kind_of_row_is_written_once(store: SqlStore, lease: Lease, wave: Wave) -> None:
    store.commit(lease, wave(0))
    once = contents(store)
    store.commit(lease, wave(1))
    twice = counts(store)
    assert {k: twice[k] for k in ("thought", "edge", "evaluation", "model_call", "tool_call", "event")} == {
        "thought": 5,
        "edge": 4,
        "evaluation": 4,
        "model_call": 4,
        "tool_call": 4,
        "event": 8,
    }
    both = contents(store)
    store.commit(lease, wave(1))
    store.commit(lease, wave(0))
    assert contents(store) == both
    assert once != both


def test_the_first_row_stays(store: SqlStore, lease: Lease, wave: Wave) -> None:
    store.commit(lease, wave(0))
    before = contents(store)
    thoughts = tuple(replace(thought, text="other") for thought in wave(0).thoughts)
    evaluations = tuple(replace(e, value=1.0) for e in wave(0).evaluations)
    store.commit(lease, Commit(thoughts, evaluations))
    assert contents(store) == before


def test_a_better_verifier_adds_and_never_overwrites(store: SqlStore, lease: Lease, wave: Wave) -> None:
    store.commit(lease, wave(0))
    thought = wave(0).thoughts[0].id
    store.commit(lease, Commit(evaluations=(Evaluation(thought, "step", "prm@2", 0.1),)))
    store.add_evaluations(
        [Evaluation(thought, "step", "prm@3", 0.2), Evaluation(thought, "value", "v@1", error="nan")]
    )
    store.add_evaluations([Evaluation(thought, "step", "prm@3", 0.9)])
    with store.database.reading() as connection:
        e = EvaluationRow
        rows = connection.execute(select(e.source, e.value, e.error).where(e.thought == thought))
        assert sorted(tuple(row) for row in rows) == [
            ("prm@1", 0.5, None),
            ("prm@2", 0.1, None),
            ("prm@3", 0.2, None),
            ("v@1", None, "nan"),
        ]


def test_an_unknown_thought_cannot_be_evaluated(store: SqlStore, lease: Lease) -> None:
    with pytest.raises(UserError, match="no thought 'missing'"):
        store.add_evaluations([Evaluation("missing", "step", "prm@3", 0.2)])
    before = contents(store)
    with pytest.raises(StoreError):
        store.commit(lease, Commit(evaluations=(Evaluation("missing", "step", "prm@3", 0.2),)))
    assert contents(store) == before


def test_recorded_returns_what_was_told_in_order(
    store: SqlStore, lease: Lease, root: Thought, wave: Wave
) -> None:
    for number in (1, 0):
        store.commit(lease, wave(number))
    failed = Request(Operator.REFINE, (root.id,), 2, temperature=0.25)
    detail: dict[str, Any] = {"request": fields(failed), "error": "timeout", "usage": {"model_calls": 1}}
    store.commit(lease, Commit(events=(Event("told", (failed.id,), detail),)))
    recorded = store.recorded(lease)
    expected = [
        Outcome(request_for(wave(n), i), (wave(n).thoughts[i],), (wave(n).evaluations[i],))
        for n in (1, 0)
        for i in (0, 1)
    ]
    assert list(recorded.outcomes) == [*expected, Outcome(failed, error="timeout")]
    assert recorded.usage == Usage(20, 48, 5, 4, 0, 2.0, 0.0)
    assert not recorded.calls
    assert not recorded.evaluations
    assert len(recorded.tools) == 4


def test_recorded_keeps_what_was_paid_but_not_told(store: SqlStore, lease: Lease, wave: Wave) -> None:
    whole = wave(0)
    ok, bad = whole.model_calls
    failed = replace(bad, id="failed", response=None, error="timeout")
    asked = Request(Operator.GENERATE, ("x", "y"))
    store.commit(
        lease,
        Commit(model_calls=(ok, failed), events=(Event("asked", (asked.id,), {"request": fields(asked)}),)),
    )
    store.commit(lease, Commit(whole.thoughts, whole.evaluations))
    recorded = store.recorded(lease)
    assert recorded.outcomes == ()
    assert recorded.pending == (asked,)
    assert recorded.calls == {ok.id: ok}
    assert recorded.evaluations == whole.evaluations


def test_an_unreadable_request_is_refused(store: SqlStore, lease: Lease) -> None:
    store.commit(lease, Commit(events=(Event("told", ("r",), {"request": {"operator": "teleport"}}),)))
    with pytest.raises(StoreError, match="no request that this program can read"):
        store.recorded(lease)


def test_a_told_event_names_one_request(store: SqlStore, lease: Lease) -> None:
    with pytest.raises(StoreError, match="exactly one"):
        store.commit(lease, Commit(events=(Event("told", ("a", "b")),)))


def test_equal_events_at_other_places_are_other_events(store: SqlStore, lease: Lease, wave: Wave) -> None:
    prune = Event("prune", ("a",))
    store.commit(lease, Commit(events=(prune, prune)))
    store.commit(lease, Commit(events=(prune, prune)))  # done again after a crash: the same two
    store.commit(lease, Commit(events=(*wave(0).events, prune)))
    store.commit(lease, Commit(events=(prune,)))  # still after the same told event: the same
    kinds = [e.kind for e in unit_events(store.database, lease.run, lease.problem.id)]
    assert kinds == ["prune", "prune", "select", "told", "told", "backpropagate", "prune"]


def test_events_count_from_one_without_gaps(store: SqlStore, lease: Lease, wave: Wave) -> None:
    for number in (0, 0, 1, 0, 2):
        store.commit(lease, wave(number))
    with store.database.reading() as connection:
        seqs = connection.execute(select(EventRow.seq).order_by(EventRow.seq)).scalars().all()
    assert seqs == list(range(1, 13))


def test_a_zombie_writes_nothing(store: SqlStore, spec: RunSpec, wave: Wave) -> None:
    zombie = store.claim(spec.id, "zombie", ttl=0.01, problem="p2")
    assert zombie is not None
    time.sleep(0.05)
    heir = store.claim(spec.id, "heir", ttl=60)
    assert heir is not None
    assert (heir.problem, heir.token) == (zombie.problem, zombie.token + 1)
    before = contents(store)
    attempts: list[Callable[[], None]] = [
        lambda: store.commit(zombie, wave(0)),
        lambda: store.commit(zombie, wave(0), ttl=60),
        lambda: store.finish(zombie, RESULT),
    ]
    for attempt in attempts:
        with pytest.raises(LeaseLostError, match="no longer held"):
            attempt()
    store.release(zombie)
    assert contents(store) == before
    store.commit(heir, Commit(events=(Event("prune"),)))


def test_a_finished_or_released_lease_writes_nothing(
    store: SqlStore, spec: RunSpec, lease: Lease, wave: Wave
) -> None:
    other = store.claim(spec.id, "worker-2", ttl=60)
    assert other is not None
    store.finish(lease, RESULT)
    store.release(other)
    before = contents(store)
    for lost in (lease, other):
        with pytest.raises(LeaseLostError):
            store.commit(lost, wave(0))
        with pytest.raises(LeaseLostError):
            store.finish(lost, RESULT)
    assert contents(store) == before


def test_a_commit_that_fails_at_any_call_writes_nothing(store: SqlStore, lease: Lease, wave: Wave) -> None:
    before, engine, left, nth = contents(store), store.database.engine, 0, 0

    def fail(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise InjectedError

    places = ("before_cursor_execute", "after_cursor_execute", "commit")
    for nth in range(1, 100):
        left = nth
        for place in places:
            event.listen(engine, place, fail)
        try:
            store.commit(lease, wave(0), ttl=60)
        except InjectedError:
            failed = True
        else:
            failed = False
        for place in places:
            event.remove(engine, place, fail)
        if not failed:
            break
        assert contents(store) == before
    assert 15 <= nth < 25
    assert counts(store)["thought"] == 3


def test_problems_keep_their_question(store: SqlStore, spec: RunSpec, lease: Lease) -> None:
    store.create_run(replace(spec, seed=8), [lease.problem, Problem("p3", "numbers", "3 3 3 3")])
    assert store.run(spec.id) == spec
    before = contents(store)
    with pytest.raises(UserError, match="another question"):
        store.create_run(spec, [Problem("p4", "numbers", "4"), Problem("p1", "numbers", "9 9 9 9")])
    assert contents(store) == before


def test_a_seed_must_fit(store: SqlStore, spec: RunSpec) -> None:
    with pytest.raises(UserError, match="64 bits"):
        store.create_run(replace(spec, seed=2**63), [])


def test_an_in_memory_store_is_shared_by_threads(spec: RunSpec) -> None:
    store = SqlStore.open(":memory:")
    store.create_run(spec, [Problem(f"p{i}", "numbers", "1 1") for i in range(20)])
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(store.claim, spec.id, f"w{i}", 60) for i in range(24)]
        claims = [future.result() for future in futures]
    store.close()
    names = [claim.problem.id for claim in claims if claim is not None]
    assert sorted(names) == sorted(f"p{i}" for i in range(20))


class InjectedError(Exception):
    """Raised in the middle of a transaction."""


def request_for(commit: Commit, index: int) -> Request:
    told = [e for e in commit.events if e.kind == "told"]
    return Request.from_json(told[index].detail["request"])


def fields(request: Request) -> dict[str, Any]:
    return request.as_json()


def test_many_rows_of_one_commit_keep_their_order(store: SqlStore, lease: Lease, root: Thought) -> None:
    request = Request(Operator.GENERATE, (root.id,), 40, horizon="answer")
    chain: list[Thought] = []
    for sample in range(10):
        parent = root.id
        for depth in range(1, 5):
            thought = Thought(
                f"{9 - sample}-{9 - depth}",
                (parent,),
                Operator.GENERATE,
                "s",
                depth,
                request.id,
                sample,
                terminal=depth == 4,
            )
            chain.append(thought)
            parent = thought.id
    merged = Thought("merged", (chain[3].id, chain[7].id, root.id), Operator.AGGREGATE, "m", 2, "r2")
    judged = [
        Evaluation(t.id, "step", s, 0.25, request=request.id) for s in ("b", "a") for t in reversed(chain)
    ]
    told = Event("told", (request.id,), {"request": fields(request)})
    store.commit(lease, Commit((*chain, merged), tuple(judged), events=(told,)))
    (outcome,) = store.recorded(lease).outcomes
    assert outcome == Outcome(request, tuple(chain), tuple(judged))
    assert parents_of(store, lease)["merged"] == (chain[3].id, chain[7].id, root.id)


def parents_of(store: SqlStore, lease: Lease) -> dict[str, Sequence[str]]:
    graph = unit_graph(store.database, lease.run, lease.problem.id)
    return {thought.id: thought.parents for thought in graph.thoughts.values()}
