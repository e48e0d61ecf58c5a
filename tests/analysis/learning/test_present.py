"""Whether the last hour is like history: kept when it is, found when pods differ more or less than they did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.comparisons import error_settings, latency_settings
from analysis.learned import (
    Calibration,
    LearnedCounts,
    LearnedLatency,
    LearnedLevels,
    Noise,
    Scale,
    Standing,
    Variation,
)
from analysis.learning import Present, compared, learn
from analysis.learning.present import unevenness, usual_of, worth
from analysis.levels import Levels
from analysis.samples import Tally
from tests.analysis.learning.histories import PLAN, count_history, counts, idle, latency_history
from tests.bench.worlds import CLEAN, HEAVY, MODERATE, Regression, World, error_release, latency_release


def an_hour(rng: np.random.Generator, world: World) -> Tally:
    one, other = (error_release(rng, idle(world), Regression()) for _ in range(2))
    return replace(
        one,
        exposure=np.concatenate([one.exposure, other.exposure], axis=1),
        events=np.concatenate([one.events, other.events], axis=1),
        seen=np.concatenate([one.seen, other.seen], axis=1),
        ends=30.0 * np.arange(1, 121, dtype=np.float64),
    )


@pytest.fixture(scope="module")
def learned() -> LearnedCounts:
    found = learn(
        {"e": count_history(1, MODERATE, 40)}, {"e": error_settings()}, PLAN, alpha=0.01, pause_alpha=0.05, seed=1
    )["e"]
    assert isinstance(found, LearnedCounts)
    return found


def test_an_hour_like_history_is_the_same_and_a_noisier_one_is_not(learned: LearnedCounts) -> None:
    rng = np.random.default_rng(2)
    same = [compared(learned, an_hour(rng, MODERATE)) for _ in range(40)]
    assert same.count(Present.SAME) >= 34
    noisier = [compared(learned, an_hour(rng, HEAVY)) for _ in range(20)]
    assert noisier.count(Present.CHANGED) >= 19
    calmer = [compared(learned, an_hour(rng, CLEAN)) for _ in range(20)]
    assert calmer.count(Present.CHANGED) >= 15


def test_nothing_to_compare_is_unknown(learned: LearnedCounts) -> None:
    assert compared(replace(learned, usual=None), an_hour(np.random.default_rng(3), MODERATE)) is Present.UNKNOWN
    for tally in (
        counts(np.full((4, 60), 100.0), np.zeros((4, 60))),
        counts(np.full((1, 60), 100.0), np.ones((1, 60))),
        counts(np.full((4, 6), 100.0), np.ones((4, 6))),
        counts(np.ones((4, 60)), np.ones((4, 60))).keep_windows(np.arange(60) < 0),
    ):
        assert compared(learned, tally) is Present.UNKNOWN


def test_a_gauge_is_unknown_whatever_the_last_hour_held() -> None:
    never = Calibration(Scale(0.0, 1.0), Scale(0.0, 1.0), 0.0, 0.0, 0.0)
    gauge = LearnedLevels((0.0,) * 12, 0.0, 1.0, never, Standing())
    readings = Levels(("a",), np.array([False]), np.ones((1, 120)), np.ones((1, 120)), 30.0 * np.arange(120.0), 30.0)
    assert compared(gauge, readings) is Present.UNKNOWN
    assert compared(gauge, an_hour(np.random.default_rng(3), MODERATE)) is Present.UNKNOWN


def test_one_kind_is_not_compared_with_another(learned: LearnedCounts) -> None:
    readings = Levels(("a",), np.array([False]), np.ones((1, 120)), np.ones((1, 120)), 30.0 * np.arange(120.0), 30.0)
    with pytest.raises(TypeError, match="tally"):
        compared(learned, readings)


def test_d_is_the_formula_written_out() -> None:
    rng = np.random.default_rng(4)
    noise = Noise(Variation((float("inf"), 5.0), (0.02, 0.1)), 0.03)
    n = rng.integers(100, 300, (4, 23))
    x = rng.poisson(n * 0.05)
    n[2, 15:] = x[2, 15:] = 0
    terms = []
    for begin in (3, 13):  # whole blocks of ten windows, the latest ones
        block = slice(begin, begin + 10)
        there = [pod for pod in range(4) if (n[pod, block] > 0).sum() >= 8]
        rate = x[:, block].sum(axis=0) / n[:, block].sum(axis=0)
        e = {pod: float((n[pod, block] * rate).sum()) for pod in there}
        h = {pod: np.log((x[pod, block].sum() + 1) / (e[pod] + 1)) for pod in there}
        middle = np.mean(list(h.values()))
        v = float(noise.variation.of(np.array([10.0]))[0])
        for pod in there:
            term = (h[pod] - middle) ** 2 / (np.log1p(v) + 1 / (e[pod] + 1))
            terms.append(min(term, 9.0) * len(there) / (len(there) - 1))
    assert len(terms) == 7
    assert unevenness(counts(n, x), noise) == pytest.approx(np.mean(terms))
    assert usual_of([None, 1.0, 3.0, None]) == pytest.approx((1.1, 2.9))
    assert usual_of([None]) is None


def test_a_stretch_calmer_than_the_last_ones_is_worth_less() -> None:
    assert worth([0.5, None, 1.0, 3.0, 2.0, None, 2.0], 3).tolist() == [0.25, 1.0, 0.5, 1.0, 1.0, 1.0, 1.0]
    assert worth([0.5, 1.0], 0).tolist() == [1.0, 1.0]
    assert worth([0.5, None], 1).tolist() == [1.0, 1.0]
    assert worth([0.0, 0.0], 1).tolist() == [1.0, 1.0]


def test_latency_is_compared_boundary_by_boundary() -> None:
    found = learn(
        {"l": latency_history(5, MODERATE, 12)}, {"l": latency_settings()}, PLAN, alpha=0.01, pause_alpha=0.05, seed=1
    )["l"]
    assert isinstance(found, LearnedLatency)
    rng = np.random.default_rng(6)
    noisy = [compared(found, latency_release(rng, idle(HEAVY), speed_sd=0.2)) for _ in range(8)]
    assert noisy.count(Present.CHANGED) >= 7
    other = latency_release(rng, idle(MODERATE))
    elsewhere = replace(other, boundaries=other.boundaries * 1.7)
    assert compared(found, elsewhere) is Present.UNKNOWN
    with pytest.raises(TypeError):
        compared(found, other.tally)
