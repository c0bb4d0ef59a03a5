"""What may go wrong between us and an OpenAI-compatible server, and what is done about each.

| fault | what it is | action | tries |
|---|---|---|---|
| `unreachable` | no connection (refused, no such host, too slow, a proxy's no) | back off; at last the run fails | 5 |
| `broken` | reset, body shorter than announced, not HTTP, cannot be unpacked | retry now | 5 |
| `timeout` | no whole reply in time | back off | 3 |
| `malformed` | 200 with truncated JSON, HTML, bad UTF-8, no choices, wrong shape | retry now | 5 |
| `too_large` | a body larger than the call can need, packed (gzip bomb) or not | retry once | 2 |
| `busy` | 429: obeyed, see `limiter`; flow control more than a fault | back off | 10 |
| `server_error` | 5xx, 408, 409, 425, or an error object with status 200 | back off | 5 |
| `garbled` | 400 that says our body is not valid JSON: cut on its way | retry once | 2 |
| `context` | 400 because prompt and answer do not fit in the context; a prompt that does is asked again for what is left | fail the call | 1 |
| `refused` | any other 4xx, a prompt that moderation flagged among them | fail the call | 1 |
| `account` | 401, 402, 403, quota spent, account closed | fail the run | 1 |
| `not_found` | 404, 405, 410: no such model or no such path | fail the run | 1 |
| `unsupported` | 501, or a 400 that says so: the server was not started for what is asked of it | fail the run | 1 |
| `redirected` | 3xx: the base URL is another one | fail the run | 1 |
| `certificate` | the server's certificate is not trusted | fail the run | 1 |
| `swapped` | a model answered that was not asked for | fail the run | 1 |
| `long_wait` | Retry-After longer than `max_wait` | fail the run | 1 |

Tries are of one fault; a call has twice as many in all, whatever mixture it meets. With several servers the next try goes to another one. The number 5 is
`tries` of the model. Two answers are soft, no faults, and become samples: cut at the token limit (finish `length`) and withheld by a content filter
(finish `filter`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from enum import StrEnum
from time import time
from typing import Any, Literal, cast

from ..text import shorten

Kind = Literal[
    "unreachable",
    "broken",
    "timeout",
    "malformed",
    "too_large",
    "busy",
    "server_error",
    "garbled",
    "context",
    "refused",
    "account",
    "not_found",
    "unsupported",
    "redirected",
    "certificate",
    "swapped",
    "long_wait",
]


class Action(StrEnum):
    """What is done about a fault."""

    RETRY_NOW = "retry now"
    BACK_OFF = "back off"
    RETRY_ONCE = "retry once"
    FAIL_CALL = "fail the call"
    FAIL_RUN = "fail the run"


ACTIONS: Mapping[Kind, Action] = {
    "unreachable": Action.BACK_OFF,
    "broken": Action.RETRY_NOW,
    "timeout": Action.BACK_OFF,
    "malformed": Action.RETRY_NOW,
    "too_large": Action.RETRY_ONCE,
    "busy": Action.BACK_OFF,
    "server_error": Action.BACK_OFF,
    "garbled": Action.RETRY_ONCE,
    "context": Action.FAIL_CALL,
    "refused": Action.FAIL_CALL,
    "account": Action.FAIL_RUN,
    "not_found": Action.FAIL_RUN,
    "unsupported": Action.FAIL_RUN,
    "redirected": Action.FAIL_RUN,
    "certificate": Action.FAIL_RUN,
    "swapped": Action.FAIL_RUN,
    "long_wait": Action.FAIL_RUN,
}

_ACCOUNT_CODES = frozenset(
    {
        "account_deactivated",
        "billing_hard_limit_reached",
        "billing_not_active",
        "insufficient_quota",
        "invalid_api_key",
    }
)
_BY_STATUS: Mapping[int, Kind] = {
    401: "account",
    402: "account",
    403: "account",
    404: "not_found",
    405: "not_found",
    408: "server_error",
    409: "server_error",
    410: "not_found",
    425: "server_error",
    429: "busy",
    501: "unsupported",
}
_CONTEXT = re.compile(
    r"context[ _]?(?:length|size|window)|maximum model length|exceed_context_size|input tokens exceed|max_model_len",
    re.IGNORECASE,
)
_GARBLED = re.compile(r"(?:not|n't|parse|invalid|decode).{0,30}\bJSON|JSON (?:decode|parse)", re.IGNORECASE)
_NO_SUCH_TASK = re.compile(r"does not support [\w ]{1,40} API", re.IGNORECASE)
"""How vLLM says that it was started for another task, with status 501 or, in earlier versions, 400."""
_ABOUT_CALL = re.compile(r"moderation|flagged|content[ _](?:policy|filter)|logprobs", re.IGNORECASE)
"""In a reply with status 403: it is about this prompt or a parameter, not about the key."""
_PROMPT_TOKENS = re.compile(
    r"(?:contains (?:at least )?(?=\d+ input)|resulted in |request \(|input \(|\(length |tokens \(|tokens: )(\d+)",
    re.IGNORECASE,
)
_ROOM = re.compile(
    r"(?:context length (?:is |of |\()|model length of |context size \(|configured limit of |max_model_len=)(\d+)",
    re.IGNORECASE,
)


class Fault(Exception):
    """One try failed.

    Attributes:
        kind: what happened, see the table above.
        after: seconds that the server wants us to wait, None if it named no time.
        told: everything the server said, for those who look for a parameter's name in it.
        room: of the kind `context`: tokens that an answer may have at most, as far as the server tells; 0 or less if none, or if it tells nothing.
        context: tokens that prompt and answer may have together, where the server tells the prompt's too (`context - room`); else 0.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        after: float | None = None,
        told: str = "",
        room: int = 0,
        context: int = 0,
    ) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.after = after
        self.told = told
        self.room = room
        self.context = context

    @property
    def action(self) -> Action:
        return ACTIONS[self.kind]


