"""Requests on their way to pods, the pods' own counters, and the metric store that scrapes them.

The load is shared equally by the pods that serve. Counters are whole numbers that a process keeps: requests, errors
and the buckets of a latency histogram; a container that restarts begins at zero, and an error counter does not exist
before its first error, as with the usual client libraries. Half of the requests that did not fail complete an order,
and a pod holds some memory. A store scrapes every running pod at aligned instants and answers questions from nothing
but its samples; what it remembers from before the world began is given to it.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.samples import CounterSeries
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import Counts, Fetch, FetchCounts, FetchReadings, FetchTotals, Term, Totals
from policies.schema import GateKind

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, math.inf)
LE = tuple("+Inf" if math.isinf(bound) else f"{bound:g}" for bound in BOUNDS)
_MEDIAN, _SPREAD = 0.08, 0.7  # seconds, and the standard deviation of its logarithm: a log-normal response time
_BUCKETS = slice(2, 2 + len(BOUNDS))
_ORDERS, _HELD = 2 + len(BOUNDS), 3 + len(BOUNDS)
_COLUMNS = 4 + len(BOUNDS)  # requests, errors, buckets, orders, bytes held
_MEMORY_HELD, _HELD_POD, _HELD_SCRAPE = 300e6, 0.08, 0.02  # bytes, and standard deviations of their logarithm
_RATE = 300.0  # seconds over which the store's own rates are taken
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
    held: float = 1.0

    def fork(self) -> Meter:
        return replace(self, counters=self.counters.copy())


@dataclass(slots=True)
class Samples:
    """What the store has of one pod: a row of counters per scrape from `first` on, NaN where the scrape failed.

    last: for each row the newest one up to it that was scraped.
    """

    first: int
    size: int = 0
    table: FloatArray = field(default_factory=lambda: np.full((32, _COLUMNS), np.nan))
    last: IntArray = field(default_factory=lambda: np.zeros(32, dtype=np.int64))

    def put(self, index: int, counters: FloatArray) -> None:
        """The scrape of this number, counted from the epoch."""
        place = index - self.first
        while place >= len(self.table):
            self.table = np.concatenate([self.table, np.full_like(self.table, np.nan)])
            self.last = np.concatenate([self.last, self.last])
        self.last[self.size : place] = self.size - 1
        self.table[place], self.last[place] = counters, place
        self.size = place + 1

    def newest(self, seen: Sight) -> FloatArray | None:
        """The newest row that each instant sees, shape (instants, columns); NaN where none is fresh enough, None where
        none is for any of them."""
        if seen.newest[-1] < self.first or seen.oldest[0] >= self.first + self.size:
            return None
        newest = seen.newest - self.first
        last = self.last[np.minimum(np.maximum(newest, 0), self.size - 1)]
        found = self.table[last]
        found[(newest < 0) | (last < seen.oldest - self.first)] = np.nan
        return found

    def fork(self) -> Samples:
        return Samples(self.first, self.size, self.table.copy(), self.last.copy())


@dataclass(frozen=True, slots=True)
class Sight:
    """The numbers of the newest and the oldest scrape that instants may see, counted from the epoch; ascending."""

    newest: IntArray
    oldest: IntArray

    @staticmethod
    def of(instants: FloatArray, fresh: float, scrape: float) -> Sight:
        """What is not older than `fresh` seconds, of scrapes every so many seconds."""
        newest = np.floor(instants / scrape + 1e-9).astype(np.int64)
        return Sight(newest, np.ceil((instants - fresh) / scrape - 1e-9).astype(np.int64))


@dataclass(frozen=True, slots=True)
class Stream:
    """How the requests of one pod fare: error ratio, and factors on response times, orders and bytes held."""

    errors: float
    latency: float
    orders: float = 1.0
    memory: float = 1.0


Answering = Counts | Failure
Pods = FetchCounts | FetchReadings  # a question with one series per pod as its answer
Hostile = Callable[[Any, Counts], Answering]  # (what was asked: Pods, the true answer) -> what is answered


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
        self.past: dict[str, Totals] = {}  # by gate: totals of the time before the samples begin
        self.lost = 0.0  # requests that found no pod

    def fork(self) -> Traffic:
        other = Traffic(np.random.Generator(np.random.PCG64()), self.noise, self.scrape)
        other.rng.bit_generator.state = self.rng.bit_generator.state
        other.meters = {name: meter.fork() for name, meter in self.meters.items()}
        other.samples = {name: each.fork() for name, each in self.samples.items()}
        other.scraping, other.hostile, other.lost = self.scraping, self.hostile, self.lost
        other.past = dict(self.past)
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
        orders = np.array([streams[name].orders for name, _ in due])
        more = np.column_stack([arrived, failed, slow, 0.5 * (arrived - failed) * orders])
        for (name, meter), served, fresh in zip(due, arrived.tolist(), more, strict=True):
            meter.flow -= served
            meter.counters[:_HELD] += fresh
            meter.held = streams[name].memory

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
            if name not in self.samples:
                self.samples[name] = Samples(index)
            meter = self.meter(name)
            meter.counters[_HELD] = _MEMORY_HELD * meter.held * math.exp(_level_noise(name, index))
            self.samples[name].put(index, meter.counters)

    def fetch(self, ask: Fetch) -> Answering | Totals:
        """The store's answer: at each instant the newest sample that is fresh enough, or nothing."""
        steps = math.floor((ask.end - ask.start) / ask.step + 1e-6)
        instants = np.array([ask.start + ask.step * n for n in range(steps + 1)], dtype=np.float64)
        whole = tuple(instants.tolist())
        if isinstance(ask, FetchTotals):
            return self._totals(ask, instants)
        fresh = ask.fresh_within if isinstance(ask, FetchCounts) else 2.0 * self.scrape
        seen = Sight.of(instants, fresh, self.scrape)
        sets = set(ask.replica_sets)
        series: list[CounterSeries] = []
        if isinstance(ask, FetchCounts) and ask.values:
            series = [one for value in ask.values for one in self._of_version(value, instants, whole, ask.term)]
        for pod, kept in sorted(self.samples.items()):
            if pod.rpartition("-")[0] in sets and (rows := kept.newest(seen)) is not None:
                series += _series(pod, rows, instants, whole, ask.term)
        counts = Counts(tuple(series))
        return counts if self.hostile is None else self.hostile(ask, counts)

    def _of_version(
        self, value: str, instants: FloatArray, whole: tuple[float, ...], term: Term
    ) -> list[CounterSeries]:
        """What an edge counted for one version: all pods of a template's hash as one series, gone ones included."""
        of_version = [kept for pod, kept in self.samples.items() if pod.split("-")[-2:-1] == [value]]
        sight = Sight.of(instants, _FOREVER, self.scrape)
        rows = [found for kept in of_version if (found := kept.newest(sight)) is not None]
        if not rows:
            return []
        seen = ~np.all([np.isnan(each[:, 0]) for each in rows], axis=0)
        together = np.sum([np.nan_to_num(each) for each in rows], axis=0)
        return _series(value, np.where(seen[:, None], together, np.nan), instants, whole, term)

    def _totals(self, ask: FetchTotals, instants: FloatArray) -> Totals:
        """One number for all pods of the Deployments, as the store's own functions have it; the past before that."""
        past = self.past.get(ask.gate, Totals((), ()))
        found = {at: value for at, value in zip(past.times, past.values, strict=True) if ask.start <= at <= ask.end}
        fresh, before = (
            Sight.of(instants, ask.fresh_within, self.scrape),
            Sight.of(instants - _RATE, _RATE, self.scrape),
        )
        none = np.full((len(instants), _COLUMNS), np.nan)
        rows = [
            (now, then if (then := kept.newest(before)) is not None else none)
            for pod, kept in sorted(self.samples.items())
            if pod.rpartition("-")[0].rpartition("-")[0] in ask.deployments and (now := kept.newest(fresh)) is not None
        ]
        for place, at in enumerate(instants.tolist()):
            both = [(now[place], np.nan_to_num(then[place])) for now, then in rows if not np.isnan(now[place, 0])]
            if both and at not in found:
                value = _total(ask.of, np.stack([now for now, _ in both]), np.stack([then for _, then in both]))
                if math.isfinite(value):
                    found[at] = value
        times = tuple(sorted(found))
        return Totals(times, tuple(found[at] for at in times))


