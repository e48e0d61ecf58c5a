"""What the band allows for new pods: the arithmetic against scipy, and how often it is wrong once all pods are new."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats

from analysis.assumptions import BAND_HORIZON
from analysis.band import LearnedBand, Opening, evidence, opening
from analysis.band_flaws import flaw
from analysis.band_pods import NOBODY_CAME, PodSpread, Surprise, Turnover, offset_sd, student_nodes, surprise
from analysis.band_tail import Tail
from analysis.band_terms import DAY, HOUR, Series, Unit, restored, transformed
from analysis.comparisons.history import HistoryInput, compare
from analysis.engine import Worse
from analysis.learning.band import learn_band
from analysis.question import latency_settings
from analysis.special import FloatArray
from analysis.verdict import Verdict
from tests.analysis.learning.pasts import cut, past

TAIL = Tail(0.6, 0.3, 300)
STEADY = np.full(BAND_HORIZON, 0.05)
UNEVEN = 0.12 * np.arange(1.0, BAND_HORIZON + 1.0) ** -0.4
FAR_APART = PodSpread(0.4, math.inf)
ALL_NEW = Turnover(6, 0, 6)


def measured(units: FloatArray, pods: PodSpread = FAR_APART, turnover: Turnover = ALL_NEW) -> Surprise:
    """On a plain logarithmic scale, upwards."""
    return surprise(TAIL, units, np.zeros(BAND_HORIZON), Unit.LEVEL, 0.0, pods, turnover, upwards=True)


# ------------------------------------------------------------------------------------------------ whose luck


@pytest.mark.parametrize(
    ("turnover", "weight"),
    [
        (Turnover(6, 0, 6), 1 / 6 + 1 / 6),
        (Turnover(6, 0, 12), 1 / 6 + 1 / 12),
        (Turnover(6, 6, 0), 0.0),
        (Turnover(6, 3, 0), 1 / 3 - 1 / 6),
        (Turnover(0, 0, 4), 0.0),
        (Turnover(4, 0, 0), 0.0),
    ],
)
def test_the_variance_of_an_exchange_of_pods(turnover: Turnover, weight: float) -> None:
    assert turnover.weight == pytest.approx(weight)


@pytest.mark.parametrize("turnover", [Turnover(6, 0, 6), Turnover(6, 2, 5), Turnover(10, 4, 0), Turnover(20, 1, 19)])
def test_the_variance_is_that_of_simulated_fleets(turnover: Turnover) -> None:
    rng = np.random.default_rng(5)
    old = rng.normal(size=(40_000, turnover.before))
    new = rng.normal(size=(40_000, turnover.came))
    serving = np.concatenate([old[:, : turnover.stayed], new], axis=1)
    moved = serving.mean(axis=1) - old.mean(axis=1)
    assert float(moved.var()) == pytest.approx(turnover.weight, rel=0.03)


def test_the_logarithm_of_the_mean_of_lognormal_pods_moves_as_said() -> None:
    rng = np.random.default_rng(6)
    means = np.exp(0.6 * rng.normal(size=(40_000, 2, 6))).mean(axis=2)
    moved = np.log(means[:, 0] / means[:, 1])
    sd = offset_sd(PodSpread(math.expm1(0.6**2), math.inf), Turnover(6, 0, 6))
    assert float(moved.std()) == pytest.approx(sd, rel=0.03)
    for share in (0.05, 0.01, 0.001):
        assert float((moved > sd * stats.norm.isf(share)).mean()) <= 1.1 * share + 3.0 * math.sqrt(share / 40_000)


# ---------------------------------------------------------------------------------------------- the p-value


@pytest.mark.parametrize("freedom", [1.0, 3.0, 5.0, 20.0, math.inf])
def test_nodes_are_a_student_variable(freedom: float) -> None:
    values, weights = student_nodes(freedom)
    law = stats.norm if math.isinf(freedom) else stats.t(freedom)
    assert float(weights.sum()) == pytest.approx(1.0)
    for share in (0.3, 0.05, 0.01, 0.002):
        # A step of the grid is the most that a sum up to a point can be off.
        at = float(law.isf(share))
        above = float(weights[values > at].sum())
        step = float(weights[np.searchsorted(values, at)])
        assert abs(above - share) <= step


@pytest.mark.parametrize("freedom", [5.0, 20.0, math.inf])
@pytest.mark.parametrize("error", [0.3, 0.8, 1.5])
def test_with_even_units_the_p_value_is_a_convolution(freedom: float, error: float) -> None:
    pods = replace(FAR_APART, freedom=freedom)
    nats, at = measured(STEADY, pods).nats(np.array([0.1, error, 0.2]))
    assert at == 1
    law = stats.norm if math.isinf(freedom) else stats.t(freedom)
    sd = offset_sd(pods, ALL_NEW)

    def chance(t: float) -> float:
        return float(law.pdf(t) * TAIL.survival(np.array([(error - sd * t) / 0.05]))[0])

    edge = (error - 0.05 * TAIL.location) / sd
    p = integrate.quad(chance, -60.0, edge, limit=400, points=[0.0])[0] + float(law.sf(edge))
    assert nats == pytest.approx(-math.log(p), abs=0.1)


def test_without_new_pods_it_is_m_and_its_tail() -> None:
    plain = measured(UNEVEN, turnover=NOBODY_CAME)
    error = np.array([0.02, 0.3, 0.1])
    strange = float((error / UNEVEN[:3]).max())
    assert plain.nats(error)[0] == pytest.approx(TAIL.nats(strange))
    assert plain.limit(0.01) == pytest.approx(UNEVEN * TAIL.threshold(0.01))
    # Pods that hardly differ hardly change that.
    close = measured(UNEVEN, PodSpread(1e-8, 20.0))
    assert close.nats(error)[0] == pytest.approx(TAIL.nats(strange), abs=0.02)


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.002])
@pytest.mark.parametrize("units", [STEADY, UNEVEN])
def test_the_limit_is_where_the_p_value_is_alpha(units: FloatArray, alpha: float) -> None:
    measure = measured(units, replace(FAR_APART, freedom=20.0))
    limit = measure.limit(alpha)
    # Never too soon; the luck of pods is a sum over steps, of which the last is the most that it can be late.
    assert 0.0 <= measure.nats(limit)[0] - math.log(1.0 / alpha) < 0.25
    assert measure.nats(0.99 * limit)[0] < math.log(1.0 / alpha)


# More pods, pods that differ less, and a better known spread: each allows less for luck.
def test_what_is_allowed_for_follows_pods_and_knowledge() -> None:
    error = np.array([0.9])
    told = [
        measured(UNEVEN, PodSpread(variance, freedom), Turnover(pods, 0, pods)).nats(error)[0]
        for variance, freedom, pods in (
            (0.4, 5.0, 6),
            (0.4, 20.0, 6),
            (0.4, math.inf, 6),
            (0.4, 20.0, 20),
            (0.1, 20.0, 20),
        )
    ]
    assert told == sorted(told)
    assert told[-1] > told[0] + 3.0


# ------------------------------------------------------------------------------------- how often it is wrong


def wrong(units: FloatArray, pods: PodSpread, turnover: Turnover, alpha: float) -> tuple[float, float]:
    """Share of simulated healthy hours above alpha's threshold at any of twelve looks, with and without the luck of
    pods allowed for. The errors' law is built so that the tail of M is exact for every shape of the units."""
    rng = np.random.default_rng(7)
    hours = 20_000
    largest = TAIL.location + TAIL._slope * rng.exponential(size=hours)
    largest = np.where(rng.random(hours) < 0.2, largest, TAIL.location * rng.random(hours))
    share = rng.random((hours, BAND_HORIZON))
    share[np.arange(hours), rng.integers(0, BAND_HORIZON, hours)] = 1.0
    luck = rng.normal(size=hours) * offset_sd(pods, turnover)
    error = largest[:, None] * share * units + luck[:, None]
    aware, plain = measured(units, pods, turnover), measured(units, pods, NOBODY_CAME)
    limits = aware.limit(alpha), plain.limit(alpha)
    caught, blind = (float((error > limit).any(axis=1).mean()) for limit in limits)
    return caught, blind


