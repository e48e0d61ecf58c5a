"""The history band at work: its forecast, its verdicts look by look, and how often it is wrong."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.assumptions import BAND_HORIZON, MARGIN_ALPHA
from analysis.band import LearnedBand, Opening, evidence, forecast, opened, opening, running
from analysis.band_flaws import flaw
from analysis.band_terms import DAY, HOUR, Series, Unit, filled, restored, series_of, transformed
from analysis.comparisons.history import (
    HistoryInput,
    compare,
    history_share,
    points_after,
)
from analysis.engine import Worse
from analysis.learned import Guarantee, NotLearned
from analysis.learning.band import learn_band
from analysis.question import Settings, error_settings, latency_settings
from analysis.special import FloatArray
from analysis.verdict import Absence, Evidence, NoData, Verdict
from tests.analysis.learning.pasts import cut, holed, past

LEARNED_DAYS = 14
WATCHED_DAYS = 7
LATENCY = latency_settings()  # margin 1.08, harm 1.3, alpha 1 %


@functools.cache
def world(seed: int, days: int = LEARNED_DAYS + WATCHED_DAYS) -> tuple[LearnedBand, Series]:
    """A band of the first two weeks, and the whole series."""
    series = past(days, seed)
    band = learn_band(cut(series, 0, LEARNED_DAYS * DAY), Unit.LEVEL)
    assert isinstance(band, LearnedBand)
    return band, series


def asked(
    at: int,
    points: int = BAND_HORIZON,
    *,
    seed: int = 1,
    factor: float = 1.0,
    settings: Settings = LATENCY,
    share: float = 1.0,
    late: float = 0.0,
) -> HistoryInput:
    """The hour after point `at` of a world, its first points seen, each times `factor`."""
    band, series = world(seed)
    before = cut(series, at - 26 * HOUR, at + 1)
    after = cut(series, at + 1, at + 1 + points)
    seen: Series | Absence = Series(after.start, after.values * factor)
    if not points:
        seen = Absence(NoData.NO_SERIES, "nothing yet")
    now = before.end + 300.0 * points + 30.0 + late
    return HistoryInput(band, opening(band, before), seen, now, settings, share)


def after_of(question: HistoryInput) -> Series:
    assert isinstance(question.after, Series)
    return question.after


EVENING = (LEARNED_DAYS + 3) * DAY + 200


# ------------------------------------------------------------------------------------------------ the arithmetic


def test_transformations_are_inverse() -> None:
    values = np.array([0.0, 1e-5, 0.01, 0.5, 0.99, 1.0])
    for unit in Unit:
        assert restored(transformed(values, unit, 0.001), unit, 0.001) == pytest.approx(values, abs=1e-12)
    assert restored(np.array([-50.0]), Unit.LEVEL, 0.5)[0] == 0.0
    assert transformed(np.array([3.0]), Unit.SHARE, 0.01) == transformed(np.array([1.0]), Unit.SHARE, 0.01)


def test_short_holes_are_filled_and_long_ones_stay() -> None:
    hole = np.nan
    values = np.array([hole, 1.0, hole, hole, hole, 2.0, hole, hole, hole, hole, 3.0, hole])
    assert np.array_equal(filled(values), [hole, 1, 1, 1, 1, 2, hole, hole, hole, hole, 3, hole], equal_nan=True)


def test_m_is_what_brute_force_says() -> None:
    band, series = world(1)
    before = cut(series, EVENING - 26 * HOUR, EVENING + 1)
    after = 1.1 * series.values[EVENING + 1 : EVENING + 13]
    made = opening(band, before)
    assert isinstance(made, Opening)
    seen = evidence(band, made, after, Worse.HIGHER, margin=1.08)
    strange, beyond = [], []
    for h in range(1, 13):
        z = float(np.mean(np.log(after[:h] + band.offset)))
        expected = made.expected[h - 1]
        tolerated = math.log((math.exp(expected) - band.offset) * 1.08 + band.offset)
        strange.append((z - expected) / made.upper[h - 1])
        beyond.append((z - tolerated) / made.upper[h - 1])
    assert seen.nats == pytest.approx(band.upper_tail.nats(max(strange)), rel=1e-6)
    assert seen.margin_nats == pytest.approx(band.upper_tail.nats(max(beyond)), rel=1e-6)
    assert seen.at == int(np.argmax(strange)) + 1
    assert seen.low < seen.likely < seen.high


def test_one_origin_and_thousands_give_the_same_numbers() -> None:
    band, series = world(1)
    rows = np.arange(LEARNED_DAYS * DAY, (LEARNED_DAYS + 3) * DAY, 217)
    z = transformed(series.values, band.unit, band.offset)
    model = band.model()
    error, size = model.errors(z, series.ticks, rows)
    for k, row in enumerate(rows):
        made = opening(band, cut(series, int(row) - 26 * HOUR, int(row) + 1))
        assert isinstance(made, Opening)
        means = np.cumsum(z[row + 1 : row + 13]) / np.arange(1, 13)
        assert means - np.array(made.expected) == pytest.approx(error[k], abs=2e-5)
        upper, lower = model.units(size[k : k + 1], series.ticks[row : row + 1])
        assert made.upper == pytest.approx(upper[0], rel=1e-5)
        assert made.lower == pytest.approx(lower[0], rel=1e-5)


def test_the_picture_shows_what_is_judged() -> None:
    band, series = world(1)
    before = cut(series, EVENING - 26 * HOUR, EVENING + 1)
    drawn = forecast(band, before, 0.01)
    assert not isinstance(drawn, Absence)
    assert drawn.times[0] == before.end + 300.0
    assert drawn.times[-1] == before.end + 3600.0
    assert all(low < mean < high for low, mean, high in zip(drawn.low, drawn.mean, drawn.high, strict=True))
    made = opening(band, before)
    assert isinstance(made, Opening)
    for factor in (1.0, 1.15, 1.3, 2.0):
        after = series.values[EVENING + 1 : EVENING + 13] * factor
        outside = bool((running(band, after) > np.array(drawn.high)).any())
        assert outside == (evidence(band, made, after, Worse.HIGHER).nats > math.log(100.0))


def test_the_forecast_in_the_record_is_the_forecast() -> None:
    made = asked(EVENING).made
    assert isinstance(made, Opening)
    assert opened(json.loads(json.dumps(made.to_dict()))) == made
    for spoilt in (
        {},
        {**made.to_dict(), "upper": [1.0] * 11},
        {**made.to_dict(), "lower": [0.0] * 12},
        {**made.to_dict(), "expected": [None] * 12},
        {**made.to_dict(), "expected": [math.nan] * 12},
        {**made.to_dict(), "origin": "yesterday"},
        {**made.to_dict(), "origin": True},
    ):
        told = opened(spoilt)
        assert isinstance(told, Absence)
        assert told.reason is NoData.MALFORMED


# -------------------------------------------------------------------------------------------------- the verdicts


def test_a_quiet_hour_is_healthy_and_a_doubled_one_is_degraded_at_once() -> None:
    calm = compare(asked(EVENING))
    assert calm.verdict is Verdict.HEALTHY
    assert calm.effect is not None
    assert calm.effect.low < 1.0 < (calm.effect.high or 0.0) < LATENCY.harm_ratio
    assert calm.could_hide == calm.effect.high
    assert calm.exposure.minutes == 60.0
    broken = compare(asked(EVENING, 1, factor=2.0))
    assert broken.verdict is Verdict.DEGRADED
    assert broken.log_evidence > broken.threshold == pytest.approx(math.log(100.0))
    assert broken.margin_evidence > broken.margin_threshold == pytest.approx(math.log(1.0 / MARGIN_ALPHA))
    assert broken.effect is not None
    assert broken.effect.ratio == pytest.approx(2.0, abs=0.4)
    assert broken.standing.guarantee is Guarantee.CALIBRATED
    assert broken.standing.segments == world(1)[0].upper_tail.segments


def test_a_change_inside_the_margin_does_not_turn_a_release_back() -> None:
    wide = replace(LATENCY, margin=replace(LATENCY.margin, ratio=1.5), harm_ratio=2.0)
    told = compare(asked(EVENING, factor=1.35, settings=wide))
    assert told.log_evidence > told.threshold
    assert told.verdict is not Verdict.DEGRADED
    assert compare(asked(EVENING, factor=1.35)).verdict is Verdict.DEGRADED


def test_healthy_needs_a_few_points_and_an_interval_below_the_harm() -> None:
    assert compare(asked(EVENING, 2)).verdict is Verdict.UNDECIDED
    strict = replace(LATENCY, harm_ratio=1.0 + 1e-3)
    told = compare(asked(EVENING, settings=strict))
    assert told.verdict is Verdict.UNDECIDED
    assert told.could_hide is not None
    assert told.could_hide > strict.harm_ratio


def test_after_its_hour_the_band_says_the_same_forever() -> None:
    strict = replace(LATENCY, harm_ratio=1.001)
    first = compare(asked(EVENING, settings=strict))
    assert first.verdict is Verdict.UNDECIDED
    assert "hour is over" in first.would_change
    assert compare(asked(EVENING, 40, settings=strict, late=86_400.0)) == first
    assert compare(asked(EVENING, 40, late=86_400.0)).verdict is Verdict.HEALTHY


def test_what_was_degraded_stays_so_when_the_series_ends() -> None:
    question = asked(EVENING, 3, factor=2.0, late=7200.0)
    assert compare(question).verdict is Verdict.DEGRADED
    series = after_of(asked(EVENING, factor=2.0))
    assert compare(replace(question, after=holed(series, (3, 9)))).verdict is Verdict.DEGRADED


@pytest.mark.parametrize(
    ("worse", "factor", "verdict"),
    [
        (Worse.HIGHER, 1.5, Verdict.DEGRADED),
        (Worse.HIGHER, 0.6, Verdict.HEALTHY),
        (Worse.LOWER, 0.6, Verdict.DEGRADED),
        (Worse.LOWER, 1.5, Verdict.HEALTHY),
        (Worse.EITHER, 0.6, Verdict.DEGRADED),
        (Worse.EITHER, 1.5, Verdict.DEGRADED),
        (Worse.EITHER, 1.0, Verdict.HEALTHY),
    ],
)
def test_directions(worse: Worse, factor: float, verdict: Verdict) -> None:
    told = compare(asked(EVENING, factor=factor, settings=replace(LATENCY, worse=worse)))
    assert told.verdict is verdict
    sides = 2.0 if worse is Worse.EITHER else 1.0
    assert told.threshold == pytest.approx(math.log(sides / LATENCY.alpha))


def test_history_has_its_share_of_the_promise() -> None:
    assert history_share(1.0) == history_share(0.2) == pytest.approx(0.2)
    assert history_share(0.19) == history_share(0.0) == pytest.approx(0.8)
    told = compare(asked(EVENING, share=0.2))
    assert told.threshold == pytest.approx(math.log(1.0 / (0.2 * LATENCY.alpha)))
    assert told.standing.alpha == pytest.approx(0.002)


def test_shares_may_have_a_margin_in_points() -> None:
    series = past(LEARNED_DAYS + 4, 5, level=0.004)
    band = learn_band(cut(series, 0, LEARNED_DAYS * DAY), Unit.SHARE)
    assert isinstance(band, LearnedBand)
    before = cut(series, EVENING - 26 * HOUR, EVENING + 1)
    after = cut(series, EVENING + 1, EVENING + 13)

    def told(extra: float, settings: Settings) -> Evidence:
        worse = Series(after.start, after.values + extra)
        return compare(HistoryInput(band, opening(band, before), worse, worse.end + 30.0, settings, 1.0))

    in_points = error_settings(margin_points=0.005)
    assert told(0.0, in_points).verdict is Verdict.HEALTHY
    inside = told(0.003, in_points)
    assert inside.log_evidence > inside.threshold
    assert inside.verdict is not Verdict.DEGRADED
    assert told(0.02, in_points).verdict is Verdict.DEGRADED
    assert told(0.003, error_settings()).verdict is Verdict.DEGRADED


# --------------------------------------------------------------------------------------------------- bad input


def bad_inputs() -> Iterator[tuple[str, HistoryInput, NoData]]:
    whole = asked(EVENING)
    series = after_of(whole)
    yield "no band", replace(whole, band=NotLearned("TooLittleHistory", "1 day")), NoData.NO_HISTORY
    yield "no forecast", replace(whole, made=Absence(NoData.NO_HISTORY, "no day before")), NoData.NO_HISTORY
    yield "silent since the origin", asked(EVENING, 0, late=1800.0), NoData.NO_SERIES
    yield "silent since", asked(EVENING, 4, late=1200.0), NoData.STALE
    yield "a hole of 20 minutes", replace(whole, after=holed(series, (4, 8))), NoData.STALE
    yield "nothing in the first 20 minutes", replace(whole, after=holed(series, (0, 4))), NoData.STALE
    yield "below zero", replace(whole, after=Series(series.start, series.values - 1e4)), NoData.NEGATIVE
    yield "off the grid", replace(whole, after=Series(series.start + 100.0, series.values)), NoData.MISALIGNED
    yield "unreadable", replace(whole, after=Absence(NoData.PARTIAL, "a warning")), NoData.PARTIAL


@pytest.mark.parametrize(("question", "reason"), [pytest.param(q, r, id=name) for name, q, r in bad_inputs()])
def test_bad_input_is_blind_with_a_name(question: HistoryInput, reason: NoData) -> None:
    told = compare(question)
    assert told.verdict is Verdict.BLIND
    assert told.no_data is reason
    assert told.to_dict()["noData"] == reason.value


def test_a_learned_band_has_no_flaw_and_a_spoilt_one_has() -> None:
    band, _ = world(1)
    assert flaw(band) == ""
    spoilt = (
        replace(band, profile=band.profile[:-1]),
        replace(band, mean=band.mean[:-1]),
        replace(band, size=(band.size[0][:-1], *band.size[1:])),
        replace(band, weekly=(math.nan, *band.weekly[1:])),
        replace(band, upper=(0.0, *band.upper[1:])),
        replace(band, lower_clock=(-1.0, *band.lower_clock[1:])),
        replace(band, offset=0.0),
        replace(band, grain=math.inf),
        replace(band, end=band.start),
        replace(band, upper_tail=replace(band.upper_tail, spread=0.0)),
        replace(band, lower_tail=replace(band.lower_tail, segments=0)),
    )
    assert all(flaw(one) for one in spoilt)


def test_before_the_first_point_nothing_is_decided() -> None:
    told = compare(asked(EVENING, 0))
    assert told.verdict is Verdict.UNDECIDED
    assert told.no_data is None


def test_a_hole_of_fifteen_minutes_is_bridged() -> None:
    whole = asked(EVENING)
    for span in ((4, 7), (0, 3)):
        told = compare(replace(whole, after=holed(after_of(whole), span)))
        assert told.verdict is Verdict.HEALTHY
        assert told.exposure.windows == BAND_HORIZON


def test_points_before_the_origin_are_not_its_hour() -> None:
    _, series = world(1)
    origin = cut(series, 0, EVENING + 1).end
    points = points_after(origin, cut(series, EVENING - 5, EVENING + 30))
    assert not isinstance(points, Absence)
    assert points == pytest.approx(series.values[EVENING + 1 : EVENING + 13])


def test_what_a_forecast_needs_before_its_origin() -> None:
    band, series = world(1)
    day = cut(series, EVENING - 26 * HOUR, EVENING + 1)
    last = day.values.size
    assert isinstance(opening(band, holed(day, (10, 150))), Opening)
    for spoilt, reason in (
        (cut(series, EVENING - 10 * HOUR, EVENING + 1), NoData.NO_HISTORY),
        (holed(day, (last - 8, last - 1)), NoData.NO_HISTORY),
        (holed(day, (0, last)), NoData.NO_HISTORY),
        (Series(day.start + 30 * 86_400.0, day.values), NoData.STALE),
    ):
        told = opening(band, spoilt)
        assert isinstance(told, Absence)
        assert told.reason is reason


@pytest.mark.parametrize("seed", range(6))
def test_no_series_however_spoilt_is_a_pass_by_accident(seed: int) -> None:
    rng = np.random.default_rng(seed)
    _, series = world(1)
    whole = asked(EVENING)
    before = cut(series, EVENING - 26 * HOUR, EVENING + 1)
    for _ in range(200):
        values = after_of(whole).values * np.exp(rng.normal(0.0, rng.choice([0.05, 0.5, 5.0])))
        odd = rng.uniform(size=values.size) < rng.choice([0.05, 0.3, 0.7, 1.0])
        values[odd] = rng.choice([np.nan, np.inf, 0.0, 1e300, -1.0], odd.sum(), p=[0.5, 0.2, 0.15, 0.1, 0.05])
        times = before.end + 300.0 * np.arange(1, values.size + 1, dtype=np.float64)
        keep = rng.uniform(size=times.size) < rng.choice([0.5, 1.0])
        now = before.end + 300.0 * values.size
        question = replace(whole, after=series_of(times[keep], values[keep]), now=now)
        told = compare(question)
        known = np.isfinite(values) & keep
        if told.verdict is Verdict.HEALTHY:
            at = np.concatenate(([-1], np.flatnonzero(known), [values.size]))
            assert np.diff(at).max() <= 4
            assert (values[known] >= 0.0).all()
        elif told.verdict is Verdict.DEGRADED:
            assert values[known].max() > 1.08 * series.values[EVENING - 11 : EVENING + 1].min()
        assert math.isfinite(told.log_evidence)
        json.dumps(told.to_dict(), allow_nan=False)


# ------------------------------------------------------------------------------------------- how often it is wrong


def hours_of(seed: int, factor: float) -> FloatArray:
    """First look at which each of 167 hours would be Degraded without a margin, inf for never: the product itself."""
    found = []
    for at in _origins():
        whole = asked(at, seed=seed, factor=factor)
        after = after_of(whole)
        looks = [
            compare(replace(whole, after=cut(after, 0, n), now=after.start + 300.0 * n))
            for n in range(1, BAND_HORIZON + 1)
        ]
        assert all(told.verdict is not Verdict.BLIND for told in looks)
        found.append(next((n for n, told in enumerate(looks, 1) if told.log_evidence > told.threshold), math.inf))
    return np.array(found)


def test_false_alarms_per_hour_with_a_look_at_every_point() -> None:
    fired = np.concatenate([np.isfinite(hours_of(seed, 1.0)) for seed in range(21, 33)])
    assert fired.size > 2000
    # Not above the promise beyond chance, and not so far below it that the threshold means nothing.
    assert fired.sum() <= stats.binom.ppf(0.999, fired.size, LATENCY.alpha)
    assert fired.sum() >= 1


def test_a_look_at_every_point_is_what_the_last_look_knows() -> None:
    looks = hours_of(25, 1.1)
    last = np.array([_nats_at_the_end(25, at, 1.1) for at in _origins()])
    assert np.array_equal(np.isfinite(looks), last > math.log(1.0 / LATENCY.alpha))
    assert np.isfinite(looks).mean() > 0.2


def test_a_fifth_more_is_caught_within_the_hour() -> None:
    looks = hours_of(26, 1.2)
    assert np.isfinite(looks).mean() > 0.9
    assert np.median(looks) <= 6


def _origins() -> range:
    return range(LEARNED_DAYS * DAY, (LEARNED_DAYS + WATCHED_DAYS) * DAY - HOUR, HOUR)


def _nats_at_the_end(seed: int, at: int, factor: float) -> float:
    return compare(asked(at, seed=seed, factor=factor)).log_evidence


def test_at_the_margin_few_hours_turn_a_release_back() -> None:
    fired = [
        compare(asked(at, seed=seed, factor=LATENCY.margin.ratio)).verdict is Verdict.DEGRADED
        for seed in (21, 22, 23)
        for at in _origins()
    ]
    assert sum(fired) <= stats.binom.ppf(0.999, len(fired), MARGIN_ALPHA)


def test_after_a_shift_of_level_the_new_level_is_expected() -> None:
    series = past(LEARNED_DAYS + 2, 31)
    moved = series.values.copy()
    moved[(LEARNED_DAYS - 1) * DAY :] *= 3.0
    whole = Series(series.start, moved)
    band = learn_band(cut(whole, 0, LEARNED_DAYS * DAY), Unit.LEVEL)
    assert isinstance(band, LearnedBand)
    assert band.shifted
    fired = 0
    for at in range(LEARNED_DAYS * DAY, (LEARNED_DAYS + 2) * DAY - HOUR, HOUR):
        made = opening(band, cut(whole, at - 26 * HOUR, at + 1))
        assert isinstance(made, Opening)
        fired += evidence(band, made, whole.values[at + 1 : at + 13], Worse.EITHER).nats > math.log(200.0)
    assert fired <= 2
