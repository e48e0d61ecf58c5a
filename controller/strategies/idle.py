"""The idle Deployment of an app whose releases a template starts (`spec.trigger: template`): kept paused by us.

Paused, a change of the template moves nothing. Our annotation says that the pause is ours and which version serves, so
that a template of another version is seen as a wish for a release, without reading anything else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from controller.release.names import GROUP
from controller.release.observation import ReplicaSetState, SlotState
from controller.release.plan import PatchSlot

IDLE_ANNOTATION = f"{GROUP}/idle"
MOST_RESUMED = 1  # times that we pause again what somebody has resumed: then it is theirs


@dataclass(frozen=True, slots=True)
class Idle:
    """Our annotation: the version that serves, and how often somebody has resumed the Deployment since."""

    digest: str
    resumed: int = 0

    def written(self) -> str:
        return json.dumps({"digest": self.digest, "resumed": self.resumed}, sort_keys=True, separators=(",", ":"))


def idle_of(slot: SlotState) -> Idle | None:
    """What our annotation says; None where there is none that we could have written."""
    text = ((slot.raw.get("metadata") or {}).get("annotations") or {}).get(IDLE_ANNOTATION)
    try:
        told = json.loads(text or "")
        return Idle(str(told["digest"]), int(told["resumed"]))
    except (ValueError, TypeError, KeyError):
        return None


def rests(slot: SlotState, *, wanted: bool) -> bool:
    """Whether there is nothing to do, as far as the Deployment alone can tell."""
    mark = idle_of(slot)
    if mark is None:
        return not wanted or slot.paused  # paused, but not by us: it is somebody's
    return wanted and slot.paused and slot.digest == mark.digest


def serving(slot: SlotState, replica_sets: Sequence[ReplicaSetState]) -> str:
    """The one version that runs; "" where none does, or more than one, or nobody has acted upon the last change."""
    running = {each.digest for each in replica_sets if each.deployment == slot.name and each.replicas > 0}
    return running.pop() if len(running) == 1 and slot.observed else ""


def pending(slot: SlotState, running: str) -> bool:
    """Whether the paused Deployment holds another version than the one that serves."""
    return idle_of(slot) is not None and slot.paused and running not in ("", slot.digest)


def keeping(slot: SlotState, running: str, *, wanted: bool) -> PatchSlot | None:
    """The write that keeps it paused, or gives it back where a template starts nothing any more."""
    mark = idle_of(slot)
    if running != slot.digest:
        return None  # a rollout of somebody else's comes to its end first, and a version that waits is not let loose
    if not wanted:
        return _write(slot, None, "resume", paused=None if slot.paused else slot.paused) if mark is not None else None
    if mark is None:
        return None if slot.paused else _write(slot, Idle(running), "pause the idle", paused=True)
    if not slot.paused:
        if mark.resumed >= MOST_RESUMED:
            return None
        return _write(slot, Idle(running, mark.resumed + 1), "pause the idle", paused=True)
    return _write(slot, Idle(running, mark.resumed), "mark the idle", paused=True) if mark.digest != running else None


def _write(slot: SlotState, mark: Idle | None, told: str, *, paused: bool | None) -> PatchSlot:
    return PatchSlot(
        name=slot.name,
        resource_version=slot.resource_version,
        claim=None,
        summary=f"{told} {slot.name}",
        fields={"paused": paused},
        annotations={IDLE_ANNOTATION: mark.written() if mark is not None else None},
    )
