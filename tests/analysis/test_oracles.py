"""Every density, integral and quantile of the statistics against scipy or brute force."""

from __future__ import annotations

import itertools
import math
from dataclasses import fields, replace

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

from analysis.contrast import Releases, ln_half_normal_ratio
from analysis.engine import ASSUMED_NOISE, Margin, look, look_each, traces
from analysis.learned import Noise, Variation, averaging, memory_of
from analysis.rates import rate_upper_bound
from analysis.samples import Tally
from analysis.shares import (
    SHARE_POINTS,
    THETA_GRID,
    at_grid,
    beyond,
    points_beyond,
    share_evidence,
    share_evidences,
    share_interval,
    share_log_likelihood,
)
from analysis.special import FloatArray, ln_gamma, ln_gamma_step, log_sum_exp, normal_cdf
from tests.bench.worlds import as_tally


def test_ln_gamma() -> None:
    x = np.concatenate([np.geomspace(1e-6, 1e6, 4001), np.arange(1.0, 200.0), np.linspace(0.9, 2.1, 500)])
    exact = special.gammaln(x)
    assert np.max(np.abs(ln_gamma(x) - exact) / np.maximum(1.0, np.abs(exact))) < 1e-11


def test_a_step_of_ln_gamma_is_the_difference_of_two() -> None:
    x, step = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e-4, 1e5, 60), np.geomspace(1e-3, 1e5, 60)))
    exact = special.gammaln(x + step) - special.gammaln(x)
    largest = np.maximum(1.0, np.abs(special.gammaln(x + step)))
    for some in (x > 0.0, x >= 6.0):
        found = ln_gamma_step(x[some], step[some])
        assert np.max(np.abs(found - exact[some]) / largest[some]) < 1e-8


def test_several_tallies_in_one_pass_are_looks_at_each() -> None:
    rng = np.random.default_rng(12)
    requests = rng.poisson(900.0, (7, 24)).astype(np.float64)
    names = tuple("abcdefg")
    rates = (0.4, 0.03, 0.0005, 0.0)
    tallies = [
        as_tally(names, requests, rng.binomial(requests.astype(np.int64), rate).astype(np.float64), 2) for rate in rates
    ]
    noises = [
        Noise(Variation((math.inf, 3.0), (kept, 4 * kept)), rho, 1.0 - rate, prior_sd, temper)
        for rate, kept, rho, prior_sd, temper in zip(
            rates,
            (1e-4, 1e-3, 0.02, 0.05),
            (2e-4, 1e-3, 0.01, 0.05),
            (0.5, 0.7, 1.0, 1.2),
            (1.0, 1.3, 1.0, 2.0),
            strict=True,
        )
    ]
    margins = [Margin(ratio) for ratio in (1.03, 1.08, 1.3, 1.0)]
    together = look_each(tallies, margins, noises)
    for found, tally, margin, noise in zip(together, tallies, margins, noises, strict=True):
        alone = look(tally, margin, noise)
        for name in (field.name for field in fields(alone)):
            ours, theirs = getattr(found, name), getattr(alone, name)
            assert ours is None if theirs is None else ours == pytest.approx(theirs, rel=1e-9, abs=1e-9), name
    for found, tally, margin, noise in zip(together, tallies, margins, noises, strict=True):
        # The evidence of replays takes the other way to the mixture over shares: only ratios above the margin.
        path = traces(Releases(tally.contender, tally.exposure[None], tally.events[None], tally.window), margin, noise)
        assert found.ln_counts == pytest.approx(path.ln_counts[0, -1], abs=1e-4)
        assert found.ln_pods_margin == pytest.approx(path.ln_pods_margin[0, -1], rel=1e-9, abs=1e-9)
    with pytest.raises(ValueError, match="one release at a time"):
        look_each(tallies, [Margin(points=0.01)] * 4, noises)


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
    # What does not depend on the ratio of rates is left out: it is the differences between ratios that speak.
    differences = (exact - choose[:, None]).T
    assert found - found[:1] == pytest.approx(differences - differences[:1], abs=1e-7)
    assert np.all(found[:, 0] == 0.0), "a window without events says nothing"


