"""What goes in comes out, on both databases, or is refused; nothing is changed in silence."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thoughtgraph.graph.errors import StoreError
from thoughtgraph.graph.ids import address
from thoughtgraph.graph.ledger import Commit, Event, Lease, ModelCall, RunSpec, ToolCall
from thoughtgraph.graph.records import Evaluation, Operator, Outcome, Problem, Request, Thought
from thoughtgraph.storage.loading import model_calls_of, tool_calls_of
from thoughtgraph.storage.sanitise import dump_json, sanitise
from thoughtgraph.storage.store import SqlStore

INT64 = st.integers(0, 2**63 - 1)
ODD = st.text(st.characters(codec=None, categories=None), max_size=30) | st.sampled_from(
    [
        "\x00",
        "a\ud83d",
        "\udc00b",
        "\ud83d\ude00",
        "\\u0000",
        '"\\ud800"',
        "\ufffe",
        "🦜",
        "e\u0301",
        "\r\n\x1b[31m",
    ]
)
REAL = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | REAL | ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.sampled_from(["a", "b", "🦜", ""]), JSON, max_size=3)
UNIT = st.floats(0, 1)
NUMBERS = itertools.count()


def clean(value: Any) -> Any:
    """The documented change, written independently of the code under test: character by character."""
    if isinstance(value, str):
        return "".join("\ufffd" if c == "\0" or 0xD800 <= ord(c) <= 0xDFFF else c for c in value)
    if isinstance(value, dict):
        return {clean(k): clean(v) for k, v in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return [clean(v) for v in cast("list[Any]", value)]
    return value


@pytest.fixture
def fresh(store: SqlStore, spec: RunSpec) -> SqlStore:
    store.create_run(spec, [])
    return store


def new_lease(store: SqlStore, spec: RunSpec) -> Lease:
    """A unit of its own for each example."""
    problem = Problem(f"p{next(NUMBERS)}", "t", "q")
    store.create_run(spec, [problem])
    lease = store.claim(spec.id, "w", 60, problem.id)
    assert lease is not None
    return lease


EXAMPLES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@EXAMPLES
@given(data=st.data())
def test_outcomes_come_back_as_they_were_told(fresh: SqlStore, spec: RunSpec, data: st.DataObject) -> None:
    lease = new_lease(fresh, spec)
    draw = data.draw
    request = draw(
        st.builds(
            Request,
            operator=st.sampled_from(Operator),
            subjects=st.lists(st.text(max_size=5), max_size=3).map(tuple),
            n=st.integers(0, 9),
            first_sample=INT64,
            horizon=st.sampled_from(["step", "answer"]),
            distinct=st.booleans(),
            temperature=st.none() | REAL,
        )
    )
    thoughts: list[Thought] = []
    for sample in range(draw(st.integers(0, 3))):
        thoughts.append(
            draw(
                st.builds(
                    Thought,
                    id=st.just(address("thought", lease.problem.id, sample)),
                    parents=st.sets(st.sampled_from([t.id for t in thoughts] or [""])).map(
                        lambda ids: tuple(sorted(ids - {""}))
                    ),
                    operator=st.sampled_from(Operator),
                    text=ODD,
                    depth=INT64,
                    request=st.just(request.id),
                    sample=st.just(sample),
                    count=INT64,
                    terminal=st.booleans(),
                    answer=st.none() | ODD,
                    key=st.none() | ODD,
                    state=st.none() | ODD,
                    logprob=st.none() | REAL,
                    tokens=INT64,
                    call=st.none() | ODD,
                )
            )
        )
    evaluations = [
        draw(
            st.builds(
                Evaluation,
                thought=st.just(thought.id),
                kind=st.sampled_from(["step", "outcome", "value", "rule", "critique"]),
                source=st.just(f"source {i}"),
                value=UNIT if i % 2 else st.none(),
                error=st.none() if i % 2 else ODD,
                text=st.none() | ODD,
                rollouts=st.none() | INT64,
                successes=st.none() | INT64,
                request=st.just(request.id),
            )
        )
        for thought in thoughts
        for i in range(2)
    ]
    error = draw(st.none() | ODD)
    told = Event("told", (request.id,), {"request": request.as_json(), "error": error})
    fresh.commit(lease, Commit(tuple(thoughts), tuple(evaluations), events=(told,)))
    texts = ("text", "answer", "key", "state", "call")
    expected = Outcome(
        replace(request, subjects=tuple(clean(list(request.subjects)))),
        tuple(replace(t, **{name: clean(getattr(t, name)) for name in texts}) for t in thoughts),
        tuple(replace(e, error=clean(e.error), text=clean(e.text)) for e in evaluations),
        clean(error),
    )
    assert fresh.recorded(lease).outcomes == (expected,)


@EXAMPLES
@given(prompt=JSON.filter(lambda v: v is not None), parameters=OBJECT, response=JSON, text=ODD, number=REAL)
def test_calls_come_back_as_they_were_made(
    fresh: SqlStore,
    spec: RunSpec,
    prompt: Any,
    parameters: dict[str, Any],
    response: Any,
    text: str,
    number: float,
) -> None:
    lease = new_lease(fresh, spec)
    call = ModelCall("c", "r", "generate", text, prompt, parameters, response, text, 1, 2, number, number)
    tool = ToolCall("c", "r", "t", text, parameters, text, None, None, number)
    fresh.commit(lease, Commit(model_calls=(call,), tool_calls=(tool,)))
    with fresh.database.reading() as connection:
        (stored,) = model_calls_of(connection, lease.run, lease.problem.id)
        (stored_tool,) = tool_calls_of(connection, lease.run, lease.problem.id)
    assert stored == replace(
        call,
        model=clean(text),
        prompt=clean(prompt),
        parameters=clean(parameters),
        response=clean(response),
        error=clean(text),
    )
    assert stored_tool == replace(tool, tool=clean(text), arguments=clean(parameters), result=clean(text))
    assert json.dumps(stored.response) == json.dumps(clean(response)), "a number changed its type"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_refused(store: SqlStore, lease: Lease, root: Thought, bad: float) -> None:
    call = ModelCall("c", "r", "generate", "m", "p", {}, {"logprobs": [bad]})
    commits = [
        Commit(thoughts=(replace(root, id="t", logprob=bad),)),
        Commit(model_calls=(call,)),
        Commit(model_calls=(replace(call, response=None, seconds=bad),)),
        Commit(events=(Event("backpropagate", (), {"value": bad}),)),
    ]
    for commit in commits:
        with pytest.raises(StoreError, match="cannot be stored"):
            store.commit(lease, replace(commit, tool_calls=(ToolCall("t", "r", root.id, "x", {}, "1"),)))
    assert not store.recorded(lease).tools, "the rows beside the bad one were written"


def test_numbers_too_large_for_a_column_are_refused(store: SqlStore, lease: Lease, root: Thought) -> None:
    with pytest.raises(StoreError, match="failed"):
        store.commit(lease, Commit(thoughts=(replace(root, id="t", tokens=2**70),)))


def test_values_without_a_json_form_are_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (object(), {1: b"bytes"}, deep, {"a\x00": 1, "a\ud800": 2}):
        with pytest.raises(StoreError, match="cannot be stored as JSON"):
            dump_json(value)


@given(ODD)
def test_sanitise_changes_only_what_cannot_be_stored(text: str) -> None:
    assert sanitise(text) == clean(text)
    assert sanitise(sanitise(text)) == sanitise(text)


@given(JSON)
def test_json_is_sanitised_inside(value: Any) -> None:
    assert json.loads(dump_json(value)) == clean(value)
