"""Deployments as slots: reading one from the API server's object, and the claim that a release writes on it.

The claim is one annotation, written in the same patch as the replicas. So the two never disagree by a crash of ours,
and a slot whose replicas differ from its claim was scaled by somebody else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from controller.release.names import CLAIM_ANNOTATION, SLOT_LABEL
from controller.release.observation import Claim, PodState, ReplicaSetState, SlotState
from controller.release.vocabulary import Phase

# Written by `kubectl rollout restart`: new pods of the same version, not a new version.
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"


def claim_text(claim: Claim) -> str:
    """The annotation's value: canonical JSON, so that an unchanged claim is an unchanged text."""
    told = {
        "release": claim.release,
        "uid": claim.uid,
        "role": claim.role,
        "phase": claim.phase.value,
        "epoch": claim.epoch,
        "replicas": claim.replicas,
        "desired": claim.desired,
        "digest": claim.digest,
    }
    if claim.saved:
        told["saved"] = claim.saved
    if claim.paused is not None:
        told["paused"] = claim.paused
    return json.dumps(told, sort_keys=True, separators=(",", ":"))


def read_claim(text: object) -> Claim | None:
    """The claim in an annotation's value, or None where there is none that we could have written."""
    return _claim(text) if isinstance(text, str) else None


@lru_cache(maxsize=1024)  # most looks find the text of the look before
def _claim(text: str) -> Claim | None:
    try:
        data = json.loads(text)
        role = data["role"]
        if role not in ("incumbent", "contender"):
            return None
        return Claim(
            release=str(data["release"]),
            uid=str(data["uid"]),
            role=role,
            phase=Phase(data["phase"]),
            epoch=int(data["epoch"]),
            replicas=int(data["replicas"]),
            desired=int(data["desired"]),
            digest=str(data.get("digest", "")),
            saved=str(data.get("saved", "")),
            paused=bool(data["paused"]) if "paused" in data else None,
        )
    except (ValueError, TypeError, KeyError):
        return None


def template_digest(template: Mapping[str, Any]) -> str:
    """Twelve hex digits of SHA-256 over the canonical pod template: what makes a version a version.

    Left out are our own slot label and the time stamp of `kubectl rollout restart`, which change no version; fields
    that are null or empty count as unset, because the API server drops them.
    """
    return _digest(msgspec.json.encode(template))


