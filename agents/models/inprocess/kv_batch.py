"""A batch of rows that begin and end together, in the cache that transformers makes for a model: whatever the model is, that runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Batch:
    """The tensors of the rows in work.

    Shapes: `logits` [R, V]; `mask` [R, length so far] or None while no row is padded; `positions` [R, 1].
    """

    def __init__(self, model: Any, prompts: Sequence[tuple[int, ...]], pad: int) -> None:
        """Read the rows' prompts, equal ones once."""
        from transformers import DynamicCache

        self.model = model
        device = model.device
        places: dict[tuple[int, ...], int] = {}
        rows = [places.setdefault(prompt, len(places)) for prompt in prompts]
        width = max(map(len, places))
        ids = [[pad] * (width - len(prompt)) + list(prompt) for prompt in places]
        lengths = torch.tensor([len(prompt) for prompt in places], device=device)
        padding = width - lengths[:, None]
        columns = torch.arange(width, device=device)[None, :]
        mask = (columns >= padding).long()
        self.cache: Any = DynamicCache(config=model.config)
        self.mask: Tensor | None = None if min(map(len, places)) == width else mask
        self.logits = self._forward(torch.tensor(ids, device=device), (columns - padding).clamp(min=0))[:, -1]
        self.positions = lengths[:, None] - 1
        self.select(rows)

    def step(self, tokens: Tensor) -> None:
        """Feed one token a row ([R, 1])."""
        self._extend(1)
        self.positions = self.positions + 1
        self.logits = self._forward(tokens, self.positions)[:, -1]

    def read(self, paths: Sequence[Sequence[int]], pad: int) -> Tensor:
        """Feed tokens that are known, as many as a row has; return the logits after each ([R, longest, V])."""
        longest = max(map(len, paths))
        # padded on the right: no token sees what comes after it
        ids = torch.tensor(
            [[*path, *[pad] * (longest - len(path))] for path in paths], device=self.logits.device
        )
        self._extend(longest)
        positions = self.positions + 1 + torch.arange(longest, device=ids.device)[None, :]
        return self._forward(ids, positions, keep=longest)

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; one that is named twice is copied."""
        if list(rows) == list(range(len(self.positions))):
            return
        index = torch.tensor(rows, dtype=torch.long, device=self.logits.device)
        self.cache.reorder_cache(index)
        self.logits = self.logits[index]
        self.positions = self.positions[index]
        self.mask = None if self.mask is None else self.mask[index]

    def _extend(self, tokens: int) -> None:
        if self.mask is not None:
            self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), tokens)], dim=1)

    def _forward(self, ids: Tensor, positions: Tensor, keep: int = 1) -> Tensor:
        output = self.model(
            input_ids=ids,
            attention_mask=self.mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=keep,
        )
        self.cache = output.past_key_values
        return output.logits.float()


class Together:
    """Rows that begin together, see `rows.Rows`; the next ones wait until the last of them has ended."""

    joins = False

    def __init__(self, model: Any, pad: int) -> None:
        self._model = model
        self._pad = pad
        self._batch: Batch | None = None
        self._begun = False

    def admit(self, prompts: Sequence[tuple[int, ...]]) -> tuple[list[int], list[int]]:
        """See `Rows.admit`; the last token of each is read with the others, and its step returns what came of that."""
        self._batch = Batch(self._model, prompts, self._pad)
        self._begun = False
        return list(range(len(prompts))), [0] * len(prompts)

    def step(self, tokens: Sequence[int]) -> Tensor:
        """See `Rows.step`."""
        assert self._batch is not None
        if self._begun:
            self._batch.step(torch.tensor(tokens, device=self._batch.logits.device)[:, None])
        self._begun = True
        return self._batch.logits

    def select(self, rows: Sequence[int]) -> None:
        """See `Rows.select`."""
        if self._batch is not None and rows:
            self._batch.select(rows)
        else:
            self._batch = None

    def leave(self, row: int, ids: tuple[int, ...], *, sound: bool) -> None:
        """See `Rows.leave`; nothing of it is needed."""

    def reset(self) -> None:
        """See `Rows.reset`."""
        self._batch = None