_FOREVER = 6 * 3600.0  # seconds for which the edge remembers a pod that is gone

_COLUMN: Mapping[Term, int] = {"requests": 0, "errors": 1, "buckets": 0, "events": _ORDERS, "readings": _HELD}


@lru_cache(maxsize=65536)  # many nights are the same one but for a fault
def _level_noise(pod: str, index: int) -> float:
    """Of the logarithm of the bytes that a pod holds; drawn without touching the chance of anything else."""
    name = zlib.crc32(pod.encode())
    return _pod_noise(name) + float(np.random.default_rng([name, index]).normal(0.0, _HELD_SCRAPE))


@lru_cache(maxsize=4096)
def _pod_noise(name: int) -> float:
    return float(np.random.default_rng(name).normal(0.0, _HELD_POD))


def _total(of: GateKind, now: FloatArray, then: FloatArray) -> float:
    """The number of all pods at one instant, from their rows there and five minutes before (shape (pods, columns))."""
    grown = np.where(now >= then, now - then, now).sum(axis=0)
    match of:
        case "errorRatio":
            return float(grown[1] / grown[0]) if grown[0] > 0.0 else math.nan
        case "throughput":
            return float(grown[_ORDERS] / _RATE)
        case "gauge":
            return float(now[:, _HELD].mean())
        case "latency":
            buckets = grown[_BUCKETS]
            if buckets[-1] <= 0.0:
                return math.nan
            place = int(np.searchsorted(buckets, 0.95 * buckets[-1]))
            low, below = (0.0, 0.0) if place == 0 else (BOUNDS[place - 1], float(buckets[place - 1]))
            if math.isinf(BOUNDS[place]):
                return low
            inside = (0.95 * float(buckets[-1]) - below) / max(float(buckets[place]) - below, 1e-9)
            return low + (BOUNDS[place] - low) * inside


