"""Simulated pasts of one number of an app: a daily wave, a weekend, and noise that remembers."""

from __future__ import annotations

import numpy as np

from analysis.band_terms import DAY, Series
from analysis.special import FloatArray

MIDNIGHT = 1_700_006_400.0  # a Wednesday, 00:00 UTC


def past(
    days: float,
    seed: int,
    *,
    level: float = 100.0,
    wave: float = 0.5,
    noise: float = 0.05,
    memory: float = 0.8,
    jitter: float = 0.03,
    start: float = MIDNIGHT,
) -> Series:
    """exp of wave and AR(1) noise with its stationary sd, plus jitter of single points; sd are of logarithms."""
    rng = np.random.default_rng(seed)
    n = round(days * DAY)
    ticks = Series(start, np.empty(n)).ticks
    pushes = rng.normal(0.0, noise * np.sqrt(1.0 - memory**2), n)
    z = np.empty(n)
    carried = rng.normal(0.0, noise)
    for k in range(n):
        carried = memory * carried + pushes[k]
        z[k] = carried
    weekend = np.where((ticks // DAY + 3) % 7 >= 5, -0.2, 0.0)
    z += wave * np.sin(2.0 * np.pi * (ticks % DAY) / DAY) + weekend + rng.normal(0.0, jitter, n)
    return Series(start, level * np.exp(z))


def cut(series: Series, begin: int, end: int) -> Series:
    """Points begin to end of a series, with the time they had."""
    return Series(series.start + 300.0 * begin, series.values[begin:end])


def holed(series: Series, *spans: tuple[int, int]) -> Series:
    """The same with nothing in the given spans of points."""
    values: FloatArray = series.values.copy()
    for begin, end in spans:
        values[begin:end] = np.nan
    return Series(series.start, values)
