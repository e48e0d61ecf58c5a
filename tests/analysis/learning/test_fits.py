"""Fits, quantiles and tails against scipy and against worlds whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, special, stats

from analysis.assumptions import VARIATION_FLOOR
from analysis.learned import Scale
from analysis.learning.counts import rate_upper_bounds
from analysis.learning.tails import apart, beta_quantile, clopper_pearson, incomplete_beta, tail, tail_scale
from analysis.learning.variation import fit_rho, fit_variation, measured_variation, nnls
from analysis.rates import rate_upper_bound
from tests.analysis.learning.histories import count_history, counts
from tests.bench.worlds import CLEAN, HEAVY, MODERATE


@pytest.mark.parametrize("seed", range(40))
def test_nnls_finds_the_same_minimum_as_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = int(rng.integers(2, 9)), int(rng.integers(1, 8))
    design = rng.random((rows, columns)) * 10.0 ** rng.uniform(-4, 4, columns)
    if seed % 4 == 0 and columns > 1:
        design[:, -1] = design[:, 0] * 2.0  # two columns that say the same
    target = rng.normal(size=rows) * 10.0 ** rng.uniform(-3, 3)
    found, (exact, residual) = nnls(design, target), optimize.nnls(design, target)
    assert (found >= 0.0).all()
    assert math.isfinite(float(np.abs(exact).sum()))
    assert np.linalg.norm(design @ found - target) == pytest.approx(residual, rel=1e-7, abs=1e-9)


def test_nnls_of_nothing_but_negative_targets_is_zero() -> None:
    assert nnls(np.ones((3, 2)), np.array([-1.0, -2.0, -3.0])).tolist() == [0.0, 0.0]
    assert nnls(np.zeros((3, 2)), np.array([1.0, 2.0, 3.0])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("a", [0.2, 1.0, 3.5, 84.0, 4000.0])
@pytest.mark.parametrize("b", [0.5, 1.0, 12.0, 2000.0])
def test_incomplete_beta_and_its_inverse_are_scipys(a: float, b: float) -> None:
    for x in (0.0, 1e-6, 0.01, 0.3, 0.5, 0.9, 0.9999, 1.0):
        assert incomplete_beta(x, a, b) == pytest.approx(special.betainc(a, b, x), abs=1e-11)
    for level in (0.025, 0.5, 0.975):
        assert beta_quantile(level, a, b) == pytest.approx(special.betaincinv(a, b, level), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize(("hits", "trials"), [(0, 84), (1, 84), (84, 84), (3, 10), (17, 4000)])
def test_clopper_pearson_is_scipys_exact_interval(hits: int, trials: int) -> None:
    exact = stats.binomtest(hits, trials).proportion_ci(0.95, "exact")
    assert clopper_pearson(hits, trials) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_clopper_pearson_takes_parts_of_a_trial_and_no_trial_at_all() -> None:
    low, high = clopper_pearson(0.5, 84)
    assert clopper_pearson(0, 84)[1] < high < clopper_pearson(1, 84)[1]
    assert 0.0 < low < high
    assert clopper_pearson(0, 0) == (0.0, 1.0)


def test_a_tail_is_u_plus_the_mean_excess_stretched_for_few_segments() -> None:
    sample = np.arange(1.0, 101.0)
    scale = tail_scale(sample)
    assert scale.location == pytest.approx(np.quantile(sample, 0.8))
    assert scale.spread == pytest.approx(float((sample[80:] - scale.location).mean()))
    caution = 1.0 + 1.0 / math.sqrt(0.2 * 84)
    assert tail(scale, 0.01, 84) == pytest.approx(scale.location + scale.spread * caution * math.log(20.0))
    assert tail(scale, 0.01, 6) > tail(scale, 0.01, 84) > tail(scale, 0.05, 84)
    # Of eight gates that err apart, one is likely to have been taken for too calm.
    caution = 1.0 + math.sqrt((1.0 + math.log(8.0)) / (0.2 * 84))
    assert tail(scale, 0.01, 84, 8.0) == pytest.approx(scale.location + scale.spread * caution * math.log(20.0))


def test_gates_count_for_as_many_as_err_apart() -> None:
    rng = np.random.default_rng(8)
    alone = rng.random((8, 20_000)) < 0.2
    assert apart(list(alone)) == pytest.approx(8.0, rel=0.05)
    assert apart([alone[0]] * 8) == pytest.approx(1.0)
    assert apart([alone[0], alone[0], alone[1]]) == pytest.approx(2.0, rel=0.05)
    assert apart([alone[0]]) == pytest.approx(1.0)
    # Gates that are never beyond, or of which one always is.
    assert apart([np.zeros(9, dtype=bool)] * 2) == 1.0
    assert apart([np.ones(9, dtype=bool)] * 2) == 2.0


def test_the_tail_of_an_exponential_sample_is_not_exceeded_too_often() -> None:
    rng = np.random.default_rng(1)
    exceeded = [math.exp(-tail(tail_scale(rng.exponential(size=504)), 0.01, 84)) for _ in range(300)]
    assert 0.002 < float(np.mean(exceeded)) < 0.01


def test_a_tail_of_equal_or_missing_values_has_a_least_spread() -> None:
    assert tail_scale(np.full(50, 3.0)) == Scale(3.0, 0.25)
    assert tail_scale(np.full(50, -np.inf)) == Scale(0.0, 0.25)
    assert tail_scale(np.array([])) == Scale(0.0, 0.25)


def test_pod_noise_is_found_where_it_is_and_not_where_it_is_not() -> None:
    moderate = fit_variation(count_history(1, MODERATE, 60).segments, spread=1.0, floor=VARIATION_FLOOR)
    one, hour = moderate.of(np.array([1.0, 60.0]))
    # Pods differ by a log sd of .10 and windows by a squared variation of .3 with memory .6.
    assert one == pytest.approx(0.01 + 0.3, rel=0.15)
    assert hour == pytest.approx(0.01 + 0.3 * 0.065, rel=0.5)
    clean = fit_variation(count_history(2, CLEAN, 60).segments, spread=1.0, floor=VARIATION_FLOOR)
    assert clean.of(np.array([1.0, 60.0])).max() < 0.01
    heavy = fit_variation(count_history(3, HEAVY, 60).segments, spread=1.0, floor=VARIATION_FLOOR)
    assert (heavy.of(np.array([1.0, 10.0, 60.0])) > 2.0 * moderate.of(np.array([1.0, 10.0, 60.0]))).all()


def test_the_measured_curve_is_unbiased_with_and_without_noise() -> None:
    """Chance alone gives zero on average, at every length, for rare events and for a common share of requests."""
    rng = np.random.default_rng(4)
    requests = rng.poisson(300.0, (400, 8, 60))
    rare = [counts(n, rng.poisson(n * 0.005)) for n in requests]
    common = [counts(n, rng.binomial(n, 0.4)) for n in requests]
    for segments, spread in ((rare, 1.0), (common, 0.6)):
        lengths, measured = measured_variation(segments, spread)
        assert lengths == pytest.approx([1, 2, 5, 10, 20, 30, 60], rel=0.02)
        chance = spread / (300.0 * (0.005 if spread == 1.0 else 0.4) * lengths)
        assert np.abs(measured / chance).max() < 0.1
    own = np.exp(rng.normal(size=(400, 8, 1)) * 0.3)
    noisy = [counts(n, rng.poisson(n * 0.05 * factor)) for n, factor in zip(requests, own, strict=True)]
    _, measured = measured_variation(noisy, 1.0)
    assert measured == pytest.approx(np.full(7, math.expm1(0.09)), rel=0.25)


def test_blocks_in_which_few_windows_hold_the_events_count_as_short() -> None:
    rng = np.random.default_rng(6)
    rate = np.where(np.arange(60) % 10 == 3, 1.0, 0.02)
    segments = [counts(np.full((8, 60), 100.0), rng.poisson(np.tile(rate * 3.0, (8, 1)))) for _ in range(50)]
    lengths, _ = measured_variation(segments, 1.0)
    exact = rate.sum() ** 2 / (rate**2).sum()
    assert lengths[-1] == pytest.approx(exact, rel=0.02)
    assert lengths[3] == pytest.approx(exact / 6.0, rel=0.1)


def test_rho_is_that_of_a_beta_binomial() -> None:
    rng = np.random.default_rng(5)
    share, k = 0.25, 1.0 / 0.05 - 1.0
    events = rng.integers(5, 60, (40, 60))
    part = rng.binomial(events, rng.beta(k * share, k * (1.0 - share), events.shape))
    requests = np.array([[100.0], [300.0]]) * np.ones(60)
    tallies = [counts(requests, np.stack([mine, every - mine])) for mine, every in zip(part, events, strict=True)]
    assert fit_rho(tallies, 1.0) == pytest.approx(0.05, rel=0.2)
    assert fit_rho([counts(np.ones((2, 5)), np.zeros((2, 5)))], 1.0) == 1e-4


def test_history_without_whole_blocks_or_events_has_the_floor() -> None:
    silent = [counts(np.ones((3, 40)) * 100, np.zeros((3, 40)))]
    alone = [counts(np.ones((1, 40)) * 100, np.ones((1, 40)))]
    for segments in (silent, alone, []):
        assert fit_variation(segments, spread=1.0, floor=0.0009).variances == (0.0009, 0, 0, 0, 0, 0)
    short = [counts(np.ones((3, 4)) * 100, np.ones((3, 4)))]
    assert fit_variation(short, spread=1.0, floor=0.0009).of(np.array([1.0, 9.0])).tolist() == [0.0009, 0.0009]


def test_the_bound_on_a_rate_is_the_same_for_arrays() -> None:
    events = np.array([0.0, 0.0, 1.0, 25.0, 400.0, 0.0, 3.0])
    requests = np.array([10.0, 1e6, 300.0, 5000.0, 1000.0, 0.0, 3.0])
    for at, bound in enumerate(rate_upper_bounds(events, requests, 0.05)):
        assert bound == pytest.approx(rate_upper_bound(float(events[at]), float(requests[at]), 0.05), rel=1e-9)
