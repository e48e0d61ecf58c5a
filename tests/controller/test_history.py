"""What history adds to a gate's verdict: Shared beside incumbents, the only witness without them, silence as before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.assumptions import BAND_STEP, HISTORY_SHARE
from analysis.band import LearnedBand
from analysis.band_pods import PodSpread, Turnover
from analysis.band_terms import DAY, Unit
from analysis.learning.band import learn_band
from analysis.verdict import Evidence, NoData, Verdict
from controller.history import (
    Serving,
    combined,
    forecast,
    known_forecast,
    may_speak,
    origin_of,
    serving,
    share_of,
    unread,
    weigh,
    with_forecasts,
)
from controller.release.record import Forecast
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import Totals
from policies.schema import Gate
from tests.analysis.learning.pasts import cut, past
from tests.controller.builders import NOW, a_policy, a_record, an_observation, says

HEALTHY, UNDECIDED, BLIND = Verdict.HEALTHY, Verdict.UNDECIDED, Verdict.BLIND
DEGRADED, SHARED = Verdict.DEGRADED, Verdict.SHARED
BESIDE = Serving(0.9, ("checkout",))
ALONE = Serving(0.0, ("checkout", "checkout-twin"))
AT_MOST = 1200.0


def band(verdict: Verdict, *, leaning: bool = False) -> Evidence:
    """What a band says."""
    no_data = NoData.NO_HISTORY if verdict is BLIND else None
    return Evidence(verdict, f"the band says {verdict.value}", "more", leaning=leaning, no_data=no_data)


@pytest.mark.parametrize(
    ("gate", "history", "now", "expected"),
    [
        # Beside incumbents a band tells only whether the environment is worse.
        (HEALTHY, DEGRADED, BESIDE, SHARED),
        (UNDECIDED, DEGRADED, BESIDE, SHARED),
        (DEGRADED, DEGRADED, BESIDE, DEGRADED),
        (BLIND, DEGRADED, BESIDE, BLIND),
        (HEALTHY, UNDECIDED, BESIDE, HEALTHY),
        (HEALTHY, HEALTHY, BESIDE, HEALTHY),
        (HEALTHY, BLIND, BESIDE, HEALTHY),
        (UNDECIDED, HEALTHY, BESIDE, UNDECIDED),
        # Alone it speaks for the contender.
        (HEALTHY, DEGRADED, ALONE, DEGRADED),
        (UNDECIDED, DEGRADED, ALONE, DEGRADED),
        (BLIND, DEGRADED, ALONE, BLIND),
        (HEALTHY, UNDECIDED, ALONE, UNDECIDED),
        (HEALTHY, HEALTHY, ALONE, HEALTHY),
        (HEALTHY, BLIND, ALONE, HEALTHY),
        (UNDECIDED, HEALTHY, ALONE, UNDECIDED),
        (UNDECIDED, BLIND, ALONE, UNDECIDED),
    ],
)
def test_what_gate_and_band_come_to_together(gate: Verdict, history: Verdict, now: Serving, expected: Verdict) -> None:
    told = combined(says(gate), band(history), now, AT_MOST)
    assert told.verdict is expected
    assert told.evidence["history"]["verdict"] == history.value


def test_a_band_that_does_not_know_is_waited_for_as_long_as_a_stage_lasts_and_no_longer() -> None:
    for watched, expected in ((AT_MOST - 30.0, UNDECIDED), (AT_MOST, HEALTHY)):
        assert combined(says(HEALTHY, observed=watched), band(UNDECIDED), ALONE, AT_MOST).verdict is expected
    leaning = combined(says(HEALTHY, observed=AT_MOST), band(UNDECIDED, leaning=True), ALONE, AT_MOST)
    assert leaning.verdict is UNDECIDED and leaning.leaning
    assert not combined(says(HEALTHY), band(UNDECIDED, leaning=True), BESIDE, AT_MOST).leaning


def test_a_store_that_does_not_answer_about_the_whole_app_is_waited_for_in_the_same_way() -> None:
    gone = Failure(FailureKind.UNAVAILABLE, "timed out")
    assert unread(says(HEALTHY, observed=60.0), gone, ALONE, AT_MOST).verdict is UNDECIDED
    assert unread(says(HEALTHY, observed=AT_MOST), gone, ALONE, AT_MOST).verdict is HEALTHY
    for verdict in (HEALTHY, UNDECIDED):
        told = unread(says(verdict, observed=60.0), gone, BESIDE, AT_MOST)
        assert told.verdict is verdict and told.evidence["history"]["because"] == "timed out"


@pytest.mark.parametrize(
    ("incumbents", "contenders", "alone"), [(10, 0, False), (8, 2, False), (2, 8, False), (1, 9, True), (0, 10, True)]
)
def test_incumbents_are_few_once_they_serve_less_than_a_fifth(incumbents: int, contenders: int, alone: bool) -> None:
    now = serving(a_record(), an_observation(incumbents, contenders))
    assert now.alone is alone
    assert now.deployments == (("checkout", "checkout-twin") if alone else ("checkout",))


# Ten pods are desired. Beside incumbents the band speaks of those that are left, alone it speaks of all that serve.
@pytest.mark.parametrize(
    ("incumbents", "contenders", "turnover"),
    [
        (10, 0, Turnover(10, 10, 0)),
        (10, 2, Turnover(10, 10, 0)),
        (6, 4, Turnover(10, 6, 0)),
        (1, 9, Turnover(10, 1, 9)),
        (0, 10, Turnover(10, 0, 10)),
        (12, 0, Turnover(12, 12, 0)),
    ],
)
def test_the_pods_that_came_and_went_are_counted(incumbents: int, contenders: int, turnover: Turnover) -> None:
    assert serving(a_record(), an_observation(incumbents, contenders)).turnover == turnover
    assert (turnover.weight > 0.0) is (incumbents < 10)


def test_new_pods_are_allowed_their_luck_and_old_ones_none() -> None:
    series = past(15.0, seed=1, level=0.02)
    band = learn_band(cut(series, 0, 14 * DAY), Unit.SHARE, pods=PodSpread(0.4, 20.0))
    assert isinstance(band, LearnedBand)
    before = cut(series, 14 * DAY - 26 * 12, 14 * DAY + 1)
    times, origin = tuple(before.start + BAND_STEP * np.arange(before.values.size)), before.end
    made = forecast("errors", band, Totals(times, tuple(before.values.tolist())), origin)
    assert made is not None and not made.absent
    worse = 1.7 * series.values[14 * DAY + 1 : 14 * DAY + 4]
    answer = Totals(tuple(origin + BAND_STEP * np.arange(1, 4)), tuple(worse.tolist()))
    gate = Gate.model_validate({"name": "errors", "errorRatio": {"errors": "a_total", "requests": "b_total"}})
    verdicts = {
        (incumbents, contenders): weigh(
            gate,
            a_policy(gates=[gate.model_dump(by_alias=True, exclude_none=True, mode="json")]),
            band,
            made,
            answer,
            HISTORY_SHARE,
            origin + 3 * BAND_STEP + 20.0,
            serving(a_record(), an_observation(incumbents, contenders)).turnover,
        ).verdict
        for incumbents, contenders in ((10, 1), (0, 10))
    }
    assert verdicts == {(10, 1): DEGRADED, (0, 10): UNDECIDED}


def test_incumbents_that_shrink_get_less_done_which_is_no_harm() -> None:
    orders = Gate.model_validate({"name": "orders", "throughput": {"events": "orders_total"}})
    errors = Gate.model_validate({"name": "errors", "errorRatio": {"errors": "a_total", "requests": "b_total"}})
    assert [may_speak(gate, now) for gate in (orders, errors) for now in (BESIDE, ALONE)] == [False, True, True, True]


def test_all_bands_of_a_release_spend_no_more_than_one_part_of_its_promise() -> None:
    for among in (1, 2, 8):
        spent = among * share_of(ALONE, among=among, calibrated=True)
        assert spent == pytest.approx(HISTORY_SHARE)
        assert among * share_of(ALONE, among=among, calibrated=False) == pytest.approx(1.0 - HISTORY_SHARE)
        assert among * share_of(BESIDE, among=among, calibrated=True) == pytest.approx(1.0)


def test_the_origin_is_the_beginning_of_the_release_and_after_an_hour_that_of_the_stage() -> None:
    record = replace(a_record(), started=NOW - 1800.0, stage_since=NOW - 100.0)
    for after, began in ((0.0, record.started), (1800.0, record.started), (1801.0, record.stage_since)):
        origin = origin_of(record, NOW + after)
        assert origin % 300.0 == 0.0 and began - 300.0 < origin <= began


def test_a_forecast_is_found_by_its_gate_and_its_origin_and_kept_once_per_gate() -> None:
    first, second = Forecast("errors", 300.0, {"origin": 300.0}), Forecast("latency", 300.0, absent="no day before")
    record = with_forecasts(a_record(), (first, second))
    assert known_forecast(record, "errors", 300.0) == first
    assert known_forecast(record, "errors", 600.0) is None
    later = Forecast("errors", 600.0)
    assert with_forecasts(record, (later,)).forecasts == (second, later)
    assert with_forecasts(record, ()) is record


@pytest.mark.parametrize(("lost", "made"), [(0, True), (3, True), (4, False)])
def test_a_forecast_does_without_its_last_quarter_of_an_hour(lost: int, made: bool) -> None:
    series = past(15.0, seed=1)
    band = learn_band(cut(series, 0, 14 * DAY), Unit.LEVEL)
    assert isinstance(band, LearnedBand)
    before = cut(series, 14 * DAY, 15 * DAY + 1 - lost)
    origin = before.start + BAND_STEP * (before.values.size - 1 + lost)
    times = tuple(before.start + BAND_STEP * k for k in range(before.values.size))
    told = forecast("errors", band, Totals(times, tuple(before.values.tolist())), origin)
    assert told is not None and told.origin == origin
    if made:
        assert told.numbers["origin"] == times[-1] and not told.absent
    else:
        assert told.absent == "the last point is 20 minutes older than the beginning of the forecast"
