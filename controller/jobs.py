"""Job gates: a smoke test as a Kubernetes Job, made from a template in a ConfigMap, and what its end says.

The Job's name is made from the release, the gate and the stage. So it is started once per stage by whoever ticks, and
one of an earlier stage or of another release never counts. It belongs to the Release: it goes when the Release goes.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from analysis.verdict import Verdict
from controller.release.names import GROUP, MADE_BY, Ref
from controller.release.observation import Observation
from controller.release.plan import CreateObject
from controller.release.record import Inquiry, Record
from controller.release.words import one_line
from controller.requests.failure import Failure, FailureKind
from controller.requests.looks import Permission
from controller.slots import HASH_LABEL, match_labels
from policies.schema import Gate, Job
from policies.yaml_tree import YamlReader

PERMISSIONS = (
    Permission("get", "", "configmaps"),
    Permission("get", "batch", "jobs"),
    Permission("create", "batch", "jobs"),
)
RELEASE_LABEL = f"{GROUP}/release"
GATE_LABEL = f"{GROUP}/gate"
GRACE = 10.0  # seconds that the Job controller may take to say that a Job ran out of time
RETRIED_AFTER = 30.0  # seconds between two tries to create a Job
_KEY = "job.yaml"
_LONGEST_GATE = 50  # of the gate's name in the Job's: what is left of 63 characters is for the digest


class JobRefused(ValueError):
    """The template is no Job that a gate may run; the message says why."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a gate that asks outside says at a look; `inquiry` is to be remembered, `write` to be done."""

    verdict: Verdict
    because: str
    inquiry: Inquiry | None = None
    write: CreateObject | None = None


def template_ref(job: Job) -> Ref:
    """The ConfigMap that holds the template."""
    return Ref("ConfigMap", job.template.partition("/")[2])


def job_ref(uid: str, gate: str, stage: int) -> Ref:
    """The Job of one gate in one stage of the release with this uid."""
    digest = hashlib.sha256(f"{uid}/{gate}/{stage}".encode()).hexdigest()[:10]
    return Ref("Job", f"{gate[:_LONGEST_GATE].rstrip('-')}-{digest}")


# ------------------------------------------------------------------------------------------------- the template


def read_template(config: Mapping[str, Any], selector: Sequence[tuple[str, str]], namespace: str) -> dict[str, Any]:
    """The Job in a ConfigMap. Raises JobRefused. `selector`: the labels by which the app's pods are found."""
    name = (config.get("metadata") or {}).get("name")
    data = config.get("data") or {}
    if _KEY not in data and len(data) != 1:
        raise JobRefused(f"ConfigMap {name} has {len(data)} keys and no {_KEY}: put the Job under {_KEY}")
    key = _KEY if _KEY in data else next(iter(data))
    reader = YamlReader(f"configMap/{name}/{key}")
    trees = reader.read(str(data[key]))
    if reader.errors:
        raise JobRefused(str(reader.errors[0]))
    job = trees[0].data if len(trees) == 1 else None
    if not isinstance(job, dict) or job.get("kind") != "Job" or job.get("apiVersion") != "batch/v1":
        raise JobRefused(f"ConfigMap {name}, {key}: not one Job of apiVersion batch/v1")
    if problem := _problem(job, selector, namespace):
        raise JobRefused(f"ConfigMap {name}, {key}: {problem}")
    return job


