"""Why a band that was read back cannot be one that was learned: lengths, signs and ranges."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from analysis.assumptions import BAND_HORIZON
from analysis.band import LearnedBand
from analysis.band_model import CLOCKS
from analysis.band_terms import COMMON, DAY, VOLATILITIES, WEEK_HOURS

_SHAPES: Final = {
    "profile": (DAY,),
    "weekly": (WEEK_HOURS,),
    "centre": (COMMON,),
    "width": (COMMON,),
    "day_centre": (BAND_HORIZON,),
    "day_width": (BAND_HORIZON,),
    "mean": (BAND_HORIZON, COMMON + 2),
    "volatility_centre": (VOLATILITIES,),
    "volatility_width": (VOLATILITIES,),
    "size": (BAND_HORIZON, VOLATILITIES + 1),
    "upper": (BAND_HORIZON,),
    "lower": (BAND_HORIZON,),
    "upper_clock": (CLOCKS,),
    "lower_clock": (CLOCKS,),
}
_POSITIVE: Final = ("width", "day_width", "volatility_width", "upper", "lower", "upper_clock", "lower_clock")


def flaw(band: LearnedBand) -> str:
    """What is wrong with it in a few words, or "". A band without a flaw can be asked for a forecast."""
    return next(_flaws(band), "")


def _flaws(band: LearnedBand) -> Iterator[str]:
    for name, shape in _SHAPES.items():
        rows = getattr(band, name)
        table = rows if len(shape) == 2 else (rows,)
        if len(table) != (shape[0] if len(shape) == 2 else 1) or any(len(row) != shape[-1] for row in table):
            yield f"{name} has not the shape {shape}"
            return
        numbers = [number for row in table for number in row]
        if not all(map(math.isfinite, numbers)):
            yield f"{name} holds what is no number"
        if name in _POSITIVE and min(numbers) <= 0.0:
            yield f"{name} is not positive"
    single = (band.offset, band.grain, band.days, band.upper_tail.spread, band.lower_tail.spread)
    if not all(math.isfinite(number) and number > 0.0 for number in single):
        yield "offset, grain, days or the spread of a tail is not positive"
    rest = (band.start, band.end, band.upper_tail.location, band.lower_tail.location)
    if not all(map(math.isfinite, rest)) or band.end <= band.start:
        yield "its span or the location of a tail is no number"
    if min(band.upper_tail.segments, band.lower_tail.segments) < 1:
        yield "a tail rests on nothing"
    if not (math.isfinite(band.pods.variance) and band.pods.variance >= 0.0 and band.pods.freedom >= 1.0):
        yield "how far pods lie apart is no variance, or rests on nothing"
