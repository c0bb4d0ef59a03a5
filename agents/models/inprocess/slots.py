"""A static cache of slots: rows at their own positions, which arrive, fork and leave without the others being copied.

Keys and values of all layers lie in one tensor, [2 · layers, slots, heads, columns, width of a head]. The rows in work have the first slots, and a row's token
at position p is in column p, whatever the other rows' lengths. New keys and values are written in place, and attention reads the columns up to the longest
row's end through a view; what lies beyond a row's own end is masked. The tensor grows by doubling when rows or columns exceed it.

Which models can be run this way is decided when they are loaded, see `why_not`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from .prefix_memory import PrefixMemory

_COLUMNS = 64
"""Columns at first."""
_CHUNK = 256
"""Tokens of each prompt that are read together, which bounds the mask."""
_IMPLEMENTATIONS = ("sdpa", "eager")
"""Attention that takes a mask of numbers."""


class _Columns(Cache):
    """The rows of one forward pass, as transformers asks for them."""

    def __init__(self, into: Sequence[Tensor], out: Sequence[Tensor], at: Tensor) -> None:
        """`into` and `out` have keys and values of each layer in turn, to be written and to be read; `at` are the columns to write ([R, T])."""
        super().__init__(layers=[])
        self._into, self._out = into, out
        _, heads, _, width = into[0].shape
        self._at = at[:, None, :, None].expand(-1, heads, -1, width)

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write what is new, and return all that there is."""
        keys, values = 2 * layer_idx, 2 * layer_idx + 1
        self._into[keys].scatter_(2, self._at, key_states)
        self._into[values].scatter_(2, self._at, value_states)
        return self._out[keys], self._out[values]


class Slots:
    """Rows in front of a model that `why_not` found fit; see `rows.Rows`.

    Args:
        model: a transformers causal language model.
        pad: id to pad with.
        memory: of sequences whose keys and values are copied where a prompt begins like them.

    Attributes:
        lengths: tokens that each row has read.
    """

    joins = True

    def __init__(self, model: Any, pad: int, memory: PrefixMemory) -> None:
        self._model = model
        self._pad = pad
        self._memory = memory
        self._kv = torch.zeros(0)
        self.lengths: list[int] = []

    def admit(self, prompts: Sequence[tuple[int, ...]]) -> tuple[list[int], list[int]]:
        """See `Rows.admit`."""
        first, count = len(self.lengths), len(prompts)
        self._reserve(first + count, max(map(len, prompts)) + 1)
        places: dict[tuple[int, ...], list[int]] = {}
        for i, prompt in enumerate(prompts):
            places.setdefault(prompt, []).append(i)
        found = {prompt: self._memory.find(prompt[:-1]) for prompt in places}
        # those with most to read first, so that those still being read are side by side
        distinct = sorted(places, key=lambda prompt: found[prompt][1] - len(prompt))
        for slot, prompt in enumerate(distinct, first):
            known, length = found[prompt]
            if known is not None:
                self._kv[:, slot, :, :length] = known[:, :, :length]
            self.lengths.append(length)
        unread = [prompt[found[prompt][1] : -1] for prompt in distinct]
        while unread and unread[0]:
            unread = [ids for ids in unread if ids]
            self._feed(first, [ids[:_CHUNK] for ids in unread])
            unread = [ids[_CHUNK:] for ids in unread]
        copies = [(slot, i) for slot, prompt in enumerate(distinct, first) for i in places[prompt][1:]]
        self.select([*range(first + len(distinct)), *(slot for slot, _ in copies)])
        order = [*(places[prompt][0] for prompt in distinct), *(i for _, i in copies)]
        return order, [found[prompts[i]][1] for i in order]

    def step(self, tokens: Sequence[int]) -> Tensor:
        """See `Rows.step`."""
        return self._feed(0, [(token,) for token in tokens])

    def select(self, rows: Sequence[int]) -> None:
        """See `Rows.select`; only rows that change their place are copied."""
        self._reserve(len(rows), 0)
        moved = [(to, slot) for to, slot in enumerate(rows) if to != slot]
        places = {to for to, _ in moved}
        # one by one: as quick as it gets on a CPU, where torch's indexed copies of such views take a hundred times as long
        saved = {slot: self._kv[:, slot].clone() for _, slot in moved if slot in places}
        lengths = [self.lengths[slot] for slot in rows]
        for to, slot in moved:
            row = saved[slot] if slot in saved else self._kv[:, slot]
            self._kv[:, to, :, : lengths[to]] = row[:, :, : lengths[to]]
        self.lengths = lengths

    def leave(self, row: int, ids: tuple[int, ...], *, sound: bool) -> None:
        """See `Rows.leave`."""
        read = self._kv[:, row, :, : self.lengths[row]]
        if sound:
            self._memory.keep(ids[: self.lengths[row]], read.numel() * read.element_size(), read.clone)
        else:
            self._kv[:, row].zero_()  # masked, but 0 times NaN would be NaN in whatever has the slot next

    def reset(self) -> None:
        """See `Rows.reset`."""
        self.lengths = []
        self._kv = torch.zeros(0)

    def _feed(self, first: int, tokens: Sequence[Sequence[int]]) -> Tensor:
        """Have the rows from `first` on read their next tokens, at least one each; return the logits after the last ([R, V])."""
        rows, longest = len(tokens), max(map(len, tokens))
        starts = self.lengths[first : first + rows]
        ends = [start + len(ids) for start, ids in zip(starts, tokens, strict=True)]
        columns = max(ends)
        self._reserve(len(self.lengths), columns + 1)
        device = self._kv.device
        # padded on the left, so that all end together: padding is written behind the row's end, where the next token will be
        ids = torch.tensor([[self._pad] * (longest - len(ids)) + list(ids) for ids in tokens], device=device)
        end = torch.tensor(ends, device=device)[:, None]
        positions = end - torch.arange(longest, 0, -1, device=device)
        at = positions
        if min(map(len, tokens)) < longest:
            at = torch.where(positions < torch.tensor(starts, device=device)[:, None], end, positions)
            positions = positions.clamp(min=0)
        own = self._kv[:, first : first + rows]
        cache = _Columns(own.unbind(), own[:, :, :, :columns].unbind(), at)
        hidden = torch.arange(columns, device=device) > positions[:, None, :, None]
        mask = torch.zeros(hidden.shape, dtype=own.dtype, device=device).masked_fill_(hidden, -torch.inf)
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.lengths[first : first + rows] = ends
        return output.logits[:, -1].float()

    def _reserve(self, rows: int, columns: int) -> None:
        if self._kv.ndim != 5:
            self._kv = _empty(self._model)
        _, slots, _, room, _ = self._kv.shape
        if rows <= slots and columns <= room:
            return
        while slots < rows:
            slots = max(8, 2 * slots)
        while room < columns:
            room = max(_COLUMNS, 2 * room)
        old = self._kv[:, : len(self.lengths), :, : max(self.lengths, default=0)]
        layers, _, heads, _, width = self._kv.shape
        self._kv = self._kv.new_zeros(layers, slots, heads, room, width)
        self._kv[:, : old.shape[1], :, : old.shape[3]] = old


