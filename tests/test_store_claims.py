"""Units of work: each is worked on by one worker at a time, and by none once it is done."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.ledger import Commit, EndStatus, Lease, RunSpec, UnitResult
from thoughtgraph.graph.records import Problem, Usage
from thoughtgraph.storage.read import list_units
from thoughtgraph.storage.store import SqlStore

WORKER = """
import json, sys
from thoughtgraph.storage.store import SqlStore
store, claimed = SqlStore.open(sys.argv[1]), []
print("ready", flush=True)
sys.stdin.readline()
while (lease := store.claim("run-1", sys.argv[2], 60)) is not None:
    store.recorded(lease)
    claimed.append(lease.problem.id)
store.close()
print(json.dumps(claimed))
"""


def problems(count: int) -> list[Problem]:
    return [Problem(f"p{i:03}", "numbers", f"{i} 1 1 1") for i in range(count)]


def result(status: EndStatus = "no_answer") -> UnitResult:
    return UnitResult(status, None, None, None, "finished", Usage())


def claimed(lease: Lease | None) -> Lease:
    assert lease is not None
    return lease


def test_units_are_claimed_in_the_order_they_were_added(store: SqlStore, spec: RunSpec) -> None:
    later, earlier = problems(4)[:2], problems(4)[2:]
    store.create_run(spec, earlier)
    store.create_run(spec, [*later, *earlier])
    leases = [store.claim(spec.id, "w", 60) for _ in range(5)]
    assert [lease and lease.problem for lease in leases] == [*earlier, *later, None]
    assert [lease and lease.token for lease in leases] == [1, 1, 1, 1, None]


def test_a_named_problem_is_claimed_if_it_is_free(store: SqlStore, spec: RunSpec) -> None:
    store.create_run(spec, problems(3))
    assert claimed(store.claim(spec.id, "w", 60, problem="p001")).problem.id == "p001"
    assert store.claim(spec.id, "w", 60, problem="p001") is None
    assert store.claim(spec.id, "w", 60, problem="p999") is None
    assert store.claim("run-2", "w", 60) is None


def test_an_expired_lease_goes_to_another_worker_first(store: SqlStore, spec: RunSpec) -> None:
    store.create_run(spec, problems(3))
    first = claimed(store.claim(spec.id, "w1", 0.05))
    second = claimed(store.claim(spec.id, "w1", 60))
    time.sleep(0.1)
    again = claimed(store.claim(spec.id, "w2", 60))
    assert (again.problem, again.token, again.worker) == (first.problem, 2, "w2")
    assert claimed(store.claim(spec.id, "w2", 60)).problem not in (first.problem, second.problem)


def test_a_commit_extends_the_lease(store: SqlStore, lease: Lease, spec: RunSpec) -> None:
    store.commit(lease, Commit(), ttl=0.05)
    time.sleep(0.1)
    store.commit(lease, Commit(), ttl=60)  # expired, but nobody took it
    assert store.claim(spec.id, "w2", 60, problem=lease.problem.id) is None


def test_a_released_unit_is_claimed_again_and_a_done_one_never(store: SqlStore, spec: RunSpec) -> None:
    store.create_run(spec, problems(2))
    first, second = (claimed(store.claim(spec.id, "w", 60)) for _ in range(2))
    store.finish(first, result("answered"))
    store.release(second)
    again = claimed(store.claim(spec.id, "w", 60))
    assert (again.problem, again.token) == (second.problem, 2)
    store.finish(again, result())
    assert store.claim(spec.id, "w", 60) is None
    assert [unit.status for unit in list_units(store.database, spec.id)] == ["done", "done"]


def test_a_finished_unit_is_graded(store: SqlStore, spec: RunSpec) -> None:
    store.create_run(spec, problems(2))
    store.finish(claimed(store.claim(spec.id, "w", 60)), result("answered"))
    for verdict in (False, True):
        store.grade(spec.id, "p000", verdict)
        assert [unit.correct for unit in list_units(store.database, spec.id)] == [verdict, None]
    for problem in ("p001", "p999"):
        with pytest.raises(UserError, match="cannot be graded"):
            store.grade(spec.id, problem, True)


def test_a_failed_unit_is_claimed_again_only_if_reopened(store: SqlStore, spec: RunSpec) -> None:
    store.create_run(spec, problems(2))
    statuses: tuple[EndStatus, ...] = ("failed", "answered")
    for status in statuses:
        store.finish(claimed(store.claim(spec.id, "w", 60)), result(status))
    assert store.claim(spec.id, "w", 60) is None
    assert store.reopen_failed(spec.id) == 1
    assert list_units(store.database, spec.id)[0].result is None
    assert claimed(store.claim(spec.id, "w", 60)).problem.id == "p000"
    assert store.reopen_failed(spec.id) == 0


def test_threads_claim_each_unit_once(store: SqlStore, spec: RunSpec) -> None:
    store.create_run(spec, problems(60))

    def work(worker: int) -> list[str]:
        names: list[str] = []
        while (lease := store.claim(spec.id, f"w{worker}", 60)) is not None:
            names.append(lease.problem.id)
        return names

    with ThreadPoolExecutor(6) as pool:
        shares = list(pool.map(work, range(6)))
    assert sorted(name for share in shares for name in share) == [p.id for p in problems(60)]


def test_processes_claim_each_unit_once(store: SqlStore, store_url: str, spec: RunSpec) -> None:
    store.create_run(spec, problems(300))
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, store_url, f"w{i}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    shares = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]
    assert all(shares), "one worker took everything: the test tested nothing"
    assert sorted(name for share in shares for name in share) == [p.id for p in problems(300)]


def test_claims_do_not_slow_down_with_finished_units(store: SqlStore, spec: RunSpec) -> None:
    store.create_run(spec, problems(1200))
    explain = "explain query plan" if store.database.dialect == "sqlite" else "explain"
    query = "select problem from unit where run = 'run-1' and status = 'pending' order by position limit 1"
    with store.database.reading() as connection:
        plan = " ".join(str(row) for row in connection.exec_driver_sql(f"{explain} {query}"))
    assert "ix_unit_run_status_position" in plan
    assert "temp b-tree" not in plan.lower()
