"""The enhanced Borda count of LLaMA-Berry (arXiv 2410.02884): a ranking made of pairwise preferences.

With P(i ≻ j) in [0, 1] the preference of i over j:

    M_ij   = 1 if P(i ≻ j) ≥ ½                        both ways at exactly ½, as published
    C      = the transitive closure of M              i beats j, perhaps through others
    Borda  = Σ_{j ≠ i} C_ij                           how many i beats
    Q_g(i) = 1 - (rank_i - 1) / (n - 1)               1 for the first, 0 for the last, 1 where n = 1

Where we differ: the closure of a cycle makes its members beat themselves; that is not counted. Equal Borda counts are decided
by the soft preferences; the paper compares two, which orders no cycle of three, so we take the sum of P(i ≻ j) - P(j ≻ i) over
the equals j that i was compared with, which is the same for two. What is still equal keeps its order. A pair that was never
compared, or whose comparison failed, has no entry in M.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Preferences:
    """Comparisons so far and their closure, as bit sets. Items are whole numbers ≥ 0; memory grows with their square."""

    soft: dict[int, dict[int, float]] = field(default_factory=dict[int, dict[int, float]])
    """P(i ≻ j) by i, then by j; both directions of every comparison."""
    _beats: dict[int, int] = field(default_factory=dict[int, int])
    _beaten_by: dict[int, int] = field(default_factory=dict[int, int])

    def add(self, first: int, second: int, preference: float) -> None:
        """Take in P(first ≻ second) in [0, 1]; of a pair, the first comparison told counts."""
        if second in self.soft.get(first, ()):
            return
        self.soft.setdefault(first, {})[second] = preference
        self.soft.setdefault(second, {})[first] = 1.0 - preference
        if preference >= 0.5:
            self._arc(first, second)
        if preference <= 0.5:
            self._arc(second, first)

    def beats(self, first: int, second: int) -> bool:
        """Return C: whether the first beats the second, perhaps through others."""
        return bool(self._beats.get(first, 0) >> second & 1)

    def order(self, items: Sequence[int]) -> list[int]:
        """Return these items ranked, best first; equals stay in the order given."""
        counts = self.counts(items)

        def margin(item: int) -> float:
            met = self.soft.get(item, {})
            return sum(2.0 * p - 1.0 for other, p in met.items() if counts.get(other) == counts[item])

        return sorted(items, key=lambda item: (-counts[item], -margin(item)))

    def counts(self, items: Sequence[int]) -> dict[int, int]:
        """Return the Borda count of each of these items among them."""
        among = sum(1 << item for item in items)
        return {item: (self._beats.get(item, 0) & among & ~(1 << item)).bit_count() for item in items}

    def _arc(self, winner: int, loser: int) -> None:
        """Keep the closure: the winner and all who beat it now beat the loser and all it beats."""
        if self.beats(winner, loser):
            return
        above = self._beaten_by.get(winner, 0) | 1 << winner
        below = self._beats.get(loser, 0) | 1 << loser
        for item in _members(above):
            self._beats[item] = self._beats.get(item, 0) | below
        for item in _members(below):
            self._beaten_by[item] = self._beaten_by.get(item, 0) | above


def global_values(order: Sequence[int]) -> dict[int, float]:
    """Return Q_g in [0, 1] of items ranked best first."""
    last = max(1, len(order) - 1)
    return {item: 1.0 - place / last for place, item in enumerate(order)}


def local_value(
    preferences: Preferences, item: int, children: Sequence[int], *, printed: bool = False
) -> float:
    """Return Q_l in [0, 1]: the share of its children (at least one) that the item beats.

    The paper calls it that and prints Σ_u C[u, item] / children, the share that beat the item; we take that for a slip. `printed` follows the print.
    """
    if printed:
        won = sum(preferences.beats(child, item) for child in children)
    else:
        won = sum(preferences.beats(item, child) for child in children)
    return won / len(children)


def _members(bits: int) -> Iterator[int]:
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low