@pytest.mark.parametrize(
    ("events", "share", "rho"),
    [(0.5, 0.1, 0.03), (15.0, 0.1, 0.03), (900.0, 0.5, 5e-4), (9000.0, 0.1, 1e-4), (3e4, 0.01, 1e-4), (3e5, 0.5, 1e-3)],
)
def test_what_is_read_off_a_few_points_is_the_likelihood_of_a_release_everywhere(
    events: float, share: float, rho: float
) -> None:
    """The worst of these releases has 400,000 nats between the likeliest ratio and the others."""
    rng = np.random.default_rng(31)
    total = rng.poisson(events, 60)
    x = rng.binomial(total, share).astype(np.float64)
    y, odds = total - x, share / (1.0 - share) * np.exp(0.2 * rng.normal(size=60))
    delta = math.log(1.25)

    def exact(thetas: FloatArray) -> FloatArray:
        k = 1.0 / rho - 1.0
        a = k * special.expit(np.log(odds) + thetas[:, None])
        parts = [special.gammaln(b + counts) - special.gammaln(b) for b, counts in ((a, x), (k - a, y))]
        total: FloatArray = np.sum(parts, axis=(0, 2))
        return total

    grid = at_grid(share_log_likelihood(x, y, odds, SHARE_POINTS, rho).sum(axis=1))
    expected = exact(THETA_GRID)
    assert grid - grid.max() == pytest.approx(expected - expected.max(), abs=1e-3)
    curve = share_log_likelihood(x, y, odds, points_beyond(delta), rho).sum(axis=1)
    above = beyond(delta)
    prior = -np.log1p((above - delta) ** 2)
    mixture = special.logsumexp(exact(above) + prior - special.logsumexp(prior)) - exact(np.array([delta]))[0]
    assert float(share_evidence(curve, delta)) == pytest.approx(mixture, abs=1e-3)
    whole = share_log_likelihood(x, y, odds, SHARE_POINTS, rho).sum(axis=1)
    assert float(share_evidences(whole[:, None, None], (delta,))[0, 0]) == pytest.approx(mixture, abs=1e-3)


def test_share_evidence_is_an_e_value_at_the_margin() -> None:
    """Exact expectation over every outcome of one window of m events, at the null ratio."""
    delta, odds, rho = math.log(1.25), 0.3, 0.03
    k = 1.0 / rho - 1.0
    q = odds * math.exp(delta) / (1.0 + odds * math.exp(delta))
    for m in (1, 4, 30):
        x = np.arange(m + 1.0)
        curve = share_log_likelihood(x, m - x, np.full(m + 1, odds), points_beyond(delta), rho)
        evidence = share_evidence(curve, delta)
        weights = stats.betabinom.pmf(x, m, k * q, k * (1.0 - q))
        assert float((weights * np.exp(evidence)).sum()) == pytest.approx(1.0, abs=1e-9)


def test_interval_ends_lie_where_the_mixture_meets_the_likelihood() -> None:
    ours, theirs, odds = np.full(30, 4.0), np.full(30, 30.0), np.full(30, 0.1)
    low, likely, high = share_interval(share_log_likelihood(ours, theirs, odds, THETA_GRID, 0.03).sum(axis=1))

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
    nothing = share_log_likelihood(np.zeros(3), np.zeros(3), np.ones(3), THETA_GRID, 0.03).sum(axis=1)
    assert share_interval(nothing)[::2] == (-math.inf, math.inf)
    only_ours = share_log_likelihood(np.full(9, 5.0), np.zeros(9), np.full(9, 0.1), THETA_GRID, 0.03).sum(axis=1)
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


def a_tally(seed: int, *, windows: int = 25, pods: int = 6, ours: int = 2, factor: float = 2.5) -> Tally:
    rng = np.random.default_rng(seed)
    requests = rng.poisson(200.0, (pods, windows)).astype(np.float64)
    requests[1, :12] = 0.0  # a contender pod that joined late
    rate = np.where(np.arange(pods) < ours, 0.01 * factor, 0.01)[:, None]
    return as_tally(
        tuple(f"p{i}" for i in range(pods)),
        requests,
        rng.binomial(requests.astype(np.int64), rate).astype(np.float64),
        ours,
    )


