"""How far pods lie apart for good, learned of counts, latency and levels, and what is assumed where nothing was."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.assumptions import POD_NOISE_SD, SHARE_VARIATION_FLOOR, VARIATION_FLOOR
from analysis.learned import (
    Calibration,
    LearnedBoundary,
    LearnedCounts,
    LearnedLatency,
    LearnedLevels,
    Noise,
    NotLearned,
    Scale,
    Standing,
    Variation,
)
from analysis.learning.band_pods import ASSUMED_PODS, pod_spread
from analysis.samples import Histogram, Tally
from analysis.special import FloatArray
from analysis.verdict import Freshness

WINDOWS = 40
SCALE = Scale(0.0, 1.0)
BARS = Calibration(SCALE, SCALE, 5.0, 2.0, 3.0)
PASSING = Noise(Variation((math.inf, 5.0, 45.0), (0.02, 0.3, 0.04)), 0.02)
COUNTS = LearnedCounts(PASSING, 0.01, BARS, Standing())
FLEETS = ("web-7d9f8c6b5d", "web-5b6d8f77c9", "web-6f5c4d8b79")
PODS = 8


def names(fleet: str) -> tuple[str, ...]:
    return tuple(f"{fleet}-{number:05d}" for number in range(PODS))


def tally(fleet: str, exposure: FloatArray, events: FloatArray) -> Tally:
    return Tally(
        pods=names(fleet),
        contender=np.zeros(PODS, dtype=np.bool_),
        exposure=exposure,
        events=events,
        seen=exposure > 0.0,
        ends=30.0 * np.arange(1.0, WINDOWS + 1.0),
        window=30.0,
        freshness=Freshness(),
    )


def history(pod_sd: float, passing_sd: float, seed: int, *, segments: int = 12) -> list[Tally]:
    """Three fleets in turn; a pod's rate has its own level, noise that lasts for a segment, and a shock of all pods."""
    rng = np.random.default_rng(seed)
    out = []
    for fleet in FLEETS:
        own = pod_sd * rng.normal(size=(PODS, 1))
        for _ in range(segments):
            passing = passing_sd * rng.normal(size=(PODS, 1)) - 0.5 * passing_sd**2
            shock = 0.5 * rng.normal(size=(1, WINDOWS))
            exposure = rng.poisson(500.0, size=(PODS, WINDOWS)).astype(np.float64)
            events = rng.poisson(exposure * 0.01 * np.exp(own + passing + shock)).astype(np.float64)
            out.append(tally(fleet, exposure, events))
    return out


@pytest.mark.parametrize("passing_sd", [0.0, 0.4])
def test_it_is_what_pods_keep_and_not_what_passes(passing_sd: float) -> None:
    found = [pod_spread(COUNTS, history(0.3, passing_sd, seed)) for seed in range(20)]
    assert {one.freedom for one in found} == {21.0}
    mean = float(np.mean([one.variance for one in found]))
    assert mean == pytest.approx(math.expm1(0.3**2), rel=0.15)


def test_pods_that_are_alike_differ_by_the_least_that_pods_differ() -> None:
    found = [pod_spread(COUNTS, history(0.0, 0.3, seed)).variance for seed in range(8)]
    assert min(found) == VARIATION_FLOOR
    assert float(np.mean(found)) < 0.01


def test_where_no_pod_was_seen_twice_it_is_the_slow_part_of_the_noise() -> None:
    (one,) = history(0.3, 0.0, 1, segments=1)[:1]
    told = pod_spread(COUNTS, [one])
    # What is forgotten within 45 windows is left by half in a mean over 60.
    assert 0.02 + 0.04 * 0.4 < told.variance < 0.02 + 0.04 + 0.3 * 0.2
    assert told.freedom == PODS - 1.0


def test_segments_without_events_say_nothing() -> None:
    quiet = tally(FLEETS[0], np.full((PODS, WINDOWS), 100.0), np.zeros((PODS, WINDOWS)))
    assert pod_spread(COUNTS, [quiet, quiet]).variance == pod_spread(COUNTS, []).variance > VARIATION_FLOOR
    assert pod_spread(COUNTS, []).freedom == 1.0


def test_latency_is_told_in_time_and_not_in_shares() -> None:
    rng = np.random.default_rng(3)
    speed_sd, log_sd = 0.08, 0.8
    bounds = np.array([0.1, 0.25, 0.5, 1.0])
    segments = []
    for fleet in FLEETS:
        speed = speed_sd * rng.normal(size=(PODS, 1))
        for _ in range(12):
            exposure = rng.poisson(2000.0, size=(PODS, WINDOWS)).astype(np.float64)
            above = stats.norm.sf((np.log(bounds / 0.08)[:, None, None] - speed) / log_sd)
            slower = rng.binomial(exposure.astype(np.int64), np.broadcast_to(above, (4, PODS, WINDOWS))).astype(float)
            segments.append(Histogram(bounds, slower, tally(fleet, exposure, np.zeros((PODS, WINDOWS)))))
    z = np.log(bounds / 0.08) / log_sd
    shares, slopes = stats.norm.sf(z), stats.norm.pdf(z) / stats.norm.sf(z) / log_sd
    boundaries = tuple(
        LearnedBoundary(float(b), float(share), float(slope), 0.1, PASSING, SCALE)
        for b, share, slope in zip(bounds, shares, slopes, strict=True)
    )
    told = pod_spread(LearnedLatency(boundaries, BARS, Standing()), segments)
    assert told.freedom == 21.0
    assert math.sqrt(math.log1p(told.variance)) == pytest.approx(speed_sd, rel=0.35)
    flat = tuple(replace(one, slope=0.0) for one in boundaries)
    assert pod_spread(LearnedLatency(flat, BARS, Standing()), segments) == ASSUMED_PODS
    assert told.variance > SHARE_VARIATION_FLOOR


def test_levels_are_pods_already() -> None:
    levels = tuple(np.random.default_rng(4).normal(20.0, 0.24, 60).tolist())
    told = pod_spread(LearnedLevels(levels, 0.02, 0.0, BARS, Standing()), [])
    assert told.freedom == 59.0
    assert told.variance == pytest.approx(math.expm1(float(np.var(levels, ddof=1))))


def test_what_no_gate_has_learned_is_assumed() -> None:
    for nothing in (None, NotLearned("TooFewEvents", "3 events")):
        told = pod_spread(nothing, [])
        assert told.variance == pytest.approx(math.expm1(POD_NOISE_SD**2))
        assert math.isinf(told.freedom)
