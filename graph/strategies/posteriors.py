"""Beliefs about scores and votes, exact and in plain Python: what Thompson sampling draws from, and when a vote is decided.

AB-MCTS (arXiv 2503.04412; constants and the quantity drawn as in its reference implementation, treequest):

    Gaussian   r ~ N(μ, σ²), (μ, σ²) ~ NIχ²(m = 0, κ = 1, ν = 1, τ² = 0.1). After n scores with mean x̄:
               κ' = κ + n,  ν' = ν + n,  m' = (κ m + n x̄) / κ',  ν' τ'² = ν τ² + Σ(x - x̄)² + n κ (m - x̄)² / κ'
    Beta       p ~ Beta(½, ½); a score r counts as r successes in one trial: a' = a + r, b' = b + 1 - r
    Mixed      r = α_j + σ_y ε, α_j = μ + σ_α ε_j; μ ~ N(.5, .2), σ_α ~ HalfNormal(.2), σ_y ~ HalfNormal(.3)

The mixed model is fitted there by NUTS, four chains. Given (σ_α, σ_y) everything is Gaussian, so we integrate μ and α_j out in
closed form and sum over a grid of (σ_α, σ_y): the same posterior without a sampler's error, up to the grid. Its points are the
midpoints of cells of equal prior mass, so a cell's weight is its likelihood alone, and its lowest σ_y (0.012) is a floor where
all scores are equal and the density has no maximum.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, pairwise
from random import Random
from statistics import NormalDist
from typing import Literal, Protocol

Prior = Literal["gaussian", "beta"]

_TINY = 1e-300


@dataclass(slots=True)
class Scores:
    """Scores of an arm, as their number, sum and sum of squares."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, score: float) -> None:
        """Take one score in [0, 1] in."""
        self.n += 1
        self.total += score
        self.squares += score * score

    def remove(self, score: float) -> None:
        """Take back a score that was added."""
        self.n -= 1
        self.total = self.total - score if self.n else 0.0
        self.squares = self.squares - score * score if self.n else 0.0

    @property
    def mean(self) -> float:
        """x̄; needs n ≥ 1."""
        return self.total / self.n

    @property
    def scatter(self) -> float:
        """Σ (x - x̄)² ≥ 0."""
        return max(0.0, self.squares - self.total * self.total / self.n) if self.n else 0.0


NOTHING = Scores()
"""The scores of an arm that has none; not to be added to."""


class Posterior(Protocol):
    """A belief about an arm."""

    @property
    def mean(self) -> float:
        """Expected score."""
        ...

    def draw(self, rng: Random) -> float:
        """Draw what Thompson sampling compares."""
        ...


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Normal-Inverse-χ²."""

    m: float = 0.0
    kappa: float = 1.0
    nu: float = 1.0
    tau2: float = 0.1
    predictive: bool = False
    """Whether a next score is drawn, as the paper writes, in place of the mean μ, as its code does."""

    def after(self, scores: Scores) -> Gaussian:
        """Return the posterior."""
        if not scores.n:
            return self
        n, mean = scores.n, scores.mean
        kappa, nu = self.kappa + n, self.nu + n
        scatter = self.nu * self.tau2 + scores.scatter + n * self.kappa * (self.m - mean) ** 2 / kappa
        return Gaussian((self.kappa * self.m + n * mean) / kappa, kappa, nu, scatter / nu, self.predictive)

    @property
    def mean(self) -> float:
        """See `Posterior.mean`."""
        return self.m

    def draw(self, rng: Random) -> float:
        """Draw σ² ~ InvGamma(ν/2, ντ²/2), then μ ~ N(m, σ²/κ), or a score around it."""
        variance = self.nu * self.tau2 / max(_TINY, 2.0 * rng.gammavariate(self.nu / 2.0, 1.0))
        spread = 1.0 / self.kappa + (1.0 if self.predictive else 0.0)
        return self.m + math.sqrt(variance * spread) * rng.gauss(0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Beta:
    """Beta over the mean score; the default is Jeffreys' prior."""

    a: float = 0.5
    b: float = 0.5

    def after(self, scores: Scores) -> Beta:
        """Return the posterior."""
        return Beta(self.a + scores.total, self.b + scores.n - scores.total)

    @property
    def mean(self) -> float:
        """See `Posterior.mean`."""
        return self.a / (self.a + self.b)

    def draw(self, rng: Random) -> float:
        """See `Posterior.draw`."""
        return rng.betavariate(self.a, self.b)


MU_MEAN, MU_SD = 0.5, 0.2
ALPHA_SCALE, Y_SCALE = 0.2, 0.3
CELLS = 16
"""Grid points for each of σ_α and σ_y."""


@dataclass(frozen=True, slots=True)
class Mixed:
    """The posterior of the mixed model: a grid of (σ_α², σ_y²), and what the scores say of μ at each of its points."""

    points: tuple[tuple[float, float], ...] = field(repr=False)
    shares: list[float] = field(repr=False)
    """Posterior probability of each point, summed up to it; the last is 1 but for rounding."""
    means: list[float] = field(repr=False)
    """E[μ | point, scores]."""
    variances: list[float] = field(repr=False)
    """Var[μ | point, scores]."""

    def mean(self, scores: Scores) -> float:
        """Return the expected next score of a group with these scores (which the fit has seen), or of a new one."""
        total, before = 0.0, 0.0
        for point, upto, mu in zip(self.points, self.shares, self.means, strict=True):
            total += (upto - before) * _group(point, scores, mu)[0]
            before = upto
        return total / before

    def draw(self, scores: Scores, rng: Random) -> float:
        """Draw a next score of such a group. Draws are independent of each other, as the code's are, not of one joint sample."""
        place = min(bisect_left(self.shares, rng.random() * self.shares[-1]), len(self.points) - 1)
        point = self.points[place]
        mean, variance = _group(point, scores, rng.gauss(self.means[place], math.sqrt(self.variances[place])))
        return rng.gauss(mean, math.sqrt(variance + point[1]))


