"""The past of a Prometheus: long ranges, asked one at a time, and what an empty answer means.

A question about the past may cost a store seconds, so there is never more than one under way at a time for each store,
whoever asks. An answer that is too long is asked for again in halves. An empty one is not believed as it is: most of
the time a label is called otherwise, or the histogram is a native one, and a short question more can say so.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
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
from controller.requests.fetches import FetchTotals, Totals
from controller.wire import one_line
from policies.schema import Selector

MOST_SERIES = 10_000  # of one gate
MOST_POINTS = 2_016  # of one series in one question: a week of five minutes; a store refuses more than 11,000
LEAST_TIMEOUT = 30.0  # seconds; a tick's own is too short for a day of history
_MOST_HALVES = 16  # times that a question is cut in two because its answer is too long ...
_MOST_WAITS = 3  # ... and because it takes too long: a store that hangs is not asked for ever
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
                own = (ask.scope.namespace_label, ask.scope.namespace)
                labels = PodLabels(ask.query.pod, ours, exact=False, namespace=own)
        except ValueError as error:
            return Unfetched(Why.REFUSED, f"gate {ask.gate}: {error}")
        parts = self._parts(ask.gate, query, ask.stretch)
        if isinstance(parts, Unfetched):
            return parts
        try:
            return _joined([pod_series(series, labels, _grid(part, counter=counted)) for part, series in parts])
        except Unusable as error:
            return self._unusable(ask.gate, error)

    def presence(self, ask: FetchPresence) -> Presence | Unfetched:
        """From which ReplicaSets there were pods at each instant, or why nobody knows."""
        try:
            query = compose_presence(ask)
        except ValueError as error:
            return Unfetched(Why.REFUSED, f"gate {ask.gate}: {error}")
        parts = self._parts(ask.gate, query, ask.stretch)
        if isinstance(parts, Unfetched):
            return parts
        pods: dict[str, tuple[tuple[float, int], ...]] = {}
        try:
            for part, series in parts:
                names = [one.metric.get("replica_set", "") for one in series]
                if len(set(names)) < len(names) or any(one.metric.keys() != {"replica_set"} for one in series):
                    raise Unusable("the answer does not name each ReplicaSet once")
                for name, one in zip(names, series, strict=True):
                    times, values = _grid(part).samples(one, {})
                    pods[name] = pods.get(name, ()) + tuple(zip(times, map(int, values), strict=True))
        except Unusable as error:
            return self._unusable(ask.gate, error)
        return Presence(pods)

    def alerts(self, ask: FetchAlerts) -> Alerts | Unfetched:
        """Which alerts of the namespace fired when; a store without rules has none."""
        try:
            query = compose_alerts(ask)
        except ValueError as error:
            return Unfetched(Why.REFUSED, f"alerts: {error}")
        parts = self._parts("alerts", query, ask.stretch)
        if isinstance(parts, Unfetched):
            return parts
        firing: dict[str, tuple[float, ...]] = {}
        try:
            for part, series in parts:
                for one in series:
                    name = one.metric.get("alertname", "")
                    firing[name] = firing.get(name, ()) + _grid(part).samples(one, {})[0]
        except Unusable as error:
            return self._unusable("alerts", error)
        return Alerts(firing)

    def totals(self, ask: FetchTotals) -> Totals | Unfetched:
        """One number for all pods at each instant; no series at all is an answer without points."""
        try:
            query = compose_totals(ask)
        except ValueError as error:
            return Unfetched(Why.REFUSED, f"gate {ask.gate}: {error}")
        parts = self._parts(ask.gate, query, Stretch(ask.start, ask.end, ask.step, ask.fresh_within))
        if isinstance(parts, Unfetched):
            return parts
        try:
            found = [totals(series, _grid(part, counter=False)) for part, series in parts]
        except Unusable as error:
            return self._unusable(ask.gate, error)
        return Totals(sum((one.times for one in found), ()), sum((one.values for one in found), ()))

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
                f"{scope.pod_label}; set spec.metrics.pod and spec.metrics.namespace to the labels that it has, "
                "unless the app is only minutes old",
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

    def _parts(self, gate: str, query: str, stretch: Stretch) -> list[tuple[Stretch, list[Series]]] | Unfetched:
        """The series of a stretch, in as many parts as a store needs to give them: each with its own stretch."""
        pending = list(_chunks(stretch, MOST_POINTS))
        found: list[tuple[Stretch, list[Series]]] = []
        halves, waits = _MOST_HALVES, _MOST_WAITS
        while pending:
            part = pending.pop(0)
            series = self._matrix(gate, query, part)
            if not isinstance(series, Unfetched):
                found.append((part, series))
                continue
            halves -= 1
            waits -= series.why is Why.TIMED_OUT
            if not series.shorter or part.points < 4 or halves < 0 or waits < 0:
                return series
            pending[:0] = _chunks(part, -(-part.points // 2))
        return found

    def _matrix(self, gate: str, query: str, stretch: Stretch) -> list[Series] | Unfetched:
        with self._turn:
            answer = self.transport.ask_range(query, start=stretch.start, end=stretch.end, step=stretch.step)
        if isinstance(answer, Fault):
            told = f"gate {gate}: {answer.failure.message}{_ADVICE.get(answer.cause, '')}"
            return Unfetched(_WHY[answer.cause], told, shorter=answer.cause in _ADVICE)
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


_ADVICE: Mapping[Cause, str] = {
    Cause.TOO_LARGE: "; narrow the selector",
    Cause.TIMED_OUT: f" after {LEAST_TIMEOUT:g} s; raise the source's timeout, or narrow the selector",
}


def _chunks(stretch: Stretch, points: int) -> Iterator[Stretch]:
    """A stretch in parts of at most so many points."""
    start = stretch.start
    while start <= stretch.end + 1e-6:
        end = min(stretch.end, start + (points - 1) * stretch.step)
        yield replace(stretch, start=start, end=end)
        start = end + stretch.step


def _grid(stretch: Stretch, *, counter: bool = True) -> Grid:
    return Grid(stretch.start, stretch.end, stretch.step, counter)


def _joined(answers: Sequence[tuple[CounterSeries, ...]]) -> PodSeries:
    """The parts of one stretch as one."""
    if len(answers) == 1:
        return PodSeries(answers[0])
    whole: dict[tuple[str, str, str], CounterSeries] = {}
    for series in answers:
        for one in series:
            key = one.pod, one.le or "", one.stratum or ""
            before = whole.get(key)
            times, values = (before.times, before.values) if before is not None else ((), ())
            whole[key] = replace(one, times=times + one.times, values=values + one.values)
    return PodSeries(tuple(whole[key] for key in sorted(whole)))


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
