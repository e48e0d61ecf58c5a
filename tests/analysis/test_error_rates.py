"""How often the gates are wrong when they may look after every window, measured on simulated releases.

Fixed seeds, so that each figure here is a fact and not a lucky day; the published table uses fresh ones.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from analysis.comparisons import error_settings, ratio
from analysis.engine import Margin, look, look_path
from analysis.rates import ln_above_limit
from tests.bench.gates import Fate, clopper_pearson, error_fate, latency_fate
from tests.bench.worlds import ASSUMED, CLEAN, LOOKS, MODERATE, WINDOW, Regression, World, error_release

ALPHA = 0.01


@cache
def fates(world: World, wrong: Regression, releases: int) -> list[Fate]:
    rng = np.random.default_rng([2024, releases])
    return [error_fate(rng, world, wrong) for _ in range(releases)]


@cache
def latency_fates(world: World, scale: float, slow_share: float, releases: int) -> list[Fate]:
    rng = np.random.default_rng([2025, releases])
    return [latency_fate(rng, world, scale=scale, slow_share=slow_share, every=4) for _ in range(releases)]


def rolled_back(many: list[Fate]) -> int:
    return sum(fate.degraded is not None for fate in many)


def median_look(many: list[Fate]) -> float:
    return float(np.median([np.inf if fate.degraded is None else fate.degraded for fate in many]))


def test_in_a_clean_world_healthy_releases_are_kept_under_peeking_at_every_look() -> None:
    many = fates(CLEAN, Regression(), 700)
    low, high = clopper_pearson(rolled_back(many), len(many))
    assert low <= high <= ALPHA


def test_where_pods_differ_as_assumed_healthy_releases_are_kept_too() -> None:
    many = fates(ASSUMED, Regression(), 500)
    assert clopper_pearson(rolled_back(many), len(many))[1] <= 0.02


def test_with_moderate_pod_and_window_noise_the_rate_is_near_but_not_promised() -> None:
    # Sixty windows of AR(.6) noise are more than what is assumed; the measured rate is about 1 %.
    many = fates(MODERATE, Regression(), 400)
    assert clopper_pearson(rolled_back(many), len(many))[1] <= 0.05


def test_a_contender_at_the_margin_is_rarely_rolled_back() -> None:
    assert clopper_pearson(rolled_back(fates(CLEAN, Regression(1.25), 200)), 200)[1] <= 0.10
    assert clopper_pearson(rolled_back(fates(ASSUMED, Regression(1.25), 200)), 200)[1] <= 0.10


@pytest.mark.parametrize(
    ("wrong", "looks"),
    [(Regression(10.0), 4), (Regression(3.0), 16), (Regression(2.0), 40), (Regression(3.0, onset=30), 44)],
)
def test_real_regressions_are_caught_in_time(wrong: Regression, looks: int) -> None:
    many = fates(CLEAN, wrong, 60)
    assert rolled_back(many) >= 57
    assert median_look(many) <= looks


def test_one_bad_pod_of_three_is_caught() -> None:
    many = fates(MODERATE, Regression(10.0, onset=20, one_pod=True), 60)
    assert rolled_back(many) >= 55
    assert median_look(many) <= 28


def test_healthy_releases_advance_early_and_harmful_ones_do_not() -> None:
    good = fates(CLEAN, Regression(), 700)
    assert np.median([fate.healthy or LOOKS for fate in good]) <= 24
    # Exactly at the harm ratio an early advance is an error of the interval, whose two-sided level is 5 %.
    many = fates(CLEAN, Regression(2.0), 60) + fates(CLEAN, Regression(2.0), 150)
    early = sum(f.healthy is not None and (f.degraded is None or f.healthy < f.degraded) for f in many)
    assert clopper_pearson(early, len(many))[1] <= 0.05


def test_latency_is_kept_when_equal_and_caught_when_doubled() -> None:
    equal = latency_fates(MODERATE, 1.0, 0.0, 60)
    assert rolled_back(equal) == 0
    assert sum(fate.healthy is not None for fate in equal) >= 45
    assert median_look(latency_fates(CLEAN, 2.0, 0.0, 20)) <= 4
    assert median_look(latency_fates(CLEAN, 1.0, 0.02, 20)) <= 24
    harmful = latency_fates(CLEAN, 1.3, 0.0, 20)
    assert not any(f.healthy is not None and (f.degraded is None or f.healthy < f.degraded) for f in harmful)


def test_the_hard_limit_keeps_its_level_at_the_limit_under_peeking() -> None:
    rng = np.random.default_rng(5)
    broken, releases, limit = 0, 1500, 0.05
    for _ in range(releases):
        requests = rng.poisson(300.0, LOOKS).astype(np.float64)
        events = rng.binomial(requests.astype(np.int64), limit).astype(np.float64)
        looks = range(2, LOOKS + 1, 4)
        broken += any(ln_above_limit(events[:u], requests[:u], limit, WINDOW) > np.log(1 / ALPHA) for u in looks)
    assert clopper_pearson(broken, releases)[0] <= ALPHA
    assert broken / releases <= 1.5 * ALPHA


def test_the_interval_holds_the_true_ratio_at_all_looks_where_pods_differ_as_assumed() -> None:
    rng = np.random.default_rng(6)
    releases, missed = 200, 0
    for _ in range(releases):
        release = error_release(rng, ASSUMED, Regression(1.5)).shared()
        path = look_path(release, Margin(1.25), ratio.NOISE, list(range(1, LOOKS + 1)))
        missed += any(not one.low <= 1.5 <= one.high for one in path)
    assert clopper_pearson(missed, releases)[0] <= 0.05


def test_a_path_of_looks_is_the_same_as_looking_each_time() -> None:
    release = error_release(np.random.default_rng(8), MODERATE, Regression(2.0)).shared()
    settings = error_settings()
    path = look_path(release, settings.margin, ratio.NOISE, [1, 11, 37, LOOKS])
    for u, seen in zip((1, 11, 37, LOOKS), path, strict=True):
        alone = look(release.keep_windows(np.arange(LOOKS) < u), settings.margin, ratio.NOISE)
        assert (seen.ln_change, seen.ln_margin, seen.low, seen.high) == pytest.approx(
            (alone.ln_change, alone.ln_margin, alone.low, alone.high), abs=1e-9
        )