def why_not(model: Any, pad: int) -> str | None:
    """Return why a model cannot be run on `Slots`, None if it can.

    It is not enough that a model looks fit. It reads two sequences on slots, at positions of their own, and must say what it says when it reads them
    without a cache.
    """
    if len({parameter.device for parameter in model.parameters()}) > 1:
        return "it is spread over several devices"
    attention = getattr(model.config, "_attn_implementation", None)
    if attention not in _IMPLEMENTATIONS:
        return f"its attention ({attention}) takes no mask of a row's own"
    cache: Any = DynamicCache(config=model.config.get_text_config())
    kinds = {type(layer).__name__ for layer in cache.layers if type(layer) is not DynamicLayer}
    if kinds:
        return f"not all of its layers keep all keys and values ({', '.join(sorted(kinds))})"
    try:
        with torch.inference_mode():
            return _differs(model, pad)
    except (
        AttributeError,
        IndexError,
        KeyError,
        NotImplementedError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        return f"it does not run so ({type(error).__name__}: {error})".partition("\n")[0]


def _differs(model: Any, pad: int) -> str | None:
    vocabulary = model.config.get_text_config().vocab_size
    sequences = [tuple((7 * i + 3 * k) % vocabulary for k in range(length)) for i, length in ((1, 3), (2, 7))]
    slots = Slots(model, pad, PrefixMemory(0))
    order, _ = slots.admit([ids[:-1] for ids in sequences])
    slots.step([sequences[i][-2] for i in order])
    slots.select([1, 0])
    order.reverse()
    ours = slots.step([sequences[i][-1] for i in order])
    for i, logits in zip(order, ours, strict=True):
        ids = torch.tensor([sequences[i]], device=model.device)
        expected = model(input_ids=ids, use_cache=False).logits[0, -1].float()
        # rounding: a model in bfloat16 has an epsilon of 0.008, and errors of some hundredths
        allowed = 2 * torch.finfo(model.dtype).eps ** 0.5 * expected.abs().max()
        if not bool((logits - expected).abs().max() <= allowed):
            return "its results differ from those without a cache"
    return None


def _empty(model: Any) -> Tensor:
    """Return a tensor without slots or columns, in the shape of the model's keys and values.

    Raises:
        ValueError: if they differ in shape.
    """
    cache: Any = DynamicCache(config=model.config.get_text_config())
    ids = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    model(input_ids=ids, past_key_values=cache, use_cache=True)
    tensors: list[Tensor] = [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
    shapes = {tensor.shape for tensor in tensors}
    if len(shapes) != 1:
        raise ValueError("its keys and values differ in shape")
    _, heads, _, width = tensors[0].shape
    return tensors[0].new_zeros(len(tensors), 0, heads, 0, width)
