"""What an OpenAI-compatible server sends back, read with suspicion.

Servers answer 200 with an HTML page, half a JSON document, an error object or no choices; report NaN as a log-probability; send lone surrogates; and
leave out usage. All of that is settled here, without any network.

How tokens are counted: `usage` is what is billed, hidden reasoning included, and is spread over the samples of a request so that their sum is exact.
Without `usage`, a sample counts its reported tokens; without those, its UTF-8 bytes and one for the end, an upper bound, so that a budget still holds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson

from ..base import Finish, GenerationCall, Sample, Sampling
from ..text import clean, clean_logprobs, cut_at_stop, prompt_token_bound, shorten, spread, token_bound
from .faults import Fault, error_fault

_FINISHES: dict[str, Finish] = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "filter",
    "eos": "end",
    "eos_token": "end",
    "end_turn": "end",
    "stop_sequence": "stop",
}

_MAX_COUNT = 10**9
"""Numbers of tokens from here on are taken for nonsense."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One request's completions."""

    samples: tuple[Sample, ...]
    """In the server's order; at least one, maybe fewer than asked for."""
    prompt_tokens: int
    prompt_token_ids: tuple[int, ...] | None = None
    cached_tokens: int = 0
    """Those of `prompt_tokens` that the server had in its prefix cache, 0 where it does not tell."""
    completion_tokens: int = 0
    model: str | None = None
    """Who answered, as the server calls it; None if it does not tell."""


def read_reply(body: bytes, call: GenerationCall) -> Reply:
    """Read the body of a chat or text completion.

    Raises:
        Fault: `malformed` if it is not a whole one; another kind if it is an error object.
    """
    value = _parsed(body)
    if not isinstance(value, dict):
        raise Fault("malformed", f"the reply is not an object: {_start(body)!r}")
    reply = cast("dict[str, Any]", value)
    if reply.get("error"):
        raise error_fault(reply["error"])
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices:
        raise Fault("malformed", "the reply has no choices")
    try:
        return _read(reply, _objects(choices), call)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Fault("malformed", f"the reply is malformed: {shorten(repr(error))}") from error


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body.decode("utf-8"))  # takes NaN and lone surrogates, which are settled below
    except (ValueError, RecursionError) as error:
        raise Fault("malformed", f"the reply is not JSON or was cut off: {_start(body)!r}") from error


def _start(body: bytes) -> str:
    return shorten(body[:200].decode("utf-8", "replace"), 60)


def _read(reply: Mapping[str, Any], choices: Sequence[Mapping[str, Any]], call: GenerationCall) -> Reply:
    samples = [_read_choice(choice, call.sampling) for choice in _in_order(choices)[: call.n]]
    usage = _fields(reply.get("usage"))
    completion, prompt = _count(usage.get("completion_tokens")), _count(usage.get("prompt_tokens"))
    counts = [sample.tokens for sample in samples]
    if completion is not None and completion >= sum(1 for sample in samples if sample.text):
        counts = spread(completion, counts)
    model = reply.get("model")
    return Reply(
        tuple(_counted(sample, tokens) for sample, tokens in zip(samples, counts, strict=True)),
        prompt or prompt_token_bound(call.prompt),
        _ids(reply.get("prompt_token_ids") or choices[0].get("prompt_token_ids")),
        _count(_fields(usage.get("prompt_tokens_details")).get("cached_tokens")) or 0,
        sum(counts),
        model if isinstance(model, str) and model else None,
    )


def _object(value: Any) -> Mapping[str, Any]:
    """Return what has to be an object; raises TypeError if it is something else."""
    if not isinstance(value, dict):
        raise TypeError(f"not an object: {shorten(repr(value), 60)}")
    return cast("dict[str, Any]", value)


def _objects(values: Any) -> list[Mapping[str, Any]]:
    """Return what has to be a list of objects; raises TypeError if it is something else."""
    if not isinstance(values, list):
        raise TypeError(f"not a list: {shorten(repr(values), 60)}")
    return [_object(value) for value in cast("list[Any]", values)]


def _fields(value: Any) -> Mapping[str, Any]:
    """Return what should be an object, without any field if it is something else: nothing depends on it."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _in_order(choices: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the choices by index, none twice; those of a server that does not number them as they came."""
    numbered: dict[int, Mapping[str, Any]] = {}
    for choice in choices:
        numbered.setdefault(int(choice.get("index") or 0), choice)
    if len(numbered) == 1:
        return list(choices)
    return [numbered[index] for index in sorted(numbered)]


