"""The Job controller of the simulated cluster: a Job runs, then succeeds, fails or runs out of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controller.simulation.objects import Key, timestamp

if TYPE_CHECKING:
    from controller.simulation.world import World

MANAGER = "kube-controller-manager"


@dataclass(frozen=True, slots=True)
class JobCourse:
    """How Jobs end in this world: after so many seconds (None: never by themselves), well or not."""

    ends_in: float | None = 20.0
    succeeds: bool = True


def sync(world: World, key: Key) -> None:
    """Starts a Job, or ends one whose time has come."""
    world.due.pop(key, None)
    job = world.objects.items.get(key)
    if job is None:
        return
    status = dict(job.get("status") or {})
    if any(each["type"] in ("Complete", "Failed") for each in status.get("conditions", ())):
        return
    course, limit = world.jobs, float(job["spec"].get("activeDeadlineSeconds") or 86_400)
    if "startTime" not in status:
        _patch(world, key, {"startTime": timestamp(world.now), "active": 1})
        world.due[key] = world.now + min(limit, course.ends_in if course.ends_in is not None else limit)
        return
    if course.ends_in is None or course.ends_in > limit:
        _end(world, key, "Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
    elif course.succeeds:
        _end(world, key, "Complete", "", "")
    else:
        _end(world, key, "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")


def _end(world: World, key: Key, kind: str, reason: str, message: str) -> None:
    at = timestamp(world.now)
    condition = {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": at}
    ended = {"completionTime": at, "succeeded": 1} if kind == "Complete" else {"failed": 1}
    _patch(world, key, {"active": None, "conditions": [condition], **ended})


def _patch(world: World, key: Key, status: dict[str, Any]) -> None:
    world.objects.patch(key, {"status": status}, MANAGER, world.now, status=True)
