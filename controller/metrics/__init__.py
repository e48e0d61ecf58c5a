"""The only code that talks to metric stores: one file per kind of source, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from controller.clock import Clock
from controller.learning.asks import History
from controller.metrics.past import Past
from controller.metrics.prometheus import Prometheus
from controller.metrics.settings import SourceSettings
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import Counts, Fetch, Totals

__all__ = ["KINDS", "MetricSource", "SourceSettings", "Sources"]


class MetricSource(Protocol):
    """What a kind of source must do."""

    def fetch(self, ask: Fetch) -> Counts | Totals | Failure:
        """The answer to a request, or why there are none that can be trusted. Never raises for the store's faults."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How a kind of source is opened: for the questions of gates, and for those about the past."""

    source: Callable[[SourceSettings, Clock], MetricSource]
    history: Callable[[SourceSettings, Clock], History]


# A new kind of source is one file each and one line here.
KINDS: Mapping[str, Kind] = {
    "prometheus": Kind(Prometheus.open, Past.open),
}


class Sources:
    """The configured sources by name. Raises ValueError for two of one name, or of a kind that does not exist."""

    def __init__(self, settings: Iterable[SourceSettings], clock: Clock) -> None:
        self._sources: dict[str, MetricSource] = {}
        self._histories: dict[str, History] = {}
        for one in settings:
            if one.kind not in KINDS:
                raise ValueError(f"source {one.name}: unknown kind {one.kind!r}; allowed: {', '.join(KINDS)}")
            if one.name in self._sources:
                raise ValueError(f"two sources are named {one.name}")
            self._sources[one.name] = KINDS[one.kind].source(one, clock)
            self._histories[one.name] = KINDS[one.kind].history(one, clock)

    def perform(self, ask: Fetch) -> Counts | Totals | Failure:
        """The answer to a tick's request."""
        source = self._sources.get(ask.source)
        if source is None:
            known = ", ".join(self._sources) or "none"
            return Failure(FailureKind.INVALID, f"no metric source is named {ask.source!r}; configured: {known}")
        return source.fetch(ask)

    def history(self, name: str) -> History | None:
        """The past of a source; None where no source has this name."""
        return self._histories.get(name)
