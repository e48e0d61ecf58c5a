"""Thresholds from the largest values of replays, and how sure a counted rate is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from analysis.assumptions import LEAST_SPREAD, TAIL_SHARE
from analysis.learned import Scale
from analysis.samples import BoolArray
from analysis.special import FloatArray


def tail_scale(maxima: FloatArray) -> Scale:
    """u and β of a sample: its 80 % point, and the mean excess above it."""
    finite = maxima[np.isfinite(maxima)]
    if not finite.size:
        return Scale(0.0, LEAST_SPREAD)
    u = float(np.quantile(finite, 1.0 - TAIL_SHARE))
    above = finite[finite > u]
    return Scale(u, max(float((above - u).mean()) if above.size else 0.0, LEAST_SPREAD))


def tail(scale: Scale, share: float, segments: float, gates: float = 1.0) -> float:
    """The value exceeded by so small a share, with the tail beyond u exponential: u + β c ln(.2 / share).

    c = 1 + √((1 + ln K)/(.2 n)) is how far β is distrusted. segments: n, how many distinct stretches of history the
    sample comes from. gates: K, of how many gates that err apart it is the maximum. Each has a scale of its own from
    the same few stretches, and the maximum is found where one of them was taken too small: of K errors of equal size
    the largest grows as √(ln K).
    """
    caution = 1.0 + math.sqrt((1.0 + math.log(max(gates, 1.0))) / (TAIL_SHARE * max(segments, 1.0)))
    return scale.location + scale.spread * caution * math.log(TAIL_SHARE / share)


def apart(above: Sequence[BoolArray]) -> float:
    """How many gates that err independently would reach beyond their 80 % points as often as these together.

    above: of each gate, which replays do; (replays,). One for gates that always err together, their number for gates
    that never depend on one another: the K with (1 - p)^K = share of replays in which none does, p being theirs alone.
    """
    none = 1.0 - float(np.any(above, axis=0).mean())
    alone = [1.0 - float(one.mean()) for one in above]
    if min(none, *alone) <= 0.0:
        return float(len(above))
    usual = sum(math.log(one) for one in alone) / len(alone)
    return min(max(math.log(none) / usual, 1.0), float(len(above))) if usual < 0.0 else 1.0


def clopper_pearson(hits: float, trials: float, level: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a share; hits may be fractional (replays of one segment are parts of one trial)."""
    if trials <= 0.0:
        return 0.0, 1.0
    rest = (1.0 - level) / 2.0
    low = beta_quantile(rest, hits, trials - hits + 1.0) if hits > 0.0 else 0.0
    high = beta_quantile(1.0 - rest, hits + 1.0, trials - hits) if hits < trials else 1.0
    return low, high


def beta_quantile(level: float, a: float, b: float) -> float:
    """The x with I_x(a, b) = level, by bisection: 60 halvings leave less than 1e-18."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if incomplete_beta(middle, a, b) < level else (low, middle)
    return 0.5 * (low + high)


def incomplete_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b), the distribution function of Beta(a, b) at x, for a, b > 0.

    Lentz's continued fraction (Press et al., Numerical Recipes, 6.4), on the side where it converges fast.
    """
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _beta_fraction(x, a, b) / a
    return 1.0 - front * _beta_fraction(1.0 - x, b, a) / b


def _beta_fraction(x: float, a: float, b: float) -> float:
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    value = d
    for m in range(1, 1000):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0)),
        ):
            d = 1.0 + step * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + step / c
            c = c if abs(c) > tiny else tiny
            value *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return value
