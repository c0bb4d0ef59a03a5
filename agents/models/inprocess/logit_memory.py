"""What a model said after prefixes that it read lately.

A search that samples a thought again, without replacement, avoids what it drew before: the tokens of those texts have to be known with their
probabilities, and they were, when they were drawn. Reading them again took a sixth of the time of a Monte-Carlo tree search with the shipped
model.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor

CELLS = 1 << 26
"""Numbers remembered at most; 256 MB of float32."""


class LogitMemory:
    """Logits by prefix; the prefixes not asked for the longest are forgotten first.

    Args:
        cells: numbers kept at most (≥ 1); a vocabulary larger than that is never kept.
    """

    def __init__(self, cells: int = CELLS) -> None:
        self._cells = cells
        self._kept: OrderedDict[tuple[int, ...], Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, prefix: tuple[int, ...], logits: Tensor) -> None:
        """Remember the logits after a prefix ([V])."""
        most = self._cells // len(logits)
        if most and prefix not in self._kept:
            self._kept[prefix] = logits.clone()  # a row of its own: a view would keep its whole batch
            while len(self._kept) > most:
                self._kept.popitem(last=False)

    def recall(self, prefix: tuple[int, ...]) -> Tensor | None:
        """Return the logits after a prefix ([V]), or None if they are not known."""
        logits = self._kept.get(prefix)
        if logits is not None:
            self._kept.move_to_end(prefix)
        return logits
