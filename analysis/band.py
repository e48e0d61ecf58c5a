"""The history band of a series: what the next hour is expected to look like, and how strange it may look by chance.

A band is learned by `analysis.learning.band` and is plain numbers. From the last day of its series up to an origin it
forecasts the mean of the next h = 1..12 five-minute points (`opening`). What then comes is weighed by

    Z_h = (mean residual over the next h points - forecast) / (usual size of the error · common quantile at h)
    M   = the largest Z_h seen so far,

and the threshold is the tail of M over all hours of the last two weeks, each forecast by what other days taught:
tail(a) = Q80 + β (1 + 1/√(.2 n)) ln(.2/a) for n distinct segments, and steeper below 1 %, where real series are heavier
than exponential. Because M already is the largest of the hour, looking after every point costs nothing. Evidence is
told in nats, so that its threshold at a is ln(1/a), as in other gates. What a release adds to that by drawing its pods
anew is the subject of `analysis.band_pods`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.assumptions import BAND_HORIZON, BAND_OLDEST_DAYS, BAND_STEP
from analysis.band_model import Model, Season
from analysis.band_pods import NOBODY_CAME, PodSpread, Surprise, Turnover, offset_sd, surprise
from analysis.band_tail import Tail
from analysis.band_terms import DAY, HOUR, STEPS, Series, Unit, filled, restored, terms_at, transformed
from analysis.engine import Worse
from analysis.special import FloatArray
from analysis.verdict import Absence, NoData

Numbers = tuple[float, ...]
Table = tuple[Numbers, ...]


@dataclass(frozen=True, slots=True)
class LearnedBand:
    """One gate's band as plain numbers; see Model for their shapes and meaning, which are the same.

    start, end: epoch seconds of the history. days: usable days in it. shifted: the level had changed on the last day,
    so recent days count more. realised: 95 % interval of the share of hours above the threshold at 1 %, each with a
    threshold from other days; None where there were too few. pods: how far pods lie apart for as long as they live.
    """

    unit: Unit
    offset: float
    grain: float
    profile: Numbers
    weekly: Numbers
    centre: Numbers
    width: Numbers
    day_centre: Numbers
    day_width: Numbers
    mean: Table
    volatility_centre: Numbers
    volatility_width: Numbers
    size: Table
    upper: Numbers
    lower: Numbers
    upper_clock: Numbers
    lower_clock: Numbers
    upper_tail: Tail
    lower_tail: Tail
    start: float
    end: float
    days: float
    pods: PodSpread
    shifted: bool = False
    realised: tuple[float, float] | None = None

    def model(self) -> Model:
        """The numbers as arrays."""
        return Model(
            season=Season(np.array(self.profile), np.array(self.weekly)),
            grain=self.grain,
            **{name: np.array(getattr(self, name)) for name in _ARRAYS},
        )

    def tail(self, upwards: bool) -> Tail:
        """The tail of the maxima in one direction."""
        return self.upper_tail if upwards else self.lower_tail


_ARRAYS = (
    "centre",
    "width",
    "day_centre",
    "day_width",
    "mean",
    "volatility_centre",
    "volatility_width",
    "size",
    "upper",
    "lower",
    "upper_clock",
    "lower_clock",
)


@dataclass(frozen=True, slots=True)
class Opening:
    """The forecast of one hour, made at its origin (epoch seconds) and kept: h = 1..12 each, on the band's scale.

    expected: mean of z over the first h points. upper, lower: the unit of Z_h in either direction.
    """

    origin: float
    expected: Numbers
    upper: Numbers
    lower: Numbers

    def to_dict(self) -> dict[str, object]:
        """Plain JSON types; `opened` reads them back."""
        return {
            "origin": self.origin,
            "expected": list(self.expected),
            "upper": list(self.upper),
            "lower": list(self.lower),
        }


def opened(numbers: Mapping[str, Any]) -> Opening | Absence:
    """The opening that `to_dict` wrote; anything else is an Absence, because a forecast cannot be made again later."""
    rows = [numbers.get(name) for name in ("expected", "upper", "lower")]
    origin = numbers.get("origin")
    if not _is_number(origin) or not all(
        isinstance(row, list | tuple) and len(row) == BAND_HORIZON and all(_is_number(x) for x in row) for row in rows
    ):
        return Absence(NoData.MALFORMED, "the forecast in the record is not one of ours")
    expected, upper, lower = (tuple(float(x) for x in row or ()) for row in rows)
    if min(*upper, *lower) <= 0.0:
        return Absence(NoData.MALFORMED, "the forecast in the record has no width")
    return Opening(float(origin or 0.0), expected, upper, lower)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True, slots=True)
class Forecast:
    """For pictures: h = 1..12, in the unit of the series. Compare with the running mean since the origin."""

    times: Numbers
    mean: Numbers
    low: Numbers
    high: Numbers


@dataclass(frozen=True, slots=True)
class Weighed:
    """What came after the origin against the forecast, in the worse direction, after `points` points.

    nats: evidence of a change; margin_nats: of a change beyond the margin; Degraded at alpha needs both above their
    ln(1/alpha). at: the h that carries it. effect: observed over expected mean of the first `at` points; likely, low,
    high: the same over all points so far, with an interval that holds at all looks together. observed, expected: those
    means in the unit of the series. upwards: the direction that carries the evidence. offset: standard deviation of the
    log of what new pods do to the level by chance, which the evidence allows for; 0 where all pods are the same.
    """

    points: int
    at: int
    nats: float
    margin_nats: float
    effect: float
    likely: float
    low: float
    high: float
    observed: float
    expected: float
    upwards: bool
    offset: float = 0.0


def opening(band: LearnedBand, before: Series) -> Opening | Absence:
    """The forecast at the last point of `before`, the series up to the origin: a day and an hour of it are wanted.

    Absence: less than half of the last 25 hours, or of the last hour, is known, or the band is too old.
    """
    if before.end - band.end > 86_400.0 * BAND_OLDEST_DAYS:
        age = (before.end - band.end) / 86_400.0
        return Absence(NoData.STALE, f"the history band ends {age:.1f} days before the origin")
    recent = before.values[-(DAY + 2 * HOUR) :]
    values = filled(recent)
    known = int(np.isfinite(values[-(DAY + HOUR) :]).sum())
    if known < (DAY + HOUR) // 2:
        return Absence(NoData.NO_HISTORY, f"only {known * BAND_STEP / 3600:.1f} of the last 25 hours before the origin")
    model = band.model()
    tail = Series(before.end - BAND_STEP * (recent.size - 1), values)
    ticks = tail.ticks
    seasonal = model.season.of(ticks)
    residual = transformed(values, band.unit, band.offset) - seasonal
    terms = terms_at(residual, ticks, np.array([values.size - 1]), model.grain)
    if not np.isfinite(terms.base[0]):
        return Absence(NoData.NO_HISTORY, "more than a quarter of the hour before the origin is missing")
    expected, size = model.ahead(terms)
    coming = model.season.of(ticks[-1] + np.arange(1, BAND_HORIZON + 1))
    level = terms.base[0] + expected[0] + np.cumsum(coming) / STEPS
    upper, lower = model.units(size, ticks[-1:])
    return Opening(before.end, _numbers(level), _numbers(upper[0]), _numbers(lower[0]))


def forecast(band: LearnedBand, before: Series, alpha: float) -> Forecast | Absence:
    """Expected running mean of the next hour, and the limits beyond which it is evidence at alpha on either side."""
    made = opening(band, before)
    if isinstance(made, Absence):
        return made
    middle = np.array(made.expected)
    high = middle + np.array(made.upper) * band.upper_tail.threshold(alpha)
    low = middle - np.array(made.lower) * band.lower_tail.threshold(alpha)
    return Forecast(
        tuple((made.origin + BAND_STEP * STEPS).tolist()),
        *(tuple(restored(z, band.unit, band.offset).tolist()) for z in (middle, low, high)),
    )


def running(band: LearnedBand, after: FloatArray) -> FloatArray:
    """Mean of the first h of the values after the origin, h = 1.., on the band's scale and back: what it judges."""
    z = transformed(after, band.unit, band.offset)
    return restored(np.cumsum(z) / np.arange(1, after.size + 1), band.unit, band.offset)


