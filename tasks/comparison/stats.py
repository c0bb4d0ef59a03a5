"""Intervals for shares of problems, and differences between schemes over the same problems.

The unit of all statistics is the problem: the searches of one problem with several seeds are no independent evidence, so they are resampled
together (a cluster bootstrap). All columns are resampled with the same draws, so every difference is paired.

* Wilson's score interval: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927), 209-212. Used where each problem was searched once.
* Percentile bootstrap: B. Efron and R. Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 16.
* Newcombe's square-and-add interval of a paired difference: R. G. Newcombe, Stat. Med. 17 (1998), 2635-2650, method 10. Used where all problems
  differ by the same amount: then every resample does too, and the percentiles would claim certainty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from ...graph.ids import derive_rng

RESAMPLES = 10_000
Z = 1.959964
"""Quantile 0.975 of the normal distribution."""
TAIL = 0.025

WILSON = "Wilson"
BOOTSTRAP = "bootstrap over problems"
PAIRED = f"paired {BOOTSTRAP}"
NEWCOMBE = "Newcombe's square-and-add"


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval of a share, in [0, 1]."""

    low: float
    high: float
    method: str = WILSON


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more of the problems one scheme solves than another, in [-1, 1]."""

    mean: float
    low: float
    """Of the 95 % interval."""
    high: float
    below: float
    """Share of resamples in which the difference is below 0."""
    p: float
    """Two-sided exact sign test over the problems that one of the two solves more often; resampling would be sure of itself with three problems."""
    method: str = PAIRED
    """Of the interval."""

    def as_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {name: getattr(self, name) for name in ("mean", "low", "high", "below", "p", "method")}


def wilson(solved: float, of: int) -> Interval:
    """Return Wilson's interval of a share.

    Args:
        solved: how many were solved, in [0, of]; a fraction where several seeds count as one search of a problem.
        of: problems (≥ 1).
    """
    share, z = solved / of, Z
    centre = (share + z * z / (2 * of)) / (1 + z * z / of)
    spread = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    # the bounds enclose the share in exact arithmetic; rounding must not say otherwise
    return Interval(max(0.0, min(share, centre - spread)), min(1.0, max(share, centre + spread)))


def resample(
    columns: Sequence[Sequence[int]], times: int = RESAMPLES, seed: int = 0
) -> tuple[Sequence[int], ...]:
    """Draw problems with replacement and return what each column sums to in each draw.

    Args:
        columns: one a scheme, each of shape (problems,): how many of a problem's searches solved it. At least one problem.
        times: resamples.
        seed: of the draws, which depend on it and on the number of problems alone.

    Returns:
        For each column, `times` sums, in the order of the draws.
    """
    problems = len(columns[0])
    rng = derive_rng(seed, "bootstrap", problems)
    sums: list[list[int]] = [[] for _ in columns]
    for _ in range(times):
        # an index more than needed, so that one problem is a tuple too
        drawn: Any = itemgetter(*rng.choices(range(problems), k=problems), 0)
        for column, total in zip(columns, sums, strict=True):
            total.append(sum(drawn(column)) - column[0])
    return tuple(sums)


def share_interval(solved: Sequence[int], seeds: int, sums: Sequence[int]) -> Interval:
    """Return the 95 % interval of the share of searches that solved their problem.

    Args:
        solved: for each problem, how many of its `seeds` searches solved it.
        seeds: searches a problem (≥ 1).
        sums: what `resample` returned for `solved`.

    Returns:
        Wilson's where there is one seed, or where resampling says nothing because all problems came out the same; else the bootstrap's.
    """
    if seeds == 1 or len(set(solved)) == 1:
        return wilson(sum(solved) / seeds, len(solved))
    low, high = _percentiles(sums)
    searches = seeds * len(solved)
    return Interval(low / searches, high / searches, BOOTSTRAP)


def difference(
    ours: Sequence[int], theirs: Sequence[int], our_sums: Sequence[int], their_sums: Sequence[int], seeds: int
) -> Difference:
    """Return the paired difference of two columns over the same problems.

    Args:
        ours: for each problem, how many of its `seeds` searches solved it.
        theirs: the same of the other scheme.
        our_sums: what `resample` returned for `ours`, together with `theirs`.
        their_sums: for `theirs`.
        seeds: searches a problem (≥ 1).

    Returns:
        With the bootstrap's interval; with Newcombe's where resampling says nothing because all problems differ by the same amount.
    """
    searches, times = seeds * len(ours), len(our_sums)
    sums = [a - b for a, b in zip(our_sums, their_sums, strict=True)]
    below = sum(d < 0 for d in sums) / times
    apart = [a - b for a, b in zip(ours, theirs, strict=True)]
    p = sign_test(sum(d > 0 for d in apart), sum(d < 0 for d in apart))
    mean = sum(apart) / searches
    if len(set(apart)) == 1:
        return Difference(mean, *newcombe(ours, theirs, seeds), below, p, NEWCOMBE)
    low, high = _percentiles(sums)
    return Difference(mean, low / searches, high / searches, below, p)


def newcombe(ours: Sequence[int], theirs: Sequence[int], seeds: int) -> tuple[float, float]:
    """Return Newcombe's square-and-add interval, in [-1, 1], of a paired difference of shares, with the corrected correlation (method 10).

    With p and q the shares, (l, u) Wilson's interval of each and φ their correlation over the problems, the bounds are

        p - q - √((p - l_p)² - 2 φ (p - l_p)(u_q - q) + (u_q - q)²)   and   p - q + √((u_p - p)² - 2 φ (u_p - p)(q - l_q) + (q - l_q)²)

    Of several seeds a problem counts with the share that solved it. The paper's table of four then holds, for each problem, the chances that both
    solve it, one of them, or neither, were a search of each drawn apart; with one seed it is the paper's.

    Args:
        ours: for each problem, how many of its `seeds` searches solved it. At least one problem.
        theirs: the same of the other scheme.
        seeds: searches a problem (≥ 1).
    """
    mean = (sum(ours) - sum(theirs)) / (seeds * len(ours))
    (below, above), (their_below, their_above) = _spreads(ours, seeds), _spreads(theirs, seeds)
    phi = _correlation(ours, theirs, seeds)
    low = mean - _square_and_add(below, their_above, phi)
    high = mean + _square_and_add(above, their_below, phi)
    return max(-1.0, low), min(1.0, high)


def sign_test(more: int, fewer: int) -> float:
    """Return the two-sided exact p, in (0, 1], of so many differences up and so many down, if both were equally likely (McNemar's exact test)."""
    of = more + fewer
    tail = sum(math.comb(of, k) for k in range(min(more, fewer) + 1)) / 2**of
    return min(1.0, 2 * tail)


def _spreads(solved: Sequence[int], seeds: int) -> tuple[float, float]:
    """Return how far Wilson's interval reaches below and above a share."""
    share, interval = sum(solved) / (seeds * len(solved)), wilson(sum(solved) / seeds, len(solved))
    return share - interval.low, interval.high - share


def _correlation(ours: Sequence[int], theirs: Sequence[int], seeds: int) -> float:
    """Return φ in [-1, 1] of two columns, a positive one corrected for continuity; 0 where a column is all solved or all not."""
    pairs = list(zip(ours, theirs, strict=True))
    # the table of four in units of 1 / seeds², in which it is whole
    both = sum(a * b for a, b in pairs)
    we = sum(a * (seeds - b) for a, b in pairs)
    they = sum((seeds - a) * b for a, b in pairs)
    neither = sum((seeds - a) * (seeds - b) for a, b in pairs)
    margins = (both + we) * (they + neither) * (both + they) * (we + neither)
    if margins == 0:
        return 0.0
    product = both * neither - we * they
    if product > 0:
        product = max(0.0, product - len(pairs) * seeds**4 / 2)
    return product / math.sqrt(margins)


def _square_and_add(one: float, other: float, phi: float) -> float:
    # fsum is exact, so the interval of the opposite difference is the opposite interval
    return math.sqrt(max(0.0, math.fsum((one * one, other * other, -2 * phi * (one * other)))))


def _percentiles(sums: Sequence[int]) -> tuple[int, int]:
    ordered = sorted(sums)
    cut = int(TAIL * len(ordered))
    return ordered[cut], ordered[-1 - cut]
