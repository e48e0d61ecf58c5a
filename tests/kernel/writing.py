"""Laws of writing: which objects and fields, with which intent on record, how much, and never a secret."""

from __future__ import annotations

import json

import msgspec

from controller.accompanied import Accompanied
from controller.record import read_record
from controller.release.names import CLAIM_ANNOTATION
from controller.release.plan import CreateObject, CreateSlot, DeleteObject, PatchSlot
from controller.release.vocabulary import Phase
from controller.requests.writes import (
    CreateRelease,
    DeleteRelease,
    WriteEvent,
    WriteObject,
    WritePolicyStatus,
    WriteRecord,
    WriteSlot,
)
from controller.strategies import leading
from controller.strategies.idle import IDLE_ANNOTATION
from tests.kernel.memory import (
    Moment,
    claim_of,
    pinned_by,
    slot,
)

SECRET = "correct-horse-battery-staple"  # stands in the app's environment and must never leave it
MOST_RECORD = 64 * 1024


def blast_radius(now: Moment) -> str:
    request, before, after = now.request, now.entry.before, now.entry.after
    match request:
        case WriteRecord() | WritePolicyStatus():
            if before is not None and after is not None and before["spec"] != after["spec"]:
                return "a status write changed a spec"
            return ""
        case WriteEvent() | CreateRelease():
            return ""
        case DeleteRelease():
            return (
                "" if before is None or read_record(before.get("status")).ended else "a release under way was deleted"
            )
        case WriteSlot(_, CreateSlot(name)):
            obj = after or {}
            other = name.removesuffix("-twin") if name.endswith("-twin") else f"{name}-twin"
            if slot(now.world, other) is None:
                return f"created {name}, which is no slot beside another one"
            if obj["spec"]["replicas"] != 0 or obj["metadata"].get("ownerReferences"):
                return f"created {name} at {obj['spec']['replicas']}"
            return ""
        case WriteObject():
            return _beside(now, request)
    assert isinstance(request, WriteSlot)
    if before is None or after is None:
        return f"{request.write.name} was deleted"
    fields = {key for key in {*before["spec"], *after["spec"]} if before["spec"].get(key) != after["spec"].get(key)}
    strategy = pinned_by(now.life.record).spec.strategy if now.life is not None and now.life.record.policy else None
    allowed = _BORROWED[strategy.kind if strategy is not None else "twin"]
    if strategy is not None and strategy.traffic is not None:
        allowed = allowed | {"paused"}
    if IDLE_ANNOTATION in (after["metadata"].get("annotations") or {}):
        allowed = allowed | {"paused"}  # between releases that a template starts
    claim = claim_of(after)
    prepared = claim is not None and claim.role == "contender" and claim.phase is Phase.PREFLIGHT
    if prepared and before["spec"]["replicas"] == 0:
        allowed = allowed | {"template", "minReadySeconds"}
    if fields - allowed:
        return f"{request.write.name}: wrote {sorted(fields - allowed)}"
    if _foreign_metadata(before) != _foreign_metadata(after):
        return f"{request.write.name}: wrote metadata that is not ours"
    return ""


# What a strategy may write of a Deployment's spec, whoever the Deployment belongs to.
_BORROWED = {
    "twin": {"replicas"},
    "blueGreen": {"replicas", "paused"},
    "recreate": {"replicas", "paused", "template"},
    "rolling": {"template", "paused", "minReadySeconds", "progressDeadlineSeconds", "strategy"},
}
# The same of the objects beside it.
_BESIDE = {
    "Service": {"selector"},
    "HorizontalPodAutoscaler": {"behavior", "minReplicas", "scaleTargetRef"},
    "Ingress": {"rules", "defaultBackend"},
    "HTTPRoute": {"rules"},
    "VirtualService": {"http"},
    "DestinationRule": {"subsets"},
}


