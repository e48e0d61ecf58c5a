"""The controller's own metrics, for the Prometheus that watches the controller.

Counters count since the start of the process. What describes the present (releases by phase, holds, lag) is read when
it is asked for, so that a finished release leaves no label behind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from platform import python_version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from controller.release.names import AppKey, Key
from controller.release.vocabulary import Phase

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_TICK_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LEARN_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
_REQUEST_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def product_version() -> str:
    """The installed version, or "0" in a source tree that was never installed."""
    try:
        return version("nightferry")
    except PackageNotFoundError:
        return "0"


def _label(key: Key) -> str:
    """The policy of an app; "train/<name>" for a train, which no policy can be called."""
    return str(key).partition("/")[2]


class _Present(Collector):
    """Gauges whose label sets live no longer than what they describe."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.held: dict[Key, str] = {}
        self.lag: dict[Key, float] = {}
        self.phases: Callable[[], Mapping[str, int]] = dict
        self.cache_age: Callable[[], float] = lambda: 0.0
        self.baseline_ages: Callable[[], Mapping[AppKey, float]] = dict
        self.notices: Callable[[], Mapping[str, int]] = dict
        self.delivery: Callable[[], Iterable[GaugeMetricFamily]] = tuple

    def collect(self) -> Iterator[GaugeMetricFamily]:
        phases = self.phases()
        releases = GaugeMetricFamily("nightferry_releases", "Releases in the cluster by phase.", labels=["phase"])
        for phase in Phase:
            releases.add_metric([phase.value], phases.get(phase.value, 0))
        yield releases
        held = GaugeMetricFamily(
            "nightferry_release_held", "1 for an app whose release stands still.", labels=["namespace", "app", "reason"]
        )
        lag = GaugeMetricFamily(
            "nightferry_tick_lag_seconds",
            "How much later than asked for the app's last tick began.",
            labels=["namespace", "app"],
        )
        with self.lock:
            for app, reason in self.held.items():
                held.add_metric([app.namespace, _label(app), reason], 1)
            for app, seconds in self.lag.items():
                lag.add_metric([app.namespace, _label(app)], seconds)
        yield held
        yield lag
        ages = GaugeMetricFamily(
            "nightferry_baseline_age_seconds",
            "Seconds since the app's baseline was learned; no sample for an app that has none.",
            labels=["namespace", "app"],
        )
        for app, seconds in self.baseline_ages().items():
            ages.add_metric([app.namespace, app.policy], seconds)
        yield ages
        yield from self.delivery()
        waiting = GaugeMetricFamily(
            "nightferry_notices_waiting", "Notices that a notifier has not sent yet.", labels=["notifier"]
        )
        for notifier, number in self.notices().items():
            waiting.add_metric([notifier], number)
        yield waiting
        yield GaugeMetricFamily(
            "nightferry_cache_age_seconds",
            "Seconds since the API server was last heard, by the watch that heard it longest ago.",
            value=self.cache_age(),
        )


class Metrics:
    """Everything that /metrics shows. Safe to share between threads."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series beside each counter, which nobody reads
        self.registry = CollectorRegistry()
        self.present = _Present()
        self.registry.register(self.present)
        ProcessCollector(registry=self.registry)
        registry = self.registry
        self.ticks = Counter(
            "nightferry_ticks", "Ticks that ran, by what came of them.", ["outcome"], registry=registry
        )
        self.tick_seconds = Histogram(
            "nightferry_tick_duration_seconds", "How long ticks took.", buckets=_TICK_SECONDS, registry=registry
        )
        self.requests = Counter(
            "nightferry_requests", "Requests of ticks, by kind and outcome.", ["kind", "outcome"], registry=registry
        )
        self.request_seconds = Histogram(
            "nightferry_request_duration_seconds",
            "How long requests of ticks took.",
            ["kind"],
            buckets=_REQUEST_SECONDS,
            registry=registry,
        )
        self.writes = Counter("nightferry_writes", "Writes that ticks made.", registry=registry)
        self.conflicts = Counter(
            "nightferry_conflicts", "Writes refused because somebody wrote in between.", registry=registry
        )
        self.crashes = Counter("nightferry_tick_exceptions", "Ticks that ended by an exception.", registry=registry)
        self.turns = Counter(
            "nightferry_turns", "Decisions that turned a release, by kind.", ["kind"], registry=registry
        )
        self.learned = Counter(
            "nightferry_learn_runs",
            "Looks at history, by what they were for and what came of them.",
            ["task", "outcome"],
            registry=registry,
        )
        self.learn_seconds = Histogram(
            "nightferry_learn_duration_seconds",
            "How long looks at history took.",
            ["task"],
            buckets=_LEARN_SECONDS,
            registry=registry,
        )
        self.learn_failures = Counter(
            "nightferry_learn_failures", "Looks at history that left nothing behind.", registry=registry
        )
        self.jobs = Counter(
            "nightferry_job_faults", "Runs that the scheduler missed, skipped or lost.", ["fault"], registry=registry
        )
        self.notices = Counter(
            "nightferry_notices",
            "Tries to send a notice, by notifier and what came of them: sent, later, refused.",
            ["notifier", "outcome"],
            registry=registry,
        )
        self.hot = Counter(
            "nightferry_write_cap_hits", "Times an app was held for writing too much.", registry=registry
        )
        self.policy_files = Gauge(
            "nightferry_policy_file_errors", "Faults in the folder of policies at its last reading.", registry=registry
        )
        for fault in ("missed", "error", "overrun"):
            self.jobs.labels(fault)
        Gauge(
            "nightferry_build_info",
            "The version that runs.",
            ["version", "python"],
            registry=registry,
        ).labels(product_version(), python_version()).set(1)

    def text(self) -> bytes:
        """The exposition in the Prometheus text format."""
        return generate_latest(self.registry)
