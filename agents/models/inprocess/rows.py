"""The seam between the engine and a model: rows of tokens, each fed one token a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Rows(Protocol):
    """Rows in front of a model, numbered from 0."""

    @property
    def joins(self) -> bool:
        """Whether rows may be admitted while others are in work."""
        ...

    def admit(self, prompts: Sequence[tuple[int, ...]]) -> tuple[list[int], list[int]]:
        """Append a row for each prompt; the prompts' last tokens are fed by the next `step`.

        Args:
            prompts: tokens, at least one each; equal ones are read once.

        Returns:
            Which prompt each of the new rows has, and how many tokens of it did not have to be read (≥ 0).
        """
        ...

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Feed every row a token, and return the logits after it ([R, V], float32)."""
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; one that is named twice is copied."""
        ...

    def leave(self, row: int, ids: tuple[int, ...], *, sound: bool) -> None:
        """Take note that a row will not be selected again.

        Args:
            row: its number.
            ids: the tokens it was fed, and perhaps one more.
            sound: whether the model's output for it was numbers.
        """
        ...

    def reset(self) -> None:
        """Drop all rows, after a failure."""
        ...
