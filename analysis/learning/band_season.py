"""The season of a series: its usual day and what an hour of the week adds, from medians that incidents hardly move."""

from __future__ import annotations

import numpy as np

from analysis.assumptions import BAND_SHIFT, BAND_WEEKLY_PRIOR
from analysis.band_model import Season
from analysis.band_terms import DAY, HOUR, WEEK_HOURS, Rows
from analysis.special import FloatArray

_KERNEL = np.array([0.25, 0.5, 0.25])


def learned_season(z: FloatArray, ticks: Rows, weights: FloatArray) -> Season:
    """Median over days of z less the day's median, by five minutes of the day; then the mean rest by hour of the week.

    z: (points,), NaN where nothing is to be learned. The profile is smoothed around the clock; slots without a value
    are interpolated. The weekly part is shrunk by n/(n + 4) for n weeks seen.
    """
    day = ticks // DAY - ticks[0] // DAY
    grid = np.full((int(day[-1]) + 1, DAY), np.nan)
    grid[day, ticks % DAY] = z
    aged = np.zeros(grid.shape)
    aged[day, ticks % DAY] = weights
    middle = weighted_median(grid.T, np.ones(grid.T.shape))
    profile = _round_the_clock(weighted_median(grid - middle[:, None], aged))
    rest = grid - middle[:, None] - profile
    left = (rest - weighted_median(rest.T, np.ones(grid.T.shape))[:, None])[day, ticks % DAY]
    known = np.isfinite(left)
    hour = ((ticks // HOUR) % WEEK_HOURS)[known]
    total = np.bincount(hour, weights=weights[known], minlength=WEEK_HOURS)
    mean = np.bincount(hour, weights=(weights[known] * left[known]), minlength=WEEK_HOURS) / np.maximum(total, 1e-9)
    weeks = total / HOUR
    return Season(profile, mean * weeks / (weeks + BAND_WEEKLY_PRIOR))


def _round_the_clock(profile: FloatArray) -> FloatArray:
    known = np.isfinite(profile)
    if not known.any():
        return np.zeros(DAY)
    whole = np.interp(np.arange(DAY), np.flatnonzero(known), profile[known], period=DAY)
    smooth: FloatArray = np.convolve(np.concatenate((whole[-1:], whole, whole[:1])), _KERNEL, mode="valid")
    return smooth


def level_shifted(residual: FloatArray) -> bool:
    """Whether the last 24 hours lie on another level than the days before: see BAND_SHIFT. Needs five days before."""
    days = residual.size // DAY
    if days < 6:
        return False
    blocks = residual[residual.size - days * DAY :].reshape(days, DAY)
    enough = np.isfinite(blocks).sum(axis=1) >= DAY // 4
    if not enough[-1] or enough[:-1].sum() < 5:
        return False
    before = np.array([np.nanmedian(block) for block in blocks[:-1][enough[:-1]]])
    now = float(np.nanmedian(blocks[-1]))
    room = BAND_SHIFT * float(np.ptp(before))
    return not float(before.min()) - room <= now <= float(before.max()) + room


def weighted_median(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Median along axis 0, NaN ignored; with equal weights the usual one. NaN where there is no value."""
    order = np.argsort(values, axis=0)  # NaN last
    ordered = np.take_along_axis(values, order, axis=0)
    mass = np.where(np.isnan(ordered), 0.0, np.take_along_axis(weights, order, axis=0))
    reached = np.cumsum(mass, axis=0)
    half = 0.5 * reached[-1]
    low = np.argmax(reached >= half - 1e-9, axis=0)
    high = np.argmax(reached > half + 1e-9, axis=0)
    columns = np.arange(values.shape[1])
    middle: FloatArray = 0.5 * (ordered[low, columns] + ordered[high, columns])
    return np.where(reached[-1] > 0.0, middle, np.nan)


def weighted_quantile(values: FloatArray, weights: FloatArray, share: float) -> FloatArray:
    """Quantile along axis 0: values in order, each at the middle of its weight, interpolated. No NaN."""
    order = np.argsort(values, axis=0)
    ordered = np.take_along_axis(values, order, axis=0)
    mass = weights[order]
    reached = (np.cumsum(mass, axis=0) - 0.5 * mass) / weights.sum()
    if values.ndim == 1:
        return np.asarray(np.interp(share, reached, ordered))
    return np.array([np.interp(share, reached[:, c], ordered[:, c]) for c in range(values.shape[1])])
