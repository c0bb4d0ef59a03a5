"""Reading sequences that are known, so that their tries learn what the sampling distribution gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..base import Sampling
from .decoding import note
from .distinct import Node
from .distributions import shares
from .kv_batch import Batch
from .logit_memory import LogitMemory

_CELLS = 1 << 23
"""Probabilities held at once while paths are measured: 64 MiB in float64, and a few copies."""


class Path(NamedTuple):
    """Tokens of a trie at all of whose prefixes the sampling distribution is to be known."""

    prompt: tuple[int, ...]
    """Tokens that they continue, at least one."""
    sampling: Sampling
    ids: tuple[int, ...]
    root: Node


def measure(
    model: Any,
    paths: Sequence[Path],
    *,
    pad: int,
    batch: int,
    memory: LogitMemory,
    cancelled: Callable[[], bool],
) -> None:
    """Read the paths, without generating anything, and note in their tries what the sampling distribution gives the children on them.

    Args:
        model: a transformers causal language model.
        paths: what to read.
        pad: id to pad with.
        batch: paths read together at most (≥ 1).
        memory: paths all of which it knows are not read.
        cancelled: once it says so, the rest is left unread.
    """
    paths = _recall(paths, memory)
    if not paths:
        return
    width = (max(len(path.ids) for path in paths) + 1) * model.config.get_text_config().vocab_size
    size = max(1, min(batch, _CELLS // width))
    with torch.inference_mode():
        for start in range(0, len(paths), size):
            if cancelled():
                return
            chunk = paths[start : start + size]
            rows = Batch(model, [path.prompt for path in chunk], pad)
            first = rows.logits[:, None]
            ids = [path.ids for path in chunk]
            logits = torch.cat([first, rows.read(ids, pad)], dim=1) if any(ids) else first
            _measure(logits, chunk)
            for path, row in zip(chunk, logits, strict=True):
                for depth, prefix in enumerate(_prefixes(path)):
                    memory.keep(prefix, row[depth])


def _recall(paths: Sequence[Path], memory: LogitMemory) -> list[Path]:
    """Measure the paths all of whose prefixes are remembered, and return the others."""
    known: list[Path] = []
    rows: list[list[Tensor]] = []
    unknown: list[Path] = []
    for path in paths:
        found = [memory.recall(prefix) for prefix in _prefixes(path)]
        logits = [row for row in found if row is not None]
        if len(logits) == len(found):
            known.append(path)
            rows.append(logits)
        else:
            unknown.append(path)
    if known:
        _measure(rows, known)
    return unknown


def _prefixes(path: Path) -> Iterator[tuple[int, ...]]:
    """Yield the prefixes of a path, its prompt included, from the shortest on."""
    return ((*path.prompt, *path.ids[:depth]) for depth in range(len(path.ids) + 1))


def _measure(logits: Tensor | Sequence[Sequence[Tensor]], paths: Sequence[Path]) -> None:
    """Note the children of all nodes on the paths; `logits[row][depth]` ([V]) are those before and after each token of path `row`."""
    seen: set[int] = set()
    nodes: list[Node] = []
    found: list[Tensor] = []
    samplings: list[Sampling] = []
    for row, path in enumerate(paths):
        node = path.root
        for depth in range(len(path.ids) + 1):
            if id(node) not in seen:
                seen.add(id(node))
                nodes.append(node)
                found.append(logits[row][depth])
                samplings.append(path.sampling)
            node = node.child(path.ids[depth]) if depth < len(path.ids) else node
    stacked = torch.stack(found)
    note(stacked, shares(stacked, samplings), nodes, [tuple(node.children) for node in nodes], samplings)