def _beside(now: Moment, request: WriteObject) -> str:
    """What we make carries our label; of what others made we write the fields that we have borrowed."""
    before, after, write = now.entry.before, now.entry.after, request.write
    if isinstance(write, CreateObject | DeleteObject):
        made = after if isinstance(write, CreateObject) else before
        labels = ((made or {}).get("metadata") or {}).get("labels") or {}
        return "" if labels.get("app.kubernetes.io/managed-by") == "nightferry" else f"{write.ref} is not ours"
    if before is None or after is None:
        return ""
    was, now_is = before.get("spec") or {}, after.get("spec") or {}
    changed = {key for key in {*was, *now_is} if was.get(key) != now_is.get(key)}
    foreign = changed - _BESIDE.get(write.ref.kind, set())
    return f"{write.ref}: wrote {sorted(foreign)}" if foreign else ""


_OURS = ("resourceVersion", "generation", "managedFields")


def _foreign_metadata(obj: object) -> object:
    assert isinstance(obj, dict)
    kept = {key: value for key, value in obj["metadata"].items() if key not in _OURS}
    notes = {key: value for key, value in (kept.get("annotations") or {}).items() if key not in _NOTES}
    return {**kept, "annotations": notes}


_NOTES = (CLAIM_ANNOTATION, IDLE_ANNOTATION)


def intent_first(now: Moment) -> str:
    if not isinstance(now.request, WriteSlot | WriteObject):
        return ""
    write = now.request.write
    if isinstance(write, PatchSlot) and IDLE_ANNOTATION in (write.annotations or {}):
        moving = [life.name for _, life in now.memory.moving]
        return f"{write.name} was paused as idle while {moving[0]} moves it" if moving else ""
    if isinstance(write, PatchSlot) and write.claim is None:
        ended = now.life is not None and now.life.record.ended
        return "" if ended else f"the claim on {write.name} was released before the end"
    if any(write.summary in intent for intent in now.eyes.intents):
        return ""
    if isinstance(write, DeleteObject) and write.ref.kind == "ConfigMap" and not any(now.memory.moving):
        return ""  # a copy that an ended release has left goes before its record does
    return f"{write.summary!r} is in no record of this tick ({now.eyes.intents})"


def no_secret(now: Moment) -> str:
    if isinstance(now.request, WriteSlot):
        return ""  # the template itself carries it, there where the owner put it
    request = now.request
    # A record is most of what is ever written, and is JSON; its words are the same there.
    if isinstance(request, WriteRecord):
        return "it stands in a record" if SECRET.encode() in msgspec.json.encode(request) else ""
    return "it stands in a write" if SECRET in repr(request) else ""


def bounded_record(now: Moment) -> str:
    if not isinstance(now.request, WriteRecord):
        return ""
    if 6 * len(msgspec.json.encode(now.request.status)) <= MOST_RECORD:
        return ""  # written out with blanks and escapes it has at most six times the bytes
    size = len(json.dumps(now.request.status))
    return f"{size} bytes" if size > MOST_RECORD else ""


def bounded_tick(now: Moment) -> str:
    """Watch-cache reads cost the API server nothing; every other request of a tick is counted."""
    eyes = now.eyes
    more = _objects(now)
    services = len(leading.reads(now.life.record)) if now.life is not None else 0  # they are read, and never written
    gates = len(pinned_by(now.life.record).spec.gates) if now.life is not None and now.life.record.policy else 2
    for what, count, bound in (
        ("cached reads", eyes.cached, 8 + more),
        ("metric queries", eyes.queries, 2 * gates),
        ("questions about the whole app", eyes.totals, 2 * gates),
        ("quorum reads", eyes.quorum, 6 + more),
        ("writes", eyes.writes, 6 if more > services else 5),
        ("events", eyes.events, 6),
    ):
        if count > bound:
            return f"{count} {what}, bound {bound}"
    return ""


def _objects(now: Moment) -> int:
    """What a look of this release reads beside its Deployments and pods."""
    if now.life is None or not now.life.record.policy:
        return 8  # before its start nobody knows yet: as many as the strategy that reads most
    record = now.life.record
    course = Accompanied(pinned_by(record).spec)
    asking = sum(len(gate.asks()) for gate in pinned_by(record).spec.gates)  # each a Job and its template, or a call
    return len(course.reads(record)) + course.reads_replica_sets + 2 * asking
