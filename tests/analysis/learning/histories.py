"""Histories of simulated fleets in which nothing is released, for the tests of learning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.learning import CountHistory, LatencyHistory, ReplayPlan
from analysis.samples import Histogram, Tally
from tests.bench.worlds import Regression, World, as_tally, error_release, latency_release

APART = 10_000.0
"""Seconds between the beginnings of two segments."""


def stages(*targets: int, at_least: int = 20, at_most: int = 20) -> ReplayPlan:
    """A plan with these contender pods per stage, whatever the size of the fleet."""
    return ReplayPlan(lambda pods: targets, at_least, at_most)


PLAN = stages(1, 3, 5)
"""As the simulated releases go."""


def later(tally: Tally, number: int) -> Tally:
    """The same counts as segment `number`."""
    return replace(tally, ends=tally.ends + number * APART)


def idle(world: World) -> World:
    """The world without a release."""
    return replace(world, stages=((0, 0),))


def count_history(seed: int, world: World, segments: int) -> CountHistory:
    """Errors of segments of sixty windows."""
    rng = np.random.default_rng([seed, 1])
    return CountHistory(
        tuple(later(error_release(rng, idle(world), Regression()), number) for number in range(segments))
    )


def latency_history(seed: int, world: World, segments: int) -> LatencyHistory:
    """Buckets of segments of sixty windows."""
    rng = np.random.default_rng([seed, 2])
    drawn = [latency_release(rng, idle(world)) for _ in range(segments)]
    return LatencyHistory(tuple(moved(one, number) for number, one in enumerate(drawn)))


def moved(histogram: Histogram, number: int) -> Histogram:
    """The same buckets as segment `number`."""
    return replace(histogram, tally=later(histogram.tally, number))


def counts(requests: np.ndarray, events: np.ndarray, number: int = 0) -> Tally:
    """Incumbent pods p0, p1, ... with these counts, shape (pods, windows), as segment `number`."""
    names = tuple(f"p{row}" for row in range(requests.shape[0]))
    return later(as_tally(names, requests.astype(np.float64), events.astype(np.float64), 0), number)
