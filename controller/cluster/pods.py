"""Pods as a release looks at them: decoded straight into the few fields it needs, and reduced to `PodState`.

A pod is about 8 KB of JSON, of which this reads perhaps 300 bytes; the rest never becomes a Python object. The structs
are left out of the garbage collector's walks (`gc=False`): a list of thousands of pods would otherwise stop all
threads while it is walked.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from controller.release.observation import PodList, PodState


class _Owner(msgspec.Struct, gc=False):
    name: str = ""
    kind: str = ""
    controller: bool | None = None


class _Metadata(msgspec.Struct, gc=False, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    owner_references: list[_Owner] | None = None


class _Condition(msgspec.Struct, gc=False, rename="camel"):
    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None
    last_transition_time: datetime | None = None


class _Waiting(msgspec.Struct, gc=False):
    reason: str | None = None
    message: str | None = None


class _Running(msgspec.Struct, gc=False, rename="camel"):
    started_at: datetime | None = None


class _Terminated(msgspec.Struct, gc=False, rename="camel"):
    exit_code: int | None = None
    finished_at: datetime | None = None


class _State(msgspec.Struct, gc=False):
    waiting: _Waiting | None = None
    running: _Running | None = None
    terminated: _Terminated | None = None


class _Container(msgspec.Struct, gc=False, rename="camel"):
    name: str = ""
    restart_count: int = 0
    state: _State | None = None
    last_state: _State | None = None


class _Asked(msgspec.Struct, gc=False, rename="camel"):
    name: str = ""
    restart_policy: str | None = None


class _Spec(msgspec.Struct, gc=False, rename="camel"):
    node_name: str | None = None
    init_containers: list[_Asked] | None = None


class _Status(msgspec.Struct, gc=False, rename="camel"):
    phase: str = ""
    conditions: list[_Condition] | None = None
    container_statuses: list[_Container] | None = None
    init_container_statuses: list[_Container] | None = None


class SlimPod(msgspec.Struct, gc=False):
    """The fields of a core/v1 Pod that a release reads."""

    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


_decoder = msgspec.json.Decoder(SlimPod)

# Worst first: reasons that end only by a change of the pod's description, then those that may pass by themselves.
_REASONS = (
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "ErrImagePull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
)
_RANK = {reason: rank for rank, reason in enumerate(_REASONS)}
_BEGINNING = ("", "ContainerCreating", "PodInitializing")


def decode_pod(data: bytes | memoryview | msgspec.Raw) -> PodState:
    """The PodState of a pod's JSON. Raises msgspec.DecodeError where a field has a wrong type."""
    return pod_state(_decoder.decode(data))


def pod_list(pods: Iterable[PodState], version: str) -> PodList:
    """The pods as a release looks at them: one that has ended is none any more."""
    return PodList(tuple(pod for pod in pods if not pod.ended), version)


def pod_state(pod: SlimPod) -> PodState:
    """What a release sees of a pod. Times are seconds since the epoch; 0 where the server gives none."""
    conditions = {condition.type: condition for condition in pod.status.conditions or ()}
    ready = conditions.get("Ready")
    scheduled = conditions.get("PodScheduled")
    unschedulable = scheduled is not None and scheduled.status == "False" and scheduled.reason == "Unschedulable"
    first, serving = pod.status.init_container_statuses or [], pod.status.container_statuses or []
    reason, message = _worst_waiting([*first, *serving])
    if first:
        # A sidecar is an init container that never ends: it serves like any other container.
        sidecars = {asked.name for asked in pod.spec.init_containers or () if asked.restart_policy == "Always"}
        serving = [*(each for each in first if each.name in sidecars), *serving]
        first = [each for each in first if each.name not in sidecars]
    if unschedulable and not message and scheduled is not None:
        message = scheduled.message or ""
    return PodState(
        name=pod.metadata.name,
        replica_set=next((owner.name for owner in pod.metadata.owner_references or () if owner.controller), ""),
        ready=ready is not None and ready.status == "True",
        ready_since=_seconds(ready.last_transition_time) if ready is not None else 0.0,
        terminating=pod.metadata.deletion_timestamp is not None,
        ended=pod.status.phase in ("Failed", "Succeeded"),
        restarts=sum(each.restart_count for each in serving)
        + sum(each.restart_count for each in first if not _ended_well(each)),
        restarted_at=_restart_times(serving),
        waiting=reason,
        message=message,
        unschedulable=unschedulable,
        node=pod.spec.node_name or "",
        labels=pod.metadata.labels or {},
    )


def _worst_waiting(containers: list[_Container]) -> tuple[str, str]:
    """Reason and message of the container that is worst off; ("", "") where none waits with a fault."""
    found = ("", "")
    for container in containers:
        waiting = container.state.waiting if container.state is not None else None
        reason = (waiting.reason or "") if waiting is not None else ""
        if waiting is None or reason in _BEGINNING:
            continue
        if not found[0] or _RANK.get(reason, len(_RANK)) < _RANK.get(found[0], len(_RANK)):
            found = (reason, waiting.message or "")
    return found


def _ended_well(container: _Container) -> bool:
    """Whether an init container has done its work. A node that starts anew runs it again, which is no failure."""
    last = [state.terminated for state in (container.state, container.last_state) if state is not None]
    ends = [end.exit_code for end in last if end is not None]
    return bool(ends) and ends[0] == 0


def _restart_times(containers: list[_Container]) -> tuple[float, ...]:
    """When restarted containers ended and began again, as far as the server still knows: the last time of each."""
    times: set[float] = set()
    for container in containers:
        if container.restart_count <= 0:
            continue
        running = container.state.running if container.state is not None else None
        ended = container.last_state.terminated if container.last_state is not None else None
        for at in (running.started_at if running else None, ended.finished_at if ended else None):
            if at is not None:
                times.add(_seconds(at))
    return tuple(sorted(times))


def _seconds(at: datetime | None) -> float:
    return 0.0 if at is None else at.timestamp()
