"""Young pods: the curve is found, its likelihood is what it claims to be, and a gate that knows it is not fooled."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats

from analysis.allowance import aged
from analysis.assumptions import AGE_SECONDS
from analysis.learned import AgeCurve, NotLearned, Variation
from analysis.learning.ages import _LN_EXTRA, Ages, Rollout, _likelihood, learned_ages, resampled, youthful
from analysis.samples import Tally
from analysis.special import FloatArray
from tests.bench.worlds import WINDOW, as_tally

WINDOWS = 60


def a_rollout(
    rng: np.random.Generator,
    curve: AgeCurve,
    *,
    new: int = 5,
    old: int = 5,
    rate: float = 3.0,
    pod_sd: float = 0.1,
    worse: float = 1.0,
) -> Rollout:
    """`new` pods born four windows apart beside `old` ones; `rate` events per window of an old pod; shared shocks."""
    born = {f"new-{i}": 4.0 * WINDOW * i for i in range(new)}
    ends: FloatArray = WINDOW * np.arange(1, WINDOWS + 1, dtype=np.float64)
    age = np.array([[end - WINDOW / 2 - since for end in ends] for since in born.values()])
    alive = np.concatenate([age > 0.0, np.ones((old, WINDOWS), dtype=np.bool_)])
    factor = np.concatenate([worse * curve.of(age), np.ones((old, WINDOWS))])
    own = np.exp(pod_sd * rng.normal(size=(new + old, 1)))
    shock = np.exp(0.4 * rng.normal(size=WINDOWS))
    requests = 300.0 * alive
    events = rng.poisson(alive * rate * factor * own * shock).astype(np.float64)
    tally = as_tally((*born, *(f"old-{i}" for i in range(old))), requests, events, new)
    return Rollout(replace(tally, ends=ends), born)


def rollouts(seed: int, curve: AgeCurve, count: int = 8, **how: float) -> list[Rollout]:
    rng = np.random.default_rng(seed)
    return [a_rollout(rng, curve, **how) for _ in range(count)]  # type: ignore[arg-type]


def fitted(told: list[Rollout]) -> Ages:
    ages = learned_ages(told)
    assert isinstance(ages, Ages), ages
    return ages


@pytest.mark.parametrize(
    "truth", [AgeCurve(0.5, 180.0), AgeCurve(2.0, 120.0), AgeCurve(-0.4, 300.0), AgeCurve(0.0, 60.0)]
)
def test_the_curve_is_found(truth: AgeCurve) -> None:
    found = fitted(rollouts(1, truth, 30, rate=10.0)).curve
    ages = np.array([15.0, 60.0, 120.0, 240.0, 480.0, 960.0])
    assert np.log(found.of(ages)) == pytest.approx(np.log(truth.of(ages)), abs=0.08)


def test_a_version_that_was_worse_for_good_does_not_pass_for_a_long_youth() -> None:
    curve = fitted(rollouts(2, AgeCurve(0.0, 60.0), 12, worse=1.3, rate=10.0)).curve
    assert curve.of(np.array([600.0]))[0] == pytest.approx(1.0, abs=0.12)


def test_resampled_curves_spread_as_far_as_another_past_would() -> None:
    truth, age = AgeCurve(0.5, 180.0), np.array([60.0])
    told = [fitted(rollouts(seed, truth)).curve.of(age)[0] for seed in range(60)]
    refits = [fitted(rollouts(seed, truth)).resampled([seed, 0]).of(age)[0] for seed in range(60)]
    between, inside = float(np.std(np.log(told))), float(np.std(np.log(np.array(refits) / np.array(told))))
    assert 0.6 * between <= inside <= 2.5 * between
    assert np.mean(np.log(told)) == pytest.approx(math.log(truth.of(age)[0]), abs=0.06)


def test_the_same_seed_draws_the_same_curve() -> None:
    told = rollouts(3, AgeCurve(0.5, 180.0))
    ages = fitted(told)
    assert ages.resampled(7) == ages.resampled(7) == resampled(told, 7)
    assert ages.curves(3, 5) == (ages.curve, *(ages.resampled([5, k]) for k in range(3)))
    assert len({ages.resampled(k) for k in range(8)}) > 1


def test_too_little_to_learn_from_has_a_reason() -> None:
    truth = AgeCurve(0.5, 180.0)
    few = learned_ages(rollouts(4, truth, 2))
    assert isinstance(few, NotLearned) and few.reason == "TooFewRollouts"
    quiet = learned_ages(rollouts(4, truth, 3, rate=0.01))
    assert isinstance(quiet, NotLearned) and quiet.reason == "TooFewEvents"
    unknown = [replace(one, born={}) for one in rollouts(4, truth, 5)]
    nobody = learned_ages(unknown)
    assert isinstance(nobody, NotLearned) and nobody.reason == "TooFewRollouts"
    assert resampled([], 1) == AgeCurve(0.0, AGE_SECONDS[0])


def test_the_likelihood_integrates_the_lasting_effect_of_a_pod_out() -> None:
    """Against the integral over a Gamma-distributed effect, up to what does not depend on the curve."""
    x, e = np.array([[9.0, 6.0, 4.0, 5.0]]), np.array([[4.0, 4.0, 4.0, 4.0]])
    ages = np.array([30.0, 120.0, 300.0, 900.0])
    table = _likelihood(x, e, ages, 1.0)[0]
    shape = 1.0 / 0.15**2

    def integral(seconds: float, extra: float) -> float:
        w = 1.0 + extra * np.exp(-ages / seconds)

        def density(effect: float) -> float:
            return float(
                np.prod(stats.poisson.pmf(x[0], e[0] * w * effect)) * stats.gamma.pdf(effect, shape, scale=1 / shape)
            )

        return math.log(integrate.quad(density, 0.2, 3.0, epsabs=0.0)[0])

    places = [(0, 10), (2, 40), (3, 60), (5, 77)]
    found = np.array([table[time, place] for time, place in places])
    exact = np.array([integral(AGE_SECONDS[time], math.expm1(_LN_EXTRA[place])) for time, place in places])
    # One pod and four bins leave no freedom to see dispersion: φ is 1.
    assert found - found[0] == pytest.approx(exact - exact[0], abs=1e-6)


def test_boundaries_of_one_histogram_weigh_once_and_share_one_curve() -> None:
    """Youth multiplies latency; the share above a boundary answers with its own slope."""
    truth = AgeCurve(0.3, 180.0)
    layers = []
    for seed in range(12):
        for power, rate in ((0.6, 60.0), (2.5, 4.0)):
            one = a_rollout(np.random.default_rng([seed, int(10 * power)]), AgeCurve(0.0, 60.0), rate=rate)
            born, tally = one.born, one.tally
            age = np.array([[end - WINDOW / 2 - born.get(pod, -math.inf) for end in tally.ends] for pod in tally.pods])
            rng = np.random.default_rng([seed, 99])
            more = rng.poisson(tally.events * (truth.of(age) ** power - 1.0))
            layers.append((seed, Rollout(replace(tally, events=tally.events + more), born, power)))
    shared = {seed: one.born for seed, one in layers}
    told = [replace(one, born=shared[seed]) for seed, one in layers]
    found = fitted(told)
    assert set(found.rollout) == set(range(12))
    at = np.array([60.0, 240.0])
    assert np.log(found.curve.of(at)) == pytest.approx(np.log(truth.of(at)), abs=0.06)


def test_exposure_is_weighed_by_the_age_at_the_middle_of_the_window() -> None:
    tally = as_tally(("new", "old"), np.full((2, 4), 100.0), np.zeros((2, 4)), 1)
    curve = AgeCurve(1.0, 60.0)
    weighed = aged(tally, {"new": 15.0}, curve).exposure
    assert weighed[1].tolist() == [100.0] * 4
    assert weighed[0] == pytest.approx([100.0 * (1.0 + math.exp(-30.0 * k / 60.0)) for k in range(4)])
    steep = aged(tally, {"new": 15.0}, curve, power=3.0, most=4.0).exposure
    assert steep[0] == pytest.approx([100.0 * min((1.0 + math.exp(-0.5 * k)) ** 3, 4.0) for k in range(4)])
    assert aged(tally, {}, curve).exposure.tolist() == tally.exposure.tolist()


def noisy(rng: np.random.Generator, pods: int, sd: float, factor: float) -> tuple[FloatArray, FloatArray]:
    """(events of grown-up pods, events of pods whose own rate is `factor` times theirs), pod noise lasting."""
    own = np.exp(sd * rng.normal(size=(pods, 1)) - sd**2 / 2)
    return (
        rng.poisson(6.0 * own, (pods, 20)).astype(np.float64),
        rng.poisson(6.0 * factor * own, (pods, 20)).astype(np.float64),
    )


def test_made_young_a_pod_keeps_its_noise() -> None:
    rng = np.random.default_rng(8)
    old, young = noisy(rng, 4000, 0.4, 3.0)
    variation = Variation((math.inf,), (math.expm1(0.4**2),))
    served, factor = np.full(old.shape, 1200.0), np.full(old.shape, 3.0)
    made = youthful(served, old, np.full((1, 20), 0.005), factor, variation, rng)
    thin = youthful(served, old, np.full((1, 20), 0.005), factor, None, rng)

    def spread(events: FloatArray) -> float:
        return float(np.log(events.sum(axis=1)).std())

    assert made.mean() == pytest.approx(young.mean(), rel=0.02)
    assert spread(made) == pytest.approx(spread(young), rel=0.12)
    # Events added at the rate of all pods would have thinned the noise out, to a third of it.
    assert spread(thin) < 0.6 * spread(young)


def test_made_young_with_fewer_events_they_are_thinned() -> None:
    rng = np.random.default_rng(9)
    old, _ = noisy(rng, 500, 0.2, 1.0)
    fewer = youthful(np.full(old.shape, 1200.0), old, np.full((1, 20), 0.005), np.full(old.shape, 0.4), None, rng)
    assert (fewer <= old).all()
    assert fewer.sum() == pytest.approx(0.4 * old.sum(), rel=0.03)


def release(rng: np.random.Generator, curve: AgeCurve, harm: float) -> tuple[Tally, dict[str, float]]:
    """One contender pod born at the start beside nine old ones."""
    one = a_rollout(rng, curve, new=1, old=9, rate=30.0, worse=harm)
    return one.tally, dict(one.born)


def test_a_newborn_contender_is_not_mistaken_for_a_worse_one() -> None:
    """Without the curve the assumed gate stops healthy releases of pods that are born with five times the errors."""
    from analysis.comparisons import error_settings, ratio
    from analysis.engine import ASSUMED_NOISE, look_path

    curve, settings = AgeCurve(4.0, 300.0), error_settings()

    def stopped(harm: float, *, knowing: bool) -> int:
        rng, count = np.random.default_rng(10), 0
        for _ in range(60):
            tally, born = release(rng, curve, harm)
            fair = aged(tally, born, curve) if knowing else tally
            path = look_path(fair, settings.margin, ASSUMED_NOISE, list(range(1, 61)))
            count += any(ratio.degraded(seen, settings) for seen in path)
        return count

    assert stopped(1.0, knowing=False) >= 55
    assert stopped(1.0, knowing=True) <= 2
    assert stopped(3.0, knowing=True) >= 57
