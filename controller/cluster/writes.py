"""Write requests as the HTTP calls that perform them: pure, so that what goes over the wire is a table in a test.

Every patch of something that exists carries the resourceVersion it was decided on, so the API server refuses it with
409 when anybody wrote in between. Patches hold the fields we set and no other: a read object is never written back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.cluster.connection import JSON, MERGE_PATCH, STRATEGIC_MERGE_PATCH
from controller.cluster.paths import ACCESS_REVIEWS, DEPLOYMENTS, EVENTS, POLICIES, RELEASES, TRAINS, Resource
from controller.release.instants import rfc3339
from controller.release.names import CLAIM_ANNOTATION, GROUP
from controller.release.plan import (
    CreateObject,
    CreateSlot,
    DeleteObject,
    ObjectWrite,
    PatchObject,
    PatchSlot,
    SlotWrite,
)
from controller.requests.looks import Permission
from controller.requests.writes import (
    CreateRelease,
    DeleteRelease,
    WriteEvent,
    WritePolicyStatus,
    WriteRecord,
    WriteSlot,
    WriteTrainStatus,
)
from controller.slots import claim_text

FIELD_MANAGER = "nightferry"
_OWNED = (("fieldManager", FIELD_MANAGER),)
_LONGEST_EVENT = 1024  # characters; the API server refuses more


OwnWrite = WriteSlot | WriteRecord | WritePolicyStatus | WriteTrainStatus | CreateRelease | DeleteRelease | WriteEvent


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call of a write."""

    method: str
    path: str
    body: Mapping[str, Any]
    content_type: str = JSON
    query: tuple[tuple[str, str], ...] = _OWNED


def call_of(request: OwnWrite) -> Call:
    """The call that performs a write of a slot or of an object of ours."""
    match request:
        case WriteSlot(namespace, write):
            return _slot_call(namespace, write)
        case WriteRecord(namespace, name, version, status):
            return _status_patch(f"{RELEASES.item(namespace, name)}/status", version, status)
        case WritePolicyStatus(namespace, name, version, status):
            return _status_patch(f"{POLICIES.item(namespace, name)}/status", version, status)
        case WriteTrainStatus(namespace, name, version, status):
            return _status_patch(f"{TRAINS.item(namespace, name)}/status", version, status)
        case CreateRelease(namespace, manifest):
            return Call("POST", RELEASES.collection(namespace), _placed(manifest, namespace))
        case DeleteRelease(namespace, name, uid):
            options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
            return Call("DELETE", RELEASES.item(namespace, name), options, query=())
        case WriteEvent():
            return Call("POST", EVENTS.collection(request.namespace), _event(request))


def object_call(namespace: str, write: ObjectWrite, resource: Resource) -> Call:
    """The call that performs a write of an object beside the Deployments, in a version that the server has."""
    match write:
        case CreateObject():
            manifest = {**_placed(write.manifest, namespace), "apiVersion": resource.api_version}
            return Call("POST", resource.collection(namespace), manifest)
        case PatchObject(ref, version, patch):
            body = {**patch, "metadata": {**(patch.get("metadata") or {}), "resourceVersion": version}}
            return Call("PATCH", resource.item(namespace, ref.name), body, MERGE_PATCH)
        case DeleteObject(ref, uid, version):
            guard = {"uid": uid, "resourceVersion": version}
            options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": guard}
            return Call("DELETE", resource.item(namespace, ref.name), options, query=())


def review_of(namespace: str, permission: Permission) -> Call:
    """The call that asks whether we hold a permission; "releases/status" names a subresource."""
    resource, _, subresource = permission.resource.partition("/")
    attributes = {
        "namespace": namespace,
        "verb": permission.verb,
        "group": permission.group,
        "resource": resource,
        "subresource": subresource,
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    return Call("POST", ACCESS_REVIEWS.collection(), body, query=())


def _slot_call(namespace: str, write: SlotWrite) -> Call:
    match write:
        case CreateSlot():
            return Call("POST", DEPLOYMENTS.collection(namespace), _placed(write.manifest, namespace))
        case PatchSlot():
            return _slot_patch(namespace, write)


def _slot_patch(namespace: str, patch: PatchSlot) -> Call:
    """Claim, replicas, template and further fields in one patch, refused unless at the resourceVersion.

    The template goes by a strategic merge patch with the directive `$patch: replace`, which puts a map in place of
    another. A JSON patch could replace it too, but it can set an annotation only where the object has annotations, and
    remove one only where it is there; both are unknown at this point.
    """
    spec: dict[str, Any] = dict(patch.fields or {})
    if patch.replicas is not None:
        spec["replicas"] = patch.replicas
    if patch.min_ready is not None:
        spec["minReadySeconds"] = math.ceil(patch.min_ready)
    if patch.template is not None:
        spec["template"] = {**patch.template, "$patch": "replace"}
    claim = None if patch.claim is None else claim_text(patch.claim)
    annotations = {CLAIM_ANNOTATION: claim, **(patch.annotations or {})}
    body: dict[str, Any] = {"metadata": {"resourceVersion": patch.resource_version, "annotations": annotations}}
    if spec:
        body["spec"] = spec
    content_type = MERGE_PATCH if patch.template is None else STRATEGIC_MERGE_PATCH
    return Call("PATCH", DEPLOYMENTS.item(namespace, patch.name), body, content_type)


def _status_patch(path: str, version: str, status: Mapping[str, Any]) -> Call:
    return Call("PATCH", path, {"metadata": {"resourceVersion": version}, "status": status}, MERGE_PATCH)


def _placed(manifest: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    return {**manifest, "metadata": {**(manifest.get("metadata") or {}), "namespace": namespace}}


def _event(event: WriteEvent) -> dict[str, Any]:
    at = rfc3339(event.at)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": event.name, "namespace": event.namespace},
        "involvedObject": {
            "apiVersion": f"{GROUP}/v1alpha1",
            "kind": "Release",
            "namespace": event.namespace,
            "name": event.release,
            "uid": event.release_uid,
        },
        "type": event.kind,
        "reason": event.reason,
        "message": event.message[:_LONGEST_EVENT],
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
        "source": {"component": FIELD_MANAGER},
    }