def _counted(sample: Sample, tokens: int) -> Sample:
    return Sample(
        sample.text,
        sample.finish,
        tokens,
        sample.token_ids,
        sample.logprobs,
        sample.pieces,
        sample.reasoning,
        sample.alternatives,
    )


def _read_choice(choice: Mapping[str, Any], sampling: Sampling) -> Sample:
    stop = sampling.stop
    content, reasoning, refused = _said(choice)
    text, stopped = cut_at_stop(content, stop)
    finish: Finish = "filter" if refused else "stop" if stopped else _finish(choice, stop)
    ids = _ids(choice.get("token_ids"))
    pieces, logprobs = _token_report(choice.get("logprobs"))
    tokens = next(
        (len(part) for part in (ids, pieces) if part is not None), token_bound(text + (reasoning or ""))
    )
    if pieces is not None and not "".join(pieces).startswith(text):
        pieces = None  # tokens that end within a character are not texts of their own
    told = _alternatives(choice.get("logprobs"), sampling.alternatives) if sampling.alternatives else None
    return Sample(text, finish, tokens, ids, clean_logprobs(logprobs), pieces, reasoning, told)


def _said(choice: Mapping[str, Any]) -> tuple[str, str | None, bool]:
    """Return text, reasoning, and whether the model refused; no text, as of reasoning that was cut, is an empty one."""
    if "message" not in choice:
        return _text(choice["text"]), None, False
    message = _object(choice["message"])
    reasoning = _text(message.get("reasoning")) or _text(message.get("reasoning_content"))
    return _text(message.get("content")), reasoning or None, bool(message.get("refusal"))


def _text(value: Any) -> str:
    """Return a text; one with NUL or a lone surrogate was damaged on its way, for no tokenizer decodes to that, and no store takes it."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("content is not a text")
    if clean(value) != value:
        raise ValueError("a text has a lone surrogate or NUL in it")
    return value


def _count(value: Any) -> int | None:
    """Return a number of tokens, None if it can be none."""
    if not isinstance(value, int | float) or not 0 <= value < _MAX_COUNT:
        return None
    return int(value)


def _finish(choice: Mapping[str, Any], stop: Sequence[str]) -> Finish:
    """Return why a choice ended.

    `stop` means a stop string or the model's own end. vLLM tells which by `stop_reason`; of other servers it is taken
    for a stop string where the call had any.
    """
    reason = choice.get("finish_reason")
    if reason == "stop":
        if "stop_reason" in choice:
            return "stop" if isinstance(choice["stop_reason"], str) else "end"
        return "stop" if stop else "end"
    if reason not in _FINISHES:
        raise ValueError(f"finish_reason {reason!r}")
    return _FINISHES[reason]


def _token_report(report: Any) -> tuple[tuple[str, ...] | None, Sequence[float | None] | None]:
    """Return texts and log-probabilities of the tokens, of a chat's or a text completion's `logprobs`."""
    if not isinstance(report, dict):
        return None, None
    value = cast("dict[str, Any]", report)
    if isinstance(value.get("content"), list):
        rows = _objects(value["content"])
        return tuple(clean(str(row["token"])) for row in rows), [row["logprob"] for row in rows]
    if isinstance(value.get("tokens"), list):
        return tuple(clean(str(token)) for token in value["tokens"]), value.get("token_logprobs")
    return None, None


def _alternatives(report: Any, most: int) -> tuple[tuple[str, float], ...] | None:
    """Return the likeliest first tokens of a chat's or a text completion's `logprobs`, None if there are none."""
    if not isinstance(report, dict):
        return None
    value = cast("dict[str, Any]", report)
    told: list[tuple[str, float | None]]
    if value.get("content"):
        rows = _objects(_objects(value["content"])[0].get("top_logprobs") or [])
        told = [(str(row["token"]), row["logprob"]) for row in rows]
    else:
        first: Any = value.get("top_logprobs") or [None]
        told = list(_object(first[0] or {}).items())
    finite = [(clean(token), min(0.0, float(p))) for token, p in told if p is not None and math.isfinite(p)]
    return tuple(sorted(finite, key=lambda pair: -pair[1])[:most]) or None


def _ids(values: Any) -> tuple[int, ...] | None:
    return None if values is None else tuple(map(int, values))
