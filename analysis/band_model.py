"""The forecast of a history band as arrays: season, mean of the hour to come, and how far it is usually off.

    mean residual of the next h points = base + terms · coefficients_h          (direct ridge, one per h)
    ln(size of its error)              = volatility terms · coefficients_h      (ridge on the logarithm)

Z_h is the error over its size and over the quantile that brings all h to a common scale, for either direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.assumptions import BAND_CLIP, BAND_LEAST_UNIT
from analysis.band_terms import DAY, Rows, Sums, Terms, ahead, season, standardised, terms_at
from analysis.special import FloatArray


@dataclass(frozen=True, slots=True)
class Season:
    """profile: (288,) by five minutes of the UTC day. weekly: (168,) by hour of the week, added to it."""

    profile: FloatArray
    weekly: FloatArray

    def of(self, ticks: Rows) -> FloatArray:
        """Expected z less the level, (points,)."""
        return season(ticks, self.profile, self.weekly)


@dataclass(frozen=True, slots=True)
class Model:
    """Everything that a forecast needs, h = 1..12 along the first axis where there is one.

    centre, width: of the terms that all h share, (17,); day_centre, day_width: of yesterday's increment, (12,).
    mean: (12, 19), the last column is the intercept. volatility_centre, volatility_width: (13,); size: (12, 14).
    upper, lower: (12,), quantiles of error over size in either direction, both positive. upper_clock, lower_clock:
    (48,), how much larger the largest Z_h of an hour usually is in this half hour of the UTC day, at least 1. grain:
    see volatility_terms.
    """

    season: Season
    grain: float
    centre: FloatArray
    width: FloatArray
    day_centre: FloatArray
    day_width: FloatArray
    mean: FloatArray
    volatility_centre: FloatArray
    volatility_width: FloatArray
    size: FloatArray
    upper: FloatArray
    lower: FloatArray
    upper_clock: FloatArray
    lower_clock: FloatArray

    def ahead(self, terms: Terms) -> tuple[FloatArray, FloatArray]:
        """Forecast of C_h and the usual size of its error, both (origins, 12)."""
        common = standardised(terms.common, self.centre, self.width, BAND_CLIP)
        yesterday = standardised(terms.yesterday, self.day_centre, self.day_width, BAND_CLIP)
        shared = self.mean.shape[1] - 2
        expected = common @ self.mean[:, :shared].T + yesterday * self.mean[:, shared] + self.mean[:, -1]
        moving = standardised(terms.volatility, self.volatility_centre, self.volatility_width, BAND_CLIP)
        return expected, np.exp(moving @ self.size[:, :-1].T + self.size[:, -1])

    def errors(self, z: FloatArray, ticks: Rows, rows: Rows) -> tuple[FloatArray, FloatArray]:
        """What came less what was expected, and the usual size of that, both (origins, 12); NaN where unknown."""
        residual = z - self.season.of(ticks)
        terms = terms_at(residual, ticks, rows, self.grain)
        expected, size = self.ahead(terms)
        return ahead(Sums(residual), terms.base, rows) - expected, size

    def units(self, size: FloatArray, ticks: Rows) -> tuple[FloatArray, FloatArray]:
        """What Z_h = 1 is in z, upwards and downwards, (origins, 12). size: as of `ahead`; ticks: of the origins."""
        at = half_hour(ticks)
        upper = size * self.upper * self.upper_clock[at][:, None]
        lower = size * self.lower * self.lower_clock[at][:, None]
        return np.maximum(upper, BAND_LEAST_UNIT), np.maximum(lower, BAND_LEAST_UNIT)


CLOCKS = 48


def half_hour(ticks: Rows) -> Rows:
    """The half hour of the UTC day, 0 to 47."""
    return (ticks % DAY) // (DAY // CLOCKS)
