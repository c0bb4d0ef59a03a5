"""Fixtures shared by all tests: stores on every supported database.

PostgreSQL is looked for at THOUGHTGRAPH_TEST_POSTGRES, else on this machine. Every file of tests gets a database of its own, empty for each test.
Without a server those tests are skipped, but not where CI=true.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from http_server import http_server
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from vllm_server import serve, vllm_policy, vllm_policy_url, vllm_scorer_url

from thoughtgraph.graph.ids import address
from thoughtgraph.graph.ledger import Commit, Event, Lease, ModelCall, RunSpec, ToolCall
from thoughtgraph.graph.records import Evaluation, Operator, Problem, Request, Thought, Usage
from thoughtgraph.storage.store import SqlStore

__all__ = ["http_server", "serve", "vllm_policy", "vllm_policy_url", "vllm_scorer_url"]  # fixtures

POSTGRES = os.environ.get(
    "THOUGHTGRAPH_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
)


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """URL of a server on which databases can be made."""
    url = make_url(POSTGRES).set(drivername="postgresql+psycopg")
    engine = create_engine(url, connect_args={"connect_timeout": 3})
    try:
        with engine.connect():
            pass
    except OperationalError as error:
        reason = f"no PostgreSQL at {url}: {str(error.orig).splitlines()[0]}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    finally:
        engine.dispose()
    return url.render_as_string(hide_password=False)


@pytest.fixture
def postgres_databases(postgres_server: str) -> Iterator[Callable[[], str]]:
    """A maker of empty PostgreSQL databases, which gives their URLs; all are dropped after the test."""
    admin = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    made: list[str] = []

    def make() -> str:
        made.append(f"thoughtgraph_test_{uuid.uuid4().hex[:12]}")
        with admin.connect() as connection:
            connection.execute(text(f"create database {made[-1]}"))
        return make_url(postgres_server).set(database=made[-1]).render_as_string(hide_password=False)

    yield make
    with admin.connect() as connection:
        for name in made:
            connection.execute(text(f"drop database {name} with (force)"))
    admin.dispose()


@pytest.fixture(scope="module")
def postgres_database(postgres_server: str) -> Iterator[str]:
    """URL of a PostgreSQL database for the tests of one file, dropped after them."""
    name = f"thoughtgraph_test_{uuid.uuid4().hex[:12]}"
    admin = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database {name}"))
    yield make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))
    admin.dispose()


@pytest.fixture
def postgres_url(postgres_database: str) -> Iterator[str]:
    """URL of a PostgreSQL database that is empty at the start of the test."""
    yield postgres_database
    engine = create_engine(postgres_database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(
            text(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
        )
        connection.execute(text("drop schema public cascade"))
        connection.execute(text("create schema public"))
    engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database: a SQLite file, and a PostgreSQL database."""
    if request.param == "sqlite":
        return str(tmp_path / "store.db")
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def store(store_url: str) -> Iterator[SqlStore]:
    """An open, empty store on each database."""
    opened = SqlStore.open(store_url)
    yield opened
    opened.close()


@pytest.fixture
def spec() -> RunSpec:
    """A run to create."""
    return RunSpec("run-1", "numbers", "tot", {"beam": 3, "model": "builtin:numbers"}, seed=7)


@pytest.fixture
def lease(store: SqlStore, spec: RunSpec) -> Lease:
    """The lease of the first of two units, whose root is written."""
    store.create_run(spec, [Problem("p1", "numbers", "1 2 3 4"), Problem("p2", "numbers", "2 3 4 5")])
    claimed = store.claim(spec.id, "worker-1", ttl=60)
    assert claimed is not None
    store.commit(claimed, Commit((root_of(claimed),)), ttl=60)
    return claimed


def root_of(lease: Lease) -> Thought:
    """Return the root of a unit."""
    return Thought(
        address("root", lease.run, lease.problem.id), (), Operator.GENERATE, lease.problem.question, depth=0
    )


@pytest.fixture
def root(lease: Lease) -> Thought:
    """The root of the leased unit."""
    return root_of(lease)


@pytest.fixture
def wave(lease: Lease, root: Thought) -> Callable[[int], Commit]:
    """A function that makes the n-th wave of a unit: two requests on the root, each with a row of every kind."""

    def make(number: int) -> Commit:
        requests = [Request(Operator.GENERATE, (root.id,), 1, 2 * number + i) for i in range(2)]
        calls = tuple(
            ModelCall(
                address("call", r.id),
                r.id,
                "generate",
                "m",
                "1 2 3 4\n",
                {"temperature": 0.7},
                [{"text": "1 + 2"}],
            )
            for r in requests
        )
        thoughts = tuple(
            Thought(
                id=address("thought", lease.run, lease.problem.id, r.id),
                parents=(root.id,),
                operator=Operator.GENERATE,
                text="1 + 2 = 3 (left: 3 3 4)",
                depth=1,
                request=r.id,
                sample=r.first_sample,
                tokens=12,
                call=call.id,
            )
            for r, call in zip(requests, calls, strict=True)
        )
        usage = Usage(
            prompt_tokens=5, completion_tokens=12, model_calls=1, verifier_calls=1, seconds=number + 1.0
        )
        told = [
            Event("told", (r.id,), {"request": r.as_json(), "error": None, "usage": usage.as_dict()})
            for r in requests
        ]
        return Commit(
            thoughts=thoughts,
            evaluations=tuple(Evaluation(t.id, "step", "prm@1", 0.5, request=t.request) for t in thoughts),
            model_calls=calls,
            tool_calls=tuple(
                ToolCall(
                    address("tool", t.id),
                    t.request,
                    t.id,
                    "calculator",
                    {"expression": "1 + 2"},
                    "3",
                    ok=True,
                )
                for t in thoughts
            ),
            events=(Event("select", (root.id,)), *told, Event("backpropagate", (root.id,), {"value": 0.5})),
        )

    return make
