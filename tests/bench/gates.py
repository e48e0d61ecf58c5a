"""Error rates and power of the gates on simulated fleets: `python -m tests.bench.gates --seed N [--releases N]`.

Every release is looked at after every window, as the controller does, and counts as rolled back when any look says
Degraded. Prints one row per world and regression, with a 95 % Clopper-Pearson interval. Not a timed test.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from analysis.assumptions import HEALTHY_MIN_WINDOWS
from analysis.comparisons import Settings, error_settings, latency, latency_settings, ratio
from analysis.engine import look_path
from analysis.samples import Frame, Groups
from analysis.verdict import Verdict
from tests.bench.worlds import (
    ASSUMED,
    BUSY,
    CLEAN,
    HEAVY,
    LOOKS,
    MODERATE,
    QUIET,
    WINDOW,
    Regression,
    World,
    error_release,
    latency_release,
)

SMALL = replace(MODERATE, name="S1 with 4 pods", pods=4, stages=((0, 1), (20, 2), (40, 3)))
ERROR_WORLDS = (CLEAN, ASSUMED, MODERATE, SMALL, HEAVY, QUIET, BUSY)
LATENCY_WORLDS = (CLEAN, MODERATE, BUSY)
HARMLESS = (Regression(), Regression(1.25))
REGRESSIONS = (
    Regression(1.5),
    Regression(2.0),
    Regression(3.0),
    Regression(3.0, onset=24),
    Regression(10.0),
    Regression(10.0, onset=20, one_pod=True),
)

DEFAULT = error_settings()
POINTS = 0.005
IN_POINTS = error_settings(margin_points=POINTS)
POINTS_WORLDS = tuple(
    replace(world, name=f"{world.name}, {100 * base:g} % errors", base=base)
    for base, worlds in ((0.0005, (CLEAN, ASSUMED, MODERATE, SMALL, HEAVY, BUSY)), (0.005, (CLEAN, MODERATE, SMALL)))
    for world in worlds
)
POINTS_HARMLESS = (Regression(), Regression(points=0.5 * POINTS), Regression(points=POINTS))
POINTS_REGRESSIONS = (
    Regression(points=0.01),
    Regression(points=0.03),
    Regression(points=0.03, onset=24),
    Regression(points=0.06, onset=20, one_pod=True),
)


@dataclass(frozen=True, slots=True)
class Fate:
    """When a release was first called Degraded and first Healthy, in looks; None for never."""

    degraded: int | None
    healthy: int | None


def error_fate(rng: np.random.Generator, world: World, wrong: Regression, settings: Settings = DEFAULT) -> Fate:
    """One release under the errorRatio gate, by default with its default settings, looked at after each window."""
    shared = error_release(rng, world, wrong).shared()
    path = look_path(shared, settings.margin, ratio.NOISE, list(range(1, shared.ends.size + 1)))
    # Where traffic is thin, windows without a request of one side are no looks.
    looks = [round(end / WINDOW) for end in shared.ends]
    degraded = next((u for u, one in zip(looks, path, strict=True) if ratio.degraded(one, settings)), None)
    harmless = [
        u for u, one in zip(looks, path, strict=True) if one.high < settings.harm_ratio and not ratio.leaning(one)
    ]
    healthy = next((u for u in harmless if u >= looks[HEALTHY_MIN_WINDOWS - 1]), None)
    return Fate(degraded, healthy)


def latency_fate(rng: np.random.Generator, world: World, *, scale: float, slow_share: float, every: int) -> Fate:
    """One release under the latency gate with its default settings, looked at after every `every` windows."""
    whole = latency_release(rng, world, scale=scale, slow_share=slow_share)
    pods = whole.tally.pods
    groups = Groups(pods[: world.stages[-1][1]], pods[world.stages[-1][1] :], reporting=())
    settings = latency_settings()
    healthy = None
    for u in range(every, LOOKS + 1, every):
        verdict = latency.judge(whole.first(u), settings, Frame(groups, ((0.0, u * WINDOW),), WINDOW)).verdict
        if verdict is Verdict.DEGRADED:
            return Fate(u, healthy)
        if verdict is Verdict.HEALTHY and healthy is None:
            healthy = u
    return Fate(None, healthy)


def clopper_pearson(hits: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a share."""
    tail = (1.0 - level) / 2.0
    low = stats.beta.ppf(tail, hits, trials - hits + 1) if hits else 0.0
    high = stats.beta.ppf(1.0 - tail, hits + 1, trials - hits) if hits < trials else 1.0
    return float(low), float(high)


