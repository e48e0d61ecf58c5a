"""The parts of the process that hear of alerts, wired together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from controller.alerts.alertmanager import Alertmanagers
from controller.alerts.intake import Intake
from controller.alerts.receiver import Receiver
from controller.alerts.settings import AlertsSettings
from controller.cli.ends import Refusal
from controller.clock import Clock
from controller.cluster.cache import Cache, Kind
from controller.cluster.callers import Callers
from controller.cluster.connection import Connection
from controller.cluster.shell import Cluster
from controller.release.names import AppKey
from controller.report import Report
from controller.report.alerting import AlertReport
from controller.requests.failure import Failure
from controller.roster import Roster


class Policies:
    """The policies of the watch cache; a Failure while the copy may not be looked at."""

    def __init__(self, cache: Cache, bound: float) -> None:
        self._cache = cache
        self._bound = bound

    def __call__(self) -> Sequence[Mapping[str, Any]] | Failure:
        return self._cache.trouble(Kind.POLICY, self._bound) or self._cache.read_all(Kind.POLICY)


def hearing(told: AlertsSettings, report: Report, clock: Clock) -> tuple[Alertmanagers, AlertReport]:
    """Who is asked what fires, and who tells what came of alerts."""
    ear = AlertReport(report.metrics.registry, clock, [one.name for one in told.alertmanagers])
    report.on_rollback = ear.turned
    return Alertmanagers(told.alertmanagers, told.watchdog, clock, ear.read), ear


def receiver(
    told: AlertsSettings,
    knows: Alertmanagers,
    connection: Connection,
    shell: Cluster,
    policies: Policies,
    roster: Roster,
    wake: Callable[[AppKey], None],
    clock: Clock,
    ear: AlertReport,
) -> Receiver | None:
    """The listener for posts, not yet started; None where none is configured. Raises Refusal."""
    if told.listen is None:
        return None
    intake = Intake(shell, knows, policies, roster.active, wake, clock, ear)
    try:
        return Receiver(told, Callers(connection, clock), intake.take, clock, ear.posted)
    except OSError as error:
        where = f"{told.listen[0]}:{told.listen[1]}"
        raise Refusal(f"cannot listen for alerts on {where}: {error.strerror or error}") from None