def status_fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """Return the fault of a reply whose status is not 2xx."""
    told = body.decode("utf-8", "replace")
    message, code = _error_of(told)
    if 300 <= status < 400:
        where = shorten(headers.get("location", "another place"), 100)
        return Fault("redirected", f"the server redirects to {where} ({status})")
    text = f"{status}: {message}" if message else str(status)
    return _told_fault(_kind(status, code, told), text, told, after=retry_after(headers))


def error_fault(error: Any) -> Fault:
    """Return the fault of an error object in a reply with status 200; its code may be an HTTP status, as gateways write it."""
    told = json.dumps({"error": error})
    message, code = _error_of(told)
    status = int(code) if code.isdigit() and 400 <= int(code) < 600 else 500
    return _told_fault(_kind(status, code, told), f"{message} {code}".strip(), told)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the server wants us to wait, from `retry-after-ms` or either form of `Retry-After`; None if it does not say.

    A date is compared with the reply's own, so that it does not matter what our clock says.
    """
    milliseconds, text = headers.get("retry-after-ms", ""), headers.get("retry-after", "")
    for number, unit in ((milliseconds, 1000.0), (text, 1.0)):
        if re.fullmatch(r"\d{1,9}(?:\.\d*)?", number):
            return float(number) / unit
    then, now = _date(text), _date(headers.get("date", ""))
    return None if then is None else max(0.0, then - (time() if now is None else now))


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _kind(status: int, code: str, told: str) -> Kind:
    if code in _ACCOUNT_CODES:
        return "account"
    if status == 403 and _ABOUT_CALL.search(told):
        return "refused"
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return "server_error"
    if _CONTEXT.search(told):
        return "context"
    if status == 400 and _NO_SUCH_TASK.search(told):
        return "unsupported"
    return "garbled" if status in (400, 422) and _GARBLED.search(told) else "refused"


def _error_of(told: str) -> tuple[str, str]:
    """Return message and code of an error reply, of whatever shape."""
    try:
        body: Any = json.loads(told)
    except (ValueError, RecursionError):
        return shorten(_without_tags(told)), ""
    error: Any = (
        cast("dict[str, Any]", body).get("error", cast("Any", body)) if isinstance(body, dict) else body
    )
    if not isinstance(error, dict):
        return shorten(str(error)), ""
    fields = cast("dict[str, Any]", error)
    message = fields.get("message") or fields.get("detail") or json.dumps(fields)
    return shorten(str(message)), str(fields.get("code") or fields.get("type") or "")


def _without_tags(text: str) -> str:
    return re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<(script|style)\b.*?</\1>", " ", text[:5000]))


def _told_fault(kind: Kind, text: str, told: str, after: float | None = None) -> Fault:
    """Return the fault that a reply tells of; the prompt's tokens and the context stand before its message where it is about them."""
    if kind != "context":
        return Fault(kind, text, after=after, told=told)
    prompt = re.search(r'"n_prompt_tokens":\s*(\d+)', told) or _PROMPT_TOKENS.search(told)
    context = re.search(r'"n_ctx":\s*(\d+)', told) or _ROOM.search(told)
    if context is None or prompt is None:
        return Fault(kind, text, after=after, told=told, room=int(context[1]) if context else 0)
    text = f"the prompt has {prompt[1]} tokens, the context {context[1]} ({text})"
    most = int(context[1])
    return Fault(kind, text, after=after, told=told, room=most - int(prompt[1]), context=most)
