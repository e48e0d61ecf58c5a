"""The past of a Prometheus: long ranges, asked one at a time, and what an empty answer means.

A question about the past may cost a store seconds, so there is never more than one under way at a time for each store,
whoever asks. An answer that is too long is asked for again in halves. An empty one is not believed as it is: most of
the time a label is called otherwise, or the histogram is a native one, and a short question more can say so.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from analysis.samples import CounterSeries
from controller.clock import Clock
from controller.learning.asks import (
    Alerts,
    FetchAlerts,
    FetchLevels,
    FetchPods,
    FetchPresence,
    PodSeries,
    Presence,
    Scope,
    Stretch,
    Unfetched,
    Why,
)
from controller.metrics.answers import (
    Grid,
    Native,
    PodLabels,
    Series,
    TooMany,
    Unusable,
    pod_series,
    read_matrix,
    totals,
)
from controller.metrics.promql import (
    compose_alerts,
    compose_levels,
    compose_pods,
    compose_presence,
    compose_replicas,
    compose_totals,
    duration,
    pods_of,
    recorded,
    records_a_rate,
)
from controller.metrics.settings import SourceSettings
from controller.metrics.transport import Cause, Fault, Transport
from controller.requests import FetchTotals, Totals
from controller.wire import one_line
from policies.schema import Selector

MOST_SERIES = 10_000  # of one gate
MOST_POINTS = 10_000  # of one series in one question; a store refuses more than 11,000
LEAST_TIMEOUT = 30.0  # seconds; a tick's own is too short for a day of history
_HALVES = 4  # times that a question may be cut in two
_PAIRS = ("prometheus_replica", "__replica__", "replica")  # labels that two stores of one pair differ by
_ALIKE = 0.02  # by which the counts of two such stores may differ: they scrape a few seconds apart

_WHY: Mapping[Cause, Why] = {
    Cause.TOO_LARGE: Why.TOO_LARGE,
    Cause.TIMED_OUT: Why.TIMED_OUT,
    Cause.REFUSED: Why.REFUSED,
    Cause.OTHER: Why.UNREACHABLE,
}


@dataclass(frozen=True, slots=True)
class Past:
    """The history of one store. Safe to share between threads: their questions wait for each other."""

    transport: Transport
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, settings: SourceSettings, clock: Clock) -> Past:
        """A history that has not been asked anything yet."""
        return cls(Transport(replace(settings, timeout=max(settings.timeout, LEAST_TIMEOUT)), clock))

    # ---------------------------------------------------------------------------------------------- questions

    def pods(self, ask: FetchPods | FetchLevels) -> PodSeries | Unfetched:
        """One series per pod of all the app's ReplicaSets, or why there is none."""
        ours = re.compile(pods_of(ask.scope.deployments), re.ASCII)
        counted = isinstance(ask, FetchPods)
        try:
            if isinstance(ask, FetchPods):
                if records_a_rate(ask.selector):
                    return Unfetched(Why.RECORDED, f"gate {ask.gate}: {recorded(ask.selector)}")
                query = compose_pods(ask)
                labels = PodLabels(ask.scope.pod_label, ours, ask.stratum, ask.term == "buckets")
            else:
                query = compose_levels(ask)
                labels = PodLabels(ask.query.pod, ours, exact=False)
        except ValueError as error:
            return Unfetched(Why.REFUSED, f"gate {ask.gate}: {error}")
        return self._pieces(ask.gate, query, ask.stretch, labels, counted, _HALVES)

    def presence(self, ask: FetchPresence) -> Presence | Unfetched:
        """From which ReplicaSets there were pods at each instant, or why nobody knows."""
        try:
            query = compose_presence(ask)
        except ValueError as error:
            return Unfetched(Why.REFUSED, f"gate {ask.gate}: {error}")
        series = self._matrix(ask.gate, query, ask.stretch)
        if isinstance(series, Unfetched):
            return series
        pods: dict[str, tuple[tuple[float, int], ...]] = {}
        try:
            for one in series:
                name = one.metric.get("replica_set", "")
                if one.metric.keys() != {"replica_set"} or name in pods:
                    raise Unusable("the answer does not name each ReplicaSet once")
                times, values = _grid(ask.stretch).samples(one, {})
                pods[name] = tuple(zip(times, map(int, values), strict=True))
        except Unusable as error:
            return self._unusable(ask.gate, error)
        return Presence(pods)

    def alerts(self, ask: FetchAlerts) -> Alerts | Unfetched:
        """Which alerts of the namespace fired when; a store without rules has none."""
        try:
            query = compose_alerts(ask)
        except ValueError as error:
            return Unfetched(Why.REFUSED, f"alerts: {error}")
        series = self._matrix("alerts", query, ask.stretch)
        if isinstance(series, Unfetched):
            return series
        try:
            return Alerts({one.metric.get("alertname", ""): _grid(ask.stretch).samples(one, {})[0] for one in series})
        except Unusable as error:
            return self._unusable("alerts", error)

    def totals(self, ask: FetchTotals) -> Totals | Unfetched:
        """One number for all pods at each instant; no series at all is an answer without points."""
        try:
            query = compose_totals(ask)
        except ValueError as error:
            return Unfetched(Why.REFUSED, f"gate {ask.gate}: {error}")
        parts: list[Totals] = []
        for stretch in _chunks(Stretch(ask.start, ask.end, ask.step, ask.fresh_within)):
            series = self._matrix(ask.gate, query, stretch)
            if isinstance(series, Unfetched):
                return series
            try:
                parts.append(totals(series, _grid(stretch, counter=False)))
            except Unusable as error:
                return self._unusable(ask.gate, error)
        return Totals(sum((part.times for part in parts), ()), sum((part.values for part in parts), ()))

    def diagnose(self, scope: Scope, gate: str, selector: Selector, at: float, fresh: float) -> Unfetched | None:
        """What is the matter with a selector's series at one instant, or None where they are sound.

        Asked when there are no series, and once before history is learned: a pair of stores that both answer counts
        every request twice, which no look at the numbers alone can tell.
        """
        once = Stretch(at, at, 60.0, fresh)
        try:
            doubled = self._matrix(gate, compose_replicas(scope, selector, _PAIRS, fresh), once)
        except ValueError as error:
            return Unfetched(Why.REFUSED, f"gate {gate}: {error}")
        if isinstance(doubled, Unfetched):
            return doubled
        if doubled:
            return _doubled(doubled, scope, gate, selector)
        return self._missing(scope, gate, selector, once)

    # --------------------------------------------------------------------------------------------------- ways

    def _missing(self, scope: Scope, gate: str, selector: Selector, once: Stretch) -> Unfetched:
        """Why a selector has no series of the app's pods."""
        name = selector.metric
        elsewhere = self._count(gate, selector, once)
        if isinstance(elsewhere, Unfetched):
            return elsewhere
        if elsewhere:
            want = f"{scope.namespace_label}={scope.namespace} and pods of {' or '.join(scope.deployments)}"
            return Unfetched(
                Why.NO_SERIES,
                f"gate {gate}: the store has {elsewhere} series of {name}, none with {want} in label "
                f"{scope.pod_label}; set spec.metrics.pod and spec.metrics.namespace to the labels that it has",
            )
        if name.endswith("_bucket"):
            base = name.removesuffix("_bucket")
            native = self._count(gate, Selector(base, selector.matchers), once)
            if isinstance(native, int) and native:
                return Unfetched(
                    Why.NATIVE,
                    f"gate {gate}: {base} is a native histogram; let Prometheus keep the classic buckets too "
                    "(always_scrape_classic_histograms: true)",
                )
        return Unfetched(Why.NO_SERIES, f"gate {gate}: the store has no series of {selector.text()}; is it scraped?")

    def _count(self, gate: str, selector: Selector, once: Stretch) -> int | Unfetched:
        found = self._matrix(gate, f"count(last_over_time({selector.text()}[{duration(once.fresh)}]))", once)
        if isinstance(found, Unfetched):
            return found
        return int(float(found[0].values[0][1])) if found and found[0].values else 0

    def _pieces(
        self, gate: str, query: str, stretch: Stretch, labels: PodLabels, counter: bool, halves: int
    ) -> PodSeries | Unfetched:
        """The series of a stretch, in two parts where the whole is too long to be had at once."""
        series = self._matrix(gate, query, stretch) if stretch.points <= MOST_POINTS else _TOO_LONG
        if isinstance(series, Unfetched):
            if series.why is not Why.TOO_LARGE or not halves or stretch.points < 4 or "series" in series.detail:
                return series
            middle = stretch.start + (stretch.points // 2) * stretch.step
            first = self._pieces(gate, query, replace(stretch, end=middle - stretch.step), labels, counter, halves - 1)
            if isinstance(first, Unfetched):
                return first
            second = self._pieces(gate, query, replace(stretch, start=middle), labels, counter, halves - 1)
            return second if isinstance(second, Unfetched) else _joined(first, second)
        try:
            return PodSeries(pod_series(series, labels, _grid(stretch, counter=counter)))
        except Unusable as error:
            return self._unusable(gate, error)

    def _matrix(self, gate: str, query: str, stretch: Stretch) -> list[Series] | Unfetched:
        with self._turn:
            answer = self.transport.ask_range(query, start=stretch.start, end=stretch.end, step=stretch.step)
        if isinstance(answer, Fault):
            return Unfetched(
                _WHY[answer.cause], f"gate {gate}: {answer.failure.message}{_ADVICE.get(answer.cause, '')}"
            )
        try:
            return read_matrix(answer, MOST_SERIES)
        except Unusable as error:
            return self._unusable(gate, error)

    def _unusable(self, gate: str, error: Unusable) -> Unfetched:
        said = self.transport.hidden(one_line(str(error)))
        match error:
            case TooMany():
                return Unfetched(Why.TOO_LARGE, f"gate {gate}: {said}; narrow the selector or drop the mix label")
            case Native():
                advice = "let Prometheus keep the classic buckets too (always_scrape_classic_histograms: true)"
                return Unfetched(Why.NATIVE, f"gate {gate}: {said}; {advice}")
        return Unfetched(Why.UNUSABLE, f"gate {gate}: {said}")


_TOO_LONG = Unfetched(Why.TOO_LARGE, "too many points")
_ADVICE: Mapping[Cause, str] = {
    Cause.TOO_LARGE: "; narrow the selector",
    Cause.TIMED_OUT: f" after {LEAST_TIMEOUT:g} s; raise the source's timeout, or narrow the selector",
}


def _chunks(stretch: Stretch) -> Iterator[Stretch]:
    """A stretch in parts that a store takes."""
    start = stretch.start
    while start <= stretch.end:
        end = min(stretch.end, start + (MOST_POINTS - 1) * stretch.step)
        yield replace(stretch, start=start, end=end)
        start = end + stretch.step


def _grid(stretch: Stretch, *, counter: bool = True) -> Grid:
    return Grid(stretch.start, stretch.end, stretch.step, counter)


def _joined(first: PodSeries, second: PodSeries) -> PodSeries:
    """Two parts of one stretch as one."""
    parts: dict[tuple[str, str | None, str | None], CounterSeries] = {}
    for one in (*first.series, *second.series):
        key = one.pod, one.le, one.stratum
        before = parts.get(key)
        if before is not None:
            one = replace(before, times=before.times + one.times, values=before.values + one.values)  # noqa: PLW2901
        parts[key] = one
    return PodSeries(tuple(parts[key] for key in sorted(parts, key=lambda key: (key[0], key[1] or "", key[2] or ""))))


def _doubled(series: list[Series], scope: Scope, gate: str, selector: Selector) -> Unfetched | None:
    """Whether two stores of a pair both answer: the same pods with two values of such a label, and nearly alike."""
    for label in _PAIRS:
        by_pod: dict[str, dict[str, float]] = {}
        for one in series:
            value = float(one.values[-1][1]) if one.values else 0.0
            counts = by_pod.setdefault(one.metric.get(scope.pod_label, ""), {})
            replica = one.metric.get(label, "")
            counts[replica] = counts.get(replica, 0.0) + value
        several = [counts for counts in by_pod.values() if len(counts) > 1]
        alike = [min(counts.values()) >= (1.0 - _ALIKE) * max(counts.values()) for counts in several]
        if several and 2 * len(several) >= len(by_pod) and sum(alike) * 2 > len(alike):
            names = sorted(several[0])
            return Unfetched(
                Why.DOUBLED,
                f"gate {gate}: every request is counted {len(names)} times, once per {label} "
                f"({', '.join(name or 'none' for name in names)}); let the store remove duplicates by this label, "
                f'or add {label}="{names[0]}" to {selector.metric}',
            )
    return None
