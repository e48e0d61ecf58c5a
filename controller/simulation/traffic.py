"""Requests on their way to pods, the pods' own counters, and the metric store that scrapes them.

The load is shared equally by the pods that serve. Counters are whole numbers that a process keeps: requests, errors
and the buckets of a latency histogram; a container that restarts begins at zero, and an error counter does not exist
before its first error, as with the usual client libraries. A store scrapes every running pod at aligned instants and
answers `FetchCounts` from nothing but its samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from analysis.samples import CounterSeries
from controller.requests import Counts, Failure, FailureKind, FetchCounts

FloatArray = npt.NDArray[np.float64]

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, math.inf)
LE = tuple("+Inf" if math.isinf(bound) else f"{bound:g}" for bound in BOUNDS)
_MEDIAN, _SPREAD = 0.08, 0.7  # seconds, and the standard deviation of its logarithm: a log-normal response time
_COLUMNS = 2 + len(BOUNDS)  # requests, errors, buckets
_MEMORY = 0.6  # AR(1) memory of the window noise, from one scrape to the next


@dataclass(frozen=True, slots=True)
class Noise:
    """What healthy pods differ by: standard deviations of the log error odds, between pods and between scrapes."""

    pod: float = 0.08
    window: float = 0.10


QUIET = Noise(0.0, 0.0)


@cache
def latency_shares(scale: float) -> FloatArray:
    """The share of requests in each bucket (not cumulative), for response times `scale` times the ordinary ones."""
    upper = [
        0.5 * (1.0 + math.erf((math.log(bound / (_MEDIAN * scale))) / (_SPREAD * math.sqrt(2.0))))
        if math.isfinite(bound)
        else 1.0
        for bound in BOUNDS
    ]
    return np.diff(np.array([0.0, *upper], dtype=np.float64))


@dataclass(slots=True)
class Meter:
    """The counters of one pod's process. `flow` is what has arrived and was not counted yet, in requests."""

    flow: float = 0.0
    counters: FloatArray = field(default_factory=lambda: np.zeros(_COLUMNS))
    pod_noise: float = 0.0
    window_noise: float = 0.0

    def fork(self) -> Meter:
        return replace(self, counters=self.counters.copy())


@dataclass(slots=True)
class Samples:
    """What the store has of one pod: a row per scrape from `first` on, NaN where the scrape failed."""

    first: int
    rows: list[FloatArray | None] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Stream:
    """How the requests of one pod fare: error ratio and factor on response times."""

    errors: float
    latency: float


Answering = Counts | Failure
Hostile = Callable[[FetchCounts, Counts], Answering]


