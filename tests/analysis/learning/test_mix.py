"""Route mix: the weights are those of a Poisson fit, and a shift of traffic is not mistaken for a worse version."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize

from analysis.allowance import mixed
from analysis.assumptions import MIX_PRIOR_EVENTS
from analysis.comparisons import error_settings, ratio
from analysis.engine import ASSUMED_NOISE, look_path
from analysis.learned import NotLearned
from analysis.learning.mix import Mix, learned_mix
from analysis.samples import REST, Strata, Tally
from analysis.special import FloatArray
from tests.bench.worlds import as_tally

TIMES = 8.5
"""How many times the errors the paying route has."""


def split(requests: FloatArray, events: FloatArray, names: tuple[str, ...], contenders: int = 0) -> Tally:
    """Counts of shape (strata, pods, windows) as the data layer hands them over."""
    pods = tuple(f"p{i}" for i in range(requests.shape[1]))
    whole = as_tally(pods, requests.sum(axis=0), events.sum(axis=0), contenders)
    return replace(whole, strata=Strata(names, requests, events))


def segment(rng: np.random.Generator, paying: FloatArray, *, contenders: int = 0, harm: float = 1.0) -> Tally:
    """Ten pods of 300 requests a window; `paying` is the share of the route with more errors, per pod and window."""
    pods, windows = paying.shape
    asked = rng.poisson(300.0, (pods, windows))
    pay = rng.binomial(asked, paying)
    requests = np.stack([asked - pay, pay]).astype(np.float64)
    shock = np.exp(0.4 * rng.normal(size=windows))
    worse = np.where(np.arange(pods) < contenders, harm, 1.0)[:, None]
    rates = 0.002 * np.array([1.0, TIMES])[:, None, None] * shock * worse
    return split(requests, rng.poisson(requests * rates).astype(np.float64), ("/browse", "/pay"), contenders)


def known(segments: list[Tally]) -> Mix:
    mix = learned_mix(segments)
    assert not isinstance(mix, NotLearned), mix
    return mix


def test_the_weights_are_the_rates_over_the_rate_of_all() -> None:
    rng = np.random.default_rng(1)
    mix = dict(known([segment(rng, np.full((10, 60), 0.2)) for _ in range(20)]))
    assert mix["/pay"] / mix["/browse"] == pytest.approx(TIMES, rel=0.08)
    assert 0.2 * mix["/pay"] + 0.8 * mix["/browse"] == pytest.approx(1.0, rel=0.01)


def test_the_weights_are_the_likeliest_of_a_poisson_model_with_a_rate_per_window() -> None:
    """Against a general optimiser on a small table, the pull of the prior included."""
    rng = np.random.default_rng(2)
    requests = rng.integers(50, 400, (3, 1, 4)).astype(np.float64)
    rate = np.array([0.01, 0.04, 0.02, 0.1])
    events = rng.poisson(requests * np.array([0.5, 1.0, 4.0])[:, None, None] * rate).astype(np.float64)
    mix = np.array([rho for _, rho in known([split(requests, events, ("a", "b", "c"))])])
    names = [name for name, _ in known([split(requests, events, ("a", "b", "c"))])]
    n, x = (np.stack([table[("a", "b", "c").index(name), 0] for name in names]) for table in (requests, events))

    def loss(parameters: FloatArray) -> float:
        rho, each = np.exp(parameters[:3]), np.exp(parameters[3:])
        mean = n * rho[:, None] * each
        # The prior: so many events seen at ρ = 1 where so many were due.
        prior = MIX_PRIOR_EVENTS * (np.log(rho) - rho).sum()
        return float((mean - x * np.log(mean)).sum() - prior)

    best = optimize.minimize(loss, np.concatenate([np.zeros(3), np.log(rate)]), tol=1e-12)
    rho = np.exp(best.x[:3])
    rho *= n.sum() / float((rho @ n).sum())
    assert mix == pytest.approx(rho, rel=1e-4)


def test_an_hour_with_many_errors_does_not_count_against_the_route_that_is_busy_in_it() -> None:
    """Both routes fail alike, but the second is asked only during incidents."""
    requests = np.array([[[900.0] * 30 + [100.0] * 30], [[100.0] * 30 + [900.0] * 30]])
    rate = np.array([0.002] * 30 + [0.05] * 30)
    mix = dict(known([split(requests, np.random.default_rng(3).poisson(requests * rate).astype(float), ("a", "b"))]))
    assert mix["b"] / mix["a"] == pytest.approx(1.0, abs=0.15)


def test_what_is_beyond_the_ten_largest_is_one_stratum() -> None:
    names = tuple(f"/r{i:02}" for i in range(14))
    requests = np.arange(14, 0, -1.0)[:, None, None] * np.full((14, 2, 5), 100.0)
    mix = known([split(requests, 0.01 * requests, names)])
    assert [name for name, _ in mix] == [*names[:10], REST]
    assert [rho for _, rho in mix] == pytest.approx([1.0] * 11, rel=0.2)


def test_without_strata_or_events_there_is_no_mix() -> None:
    plain = as_tally(("a", "b"), np.full((2, 3), 10.0), np.ones((2, 3)), 1)
    quiet = split(np.full((2, 2, 3), 10.0), np.zeros((2, 2, 3)), ("x", "y"))
    for told, reason in (([plain], "NoStrata"), ([], "NoStrata"), ([quiet], "NoEvents")):
        found = learned_mix(told)
        assert isinstance(found, NotLearned)
        assert found.reason == reason


def test_requests_count_by_their_stratum_and_strangers_as_the_rest() -> None:
    requests = np.array([[[10.0, 0.0]], [[5.0, 2.0]], [[1.0, 4.0]]])
    tally = split(requests, np.zeros((3, 1, 2)), ("a", "b", "new"))
    mix: Mix = (("a", 0.5), ("b", 4.0), (REST, 2.0))
    weighed = mixed(tally, mix)
    assert weighed.exposure.tolist() == [[10 * 0.5 + 5 * 4 + 1 * 2, 2 * 4 + 4 * 2]]
    assert weighed.strata is None
    assert mixed(tally, mix[:2]).exposure.tolist() == [[10 * 0.5 + 5 * 4 + 1, 2 * 4 + 4]]
    assert mixed(tally, ()).exposure.tolist() == tally.exposure.tolist()
    assert mixed(replace(tally, strata=None), mix).exposure.tolist() == tally.exposure.tolist()


def test_a_shift_of_the_mix_is_not_a_worse_version() -> None:
    """30 points more of a route with 8.5 times the errors: without weights most healthy releases are stopped."""
    history_rng, settings = np.random.default_rng(5), error_settings()
    mix = known([segment(history_rng, np.full((10, 60), 0.2)) for _ in range(20)])

    def stopped(harm: float, *, knowing: bool) -> int:
        rng, count = np.random.default_rng(6), 0
        for _ in range(60):
            paying = np.where(np.arange(10) < 3, 0.50, 0.20)[:, None] * np.ones((10, 60))
            tally = segment(rng, paying, contenders=3, harm=harm)
            path = look_path(
                mixed(tally, mix) if knowing else tally, settings.margin, ASSUMED_NOISE, list(range(1, 61))
            )
            count += any(ratio.degraded(seen, settings) for seen in path)
        return count

    assert stopped(1.0, knowing=False) >= 40
    assert stopped(1.0, knowing=True) == 0
    assert stopped(3.0, knowing=True) == 60


def test_the_ratio_of_a_shifted_contender_is_that_of_the_version() -> None:
    rng = np.random.default_rng(7)
    mix = known([segment(rng, np.full((10, 60), 0.2)) for _ in range(20)])
    paying = np.where(np.arange(10) < 5, 0.35, 0.20)[:, None] * np.ones((10, 60))
    tally = segment(rng, paying, contenders=5, harm=1.0)
    plain = look_path(tally, error_settings().margin, ASSUMED_NOISE, [60])[0]
    fair = look_path(mixed(tally, mix), error_settings().margin, ASSUMED_NOISE, [60])[0]
    expected = (0.65 + 0.35 * TIMES) / (0.8 + 0.2 * TIMES)
    assert plain.ratio is not None and fair.ratio is not None
    assert plain.ratio == pytest.approx(expected, rel=0.05)
    assert math.log(fair.ratio) == pytest.approx(0.0, abs=0.06)
