"""A margin in points: seen where incumbents have hardly any errors, exact in its bets, and rarely wrong."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import stats

from analysis.comparisons import error_settings, ratio
from analysis.engine import ASSUMED_NOISE, Margin, look, look_path, planned_starts
from analysis.learned import Noise, Variation
from analysis.points import STAKES, contender_gain, points_evidence
from analysis.samples import Frame, Groups, Tally
from analysis.special import FloatArray, log_sum_exp
from analysis.verdict import Verdict
from tests.bench.gates import (
    IN_POINTS,
    POINTS,
    SMALL,
    Fate,
    clopper_pearson,
    error_fate,
)
from tests.bench.worlds import ASSUMED, CLEAN, LOOKS, MODERATE, WINDOW, Regression, World, as_tally, error_release

ALPHA = 0.01
LOW = {world.name: replace(world, base=0.0005) for world in (CLEAN, ASSUMED, MODERATE, SMALL)}


def two_new_pods_and_two_old(ours: tuple[int, int], theirs: int, *, windows: int = 20) -> Tally:
    """2 s windows of 4,985 contender and 7,445 incumbent requests; errors per new pod, and of the first old pod."""
    requests = np.repeat(np.array([[4985.0], [4985.0], [7445.0], [7445.0]]) / 2.0 / windows, windows, axis=1)
    events = np.zeros((4, windows))
    for pod, errors in enumerate((*ours, theirs)):
        events[pod] = np.diff(np.round(np.linspace(0.0, errors, windows + 1)))
    tally = as_tally(("new-0", "new-1", "old-0", "old-1"), requests, events, 2)
    ends: FloatArray = 2.0 * np.arange(1, windows + 1, dtype=np.float64)
    return replace(tally, window=2.0, ends=ends, freshness=replace(tally.freshness, last_contender_end=ends[-1]))


def verdict_on(tally: Tally) -> Verdict:
    frame = Frame(Groups(tally.pods[:2], tally.pods[2:]), ((0.0, float(tally.ends[-1])),), 2.0)
    return ratio.judge(tally, error_settings(margin_points=0.005), frame).verdict


@pytest.mark.parametrize(("theirs", "pods"), [(0, 1.5), (1, 2.3), (2, 4.0), (4, 7.0)])
def test_three_percent_against_hardly_any_is_degraded_at_half_a_point(theirs: int, pods: float) -> None:
    tally = two_new_pods_and_two_old((68, 69), theirs)
    seen = look(tally, Margin(points=0.005), ratio.NOISE)
    # The pods speak in logs of counts, and drown in the chance of so few incumbent events: their threshold is 2.3.
    assert seen.ln_pods_margin < pods
    assert seen.ln_margin > 20.0
    assert verdict_on(tally) is Verdict.DEGRADED


def test_one_bad_pod_of_two_is_not_hidden_by_the_healthy_one() -> None:
    tally = two_new_pods_and_two_old((136, 1), 4)
    assert look(tally, Margin(points=0.005), ratio.NOISE).ln_pods_margin < 0.0
    assert verdict_on(tally) is Verdict.DEGRADED


def test_errors_inside_the_points_are_kept_however_large_they_are_as_a_ratio() -> None:
    # 0.4 % against 0.05 % is eight times as many, and less than half a point more.
    assert verdict_on(two_new_pods_and_two_old((10, 10), 4, windows=40)) is not Verdict.DEGRADED


def bet(x: FloatArray, other: FloatArray, n: float, big_n: float, points: float, kappa: float) -> FloatArray:
    """Evidence of one window for each outcome."""
    gained = contender_gain(x, np.full(x.shape, n / big_n))
    return points_evidence(gained, other, np.full(x.shape, big_n), points, np.full(x.shape, kappa))


@pytest.mark.parametrize("kappa", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("rate", [0.0, 0.0005, 0.02, 0.3])
@pytest.mark.parametrize(("n", "big_n"), [(20, 180), (120, 80), (190, 10)])
def test_the_evidence_is_an_e_value_at_the_points_whatever_the_incumbents_rate(
    n: int, big_n: int, rate: float, kappa: float
) -> None:
    """Exact expectation over every outcome of one window of independent requests, with all pod noise spent."""
    points = 0.01
    x, other = (axis.ravel().astype(np.float64) for axis in np.meshgrid(np.arange(n + 1), np.arange(big_n + 1)))
    ours = (rate + points) * math.exp(kappa)
    weights = stats.binom.pmf(x, n, ours) * stats.binom.pmf(other, big_n, rate)
    mean = float((weights * np.exp(bet(x, other, n, big_n, points, kappa))).sum())
    unspent = float((STAKES * math.exp(kappa) >= 1.0).mean())
    assert mean <= 1.0 - unspent + 1e-9
    # Rare events are Poisson, for which the bound is met: nothing is given away.
    if rate <= 0.0005 and n == 20:
        assert mean >= 0.9 * (1.0 - unspent)
    inside = stats.binom.pmf(x, n, 0.5 * ours) * stats.binom.pmf(other, big_n, rate)
    assert float((inside * np.exp(bet(x, other, n, big_n, points, kappa))).sum()) < mean


@pytest.mark.parametrize(
    "noise",
    [
        ASSUMED_NOISE,
        Noise(Variation((), ()), 0.03),
        Noise(Variation((math.inf, -1.0 / math.log(0.6)), (0.36, 0.25)), 0.03),
    ],
)
def test_the_look_is_the_formula_written_out(noise: Noise) -> None:
    """Pod by pod, stake by stake and start by start, without arrays."""
    tally = error_release(np.random.default_rng(11), SMALL, Regression(2.0)).shared().keep_windows(np.arange(60) < 25)
    mine, phi, points = tally.contender, 0.6, 0.002
    total = 0.0
    for start, weight in ((0, 0.5), (10, 0.1), (20, 0.5 / 6.0)):
        used = range(start, tally.ends.size)
        variance = 0.0
        for side in (mine, ~mine):
            load = tally.exposure[side][:, start:].sum()
            for pod in np.flatnonzero(side):
                served = [u for u in used if tally.exposure[pod, u] > 0]
                lags = np.abs(np.subtract.outer(np.arange(len(served)), np.arange(len(served))))
                left = float((phi**lags).mean()) if served else 0.0
                lasting, passing = noise.variation.variances or (0.0, 0.0)
                steady = math.log1p(lasting + passing * left)
                variance += (tally.exposure[pod, start:].sum() / load) ** 2 * steady
        room = math.exp(1.645 * math.sqrt(variance))
        value = 0.0
        for logit in np.linspace(-5.0, 4.0, 19):
            stake = 1.0 / (1.0 + math.exp(-logit))
            if stake * room < 1.0:
                product = 1.0
                for u in used:
                    n, big_n = tally.exposure[mine, u].sum(), tally.exposure[~mine, u].sum()
                    product *= (1.0 + stake * big_n / n) ** tally.events[mine, u].sum()
                    product *= (1.0 - stake * room) ** tally.events[~mine, u].sum()
                    product *= math.exp(-stake * room * points * big_n)
                value += product / 19.0
        share = 1.0 if start == 0 else 1.0 / sum(1.0 / k for k in range(5, 53))
        total += weight * share * value
    seen = look(tally, Margin(points=points), noise)
    assert seen.ln_counts == pytest.approx(math.log(total), abs=1e-9)
    assert math.exp(seen.ln_margin) == pytest.approx((math.exp(seen.ln_pods_margin) + total) / 2.0)
    assert math.exp(seen.ln_change) == pytest.approx((math.exp(seen.ln_pods) + total) / 2.0)


def test_the_bets_keep_their_level_at_the_points_under_peeking_while_everything_else_moves() -> None:
    """A contender at the margin in each window; the incumbents' rate and both loads wander, with outages."""
    rng = np.random.default_rng(21)
    releases, crossed = 2000, 0
    for _ in range(releases):
        rate = 0.0005 * np.exp(np.cumsum(rng.normal(size=LOOKS)) * 0.5) * np.where(rng.random(LOOKS) < 0.05, 50.0, 1.0)
        rate = np.minimum(rate, 0.3)
        n, big_n = rng.integers(20, 400, LOOKS), rng.integers(20, 400, LOOKS)
        x, other = rng.binomial(n, rate + POINTS).astype(float), rng.binomial(big_n, rate).astype(float)
        gained = contender_gain(x, n / big_n)
        starts, ln_weights = planned_starts(LOOKS, WINDOW)
        parts = np.full((len(starts), LOOKS), -np.inf)
        for place, start in enumerate(starts):
            gains, theirs, requests = (np.cumsum(v[..., start:], axis=-1) for v in (gained, other, big_n.astype(float)))
            parts[place, start:] = points_evidence(gains, theirs, requests, POINTS, np.zeros(LOOKS - start))
        best = float(log_sum_exp(parts + ln_weights[:, None], axis=0).max())
        crossed += best > math.log(10.0)
    assert clopper_pearson(crossed, releases)[1] <= 0.10
    assert crossed > 0, "a threshold that is never reached measures nothing"


