"""Every density, integral and quantile of the statistics against scipy or brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

from analysis.engine import averaging, ln_half_normal_ratio
from analysis.rates import rate_upper_bound
from analysis.shares import THETA_GRID, share_evidence, share_interval, share_log_likelihood
from analysis.special import ln_gamma, log_sum_exp, normal_cdf


def test_ln_gamma() -> None:
    x = np.concatenate([np.geomspace(1e-6, 1e6, 4001), np.arange(1.0, 200.0), np.linspace(0.9, 2.1, 500)])
    exact = special.gammaln(x)
    assert np.max(np.abs(ln_gamma(x) - exact) / np.maximum(1.0, np.abs(exact))) < 1e-11


def test_normal_cdf_and_log_sum_exp() -> None:
    z = np.linspace(-12, 12, 301)
    assert normal_cdf(z) == pytest.approx(stats.norm.cdf(z), rel=1e-12, abs=0)
    values = np.array([[1000.0, 1001.0, -np.inf], [-np.inf, -np.inf, -np.inf], [-2000.0, -2000.0, -2001.0]])
    assert log_sum_exp(values)[[0, 2]] == pytest.approx(special.logsumexp(values[[0, 2]], axis=1))
    assert log_sum_exp(values)[1] == -np.inf


@pytest.mark.parametrize("prior_sd", [0.5, 1.0])
@pytest.mark.parametrize("delta", [0.0, math.log(1.25)])
@pytest.mark.parametrize("se", [0.05, 0.3, 1.2])
@pytest.mark.parametrize("d", [-1.0, 0.0, 0.2, 0.7, 2.5])
def test_half_normal_mixture_is_the_integral_it_claims_to_be(
    d: float, se: float, delta: float, prior_sd: float
) -> None:
    best = max(d - delta, 0.0)
    peak = stats.norm.logpdf(d, delta + best, se)

    def integrand(t: float) -> float:
        return float(2.0 * stats.norm.pdf(t, 0.0, prior_sd) * np.exp(stats.norm.logpdf(d, delta + t, se) - peak))

    cuts = (0.0, best, best + 12.0 * (se + prior_sd))
    integral = sum(integrate.quad(integrand, *ends, limit=400, epsabs=0.0)[0] for ends in itertools.pairwise(cuts))
    expected = math.log(integral) + peak - stats.norm.logpdf(d, delta, se)
    found = float(ln_half_normal_ratio(np.array([d]), np.array([se]), delta, prior_sd)[0])
    assert found == pytest.approx(expected, abs=1e-6)
    assert found <= 0.0 or d > delta


def test_half_normal_mixture_is_an_e_value_at_the_null() -> None:
    se = 0.37
    mean = integrate.quad(
        lambda d: (
            math.exp(float(ln_half_normal_ratio(np.array([d]), np.array([se]), 0.0, 1.0)[0]))
            * stats.norm.pdf(d, 0.0, se)
        ),
        -6.0,
        6.0,
        limit=400,
    )[0]
    assert mean == pytest.approx(1.0, abs=1e-6)


def test_averaging_of_ar1_noise_is_the_sum_of_its_autocovariances() -> None:
    for n in (1, 2, 5, 60):
        for phi in (0.0, 0.6, 0.95):
            lags = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
            assert averaging(np.array([float(n)]), phi)[0] == pytest.approx((phi**lags).mean())


@pytest.mark.parametrize("rho", [0.03, 0.3, 0.001])
def test_share_likelihood_is_the_beta_binomial(rho: float) -> None:
    ours, theirs = np.array([0.0, 3.0, 40.0, 0.0]), np.array([0.0, 7.0, 2.0, 90.0])
    odds = np.array([0.1, 0.11, 1.0, 0.25])
    found = share_log_likelihood(ours, theirs, odds, THETA_GRID, rho)
    k = 1.0 / rho - 1.0
    q = odds[:, None] * np.exp(THETA_GRID) / (1.0 + odds[:, None] * np.exp(THETA_GRID))
    exact = stats.betabinom.logpmf(ours[:, None], (ours + theirs)[:, None], k * q, k * (1.0 - q))
    choose = special.gammaln(ours + theirs + 1) - special.gammaln(ours + 1) - special.gammaln(theirs + 1)
    assert found == pytest.approx(exact - choose[:, None], abs=1e-8)
    assert np.all(found[0] == 0.0), "a window without events says nothing"


def test_share_evidence_is_an_e_value_at_the_margin() -> None:
    """Exact expectation over every outcome of one window of m events, at the null ratio."""
    delta, odds, rho = math.log(1.25), 0.3, 0.03
    k = 1.0 / rho - 1.0
    q = odds * math.exp(delta) / (1.0 + odds * math.exp(delta))
    for m in (1, 4, 30):
        x = np.arange(m + 1.0)
        curve = share_log_likelihood(x, m - x, np.full(m + 1, odds), np.append(THETA_GRID, delta), rho)
        evidence = share_evidence(curve.T, delta)
        weights = stats.betabinom.pmf(x, m, k * q, k * (1.0 - q))
        assert float((weights * np.exp(evidence)).sum()) == pytest.approx(1.0, abs=1e-9)


def test_interval_ends_lie_where_the_mixture_meets_the_likelihood() -> None:
    ours, theirs, odds = np.full(30, 4.0), np.full(30, 30.0), np.full(30, 0.1)
    low, likely, high = share_interval(share_log_likelihood(ours, theirs, odds, THETA_GRID, 0.03).sum(axis=0))

    def c(theta: float) -> float:
        return float(share_log_likelihood(ours, theirs, odds, np.array([theta]), 0.03).sum())

    top = optimize.minimize_scalar(lambda t: -c(t), bounds=(-2.5, 4.0), method="bounded")
    peak = c(float(top.x))
    marginal = integrate.quad(lambda t: math.exp(c(t) - peak) * stats.norm.pdf(t), -6, 6, points=[float(top.x)])[0]
    height = peak + math.log(marginal) - math.log(20.0)
    assert likely == pytest.approx(float(top.x), abs=0.01)
    assert low == pytest.approx(optimize.brentq(lambda t: c(t) - height, -2.5, float(top.x)), abs=0.02)
    assert high == pytest.approx(optimize.brentq(lambda t: c(t) - height, float(top.x), 4.0), abs=0.02)


def test_interval_is_open_where_the_data_is_silent() -> None:
    nothing = share_log_likelihood(np.zeros(3), np.zeros(3), np.ones(3), THETA_GRID, 0.03).sum(axis=0)
    assert share_interval(nothing)[::2] == (-math.inf, math.inf)
    only_ours = share_log_likelihood(np.full(9, 5.0), np.zeros(9), np.full(9, 0.1), THETA_GRID, 0.03).sum(axis=0)
    low, _, high = share_interval(only_ours)
    assert low > math.log(3.0)
    assert high == math.inf


@pytest.mark.parametrize(("events", "requests"), [(0, 10), (0, 1e6), (1, 300), (25, 5000), (400, 1000)])
def test_rate_bound_is_the_root_of_the_gamma_mixture(events: int, requests: float) -> None:
    bound = rate_upper_bound(events, requests, 0.05)
    prior = stats.gamma(0.5, scale=1 / 1000.0)
    posterior = stats.gamma(0.5 + events, scale=1 / (1000.0 + requests))
    # Mixture likelihood ratio at `bound` by Bayes: prior density over posterior density there.
    ratio = prior.logpdf(bound) - posterior.logpdf(bound)
    assert ratio == pytest.approx(math.log(20.0), rel=1e-6)
    assert bound > events / requests


def test_rate_bound_without_events_is_the_closed_form() -> None:
    n = 4000.0
    assert rate_upper_bound(0, n, 0.05) == pytest.approx((math.log(20) + 0.5 * math.log1p(n / 1000)) / n)
    assert rate_upper_bound(0, 0, 0.05) == math.inf