@lru_cache(maxsize=1024)  # most looks find the text of the look before
def _digest(template: bytes) -> str:
    bare = _without_unset(msgspec.json.decode(template))
    if not isinstance(bare, dict):
        bare = {}
    metadata = bare.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("creationTimestamp", None)
        for part, key in (("labels", SLOT_LABEL), ("annotations", RESTARTED_AT)):
            if isinstance(metadata.get(part), dict):
                metadata[part].pop(key, None)
        bare["metadata"] = _without_unset(metadata) or {}
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _without_unset(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _without_unset(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner not in (None, {}, [])}
    if isinstance(value, list):
        return [_without_unset(inner) for inner in value]
    return value


def slot_state(obj: Mapping[str, Any]) -> SlotState:
    """Read a Deployment object. Missing optional fields get the API server's defaults."""
    metadata = obj.get("metadata") or {}
    spec = obj.get("spec") or {}
    status = obj.get("status") or {}
    annotations = metadata.get("annotations") or {}
    replicas = spec.get("replicas")
    blocked = ""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            blocked = str(condition.get("message") or condition.get("reason") or "ReplicaFailure")
    return SlotState(
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        resource_version=str(metadata.get("resourceVersion", "")),
        generation=int(metadata.get("generation") or 0),
        observed_generation=int(status.get("observedGeneration") or 0),
        replicas=1 if replicas is None else int(replicas),
        paused=bool(spec.get("paused", False)),
        digest=template_digest(spec.get("template") or {}),
        min_ready=float(spec.get("minReadySeconds") or 0),
        claim=read_claim(annotations.get(CLAIM_ANNOTATION)),
        blocked=blocked,
        deleting="deletionTimestamp" in metadata,
        raw=obj,
    )


def replica_set_state(obj: Mapping[str, Any]) -> ReplicaSetState:
    """Read a ReplicaSet object. One that no Deployment controls has `deployment` ""."""
    metadata, spec = obj.get("metadata") or {}, obj.get("spec") or {}
    owners = metadata.get("ownerReferences") or ()
    owner: Mapping[str, Any] = next(
        (each for each in owners if each.get("controller") and each.get("kind") == "Deployment"), {}
    )
    template = spec.get("template") or {}
    within = template.get("metadata") or {}
    labels = {key: value for key, value in (within.get("labels") or {}).items() if key != HASH_LABEL}
    bare = {**template, "metadata": {**within, "labels": labels}}
    revision = str((metadata.get("annotations") or {}).get(REVISION) or "")
    replicas = spec.get("replicas")
    return ReplicaSetState(
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        deployment=str(owner.get("name", "")),
        hash=str((metadata.get("labels") or {}).get(HASH_LABEL, "")),
        digest=template_digest(bare),
        replicas=1 if replicas is None else int(replicas),
        min_ready=float(spec.get("minReadySeconds") or 0),
        revision=int(revision) if revision.isdecimal() else 0,
        template=bare,
    )


def pods_of(slot: SlotState | None, pods: Sequence[PodState]) -> tuple[PodState, ...]:
    """The pods whose ReplicaSet belongs to this Deployment: `<deployment>-<pod-template-hash>`."""
    if slot is None:
        return ()
    return tuple(
        pod for pod in pods if (hashed := pod.labels.get(HASH_LABEL)) and pod.replica_set == f"{slot.name}-{hashed}"
    )


def writer_of(obj: Mapping[str, Any], *path: str) -> str:
    """Who wrote the field at `path` (such as "spec", "replicas") last, from managedFields; "someone" if unknown."""
    newest = ("", "someone")
    for entry in (obj.get("metadata") or {}).get("managedFields") or ():
        fields: Any = entry.get("fieldsV1") or {}
        for step in path:
            fields = fields.get(f"f:{step}") if isinstance(fields, Mapping) else None
        if fields is not None and entry.get("manager") != "nightferry":
            newest = max(newest, (str(entry.get("time") or ""), str(entry.get("manager") or "someone")))
    return newest[1]


def undoer_of(obj: Mapping[str, Any]) -> str:
    """Who wrote a spec after we did; "somebody" where only a write before ours is known, as after a removal."""
    ours = max(
        (str(entry.get("time") or "") for entry in (obj.get("metadata") or {}).get("managedFields") or ()
         if entry.get("manager") == "nightferry"),
        default="",
    )  # fmt: skip
    entries = [
        entry
        for entry in (obj.get("metadata") or {}).get("managedFields") or ()
        if str(entry.get("time") or "") >= ours
    ]
    found = writer_of({"metadata": {"managedFields": entries}}, "spec")
    return found if found != "someone" else "somebody"


def match_labels(obj: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The selector's matchLabels as sorted pairs."""
    selector = ((obj.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return tuple(sorted((str(key), str(value)) for key, value in selector.items()))


def match_expressions(obj: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The selector's matchExpressions, without those about our own slot label."""
    found = ((obj.get("spec") or {}).get("selector") or {}).get("matchExpressions") or ()
    return tuple(each for each in found if each.get("key") != SLOT_LABEL)


def unmet(obj: Mapping[str, Any], labels: Mapping[str, str]) -> tuple[str, str] | None:
    """(label, what is asked of it): the first part of a Deployment's selector that pods of these labels do not meet.

    Our own slot label is left out.
    """
    for key, value in match_labels(obj):
        if key != SLOT_LABEL and labels.get(key) != value:
            return key, f"{key}={value}"
    for expression in match_expressions(obj):
        label, operator, values = (expression.get(name) for name in ("key", "operator", "values"))
        if not _meets(labels.get(str(label)), str(operator), values or ()):
            listed = f" ({', '.join(values)})" if values else ""
            return str(label), f"{label} {operator}{listed}"
    return None


def _meets(found: str | None, operator: str, values: Sequence[str]) -> bool:
    """Whether a label meets one matchExpression; one that is not there (None) is in no list, as in Kubernetes."""
    match operator:
        case "In":
            return found in values
        case "NotIn":
            return found not in values
        case "Exists":
            return found is not None
        case "DoesNotExist":
            return found is None
    return False


def not_older(version: str, than: str) -> bool:
    """Whether one resourceVersion is not older than another; unknown where either is not a decimal number.

    Kubernetes compares resourceVersions of one resource as numbers; the API server's store counts all resources of
    these kinds with one counter.
    """
    if not (version.isdecimal() and than.isdecimal()):
        return True
    return int(version) >= int(than)
