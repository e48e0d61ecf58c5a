"""A Service and the side it selects: pinned to one version by `pod-template-hash`, or as its owner wrote it.

Two Deployments of one app carry the same labels, so the owner's selector reaches both. A pin is that selector with the
`pod-template-hash` of one ReplicaSet beside it. What the selector was is kept in the record and in our annotation on
the Service, so that the way back is known even without a record; the annotation carries the epoch too, so that a
controller that was frozen before its own write to the Service finds its version outdated when it wakes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.release.names import CLAIM_ANNOTATION, GROUP, Ref
from controller.release.observation import Observation, PodState, ReplicaSetState, SlotState
from controller.release.plan import CreateObject, DeleteObject, PatchObject
from controller.release.record import Record
from controller.services import Object, Selector, selector_of, words
from controller.slots import HASH_LABEL

HASH = HASH_LABEL
SELECTOR = "spec.selector"  # the path in `Saved.fields`
MANAGED_BY = "app.kubernetes.io/managed-by"
OURS = "nightferry"
MOST_ADDRESSES = 1000  # an Endpoints object holds no more, however many there are


@dataclass(frozen=True, slots=True)
class Pin:
    """Our annotation on a Service: the release, its epoch, and the selector as its owner wrote it."""

    release: str
    uid: str
    epoch: int
    selector: Selector


# ------------------------------------------------------------------------------------------------------ reading


def version_of(service: Object) -> str:
    """The resourceVersion of an object."""
    return str((service.get("metadata") or {}).get("resourceVersion", ""))


def uid_of(service: Object) -> str:
    """The uid of an object."""
    return str((service.get("metadata") or {}).get("uid", ""))


def pin_of(service: Object | None) -> Pin | None:
    """Our annotation on a Service, or None where there is none that we could have written."""
    text = ((((service or {}).get("metadata")) or {}).get("annotations") or {}).get(CLAIM_ANNOTATION)
    if not isinstance(text, str):
        return None
    try:
        data = json.loads(text)
        selector = {str(key): str(value) for key, value in data["selector"].items()}
        return Pin(str(data["release"]), str(data["uid"]), int(data["epoch"]), selector)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def addresses(endpoints: Object | None) -> frozenset[str]:
    """The names of the pods that a Service sends requests to: the ready addresses of its Endpoints."""
    found = set()
    for subset in (endpoints or {}).get("subsets") or ():
        for address in subset.get("addresses") or ():
            target = address.get("targetRef") or {}
            found.add(str(target.get("name") or address.get("ip")))
    return frozenset(found)


def hash_of(slot: SlotState | None, sets: Iterable[ReplicaSetState], pods: Sequence[PodState] = ()) -> str:
    """The `pod-template-hash` of a slot's version: of its ReplicaSet with most pods, then the youngest; "" if unknown.

    A restart makes another ReplicaSet of the same version, so the version alone does not name one.
    """
    if slot is None:
        return ""
    mine = [each for each in sets if each.deployment == slot.name and each.digest == slot.digest]
    if not mine:
        return ""
    ready = {each.hash: sum(pod.ready and pod.labels.get(HASH) == each.hash for pod in pods) for each in mine}
    return max(mine, key=lambda each: (ready[each.hash], each.replicas, each.revision)).hash


def owner_of(hashed: str, sets: Iterable[ReplicaSetState]) -> str:
    """The Deployment whose ReplicaSet has this hash, or ""."""
    return next((each.deployment for each in sets if each.hash == hashed), "")


# ------------------------------------------------------------------------------------------------------ writing


def pinned(own: Selector, hashed: str) -> dict[str, str]:
    """The owner's selector, narrowed to one version."""
    return {**own, HASH: hashed}


def _pin_text(record: Record, seen: Observation, own: Selector) -> str:
    data = {"release": seen.release, "uid": seen.uid, "epoch": record.epoch, "selector": dict(own)}
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def set_selector(
    record: Record, seen: Observation, service: Object, wanted: Selector, own: Selector, summary: str
) -> PatchObject:
    """Lets a Service select something else, in one patch with our annotation."""
    name = str((service.get("metadata") or {}).get("name", ""))
    gone: dict[str, str | None] = dict.fromkeys(sorted(set(selector_of(service)) - set(wanted)))
    return PatchObject(
        ref=Ref("Service", name),
        resource_version=version_of(service),
        patch={
            "metadata": {"annotations": {CLAIM_ANNOTATION: _pin_text(record, seen, own)}},
            "spec": {"selector": {**gone, **wanted}},
        },
        summary=summary,
    )


def give_back(service: Object, own: Selector) -> PatchObject:
    """The owner's selector again, and our annotation gone."""
    name = str((service.get("metadata") or {}).get("name", ""))
    gone: dict[str, str | None] = dict.fromkeys(sorted(set(selector_of(service)) - set(own)))
    return PatchObject(
        ref=Ref("Service", name),
        resource_version=version_of(service),
        patch={
            "metadata": {"annotations": {CLAIM_ANNOTATION: None}},
            "spec": {"selector": {**gone, **own}},
        },
        summary=f"Service {name} selects {words(own)} again",
    )


def stamp(record: Record, seen: Observation, service: Object, own: Selector) -> PatchObject:
    """Our annotation of this epoch on a Service whose selector stays as it is."""
    name = str((service.get("metadata") or {}).get("name", ""))
    return PatchObject(
        ref=Ref("Service", name),
        resource_version=version_of(service),
        patch={"metadata": {"annotations": {CLAIM_ANNOTATION: _pin_text(record, seen, own)}}},
        summary=f"claim Service {name}",
    )


def make_preview(
    record: Record, seen: Observation, name: str, service: Object, app: str, own: Selector, hashed: str
) -> CreateObject:
    """The preview Service: the ports of the live one, and nothing but the contender behind them."""
    ports = [
        {key: port[key] for key in ("name", "port", "targetPort", "protocol", "appProtocol") if key in port}
        for port in (service.get("spec") or {}).get("ports") or ()
    ]
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "labels": {MANAGED_BY: OURS, f"{GROUP}/app": app},
            "annotations": {CLAIM_ANNOTATION: _pin_text(record, seen, own)},
        },
        "spec": {"type": "ClusterIP", "ports": ports, "selector": pinned(own, hashed)},
    }
    return CreateObject(Ref("Service", name), manifest, f"create Service {name} for the contender")


def is_ours(service: Object, app: str) -> bool:
    """Whether we made this Service for this app."""
    labels = (service.get("metadata") or {}).get("labels") or {}
    return labels.get(MANAGED_BY) == OURS and labels.get(f"{GROUP}/app") == app


def remove(service: Object) -> DeleteObject:
    """Deletes a Service that we made."""
    name = str((service.get("metadata") or {}).get("name", ""))
    return DeleteObject(Ref("Service", name), uid_of(service), version_of(service), f"delete Service {name}")
