"""The four delivery figures of every app, from the releases that are kept, for the controller's own metrics.

They describe the last 28 days, or less where an app's history is shorter; a release that has ended is read once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily

from controller.morning import Figures, Journey, journey
from controller.morning.figures import figures
from controller.record import RecordInvalid, RecordTooNew
from controller.release.names import AppKey
from controller.release.vocabulary import ENDS

Object = Mapping[str, Any]
PERIOD = 28 * 86400.0
_ENDED = frozenset(phase.value for phase in ENDS)
_LABELS = ["namespace", "app"]


class Deliveries:
    """`releases`: all Release objects of the watch cache; `now`: epoch seconds. Safe to share between threads."""

    def __init__(self, releases: Callable[[], list[Object]], now: Callable[[], float]) -> None:
        self._releases = releases
        self._now = now
        self._read: dict[str, tuple[str, Journey | None]] = {}

    def figures(self) -> dict[AppKey, Figures]:
        """The figures of every app of which a release has ended."""
        now = self._now()
        by_app: dict[AppKey, list[Journey]] = {}
        read: dict[str, tuple[str, Journey | None]] = {}
        for obj in self._releases():
            if str((obj.get("status") or {}).get("phase")) not in _ENDED:
                continue
            metadata = obj.get("metadata") or {}
            uid, version = str(metadata.get("uid", "")), str(metadata.get("resourceVersion", ""))
            known = self._read.get(uid)
            read[uid] = known if known is not None and known[0] == version else (version, _journey(obj))
            if (one := read[uid][1]) is not None:
                by_app.setdefault(AppKey(one.namespace, one.app), []).append(one)
        self._read = read
        return {app: figures(found, now - PERIOD, now) for app, found in by_app.items()}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The metrics. A figure that nothing tells has no sample."""
        found = self.figures()
        changes = GaugeMetricFamily(
            "nightferry_delivery_changes",
            "Changes of the last 28 days that are still kept: arrived and stayed, or failed.",
            labels=[*_LABELS, "outcome"],
        )
        for app, one in found.items():
            changes.add_metric([app.namespace, app.policy, "arrived"], one.arrived)
            changes.add_metric([app.namespace, app.policy, "failed"], one.failed)
        yield changes
        for name, says, value in _FIGURES:
            family = GaugeMetricFamily(f"nightferry_delivery_{name}", says, labels=_LABELS)
            for app, one in found.items():
                if (number := value(one)) is not None:
                    family.add_metric([app.namespace, app.policy], number)
            yield family


_FIGURES: tuple[tuple[str, str, Callable[[Figures], float | None]], ...] = (
    ("per_day", "Changes that arrived, a day, over the last 28 days.", lambda one: one.per_day),
    ("lead_seconds", "Median time from asking for a change to all its pods.", lambda one: one.lead),
    ("failure_ratio", "Share of ended changes that were taken back or need a person.", lambda one: one.failure_rate),
    ("restore_seconds", "Median time from a turn to the old version with all its pods.", lambda one: one.restore),
)


def _journey(obj: Object) -> Journey | None:
    try:
        return journey(obj)
    except (RecordInvalid, RecordTooNew, ValueError):
        return None  # the app's own tick says so
