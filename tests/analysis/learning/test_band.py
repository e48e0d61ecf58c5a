"""Learning of the history band: every fit against an independent one, and what teaches nothing, by name."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from analysis.assumptions import BAND_HUBER, BAND_RIDGE
from analysis.band import LearnedBand, evidence, opening
from analysis.band_model import Season
from analysis.band_pods import PodSpread
from analysis.band_tail import Tail
from analysis.band_terms import DAY, HOUR, Series, Unit, series_of, terms_at, transformed
from analysis.engine import Worse
from analysis.learned import NotLearned
from analysis.learning.band import clock_factors, learn_band, offset_of, outside, tail_of
from analysis.learning.band_fit import fitted_model, ridge, robust_ridge
from analysis.learning.band_season import learned_season, level_shifted, weighted_median, weighted_quantile
from analysis.special import FloatArray
from analysis.verdict import Absence, NoData
from tests.analysis.learning.pasts import MIDNIGHT, cut, holed, past


def learned(series: Series, *left_out: tuple[float, float], unit: Unit = Unit.LEVEL) -> LearnedBand:
    band = learn_band(series, unit, left_out)
    assert isinstance(band, LearnedBand), band
    return band


# --------------------------------------------------------------------------------------------- fits and oracles


def test_ridge_is_least_squares_on_augmented_rows() -> None:
    rng = np.random.default_rng(1)
    design = np.column_stack([rng.normal(size=(3000, 6)), np.ones(3000)])
    target = design @ rng.normal(size=7) + rng.normal(size=3000)
    weights = rng.uniform(0.1, 2.0, 3000)
    mass = weights.sum()
    penalty = np.diag([math.sqrt(0.1 * mass)] * 6 + [math.sqrt(1e-9 * mass)])
    rows = np.vstack([design * np.sqrt(weights)[:, None], penalty])
    oracle = np.linalg.lstsq(rows, np.concatenate([target * np.sqrt(weights), np.zeros(7)]), rcond=None)[0]
    assert ridge(design, target, weights, 0.1) == pytest.approx(oracle, abs=1e-9)
    both = ridge(design, np.column_stack([target, -target]), weights, 0.1)
    assert both[:, 1] == pytest.approx(-oracle, abs=1e-9)


def test_the_robust_pass_is_one_step_of_reweighting_towards_hubers_estimate() -> None:
    rng = np.random.default_rng(2)
    design = np.column_stack([rng.normal(size=(2000, 2)), np.ones(2000)])
    target = design @ np.array([1.0, -0.5, 0.2]) + 0.1 * rng.normal(size=2000)
    target[:200] += 5.0
    one = np.ones(2000)
    plain, robust = ridge(design, target, one, BAND_RIDGE), robust_ridge(design, target, one)
    size = 1.4826 * np.median(np.abs(target - design @ plain))

    def loss(b: np.ndarray) -> float:
        e = np.abs(target - design @ b) / (BAND_HUBER * size)
        huber = np.where(e < 1.0, 0.5 * e**2, e - 0.5).sum() * (BAND_HUBER * size) ** 2
        return float(huber + 0.5 * BAND_RIDGE * 2000 * (b[:-1] ** 2).sum())

    best = optimize.minimize(loss, plain, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9}).x
    assert loss(plain) > loss(robust) >= loss(best) - 1e-6
    assert abs(robust[2] - best[2]) < 0.5 * abs(plain[2] - best[2])


def test_weighted_median_and_quantile_against_repetition() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(9, 40))
    values[rng.uniform(size=values.shape) < 0.2] = np.nan
    repeats = rng.integers(1, 5, 9)
    oracle = np.nanmedian(np.repeat(values, repeats, axis=0), axis=0)
    assert weighted_median(values, np.repeat(repeats[:, None], 40, axis=1).astype(float)) == pytest.approx(oracle)
    assert np.isnan(weighted_median(np.full((3, 1), np.nan), np.ones((3, 1)))[0])
    sample = rng.normal(size=5000)
    equal = float(weighted_quantile(sample, np.ones(5000), 0.985))
    assert equal == pytest.approx(float(np.quantile(sample, 0.985, method="hazen")), abs=1e-12)
    halves = np.where(np.arange(5000) < 2500, 1.0, 1e-9)
    assert float(weighted_quantile(sample, halves, 0.9)) == pytest.approx(np.quantile(sample[:2500], 0.9), abs=0.01)


def test_the_season_is_found_again() -> None:
    series = past(14, 4, noise=0.02, jitter=0.01)
    z = np.log(series.values)
    found = learned_season(z, series.ticks, np.ones(z.size))
    truth = 0.5 * np.sin(2.0 * np.pi * np.arange(DAY) / DAY)
    profile = found.profile - found.profile.mean()
    assert np.abs(profile - truth).max() < 0.03
    assert np.corrcoef(profile, truth)[0, 1] > 0.999
    # The level of a whole day is no part of an hour of the week: a weekend is left to the terms of the forecast.
    assert np.abs(found.weekly).max() < 0.02


def test_an_hour_of_the_week_that_differs_is_learned_by_the_number_of_weeks() -> None:
    series = past(21, 5, noise=0.001, jitter=0.001, wave=0.0)
    ticks = series.ticks
    hour = (ticks // HOUR) % 168
    z = np.log(series.values) + np.where(hour == 40, 1.0, 0.0)
    found = learned_season(z, ticks, np.ones(z.size))
    assert found.weekly[40] == pytest.approx(3.0 / (3.0 + 4.0), abs=0.02)
    assert np.abs(np.delete(found.weekly, 40)).max() < 0.02


def test_slots_without_a_value_are_interpolated_around_the_clock() -> None:
    series = past(4, 6, noise=0.01, jitter=0.01)
    z = np.log(series.values)
    slot = series.ticks % DAY
    z[(slot < 3) | (slot > 284)] = np.nan
    found = learned_season(z, series.ticks, np.ones(z.size))
    assert np.isfinite(found.profile).all()
    assert np.abs(np.diff(np.concatenate([found.profile[-5:], found.profile[:5]]))).max() < 0.05


def test_the_forecast_of_an_ar1_is_the_best_one() -> None:
    # Without a season the best forecast of the next points is the present value, remembered.
    memory, sd = 0.95, 0.1
    series = past(14, 7, wave=0.0, noise=sd, memory=memory, jitter=0.0, start=MIDNIGHT)
    ticks = series.ticks
    weekend = np.where((ticks // DAY + 3) % 7 >= 5, -0.2, 0.0)
    z = np.log(series.values / 100.0) - weekend
    rows = np.arange(DAY, z.size - HOUR)
    flat = Season(np.zeros(DAY), np.zeros(168))
    model = fitted_model(z, ticks, flat, rows, np.ones(rows.size))
    error, _ = model.errors(z, ticks, rows)
    for h in (1, 6, 12):
        ideal = z[rows] * np.mean(memory ** np.arange(1, h + 1))
        truth = np.array([z[r + 1 : r + 1 + h].mean() for r in rows])
        assert np.std(error[:, h - 1]) < 1.05 * np.std(truth - ideal)


def test_the_size_of_the_error_follows_the_volatility() -> None:
    rng = np.random.default_rng(8)
    n = 14 * DAY
    ticks = Series(MIDNIGHT, np.empty(n)).ticks
    loud = (ticks % DAY) // 36 >= 4  # afternoons are five times as noisy
    z = rng.normal(0.0, 0.02, n) * np.where(loud, 5.0, 1.0)
    rows = np.arange(DAY, n - HOUR)
    model = fitted_model(z, ticks, Season(np.zeros(DAY), np.zeros(168)), rows, np.ones(rows.size))
    _, size = model.ahead(terms_at(z, ticks, rows, model.grain))
    inside = ((ticks[rows] % DAY) % 144 > 12) & ((ticks[rows] % DAY) % 144 < 130)
    ratio = np.median(size[inside & loud[rows], 5]) / np.median(size[inside & ~loud[rows], 5])
    # Five, shrunk by the ridge.
    assert 2.5 < ratio < 5.5


def test_the_tail_of_exponential_maxima_has_their_quantiles() -> None:
    rng = np.random.default_rng(9)
    maxima = 0.4 + rng.exponential(0.25, 400_000)
    tail = tail_of(maxima, np.ones(maxima.size), 1e9)
    law = stats.expon(0.4, 0.25)
    assert tail.location == pytest.approx(law.ppf(0.8), rel=0.01)
    # A twentieth of the mass above four usual excesses is counted for less.
    assert tail.spread == pytest.approx(0.25, rel=0.03)
    for alpha in (0.1, 0.05, 0.01):
        assert tail.threshold(alpha) == pytest.approx(law.isf(alpha), rel=0.03)
    assert tail.threshold(0.002) > law.isf(0.002)
    assert tail_of(maxima, np.ones(maxima.size), 100.0).threshold(0.01) > tail.threshold(0.01)


@pytest.mark.parametrize("alpha", [0.2, 0.1, 0.05, 0.01, 0.002, 1e-4])
def test_nats_are_the_inverse_of_the_threshold(alpha: float) -> None:
    tail = Tail(0.6, 0.3, 300)
    assert tail.nats(tail.threshold(alpha)) == pytest.approx(math.log(1.0 / alpha))


def test_a_half_hour_that_surprises_every_day_is_told_from_one_that_did_once() -> None:
    rng = np.random.default_rng(11)
    at = np.arange(14 * DAY)
    half_hours = (at % DAY) // 6
    calm = rng.exponential(1.0, at.size)
    one = np.ones(at.size)
    # Of 84 origins of a half hour, the 80 % point moves about by chance; the room is for that.
    assert clock_factors(calm, half_hours, one).max() < 1.3
    daily = np.where(half_hours == 7, 10.0 * calm, calm)
    factors = clock_factors(daily, half_hours, one)
    assert 5.0 < factors[7] < 10.0
    assert np.delete(factors, 7).max() < 1.3
    once = np.where((half_hours == 7) & (at < 2 * DAY), 10.0 * calm, calm)
    assert clock_factors(once, half_hours, one)[7] < 1.6
    assert (clock_factors(-calm, half_hours, one) == 1.0).all()


def test_a_nightly_job_is_no_surprise_and_does_not_make_the_day_deaf() -> None:
    rng = np.random.default_rng(12)
    series = past(21, 12)
    values = series.values.copy()
    for day in range(21):
        begin = day * DAY + 30 + int(rng.integers(0, 4))
        values[begin : begin + int(rng.integers(3, 9))] *= math.exp(rng.normal(0.9, 0.3))
    struck = Series(series.start, values)
    band = learned(cut(struck, 0, 14 * DAY))
    seen: dict[bool, list[list[float]]] = {True: [], False: []}
    for at in range(14 * DAY, 21 * DAY - HOUR, 6):
        made = opening(band, cut(struck, at - 26 * HOUR, at + 1))
        assert not isinstance(made, Absence)
        told = [evidence(band, made, factor * values[at + 1 : at + 13], Worse.HIGHER).nats for factor in (1.0, 1.3)]
        seen[15 <= at % DAY < 60].append(told)
    by_day, by_night = (np.array(seen[inside]) > math.log(100.0) for inside in (False, True))
    assert by_day[:, 0].mean() < 0.02
    assert by_night[:, 0].mean() < 0.15
    assert by_day[:, 1].mean() > 0.9


def test_one_unknown_incident_hardly_moves_the_tail() -> None:
    rng = np.random.default_rng(10)
    calm = rng.exponential(0.3, 4000)
    struck = np.concatenate([calm, np.full(40, 30.0)])
    before, after = (tail_of(m, np.ones(m.size), 300.0).threshold(0.01) for m in (calm, struck))
    assert after < 1.25 * before


# ------------------------------------------------------------------------------------------ what teaches nothing


def test_three_days_are_enough_and_less_is_not() -> None:
    enough = learned(past(3, 11))
    assert enough.days == pytest.approx(3.0)
    less = learn_band(past(2.9, 11), Unit.LEVEL)
    assert isinstance(less, NotLearned)
    assert less.reason == "TooLittleHistory"
    assert "2.9" in less.detail
    holes = learn_band(holed(past(3, 11), (100, 400)), Unit.LEVEL)
    assert isinstance(holes, NotLearned)
    assert holes.reason == "TooLittleHistory"


def test_a_long_history_of_which_hardly_an_hour_is_whole() -> None:
    series = past(10, 12)
    every_hour = tuple((k, k + 5) for k in range(0, series.values.size, 12))
    told = learn_band(holed(series, *every_hour), Unit.LEVEL)
    assert isinstance(told, NotLearned)
    assert told.reason == "TooManyHoles"


@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize("shape", ["zero", "level", "one spike", "stairs", "weekends", "above one"])
def test_a_series_that_hardly_moves_teaches_nothing(shape: str, unit: Unit) -> None:
    at = np.arange(14 * DAY)
    values = {
        "zero": np.zeros(at.size),
        "level": np.full(at.size, 0.35),
        "one spike": np.where(at == 2000, 0.6, 0.5),
        "stairs": 0.01 * (1 + at // 500),
        "weekends": np.where((at // DAY) % 7 < 5, 0.5, 0.3),
        "above one": 2.0 + np.sin(at),
    }[shape]
    told = learn_band(Series(MIDNIGHT, values), unit)
    if shape == "above one" and unit is Unit.LEVEL:
        assert isinstance(told, LearnedBand)
        return
    assert isinstance(told, NotLearned)
    assert told.reason == "Constant"


def test_what_is_no_series_has_a_name() -> None:
    at: FloatArray = MIDNIGHT + 300.0 * np.arange(10, dtype=np.float64)
    assert isinstance(series_of(at, np.ones(10)), Series)
    for times, values, reason in (
        ((), (), NoData.NO_SERIES),
        (at, np.full(10, np.nan), NoData.NON_FINITE),
        (at, np.full(10, np.inf), NoData.NON_FINITE),
        (at, np.linspace(-1.0, 1.0, 10), NoData.NEGATIVE),
        (at + 100.0 * np.arange(10), np.ones(10), NoData.MISALIGNED),
        (at[::-1], np.ones(10), NoData.MISALIGNED),
        (at, np.ones(9), NoData.MALFORMED),
        (np.where(np.arange(10) == 4, np.nan, at), np.ones(10), NoData.MALFORMED),
    ):
        told = series_of(times, values)
        assert isinstance(told, Absence)
        assert told.reason is reason
    missing = series_of(at[[0, 1, 5]], np.ones(3))
    assert isinstance(missing, Series)
    assert np.isnan(missing.values).tolist() == [False, False, True, True, True, False]


# ---------------------------------------------------------------------------------------- what history may hold


def test_rollouts_and_incidents_are_left_out_with_their_surroundings() -> None:
    series = Series(MIDNIGHT, np.ones(DAY))
    start, end = MIDNIGHT + 36_000.0, MIDNIGHT + 37_800.0
    hidden = np.flatnonzero(outside(series, [(start, end)]))
    assert series.start + 300.0 * hidden[0] == start - 600.0
    assert series.start + 300.0 * hidden[-1] == end + 3600.0


def test_an_incident_that_is_left_out_leaves_the_band_as_if_it_had_not_been() -> None:
    clean = past(14, 13)
    struck = clean.values.copy()
    where = [(k, k + 24) for k in range(400, 14 * DAY - 400, 500)]
    for begin, end in where:
        struck[begin:end] *= 3.0
    spans = [(clean.start + 300.0 * a, clean.start + 300.0 * b) for a, b in where]
    known = learned(Series(clean.start, struck), *spans)
    unknown = learned(Series(clean.start, struck))
    calm = learned(clean, *spans)
    assert known.upper_tail == calm.upper_tail
    assert known.mean == calm.mean
    ends = [cut(clean, 0, 4000)]
    widths = {}
    for name, band in (("known", known), ("unknown", unknown)):
        made = opening(band, ends[0])
        assert not isinstance(made, Absence)
        widths[name] = made.upper[11] * band.upper_tail.threshold(0.01)
    assert widths["known"] < 0.7 * widths["unknown"]


def test_resets_and_short_gaps_do_not_keep_a_band_from_being_learned() -> None:
    series = past(10, 14)
    values = series.values.copy()
    values[700:5000:600] = 0.0  # the rate of a counter that was reset
    gaps = tuple((k, k + 2) for k in range(900, 2800, 37))
    band = learned(holed(Series(series.start, values), *gaps))
    undisturbed = learned(series)
    assert band.days == pytest.approx(10.0)
    assert band.upper_tail.threshold(0.01) < 2.0 * undisturbed.upper_tail.threshold(0.01)


def test_a_shift_of_level_is_seen_and_recent_days_count_more() -> None:
    series = past(14, 15)
    moved = series.values.copy()
    moved[-DAY:] *= 2.0
    assert not learned(series).shifted
    band = learned(Series(series.start, moved))
    assert band.shifted
    assert band.upper_tail.segments < 0.75 * learned(series).upper_tail.segments
    # A day that is only as unusual as others were is no shift.
    rng = np.random.default_rng(0)
    assert sum(level_shifted(rng.normal(0.0, 1.0, 14 * DAY)) for _ in range(200)) < 20
    assert not level_shifted(np.concatenate([np.zeros(4 * DAY), np.ones(DAY)]))


def test_days_are_utc_days_whatever_the_series_begins_with() -> None:
    whole = past(14, 16)
    late = cut(whole, 100, whole.values.size)
    ours, theirs = learned(whole), learned(late)
    gap = np.array(ours.profile) - np.array(theirs.profile)
    assert np.abs(gap - gap.mean()).max() < 0.1
    assert int(np.argmax(theirs.profile)) == pytest.approx(72, abs=12)


def test_shares_go_through_log_odds() -> None:
    series = past(7, 17, level=0.01)
    band = learned(series, unit=Unit.SHARE)
    z = transformed(series.values, Unit.SHARE, band.offset)
    exact = np.log(series.values + band.offset) - np.log1p(-series.values + band.offset)
    assert z == pytest.approx(exact)
    assert band.offset == pytest.approx(0.05 * np.median(series.values), rel=1e-4)


@pytest.mark.parametrize("events", [0.2, 1.5, 6.0, 40.0])
def test_the_offset_of_few_events_is_about_two_of_them(events: float) -> None:
    counts = np.random.default_rng(1).poisson(events, 20 * DAY).astype(np.float64)
    expected = min(max(2.0, 0.05 * events), 2.0 * events)
    assert offset_of(counts / 300.0) * 300.0 == pytest.approx(expected, rel=0.2)


def test_a_band_of_few_events_is_not_blinded_by_their_steps() -> None:
    rng = np.random.default_rng(2)
    requests = rng.poisson(300.0, 21 * DAY)
    share = rng.poisson(0.005 * requests) / requests
    band = learned(Series(MIDNIGHT, share[: 14 * DAY]), unit=Unit.SHARE)
    fired = {1.0: 0, 3.0: 0}
    origins = range(14 * DAY, 21 * DAY - HOUR, HOUR)
    for at in origins:
        made = opening(band, cut(Series(MIDNIGHT, share), at - 26 * HOUR, at + 1))
        assert not isinstance(made, Absence)
        hour = slice(at + 1, at + 1 + HOUR)
        for factor in fired:
            more = rng.poisson((factor - 1.0) * 0.005 * requests[hour]) / requests[hour]
            fired[factor] += evidence(band, made, share[hour] + more, Worse.HIGHER).nats > math.log(100.0)
    assert fired[1.0] <= stats.binom.ppf(0.999, len(origins), 0.01)
    assert fired[3.0] > 0.75 * len(origins)


def test_a_band_is_small_and_survives_json_bit_by_bit() -> None:
    band = learned(past(28, 18))
    text = json.dumps(asdict(band))
    assert len(text) < 30 * 1024
    raw: dict[str, Any] = json.loads(text)
    for name, value in raw.items():
        if isinstance(value, list):
            raw[name] = tuple(tuple(x) if isinstance(x, list) else x for x in value)
    tails = {name: Tail(**raw[name]) for name in ("upper_tail", "lower_tail")}
    again = LearnedBand(**{**raw, **tails, "unit": Unit(raw["unit"]), "pods": PodSpread(**raw["pods"])})
    assert again == band
    assert replace(again, offset=again.offset * 2) != band


def test_only_the_last_weeks_count() -> None:
    long = past(28, 19)
    band = learned(long)
    assert band.days == pytest.approx(21.0)
    assert band == learned(cut(long, 7 * DAY, 28 * DAY))
    assert band.upper_tail.segments == pytest.approx(14 * 12, abs=1)
    low, high = band.realised or (1.0, 0.0)
    assert low < 0.01 < high < 0.05
