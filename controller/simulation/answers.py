"""What the simulated API server and metric store answer to each request of a tick."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, assert_never

from controller.release.names import CLAIM_ANNOTATION
from controller.release.names import Kind as BesideKind
from controller.release.observation import PodList, PodState, ReplicaSetState
from controller.release.plan import CreateObject, CreateSlot, DeleteObject, ObjectWrite, PatchObject, PatchSlot
from controller.requests import Answer, Read
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import Fetch
from controller.requests.looks import (
    Neighbours,
    ReadBaseline,
    ReadNeighbours,
    ReadObject,
    ReadPods,
    ReadPolicies,
    ReadPolicy,
    ReadRelease,
    ReadReleases,
    ReadReplicaSets,
    ReadSlot,
    ReadTrain,
    ReadTrains,
    ReplicaSetList,
    ReviewAccess,
)
from controller.requests.outside import CallWebhook, Deliver, ReadFiring, Spoken
from controller.requests.writes import (
    CreateRelease,
    DeleteRelease,
    Write,
    WriteEvent,
    WriteObject,
    WritePolicyStatus,
    WriteRecord,
    WriteSlot,
    WriteTrainStatus,
)
from controller.simulation import alerting, services
from controller.simulation.deployments import ReplicaSet
from controller.simulation.objects import Key, Kind, Object, absent
from controller.slots import claim_text, match_labels, template_digest

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
    replica_sets: Mapping[str, tuple[ReplicaSet, ...]] = field(default_factory=dict)  # by uid of the Deployment


_KIND_OF: Mapping[type, Kind] = {
    ReadPolicy: "ReleasePolicy",
    ReadRelease: "Release",
    ReadSlot: "Deployment",
    ReadTrain: "ReleaseTrain",
    ReadBaseline: "Baseline",
}


def read_from(world: World, request: Read, given: View) -> Answer:
    """Answer a read from a view; looks through the watch cache may see an older one still."""
    if isinstance(request, Fetch | CallWebhook | Deliver | ReadFiring):
        return _from_outside(world, request)
    if world.api_fault is not None:
        return world.api_fault
    cached = not getattr(request, "fresh", isinstance(request, ReadRelease | ReadTrain | ReadNeighbours | ReviewAccess))
    lag = world.conditions.cache_lag
    view = min(given, world.view(lag), key=lambda each: each.version) if cached and lag > 0.0 else given
    match request:
        case (
            ReadPolicy(namespace, name)
            | ReadRelease(namespace, name)
            | ReadSlot(namespace, name)
            | ReadTrain(namespace, name)
            | ReadBaseline(namespace, name)
        ):
            return _one(view, (_KIND_OF[type(request)], namespace, name))
        case ReadReleases(namespace, policy):
            found = _all(view, "Release", namespace)
            return [each for each in found if not policy or (each.get("spec") or {}).get("policy") == policy]
        case ReadReplicaSets(namespace, labels):
            return ReplicaSetList(tuple(_replica_sets(view, namespace, dict(labels))), str(view.version))
        case ReadObject(namespace, ref) if ref.kind == "Endpoints":
            return services.endpoints(world, view, namespace, ref.name)
        case ReadObject(namespace, ref):
            return _one(view, (ref.kind, namespace, ref.name))
        case ReadPods(namespace, labels):
            pods = tuple(
                pod for space, pod in view.pods if space == namespace and dict(labels).items() <= pod.labels.items()
            )
            return PodList(pods, str(view.version))
        case ReadPolicies(namespace):
            return _all(view, "ReleasePolicy", namespace)
        case ReadTrains(namespace):
            return _all(view, "ReleaseTrain", namespace)
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


def _from_outside(world: World, request: Fetch | CallWebhook | Deliver | ReadFiring) -> Answer:
    """What is not the API server: the metric store, endpoints, notifiers, Alertmanager."""
    match request:
        case CallWebhook():
            world.calls.append(request)
            return world.endpoints.get(request.endpoint, Spoken(404))
        case Deliver():
            return world.couriers.perform("", request)  # a world knows whose courier it is
        case ReadFiring():
            return alerting.answer(world, request)
        case _:
            return world.store_fault if world.store_fault is not None else world.traffic.fetch(request)


def _one(view: View, key: Key) -> Answer:
    found = view.objects.get(key)
    return found if found is not None else absent(key)


def _replica_sets(view: View, namespace: str, labels: Mapping[str, str]) -> Iterator[ReplicaSetState]:
    for key, obj in sorted(view.objects.items()):
        if key[:2] != ("Deployment", namespace) or not labels.items() <= dict(match_labels(obj)).items():
            continue
        for each in view.replica_sets.get(obj["metadata"]["uid"], ()):
            yield ReplicaSetState(
                name=each.name,
                uid=f"uid-{each.name}",
                deployment=key[2],
                hash=each.hash,
                digest=template_digest(each.template),
                replicas=each.replicas,
                min_ready=each.min_ready,
                revision=each.order,
                template=each.template,
            )


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
        case (
            WriteRecord(_, _, version, status)
            | WritePolicyStatus(_, _, version, status)
            | WriteTrainStatus(_, _, version, status)
        ):
            assert key is not None
            return objects.patch(key, {"status": status}, MANAGER, now, version=version, status=True)
        case WriteSlot(namespace, CreateSlot() as write):
            return objects.create(write.manifest, namespace, MANAGER, now)
        case WriteSlot(_, write):
            assert key is not None and isinstance(write, PatchSlot)
            whole = {"template": write.template} if write.template is not None else None
            return objects.patch(key, _patch(write), MANAGER, now, version=write.resource_version, whole=whole)
        case WriteObject(namespace, beside):
            assert key is not None
            return _perform_beside(world, namespace, beside, key)
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


def _perform_beside(world: World, namespace: str, write: ObjectWrite, key: Key) -> Answer:
    objects, now = world.objects, world.now
    match write:
        case CreateObject():
            return objects.create(write.manifest, namespace, MANAGER, now)
        case PatchObject():
            return objects.patch(key, write.patch, MANAGER, now, version=write.resource_version)
        case DeleteObject():
            gone = objects.delete(key, write.uid, write.resource_version)
            return gone if isinstance(gone, Failure) else None


def _patch(write: PatchSlot) -> dict[str, Any]:
    spec: dict[str, Any] = dict(write.fields or {})
    if write.replicas is not None:
        spec["replicas"] = write.replicas
    if write.min_ready is not None:
        spec["minReadySeconds"] = math.ceil(write.min_ready)
    claim = None if write.claim is None else claim_text(write.claim)
    patch: dict[str, Any] = {"metadata": {"annotations": {CLAIM_ANNOTATION: claim, **(write.annotations or {})}}}
    return {**patch, "spec": spec} if spec else patch


def _key_of(request: Write) -> Key | None:
    match request:
        case WriteRecord(namespace, name) | DeleteRelease(namespace, name):
            return ("Release", namespace, name)
        case WritePolicyStatus(namespace, name):
            return ("ReleasePolicy", namespace, name)
        case WriteTrainStatus(namespace, name):
            return ("ReleaseTrain", namespace, name)
        case WriteSlot(namespace, write):
            return ("Deployment", namespace, write.name)
        case WriteObject(namespace, about):
            return (about.ref.kind, namespace, about.ref.name)
        case CreateRelease(namespace, manifest):
            return ("Release", namespace, str(manifest["metadata"]["name"]))
        case WriteEvent():
            return None


_VERBS = {CreateObject: "create", PatchObject: "patch", DeleteObject: "delete"}
_RESOURCES: Mapping[BesideKind, str] = {
    "Service": "services",
    "Endpoints": "endpoints",
    "Ingress": "ingresses.networking.k8s.io",
    "HTTPRoute": "httproutes.gateway.networking.k8s.io",
    "VirtualService": "virtualservices.networking.istio.io",
    "DestinationRule": "destinationrules.networking.istio.io",
    "ConfigMap": "configmaps",
    "Job": "jobs.batch",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers.autoscaling",
}


def _permission(request: Write) -> str:
    match request:
        case WriteRecord():
            return "patch releases/status.nightferry.dev"
        case WritePolicyStatus():
            return "patch releasepolicies/status.nightferry.dev"
        case WriteTrainStatus():
            return "patch releasetrains/status.nightferry.dev"
        case WriteSlot(_, CreateSlot()):
            return "create deployments.apps"
        case WriteSlot():
            return "patch deployments.apps"
        case WriteObject(_, about):
            return f"{_VERBS[type(about)]} {_RESOURCES[about.ref.kind]}"
        case CreateRelease():
            return "create releases.nightferry.dev"
        case DeleteRelease():
            return "delete releases.nightferry.dev"
        case WriteEvent():
            return "create events"