@pytest.mark.parametrize("points", [0.0, 0.004])
@pytest.mark.parametrize(
    "noise", [ASSUMED_NOISE, Noise(Variation((math.inf, 7.0), (0.0025, 0.04)), 0.03, spread=0.7, prior_sd=0.5)]
)
def test_pod_contrast_is_the_formula_written_out(noise: Noise, points: float) -> None:
    """The formulas of the page, pod by pod and start by start, without arrays."""
    tally = a_tally(3)
    # For three windows all pods fail twenty times as often: these windows hold most of the events.
    tally = replace(tally, events=tally.events * np.where((np.arange(25) >= 14) & (np.arange(25) < 17), 20.0, 1.0))
    margin = Margin(points=points) if points else Margin(1.25)

    def contrast(start: int, extra: float) -> tuple[float, float]:
        used = range(start, tally.ends.size)
        side: dict[bool, list[tuple[float, float, float]]] = {True: [], False: []}
        for pod, mine in enumerate(tally.contender):
            served = [u for u in used if tally.exposure[pod, u] > 0]
            pooled = [tally.events[2:, u].sum() / tally.exposure[2:, u].sum() for u in served]
            e = sum(tally.exposure[pod, u] * (r + extra * bool(mine)) for u, r in zip(served, pooled, strict=True))
            x = sum(tally.events[pod, u] for u in served)
            others = [(tally.events[2:, u].sum(), tally.exposure[2:, u].sum()) for u in served]
            plain = sum(tally.exposure[pod, u] * r for u, r in zip(served, pooled, strict=True))
            squares = sum(
                tally.exposure[pod, u] ** 2 * m * (m - 1) / n**2 for u, (m, n) in zip(served, others, strict=True)
            )
            even = round(min(max(plain**2 / squares, 1.0), len(served)))
            lags = np.abs(np.subtract.outer(np.arange(even), np.arange(even)))
            parts = zip(noise.variation.times, noise.variation.variances, strict=True)
            v = math.log1p(sum(c * float((memory_of(t) ** lags).mean()) for t, c in parts))
            side[bool(mine)].append((math.log((x + 1) / (e + 1)), v, e))

        def mean(rows: list[tuple[float, float, float]], b: float) -> tuple[float, float]:
            weights = [1 / (v + noise.spread / (b * e + 1)) for _, v, e in rows]
            return sum(w * h for w, (h, _, _) in zip(weights, rows, strict=True)) / sum(weights), 1 / sum(weights)

        theirs, v_theirs = mean(side[False], 1.0)
        first, _ = mean(side[True], 1.0)
        ours, v_ours = mean(side[True], math.exp(2 / 3 * min(max(first - theirs, 0.0), 3.5)))
        return ours - theirs, math.sqrt(v_ours + v_theirs)

    def mixture(delta: float, extra: float) -> float:
        total = 0.0
        for start, weight in ((0, 0.5), (10, 0.5 / 5), (20, 0.5 / 6)):
            d, se = contrast(start, extra)
            share = 1.0 if start == 0 else 1.0 / sum(1.0 / k for k in range(5, 53))
            value = ln_half_normal_ratio(np.array([d]), np.array([se]), delta, noise.prior_sd)[0]
            total += weight * share * math.exp(float(value))
        return math.log(total)

    seen = look(tally, margin, noise)
    assert seen.ln_pods == pytest.approx(mixture(0.0, 0.0), abs=1e-9)
    expected = mixture(0.0, points) if points else mixture(math.log(1.25), 0.0)
    assert seen.ln_pods_margin == pytest.approx(expected, abs=1e-9)


def test_interval_is_widened_by_pod_noise_in_squares() -> None:
    tally, noise = a_tally(4, pods=8, ours=3), ASSUMED_NOISE
    seen = look(tally, Margin(1.25), noise)
    x, other = tally.events[:3].sum(axis=0), tally.events[3:].sum(axis=0)
    odds = tally.exposure[:3].sum(axis=0) / tally.exposure[3:].sum(axis=0)
    low, likely, high = share_interval(share_log_likelihood(x, other, odds, THETA_GRID, noise.rho).sum(axis=1))
    loads = [tally.exposure[:3].sum(axis=1), tally.exposure[3:].sum(axis=1)]
    pods = 1.645 * math.sqrt(math.log1p(0.15**2)) * math.sqrt(sum(float((n**2).sum() / n.sum() ** 2) for n in loads))
    assert math.log(seen.high) == pytest.approx(likely + math.sqrt((high - likely) ** 2 + pods**2))
    assert math.log(seen.low) == pytest.approx(likely - math.sqrt((likely - low) ** 2 + pods**2))
    assert seen.ratio == pytest.approx(float(x.sum() / (odds * other).sum()))
