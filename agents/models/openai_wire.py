"""What an OpenAI-compatible server sends back, read with suspicion.

Servers answer 200 with an HTML page, half a JSON document, an error object or no choices; report NaN as a
log-probability; send lone surrogates; and leave out usage. All of that is settled here, without any network.

How tokens are counted: `usage` is what is billed, hidden reasoning included, and is spread over the samples of a
request so that their sum is exact. Without `usage`, a sample counts its reported tokens; without those, its UTF-8
bytes and one for the end, an upper bound, so that a budget still holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from .base import Finish, GenerationCall, Sample
from .text import clean, clean_logprobs, cut_at_stop, prompt_token_bound, shorten, spread, token_bound

_FINISHES: dict[str, Finish] = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "filter",
    "eos": "end",
    "eos_token": "end",
    "end_turn": "end",
    "stop_sequence": "stop",
}


class BadReplyError(Exception):
    """The reply is not a completion; asking again may help."""


class ErrorReplyError(Exception):
    """The reply has status 200 and is an error object.

    Attributes:
        code: the server's error code or type, "" if it gave none.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Reply:
    """One request's completions."""

    samples: tuple[Sample, ...]
    """In the server's order; at least one, maybe fewer than asked for."""
    prompt_tokens: int
    prompt_token_ids: tuple[int, ...] | None = None


def read_reply(body: str, call: GenerationCall) -> Reply:
    """Read the body of a chat or text completion.

    Raises:
        BadReplyError: if it is not a whole one.
        ErrorReplyError: if it is an error object.
    """
    try:
        value: Any = json.loads(body)
    except ValueError as error:
        raise BadReplyError(f"the reply is not JSON or was cut off: {shorten(body, 60)!r}") from error
    if not isinstance(value, dict):
        raise BadReplyError(f"the reply is not an object: {shorten(body, 60)!r}")
    reply = cast("dict[str, Any]", value)
    if reply.get("error"):
        raise _error_reply(reply["error"])
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices:
        raise BadReplyError("the reply has no choices")
    try:
        return _read(reply, cast("list[dict[str, Any]]", choices), call)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadReplyError(f"the reply is malformed: {error!r}") from error


def _read(reply: Mapping[str, Any], choices: Sequence[Mapping[str, Any]], call: GenerationCall) -> Reply:
    ordered = sorted(choices, key=lambda choice: int(choice.get("index") or 0))[: call.n]
    samples = [_read_choice(choice, call.sampling.stop) for choice in ordered]
    usage: Mapping[str, Any] = reply.get("usage") or {}
    completion, prompt = usage.get("completion_tokens"), usage.get("prompt_tokens")
    counts = [sample.tokens for sample in samples]
    if completion is not None:
        counts = spread(int(completion), counts)
    ids = reply.get("prompt_token_ids") or choices[0].get("prompt_token_ids")
    return Reply(
        tuple(_counted(sample, tokens) for sample, tokens in zip(samples, counts, strict=True)),
        prompt_token_bound(call.prompt) if prompt is None else int(prompt),
        _ids(ids),
    )


def _counted(sample: Sample, tokens: int) -> Sample:
    return Sample(sample.text, sample.finish, tokens, sample.token_ids, sample.logprobs, sample.pieces)


def _read_choice(choice: Mapping[str, Any], stop: Sequence[str]) -> Sample:
    message: Mapping[str, Any] | None = choice.get("message")
    text = choice.get("text") if message is None else message.get("content")
    if text is not None and not isinstance(text, str):
        raise TypeError("content is not a text")
    text, stopped = cut_at_stop(clean(text or ""), stop)
    finish: Finish = "stop" if stopped else _finish(choice, stop)
    if message is not None and message.get("refusal"):
        finish = "filter"
    ids = _ids(choice.get("token_ids"))
    pieces, logprobs = _token_report(choice.get("logprobs"))
    tokens = next((len(part) for part in (ids, pieces) if part is not None), token_bound(text))
    if pieces is not None and not "".join(pieces).startswith(text):
        pieces = None  # tokens that end within a character are not texts of their own
    return Sample(text, finish, tokens, ids, clean_logprobs(logprobs), pieces)


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
        rows = cast("list[dict[str, Any]]", value["content"])
        return tuple(clean(str(row["token"])) for row in rows), [row["logprob"] for row in rows]
    if isinstance(value.get("tokens"), list):
        return tuple(clean(str(token)) for token in value["tokens"]), value.get("token_logprobs")
    return None, None


def _ids(values: Any) -> tuple[int, ...] | None:
    return None if values is None else tuple(int(value) for value in values)


def _error_reply(error: Any) -> ErrorReplyError:
    if not isinstance(error, dict):
        return ErrorReplyError(shorten(str(error)), "")
    value = cast("dict[str, Any]", error)
    return ErrorReplyError(
        shorten(str(value.get("message"))), str(value.get("code") or value.get("type") or "")
    )
