"""Where the contender's pods lie among the levels that healthy pods of their role have had.

A gauge has no events whose chance could be computed: what a healthy pod's level may be is known only from other pods.
The reference are ln levels L_j of M pods in history; y_i are those of the contender's pods. Two statistics:

- LR, a likelihood ratio mixed over shifts θ beyond the margin, under a density f0 that is mostly a kernel estimate of
  the L_j and a little of a heavy tail, so that no level is impossible; all pods share the shift, or only one has it;
- RK, the square of the summed normal scores of the y_i among the L_j. It needs no density; how far a level lies beyond
  every pod that was ever seen is left to LR.

Both are 0 unless the mean of the y_i exceeds the mean of the L_j by more than the margin. Against the margin stands the
same likelihood ratio with the margin in the place of no shift, or RK, whose ranks are of y_i less the margin anyway:
whichever is larger (their sum). Pods that all stand at the upper edge of the reference are no surprise one by one, and
LR hardly sees them; their ranks together are. None of these is an e-value. What they may reach with healthy pods is
learned by replays, and only those thresholds carry a promise.

Everything here is in the direction of harm: levels of a gauge whose low values are bad come with the sign turned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from analysis.assumptions import (
    LEAST_LEVELS,
    LEVEL_BANDWIDTH,
    LEVEL_HEAVY_SHARE,
    LEVEL_ODD_POD,
    LEVEL_PRIOR_SD,
    LEVEL_SCORE_CLIP,
    LEVEL_SHIFT_REACH,
    LEVEL_SHIFTS,
)
from analysis.special import FloatArray, log_sum_exp, normal_cdf

GRID = 768
"""Points at which the reference density is tabulated."""

_SHIFTS: FloatArray = np.linspace(0.0, LEVEL_SHIFT_REACH, LEVEL_SHIFTS)[1:]
_LN_PRIOR: FloatArray = -0.5 * (_SHIFTS / LEVEL_PRIOR_SD) ** 2
_LN_PRIOR = _LN_PRIOR - log_sum_exp(_LN_PRIOR)
"""Shifts beyond the margin, and their half-normal prior on that grid."""

_LN_T3 = math.log(6.0 * math.sqrt(3.0) / math.pi)
"""ln of the constant of Student's t with 3 degrees of freedom: f(x) = 6√3 / (π (3 + x²)²)."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The levels of healthy pods, and their density in a table.

    levels: (M,) ascending. bandwidth: of the kernel estimate. mean, median, sd: of the levels, sd at least the least
    bandwidth. origin, step, ln_table: ln f0 at origin + step · (0, 1, ...). rank_scores: (M + 1,) normal scores of a
    level above so many of them.
    """

    levels: FloatArray
    bandwidth: float
    mean: float
    median: float
    sd: float
    origin: float
    step: float
    ln_table: FloatArray
    rank_scores: FloatArray

    def ln_density(self, x: FloatArray) -> FloatArray:
        """ln f0(x), element by element: linear between the table's points, beyond them the heavy tail alone."""
        place = (x - self.origin) / self.step
        inside = (place >= 0.0) & (place <= GRID - 1.0)
        at = np.clip(place, 0.0, GRID - 1.000001)
        low = at.astype(np.int64)
        part = at - low
        table = self.ln_table[low] * (1.0 - part) + self.ln_table[low + 1] * part
        result: FloatArray = np.where(inside, table, _ln_heavy(x, self.median, self.sd))
        return result

    def scores(self, y: FloatArray) -> FloatArray:
        """Normal score of each y by its rank among the levels.

        How far it lies beyond the highest of them does not count: in a role with heavy tails one odd healthy pod would
        outweigh all others.
        """
        result: FloatArray = self.rank_scores[np.searchsorted(self.levels, y)]
        return result


def reference(levels: FloatArray, within: float) -> Reference:
    """The reference of pod levels (M,), M >= 2, in any order.

    f0 = (1 - share) KDE(levels, h) + share · Student_3(median, sd), with h the greatest of the least bandwidth,
    `within` (sd of a pod's half-hour mean) and Silverman's rule shortened: .53 min(sd, IQR/1.34) M^-1/5.
    """
    ordered = np.sort(np.asarray(levels, dtype=np.float64))
    spread = float(ordered.std(ddof=1))
    quartiles = np.quantile(ordered, (0.25, 0.75))
    robust = min(spread, float(quartiles[1] - quartiles[0]) / 1.34)
    width = max(LEVEL_BANDWIDTH, within, 0.53 * robust * float(ordered.size) ** -0.2)
    sd, median = max(spread, LEVEL_BANDWIDTH), float(np.median(ordered))
    origin = float(ordered[0]) - 6.0 * width
    step = (float(ordered[-1]) + 6.0 * width - origin) / (GRID - 1)
    grid = origin + step * np.arange(GRID)
    bells = np.exp(-0.5 * ((grid[:, None] - ordered[None, :]) / width) ** 2).mean(axis=1)
    kernel = (1.0 - LEVEL_HEAVY_SHARE) * bells / (width * math.sqrt(2.0 * math.pi))
    table = np.log(kernel + np.exp(_ln_heavy(grid, median, sd)))
    ranks = (np.arange(ordered.size + 1) + 0.5) / (ordered.size + 1.0)
    scores = normal_score(np.clip(ranks, LEVEL_SCORE_CLIP, 1.0 - LEVEL_SCORE_CLIP))
    return Reference(ordered, width, float(ordered.mean()), median, sd, origin, step, table, scores)


