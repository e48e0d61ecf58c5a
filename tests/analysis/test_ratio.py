"""errorRatio: what each verdict needs, and that the evidence explains it."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest

from analysis.comparisons import COMPARISONS, error_settings
from analysis.samples import Groups
from analysis.verdict import NoData, Verdict
from tests.analysis.builders import START, a_fleet, at, gone, instant, until, valued


def test_an_equal_contender_becomes_healthy_once_harm_is_ruled_out() -> None:
    early, late = a_fleet().lasting(2).judged(), a_fleet().lasting(40).judged()
    assert early.verdict is Verdict.UNDECIDED
    assert late.verdict is Verdict.HEALTHY
    assert late.effect is not None and early.effect is not None
    assert late.effect.high is not None and late.effect.high < 2.0
    assert late.effect.low < 1.0 < late.effect.high
    assert late.effect.ratio == pytest.approx(1.0, abs=0.05)
    assert early.effect.high is None or early.effect.high > 2.0


@pytest.mark.parametrize(("errors", "looks"), [(0.05, 2), (0.015, 12)])
def test_more_errors_are_degraded_within_minutes(errors: float, looks: int) -> None:
    found = a_fleet().with_errors(contender=errors).lasting(looks).judged()
    assert found.verdict is Verdict.DEGRADED
    assert found.log_evidence > found.threshold == pytest.approx(math.log(100))
    assert found.margin_evidence > found.margin_threshold == pytest.approx(math.log(10))
    assert not found.limit_broken


def test_both_promises_are_needed_for_degraded() -> None:
    """x1.35 for an hour and a half on a large fleet: certainly a change, not certainly beyond a margin of 1.25."""
    fleet = a_fleet().of(contender=20, incumbent=20).lasting(180).serving(30).with_errors(contender=0.00675)
    found = fleet.judged(error_settings(margin_ratio=1.3))
    assert found.verdict is not Verdict.DEGRADED
    assert found.margin_evidence < found.margin_threshold
    assert fleet.judged(error_settings(margin_ratio=1.05)).verdict is Verdict.DEGRADED


def test_fewer_errors_are_never_degraded() -> None:
    found = a_fleet().with_errors(contender=0.0, incumbent=0.05).lasting(60).judged()
    assert found.verdict is Verdict.HEALTHY
    assert found.log_evidence < 0.0


def test_errors_that_begin_late_are_not_diluted_by_a_clean_past() -> None:
    # Forty clean minutes, then three bad ones: the restarts of the evidence have to see it.
    clean, rate = 80, 300
    errors = [1000.0 + 1.5 * k for k in range(clean + 1)] + [
        1000.0 + 1.5 * clean + 0.05 * rate * k for k in range(1, 7)
    ]
    late = a_fleet().lasting(clean + 6).but("errors", "new-0", valued(*errors)).judged()
    assert late.verdict is Verdict.DEGRADED
    assert a_fleet().lasting(clean + 6).judged().verdict is Verdict.HEALTHY


def test_the_interval_that_is_shown_holds_its_ratio_although_the_change_began_in_the_middle() -> None:
    errors = [1000.0 + 1.5 * k for k in range(81)] + [1120.0 + 150.0 * k for k in (1, 2)]
    effect = a_fleet().lasting(82).but("errors", "new-0", valued(*errors)).judged().effect
    # Of one ratio for all minutes it would be 0.96 to 2.2.
    assert effect is not None and effect.ratio is not None and effect.ratio > 3.0
    assert effect.low < effect.ratio == effect.high


def test_nobody_advances_while_the_evidence_leans_towards_harm() -> None:
    # The whole release still looks harmless on average, but the last minutes do not.
    clean = 80
    errors = [1000.0 + 1.5 * k for k in range(clean + 1)] + [1000.0 + 1.5 * clean + 9.0 * k for k in range(1, 4)]
    found = a_fleet().lasting(clean + 3).but("errors", "new-0", valued(*errors)).judged()
    assert found.effect is not None and found.effect.high is not None
    assert found.effect.high < 2.0
    assert found.threshold > found.log_evidence > math.log(10)
    assert found.verdict is Verdict.UNDECIDED


def test_pods_of_the_last_batch_are_not_covered_by_a_clean_past() -> None:
    # An hour of a healthy canary; in the first two minutes of the next batch errors look tripled.
    clean = 120
    errors = [1000.0 + 1.5 * k for k in range(clean + 1)] + [1000.0 + 1.5 * clean + 4.5 * k for k in range(1, 5)]
    fleet = a_fleet().lasting(clean + 4).but("errors", "new-0", valued(*errors))
    found = fleet.settled_in((START, instant(clean)), (instant(clean), instant(clean + 4))).judged()
    assert found.effect is not None and found.effect.high is not None
    assert found.effect.high < 2.0
    assert found.verdict is Verdict.UNDECIDED
    same = a_fleet().lasting(clean + 4).settled_in((START, instant(clean)), (instant(clean), instant(clean + 4)))
    assert same.judged().verdict is Verdict.HEALTHY


def test_a_clean_incumbent_does_not_hide_a_bad_contender() -> None:
    found = a_fleet().with_errors(contender=0.05, incumbent=0.0).lasting(4).judged()
    assert found.verdict is Verdict.DEGRADED
    assert found.effect is not None
    assert found.effect.ratio is None
    assert found.effect.low > 2.0
    assert found.effect.high is None


def test_no_errors_at_all_are_healthy_once_extra_failures_are_bounded() -> None:
    clean = a_fleet().with_errors(contender=0.0, incumbent=0.0)
    assert clean.lasting(4).judged().verdict is Verdict.UNDECIDED
    assert clean.lasting(30).judged().verdict is Verdict.HEALTHY
    # What is negligible follows from the error budget, or from a margin in points.
    assert clean.lasting(8).judged(error_settings(limit=0.05)).verdict is Verdict.HEALTHY
    assert clean.lasting(4).judged(error_settings(margin_points=0.01)).verdict is Verdict.HEALTHY


def test_a_margin_in_points_tolerates_a_large_ratio_of_small_rates() -> None:
    fleet = a_fleet().with_errors(contender=0.003, incumbent=0.0005).lasting(40)
    assert fleet.judged(error_settings(margin_points=0.01)).verdict is Verdict.HEALTHY
    assert fleet.judged().verdict is Verdict.DEGRADED
    worse = a_fleet().with_errors(contender=0.04, incumbent=0.0005).lasting(40)
    assert worse.judged(error_settings(margin_points=0.01)).verdict is Verdict.DEGRADED


def test_the_hard_limit_rolls_back_even_when_the_incumbent_is_as_bad() -> None:
    both = a_fleet().with_errors(contender=0.08, incumbent=0.08).lasting(10)
    assert both.judged().verdict is not Verdict.DEGRADED
    found = both.judged(error_settings(limit=0.05))
    assert found.verdict is Verdict.DEGRADED
    assert found.limit_broken
    assert both.judged(error_settings(limit=0.10)).verdict is not Verdict.DEGRADED


def test_the_hard_limit_needs_no_incumbent_but_some_events() -> None:
    alone = a_fleet().with_errors(contender=0.08).lasting(10)
    for pod in alone.theirs:
        alone = alone.but("requests", pod, gone).but("errors", pod, gone)
    assert alone.judged().verdict is Verdict.BLIND
    assert alone.judged(error_settings(limit=0.05)).verdict is Verdict.DEGRADED
    few = a_fleet().serving(0.1).with_errors(contender=0.7).lasting(2)
    assert few.judged(error_settings(limit=0.01)).verdict is not Verdict.DEGRADED


def test_one_bad_pod_is_named() -> None:
    fleet = a_fleet().of(contender=4, incumbent=6).lasting(20)
    one = fleet.with_errors(contender=0.08, only="new-2").judged()
    assert one.verdict is Verdict.DEGRADED
    assert one.blame == "new-2"
    in_points = fleet.with_errors(contender=0.08, only="new-2").lasting(10).judged(error_settings(margin_points=0.002))
    assert in_points.verdict is Verdict.DEGRADED
    assert in_points.blame == "new-2"
    every = fleet.with_errors(contender=0.08).judged()
    assert every.verdict is Verdict.DEGRADED
    assert every.blame is None


def test_a_contender_of_one_pod_is_the_version_and_not_a_bad_pod() -> None:
    assert a_fleet().with_errors(contender=0.1).judged().blame is None


def test_nobody_advances_while_an_expected_pod_is_silent() -> None:
    fleet = a_fleet().of(contender=3, incumbent=7).lasting(40)
    silent = fleet.but("requests", "new-1", gone).but("errors", "new-1", gone)
    assert fleet.judged().verdict is Verdict.HEALTHY
    found = silent.judged()
    assert found.verdict is Verdict.UNDECIDED
    assert found.freshness.silent == ("new-1",)
    # A pod that is known to be gone is not expected any more.
    known = silent.grouped(Groups(fleet.ours, fleet.theirs, reporting=("new-0", "new-2")))
    assert known.judged().verdict is Verdict.HEALTHY


def test_a_side_that_fell_silent_is_blind_although_its_past_was_healthy() -> None:
    fleet = a_fleet().lasting(40)
    stale = fleet.but("requests", "new-0", until(30)).judged()
    assert stale.verdict is Verdict.BLIND
    assert stale.no_data is NoData.STALE
    assert stale.freshness.last_contender_end == instant(30)
    quiet = fleet
    for pod in fleet.theirs:
        quiet = quiet.but("requests", pod, until(30))
    assert quiet.judged().no_data is NoData.STALE
    # At the end of a release no incumbent pod is left; its silence is expected then.
    ended = quiet.grouped(Groups(fleet.ours, fleet.theirs, incumbent_serving=False))
    assert ended.judged().verdict is Verdict.HEALTHY


def test_a_batch_that_takes_long_to_settle_makes_no_sample_stale() -> None:
    # Settled for ten minutes, half an hour of scaling, then settled again a moment ago: no window is complete yet.
    fleet = a_fleet().lasting(81).settled_in((START, instant(40)), (instant(80) + 1.0, instant(81) + 15.0))
    found = fleet.judged()
    assert found.verdict is Verdict.HEALTHY
    # Two minutes later the contender's samples have to be there.
    late = fleet.lasting(86).settled_in((START, instant(40)), (instant(80) + 1.0, instant(86)))
    assert late.judged().verdict is Verdict.HEALTHY
    assert late.but("requests", "new-0", until(80)).judged().no_data is NoData.STALE


def test_degraded_stands_when_the_store_falls_silent_afterwards() -> None:
    fleet = a_fleet().with_errors(contender=0.05).lasting(40)
    assert fleet.but("requests", "new-0", until(20)).judged().verdict is Verdict.DEGRADED


def test_without_traffic_to_the_contender_nothing_is_proven() -> None:
    idle = a_fleet().lasting(40).but("requests", "new-0", valued(*[1000.0] * 41))
    found = idle.but("errors", "new-0", valued(*[0.0] * 41)).judged()
    assert found.verdict is Verdict.BLIND
    assert found.no_data is NoData.NO_TRAFFIC


def test_traffic_that_stops_is_noticed_and_a_quiet_night_is_not() -> None:
    stopped = [1000.0 + 300.0 * min(k, 30) for k in range(41)]
    fleet = a_fleet().lasting(40)
    found = fleet.but("requests", "new-0", valued(*stopped)).judged()
    assert found.no_data is NoData.NO_TRAFFIC
    # One request per pod and ten minutes: none in the last windows is what such a night looks like.
    quiet = [1000.0 + k // 20 for k in range(41)]
    night = fleet
    for pod in fleet.ours + fleet.theirs:
        night = night.but("requests", pod, valued(*quiet)).but("errors", pod, gone)
    assert night.judged().verdict is Verdict.UNDECIDED


def test_undecided_says_how_many_requests_are_missing_and_they_suffice() -> None:
    early = a_fleet().lasting(12).judged()
    assert early.verdict is Verdict.UNDECIDED
    assert early.effect is not None
    words = early.would_change.replace(",", "").split()
    more = float(words[1])
    needed = math.ceil((early.exposure.contender_requests + more) / 300.0)
    assert 13 <= needed <= 80
    assert a_fleet().lasting(round(1.3 * needed)).judged().verdict is Verdict.HEALTHY


def test_a_reset_in_the_contender_costs_one_window_and_changes_no_verdict() -> None:
    fleet = a_fleet().with_errors(contender=0.05).lasting(10)
    requests = [1000.0, 1300.0, 1600.0, 50.0, 350.0, 650.0, 950.0, 1250.0, 1550.0, 1850.0, 2150.0]
    errors = [1000.0, 1015.0, 1030.0, 2.0, 17.0, 32.0, 47.0, 62.0, 77.0, 92.0, 107.0]
    found = fleet.but("requests", "new-0", valued(*requests)).but("errors", "new-0", valued(*errors)).judged()
    assert found.verdict is Verdict.DEGRADED
    assert found.exposure.windows == 9
    assert found.freshness.voided == 1


def test_deciding_twice_on_the_same_input_decides_the_same() -> None:
    question = a_fleet().by_chance(3).with_errors(contender=0.02).question()
    assert COMPARISONS["errorRatio"](question) == COMPARISONS["errorRatio"](question)


def test_the_order_of_series_does_not_matter() -> None:
    question = a_fleet().by_chance(4).of(contender=3, incumbent=7).with_errors(contender=0.01).question()
    turned = replace(question, terms={name: tuple(reversed(many)) for name, many in question.terms.items()})
    assert COMPARISONS["errorRatio"](turned) == COMPARISONS["errorRatio"](question)


def test_a_spike_of_one_counter_value_does_not_pass_for_errors() -> None:
    # A single wrong value is a drop one instant later: both windows around it must not be believed blindly.
    fleet = a_fleet().lasting(20)
    spiked = fleet.but("errors", "new-0", at(8, 0.0)).judged()
    assert spiked.freshness.voided >= 1
    assert spiked.verdict is not Verdict.BLIND


def test_settings_refuse_what_makes_no_sense() -> None:
    for bad in (
        {"alpha": 0.0},
        {"limit": 1.5},
        {"margin_ratio": 0.5},
        {"margin_ratio": 100.0},
        {"harm_ratio": math.nan},
    ):
        with pytest.raises(ValueError, match=r"must lie|out of range"):
            error_settings(**bad)
    with pytest.raises(ValueError, match="not both"):
        error_settings(margin_ratio=1.2, margin_points=0.01)


def test_a_look_at_a_large_fleet_is_cheap() -> None:
    """Target 2 ms for 60 windows of 50 pods; the bound here is loose because test machines are shared."""
    question = a_fleet().of(contender=10, incumbent=40).lasting(60).by_chance(1).question()
    best = math.inf
    for _ in range(5):
        begin = time.thread_time()
        COMPARISONS["errorRatio"](question)
        best = min(best, time.thread_time() - begin)
    assert best < 0.02
    assert np.isfinite(best)
