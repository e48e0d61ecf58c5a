"""What a band is computed from: a series on its grid, what is left of it after the season, and the terms of a forecast.

Everything here is per origin, an index into the series: the last point that is known when the next hour is forecast.
Learning asks for thousands of origins at once, a look for one; both go through the same lines, so that what was
calibrated is what is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from analysis.assumptions import BAND_FILL, BAND_HORIZON, BAND_STEP, BAND_STRETCHES
from analysis.special import FloatArray
from analysis.verdict import Absence, NoData

Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]

DAY = round(86_400.0 / BAND_STEP)
"""Points in a day."""

HOUR = round(3_600.0 / BAND_STEP)
"""Points in an hour."""

WEEK_HOURS = 168
BLOCKS = 8
"""Parts of the day, three hours each, with a volatility of their own."""

STEPS: FloatArray = np.arange(1.0, BAND_HORIZON + 1.0)
"""h = 1..12: how many points after the origin a mean covers."""


class Unit(StrEnum):
    """How a series is brought to a scale on which changes add up."""

    LEVEL = "level"  # ln(y + offset)
    SHARE = "share"  # ln(y + offset) - ln(1 - y + offset)


@dataclass(frozen=True, slots=True)
class Series:
    """A number every five minutes. start: epoch seconds (UTC) of the first value; NaN where there was none."""

    start: float
    values: FloatArray

    @property
    def end(self) -> float:
        """Epoch seconds of the last value."""
        return self.start + BAND_STEP * (self.values.size - 1)

    @property
    def ticks(self) -> Rows:
        """Five-minute steps since the epoch, one per value; days begin at midnight UTC, weeks on a Thursday."""
        first = math.floor(self.start / BAND_STEP + 1e-6)
        return np.arange(first, first + self.values.size, dtype=np.int64)

    def index(self, at: float) -> int:
        """Index of the last value not later than `at`; -1 when all are later."""
        return min(math.floor((at - self.start) / BAND_STEP + 1e-6), self.values.size - 1)

    def joined(self, later: Series) -> Series:
        """This series up to the start of another one, and then that one; what lies between is a hole."""
        gap = round((later.start - self.start) / BAND_STEP)
        values = np.full(gap + later.values.size, np.nan)
        kept = min(gap, self.values.size)
        values[:kept] = self.values[:kept]
        values[gap:] = later.values
        return Series(self.start, values)


def series_of(times: Sequence[float] | FloatArray, values: Sequence[float] | FloatArray) -> Series | Absence:
    """Numbers at instants of a five-minute grid as a Series; instants that are missing become holes.

    times: epoch seconds, ascending. Infinite values are holes (a division by nothing); negative ones make the whole
    series unusable, because a level below zero has no logarithm.
    """
    at, seen = np.asarray(times, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if at.size == 0:
        return Absence(NoData.NO_SERIES, "the store had no point of it")
    if at.size != seen.size or not np.isfinite(at).all():
        return Absence(NoData.MALFORMED, f"{at.size} instants and {seen.size} values")
    steps = (at - at[0]) / BAND_STEP
    places = np.rint(steps).astype(np.int64)
    if (np.abs(steps - places) > 0.1).any() or (np.diff(places) <= 0).any():
        return Absence(NoData.MISALIGNED, f"instants are not {BAND_STEP:.0f} seconds apart in ascending order")
    if not np.isfinite(seen).any():
        return Absence(NoData.NON_FINITE, f"none of {seen.size} values is a number")
    if np.nanmin(seen) < 0.0:
        return Absence(NoData.NEGATIVE, f"a value of {np.nanmin(seen):.4g} is below zero")
    grid = np.full(int(places[-1]) + 1, np.nan)
    grid[places] = np.where(np.isfinite(seen), seen, np.nan)
    return Series(float(at[0]), grid)


def filled(values: FloatArray) -> FloatArray:
    """Holes of at most 15 minutes between two values carry the earlier one on; longer ones stay holes."""
    at = np.arange(values.size)
    known = np.isfinite(values)
    last = np.maximum.accumulate(np.where(known, at, -1))
    after = np.minimum.accumulate(np.where(known, at, 2 * values.size)[::-1])[::-1]
    short = (last >= 0) & (after - last - 1 <= BAND_FILL)
    result: FloatArray = np.where(short, values[np.maximum(last, 0)], np.nan)
    return result


def transformed(values: FloatArray, unit: Unit, offset: float) -> FloatArray:
    """z, see Unit; a share above 1 counts as 1."""
    if unit is Unit.LEVEL:
        level: FloatArray = np.log(values + offset)
        return level
    share = np.minimum(values, 1.0)
    odds: FloatArray = np.log(share + offset) - np.log(1.0 - share + offset)
    return odds


def restored(z: FloatArray, unit: Unit, offset: float) -> FloatArray:
    """The inverse of `transformed`, never below zero."""
    if unit is Unit.LEVEL:
        level: FloatArray = np.maximum(np.exp(z) - offset, 0.0)
        return level
    odds = np.exp(z)
    share: FloatArray = np.clip((odds * (1.0 + offset) - offset) / (1.0 + odds), 0.0, 1.0)
    return share


class Sums:
    """Means of a series with holes over stretches, from running sums."""

    def __init__(self, values: FloatArray) -> None:
        """Holes are NaN and count for nothing."""
        known = np.isfinite(values)
        self._size = values.size
        self._sum = np.concatenate(([0.0], np.cumsum(np.where(known, values, 0.0))))
        self._known = np.concatenate(([0], np.cumsum(known)))

    def mean(self, begin: Rows, end: Rows, least: float | FloatArray) -> FloatArray:
        """Mean of [begin, end), element by element; NaN where fewer than `least` of its points are known."""
        low, high = np.clip(begin, 0, self._size), np.clip(end, 0, self._size)
        known = self._known[high] - self._known[low]
        mean: FloatArray = np.where(known >= least, (self._sum[high] - self._sum[low]) / np.maximum(known, 1), np.nan)
        return mean


@dataclass(frozen=True, slots=True)
class Terms:
    """What is known at each of n origins about the hour to come.

    base: mean residual of the last hour, (n,). common: the terms that all h share, (n, 17): the means over the
    stretches and the last twelve residuals, both less the base, and the base itself. yesterday: what the mean over the
    next h points was above the base a day before, (n, 12). volatility: (n, 13), see `volatility_terms`.
    """

    base: FloatArray
    common: FloatArray
    yesterday: FloatArray
    volatility: FloatArray


COMMON = len(BAND_STRETCHES) + HOUR + 1
VOLATILITIES = 5 + BLOCKS


def ahead(residual: Sums, base: FloatArray, rows: Rows) -> FloatArray:
    """C_h: mean residual over the next h points less the base, (n, 12); NaN where one of them is missing."""
    begin = (rows + 1)[:, None]
    return residual.mean(begin, begin + np.arange(1, BAND_HORIZON + 1), STEPS) - base[:, None]


def terms_at(residual: FloatArray, ticks: Rows, rows: Rows, grain: float) -> Terms:
    """The terms at the origins `rows`; an unknown term is NaN and later counts as its mean.

    residual: what is left of z after the season, (points,). grain: see `volatility_terms`.
    """
    sums = Sums(residual)
    base = _last_hour(sums, rows)
    lags = rows[:, None] - np.arange(HOUR)
    common = np.column_stack(
        [
            *(sums.mean(rows + 1 - n, rows + 1, min(n, 0.5 * n + 1.0)) - base for n in BAND_STRETCHES),
            np.where(lags >= 0, residual[np.maximum(lags, 0)], np.nan) - base[:, None],
            base,
        ]
    )
    before = rows - DAY
    yesterday = ahead(sums, _last_hour(sums, before), before)
    return Terms(base, common, yesterday, volatility_terms(residual, ticks, rows, grain))


def _last_hour(sums: Sums, rows: Rows) -> FloatArray:
    """Mean of the last hour, of which one quarter may be missing; NaN before the series begins."""
    begin = rows + 1 - HOUR
    return np.where(begin >= 0, sums.mean(begin, rows + 1, 0.75 * HOUR), np.nan)


def volatility_terms(residual: FloatArray, ticks: Rows, rows: Rows, grain: float) -> FloatArray:
    """Logs of how much the series moves: mean |step| of 1 h, 6 h, 24 h, sd of the last hour, mean |step| of the hour
    to come a day before; then the block of the day that the origin lies in, as eight columns of 0 and 1.

    grain: a movement too small to matter, added before the logarithm so that a quiet hour has one.
    """
    moves = np.full(residual.size, np.nan)
    moves[1:] = np.abs(np.diff(residual))
    steps = Sums(moves)
    level, square = Sums(residual), Sums(residual * residual)
    hour = (rows + 1 - HOUR, rows + 1, 0.5 * HOUR)
    spread = np.sqrt(np.maximum(square.mean(*hour) - level.mean(*hour) ** 2, 0.0))
    before = rows + 1 - DAY
    raw = np.column_stack(
        [
            *(steps.mean(rows + 1 - n, rows + 1, 0.5 * n) for n in (HOUR, 6 * HOUR, 24 * HOUR)),
            spread,
            np.where(before >= 0, steps.mean(before, before + HOUR, 0.5 * HOUR), np.nan),
        ]
    )
    block = (ticks[rows] % DAY) // (DAY // BLOCKS)
    return np.column_stack([np.log(raw + grain), (block[:, None] == np.arange(BLOCKS)).astype(np.float64)])


def standardised(terms: FloatArray, centre: FloatArray, width: FloatArray, clip: float) -> FloatArray:
    """Terms in units of their spread, clipped; unknown ones at their mean, which is 0."""
    scaled: FloatArray = np.clip((terms - centre) / width, -clip, clip)
    return np.where(np.isnan(scaled), 0.0, scaled)


def season(ticks: Rows, profile: FloatArray, weekly: FloatArray) -> FloatArray:
    """What the hour of the day and of the week lets expect, (points,). profile: (288,), weekly: (168,)."""
    result: FloatArray = profile[ticks % DAY] + weekly[(ticks // HOUR) % WEEK_HOURS]
    return result