@lru_cache(maxsize=256)
def known_reference(levels: tuple[float, ...], within: float) -> Reference:
    """The same for levels that were learned: they stay for a whole release, and a look must be cheap."""
    return reference(np.array(levels), within)


@dataclass(frozen=True, slots=True)
class Position:
    """ln evidence of one or many looks: against no change by likelihood and by ranks, and against the margin."""

    likelihood: FloatArray
    ranks: FloatArray
    margin: FloatArray


def position(known: Reference, y: FloatArray, weights: FloatArray, margin: float) -> Position:
    """Position of contender levels, mixed over starts.

    y: (pods, starts, ...) mean ln levels since each start, NaN where a pod has no reading since then. weights:
    (starts, ...) prior weights, 0 for starts that have not come. margin: tolerated shift in ln, >= 0. The results have
    the shape (...). A start at which the mean is not beyond the margin adds evidence 0 (a factor of one).
    """
    there = np.isfinite(y)
    pods = there.sum(axis=0)
    mean = np.where(there, y, 0.0).sum(axis=0) / np.maximum(pods, 1)
    beyond = (pods > 0) & (mean - known.mean > margin) & (weights > 0.0)
    found = _beyond(known, y[:, beyond], margin)
    with np.errstate(divide="ignore"):
        ln_weights = np.log(weights)

    def mixed(statistic: FloatArray) -> FloatArray:
        everywhere = np.zeros(beyond.shape)
        everywhere[beyond] = statistic
        told: FloatArray = log_sum_exp(everywhere + ln_weights, axis=0)
        return np.where(beyond.any(axis=0), told, 0.0)

    return Position(mixed(found.likelihood), mixed(found.ranks), mixed(found.margin))


def _beyond(known: Reference, y: FloatArray, margin: float) -> Position:
    """The statistics of spans whose mean lies beyond the margin; y: (pods, spans), the results (spans,)."""
    there = np.isfinite(y)
    pods = np.maximum(there.sum(axis=0), 1)
    filled = np.where(there, y, known.median)
    moved = np.where(there, known.ln_density(filled[None] - margin - _SHIFTS[:, None, None]), 0.0)
    unmoved, at_margin = (np.where(there, known.ln_density(filled - by), 0.0) for by in (0.0, margin))
    score = np.where(there, known.scores(filled - margin), 0.0).sum(axis=0) / np.sqrt(pods)
    ranks = 0.5 * np.maximum(score, 0.0) ** 2
    likelihood, beyond = (
        np.logaddexp(
            math.log(1.0 - LEVEL_ODD_POD) + _mixed(moved.sum(axis=1)) - null.sum(axis=0),
            math.log(LEVEL_ODD_POD)
            + log_sum_exp(np.where(there, _mixed(moved) - null, -np.inf), axis=0)
            - np.log(pods),
        )
        for null in (unmoved, at_margin)
    )
    return Position(likelihood, ranks, np.logaddexp(beyond, ranks))


def _mixed(moved: FloatArray) -> FloatArray:
    """ln of the mean of exp(moved) over shifts (axis 0) under their prior."""
    result: FloatArray = log_sum_exp(moved + _LN_PRIOR.reshape(-1, *([1] * (moved.ndim - 1))), axis=0)
    return result


def enough_known(known: int, on_trial: int) -> bool:
    """Whether so many known levels can judge so many pods: as many as a reference must have stay in each replay of it.

    A replay plays the contender with known pods and leaves them out, so what it promises ends where too few are left.
    """
    return known - on_trial >= LEAST_LEVELS


def normal_score(share: FloatArray) -> FloatArray:
    """Φ⁻¹ of shares in (0, 1): Acklam's rational approximation and one step of Newton, error below 1e-9."""
    p = np.minimum(share, 1.0 - share)
    tail = np.sqrt(-2.0 * np.log(p))
    q = p - 0.5
    r = q * q
    central = q * _poly(_A, r) / (_poly(_B, r) * r + 1.0)
    outer = _poly(_C, tail) / (_poly(_D, tail) * tail + 1.0)
    x = np.where(p < 0.02425, outer, central)
    density = np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
    x = x - (normal_cdf(x) - p) / density
    result: FloatArray = np.where(share <= 0.5, x, -x)
    return result


_A = (
    -39.69683028665376,
    220.9460984245205,
    -275.9285104469687,
    138.3577518672690,
    -30.66479806614716,
    2.506628277459239,
)
_B = (-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572)
_C = (
    -0.007784894002430293,
    -0.3223964580411365,
    -2.400758277161838,
    -2.549732539343734,
    4.374664141464968,
    2.938163982698783,
)
_D = (0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416)


def _poly(coefficients: tuple[float, ...], x: FloatArray) -> FloatArray:
    """Horner's rule, the highest power first."""
    total = np.full(np.shape(x), coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


def _ln_heavy(x: FloatArray, median: float, sd: float) -> FloatArray:
    """ln of the heavy part of the density: its share times Student's t with 3 degrees of freedom."""
    z = (x - median) / sd
    result: FloatArray = math.log(LEVEL_HEAVY_SHARE) + _LN_T3 - 2.0 * np.log(3.0 + z * z) - math.log(sd)
    return result
