"""The releases of a train's cars, as its rules see them; read leniently, as the train itself is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pydantic_core import PydanticCustomError

from controller.attempt import Attempt, parsed, seconds
from controller.night.hours import own_hours, zone_of
from controller.night.train import Rider, Seat
from controller.night.windows import wall
from controller.quarantine import AGAINST_THE_VERSION, quarantines, resembles
from controller.record import RecordTooNew
from controller.release.vocabulary import HoldReason, Phase
from policies.schema import ReleasePolicy
from policies.windows import Instant

Object = Mapping[str, Any]
_PHASES = frozenset(each.value for each in Phase)


def riders_of(
    objects: Sequence[Object],
    seats: Sequence[Seat],
    policies: Mapping[str, tuple[ReleasePolicy | None, Object]],
    now: float,
) -> tuple[Rider, ...]:
    """The releases of the cars, the oldest first."""
    cars = {seat.policy for seat in seats}
    own = [obj for obj in objects if (obj.get("spec") or {}).get("policy") in cars]
    behind = _examined_last(own)
    riders = (_with_hours(*_rider(obj, behind), policies, now) for obj in own)
    return tuple(sorted(riders, key=lambda each: (each.created, each.name)))


def _examined_last(objects: Sequence[Object]) -> frozenset[str]:
    """The uids of those in the queue that resemble a version in quarantine; mostly none is, and no record is read."""
    against = [each for each in _attempts(obj for obj in objects if _turned(obj) in AGAINST_THE_VERSION)
               if quarantines(each)]  # fmt: skip
    if not against:
        return frozenset()
    queued = _attempts(obj for obj in objects if (obj.get("status") or {}).get("phase") in (None, Phase.QUEUED.value))
    policies = {each.spec.policy for each in against}
    return frozenset(
        each.uid
        for policy in policies
        for each in queued
        if each.spec.policy == policy and resembles(each, [one for one in against if one.spec.policy == policy])
    )


def _attempts(objects: Iterable[Object]) -> list[Attempt]:
    found = []
    for obj in objects:
        with suppress(RecordTooNew):
            found.append(parsed(obj))
    return found


def _turned(obj: Object) -> str:
    """The cause for which a release turned back or ended, or ""."""
    status = obj.get("status") or {}
    record = status.get("record")
    turned = record.get("turned") if isinstance(record, Mapping) else ""
    return str(turned or status.get("cause") or "")


def _rider(obj: Object, behind: frozenset[str]) -> tuple[Rider, Object, float]:
    metadata, spec, status = obj.get("metadata") or {}, obj.get("spec") or {}, obj.get("status") or {}
    record = status.get("record")
    record = record if isinstance(record, Mapping) else {}
    phase = str(status.get("phase") or Phase.QUEUED.value)
    rider = Rider(
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        policy=str(spec.get("policy", "")),
        created=seconds(str(metadata.get("creationTimestamp") or "")),
        phase=Phase(phase) if phase in _PHASES else Phase.NEEDS_HUMAN,
        cause=_turned(obj),
        held=str(status.get("heldReason") or ""),
        paused=spec.get("paused") is True,
        urgent=bool(spec.get("now")),
        deleting="deletionTimestamp" in metadata,
        back=str(spec.get("rollbackOf") or spec.get("restoreOf") or ""),
        seen="phase" in status,
        quarantined=_quarantined(status.get("held")),
        behind=metadata.get("uid") in behind,
    )
    written = record.get("latest") or record.get("written")
    return rider, spec, float(written) if isinstance(written, int | float) else 0.0


def _quarantined(held: Any) -> str:
    """What the hold of a release says of its quarantine: whether it leaves, and what lifts it."""
    if not isinstance(held, Mapping) or held.get("reason") != HoldReason.QUARANTINED.value:
        return ""
    return str(held.get("then") or "somebody has to lift it")


def _with_hours(
    rider: Rider,
    spec: Object,
    written: float,
    policies: Mapping[str, tuple[ReleasePolicy | None, Object]],
    now: float,
) -> Rider:
    policy = policies[rider.policy][0]
    if policy is None or not rider.waits:
        return rider
    hold = own_hours(policy.spec, _not_before(spec), now, written)
    if hold is None:
        return rider
    when = f" until {wall(zone_of(policy.spec), hold.until)}" if hold.until is not None else ""
    return replace(rider, shut=f"{hold.reason.value} by its own policy{when}", opens=hold.until)


def _not_before(spec: Object) -> float | None:
    try:
        return Instant.read(spec["notBefore"]).seconds if "notBefore" in spec else None
    except PydanticCustomError:
        return None  # its own tick refuses it
