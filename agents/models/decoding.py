"""Batched autoregressive decoding in which every sample is its own: its randomness, limits, stop strings and record.

`transformers.generate` draws a batch from one generator, so a sample depends on what it happens to be batched with.
Here each row draws one uniform number a token from a generator of its own, and takes the token at that quantile of
its distribution (inverse transform sampling). A row's tokens then depend on its prompt, parameters and seed alone, up
to the rounding of the forward pass, which differs by about 1e-6 between batch shapes in float32: a token changes only
if its uniform number falls that close to a boundary.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .base import Finish, Sampling
from .detokenize import TextStream

_COMPACT = 8
"""Finished rows leave the batch once they are one in this many: copying the cache costs about one step's own copy."""


class Row:
    """One sample on its way.

    Args:
        prompt: index of its prompt among the distinct prompts of the batch.
        sampling: its decoding parameters; `max_tokens` already cut to what the model's context holds.
        seed: of its generator.
        stream: its text.
    """

    __slots__ = ("error", "finish", "ids", "logprobs", "prompt", "sampling", "stream", "uniform")

    def __init__(self, prompt: int, sampling: Sampling, seed: int, stream: TextStream) -> None:
        self.prompt = prompt
        self.sampling = sampling
        self.stream = stream
        self.uniform = random.Random(seed).random
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.finish: Finish | None = None
        self.error: str | None = None

    @property
    def done(self) -> bool:
        return self.finish is not None or self.error is not None

    def take(self, token: int, logprob: float, ends: frozenset[int]) -> None:
        """Record the chosen token, and whether the sample ends with it."""
        if math.isnan(logprob):
            self.error = "the model's output is not a number (NaN); load it with dtype float32"
            return
        self.ids.append(token)
        self.logprobs.append(min(0.0, logprob))
        if token in ends:
            self.finish = "stop" if self.stream.finish() else "end"
        elif self.stream.push(token):
            self.finish = "stop"
        elif len(self.ids) >= self.sampling.max_tokens:
            self.finish = "stop" if self.stream.finish() else "length"


def decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    rows: Sequence[Row],
    *,
    ends: frozenset[int],
    pad: int,
    cancelled: threading.Event,
) -> None:
    """Generate all rows to their end, each prompt prefilled once; results are left in the rows.

    Args:
        model: a transformers causal language model.
        prompts: ids of the distinct prompts, none empty.
        rows: samples; those of one prompt share its prefill.
        ends: ids of end tokens.
        pad: id to pad with.
        cancelled: once set, the rows are left unfinished.
    """
    with torch.inference_mode():
        batch = _Batch(model, prompts, rows, pad)
        while not cancelled.is_set():
            tokens, logprobs = choose(batch.logits, batch.rows)
            for row, token, logprob in zip(batch.rows, _listed(tokens), _listed(logprobs), strict=True):
                if not row.done:
                    row.take(token, logprob, ends)
            if all(row.done for row in batch.rows):
                return
            tokens = batch.compact(tokens)
            batch.step(tokens)


class _Batch:
    """The tensors of the rows in work.

    Shapes: `logits` [R, V]; `mask` [R, length so far] or None while no row is padded; `positions` [R, 1].
    """

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], rows: Sequence[Row], pad: int) -> None:
        from transformers import DynamicCache

        self.model = model
        self.rows = list(rows)
        device = model.device
        width = max(map(len, prompts))
        ids = [[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        padding = width - lengths[:, None]
        columns = torch.arange(width, device=device)[None, :]
        mask = (columns >= padding).long()
        self.cache: Any = DynamicCache(config=model.config)
        self.mask: Tensor | None = None if min(map(len, prompts)) == width else mask
        logits = self._forward(torch.tensor(ids, device=device), (columns - padding).clamp(min=0))
        index = torch.tensor([row.prompt for row in rows], device=device)
        self.positions = lengths[:, None] - 1
        self.logits = logits
        if [row.prompt for row in rows] != list(range(len(prompts))):
            self.logits = logits[index]
            self._select(index)

    def step(self, tokens: Tensor) -> None:
        """Feed one token a row ([R])."""
        self.positions = self.positions + 1
        if self.mask is not None:
            self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], dim=1)
        self.logits = self._forward(tokens[:, None], self.positions)

    def compact(self, tokens: Tensor) -> Tensor:
        """Drop finished rows if there are enough of them; return the tokens ([R]) of the rows that stay."""
        alive = [i for i, row in enumerate(self.rows) if not row.done]
        if (len(self.rows) - len(alive)) * _COMPACT < len(self.rows):
            return tokens
        index = torch.tensor(alive, device=tokens.device)
        self.rows = [self.rows[i] for i in alive]
        self._select(index)
        return tokens[index]

    def _select(self, index: Tensor) -> None:
        self.cache.batch_select_indices(index)
        self.positions = self.positions[index]
        self.mask = None if self.mask is None else self.mask[index]

    def _forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        output = self.model(
            input_ids=ids,
            attention_mask=self.mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.cache = output.past_key_values
        return output.logits[:, -1].float()


def choose(logits: Tensor, rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """Return each row's next token ([R]) and its log-probability at temperature 1 ([R]).

    Args:
        logits: [R, V], float32.
        rows: their sampling parameters; a row with temperature above 0 draws one uniform number.
    """
    tokens = logits.argmax(-1)
    drawn = [i for i, row in enumerate(rows) if row.sampling.temperature > 0 and not row.done]
    if drawn:
        index = torch.tensor(drawn, device=logits.device)
        chosen = _draw(logits if len(drawn) == len(rows) else logits[index], [rows[i] for i in drawn])
        tokens = chosen if len(drawn) == len(rows) else tokens.index_copy(0, index, chosen)
    logprobs = logits.log_softmax(-1).gather(1, tokens[:, None]).squeeze(1)
    return tokens, logprobs


def _draw(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    exact = torch.float32 if logits.device.type == "mps" else torch.float64  # MPS has no float64
    temperature = _column([row.sampling.temperature for row in rows], logits, exact)
    min_p = [row.sampling.min_p for row in rows]
    if max(min_p) > 0.0:
        shares = (logits - logits.amax(-1, keepdim=True)).exp()
        logits = logits.masked_fill(shares < _column(min_p, logits, logits.dtype), -torch.inf)
    probabilities = (logits.to(exact) / temperature).softmax(-1)
    top_p = [row.sampling.top_p for row in rows]
    if min(top_p) < 1.0:
        probabilities = _nucleus(probabilities, _column(top_p, logits, exact))
    below = probabilities.cumsum(-1)
    uniform = _column([row.uniform() for row in rows], logits, exact)
    # right=True: the first token whose cumulative probability exceeds the draw, never one of probability 0
    found = torch.searchsorted(below, uniform * below[:, -1:], right=True).squeeze(1)
    return found.clamp(max=logits.shape[1] - 1)


def _nucleus(probabilities: Tensor, top_p: Tensor) -> Tensor:
    """Zero what lies outside the smallest set of likeliest tokens whose probability reaches `top_p`; rows at 1 stay.

    Nucleus sampling, Holtzman et al., arXiv 1904.09751, §3.1.
    """
    ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
    outside = (ordered.cumsum(-1) - ordered >= top_p) & (top_p < 1)
    return probabilities.masked_fill(torch.zeros_like(outside).scatter(1, order, outside), 0.0)


def _column(values: Sequence[float], like: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=like.device)[:, None]


def _listed(values: Tensor) -> list[Any]:
    return values.tolist()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # untyped in torch