def evidence(
    band: LearnedBand,
    made: Opening,
    after: FloatArray,
    worse: Worse,
    *,
    margin: float = 1.0,
    points: float = 0.0,
    turnover: Turnover = NOBODY_CAME,
    interval_alpha: float = 0.05,
) -> Weighed:
    """Weighs the 1 to 12 values after the origin, all known.

    margin, points: the tolerated change, expected · margin + points (downwards: expected / margin - points). turnover:
    which of the pods of the forecast serve still, and how many new ones.
    """
    z = transformed(after[:BAND_HORIZON], band.unit, band.offset)
    n = z.size
    seen = np.cumsum(z) / STEPS[:n]
    level = restored(np.array(made.expected[:n]), band.unit, band.offset)
    measures = {upwards: measure(band, made, turnover, upwards=upwards) for upwards in (True, False)}
    nats, margin_nats, at, upwards = max(
        (*surprising(band, made, seen, measures[way], upwards=way, margin=margin, points=points), way)
        for way in ((True, False) if worse is Worse.EITHER else (worse is Worse.HIGHER,))
    )
    last = n - 1
    # The true change is what is seen less an error; an error downwards hides a rise.
    high = seen[last] + measures[False].limit(interval_alpha)[last]
    low = seen[last] - measures[True].limit(interval_alpha)[last]
    ends = restored(np.array([seen[at], seen[last], low, high]), band.unit, band.offset)
    return Weighed(
        points=n,
        at=at + 1,
        nats=nats,
        margin_nats=margin_nats,
        effect=_over(float(ends[0]), float(level[at])),
        likely=_over(float(ends[1]), float(level[last])),
        low=_over(float(ends[2]), float(level[last])),
        high=_over(float(ends[3]), float(level[last])),
        observed=float(ends[0]),
        expected=float(level[at]),
        upwards=upwards,
        offset=offset_sd(band.pods, turnover),
    )


