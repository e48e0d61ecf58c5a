"""What came of alerts, for the log and the metrics: posts, alerts, the hops, and which Alertmanagers are heard."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from controller.clock import Clock
from controller.inbox import Told
from controller.release.names import AppKey
from controller.release.record import Record
from controller.release.vocabulary import Cause

_HOPS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0)
POSTS = ("kept", "unkept", "malformed", "large", "cut", "stranger", "forbidden", "unjudged", "busy", "lost")
OUTCOMES = ("matched", "unmatched", "truncated", "kept", "idle", "ignored")
READS = ("answered", "silent", "deaf")
QUIET = 60.0  # seconds between two lines that the same Alertmanager is not heard: one may answer every other time
_SHOWN = 5


class AlertReport:
    """Safe to share between threads. `alertmanagers`: the names of those that are asked."""

    def __init__(self, registry: CollectorRegistry, clock: Clock, alertmanagers: Iterable[str] = ()) -> None:
        self._clock = clock
        self._log = structlog.get_logger("nightferry")
        self._odd: set[str] = set()
        self._lock = threading.Lock()
        self._missed: set[str] = set()  # the Alertmanagers of which the log's last word is that they are not heard
        self._quiet: dict[str, float] = {}  # until when no other line says so, by the steady clock
        self._posts = Counter(
            "nightferry_alert_posts",
            "Posts of Alertmanager, by how they ended; stranger and forbidden: nobody who may post.",
            ["outcome"],
            registry=registry,
        )
        self._alerts = Counter(
            "nightferry_alerts",
            "Alerts in posts, by what came of them; ignored: no Alertmanager says that they fire.",
            ["outcome"],
            registry=registry,
        )
        self._last = Gauge(
            "nightferry_alert_last_post_timestamp_seconds",
            "When the last post was kept; 0 before any.",
            registry=registry,
        )
        self._writes = Counter(
            "nightferry_alert_inbox_writes",
            "Writes of policies' inboxes; posts that come together share one.",
            registry=registry,
        )
        self._hops = Histogram(
            "nightferry_alert_to_rollback_seconds",
            "From an alert's beginning to the decision that it causes. hop: post (until its post came), tick (from "
            "there to the decision), all.",
            ["hop"],
            buckets=_HOPS,
            registry=registry,
        )
        self._reads = Counter(
            "nightferry_alertmanager_reads",
            "Level reads by what came of them at each Alertmanager; silent: no answer in time, deaf: one without the "
            "watchdog.",
            ["alertmanager", "outcome"],
            registry=registry,
        )
        for name in alertmanagers:
            for word in READS:
                self._reads.labels(name, word)
        for word in POSTS:
            self._posts.labels(word)
        for word in OUTCOMES:
            self._alerts.labels(word)

    def posted(self, outcome: str) -> None:
        """A request to the listener has ended."""
        self._posts.labels(outcome).inc()
        if outcome == "kept":
            self._last.set(self._clock.now())

    def read(self, alertmanager: str, outcome: str, because: str) -> None:
        """What came of a level read at one Alertmanager. That it is not heard is said once, and when it is again."""
        self._reads.labels(alertmanager, outcome).inc()
        at = self._clock.monotonic()
        with self._lock:
            if outcome == "answered":
                if alertmanager in self._missed:
                    self._missed.remove(alertmanager)
                    self._log.info("alertmanager heard again", alertmanager=alertmanager)
            elif alertmanager not in self._missed and at >= self._quiet.get(alertmanager, at):
                self._missed.add(alertmanager)
                self._quiet[alertmanager] = at + QUIET
                self._log.warning("alertmanager not heard", alertmanager=alertmanager, because=because)

    def came(self, outcome: str, number: int) -> None:
        """So many alerts of a post concern somebody, nobody, or were left out."""
        self._alerts.labels(outcome).inc(number)

    def kept(self, app: AppKey, alerts: Sequence[Told], *, active: bool) -> None:
        """Alerts are in the inbox of an app; without a release under way that is all that happens."""
        self._alerts.labels("kept" if active else "idle").inc(len(alerts))
        self._log.info("alerts", app=str(app), release="under way" if active else "none", **_names(alerts))

    def wrote(self) -> None:
        """An inbox was written."""
        self._writes.inc()

    def ignored(self, app: AppKey, alerts: Sequence[Told]) -> None:
        """A post told of alerts that do not fire: an old one, or one that is over."""
        self._alerts.labels("ignored").inc(len(alerts))
        because = "no configured Alertmanager says that they fire"
        self._log.warning("alerts ignored", app=str(app), because=because, **_names(alerts))

    def odd(self, name: str, because: str) -> None:
        """An alert says something that cannot be; once for each."""
        if name not in self._odd and len(self._odd) < 1000:
            self._odd.add(name)
            self._log.warning("odd alert", alert=name[:120], because=because)

    def turned(self, record: Record) -> None:
        """A release turned back, perhaps because of an alert: how long that took, by hop."""
        if record.cause is not Cause.ALERT:
            return
        charged = [each for each in record.alerts if each.part == "charged"]
        if not charged:
            return
        first = min(charged, key=lambda each: each.since)
        self._hops.labels("all").observe(max(0.0, first.at - first.since))
        if first.heard:
            self._hops.labels("post").observe(max(0.0, first.heard - first.since))
            self._hops.labels("tick").observe(max(0.0, first.at - first.heard))


def _names(alerts: Sequence[Told]) -> dict[str, object]:
    names = sorted({told.name[:80] for told in alerts})
    return {"number": len(alerts), "alerts": names[:_SHOWN]}