@pytest.mark.parametrize("units", [STEADY, UNEVEN, UNEVEN[::-1].copy()])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_healthy_hours_of_new_pods_are_rarely_strange_at_any_look(units: FloatArray, alpha: float) -> None:
    aware, unaware = wrong(units, FAR_APART, ALL_NEW, alpha)
    assert aware <= stats.binom.ppf(0.999, 20_000, alpha) / 20_000
    # Not by giving up: the bound is nearly reached where it can be.
    if units is STEADY:
        assert aware >= 0.6 * alpha
    assert unaware > 8.0 * alpha


def a_world(seed: int, pods: PodSpread) -> tuple[LearnedBand, Series]:
    """A band of two weeks, and the three weeks that they are part of."""
    series = past(21, seed)
    band = learn_band(cut(series, 0, 14 * DAY), Unit.LEVEL, pods=pods)
    assert isinstance(band, LearnedBand)
    return band, series


def test_a_learned_band_keeps_its_promise_when_every_release_draws_its_pods_anew() -> None:
    rng = np.random.default_rng(8)
    fired = {True: 0, False: 0}
    hours = 0
    for seed in range(4):
        band, series = a_world(seed, FAR_APART)
        for origin in range(15 * DAY, 21 * DAY - HOUR, HOUR):
            made = opening(band, cut(series, origin - 26 * HOUR, origin + 1))
            assert isinstance(made, Opening)
            after = series.values[origin + 1 : origin + 13] * math.exp(rng.normal() * offset_sd(band.pods, ALL_NEW))
            hours += 1
            for aware in fired:
                turnover = ALL_NEW if aware else NOBODY_CAME
                # Evidence only grows: the last look knows what every look has said.
                seen = evidence(band, made, after, Worse.HIGHER, turnover=turnover)
                fired[aware] += seen.nats > math.log(100.0)
    assert fired[True] <= stats.binom.ppf(0.999, hours, 0.01)
    assert fired[False] > 0.2 * hours


