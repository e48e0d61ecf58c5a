"""What a tick asks of a metric store: counters and readings by pod, and totals of an app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from analysis.samples import CounterSeries
from policies.schema import GateKind, Query, Selector

Term = Literal["errors", "requests", "buckets", "events", "readings"]


@dataclass(frozen=True, slots=True)
class FetchCounts:
    """-> Counts: cumulative counters of the pods of some ReplicaSets, at `start, start + step, ... <= end`.

    Aggregated on the store to one series per pod (and per `le` for term "buckets", and per value of the label
    `stratum`, if given) and no further. Pods are matched by the names of their ReplicaSets, so that pods already gone
    still count. `fresh_within` is the greatest age, in seconds, that a sample may have at an instant.
    """

    source: str
    gate: str
    term: Term
    selector: Selector
    namespace: str
    namespace_label: str
    pod_label: str
    replica_sets: tuple[str, ...]
    start: float
    end: float
    step: float
    fresh_within: float
    stratum: str | None = None
    values: tuple[str, ...] = ()  # whole values of `pod_label` instead of the pods of ReplicaSets: one series for each


@dataclass(frozen=True, slots=True)
class FetchReadings:
    """-> Counts: what a gauge's query says of the pods of some ReplicaSets, at `start, start + step, ... <= end`.

    One series per pod, `le` and `stratum` None; a reading may be any finite number.
    """

    source: str
    gate: str
    query: Query
    namespace: str
    pod_label: str
    replica_sets: tuple[str, ...]
    start: float
    end: float
    step: float

    @property
    def term(self) -> Term:
        return "readings"


@dataclass(frozen=True, slots=True)
class Counts:
    """The usable answer of a metric store: a success without warnings, of the declared type."""

    series: tuple[CounterSeries, ...]


@dataclass(frozen=True, slots=True)
class FetchTotals:
    """-> Totals: one number for all pods of some Deployments together, at `start, start + step, ... <= end`.

    The very series from which the band of a gate is learned. errorRatio: the share of failed requests. latency: the
    95th percentile in seconds. throughput: events per second. gauge: the mean over pods. `selectors` by the names of
    the policy's fields; `query` for a gauge.
    """

    source: str
    gate: str
    of: GateKind
    selectors: tuple[tuple[str, Selector], ...]
    query: Query | None
    namespace: str
    namespace_label: str
    pod_label: str
    deployments: tuple[str, ...]
    start: float
    end: float
    step: float
    fresh_within: float


@dataclass(frozen=True, slots=True)
class Totals:
    """Numbers at instants in seconds, ascending, with holes where there was nothing."""

    times: tuple[float, ...]
    values: tuple[float, ...]


Fetch = FetchCounts | FetchReadings | FetchTotals  # what a metric store answers
