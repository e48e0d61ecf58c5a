"""The promises themselves, by simulation with a look after every window: thresholds learned, releases never seen.

Fleets differ from one release to the next as their worlds say; the new pods have effects of their own.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from analysis.comparisons import error_settings, latency_settings
from analysis.contrast import Releases
from analysis.engine import Margin, traces
from analysis.learned import LearnedCounts, LearnedLatency
from analysis.learning import learn
from analysis.learning.tails import clopper_pearson
from analysis.samples import Tally
from analysis.special import FloatArray, log_sum_exp
from tests.analysis.learning.histories import PLAN, count_history, latency_history
from tests.bench.worlds import (
    CLEAN,
    HEAVY,
    MODERATE,
    WINDOW,
    Regression,
    World,
    error_release,
    latency_release,
)

ALPHA = 0.01
NEVER = 10_000


def side_by_side(tallies: list[Tally]) -> Releases:
    """Releases of one world; all their windows are shared where traffic is not thin."""
    exposure, events = (np.stack([getattr(one, name) for one in tallies]) for name in ("exposure", "events"))
    assert (exposure[:, tallies[0].contender].sum(axis=1) > 0.0).all()
    return Releases(tallies[0].contender, exposure, events, WINDOW)


def first_stop(joined: FloatArray, margin: FloatArray, learned: LearnedCounts | LearnedLatency) -> np.ndarray:
    """The look at which each release is stopped, NEVER for never."""
    over = (joined > learned.calibration.change) & (margin > learned.calibration.margin)
    return np.where(over.any(axis=1), np.argmax(over, axis=1) + 1, NEVER)


@cache
def learned_errors(world: World, segments: int, number: int) -> LearnedCounts:
    history = {"e": count_history(700 + number, world, segments)}
    found = learn(history, {"e": error_settings()}, PLAN, alpha=ALPHA, pause_alpha=0.05, seed=number)["e"]
    assert isinstance(found, LearnedCounts)
    return found


def error_stops(world: World, wrong: Regression, *, histories: int, releases: int, segments: int = 60) -> np.ndarray:
    """First stops of new releases, each history judging its own."""
    out = []
    for number in range(histories):
        learned = learned_errors(world, segments, number)
        rng = np.random.default_rng([number, 9, round(100 * wrong.factor), wrong.onset])
        batch = side_by_side([error_release(rng, world, wrong) for _ in range(releases)])
        found = traces(batch, Margin(1.25), learned.noise)
        out.append(first_stop(learned.calibration.joined(found.ln_pods, found.ln_counts), found.ln_margin, learned))
    return np.concatenate(out)


@pytest.mark.parametrize("world", [CLEAN, MODERATE, HEAVY], ids=lambda world: world.name[:2])
def test_few_healthy_releases_are_stopped_under_peeking(world: World) -> None:
    stops = error_stops(world, Regression(), histories=5, releases=160)
    assert clopper_pearson(int((stops < NEVER).sum()), stops.size)[0] <= ALPHA
    assert (stops < NEVER).mean() <= 2.0 * ALPHA


def test_twenty_segments_are_enough_to_keep_the_promise() -> None:
    stops = error_stops(MODERATE, Regression(), histories=6, releases=100, segments=20)
    assert clopper_pearson(int((stops < NEVER).sum()), stops.size)[0] <= ALPHA


def test_a_change_at_the_margin_is_rarely_stopped() -> None:
    stops = error_stops(MODERATE, Regression(1.25), histories=5, releases=60)
    assert clopper_pearson(int((stops < NEVER).sum()), stops.size)[0] <= 0.10


@pytest.mark.parametrize(
    ("world", "wrong", "least", "minutes"),
    [
        (CLEAN, Regression(2.0), 0.98, 8.0),
        (MODERATE, Regression(3.0), 0.98, 8.0),
        (MODERATE, Regression(10.0), 0.99, 1.5),
        (MODERATE, Regression(3.0, onset=24), 0.95, 6.0),
        (HEAVY, Regression(3.0), 0.70, 22.0),
    ],
    ids=lambda value: str(value)[:24],
)
def test_harm_is_stopped_in_time(world: World, wrong: Regression, least: float, minutes: float) -> None:
    stops = error_stops(world, wrong, histories=5, releases=30)
    assert (stops < NEVER).mean() >= least
    assert float(np.median(stops - wrong.onset)) * WINDOW / 60.0 <= minutes


def latency_stops(learned: LearnedLatency, seed: int, releases: int, *, scale: float, slow: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drawn = [latency_release(rng, MODERATE, scale=scale, slow_share=slow) for _ in range(releases)]
    each = []
    for bound in learned.boundaries:
        index = int(np.argmin(np.abs(drawn[0].boundaries - bound.seconds)))
        batch = side_by_side([one.above(index) for one in drawn])
        each.append(traces(batch, Margin(math.exp(bound.margin)), bound.noise))
    first, second = (
        log_sum_exp(np.stack(values, axis=-1)) - math.log(len(each))
        for values in ([one.ln_pods for one in each], [one.ln_counts for one in each])
    )
    scaled = [
        (one.ln_margin - bound.scale.location) / bound.scale.spread
        for one, bound in zip(each, learned.boundaries, strict=True)
    ]
    return first_stop(learned.calibration.joined(first, second), np.max(np.stack(scaled), axis=0), learned)


def test_latency_keeps_both_promises_and_sees_a_shift_and_a_slow_tail() -> None:
    found = learn(
        {"l": latency_history(800, MODERATE, 40)},
        {"l": latency_settings()},
        PLAN,
        alpha=ALPHA,
        pause_alpha=0.05,
        seed=1,
    )["l"]
    assert isinstance(found, LearnedLatency)
    healthy = latency_stops(found, 1, 150, scale=1.0, slow=0.0)
    assert clopper_pearson(int((healthy < NEVER).sum()), healthy.size)[0] <= ALPHA
    inside = latency_stops(found, 2, 60, scale=1.08, slow=0.0)
    assert clopper_pearson(int((inside < NEVER).sum()), inside.size)[0] <= 0.10
    worse = latency_stops(found, 3, 30, scale=1.3, slow=0.0)
    assert (worse < NEVER).all()
    assert np.median(worse) <= 22
    assert (latency_stops(found, 4, 30, scale=1.0, slow=0.02) < NEVER).mean() >= 0.9
