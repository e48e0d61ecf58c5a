"""What the simulated API server and metric store answer to each request of a tick."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

from controller.release import CLAIM_ANNOTATION, CreateSlot, PatchSlot, PodList, PodState
from controller.requests import (
    Answer,
    CreateRelease,
    DeleteRelease,
    Failure,
    FailureKind,
    Fetch,
    Neighbours,
    Read,
    ReadBaseline,
    ReadNeighbours,
    ReadPods,
    ReadPolicy,
    ReadRelease,
    ReadReleases,
    ReadSlot,
    ReviewAccess,
    Write,
    WriteEvent,
    WritePolicyStatus,
    WriteRecord,
    WriteSlot,
)
from controller.simulation.objects import Key, Object, absent
from controller.slots import claim_text

if TYPE_CHECKING:
    from controller.simulation.world import World

MANAGER = "nightferry"


@dataclass(frozen=True, slots=True)
class View:
    """All objects and pods as they were at one instant and version."""

    at: float
    version: int
    objects: Mapping[Key, Object]
    pods: tuple[tuple[str, PodState], ...]


def read_from(world: World, request: Read, given: View) -> Answer:
    """Answer a read from a view; looks through the watch cache may see an older one still."""
    if isinstance(request, Fetch):
        return world.store_fault if world.store_fault is not None else world.traffic.fetch(request)
    if world.api_fault is not None:
        return world.api_fault
    cached = not getattr(request, "fresh", isinstance(request, ReadRelease | ReadNeighbours | ReviewAccess))
    lag = world.conditions.cache_lag
    view = min(given, world.view(lag), key=lambda each: each.version) if cached and lag > 0.0 else given
    match request:
        case ReadPolicy(namespace, name):
            return _one(view, ("ReleasePolicy", namespace, name))
        case ReadReleases(namespace, policy):
            found = _all(view, "Release", namespace)
            return [each for each in found if (each.get("spec") or {}).get("policy") == policy]
        case ReadRelease(namespace, name):
            return _one(view, ("Release", namespace, name))
        case ReadSlot(namespace, name):
            return _one(view, ("Deployment", namespace, name))
        case ReadPods(namespace, labels):
            pods = tuple(
                pod
                for space, pod in view.pods
                if space == namespace and all(pod.labels.get(key) == value for key, value in labels)
            )
            return PodList(pods, str(view.version))
        case ReadBaseline(namespace, name):
            return _one(view, ("Baseline", namespace, name))
        case ReadNeighbours(namespace):
            return Neighbours(
                policies=_all(view, "ReleasePolicy", namespace),
                autoscalers=_all(view, "HorizontalPodAutoscaler", namespace),
                services=_all(view, "Service", namespace),
            )
        case ReviewAccess(_, permissions):
            return tuple(each for each in permissions if str(each) in world.lacking)
        case _:
            assert_never(request)


def _one(view: View, key: Key) -> Answer:
    found = view.objects.get(key)
    return found if found is not None else absent(key)


def _all(view: View, kind: str, namespace: str) -> list[Object]:
    return [view.objects[key] for key in sorted(view.objects) if key[0] == kind and key[1] == namespace]


# ---------------------------------------------------------------------------------------------------- writes


def performed(world: World, request: Write) -> tuple[Key | None, Answer, Object | None]:
    """Perform a write -> (the object's key, the answer, the object before)."""
    key = _key_of(request)
    before = world.objects.items.get(key) if key is not None else None
    if world.api_fault is not None:
        return key, world.api_fault, before
    if (needed := _permission(request)) in world.lacking:
        return key, Failure(FailureKind.FORBIDDEN, f"forbidden: cannot {needed}"), before
    return key, _perform(world, request, key), before


def _perform(world: World, request: Write, key: Key | None) -> Answer:
    objects, now = world.objects, world.now
    match request:
        case WriteRecord(_, _, version, status) | WritePolicyStatus(_, _, version, status):
            assert key is not None
            return objects.patch(key, {"status": status}, MANAGER, now, version=version, status=True)
        case WriteSlot(namespace, CreateSlot() as write):
            return objects.create(write.manifest, namespace, MANAGER, now)
        case WriteSlot(_, write):
            assert key is not None and isinstance(write, PatchSlot)
            whole = {"template": write.template} if write.template is not None else None
            return objects.patch(key, _patch(write), MANAGER, now, version=write.resource_version, whole=whole)
        case CreateRelease(namespace, manifest):
            return objects.create(manifest, namespace, MANAGER, now)
        case DeleteRelease(_, _, uid):
            assert key is not None
            gone = objects.delete(key, uid)
            return gone if isinstance(gone, Failure) and gone.kind is not FailureKind.ABSENT else None
        case WriteEvent(name=name):
            world.events.setdefault(name, request)
            return None
        case _:
            assert_never(request)


def _patch(write: PatchSlot) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    if write.replicas is not None:
        spec["replicas"] = write.replicas
    if write.min_ready is not None:
        spec["minReadySeconds"] = math.ceil(write.min_ready)
    claim = None if write.claim is None else claim_text(write.claim)
    patch: dict[str, Any] = {"metadata": {"annotations": {CLAIM_ANNOTATION: claim}}}
    return {**patch, "spec": spec} if spec else patch


def _key_of(request: Write) -> Key | None:
    match request:
        case WriteRecord(namespace, name) | DeleteRelease(namespace, name):
            return ("Release", namespace, name)
        case WritePolicyStatus(namespace, name):
            return ("ReleasePolicy", namespace, name)
        case WriteSlot(namespace, write):
            return ("Deployment", namespace, write.name)
        case CreateRelease(namespace, manifest):
            return ("Release", namespace, str(manifest["metadata"]["name"]))
        case WriteEvent():
            return None


def _permission(request: Write) -> str:
    match request:
        case WriteRecord():
            return "patch releases/status.nightferry.dev"
        case WritePolicyStatus():
            return "patch releasepolicies/status.nightferry.dev"
        case WriteSlot(_, CreateSlot()):
            return "create deployments.apps"
        case WriteSlot():
            return "patch deployments.apps"
        case CreateRelease():
            return "create releases.nightferry.dev"
        case DeleteRelease():
            return "delete releases.nightferry.dev"
        case WriteEvent():
            return "create events"