def _group(point: tuple[float, float], scores: Scores, mu: float) -> tuple[float, float]:
    """Return mean and variance of a group's α given μ; of a group without scores: of a new group."""
    alpha, y = point
    precision = 1.0 / alpha + scores.n / y
    return (mu / alpha + scores.total / y) / precision, 1.0 / precision


def fit_mixed(groups: Sequence[Scores], cells: int = CELLS) -> Mixed:
    """Return the posterior given each group's scores; groups of equal size are summed up first, so their number costs next to nothing.

    With w_n = 1 / (σ_α² + σ_y²/n) for a group of n scores and mean ȳ, d = ȳ - .5 and W = 1/.2² + Σ w, the log-likelihood is, but for constants,

        -½ (N - J) ln σ_y² - Σ(y - ȳ)² / 2σ_y² + ½ Σ ln w - ½ ln W - ½ (Σ w d² - (Σ w d)² / W)

    and μ | scores ~ N(.5 + Σ w d / W, 1 / W).
    """
    sizes: dict[int, tuple[int, float, float]] = {}
    surplus, scatter = 0, 0.0
    for scores in groups:
        if scores.n:
            count, first, second = sizes.get(scores.n, (0, 0.0, 0.0))
            d = scores.mean - MU_MEAN
            sizes[scores.n] = (count + 1, first + d, second + d * d)
            surplus += scores.n - 1
            scatter += scores.scatter
    points = _grid(cells)
    logs: list[float] = []
    means: list[float] = []
    variances: list[float] = []
    for alpha, y in points:
        weight, first, second = 1.0 / MU_SD**2, 0.0, 0.0
        log = -0.5 * surplus * math.log(y) - scatter / (2.0 * y)
        for n, (count, d1, d2) in sizes.items():
            w = 1.0 / (alpha + y / n)
            weight += count * w
            first += w * d1
            second += w * d2
            log += 0.5 * count * math.log(w)
        logs.append(log - 0.5 * math.log(weight) - 0.5 * (second - first * first / weight))
        means.append(MU_MEAN + first / weight)
        variances.append(1.0 / weight)
    top = max(logs)
    weights = [math.exp(log - top) for log in logs]
    total = math.fsum(weights)
    return Mixed(points, list(accumulate(weight / total for weight in weights)), means, variances)


@cache
def _grid(cells: int) -> tuple[tuple[float, float], ...]:
    alphas, ys = half_normal_grid(ALPHA_SCALE, cells), half_normal_grid(Y_SCALE, cells)
    return tuple((alpha * alpha, y * y) for alpha in alphas for y in ys)


@cache
def half_normal_grid(scale: float, cells: int) -> tuple[float, ...]:
    """Return the midpoints, by probability, of cells of equal mass of |N(0, scale)|."""
    normal = NormalDist()
    return tuple(scale * normal.inv_cdf(0.5 + 0.5 * (i + 0.5) / cells) for i in range(cells))


def beta_lead(first: int, second: int) -> float:
    """Return the probability that the leader of a vote, with `first` votes against `second`, is the likelier of the two.

    Aggarwal et al. (arXiv 2305.11860): P(p > ½) for p ~ Beta(first + 1, second + 1). Their code integrates numerically; for whole numbers it is the
    probability of at most `first` heads in first + second + 1 tosses of a fair coin.
    """
    tosses = first + second + 1
    term, total = 1, 1
    for heads in range(1, second + 1):  # the other tail: at most `second` heads
        term = term * (tosses - heads + 1) // heads
        total += term
    tail = total / (1 << tosses) if tosses < 1000 else math.exp(math.log(total) - tosses * math.log(2.0))
    return 1.0 - tail


POINTS = 4000
"""Points of the integral in `dirichlet_lead`."""


def dirichlet_lead(votes: Sequence[int]) -> float:
    """Return the probability that the most frequent of these answers is the likeliest one.

    Their Dirichlet criterion: p ~ Dirichlet(votes + 1) over the answers seen. Their code integrates by drawing; with p_i = g_i / Σ g and
    g_i ~ Gamma(votes_i + 1) it is one integral, ∫ f_1(x) Π F_i(x) dx, here by the trapezoid rule. With fewer than three answers it is the
    Beta criterion.
    """
    ordered = sorted(votes, reverse=True)
    if len(ordered) < 3:
        return beta_lead(ordered[0] if ordered else 0, ordered[1] if len(ordered) == 2 else 0)
    top = ordered[0] + 1.0
    step = (top + 12.0 * math.sqrt(top) + 30.0) / POINTS
    densities = {votes: _gamma_density(votes + 1, step) for votes in set(ordered)}
    product = list(densities[ordered[0]])
    for rival in ordered[1:]:
        below = _running(densities[rival], step)
        product = [f * big for f, big in zip(product, below, strict=True)]
    return min(1.0, _running(product, step)[-1])


def _gamma_density(shape: int, step: float) -> list[float]:
    log = math.lgamma(shape)
    start = 1.0 if shape == 1 else 0.0
    points = (step * i for i in range(1, POINTS + 1))
    return [start, *(math.exp((shape - 1) * math.log(x) - x - log) for x in points)]


def _running(heights: Sequence[float], step: float) -> list[float]:
    """Return the integral from 0 up to each point."""
    pairs = pairwise(heights)
    return list(accumulate((0.5 * step * (a + b) for a, b in pairs), initial=0.0))
