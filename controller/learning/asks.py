"""What the learner asks of a metric store about the past, and what it is told.

As with the requests of a tick, an answer is the thing asked for or says why there is none; no fault of a store is an
exception, and an empty answer is not the same as none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from analysis.samples import CounterSeries
from controller.requests.fetches import FetchTotals, Term, Totals
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
    """Why there is no answer. `detail` is one line that says what to do, safe to log.

    shorter: whether the same question about less time may be answered.
    """

    why: Why
    detail: str
    shorter: bool = False


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


@dataclass(frozen=True, slots=True)
class FetchAlerts:
    """-> Alerts: what fired in the namespace, as far as the store evaluates alerting rules itself."""

    scope: Scope
    stretch: Stretch


@dataclass(frozen=True, slots=True)
class Alerts:
    """Name of an alert -> the instants at which it fired, ascending."""

    firing: Mapping[str, tuple[float, ...]]


HistoryAsk = FetchAlerts | FetchPods | FetchLevels | FetchPresence | FetchTotals


class History(Protocol):
    """A metric store that remembers. Never raises for the store's faults."""

    def pods(self, ask: FetchPods | FetchLevels) -> PodSeries | Unfetched:
        """One series per pod."""

    def presence(self, ask: FetchPresence) -> Presence | Unfetched:
        """Which ReplicaSets had pods."""

    def alerts(self, ask: FetchAlerts) -> Alerts | Unfetched:
        """Which alerts fired when; a store without rules has none."""

    def totals(self, ask: FetchTotals) -> Totals | Unfetched:
        """One number for all pods at each instant; no series at all is an answer without points."""

    def diagnose(self, scope: Scope, gate: str, selector: Selector, at: float, fresh: float) -> Unfetched | None:
        """What is the matter with a selector's series at one instant, or None where they are sound."""