def _problem(job: Mapping[str, Any], selector: Sequence[tuple[str, str]], namespace: str) -> str:
    """Why a Job cannot be a gate, or ""."""
    metadata, spec = job.get("metadata") or {}, job.get("spec") or {}
    if not isinstance(metadata, Mapping) or not isinstance(spec, Mapping):
        return "metadata and spec are mappings"
    if metadata.get("namespace", namespace) != namespace:
        return f"metadata.namespace is {metadata['namespace']}: leave it out, a gate runs beside its app ({namespace})"
    if "selector" in spec or spec.get("manualSelector"):
        return "spec.selector: leave it out, the API server makes one"
    if spec.get("suspend"):
        return "spec.suspend: a suspended Job never ends"
    template = spec.get("template")
    pod = template.get("spec") if isinstance(template, Mapping) else None
    if not isinstance(template, Mapping) or not isinstance(pod, Mapping):
        return "spec.template.spec is missing"
    if pod.get("restartPolicy") not in ("Never", "OnFailure"):
        return "spec.template.spec.restartPolicy is neither Never nor OnFailure"
    for field in ("containers", "initContainers"):
        many = pod.get(field, [])
        if not isinstance(many, list) or not all(isinstance(each, Mapping) for each in many):
            return f"spec.template.spec.{field} is no list of containers"
        if not all(isinstance(each.get("env", []), list) for each in many):
            return f"spec.template.spec.{field}: env is no list"
    if not pod.get("containers"):
        return "spec.template.spec.containers is empty"
    for where, labelled in (("metadata", metadata), ("spec.template.metadata", template.get("metadata") or {})):
        if not isinstance(labelled, Mapping) or not isinstance(labelled.get("labels") or {}, Mapping):
            return f"{where}.labels is no mapping"
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector and all(labels.get(key) == value for key, value in selector):
        told = ", ".join(f"{key}={value}" for key, value in selector)
        return f"its pods would be pods of the app ({told}): give them other labels"
    return ""