def _series(
    pod: str, rows: FloatArray, instants: FloatArray, whole: tuple[float, ...], term: Term
) -> list[CounterSeries]:
    """The series of one pod. Counters without a value yet (no scrape, or no error so far) have no sample.

    whole: all the instants as a tuple, which most of the series share.
    """
    column = _COLUMN[term]
    present = rows[:, column] > 0.0 if term == "errors" else ~np.isnan(rows[:, column])
    if not present.any():
        return []
    if present.all():
        times = whole
    else:
        times, rows = tuple(instants[present].tolist()), rows[present]
    if term == "buckets":
        table = rows[:, _BUCKETS].T.tolist()
        return [CounterSeries(pod, le, times, tuple(values)) for le, values in zip(LE, table, strict=True)]
    return [CounterSeries(pod, None, times, tuple(rows[:, column].tolist()))]


# ------------------------------------------------------------------------------------------- hostile answers


def refusing(kind: FailureKind, message: str) -> Hostile:
    """A store that fails every question the same way."""
    return lambda _ask, _counts: Failure(kind, message)


def empty(_ask: Pods, _counts: Counts) -> Counts:
    """A store that knows no series."""
    return Counts(())


def doubled(_ask: Pods, counts: Counts) -> Counts:
    """A store behind two scrapers whose labels were lost: every series twice."""
    return Counts(counts.series + counts.series)


def without(*replica_sets: str) -> Hostile:
    """A store that has no series of these ReplicaSets, as after a release that renamed its metrics."""
    gone = set(replica_sets)
    return lambda _ask, counts: Counts(tuple(s for s in counts.series if s.pod.rpartition("-")[0] not in gone))
