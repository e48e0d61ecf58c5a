"""A process that has analysed many apps, with nothing loaded but numpy and the analysis: `python -m ... N`.

Prints its resident memory above that of numpy alone, and the most that it ever was, in MB. Every app has an errorRatio
gate, a latency gate and a band, each learned, and one look at a release of half an hour with ten pods. The gates of one
app in ten are learned from history and those of the others are copies of these: what is kept is what counts.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BOUNDS = np.array([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
SHARES = np.array([0.99, 0.97, 0.93, 0.72, 0.39, 0.08, 0.011, 0.0008, 0.0001, 0.00001, 0.0])
"""Share of requests slower than each bound: log-normal, median 80 ms."""
PODS, LOOKS, WINDOW, SEGMENTS = 10, 60, 30.0, 84


def memory(field: str) -> float:
    """A size that the kernel tells of this process, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(f"/proc does not say {field}")


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays in memory of one app between looks."""

    learned: object
    band: object
    evidence: object


def analysed(apps: int, seed: int) -> list[Kept]:
    """What is kept of so many apps."""
    from analysis.band_terms import Series, Unit
    from analysis.comparisons import latency, ratio
    from analysis.learning import CountHistory, History, LatencyHistory, ReplayPlan, learn
    from analysis.learning.band import learn_band
    from analysis.question import error_settings, latency_settings
    from analysis.samples import Frame, Groups, Histogram, Tally
    from analysis.verdict import Freshness

    rng = np.random.default_rng(seed)
    plan = ReplayPlan(lambda pods: (1, 3, 5), 20, 20)
    settings = {"errors": error_settings(), "latency": latency_settings()}

    def counts(begin: float, contenders: int) -> tuple[Tally, Histogram]:
        n = rng.poisson(300.0, (PODS, LOOKS)).astype(np.float64)
        x = rng.binomial(n.astype(np.int64), 0.005 * np.exp(0.1 * rng.normal(size=(PODS, 1)))).astype(np.float64)
        ends = begin + WINDOW * np.arange(1.0, LOOKS + 1.0)
        names = tuple(f"pod-{begin:.0f}-{pod}" for pod in range(PODS))
        mine, fresh = np.arange(PODS) < contenders, Freshness(float(ends[-1]), LOOKS)
        tally = Tally(names, mine, n, x, n > 0.0, ends, WINDOW, fresh)
        slower = np.minimum.accumulate(np.stack([rng.binomial(n.astype(np.int64), p) for p in SHARES]), axis=0)
        return tally, Histogram(
            BOUNDS, slower.astype(np.float64), Tally(names, mine, n, x * 0.0, n > 0.0, ends, WINDOW, fresh)
        )

    kept: list[Kept] = []
    for app in range(apps):
        if app % 10 == 0:
            past = [counts(7200.0 * k, 0) for k in range(SEGMENTS)]
            histories: dict[str, History] = {
                "errors": CountHistory(tuple(tally for tally, _ in past)),
                "latency": LatencyHistory(tuple(histogram for _, histogram in past)),
            }
            learned = learn(histories, settings, plan, alpha=0.01, pause_alpha=0.05, seed=app)
            del past, histories
            at = np.arange(288 * 28)
            band = learn_band(
                Series(0.0, np.exp(4.0 + 0.5 * np.sin(at / 45.8) + 0.1 * rng.normal(size=at.size))), Unit.LEVEL
            )
        tally, histogram = counts(1e7, 3)
        frame = Frame(Groups(tally.pods[:3], tally.pods[3:], reporting=()), ((1e7, 1e7 + LOOKS * WINDOW),), WINDOW)
        told = (
            ratio.judge(tally, settings["errors"], frame, learned["errors"]),
            latency.judge(histogram, settings["latency"], frame, learned["latency"]),
        )
        kept.append(Kept(copy.deepcopy(learned), copy.deepcopy(band), told))
    return kept


def main() -> None:
    """Prints both figures, and for how many apps."""
    np.random.default_rng(0).normal(size=(200, 200)) @ np.ones((200, 200))
    before = memory("VmRSS")
    kept = analysed(int(sys.argv[1]), seed=1)
    print(memory("VmRSS") - before, memory("VmHWM") - before, len(kept))


if __name__ == "__main__":
    main()
