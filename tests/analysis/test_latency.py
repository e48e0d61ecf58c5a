"""latency: slower in the middle or in the tail, told from bucket counts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from analysis.comparisons import latency_settings
from analysis.comparisons.boundaries import exceedance, quantile, watched
from analysis.comparisons.watches import noise_at
from analysis.counting import count_buckets
from analysis.engine import Margin, look
from analysis.samples import Histogram
from analysis.verdict import NoData, Verdict
from tests.analysis.builders import BOUNDS, FAST, SLOW, Fleet, a_fleet, counter, gone, until

TAIL_ONLY = (0.30, 0.70, 0.93, 0.960, 0.970, 0.9995, 1.0)
COARSE = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
NEARLY_COARSE = (0.1, 0.2, 0.3, 0.4, 0.6, 0.9, 1.0)


def histogram(fleet: Fleet) -> Histogram:
    question = fleet.latency_question()
    counted = count_buckets(question.term("buckets"), question.frame)
    assert isinstance(counted, Histogram)
    return counted


def test_an_equally_fast_contender_becomes_healthy() -> None:
    assert a_fleet().lasting(2).judged_on_latency().verdict is Verdict.UNDECIDED
    found = a_fleet().lasting(30).judged_on_latency()
    assert found.verdict is Verdict.HEALTHY
    assert found.log_evidence < 0.0


@pytest.mark.parametrize("shape", [SLOW, TAIL_ONLY])
def test_slower_requests_are_degraded_within_minutes(shape: tuple[float, ...]) -> None:
    found = a_fleet().with_latency(contender=shape).lasting(8).judged_on_latency()
    assert found.verdict is Verdict.DEGRADED
    assert found.log_evidence > found.threshold == pytest.approx(math.log(100))
    assert found.margin_evidence > found.margin_threshold


def test_the_boundary_that_carries_the_evidence_is_named() -> None:
    found = a_fleet().with_latency(contender=TAIL_ONLY).lasting(10).judged_on_latency()
    assert found.boundary in (0.5, 1.0)
    assert found.effect is not None
    assert found.effect.ratio is not None and found.effect.ratio > 2.0


def test_a_slower_middle_is_not_healthy_only_because_the_tail_is_the_same() -> None:
    middle = (0.20, 0.66, 0.95, 0.985, 0.996, 0.9995, 1.0)
    found = a_fleet().with_latency(contender=middle).lasting(30).judged_on_latency()
    assert found.verdict is not Verdict.HEALTHY
    assert a_fleet().lasting(30).judged_on_latency().verdict is Verdict.HEALTHY


def test_the_gate_weighs_the_mean_of_its_boundaries_and_the_best_of_their_margins() -> None:
    fleet = a_fleet().with_latency(contender=SLOW).lasting(3)
    counted = histogram(fleet)
    chosen = watched(counted)
    assert len(chosen) >= 3
    looks = [look(counted.above(b.index), Margin(math.exp(b.margin(1.08))), noise_at(b.share)) for b in chosen]
    found = fleet.judged_on_latency()
    mean = sum(math.exp(one.ln_change) for one in looks) / len(looks)
    assert found.log_evidence == pytest.approx(math.log(mean))
    assert found.margin_evidence == pytest.approx(max(one.ln_margin for one in looks))
    assert found.margin_threshold == pytest.approx(math.log(10 * len(looks)))


def test_a_faster_contender_is_not_degraded() -> None:
    found = a_fleet().with_latency(contender=FAST, incumbent=SLOW).lasting(30).judged_on_latency()
    assert found.verdict is Verdict.HEALTHY


def test_quantiles_of_both_sides_are_reported() -> None:
    found = a_fleet().with_latency(contender=SLOW).lasting(10).judged_on_latency()
    names = [name for name, _, _ in found.quantiles]
    assert names == ["p50", "p95", "p99"]
    for _, ours, theirs in found.quantiles:
        assert ours is not None and theirs is not None
        assert ours > theirs


def test_quantiles_interpolate_inside_their_bucket() -> None:
    counted = histogram(a_fleet().serving(100).lasting(4))
    bounds = [0.0, *(float(b) for b in BOUNDS[:-1])]
    for level in (0.1, 0.5, 0.9, 0.95, 0.99):
        expected = np.interp(level, [0.0, *FAST[:-1]], bounds)
        assert quantile(counted, level, contender=True) == pytest.approx(expected, rel=0.01)
    assert quantile(counted, 0.9999, contender=True) is None, "above the last finite bucket there is no number"


def test_watched_boundaries_lie_nearest_to_the_targets() -> None:
    counted = histogram(a_fleet().serving(100).lasting(10))
    shares = exceedance(counted, contender=False)
    assert shares == pytest.approx([1 - s for s in FAST[:-1]], abs=0.001)
    chosen = watched(counted)
    assert [b.seconds for b in chosen] == [0.1, 0.25, 0.5, 1.0]
    assert [b.share for b in chosen] == pytest.approx([0.30, 0.05, 0.015, 0.004], abs=0.001)


def test_watched_boundaries_do_not_move_once_learned() -> None:
    fleet = a_fleet().serving(40)
    early, late = histogram(fleet.lasting(12)), histogram(fleet.lasting(60))
    assert watched(early) == watched(late)


def test_the_margin_of_a_boundary_is_what_a_slower_version_does_there() -> None:
    """Against the exact shift of a log-normal latency, whose buckets are fine around the boundary."""
    bounds = np.geomspace(0.01, 2.0, 60)
    phi = np.vectorize(lambda z: 0.5 * math.erfc(z / math.sqrt(2.0)))
    slower = phi(np.log(bounds / 0.08) / 0.8) * 1e6
    tally = histogram(a_fleet().of(contender=1, incumbent=1).lasting(1)).tally
    exact = Histogram(
        bounds, np.stack([np.full((2, 1), s) for s in slower]), replace(tally, exposure=np.full((2, 1), 1e6))
    )
    for chosen in watched(exact):
        moved = float(phi(math.log(chosen.seconds / 1.08 / 0.08) / 0.8))
        expected = min(max(math.log(moved / chosen.share), 0.02), 0.5)
        assert chosen.margin(1.08) == pytest.approx(expected, rel=0.08)


def test_a_service_above_its_last_bucket_is_warned_about_or_blind() -> None:
    warned = a_fleet().with_latency(contender=NEARLY_COARSE, incumbent=NEARLY_COARSE).lasting(10).judged_on_latency()
    assert warned.verdict is not Verdict.BLIND
    assert len(warned.warnings) == 1
    blind = a_fleet().with_latency(contender=COARSE, incumbent=COARSE).lasting(10).judged_on_latency()
    assert blind.no_data is NoData.BUCKETS_TOO_COARSE
    assert not a_fleet().lasting(10).judged_on_latency().warnings


def test_an_incumbent_below_its_first_bucket_can_still_be_undercut() -> None:
    instant = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    fleet = a_fleet().with_latency(contender=instant, incumbent=instant)
    assert fleet.lasting(40).judged_on_latency().verdict is Verdict.HEALTHY
    slower = a_fleet().with_latency(contender=FAST, incumbent=instant)
    assert slower.lasting(6).judged_on_latency().verdict is Verdict.DEGRADED


def test_the_hard_limit_counts_requests_slower_than_the_objective() -> None:
    both = a_fleet().with_latency(contender=SLOW, incumbent=SLOW).lasting(10)
    assert both.judged_on_latency().verdict is not Verdict.DEGRADED
    broken = both.judged_on_latency(latency_settings(limit=0.05, objective=0.25))
    assert broken.verdict is Verdict.DEGRADED
    assert broken.limit_broken
    assert not both.judged_on_latency(latency_settings(limit=0.25, objective=0.25)).limit_broken
    # 0.3 s is no boundary: only requests above 0.5 s are certainly slower, and those are 6 %.
    assert both.judged_on_latency(latency_settings(limit=0.04, objective=0.3)).limit_broken
    assert not both.judged_on_latency(latency_settings(limit=0.10, objective=0.3)).limit_broken
    # Nothing can be slower for certain than an objective above every boundary.
    assert not both.judged_on_latency(latency_settings(limit=0.01, objective=60.0)).limit_broken
    with pytest.raises(ValueError, match="objective"):
        latency_settings(limit=0.05)


def test_one_slow_pod_is_named() -> None:
    fleet = Fleet(contender=4, incumbent=6, windows=20, shapes=(SLOW, FAST), only="new-3")
    found = fleet.judged_on_latency()
    assert found.verdict is Verdict.DEGRADED
    assert found.blame == "new-3"


def test_sides_that_fall_silent_or_never_spoke_are_blind() -> None:
    fleet = a_fleet().lasting(20)
    assert fleet.but("buckets", "new-0", until(10)).judged_on_latency().no_data is NoData.STALE
    assert fleet.but("buckets", "new-0", gone).judged_on_latency().no_data is NoData.NO_SERIES
    assert fleet.but("buckets", "new-0", gone, "+Inf").judged_on_latency().no_data is NoData.MALFORMED
    few = a_fleet().serving(0.05).lasting(3).judged_on_latency()
    assert few.verdict is Verdict.BLIND
    assert few.no_data is NoData.TOO_FEW_EVENTS


def test_new_buckets_in_the_new_version_leave_the_common_ones() -> None:
    fleet = a_fleet().with_latency(contender=SLOW).lasting(10)
    renamed = fleet.but("buckets", "new-0", lambda s: counter(s.pod, list(s.values), "0.07"), "0.1")
    found = renamed.judged_on_latency()
    assert found.verdict is Verdict.DEGRADED
    assert found.boundary != 0.1
