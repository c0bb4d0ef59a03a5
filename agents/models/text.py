"""What every remote model's text goes through: cleaning, stop strings, and token counts where a server reports none."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .base import GenerationCall, Message

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_TURN_OVERHEAD = 16
"""Tokens that a chat template may add to a turn; templates in use add at most about ten."""


def clean(text: str) -> str:
    """Return `text` as every store accepts it: lone surrogates and NUL replaced by U+FFFD, surrogate pairs joined."""
    if text.isascii() and "\0" not in text:
        return text
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return joined.replace("\0", REPLACEMENT)


def cut_at_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """Return the text before the first stop string in it, and whether there was one."""
    first = min((at for at in (text.find(s) for s in stop if s) if at >= 0), default=-1)
    return (text, False) if first < 0 else (text[:first], True)


def clean_logprobs(values: Sequence[float | None] | None) -> tuple[float, ...] | None:
    """Return log-probabilities, or None if any of them is missing, not a number or infinite.

    A sequence with a hole says nothing about a sample's likelihood, so it is dropped as a whole; positive rounding
    residue becomes 0.
    """
    if values is None:
        return None
    kept = [min(0.0, float(v)) for v in values if v is not None and math.isfinite(v)]
    return tuple(kept) if len(kept) == len(values) else None


def token_bound(text: str) -> int:
    """Return an upper bound on the tokens of a completion: its UTF-8 bytes, and one for the end.

    No tokenizer in use spends more than a token a byte, so a budget counted this way still holds.
    """
    return len(text.encode("utf-8", "replace")) + 1


def prompt_token_bound(prompt: str | tuple[Message, ...]) -> int:
    """Return an upper bound on the tokens of a prompt, chat template included."""
    if isinstance(prompt, str):
        return token_bound(prompt)
    return _TURN_OVERHEAD + sum(token_bound(turn.content) + _TURN_OVERHEAD for turn in prompt)


def spread(total: int, weights: Sequence[int]) -> list[int]:
    """Return whole shares of `total` in proportion to `weights`; the shares sum to `total` exactly.

    Weights that already sum to `total` come back unchanged.
    """
    whole = sum(weights)
    if whole == total:
        return list(weights)
    if whole == 0:
        weights, whole = [1] * len(weights), len(weights)
    ends = [total * sum(weights[: i + 1]) // whole for i in range(len(weights))]
    return [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def continues_assistant(call: GenerationCall) -> bool:
    """Return whether the call's last turn is by the assistant, so that it is to be continued."""
    return not isinstance(call.prompt, str) and bool(call.prompt) and call.prompt[-1].role == "assistant"


def shorten(text: str, width: int = 160) -> str:
    """Return `text` on one line of at most `width` characters, for messages."""
    line = " ".join(clean(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"