@cache
def fates(world: World, wrong: Regression, releases: int) -> list[Fate]:
    rng = np.random.default_rng([2026, releases])
    return [error_fate(rng, world, wrong, IN_POINTS) for _ in range(releases)]


def rolled_back(many: list[Fate]) -> int:
    return sum(fate.degraded is not None for fate in many)


def test_in_a_clean_world_healthy_releases_are_kept_under_peeking_at_every_look() -> None:
    assert clopper_pearson(rolled_back(fates(LOW[CLEAN.name], Regression(), 400)), 400)[1] <= ALPHA


@pytest.mark.parametrize(("world", "most"), [(CLEAN, 0.10), (ASSUMED, 0.10), (MODERATE, 0.10), (SMALL, 0.15)])
def test_a_contender_at_the_points_is_rarely_rolled_back(world: World, most: float) -> None:
    many = fates(LOW[world.name], Regression(points=POINTS), 100)
    assert clopper_pearson(rolled_back(many), len(many))[1] <= most
    assert not any(f.healthy is not None for f in many), "nor is it called healthy"


@pytest.mark.parametrize(
    ("world", "wrong", "looks"),
    [
        (CLEAN, Regression(50.0), 4),
        (CLEAN, Regression(points=0.03), 4),
        (SMALL, Regression(points=0.03), 4),
        (SMALL, Regression(points=0.03, onset=24), 32),
        (MODERATE, Regression(points=0.01), 32),
        (SMALL, Regression(points=0.06, onset=20, one_pod=True), 26),
    ],
)
def test_real_regressions_are_caught_in_time(world: World, wrong: Regression, looks: int) -> None:
    many = fates(LOW[world.name], wrong, 40)
    assert rolled_back(many) >= 38
    assert np.median([math.inf if f.degraded is None else f.degraded for f in many]) <= looks


def test_a_path_of_looks_is_the_same_as_looking_each_time() -> None:
    release = error_release(np.random.default_rng(8), MODERATE, Regression(points=0.01)).shared()
    margin = Margin(points=POINTS)
    for u, seen in zip((1, 11, 37), look_path(release, margin, ratio.NOISE, [1, 11, 37]), strict=True):
        alone = look(release.keep_windows(np.arange(LOOKS) < u), margin, ratio.NOISE)
        assert (seen.ln_change, seen.ln_margin) == pytest.approx((alone.ln_change, alone.ln_margin), abs=1e-9)
