"""What the band allows for new pods: a release draws its pods' luck anew, and moves the level of the whole app by it.

A band has learned how the app's number moves while its pods stay. Let a pod's own lasting level have the relative
variance v, and let s of n pods stay while m come. The mean level of the s + m pods over that of the n then has the
relative variance

    v · [ m/(s + m)² + s (1/(s + m) - 1/n)² + (n - s)/n² ]        v (1/m + 1/n) when all are new, 0 when all stay,

so its logarithm is taken for normal with τ² = ln(1 + that) (Fenton 1960); because v is itself an estimate with ν
degrees of freedom, it is τ times a Student variable of ν (Student 1908). It is drawn once per release: one offset δ,
common to all points of the hour, independent of the forecast's errors.

The evidence is a p-value that holds at all looks together. With u_h the unit of Z_h, σ_h(δ) what the offset does to the
mean of z over h points, and c_h fixed before the hour, the statistic is the largest error_h / c_h, and

    P(largest > x) = E_δ P(for some h: error_h > x c_h - σ_h(δ)) <= E_δ S(min_h (x c_h - σ_h(δ)) / u_h),

S being the tail of M that history taught: for every δ the event needs M to exceed the bracket. The bound is exact where
u_h and σ_h are the same at all h. c_h, the root of the sum of squares of the 1 % points of error and offset, only
decides how power is spread over the hour. Without an offset this is M and its tail as they stand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis.assumptions import BAND_DEEP_ALPHA, BAND_OFFSET_NODES, BAND_OFFSET_RARE
from analysis.band_tail import Tail
from analysis.band_terms import Unit, restored, transformed
from analysis.special import FloatArray

_BISECTIONS = 14
_MOST_LOG = 50.0  # e^50 times the level is as good as infinity, and can be computed with


@dataclass(frozen=True, slots=True)
class PodSpread:
    """How far pods' own lasting levels lie apart: their relative variance, and the degrees of freedom it rests on.

    freedom: independent differences between pods that were seen; inf for a variance that is only assumed.
    """

    variance: float
    freedom: float


@dataclass(frozen=True, slots=True)
class Turnover:
    """Whose numbers are compared: `before` pods served when the forecast was made, `stayed` of them and `came` new
    ones serve since."""

    before: int = 0
    stayed: int = 0
    came: int = 0

    @property
    def weight(self) -> float:
        """By what the variance of one pod's level is multiplied; 0 where nobody is known to have come or gone."""
        now = self.stayed + self.came
        if now <= 0 or self.before <= 0:
            return 0.0
        stayed, gone = min(self.stayed, self.before), max(self.before - self.stayed, 0)
        return self.came / now**2 + stayed * (1.0 / now - 1.0 / self.before) ** 2 + gone / self.before**2


NOBODY_CAME = Turnover()


def offset_sd(pods: PodSpread, turnover: Turnover) -> float:
    """τ: the standard deviation of the log of what the exchange of pods does to the level of the app."""
    return math.sqrt(math.log1p(pods.variance * turnover.weight))


@dataclass(frozen=True, slots=True)
class Surprise:
    """How strange errors of one direction are, with or without an offset that all points have in common.

    tail: of M. unit: u_h, (12,). scale: c_h, (12,). shift: σ_h(δ) at the nodes, (nodes, 12), and their weights; both
    empty without an offset.
    """

    tail: Tail
    unit: FloatArray
    scale: FloatArray
    shift: FloatArray
    weights: FloatArray

    def nats(self, error: FloatArray) -> tuple[float, int]:
        """ln(1/p) of errors at h = 1.., in the direction that is asked about, and the index that carries it."""
        strange = error / self.scale[: error.size]
        at = int(np.argmax(strange))
        if not self.weights.size:
            return self.tail.nats(float(strange[at])), at
        return -math.log(max(self._chance(float(strange[at])), 1e-300)), at

    def limit(self, alpha: float) -> FloatArray:
        """What the errors exceed at some h in a share alpha of healthy hours at most, (12,)."""
        if not self.weights.size:
            return self.scale * self.tail.threshold(alpha)
        low, high = 0.0, 1.0
        while self._chance(high) > alpha and high < 1e9:
            low, high = high, 2.0 * high
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if self._chance(middle) > alpha else (low, middle)
        return high * self.scale

    def _chance(self, x: float) -> float:
        room = ((x * self.scale - self.shift) / self.unit).min(axis=1)
        return float(self.weights @ self.tail.survival(room))


def surprise(
    tail: Tail,
    units: FloatArray,
    expected: FloatArray,
    unit: Unit,
    offset: float,
    pods: PodSpread,
    turnover: Turnover,
    *,
    upwards: bool,
) -> Surprise:
    """The measure of one direction. units: u_h; expected: mean of z over the first h points; both (12,).

    unit, offset: of the band's scale, on which a factor on the level is no constant step.
    """
    sd = offset_sd(pods, turnover)
    if sd <= 0.0:
        return Surprise(tail, units, units, np.empty((0, units.size)), np.empty(0))
    nodes, weights = student_nodes(pods.freedom)
    level = restored(expected, unit, offset)
    way = 1.0 if upwards else -1.0

    def moved(times: FloatArray) -> FloatArray:
        """How far z moves in this direction when the level moves by so many τ in it."""
        factor = np.exp(np.clip(way * sd * times, -_MOST_LOG, _MOST_LOG))[:, None]
        shifted: FloatArray = way * (transformed(level * factor, unit, offset) - transformed(level, unit, offset))
        return shifted

    rare = moved(np.array([BAND_OFFSET_RARE]))[0]
    return Surprise(tail, units, np.hypot(rare, units * tail.threshold(BAND_DEEP_ALPHA)), moved(nodes), weights)


def student_nodes(freedom: float) -> tuple[FloatArray, FloatArray]:
    """Values of a Student variable and their weights, which add up to 1; a normal one for infinite freedom.

    Even steps in asinh, as far as a chance of about 1e-6: the trapezoid rule on what then is a smooth, short curve.
    """
    # From the density's own decay (1 + t²/ν)^(-ν/2).
    rare = math.log(1e6)
    reach = 1.5 * math.sqrt(2.0 * rare if math.isinf(freedom) else freedom * math.expm1(2.0 * rare / freedom))
    steps = np.linspace(-math.asinh(reach), math.asinh(reach), BAND_OFFSET_NODES)
    values = np.sinh(steps)
    heavy = not math.isinf(freedom)
    ln_density = -0.5 * ((freedom + 1.0) * np.log1p(values**2 / freedom) if heavy else values**2)
    mass = np.exp(ln_density - ln_density.max()) * np.cosh(steps)
    return values, mass / mass.sum()