def manifest(
    template: Mapping[str, Any], gate: Gate, job: Job, release: str, uid: str, ref: Ref, env: Mapping[str, str]
) -> dict[str, Any]:
    """The Job to create: the template with our name, labels, owner, deadline and environment."""
    made = copy.deepcopy(dict(template))
    ours = {RELEASE_LABEL: release, GATE_LABEL: gate.name}
    metadata, spec = made.get("metadata") or {}, made["spec"]
    made["metadata"] = {
        "name": ref.name,
        "labels": {**(metadata.get("labels") or {}), **MADE_BY, **ours},
        "annotations": metadata.get("annotations") or {},
        "ownerReferences": [
            {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Release", "name": release, "uid": uid, "controller": True}
        ],
    }
    # A finished Job is read at the next look, which may come after an outage of ours.
    spec.pop("ttlSecondsAfterFinished", None)
    longest, own = max(1, round(job.timeout.seconds)), spec.get("activeDeadlineSeconds")
    spec["activeDeadlineSeconds"] = min(longest, own) if isinstance(own, int) and own > 0 else longest
    pods = spec["template"].get("metadata") or {}
    spec["template"]["metadata"] = {**pods, "labels": {**(pods.get("labels") or {}), **ours}}
    pod = spec["template"]["spec"]
    for field in ("initContainers", "containers"):
        for container in pod.get(field) or ():
            kept = [each for each in container.get("env") or () if each.get("name") not in env]
            container["env"] = [*kept, *({"name": name, "value": value} for name, value in env.items())]
    return made


def environment(app: str, release: str, record: Record, seen: Observation) -> dict[str, str]:
    """What a Job is told: which release, which stage, and the pod-template-hash of the contender's pods."""
    hashes = [pod.labels.get(HASH_LABEL, "") for pod in sorted(seen.contenders, key=lambda each: each.ready_since)]
    return {
        "NIGHTFERRY_APP": app,
        "NIGHTFERRY_RELEASE": release,
        "NIGHTFERRY_STAGE": str(record.stage),
        "NIGHTFERRY_CONTENDER_HASH": next(filter(None, reversed(hashes)), ""),
    }


# ------------------------------------------------------------------------------------------------- the verdict


def of_job(
    found: Mapping[str, Any], gate: Gate, job: Job, ref: Ref, uid: str, before: Inquiry | None, stage: int, now: float
) -> Said:
    """What a Job that exists says."""
    metadata, status = found.get("metadata") or {}, found.get("status") or {}
    if not any(owner.get("uid") == uid for owner in metadata.get("ownerReferences") or ()):
        return Said(Verdict.BLIND, f"{ref} exists and was not made for this release: delete or rename it")
    since = before.since if before is not None and before.stage == stage else now
    known = Inquiry(gate.name, stage, since, found=str(metadata.get("uid", "")))
    for condition in status.get("conditions") or ():
        if condition.get("status") != "True":
            continue
        if condition.get("type") == "Complete":
            because = f"{ref} succeeded{_lasted(status)}"
            return Said(Verdict.HEALTHY, because, _ended(known, Verdict.HEALTHY, because))
        if condition.get("type") == "Failed":
            why = ": ".join(filter(None, (str(condition.get("reason") or ""), str(condition.get("message") or ""))))
            because = f"{ref} failed ({one_line(why)}); `kubectl logs job/{ref.name}` says more"
            return Said(Verdict.DEGRADED, because, _ended(known, Verdict.DEGRADED, because))
    age = max(0.0, now - _seconds(metadata.get("creationTimestamp"), now))
    if age > job.timeout.seconds + GRACE:
        because = f"{ref} has not succeeded within {job.timeout} (started {age:.0f} s ago)"
        return Said(Verdict.DEGRADED, because, _ended(known, Verdict.DEGRADED, because))
    if metadata.get("deletionTimestamp"):
        return Said(Verdict.BLIND, deleted(ref), known)
    return Said(Verdict.UNDECIDED, f"{ref} has run for {age:.0f} s of at most {job.timeout}", known)


def deleted(ref: Ref) -> str:
    """A Job that was there and is gone: nobody knows how it would have ended."""
    return f"{ref} was deleted before its end, and nobody knows how it would have ended: ask for the release anew"


def unread(ref: Ref, failure: Failure) -> Said:
    """An object that could not be read just now, or is not there."""
    if failure.kind is FailureKind.ABSENT:
        return Said(Verdict.BLIND, f"{ref} does not exist")
    return Said(Verdict.BLIND, f"{ref} could not be read: {failure.message}")


def to_start(
    gate: Gate, job: Job, ref: Ref, made: Mapping[str, Any], record: Record, before: Inquiry | None, now: float
) -> Said:
    """A Job that is not there yet: it is created with the next write, and tried again until the gate's timeout."""
    since = before.since if before is not None and before.stage == record.stage else now
    known = Inquiry(gate.name, record.stage, since)
    if now - since > job.timeout.seconds:
        because = f"{ref} could not be created for {job.timeout}: the WriteRefused events of this release say why"
        return Said(Verdict.BLIND, because, known)
    write = CreateObject(ref, made, f"start {ref} of gate {gate.name}")
    tried = write.summary in record.intent and now - record.written < RETRIED_AFTER
    return Said(Verdict.UNDECIDED, f"{ref} is not started yet", known, None if tried else write)


def selector_of(seen: Observation) -> tuple[tuple[str, str], ...]:
    """The labels by which the pods of both versions are found."""
    slot = seen.incumbent or seen.contender
    return tuple(pair for pair in match_labels(slot.raw) if not pair[0].startswith(f"{GROUP}/")) if slot else ()


def _ended(inquiry: Inquiry, verdict: Verdict, because: str) -> Inquiry:
    return Inquiry(inquiry.gate, inquiry.stage, inquiry.since, inquiry.tries, inquiry.found, verdict, because)


def _lasted(status: Mapping[str, Any]) -> str:
    begun, ended = (_seconds(status.get(name), 0.0) for name in ("startTime", "completionTime"))
    return f" after {ended - begun:.0f} s" if 0.0 < begun <= ended else ""


def _seconds(timestamp: object, default: float) -> float:
    try:
        return datetime.fromisoformat(str(timestamp).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return default
