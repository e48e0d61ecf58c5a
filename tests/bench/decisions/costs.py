"""What deciding costs: CPU time of a look, of a calibration and of learning a band, and memory for many apps.

Times are CPU time of this process, the median of several runs; memory is that of a process of its own.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from analysis.band_terms import Series, Unit
from analysis.comparisons import latency, ratio
from analysis.learned import NotLearned
from analysis.learning.band import learn_band
from analysis.question import latency_settings
from analysis.samples import Frame, Groups
from tests.bench.decisions import fleets, learners
from tests.bench.decisions.fleets import NOW, Harm, Slowness
from tests.bench.decisions.rows import OURS, Row
from tests.bench.worlds import LOOKS, MODERATE, WINDOW

GROUP = "costs"
APPS = 100
SEGMENTS = 84


def run(seed: int, *, quick: bool) -> list[Row]:
    """All rows of this group."""
    rng = np.random.default_rng([seed, 1])
    repeats = 3 if quick else 9
    return [*_looks(rng, repeats), *_learning(rng, 3 if quick else 5), *_memory()]


def _looks(rng: np.random.Generator, repeats: int) -> list[Row]:
    """The last look of a release, verdict and sentences included, counts at hand."""
    layout = fleets.release_layout(MODERATE)
    drawn = fleets.draw(rng, MODERATE, layout, repeats)
    counts = fleets.errors(rng, drawn, Harm())
    slow = fleets.latencies(rng, drawn, Slowness())
    groups = Groups(layout.names[: layout.contenders], layout.names[layout.contenders :], reporting=())
    frame = Frame(groups, ((NOW, NOW + LOOKS * WINDOW),), WINDOW)
    errors = learners.learned_errors(fleets.history(rng, MODERATE, 20), rng).learned
    slowness = learners.learned_latency(fleets.slow_history(rng, MODERATE, 20), rng).learned
    settings = latency_settings()
    tallies = [counts.tally(number) for number in range(repeats)]
    histograms = [slow.histogram(number) for number in range(repeats)]
    return [
        _timed(
            "a look of errorRatio", "ms", [partial(ratio.judge, t, learners.SETTINGS, frame, errors) for t in tallies]
        ),
        _timed("a look of latency", "ms", [partial(latency.judge, h, settings, frame, slowness) for h in histograms]),
    ]


def _learning(rng: np.random.Generator, repeats: int) -> list[Row]:
    """Learning from 28 nights, simulated: one gate each, and a band of 28 days at five-minute steps."""
    histories = [fleets.history(rng, MODERATE, SEGMENTS) for _ in range(repeats)]
    slow = fleets.slow_history(rng, MODERATE, SEGMENTS)
    every = [a_series(rng) for _ in range(repeats)]
    return [
        _timed(
            "calibration of errorRatio, 84 segments", "s", [partial(learners.learned_errors, h, rng) for h in histories]
        ),
        _timed("calibration of latency, 84 segments", "s", [partial(learners.learned_latency, slow, rng)]),
        _timed("learning the band of 28 days", "s", [partial(_band, one) for one in every]),
    ]


def a_series(rng: np.random.Generator, days: int = 28) -> Series:
    """Requests per second of an app with a day, a week and noise that remembers, every five minutes."""
    at = np.arange(288 * days)
    noise = np.zeros(at.size)
    for k, fresh in enumerate(rng.normal(size=at.size) * 0.05):
        noise[k] = 0.9 * noise[k - 1] + fresh if k else fresh
    level = 4.0 + 0.6 * np.sin(2 * math.pi * at / 288) - 0.3 * ((at // 288) % 7 >= 5) + noise
    return Series(0.0, np.exp(level))


def _band(series: Series) -> None:
    learned = learn_band(series, Unit.LEVEL)
    if isinstance(learned, NotLearned):
        raise TypeError(f"the band of a long series was not learned: {learned.detail}")


GOALS = {"a look": "<= 1", "calibration": "<= 2", "learning": "<= 1"}


def _timed(what: str, unit: str, actions: Sequence[Callable[[], object]]) -> Row:
    goal = next(goal for words, goal in GOALS.items() if what.startswith(words))
    actions[0]()  # the first run imports and warms up
    times = []
    for action in actions:
        began = time.process_time()
        action()
        times.append((time.process_time() - began) * (1000.0 if unit == "ms" else 1.0))
    figure = f"median CPU {unit}"
    return Row(GROUP, what, OURS, figure, float(np.median(times)), min(times), max(times), len(times), goal)


def _memory() -> list[Row]:
    """Memory above numpy of a process that has learned and judged for so many apps, all results kept."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.decisions.apps", str(APPS)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"the process that holds {APPS} apps ended with {done.returncode}: {done.stderr[-500:]}")
    used, most, kept = done.stdout.split()
    what = f"analysis of {kept} apps"
    return [
        Row(GROUP, what, OURS, "MB above numpy", float(used), n=int(kept), goal="<= 40"),
        Row(GROUP, what, OURS, "MB above numpy at most, while learning", float(most), n=int(kept)),
    ]
