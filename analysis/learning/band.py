"""Learns the history band of one gate: season, forecast of the next hour, size of its errors, and thresholds.

The threshold comes from the band's own statistic, the largest Z_h of an hour, at every origin of the last two weeks.
Each of five parts of that time is forecast by what the others taught, so that the errors are those of a forecast and
not of a fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.assumptions import (
    BAND_CLOCK_MOST,
    BAND_CLOCK_PRIOR,
    BAND_CLOCK_ROOM,
    BAND_DAYS,
    BAND_FOLDS,
    BAND_HALF_LIFE,
    BAND_HORIZON,
    BAND_LEAST_DAYS,
    BAND_LEAST_MOVES,
    BAND_LEAST_TAIL,
    BAND_OFFSET,
    BAND_ROLLOUT,
    BAND_STEP,
    BAND_STEP_OFFSET,
    BAND_TRAIN_DAYS,
    BAND_UNUSUAL,
    TAIL_SHARE,
)
from analysis.band import LearnedBand, packed
from analysis.band_model import CLOCKS, Model, half_hour
from analysis.band_pods import PodSpread
from analysis.band_tail import Tail
from analysis.band_terms import DAY, HOUR, Bools, Rows, Series, Unit, filled, transformed
from analysis.learned import NotLearned
from analysis.learning.band_fit import fitted_model
from analysis.learning.band_pods import ASSUMED_PODS
from analysis.learning.band_season import learned_season, level_shifted, weighted_quantile
from analysis.learning.tails import clopper_pearson
from analysis.special import FloatArray

Span = tuple[float, float]

REALISED_ALPHA = 0.01
"""The promise that left-out hours are counted against."""


@dataclass(frozen=True, slots=True)
class _Past:
    """The part of a series that is learned from. weights: by age, all 1 unless the level has shifted."""

    z: FloatArray
    ticks: Rows
    usable: Bools
    weights: FloatArray


def learn_band(
    series: Series, unit: Unit, left_out: Sequence[Span] = (), *, pods: PodSpread = ASSUMED_PODS
) -> LearnedBand | NotLearned:
    """The band of a series that ends now, from at least 3 usable days of it; later days count, the last 21 at most.

    left_out: rollouts, rolled-back releases and incidents, from-to in epoch seconds; ten minutes before and an hour
    after each teach nothing either. Numbers below zero are refused by `series_of` already. pods: how far pods lie apart
    for as long as they live, which a series of the whole app does not tell.
    """
    recent = _trailing(series)
    values = filled(recent.values)
    if unit is Unit.SHARE:
        values = np.minimum(values, 1.0)
    usable = np.isfinite(values) & ~outside(recent, left_out)
    days = float(usable.sum()) / DAY
    span = recent.values.size / DAY
    if span < BAND_LEAST_DAYS - 0.01 or days < 0.8 * BAND_LEAST_DAYS:
        told = f"{days:.1f} usable days of {span:.1f}, at least {BAND_LEAST_DAYS:g} are needed"
        return NotLearned("TooLittleHistory", told)
    constant = _constant(np.where(usable, values, np.nan))
    if constant is not None:
        return constant
    offset = offset_of(np.where(usable, values, np.nan))
    z = transformed(values, unit, offset)
    past = _Past(np.where(usable, z, np.nan), recent.ticks, usable, np.ones(z.size))
    season = learned_season(past.z, past.ticks, past.weights)
    shifted = level_shifted(past.z - season.of(past.ticks))
    if shifted:
        age = np.arange(z.size)[::-1] / DAY
        past = replace(past, weights=0.5 ** (age / BAND_HALF_LIFE))
    rows = _origins(past)
    model = _model(past, rows, past.usable)
    if isinstance(model, NotLearned):
        return model
    held = _held_out(past, rows)
    if isinstance(held, NotLearned):
        return held
    weights, half_hours = past.weights[rows], half_hour(past.ticks[rows])
    segments = _segments(weights)
    upper, lower = (_by_the_clock(maxima, half_hours, weights, held.part) for maxima in (held.upper, held.lower))
    return packed(
        replace(
            model,
            upper_clock=clock_factors(held.upper, half_hours, weights),
            lower_clock=clock_factors(held.lower, half_hours, weights),
        ),
        unit=unit,
        offset=offset,
        upper=tail_of(upper, weights, segments),
        lower=tail_of(lower, weights, segments),
        start=recent.start,
        end=recent.end,
        days=days,
        pods=pods,
        shifted=shifted,
        realised=_realised(upper, held.part, weights),
    )


def _constant(values: FloatArray) -> NotLearned | None:
    """Why a series that hardly moves teaches nothing: how far it moves by chance cannot be told from it."""
    known = values[np.isfinite(values)]
    steps = np.abs(np.diff(values))
    steps = steps[np.isfinite(steps)]
    moves = float((steps > 1e-9 * known.max()).mean()) if steps.size else 0.0
    if known.max() <= 0.0 or moves < BAND_LEAST_MOVES:
        return NotLearned(
            "Constant", f"{known.size} values from {known.min():.4g} to {known.max():.4g} hardly ever move"
        )
    return None


def offset_of(values: FloatArray) -> float:
    """What is added to a value before its logarithm: a twentieth of the usual level, and more where counts are few.

    A rate of m events per point steps by a share 1/√m of itself by chance alone. On a logarithmic scale those steps
    grow without bound as m falls, and an hour of them would say nothing; an offset of twice the variance of a step, up
    to twice the level, keeps the sum of a few events a sum.
    """
    known = values[np.isfinite(values)]
    steps = np.abs(np.diff(values))
    level = float(known.mean())
    # Of two normal values the mean distance is 2/√π of their sd.
    spread = float(steps[np.isfinite(steps)].mean()) * math.sqrt(math.pi) / 2.0 / level
    least, most = BAND_OFFSET
    rough = min(BAND_STEP_OFFSET * spread**2, most) * level
    return _rounded(max(rough, least * (float(np.median(known)) or level)))


def outside(series: Series, spans: Sequence[Span]) -> Bools:
    """Which points lie in a span, with ten minutes before it and an hour after it."""
    at = series.start + BAND_STEP * np.arange(series.values.size)
    before, after = BAND_ROLLOUT
    inside = np.zeros(at.size, dtype=np.bool_)
    for start, end in spans:
        inside |= (at >= start - before) & (at <= end + after)
    return inside


def _trailing(series: Series) -> Series:
    skipped = max(series.values.size - round(BAND_DAYS * DAY), 0)
    return Series(series.start + skipped * BAND_STEP, series.values[skipped:])


def _origins(past: _Past) -> Rows:
    """Origins with a known last hour and a known hour to come, in the time that thresholds are learned from."""
    known = np.concatenate(([0], np.cumsum(past.usable)))
    rows = np.arange(max(HOUR - 1, past.z.size - round(BAND_TRAIN_DAYS * DAY)), past.z.size - BAND_HORIZON)
    whole = known[rows + 1 + BAND_HORIZON] - known[rows + 1 - HOUR] == HOUR + BAND_HORIZON
    chosen: Rows = rows[whole]
    return chosen


def _model(past: _Past, rows: Rows, taught: Bools) -> Model | NotLearned:
    """Season from the points `taught`, forecast from the origins `rows`."""
    if rows.size < DAY:
        return NotLearned("TooManyHoles", f"only {rows.size} hours without a hole to learn from, {DAY} are needed")
    season = learned_season(np.where(taught, past.z, np.nan), past.ticks, past.weights)
    return fitted_model(past.z, past.ticks, season, rows, past.weights[rows])


@dataclass(frozen=True, slots=True)
class _Maxima:
    """Largest Z_h of the hour after each origin, upwards and downwards, and the part of time each belongs to."""

    upper: FloatArray
    lower: FloatArray
    part: Rows


def _held_out(past: _Past, rows: Rows) -> _Maxima | NotLearned:
    """The maxima of every origin, each part of time forecast by what the others taught."""
    part = (rows - rows[0]) * BAND_FOLDS // (rows[-1] - rows[0] + 1)
    at = np.arange(past.z.size)
    upper, lower = np.full(rows.size, np.nan), np.full(rows.size, np.nan)
    for fold in np.unique(part):
        held = part == fold
        first, last = rows[held][0], rows[held][-1] + BAND_HORIZON
        # Origins whose hour to come reaches into the part would know some of it.
        others = rows[(rows > last) | (rows + BAND_HORIZON < first)]
        model = _model(past, others, past.usable & ((at < first) | (at > last)))
        if isinstance(model, NotLearned):
            return model
        error, size = model.errors(past.z, past.ticks, rows[held])
        ups, downs = model.units(size, past.ticks[rows[held]])
        upper[held] = (error / ups).max(axis=1)
        lower[held] = (-error / downs).max(axis=1)
    return _Maxima(upper, lower, part)


def clock_factors(maxima: FloatArray, half_hours: Rows, weights: FloatArray) -> FloatArray:
    """By how much the largest Z_h of an hour is larger in each half hour of the day, (48,), shrunk towards 1.

    What happens at the same time every day, a nightly job or the end of one, is no surprise at that time, and must not
    make the rest of the day deaf. Factors are ratios of 80 % quantiles, to the power n/(n + 3) for n days seen.
    """
    usual = float(weighted_quantile(maxima, weights, 1.0 - TAIL_SHARE))
    factors = np.ones(CLOCKS)
    if usual <= 0.0:
        return factors
    for k in range(CLOCKS):
        here = half_hours == k
        if here.any():
            days = float(here.sum()) / (DAY // CLOCKS)
            ratio = float(weighted_quantile(maxima[here], weights[here], 1.0 - TAIL_SHARE)) / usual
            factors[k] = max(ratio / BAND_CLOCK_ROOM, 1.0) ** (days / (days + BAND_CLOCK_PRIOR))
    return np.minimum(factors, BAND_CLOCK_MOST)


def _by_the_clock(maxima: FloatArray, half_hours: Rows, weights: FloatArray, part: Rows) -> FloatArray:
    """Maxima over the factors that the other parts of time teach."""
    scaled = maxima.copy()
    for fold in np.unique(part):
        ours = part == fold
        factors = clock_factors(maxima[~ours], half_hours[~ours], weights[~ours])
        scaled[ours] /= factors[half_hours[ours]]
    return scaled


def tail_of(maxima: FloatArray, weights: FloatArray, segments: float) -> Tail:
    """Q80 and the mean excess over it, none counted for more than four times the usual one, which the median tells."""
    least_location, least_spread = BAND_LEAST_TAIL
    location = max(float(weighted_quantile(maxima, weights, 1.0 - TAIL_SHARE)), least_location)
    above = maxima > location
    spread = 0.0
    if above.any():
        excess, mass = maxima[above] - location, weights[above]
        usual = float(weighted_quantile(excess, mass, 0.5)) / math.log(2.0)
        spread = float(np.average(np.minimum(excess, BAND_UNUSUAL * usual), weights=mass))
    return Tail(_rounded(location), _rounded(max(spread, least_spread)), max(math.floor(segments), 1))


def _segments(weights: FloatArray) -> float:
    """Distinct stretches that weighted origins are worth: Kish's effective number over the points of two hours."""
    return float(weights.sum() ** 2 / (weights**2).sum()) / (HOUR + BAND_HORIZON)


def _realised(upper: FloatArray, part: Rows, weights: FloatArray) -> tuple[float, float]:
    """95 % interval of the share of hours above the threshold at 1 %, upwards, each part by the tail of the others."""
    hits = 0.0
    for fold in np.unique(part):
        ours = part == fold
        tail = tail_of(upper[~ours], weights[~ours], _segments(weights[~ours]))
        hits += float((weights * (upper > tail.threshold(REALISED_ALPHA)))[ours].sum())
    segments = _segments(weights)
    return clopper_pearson(hits / float(weights.sum()) * segments, segments)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
