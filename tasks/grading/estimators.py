"""Estimators over several attempts at one problem."""

from __future__ import annotations

from math import prod

from ...graph.errors import UserError


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the unbiased estimate of the chance that one of `k` attempts is right, from `n` of which `c` were.

    It is 1 - C(n-c, k) / C(n, k): the share of the sets of `k` of these attempts that hold a right one (Chen et al. 2021, arXiv 2107.03374, eq. 1), as a product, which
    stays exact to rounding for any n. The mean over problems is the benchmark's pass@k.

    Args:
        n: attempts made (≥ 1).
        c: right ones among them, in [0, n].
        k: in [1, n].

    Raises:
        UserError: if the numbers are not in these ranges: no unbiased estimate exists for k > n.
    """
    if not (n >= 1 and 0 <= c <= n and 1 <= k <= n):
        raise UserError(
            f"pass@{k} of {n} attempts with {c} right ones does not exist; take 1 <= k <= n and 0 <= c <= n"
        )
    return 1.0 - prod((n - c - i) / (n - i) for i in range(k)) if n - c >= k else 1.0
