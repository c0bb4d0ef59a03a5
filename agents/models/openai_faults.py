"""What a failed request to an OpenAI-compatible server means: try again, give this call up, or stop the run."""

from __future__ import annotations

import json
from typing import Any, cast

import openai
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from ...graph.errors import ModelError, ModelUnavailableError
from ...graph.ids import derive_rng
from .openai_wire import BadReplyError, ErrorReplyError
from .text import shorten

_FATAL_STATUS = (401, 402, 403, 404)
_FATAL_CODES = frozenset(
    {
        "account_deactivated",
        "billing_hard_limit_reached",
        "billing_not_active",
        "insufficient_quota",
        "invalid_api_key",
        "model_not_found",
    }
)
_RETRIED_STATUS = (408, 409, 425, 429)
_REMEDIES = {
    401: "check the API key",
    402: "pay the bill",
    403: "check the key's permissions",
    404: "check name and URL",
}
_MAX_BACKOFF_S = 30.0


class RetryableError(Exception):
    """Asking again may help.

    Attributes:
        after: seconds the server wants us to wait, or None.
        unreachable: whether no connection came about.
    """

    def __init__(self, message: str, after: float | None = None, *, unreachable: bool = False) -> None:
        super().__init__(message)
        self.after = after
        self.unreachable = unreachable


class RejectedError(Exception):
    """The server refused the request's form (400, 422); the message may name the parameter it does not take."""


def classify(name: str, error: Exception, max_wait: float) -> Exception:
    """Return the error to raise for what the client or the reader raised.

    Args:
        name: of the model.
        error: an `openai` error, `BadReplyError` or `ErrorReplyError`.
        max_wait: seconds we are willing to wait; a longer Retry-After fails the call.
    """
    if isinstance(error, BadReplyError):
        return RetryableError(str(error))
    if isinstance(error, ErrorReplyError):
        if error.code in _FATAL_CODES:
            return ModelUnavailableError(f"{name}: {error} ({error.code}); mend the account and resume")
        return RetryableError(f"{error} {error.code}".strip())
    if isinstance(error, openai.APIStatusError):
        return _classify_status(name, error, max_wait)
    if isinstance(error, openai.APITimeoutError):
        return RetryableError("the server did not answer in time")
    if isinstance(error, openai.APIConnectionError):
        # by name: the client's HTTP library is another package in its next major version
        refused = type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout")
        return RetryableError(f"the connection failed ({error.__cause__ or error})", unreachable=refused)
    return error


def _classify_status(name: str, error: openai.APIStatusError, max_wait: float) -> Exception:
    status, code = error.status_code, _code(error)
    text = f"{status}: {_message(error)}"
    if status in _FATAL_STATUS or code in _FATAL_CODES:
        remedy = _REMEDIES.get(status, "mend the account")
        return ModelUnavailableError(f"{name} is not available ({text}); {remedy} and resume")
    if status in _RETRIED_STATUS or status >= 500:
        after = _retry_after(error)
        if after is not None and after > max_wait:
            return ModelError(
                f"{name} asks to wait {after:.0f} s, longer than {max_wait:.0f} s; lower the concurrency"
            )
        return RetryableError(text, after)
    return RejectedError(text)


def _code(error: openai.APIStatusError) -> str:
    return str(error.code or error.type or "")


def _message(error: openai.APIStatusError) -> str:
    body = error.body
    if isinstance(body, dict):
        return shorten(str(cast("dict[str, Any]", body).get("message") or json.dumps(body)))
    return shorten(str(body or error.message))


def _retry_after(error: openai.APIStatusError) -> float | None:
    """Return the Retry-After header in seconds; its form as a date is not used by model servers and is left out."""
    value = error.response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        return None


def retrying(tries: int, base_wait: float, *seed: Any) -> AsyncRetrying:
    """Return the retry policy of one call: a bounded number of tries, Retry-After, else doubled waits with jitter.

    The jitter derives from `seed`, so a run repeats itself; calls have different seeds, so they do not come in step.
    """

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        scale = 0.5 + derive_rng(0, "retry", state.attempt_number, *seed).random()
        if isinstance(error, RetryableError) and error.after is not None:
            return error.after + 0.1 * scale * base_wait
        return min(_MAX_BACKOFF_S, base_wait * 2 ** (state.attempt_number - 1)) * scale

    return AsyncRetrying(
        stop=stop_after_attempt(tries), wait=wait, retry=retry_if_exception_type(RetryableError), reraise=True
    )


def give_up(name: str, error: Exception, tries: int) -> ModelError:
    """Return the call's final error."""
    if isinstance(error, ModelError):
        return error
    if isinstance(error, RejectedError):
        return ModelError(
            f"{name} refused the request ({error}); change the prompt or the parameters it names"
        )
    if isinstance(error, RetryableError) and error.unreachable:
        return ModelUnavailableError(f"{name}: {error}, {tries} times; start the server or check --base-url")
    return ModelError(f"{name} failed {tries} times, at last with: {error}; resume to try again")
