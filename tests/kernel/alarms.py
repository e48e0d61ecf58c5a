"""What an alert may not be lost against: the law of the alert that wins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.inbox import instant
from controller.release.record import Record
from controller.release.vocabulary import FORWARD, Phase
from controller.requests.outside import FiringAlerts
from policies.schema import OnAlert
from tests.kernel.memory import Moment, patched, pinned_by, ungated


def alarm_wins(now: Moment) -> str:
    """A step forward rests on what fired after the gates and the record were read: on nothing that turns back."""
    was = now.was if now.record is not None else (now.life.record if now.life is not None else None)
    if was is None or was.phase not in FORWARD or not _goes_forward(now, was):
        return ""
    policy = pinned_by(was).spec
    if not policy.alerts or ungated(was) or policy.mode == "observe":
        return ""
    if not now.eyes.firing:
        return "nobody asked what fires"
    last = now.eyes.firing[-1]
    if not isinstance(last, FiringAlerts):
        return f"what fires could not be read: {last}"
    if not now.eyes.heard_last:
        return "a gate or the record was read after the last look at what fires"
    turning = [item["labels"]["alertname"] for item in last.items if _counts(item, policy.alerts, was, now.world.now)]
    return f"{', '.join(turning)} fired" if turning else ""


def _goes_forward(now: Moment, was: Record) -> bool:
    if now.record is not None:
        return now.record.stage > was.stage or now.record.phase is Phase.SUCCEEDED
    found = patched(now)
    return found is not None and found[2] > found[1] and _is_contender(now, was, found[0].name)


def _is_contender(now: Moment, was: Record, name: str) -> bool:
    return was.contender is not None and was.contender.name == name


def _counts(item: Mapping[str, Any], alerts: tuple[OnAlert, ...], was: Record, at: float) -> bool:
    muted = item["status"]["state"] == "suppressed"
    since = instant(item["startsAt"], at)[0]
    before = any(each.part == "before" and each.fingerprint == item["fingerprint"] for each in was.alerts)
    return since >= was.started and not before and any(
        each.then == "rollBack" and each.matches(item["labels"]) and (each.even_silenced or not muted)
        for each in alerts
    )  # fmt: skip