def row(name: str, wrong: str, fates: list[Fate]) -> str:
    """One line of the table: rolled back with interval, median minutes to it, healthy share, median minutes to it."""
    caught = [f.degraded for f in fates if f.degraded is not None]
    # An early advance counts only while nothing has been called Degraded yet.
    passed = [f.healthy for f in fates if f.healthy is not None and (f.degraded is None or f.healthy < f.degraded)]
    low, high = clopper_pearson(len(caught), len(fates))
    return (
        f"| {name} | {wrong} | {len(fates)} | {len(caught) / len(fates):.4f} [{low:.4f}, {high:.4f}] "
        f"| {_minutes(caught, len(fates))} | {len(passed) / len(fates):.3f} | {_minutes(passed, len(fates))} |"
    )


def _minutes(looks: list[int], trials: int) -> str:
    """Median over all releases, those that never got there counted as never."""
    ordered = sorted(looks) + [math.inf] * (trials - len(looks))
    middle = ordered[(trials - 1) // 2]
    return "never" if middle == math.inf else f"{middle * WINDOW / 60.0:.1f}"


def table(seed: int, releases: int) -> Iterator[str]:
    """All rows; each cell has its own generator, so that cells can be repeated alone."""
    yield "| world | contender | releases | rolled back [95 %] | median min | healthy early | median min |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    cell = 0
    for world in ERROR_WORLDS:
        for wrong in (*HARMLESS, *REGRESSIONS):
            cell += 1
            rng = np.random.default_rng([seed, cell])
            trials = releases if wrong in HARMLESS else max(releases // 5, 1)
            where = ", one pod" if wrong.one_pod else ""
            words = f"errors x{wrong.factor:g} from minute {wrong.onset * WINDOW / 60:g}{where}"
            yield row(world.name, words, [error_fate(rng, world, wrong) for _ in range(trials)])
    for world in LATENCY_WORLDS:
        for scale, slow in ((1.0, 0.0), (1.08, 0.0), (1.15, 0.0), (1.3, 0.0), (2.0, 0.0), (1.0, 0.02)):
            cell += 1
            rng = np.random.default_rng([seed, cell])
            trials = max(releases // (8 if (scale, slow) in ((1.0, 0.0), (1.08, 0.0)) else 40), 1)
            words = f"latency x{scale:g}" if not slow else f"{100 * slow:g} % slow tail"
            fates = [latency_fate(rng, world, scale=scale, slow_share=slow, every=2) for _ in range(trials)]
            yield row(world.name, words, fates)
    for world in POINTS_WORLDS:
        for wrong in (*POINTS_HARMLESS, *POINTS_REGRESSIONS):
            cell += 1
            rng = np.random.default_rng([seed, cell])
            trials = max(releases // (2 if wrong in POINTS_HARMLESS else 10), 1)
            where = ", one pod" if wrong.one_pod else ""
            words = f"{100 * wrong.points:g}pp more from minute {wrong.onset * WINDOW / 60:g}{where}"
            yield row(world.name, words, [error_fate(rng, world, wrong, IN_POINTS) for _ in range(trials)])


def main() -> None:
    """Print the table."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--seed", type=int, required=True)
    flags.add_argument("--releases", type=int, default=2000, help="harmless releases per world (errors)")
    asked = flags.parse_args()
    for line in table(asked.seed, asked.releases):
        print(line, flush=True)


if __name__ == "__main__":
    main()
