"""The two sides of a split: which pods are the incumbent's and which the contender's, and Services that select them.

A side is pinned to one version by the `pod-template-hash` of its ReplicaSet. A pinned side would be left without pods
by anything that makes a new ReplicaSet (`kubectl rollout restart`), so the strategy keeps both Deployments paused while
sides exist.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from controller.release.names import CLAIM_ANNOTATION, GROUP, MADE_BY, Ref
from controller.release.observation import Observation
from controller.release.plan import CreateObject, DeleteObject, ObjectWrite, PatchObject
from controller.release.record import Record
from controller.release.vocabulary import Role
from controller.services import is_gone, pod_labels, selector_of, selects, words
from controller.slots import HASH_LABEL
from policies.schema import ReleasePolicySpec

RELEASE_ANNOTATION = f"{GROUP}/release"
ROLES: tuple[Role, Role] = ("incumbent", "contender")

PERMISSIONS = tuple((verb, "", "services") for verb in ("get", "create", "patch", "delete"))

Object = Mapping[str, Any]

_LONGEST = 63
_COPIED = ("ports", "sessionAffinity", "sessionAffinityConfig", "publishNotReadyAddresses")


def service_of(policy: ReleasePolicySpec) -> str:
    """The app's own Service, as the routes name it: by default it has the Deployment's name."""
    traffic = policy.strategy.traffic
    return (traffic.service if traffic is not None else None) or policy.target.deployment


def side_name(service: str, role: Role) -> str:
    """The name of a side's Service: a DNS label, so a long name is cut and told apart by a part of its digest."""
    suffix = f"-{role}"
    if len(service) + len(suffix) <= _LONGEST:
        return service + suffix
    mark = hashlib.sha256(service.encode()).hexdigest()[:6]
    return f"{service[: _LONGEST - len(suffix) - 7].rstrip('-')}-{mark}{suffix}"


def hash_of(seen: Observation, role: Role) -> str:
    """The pod-template-hash of a version: of its Deployment's ReplicaSet with the most pods, else the newest.

    "" while there is none with the Deployment's present template.
    """
    slot = seen.incumbent if role == "incumbent" else seen.contender
    if slot is None:
        return ""
    own = [each for each in seen.replica_sets if each.deployment == slot.name and each.digest == slot.digest]
    return max(own, key=lambda each: (each.replicas, each.revision)).hash if own else ""


def named(obj: Object | None) -> str:
    return str(((obj or {}).get("metadata") or {}).get("name", ""))


def version_of(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("resourceVersion", ""))


def uid_of(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("uid", ""))


def namespace_of(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("namespace", ""))


def made_by_us(obj: Object) -> bool:
    """Whether a release of ours made it: both the label and the annotation, because people copy one of them."""
    metadata = obj.get("metadata") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    return all(labels.get(key) == value for key, value in MADE_BY.items()) and RELEASE_ANNOTATION in annotations


