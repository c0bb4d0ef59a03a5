"""The statistics of a comparison: hand values, exact enumeration of small cases, and laws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thoughtgraph.tasks.comparison.stats import (
    BOOTSTRAP,
    NEWCOMBE,
    PAIRED,
    WILSON,
    Difference,
    difference,
    newcombe,
    resample,
    share_interval,
    wilson,
)

columns = st.integers(1, 12).flatmap(
    lambda n: st.tuples(*(st.lists(st.integers(0, 2), min_size=n, max_size=n) for _ in range(2)))
)


def compared(ours: Sequence[int], theirs: Sequence[int], seeds: int = 1, times: int = 10_000) -> Difference:
    a, b = resample([ours, theirs], times)
    return difference(ours, theirs, a, b, seeds)


@pytest.mark.parametrize(
    ("solved", "of", "low", "high"),
    [
        # centre = (.8 + 3.8415/20) / 1.38415 = .71674; spread = 1.95996 * sqrt(.016 + .0096037) / 1.38415 = .22657
        (8, 10, 0.49016, 0.94331),
        (0, 10, 0.0, 0.27753),  # 3.84146 / 13.84146
        (10, 10, 0.72247, 1.0),
        (97, 100, 0.91548, 0.98975),
        (1.5, 3, 0.12534, 0.87466),  # half of three: 0.5 ± 1.95996 * sqrt(1/12 + 3.8415/36) / 2.28049
    ],
)
def test_wilson_by_hand(solved: float, of: int, low: float, high: float) -> None:
    interval = wilson(solved, of)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-5)
    assert interval.method == WILSON


@given(st.integers(1, 300), st.floats(0, 1))
def test_wilson_holds_the_share_and_stays_in_bounds(of: int, part: float) -> None:
    interval = wilson(part * of, of)
    assert 0.0 <= interval.low <= part * of / of <= interval.high <= 1.0
    wider = wilson(part * of / 2, of // 2) if of % 2 == 0 else None
    assert wider is None or wider.high - wider.low >= interval.high - interval.low


def exact(ours: Sequence[int], theirs: Sequence[int]) -> dict[int, float]:
    """Return the distribution of the summed difference over all n^n draws with replacement."""
    apart = [a - b for a, b in zip(ours, theirs, strict=True)]
    sums = Counter(sum(draw) for draw in product(apart, repeat=len(apart)))
    return {value: count / len(apart) ** len(apart) for value, count in sums.items()}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([1, 0, 1, 1], [0, 0, 1, 0]),
        ([1, 1, 0, 0, 1], [0, 1, 1, 0, 0]),
        ([2, 0, 1, 2, 0, 1], [1, 1, 1, 0, 2, 0]),
        ([0, 0, 1], [1, 1, 0]),
    ],
)
def test_resampling_agrees_with_the_enumeration_of_all_draws(ours: list[int], theirs: list[int]) -> None:
    seeds = max(*ours, *theirs)
    found, known = compared(ours, theirs, seeds), exact(ours, theirs)
    below = sum(p for value, p in known.items() if value < 0)
    assert found.below == pytest.approx(below, abs=0.02)  # 10,000 draws: 4 standard errors at most
    # every difference may as well have gone the other way: count the flips that are at least as lopsided
    signs = [1 if a > b else -1 for a, b in zip(ours, theirs, strict=True) if a != b]
    flips = list(product((-1, 1), repeat=len(signs)))
    assert found.p == pytest.approx(sum(abs(sum(f)) >= abs(sum(signs)) for f in flips) / len(flips))
    a, b = resample([ours, theirs])
    drawn = Counter(x - y for x, y in zip(a, b, strict=True))
    assert set(drawn) <= set(known)
    assert {value: drawn[value] / 10_000 for value in known} == pytest.approx(known, abs=0.02)
    # the percentiles of the exact distribution, whose masses are far from 2.5 % in these cases
    order = sorted(known)
    low = next(v for v in order if sum(known[u] for u in order if u <= v) > 0.025)
    high = next(v for v in order[::-1] if sum(known[u] for u in order if u >= v) > 0.025)
    searches = len(ours) * seeds
    assert (found.low, found.high) == (low / searches, high / searches)


def test_a_difference_by_hand() -> None:
    # differences (1, 0, 0, 1): the sum of 4 draws is 0 with probability (1/2)^4 = 1/16, never below
    found = compared([1, 0, 1, 1], [0, 0, 1, 0])
    assert found.mean == 0.5
    assert (found.low, found.high) == (0.0, 1.0)
    assert found.below == 0.0
    assert found.p == 0.5  # two problems differ, both the same way: 2 · (1/2)^2
    assert found.method == PAIRED


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        # (both, first only, second only, neither): a table of the paper, and one of Fagerland et al., Stat. Med. 33 (2014), 2850-2875
        ((36, 12, 2, 0), 0.0569, 0.3404),
        ((1, 1, 7, 12), -0.507, -0.026),
    ],
)
def test_newcombe_as_published(table: tuple[int, int, int, int], low: float, high: float) -> None:
    both, first, second, neither = table
    ours = [1] * (both + first) + [0] * (second + neither)
    theirs = [1] * both + [0] * first + [1] * second + [0] * neither
    assert newcombe(ours, theirs, 1) == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize(
    ("ours", "theirs", "seeds", "low", "high"),
    [
        # φ = 0 at margins of 0; Wilson's spread of 10 of 10 and 0 of 10 is .27753: 1 - √(2 · .27753²), and nothing above 1
        ([1] * 10, [0] * 10, 1, 0.60751, 1.0),
        ([1] * 10, [1] * 10, 1, -0.27753, 0.27753),
        # φ = (5 · 5 - 0 · 0 - 10/2) / √5⁴ = .8; the spread of 5 of 10 is .26340: ± .26340 · √(2 - 2 · .8)
        ([1, 0] * 5, [1, 0] * 5, 1, -0.16659, 0.16659),
        # the same, each searched twice: seeds that agree are no further evidence
        ([2, 0] * 5, [2, 0] * 5, 2, -0.16659, 0.16659),
        # one of two searches each: (2.5, 2.5, 2.5, 2.5), so φ = 0: ± .26340 · √2
        ([1] * 10, [1] * 10, 2, -0.37251, 0.37251),
        # shares 1 and 1/2: φ = 0; up √(0² + .26340²), down √(.27753² + .26340²) = .38263
        ([2] * 10, [1] * 10, 2, 0.11737, 0.76340),
    ],
)
def test_where_all_problems_differ_alike_the_interval_has_a_width(
    ours: list[int], theirs: list[int], seeds: int, low: float, high: float
) -> None:
    found = compared(ours, theirs, seeds, 100)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-5)
    assert found.method == NEWCOMBE
    assert found.as_json()["method"] == NEWCOMBE


@settings(deadline=None, max_examples=60)
@given(columns)
def test_a_difference_is_antisymmetric_and_holds_its_estimate(two: tuple[list[int], list[int]]) -> None:
    ours, theirs = two
    there, back = compared(ours, theirs, 2, 400), compared(theirs, ours, 2, 400)
    assert (there.mean, there.low, there.high) == (-back.mean, -back.high, -back.low)
    assert there.p == back.p
    assert 0.0 <= there.below <= 1.0 - back.below
    assert 0.0 < there.p <= 1.0
    assert -1.0 <= there.low <= there.mean <= there.high <= 1.0


@given(columns)
def test_a_scheme_does_not_differ_from_itself(two: tuple[list[int], list[int]]) -> None:
    found = compared(two[0], two[0], 2, 100)
    assert found == Difference(0.0, -found.high, found.high, 0.0, 1.0, NEWCOMBE)
    assert 0.0 < found.high < 1.0


@settings(deadline=None, max_examples=60)
@given(columns)
def test_seeds_that_agree_are_no_further_evidence(two: tuple[list[int], list[int]]) -> None:
    # each problem searched twice with the same outcome: what is known is what one search each told
    once = [min(1, value) for value in two[0]]
    twice = [2 * value for value in once]
    a, b = resample([once, twice], 400)
    assert [2 * value for value in a] == list(b)
    interval = share_interval(twice, 2, b)
    assert interval.low <= sum(once) / len(once) <= interval.high
    if len(set(once)) == 1:  # resampling would claim certainty
        assert interval == share_interval(once, 1, a) == wilson(sum(once), len(once))
    else:
        assert interval.method == BOOTSTRAP
        assert share_interval(once, 1, a).method == WILSON


def test_draws_depend_on_the_seed_and_nothing_else() -> None:
    column = [0, 1, 2, 3, 4]
    assert resample([column], 50)[0] == resample([[5, 5, 5, 5, 5], column], 50)[1]
    assert resample([column], 50) != resample([column], 50, seed=1)
    assert resample([[7]], 3) == ([7, 7, 7],)
