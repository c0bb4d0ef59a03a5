"""Process rewards of a path's steps, as targets of a value model (ReST-MCTS*, arXiv 2406.03816)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ..errors import UserError


def process_rewards(right: Sequence[bool], remaining: Sequence[int] | None = None) -> list[float]:
    """Return the quality v_k in [0, 1] of the path up to each step k = 1..K.

        w_k = (1 - v_{k-1}) / (m_k + 1) · (1 - 2 r_k)      v_k = max(0, v_{k-1} + w_k)      v_0 = 0

    m_k are the steps still needed after step k, and r_k is 1 if the step cannot lead to the answer. On a right path of K steps v_k = k / K. The
    paper's formula is quoted from memory (unverified); the authors' code has the same with m_k + 1 = the steps that a right thought is away from
    having been answered, itself counted, and for a wrong one those of the nearest thought above it that can still be answered.

    Args:
        right: whether each step can still lead to the answer: 1 - r_k.
        remaining: m_k ≥ 0 for each step; by default K - k.

    Raises:
        UserError: if the lengths differ or a number is negative.
    """
    left = list(range(len(right) - 1, -1, -1)) if remaining is None else list(remaining)
    if len(left) != len(right) or min(left, default=0) < 0:
        raise UserError("give the steps that remain after each step, 0 or more")
    values = [0.0]
    for good, steps in zip(right, left, strict=True):
        weight = (1.0 - values[-1]) / (steps + 1)
        values.append(min(1.0, max(0.0, values[-1] + (weight if good else -weight))))
    return values[1:]


def step_weights(values: Sequence[float]) -> list[float]:
    """Return what each step added to the quality of its path: v_k - v_{k-1}, which is w_k unless a bound cut it."""
    return [after - before for before, after in pairwise([0.0, *values])]
