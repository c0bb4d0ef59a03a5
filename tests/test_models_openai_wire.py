"""Replies of any shape: what is no reply is a fault, and a defect of ours is not taken for one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoughtgraph.agents.models.base import GenerationCall, Message, Sampling
from thoughtgraph.agents.models.remote import wire
from thoughtgraph.agents.models.remote.faults import Fault
from thoughtgraph.agents.models.remote.wire import read_reply

CALL = GenerationCall((Message("user", "hello"),), Sampling(9, alternatives=2))
CHAT: dict[str, Any] = {
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"content": "hi", "reasoning": "why"},
            "logprobs": {
                "content": [
                    {"token": "hi", "logprob": -0.5, "top_logprobs": [{"token": "hi", "logprob": -0.5}]}
                ]
            },
            "token_ids": [4],
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}},
}
TEXT: dict[str, Any] = {
    "choices": [
        {
            "finish_reason": "length",
            "text": "hi",
            "logprobs": {"tokens": ["hi"], "token_logprobs": [-0.5], "top_logprobs": [{"hi": -0.5}]},
        }
    ]
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**12) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc") | st.text(), inner, max_size=2)
    ),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where something stands in a JSON value."""
    if path:
        yield path
    rows: dict[Any, Any] = {}
    if isinstance(value, dict):
        rows = cast("dict[str, Any]", value)
    elif isinstance(value, list):
        rows = dict(enumerate(cast("list[Any]", value)))
    for key, inner in rows.items():
        yield from places(inner, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> bytes:
    """Return a copy with something else in one place."""
    copy = json.loads(json.dumps(value))
    *before, last = path
    place = copy
    for key in before:
        place = place[key]
    place[last] = new
    return json.dumps(copy).encode()


@pytest.mark.parametrize("reply", [CHAT, TEXT], ids=["chat", "text"])
def test_a_whole_reply_is_read(reply: dict[str, Any]) -> None:
    [sample] = read_reply(json.dumps(reply).encode(), CALL).samples
    assert (sample.text, sample.logprobs, sample.alternatives) == ("hi", (-0.5,), (("hi", -0.5),))


@given(st.sampled_from([(r, p) for r in (CHAT, TEXT) for p in places(r)]), ANYTHING)
def test_a_reply_with_anything_anywhere_is_read_or_a_fault(
    where: tuple[dict[str, Any], tuple[Any, ...]], new: Any
) -> None:
    with suppress(Fault):
        assert len(read_reply(changed(*where, new), CALL).samples) == 1


@pytest.mark.parametrize(
    ("path", "new"),
    [
        (("choices", 0), "hi"),
        (("choices", 0, "message"), "hi"),
        (("choices", 0, "message"), None),
        (("choices", 0, "logprobs", "content", 0), "hi"),
        (("choices", 0, "logprobs", "content", 0, "top_logprobs", 0), 3),
    ],
)
def test_what_has_to_be_an_object_and_is_none_is_malformed(path: tuple[Any, ...], new: Any) -> None:
    with pytest.raises(Fault, match="not an object") as refusal:
        read_reply(changed(CHAT, path, new), CALL)
    assert refusal.value.kind == "malformed"


def test_a_defect_of_ours_is_not_taken_for_a_bad_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise AttributeError("no such field")

    monkeypatch.setattr(wire, "_finish", broken)
    with pytest.raises(AttributeError):
        read_reply(json.dumps(CHAT).encode(), CALL)
