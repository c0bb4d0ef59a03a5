"""Generations as JSON values, the form in which the store keeps and replays them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from ...graph.errors import StoreError
from .base import Finish, Generation, Sample

_FINISHES: frozenset[str] = frozenset(get_args(Finish))


def generation_to_json(generation: Generation) -> dict[str, Any]:
    """Return the generation as a JSON object; `generation_from_json` gives back an equal one.

    Fields that the backend did not report are left out.
    """
    samples: list[dict[str, Any]] = []
    for sample in generation.samples:
        row: dict[str, Any] = {"text": sample.text, "finish": sample.finish, "tokens": sample.tokens}
        if sample.token_ids is not None:
            row["token_ids"] = list(sample.token_ids)
        if sample.logprobs is not None:
            row["logprobs"] = list(sample.logprobs)
        if sample.pieces is not None:
            row["pieces"] = list(sample.pieces)
        if sample.reasoning is not None:
            row["reasoning"] = sample.reasoning
        if sample.alternatives is not None:
            row["alternatives"] = [list(alternative) for alternative in sample.alternatives]
        samples.append(row)
    value: dict[str, Any] = {"samples": samples, "prompt_tokens": generation.prompt_tokens}
    if generation.prompt_token_ids is not None:
        value["prompt_token_ids"] = list(generation.prompt_token_ids)
    if generation.extra_tokens:
        value["extra_tokens"] = generation.extra_tokens
    return value


def generation_from_json(value: Mapping[str, Any]) -> Generation:
    """Return the generation that `generation_to_json` wrote.

    Raises:
        StoreError: if the value is not such an object.
    """
    try:
        return Generation(
            samples=tuple(_sample(row) for row in value["samples"]),
            prompt_tokens=int(value["prompt_tokens"]),
            prompt_token_ids=_ids(value.get("prompt_token_ids")),
            extra_tokens=int(value.get("extra_tokens", 0)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"a recorded generation is malformed ({error!r}); the record was altered") from error


def _sample(row: Mapping[str, Any]) -> Sample:
    finish = row["finish"]
    if finish not in _FINISHES:
        raise ValueError(f"finish {finish!r}")
    logprobs, pieces, reasoning = row.get("logprobs"), row.get("pieces"), row.get("reasoning")
    told = row.get("alternatives")
    return Sample(
        text=str(row["text"]),
        finish=finish,
        tokens=int(row["tokens"]),
        token_ids=_ids(row.get("token_ids")),
        logprobs=None if logprobs is None else tuple(float(value) for value in logprobs),
        pieces=None if pieces is None else tuple(str(piece) for piece in pieces),
        reasoning=None if reasoning is None else str(reasoning),
        alternatives=None if told is None else tuple((str(text), float(logprob)) for text, logprob in told),
    )


def _ids(values: Any) -> tuple[int, ...] | None:
    return None if values is None else tuple(int(value) for value in values)
