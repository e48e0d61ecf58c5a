"""Baselines, histories and stores for the tests of learning."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from analysis.learned import (
    AgeCurve,
    Calibration,
    Guarantee,
    LearnedBoundary,
    LearnedCounts,
    LearnedLatency,
    LearnedLevels,
    Noise,
    NotLearned,
    Scale,
    Standing,
    Variation,
)
from analysis.samples import CounterSeries
from controller.baseline import Baseline, Excluded, Likeness, Present, learning_digest
from controller.learning.asks import (
    Alerts,
    FetchAlerts,
    FetchLevels,
    FetchPods,
    FetchPresence,
    PodSeries,
    Presence,
    Scope,
    Unfetched,
    Why,
)
from controller.requests.fetches import FetchTotals, Totals
from policies.schema import ReleasePolicy, Selector
from tests.policies.builders import a_policy

NOW = 1_790_000_000.0 // 86_400.0 * 86_400.0 + 7_200.0
DAY = 86_400.0
WINDOW = 30.0

_BOUNDS = ("0.05", "0.1", "0.25", "0.5", "1")
NOISE = Noise(Variation((math.inf, 1.5), (0.0225, 0.1)), 0.03)
CALIBRATION = Calibration(Scale(0.5, 1.2), Scale(-0.8, 0.7), 4.87434, 1.35659, 2.8)
STANDING = Standing(Guarantee.CALIBRATED, 0.01, 84, 504, (0.0, 0.043))
COUNTS = LearnedCounts(
    NOISE, 0.005, CALIBRATION, STANDING, AgeCurve(0.5, 120.0), (("/pay", 1.4), ("*", 0.9)), (0.5, 1.4)
)
LATENCY = LearnedLatency(
    (LearnedBoundary(0.1, 0.39, 0.2, 0.05, replace(NOISE, spread=0.61), Scale(0.1, 0.4)),),
    CALIBRATION,
    replace(STANDING, guarantee=Guarantee.NOISE_CHANGED),
)
LEVELS = LearnedLevels(tuple(18.0 + 0.01 * n for n in range(40)), 0.02, 0.0, CALIBRATION, STANDING)


def a_baseline(policy: ReleasePolicy | None = None, **fields: Any) -> Baseline:
    """One of every kind, learned a moment ago."""
    standard: dict[str, Any] = {
        "digest": learning_digest(policy if policy is not None else a_policy(), WINDOW),
        "learned_at": NOW - 60.0,
        "window": WINDOW,
        "start": NOW - 28 * DAY,
        "end": NOW - 60.0,
        "coverage": 0.98,
        "excluded": (Excluded(NOW - 5 * DAY, NOW - 4.9 * DAY, "rollout of checkout-6c7d8f9b54"),),
        "gates": {"errors": COUNTS, "latency": LATENCY, "memory": LEVELS, "orders": NotLearned("TooFewPods", "1 pod")},
        "bands": {"errors": NotLearned("TooLittleHistory", "2.0 usable days of 2.1")},
        "present": Present("uid-1", NOW - 30.0, {"errors": Likeness.SAME, "latency": Likeness.CHANGED}),
    }
    return Baseline(**(standard | fields))


@dataclass
class Store:
    """A metric store in memory: one fleet whose pods differ by `pod_sd`, or the answer that a test gives instead.

    The counters are functions of time, so that any stretch may be asked for. pods: by ReplicaSet, with the span in
    which it served.
    """

    begin: float = NOW - 7 * DAY
    replica_sets: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: {"checkout-6c7d8f9b54": (NOW - 7 * DAY, math.inf)}
    )
    pods: int = 6
    pod_sd: float = 0.1
    rate: float = 20.0
    errors: float = 0.005
    level_sd: float = 0.1
    young: float = 0.0  # extra errors, and extra latency, of a newborn pod; gone with two minutes
    bend: Callable[[CounterSeries], CounterSeries] = lambda one: one
    answer: Callable[[Any], Unfetched | None] = lambda _: None
    diagnosis: Unfetched | None = None
    firing: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)

    def presence(self, ask: FetchPresence) -> Presence | Unfetched:
        self.asked.append(ask)
        if (instead := self.answer(ask)) is not None:
            return instead
        found = {}
        for name, (begin, end) in self.replica_sets.items():
            instants = _instants(ask.stretch.start, ask.stretch.end, ask.stretch.step)
            there = tuple((at, self.pods) for at in instants if max(begin, self.begin) <= at <= end)
            if there:
                found[name] = there
        return Presence(found)

    def pods_of(self, ask: FetchPods | FetchLevels) -> list[CounterSeries]:
        """One series per pod (and bucket), bent as the test wants."""
        out = []
        for name, (begin, end) in self.replica_sets.items():
            for number in range(self.pods):
                instants = _instants(ask.stretch.start, ask.stretch.end, ask.stretch.step)
                times = tuple(at for at in instants if max(begin, self.begin) <= at <= end)
                if times:
                    ages = np.array(times) - max(begin, self.begin)
                    out += self._series(f"{name}-{'bcdfghjklmnpqrst'[number] * 5}", times, ages, ask)
        return [self.bend(one) for one in out]

    def _series(
        self, pod: str, times: tuple[float, ...], ages: Any, ask: FetchPods | FetchLevels
    ) -> list[CounterSeries]:
        rng = np.random.default_rng(zlib.crc32(pod.encode()))
        own = rng.standard_normal()
        rng = np.random.default_rng((zlib.crc32(pod.encode()), int(times[0])))
        if isinstance(ask, FetchLevels):
            values = 1e8 * np.exp(self.level_sd * own + 0.01 * rng.standard_normal(len(times)))
            return [CounterSeries(pod, None, times, tuple(values.tolist()))]
        w = 1.0 + self.young * np.exp(-ages / 120.0)
        served = rng.poisson(self.rate * ask.stretch.step, len(times))
        # Where a counter stood before is a number that every question finds the same.
        whole = 1e6 + np.cumsum(served)
        if ask.term == "buckets":
            return [self._bucket(pod, le, times, served, w * math.exp(0.03 * own), rng) for le in _BOUNDS] + [
                CounterSeries(pod, "+Inf", times, tuple(whole.astype(float).tolist()))
            ]
        share = np.minimum(self.errors * math.exp(self.pod_sd * own) * w, 0.9)
        counted = 1e4 + np.cumsum(rng.binomial(served, share)) if ask.term == "errors" else whole
        return [CounterSeries(pod, None, times, tuple(counted.astype(float).tolist()))]

    def _bucket(self, pod: str, le: str, times: Any, served: Any, slower: Any, rng: Any) -> CounterSeries:
        """Requests at most `le` seconds long: log-normal, median 80 ms, log sd .8, times `slower`."""
        z = (math.log(float(le) / 0.08) - np.log(slower)) / 0.8
        below = rng.binomial(served, [0.5 * math.erfc(-each / math.sqrt(2.0)) for each in z])
        return CounterSeries(pod, le, times, tuple((5e5 + np.cumsum(below)).astype(float).tolist()))

    def pods_answer(self, ask: FetchPods | FetchLevels) -> PodSeries | Unfetched:
        self.asked.append(ask)
        instead = self.answer(ask)
        return instead if instead is not None else PodSeries(tuple(self.pods_of(ask)))

    def totals(self, ask: FetchTotals) -> Totals | Unfetched:
        self.asked.append(ask)
        if (instead := self.answer(ask)) is not None:
            return instead
        times = [at for at in _instants(ask.start, ask.end, ask.step) if at >= self.begin]
        rng = np.random.default_rng(5)
        values = self.errors * np.exp(0.2 * rng.standard_normal(len(times)))
        return Totals(tuple(times), tuple(values.tolist()))

    def alerts(self, ask: FetchAlerts) -> Alerts | Unfetched:
        self.asked.append(ask)
        instead = self.answer(ask)
        return instead if instead is not None else Alerts(self.firing)

    def diagnose(self, scope: Scope, gate: str, selector: Selector, at: float, fresh: float) -> Unfetched | None:
        return self.diagnosis


class Past:
    """The store under the names that the learner uses."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.presence = store.presence
        self.pods = store.pods_answer
        self.totals = store.totals
        self.alerts = store.alerts
        self.diagnose = store.diagnose


def silent(_: Any) -> Unfetched:
    """What a store answers that does not answer."""
    return Unfetched(Why.UNREACHABLE, "source default: no connection")


def _instants(start: float, end: float, step: float) -> list[float]:
    return [start + step * k for k in range(int((end - start) / step + 1e-6) + 1)]