class Traffic:
    """All meters and the store. Times are seconds; `scrape` is the store's interval."""

    def __init__(self, rng: np.random.Generator, noise: Noise, scrape: float) -> None:
        self.rng = rng
        self.noise = noise
        self.scrape = scrape
        self.meters: dict[str, Meter] = {}
        self.samples: dict[str, Samples] = {}
        self.scraping = True
        self.hostile: Hostile | None = None
        self.lost = 0.0  # requests that found no pod

    def fork(self) -> Traffic:
        other = Traffic(np.random.Generator(np.random.PCG64()), self.noise, self.scrape)
        other.rng.bit_generator.state = self.rng.bit_generator.state
        other.meters = {name: meter.fork() for name, meter in self.meters.items()}
        other.samples = {name: Samples(each.first, list(each.rows)) for name, each in self.samples.items()}
        other.scraping, other.hostile, other.lost = self.scraping, self.hostile, self.lost
        return other

    # ------------------------------------------------------------------------------------------------ counting

    def flow(self, pods: Iterable[str], load: float, seconds: float) -> None:
        """`load` requests a second reach these pods for some seconds, in equal shares."""
        names = list(pods)
        if not names:
            self.lost += load * seconds
            return
        share = load * seconds / len(names)
        for name in names:
            self.meter(name).flow += share

    def meter(self, pod: str) -> Meter:
        found = self.meters.get(pod)
        if found is None:
            found = self.meters[pod] = Meter(pod_noise=float(self.rng.normal(0.0, 1.0)) * self.noise.pod)
        return found

    def count(self, streams: Mapping[str, Stream]) -> None:
        """Turn what has flowed into counters, pod by pod: whole requests, of which chance fails some."""
        due = [(name, meter) for name in streams if (meter := self.meters.get(name)) is not None and meter.flow >= 1.0]
        if not due:
            return
        arrived = np.array([math.floor(meter.flow) for _, meter in due], dtype=np.int64)
        shares = np.stack([latency_shares(streams[name].latency) for name, _ in due])
        errors = np.array([streams[name].errors for name, _ in due])
        step = self.rng.normal(0.0, 1.0, len(due)) * self.noise.window * math.sqrt(1.0 - _MEMORY**2)
        for (_, meter), change in zip(due, step, strict=True):
            meter.window_noise = _MEMORY * meter.window_noise + float(change)
        factor = np.exp([meter.pod_noise + meter.window_noise for _, meter in due])
        failed = self.rng.binomial(arrived, np.minimum(1.0, errors * factor))
        slow = np.cumsum(self.rng.multinomial(arrived, shares), axis=1)
        for row, (_, meter) in enumerate(due):
            meter.flow -= float(arrived[row])
            meter.counters[0] += arrived[row]
            meter.counters[1] += failed[row]
            meter.counters[2:] += slow[row]

    def restart(self, pod: str) -> None:
        """A new process: its counters begin at zero."""
        if pod in self.meters:
            self.meters[pod].counters = np.zeros(_COLUMNS)
            self.meters[pod].flow = 0.0

    # ------------------------------------------------------------------------------------------------ scraping

    def sample(self, pods: Iterable[str], at: float) -> None:
        """One scrape of all running pods at instant `at`, a multiple of the interval."""
        if not self.scraping:
            return
        index = round(at / self.scrape)
        for name in pods:
            kept = self.samples.setdefault(name, Samples(index))
            kept.rows.extend([None] * (index - kept.first - len(kept.rows)))
            kept.rows.append(self.meter(name).counters.copy())

    def fetch(self, ask: FetchCounts) -> Answering:
        """The store's answer: at each instant the newest sample that is fresh enough, or nothing."""
        sets = set(ask.replica_sets)
        series: list[CounterSeries] = []
        instants = [ask.start + ask.step * n for n in range(math.floor((ask.end - ask.start) / ask.step + 1e-6) + 1)]
        for pod, kept in sorted(self.samples.items()):
            if pod.rpartition("-")[0] in sets:
                series += _series(pod, self._at(kept, instants, ask.fresh_within), instants, ask)
        counts = Counts(tuple(series))
        return counts if self.hostile is None else self.hostile(ask, counts)

    def _at(self, kept: Samples, instants: list[float], fresh: float) -> list[FloatArray | None]:
        """The sample that an instant sees, per instant."""
        found: list[FloatArray | None] = []
        for instant in instants:
            newest = math.floor(instant / self.scrape + 1e-9)
            oldest = math.ceil((instant - fresh) / self.scrape - 1e-9)
            row = None
            for index in range(newest, oldest - 1, -1):
                place = index - kept.first
                if 0 <= place < len(kept.rows) and (row := kept.rows[place]) is not None:
                    break
            found.append(row)
        return found


def _series(pod: str, rows: list[FloatArray | None], instants: list[float], ask: FetchCounts) -> list[CounterSeries]:
    present = [(instant, row) for instant, row in zip(instants, rows, strict=True) if row is not None]
    if not present:
        return []
    if ask.term == "buckets":
        times = tuple(instant for instant, _ in present)
        table = np.stack([row[2:] for _, row in present]).T.tolist()
        return [CounterSeries(pod, le, times, tuple(values)) for le, values in zip(LE, table, strict=True)]
    if ask.term == "requests":
        return [CounterSeries(pod, None, tuple(t for t, _ in present), tuple(float(row[0]) for _, row in present))]
    failed = [(instant, float(row[1])) for instant, row in present if row[1] > 0]
    if not failed:
        return []
    return [CounterSeries(pod, None, tuple(t for t, _ in failed), tuple(value for _, value in failed))]


# ------------------------------------------------------------------------------------------- hostile answers


def refusing(kind: FailureKind, message: str) -> Hostile:
    """A store that fails every question the same way."""
    return lambda _ask, _counts: Failure(kind, message)


def empty(_ask: FetchCounts, _counts: Counts) -> Counts:
    """A store that knows no series."""
    return Counts(())


def doubled(_ask: FetchCounts, counts: Counts) -> Counts:
    """A store behind two scrapers whose labels were lost: every series twice."""
    return Counts(counts.series + counts.series)


def contender_only(*replica_sets: str) -> Hostile:
    """A store that has lost the series of these ReplicaSets."""
    gone = set(replica_sets)
    return lambda _ask, counts: Counts(tuple(s for s in counts.series if s.pod.rpartition("-")[0] not in gone))