def measure(band: LearnedBand, made: Opening, turnover: Turnover, *, upwards: bool) -> Surprise:
    """How strange the errors of one direction are after this opening, once these pods have come and gone."""
    units = np.array(made.upper if upwards else made.lower)
    expected = np.array(made.expected)
    return surprise(band.tail(upwards), units, expected, band.unit, band.offset, band.pods, turnover, upwards=upwards)


def surprising(
    band: LearnedBand,
    made: Opening,
    seen: FloatArray,
    by: Surprise,
    *,
    upwards: bool,
    margin: float,
    points: float,
) -> tuple[float, float, int]:
    """Evidence of a change, of one beyond the margin, and the index that carries the first.

    seen: mean of z over the first h points, h = 1... by: as `measure` gives it for this opening and direction.
    """
    expected = np.array(made.expected[: seen.size])
    level = restored(expected, band.unit, band.offset)
    tolerated = level * margin + points if upwards else np.maximum(level / margin - points, 0.0)
    slack = np.abs(transformed(tolerated, band.unit, band.offset) - expected)
    error = seen - expected if upwards else expected - seen
    nats, at = by.nats(error)
    return nats, by.nats(error - slack)[0], at


def _over(seen: float, expected: float) -> float:
    return seen / expected if expected > 0.0 else math.inf


def packed(
    model: Model,
    *,
    unit: Unit,
    offset: float,
    upper: Tail,
    lower: Tail,
    start: float,
    end: float,
    days: float,
    pods: PodSpread,
    shifted: bool,
    realised: tuple[float, float] | None,
) -> LearnedBand:
    """A model as plain numbers of six digits: what is written is exactly what is used."""
    return LearnedBand(
        unit=unit,
        offset=offset,
        grain=model.grain,
        profile=_numbers(model.season.profile),
        weekly=_numbers(model.season.weekly),
        centre=_numbers(model.centre),
        width=_numbers(model.width),
        day_centre=_numbers(model.day_centre),
        day_width=_numbers(model.day_width),
        mean=tuple(_numbers(row) for row in model.mean),
        volatility_centre=_numbers(model.volatility_centre),
        volatility_width=_numbers(model.volatility_width),
        size=tuple(_numbers(row) for row in model.size),
        upper=_numbers(model.upper),
        lower=_numbers(model.lower),
        upper_clock=_numbers(model.upper_clock),
        lower_clock=_numbers(model.lower_clock),
        upper_tail=upper,
        lower_tail=lower,
        start=start,
        end=end,
        days=round(days, 3),
        pods=pods,
        shifted=shifted,
        realised=realised,
    )


def _numbers(values: FloatArray) -> Numbers:
    return tuple(float(f"{value:.6g}") for value in values.tolist())
