"""What the learner asks of a metric store about the past, and what it is told.

As with the requests of a tick, an answer is the thing asked for or says why there is none; no fault of a store is an
exception, and an empty answer is not the same as none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol

from analysis.samples import CounterSeries
from controller.requests import Term
from policies.query import Query
from policies.schema import Selector


class Why(StrEnum):
    """Why a part of history could not be had, by what a person would have to do about it."""

    TOO_LARGE = "TooLarge"  # more series or bytes than a look may cost: narrow the selector
    TIMED_OUT = "TimedOut"
    UNREACHABLE = "Unreachable"
    REFUSED = "QueryRefused"  # the store says that the query is wrong, or that we may not ask
    UNUSABLE = "Unusable"  # a partial answer, the wrong type, numbers that are none
    NO_SERIES = "NoSeries"
    NATIVE = "NativeHistogram"
    RECORDED = "RecordingRule"
    DOUBLED = "DoubledSeries"


@dataclass(frozen=True, slots=True)
class Unfetched:
    """Why there is no answer. `detail` is one line that says what to do, safe to log."""

    why: Why
    detail: str


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose series: the pods of all ReplicaSets, gone ones included, of some Deployments of a namespace."""

    source: str
    namespace: str
    namespace_label: str
    pod_label: str
    deployments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Instants `start, start + step, ... <= end` in epoch seconds; a sample may be `fresh` seconds old at each."""

    start: float
    end: float
    step: float
    fresh: float

    @property
    def points(self) -> int:
        """Instants in it."""
        return int((self.end - self.start) / self.step + 1e-6) + 1


@dataclass(frozen=True, slots=True)
class FetchPods:
    """-> PodSeries: one cumulative counter per pod (and per `le` for term "buckets", and per value of `stratum`)."""

    scope: Scope
    gate: str
    term: Term
    selector: Selector
    stretch: Stretch
    stratum: str | None = None


@dataclass(frozen=True, slots=True)
class FetchLevels:
    """-> PodSeries: the readings of a gauge, one series per pod."""

    scope: Scope
    gate: str
    query: Query
    stretch: Stretch


@dataclass(frozen=True, slots=True)
class PodSeries:
    """The usable answer; `le` and `stratum` are set where they were asked for."""

    series: tuple[CounterSeries, ...]


@dataclass(frozen=True, slots=True)
class FetchPresence:
    """-> Presence: from which ReplicaSets there were pods at each instant, told by the series of a selector."""

    scope: Scope
    gate: str
    selector: Selector
    stretch: Stretch


@dataclass(frozen=True, slots=True)
class Presence:
    """ReplicaSet -> the instants at which it had pods, and how many; both ascending in time."""

    pods: Mapping[str, tuple[tuple[float, int], ...]]


BandOf = Literal["errorRatio", "latency", "throughput", "gauge"]


@dataclass(frozen=True, slots=True)
class FetchBand:
    """-> Line: one number per instant for all pods together, from which the history band is learned.

    errorRatio: share of failed requests. latency: 95th percentile in seconds. throughput: events per second.
    gauge: mean over pods. `selectors` by the policy's field names; `query` for gauges.
    """

    scope: Scope
    gate: str
    of: BandOf
    stretch: Stretch
    selectors: Mapping[str, Selector] = field(default_factory=dict)
    query: Query | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """Values at instants, ascending, with holes where there was nothing."""

    times: tuple[float, ...]
    values: tuple[float, ...]


HistoryAsk = FetchPods | FetchLevels | FetchPresence | FetchBand


class History(Protocol):
    """A metric store that remembers. Never raises for the store's faults."""

    def pods(self, ask: FetchPods | FetchLevels) -> PodSeries | Unfetched:
        """One series per pod."""

    def presence(self, ask: FetchPresence) -> Presence | Unfetched:
        """Which ReplicaSets had pods."""

    def band(self, ask: FetchBand) -> Line | Unfetched:
        """One line for all pods."""