def marked(name: str, app: str, seen: Observation, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The metadata of an object that a release makes."""
    return {
        "name": name,
        "labels": {**MADE_BY, f"{GROUP}/app": app},
        "annotations": {**(annotations or {}), RELEASE_ANNOTATION: seen.uid},
    }


# ------------------------------------------------------------------------------------------------------- the fence


def fence(record: Record, seen: Observation, shows: str = "") -> dict[str, str]:
    """Our annotation on an object that we lead: which release, at which epoch, and what it shows since our last write.

    It is written at every change of phase, so that a controller that was frozen before its own write to the object
    finds its version outdated when it wakes; a route is never led to sides that have gone since. An object that shows
    something else was set back by somebody.
    """
    data = {"release": seen.release, "uid": seen.uid, "epoch": record.epoch, "shows": shows}
    return {CLAIM_ANNOTATION: json.dumps(data, sort_keys=True, separators=(",", ":"))}


def shown_by_us(obj: Object, seen: Observation) -> str:
    """What the object showed after our last write, by its fence; "" where it has none of this release."""
    data = _fence_of(obj)
    return str(data.get("shows", "")) if data.get("uid") == seen.uid else ""


def leader(obj: Object, seen: Observation) -> str:
    """The release whose fence an object carries, where it is another one; else ""."""
    data = _fence_of(obj)
    return str(data.get("release", "")) if data.get("uid") not in (None, seen.uid) else ""


def _fence_of(obj: Object) -> Mapping[str, Any]:
    text = ((obj.get("metadata") or {}).get("annotations") or {}).get(CLAIM_ANNOTATION)
    try:
        data = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def reversal(ref: Ref, obj: Object | None, seen: Observation, shows: str) -> tuple[str, ...]:
    """The object's name and generation where it shows something else than we wrote."""
    ours = shown_by_us(obj, seen) if obj is not None else ""
    if obj is None or ours in ("", shows):
        return ()
    return (f"{ref}@{(obj.get('metadata') or {}).get('generation', '')}",)


def led(
    ref: Ref, obj: Object, spec: Mapping[str, Any], shows: str, record: Record, seen: Observation, summary: str
) -> PatchObject | None:
    """The patch that gives an object these fields of its spec and our fence; None where it has both."""
    patch: dict[str, Any] = {}
    if any((obj.get("spec") or {}).get(key) != value for key, value in spec.items()):
        patch["spec"] = dict(spec)
    wanted = fence(record, seen, shows)
    if not wanted.items() <= ((obj.get("metadata") or {}).get("annotations") or {}).items():
        patch["metadata"] = {"annotations": wanted}
        summary = summary if "spec" in patch else f"claim {ref}"
    return PatchObject(ref, version_of(obj), patch, summary) if patch else None


def let_go(
    ref: Ref, obj: Object, spec: Mapping[str, Any], summary: str, record: Record, seen: Observation
) -> PatchObject | None:
    """The patch that gives an object these fields of its spec and takes our fence away; None where neither is needed.

    A None in `spec` takes the field away. The fence of another release stays, unless this one restores.
    """
    patch: dict[str, Any] = {}
    if any((obj.get("spec") or {}).get(key) != value for key, value in spec.items()):
        patch["spec"] = dict(spec)
    fenced = CLAIM_ANNOTATION in ((obj.get("metadata") or {}).get("annotations") or {})
    if fenced and (record.origin == "restore" or not leader(obj, seen)):
        patch["metadata"] = {"annotations": {CLAIM_ANNOTATION: None}}
        summary = summary if "spec" in patch else f"release the claim on {ref}"
    return PatchObject(ref, version_of(obj), patch, summary) if patch else None


def stamp(refs: Sequence[Ref], record: Record, seen: Observation) -> PatchObject | None:
    """The next object that does not carry the fence of this epoch."""
    for ref in refs:
        obj = seen.objects.get(ref)
        if obj is not None and (write := led(ref, obj, {}, shown_by_us(obj, seen), record, seen, "")):
            return write
    return None


# -------------------------------------------------------------------------------------------------- what is saved


def saved_text(fields: Mapping[str, Any]) -> str:
    """Canonical JSON of saved fields."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def saved_fields(record: Record, ref: Ref) -> Mapping[str, Any]:
    """What the record keeps of an object; empty where it keeps nothing."""
    found = next((each for each in record.saved if each.kind == ref.kind and each.name == ref.name), None)
    fields = json.loads(found.fields) if found is not None else {}
    return fields if isinstance(fields, dict) else {}


# ------------------------------------------------------------------------------------------------- the Services


def service_reads(policy: ReleasePolicySpec) -> tuple[Ref, ...]:
    """The app's Service, and both sides' Services with the endpoints behind each."""
    names = [side_name(service_of(policy), role) for role in ROLES]
    return (
        Ref("Service", service_of(policy)),
        *(Ref(kind, name) for name in names for kind in ("Service", "Endpoints")),
    )


def service_problems(policy: ReleasePolicySpec, seen: Observation, *, sides: bool) -> str:
    """Whether the app's Service leads to the app, and nobody else has a Service with a side's name."""
    name = service_of(policy)
    service = seen.objects.get(Ref("Service", name))
    if service is None:
        return f"Service {name} does not exist: create it, or name the app's Service in spec.strategy.traffic.service"
    selector = selector_of(service)
    if not selector:
        return f"Service {name} has no selector, so nothing tells its pods apart: give it the labels of the app's pods"
    if HASH_LABEL in selector:
        return f"Service {name} selects one {HASH_LABEL}: take {HASH_LABEL} out of its selector, then release again"
    if not selects(selector, pod_labels(seen.incumbent.raw) if seen.incumbent is not None else {}):
        return (
            f"Service {name} selects no pod of Deployment {policy.target.deployment}: correct its selector "
            f"({words(selector)})"
        )
    for role in ROLES if sides else ():
        side = seen.objects.get(Ref("Service", side_name(name, role)))
        if side is not None and not made_by_us(side):
            return f"Service {named(side)} exists and is not ours, but its name is needed for the {role}: rename it"
    return ""


def astray(policy: ReleasePolicySpec, seen: Observation, role: Role) -> str:
    """Why the app's own Service would not take the requests of a version, and what to do; "" where it would."""
    name, slot = service_of(policy), seen.incumbent if role == "incumbent" else seen.contender
    service = seen.objects.get(Ref("Service", name))
    if slot is None or Ref("Service", name) not in seen.objects:
        return ""
    if service is None or is_gone(service):
        return f"Service {name} was deleted in mid-release: create it again"
    selector = selector_of(service)
    if selects(selector, pod_labels(slot.raw)):
        return ""
    return (
        f"Service {name} was edited in mid-release and selects no pod of {slot.name} ({words(selector)}): set it back"
    )


def prepare_services(policy: ReleasePolicySpec, seen: Observation) -> ObjectWrite | None:
    """The next Service of a side that is missing or does not select its version.

    Sides do not follow a Service that leads to nothing: then they are all that leads to the app.
    """
    name = service_of(policy)
    service = seen.objects.get(Ref("Service", name))
    if service is None or astray(policy, seen, "incumbent"):
        return None
    for role in ROLES:
        hash_label = hash_of(seen, role)
        if not hash_label:
            continue
        ref = Ref("Service", side_name(name, role))
        spec = _side_spec(service, hash_label)
        side = seen.objects.get(ref)
        if side is None:
            manifest = {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": marked(ref.name, policy.target.deployment, seen),
                "spec": spec,
            }
            return CreateObject(ref, manifest, f"create Service {ref.name} for {HASH_LABEL} {hash_label}")
        if made_by_us(side) and not _selects(side, spec, seen):
            found = (side.get("spec") or {}).get("selector") or {}
            selector = {**dict.fromkeys(set(found) - set(spec["selector"])), **spec["selector"]}
            patch = {
                "metadata": {"annotations": {RELEASE_ANNOTATION: seen.uid}},
                "spec": {"selector": selector, "ports": spec["ports"]},
            }
            return PatchObject(ref, version_of(side), patch, f"Service {ref.name} selects {HASH_LABEL} {hash_label}")
    return None


def _side_spec(service: Object, hash_label: str) -> dict[str, Any]:
    """The app's Service with one more label in its selector, and without what belongs to one Service alone."""
    spec = service.get("spec") or {}
    copied = {key: spec[key] for key in _COPIED if key in spec}
    copied["ports"] = [{key: part[key] for key in part if key != "nodePort"} for part in spec.get("ports") or ()]
    headless = {"clusterIP": "None"} if spec.get("clusterIP") == "None" else {}
    return {**copied, **headless, "selector": {**(spec.get("selector") or {}), HASH_LABEL: hash_label}}


def _selects(side: Object, wanted: Object, seen: Observation) -> bool:
    spec, annotations = side.get("spec") or {}, (side.get("metadata") or {}).get("annotations") or {}
    return (
        spec.get("selector") == wanted["selector"]
        and spec.get("ports") == wanted["ports"]
        and annotations.get(RELEASE_ANNOTATION) == seen.uid
    )


def reached(seen: Observation, service: str, role: Role) -> int:
    """Ready pods of a version behind a Service."""
    endpoints = seen.objects.get(Ref("Endpoints", service)) or {}
    behind = {
        (address.get("targetRef") or {}).get("name")
        for subset in endpoints.get("subsets") or ()
        for address in subset.get("addresses") or ()
    }
    pods = seen.incumbents if role == "incumbent" else seen.contenders
    return sum(pod.name in behind for pod in pods)


def deletion(seen: Observation, ref: Ref) -> DeleteObject | None:
    """The deletion of an object that we made; None where there is none of ours."""
    found = seen.objects.get(ref)
    if found is None or not made_by_us(found) or is_gone(found):
        return None
    return DeleteObject(ref, uid_of(found), version_of(found), f"delete {ref}")


def delete_services(policy: ReleasePolicySpec, seen: Observation) -> ObjectWrite | None:
    """The next deletion of a side's Service."""
    refs = (Ref("Service", side_name(service_of(policy), role)) for role in ROLES)
    return next(filter(None, (deletion(seen, ref) for ref in refs)), None)
