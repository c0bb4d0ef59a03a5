"""From the numbers that a scoring model gives to scores: which ones are wanted, which are the same, and what they mean.

A number of a causal model depends on the ids up to its position and on nothing else. So it belongs to these ids: a trace that begins like another one
costs nothing, and a server that reads the last token of what it is sent gives the same score as one that reads a whole trace at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ....graph.errors import ModelError
from ..base import Trace
from .formats import TraceFormat
from .trace_encoding import EncodedTrace

Spot = tuple[tuple[int, ...], int]
"""A place where a number is read: the ids on which it depends, and its position in them."""


def probability(row: Sequence[float]) -> float:
    """Return the score in [0, 1] that a head's raw outputs at one position amount to; NaN stays NaN.

    One output is a logit (of an unbounded reward its sigmoid, which keeps the order); two are those of bad and good, of which the softmax is taken.

    Raises:
        ModelError: if there are more outputs, or none.
    """
    if len(row) not in (1, 2):
        raise ModelError(
            f"the model gave {len(row)} numbers at a position; a scoring model has 1 or 2 labels"
        )
    logit = row[0] if len(row) == 1 else row[1] - row[0]
    if logit >= 0 or math.isnan(logit):
        return 1 / (1 + math.exp(-logit))
    odds = math.exp(logit)
    return odds / (1 + odds)


class Batch:
    """The traces of one request, what has to be computed for them, and their results.

    Args:
        name: of the scoring model, for messages.
        format: how it wants traces.
        traces: to be scored; equal ones are computed once.
        context: tokens it can read at most, None if that is not known.
        vocabulary: ids it knows, None if that is not known.
        causal: whether numbers depend on earlier tokens only.
    """

    def __init__(
        self,
        name: str,
        format: TraceFormat,
        traces: Sequence[Trace],
        *,
        context: int | None = None,
        vocabulary: int | None = None,
        causal: bool = True,
    ) -> None:
        self._name, self._format, self._causal = name, format, causal
        self._context, self._vocabulary = context, vocabulary
        self._encoded: dict[tuple[str, tuple[str, ...]], EncodedTrace | ModelError] = {}
        self._numbers: dict[Spot, float] = {}
        self._failed: dict[tuple[int, ...], ModelError] = {}
        self._wanted = [self._spots(trace) for trace in traces]

    @property
    def longest(self) -> list[EncodedTrace]:
        """The traces whose numbers hold all that are still wanted, longest first: none that another one begins with."""
        wanted = set(self._missing())
        kept: list[EncodedTrace] = []
        whole = [one for one in self._encoded.values() if isinstance(one, EncodedTrace)]
        for trace in sorted(whole, key=lambda trace: -len(trace.ids)):
            spots = {self._spot(trace, tag) for tag in trace.tags}
            if trace.ids not in self._failed and not wanted.isdisjoint(spots):
                kept.append(trace)
                wanted -= spots
        return kept

    @property
    def states(self) -> list[EncodedTrace]:
        """For each number still wanted, the ids up to it, as a trace with that number alone."""
        return [EncodedTrace(ids, (at,)) for ids, at in dict.fromkeys(self._missing())]

    def read(self, trace: EncodedTrace, rows: Sequence[Sequence[float]] | ModelError) -> None:
        """Take the raw outputs at a trace's positions, one row a position, or why there are none.

        A failure is that of this trace alone: others that it begins with are wanted still.
        """
        try:
            if isinstance(rows, ModelError):
                raise rows
            numbers = [probability(row) for row in rows]
        except ModelError as error:
            self._failed[trace.ids] = error
            return
        for tag, number in zip(trace.tags, numbers, strict=True):
            self._numbers.setdefault(self._spot(trace, tag), number)

    def results(self) -> list[list[float] | ModelError]:
        """Return the scores of each trace, in order, or its error: a score that is not a number is one, never a 0."""
        return [spots if isinstance(spots, ModelError) else self._scores(spots) for spots in self._wanted]

    def _missing(self) -> list[Spot]:
        """Return the numbers still wanted that may yet come."""
        return [
            spot
            for spots in self._wanted
            if not isinstance(spots, ModelError) and self._failure(spots) is None
            for spot in spots
            if spot not in self._numbers
        ]

    def _failure(self, spots: Sequence[Spot]) -> ModelError | None:
        """Return why a trace's numbers cannot all be had; its last one is that of all its ids."""
        return next((self._failed[ids] for ids, _ in spots if ids in self._failed), None)

    def _scores(self, spots: Sequence[Spot]) -> list[float] | ModelError:
        failure = self._failure(spots)
        if failure is not None and any(spot not in self._numbers for spot in spots):
            return failure
        scores = [self._numbers[spot] for spot in spots]
        if all(math.isfinite(score) for score in scores):
            return scores
        return ModelError(f"{self._name} gave a step a score that is not a number")

    def _spots(self, trace: Trace) -> list[Spot] | ModelError:
        """Return where the numbers of a trace are read."""
        if not trace.steps:
            return ModelError("a trace without a step has no score") if trace.newest else []
        if self._format.kind == "outcome" and not trace.newest:
            return ModelError(f"{self._name} scores whole solutions, not each of their steps")
        path = (trace.prompt, trace.steps)
        if path not in self._encoded:
            self._encoded[path] = self._encode(*path)
        encoded = self._encoded[path]
        if isinstance(encoded, ModelError):
            return encoded
        return [self._spot(encoded, tag) for tag in (encoded.tags[-1:] if trace.newest else encoded.tags)]

    def _spot(self, trace: EncodedTrace, tag: int) -> Spot:
        return (trace.ids[: tag + 1] if self._causal else trace.ids, tag)

    def _encode(self, prompt: str, steps: tuple[str, ...]) -> EncodedTrace | ModelError:
        try:
            encoded = self._format.encode(prompt, steps)
        except ModelError as error:
            return error
        ids = encoded.ids
        if self._context is not None and len(ids) > self._context:
            return ModelError(
                f"a trace has {len(ids)} tokens, and the context of {self._name} {self._context}"
            )
        if self._vocabulary is not None and max(ids) >= self._vocabulary:
            return ModelError(
                f"the tokenizer does not fit {self._name}: it writes the token {max(ids)}, and the model knows {self._vocabulary}"
            )
        return encoded
