"""Distributions over the next token, with decoding parameters of each row's own.

Shapes: `logits`, probabilities and shares are [R, V], for R rows and V tokens. Shares are probabilities normalised to sum 1, at temperature 0 to
maximum 1: what the second likeliest token is worth against the likeliest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..base import Sampling


def probabilities(logits: Tensor, samplings: Sequence[Sampling]) -> Tensor:
    """Return the distributions to draw from ([R, V]), those cut by `top_p` not normalised; temperatures above 0."""
    exact = torch.float32 if logits.device.type == "mps" else torch.float64  # MPS has no float64
    temperature = _column([sampling.temperature for sampling in samplings], logits, exact)
    min_p = [sampling.min_p for sampling in samplings]
    if max(min_p) > 0.0:
        relative = (logits - logits.amax(-1, keepdim=True)).exp()
        logits = logits.masked_fill(relative < _column(min_p, logits, logits.dtype), -torch.inf)
    drawn = (logits.to(exact) / temperature).softmax(-1)
    top_p = [sampling.top_p for sampling in samplings]
    if min(top_p) < 1.0:
        drawn = _nucleus(drawn, _column(top_p, logits, exact))
    return drawn


def quantile(values: Tensor, uniforms: Sequence[float]) -> Tensor:
    """Return the token of each row ([R]) at which its cumulative value exceeds its uniform number's share of the sum."""
    below = values.cumsum(-1)
    uniform = _column(uniforms, values, values.dtype)
    # right=True: the first token whose cumulative value exceeds the draw, never one of value 0
    found = torch.searchsorted(below, uniform * below[:, -1:], right=True).squeeze(1)
    return found.clamp(max=values.shape[1] - 1)


def shares(logits: Tensor, samplings: Sequence[Sampling]) -> Tensor:
    """Return what each token has of the sampling distribution."""
    warm = [replace(s, temperature=1.0, top_p=1.0) if s.temperature == 0 else s for s in samplings]
    drawn = probabilities(logits, warm)
    return drawn / total(drawn, samplings)


def total(values: Tensor, samplings: Sequence[Sampling]) -> Tensor:
    """Return the sum of each row ([R, 1]); at temperature 0 the largest."""
    greedy = _column([float(s.temperature == 0) for s in samplings], values, values.dtype) > 0
    return torch.where(greedy, values.amax(-1, keepdim=True), values.sum(-1, keepdim=True))


def clear(shares: Tensor, tokens: Sequence[Sequence[int]]) -> None:
    """Set the shares of these tokens of each row to 0, in place."""
    rows = [i for i, listed in enumerate(tokens) for _ in listed]
    if rows:
        shares[rows, [token for listed in tokens for token in listed]] = 0.0


def pick(shares: Tensor, samplings: Sequence[Sampling], uniforms: Sequence[float]) -> Tensor:
    """Return the token of each row ([R]) that its uniform number stands for; at temperature 0 the one of the largest share."""
    greedy = torch.tensor([s.temperature == 0 for s in samplings], device=shares.device)
    return torch.where(greedy, shares.argmax(-1), quantile(shares, uniforms))


def _nucleus(probabilities: Tensor, top_p: Tensor) -> Tensor:
    """Zero what lies outside the smallest set of likeliest tokens whose probability reaches `top_p`; rows at 1 stay.

    Nucleus sampling, Holtzman et al., arXiv 1904.09751, §3.1.
    """
    ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
    outside = (ordered.cumsum(-1) - ordered >= top_p) & (top_p < 1)
    return probabilities.masked_fill(torch.zeros_like(outside).scatter(1, order, outside), 0.0)


def _column(values: Sequence[float], like: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=like.device)[:, None]