# ------------------------------------------------------------------------------------------- what it looks like


def test_on_the_scale_of_the_band_an_offset_moves_the_level() -> None:
    band, series = a_world(1, FAR_APART)
    origin = 16 * DAY
    made = opening(band, cut(series, origin - 26 * HOUR, origin + 1))
    assert isinstance(made, Opening)
    measure = surprise(
        TAIL, np.array(made.lower), np.array(made.expected), band.unit, band.offset, FAR_APART, ALL_NEW, upwards=False
    )
    values, _ = student_nodes(math.inf)
    level = restored(np.array(made.expected), band.unit, band.offset)
    for place in (50, 200, 350):
        moved = level * math.exp(-values[place] * offset_sd(FAR_APART, ALL_NEW))
        fallen = transformed(level, band.unit, band.offset) - transformed(moved, band.unit, band.offset)
        assert measure.shift[place] == pytest.approx(fallen)


def test_a_verdict_tells_what_new_pods_do_by_chance() -> None:
    settings = latency_settings()
    told = {}
    for pods in (PodSpread(0.4, 20.0), PodSpread(0.4, math.inf), PodSpread(0.0, math.inf)):
        band, series = a_world(1, pods)
        origin = 16 * DAY
        after = Series(series.start + 300.0 * (origin + 1), 1.6 * series.values[origin + 1 : origin + 7])
        made = opening(band, cut(series, origin - 26 * HOUR, origin + 1))
        told[pods] = compare(HistoryInput(band, made, after, after.end + 30.0, settings, 1.0, ALL_NEW))
    known, assumed, alike = told.values()
    assert alike.verdict is Verdict.DEGRADED
    assert known.verdict is Verdict.UNDECIDED and known.log_evidence < alike.log_evidence
    assert "6 new pods are usually 42 % off by chance" in known.because
    assert "6 new pods are assumed to be 42 % off by chance" in assumed.because
    assert "new pods" not in alike.because
    assert known.effect is not None and alike.effect is not None
    assert (known.effect.high or math.inf) > 1.5 * (alike.effect.high or math.inf)
    assert known.effect.low < 1.0 < alike.effect.low


@pytest.mark.parametrize("pods", [PodSpread(-0.1, 5.0), PodSpread(math.nan, 5.0), PodSpread(0.1, 0.0)])
def test_a_spread_that_cannot_be_is_a_flaw(pods: PodSpread) -> None:
    band, _ = a_world(1, FAR_APART)
    assert flaw(band) == ""
    assert "pods" in flaw(replace(band, pods=pods))
