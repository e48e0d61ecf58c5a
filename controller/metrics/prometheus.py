"""Prometheus and everything that speaks its HTTP API, as a source of counters for the gates of a release.

The questions are written in `promql`, the answers judged in `answers`; the past is a matter of `past`. A fault of the
store, or an answer that breaks a rule, is a Failure and never a zero.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from controller.clock import Clock
from controller.metrics.answers import Grid, PodLabels, Series, Unusable, pod_series, read_matrix, totals
from controller.metrics.promql import POD_SUFFIX, compose, compose_readings, compose_totals, recorded, records_a_rate
from controller.metrics.settings import SourceSettings
from controller.metrics.transport import Transport
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import Counts, Fetch, FetchCounts, FetchReadings, FetchTotals, Totals
from controller.wire import one_line

__all__ = ["Prometheus", "compose"]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A source of kind "prometheus". Safe to share between threads."""

    transport: Transport

    @classmethod
    def open(cls, settings: SourceSettings, clock: Clock) -> Prometheus:
        """A source that has not been asked anything yet; it needs no server to be there."""
        return cls(Transport(settings, clock))

    def fetch(self, ask: Fetch) -> Counts | Totals | Failure:
        """The answer to a request, or why there is none that can be trusted."""
        if not isinstance(ask, FetchTotals) and not (ask.replica_sets or _values(ask)):
            return Counts(())
        if isinstance(ask, FetchCounts) and records_a_rate(ask.selector):
            return Failure(FailureKind.INVALID, f"gate {ask.gate}: {recorded(ask.selector)}")
        try:
            query = _composed(ask)
        except ValueError as error:
            return Failure(FailureKind.INVALID, f"gate {ask.gate}: {error}")
        answer = self.transport.query_range(query, start=ask.start, end=ask.end, step=ask.step)
        if isinstance(answer, Failure):
            return answer
        try:
            return _judged(ask, read_matrix(answer))
        except Unusable as error:
            said = self.transport.hidden(one_line(str(error)))
            return Failure(FailureKind.UNAVAILABLE, f"source {ask.source}: {said}")


def _composed(ask: Fetch) -> str:
    match ask:
        case FetchCounts():
            return compose(ask)
        case FetchReadings():
            return compose_readings(ask)
        case FetchTotals():
            return compose_totals(ask)


def _values(ask: Fetch) -> tuple[str, ...]:
    return ask.values if isinstance(ask, FetchCounts) else ()


def _judged(ask: Fetch, series: list[Series]) -> Counts | Totals:
    grid = Grid(ask.start, ask.end, ask.step, counter=isinstance(ask, FetchCounts))
    if isinstance(ask, FetchTotals):
        return totals(series, grid)
    values = _values(ask)
    names = "|".join(re.escape(name) for name in values or ask.replica_sets)
    ours = re.compile(f"(?:{names})" if values else f"(?:{names}){POD_SUFFIX}", re.ASCII)
    if isinstance(ask, FetchReadings):
        own = (ask.query.namespace or "namespace", ask.namespace)
        return Counts(pod_series(series, PodLabels(ask.query.pod, ours, exact=False, namespace=own), grid))
    return Counts(pod_series(series, PodLabels(ask.pod_label, ours, ask.stratum, ask.term == "buckets"), grid))
