"""An HorizontalPodAutoscaler on one of two Deployments: suspended for the length of a release, then given back.

Theory. An autoscaler counts the pods of both versions and writes what comes out to one of their Deployments; it would
fight every batch. Two things make it keep still without deleting it, and both are needed:

    behavior.scaleUp / scaleDown.selectPolicy: Disabled   whatever the metrics say moves nothing
    minReplicas: 1                                        else it lifts a slot that a batch took below its minimum,
                                                          before it looks at metrics or behaviour at all

What stood there before goes into the release's record and, in the patch that suspends, into an annotation on the
autoscaler itself: so it is given back even where the record was deleted. Only these fields are ours. What people change
in mid-release is what they get back: other fields stay as they are, and a new value of one of ours takes the place of
the saved one. At a promotion the target moves to the Deployment that serves from then on, in the same patch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from controller.findings import Finding, Refusal
from controller.gitops import owned
from controller.release.names import GROUP, Ref
from controller.release.observation import Observation
from controller.release.plan import PatchObject
from controller.release.record import Record, Saved
from controller.release.vocabulary import FORWARD
from controller.requests.looks import Neighbours, Permission
from controller.strategies import strategy_of
from controller.strategies.strategy import Template
from policies.schema import ReleasePolicySpec

ANNOTATION = f"{GROUP}/saved"
KIND = "HorizontalPodAutoscaler"
DIRECTIONS = ("scaleUp", "scaleDown")
DISABLED = "Disabled"
LEAST = 1  # an autoscaler never lifts a Deployment at 0: that is how one is switched off
_TOO_OLD = "autoscaling/v1"
# What the API server fills in where a behaviour says nothing of a direction.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "policies": [
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15},
        ],
    },
    "scaleDown": {"policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]},
}
Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Note:
    """What our annotation says: which release suspended the autoscaler, at which epoch, and what stood there before."""

    uid: str
    epoch: int
    fields: Mapping[str, Any]


class Autoscaler:
    """The companion of strategies that move an app between two Deployments."""

    reads_replica_sets = False

    def accompanies(self, policy: ReleasePolicySpec) -> bool:
        return len(_slots(policy)) > 1

    def permissions(self, policy: ReleasePolicySpec) -> tuple[Permission, ...]:
        return tuple(Permission(verb, "autoscaling", "horizontalpodautoscalers") for verb in ("get", "patch"))

    def reads(self, policy: ReleasePolicySpec, record: Record) -> tuple[Ref, ...]:
        return tuple(ref for ref, _ in _borrowed(record))

    def rests_on(self, policy: ReleasePolicySpec, template: Template) -> tuple[Ref, ...]:
        return ()

    def problems(
        self, policy: ReleasePolicySpec, record: Record, seen: Observation, around: Neighbours, template: Template
    ) -> Finding:
        for scaler in _on_slots(policy, around):
            name, target = _name(scaler), _target(scaler)
            if scaler.get("apiVersion") == _TOO_OLD:
                return Refusal(
                    f"{KIND} {name} scales Deployment {target}, and this API server only speaks {_TOO_OLD}, in which "
                    "none can be suspended: delete it for the time of the release, or use the rolling strategy"
                )
            for owner in (scaler.get("metadata") or {}).get("ownerReferences") or ():
                if owner.get("controller"):
                    kind, whose = str(owner.get("kind")), str(owner.get("name"))
                    what = f"let {whose} leave it alone for the time of the release"
                    if kind == "ScaledObject":
                        what = f"run `kubectl annotate scaledobject {whose} autoscaling.keda.sh/paused=true` before it"
                    return Refusal(
                        f"{KIND} {name} scales Deployment {target} and belongs to {kind} {whose}, which would wake it "
                        f"in mid-release: {what}, or use the rolling strategy"
                    )
            fields = (("spec", "behavior"), ("spec", "minReplicas"), ("spec", "scaleTargetRef"))
            if finding := owned({**scaler, "kind": KIND}, fields, group="autoscaling"):
                return finding
        return None

    def notes(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[str, ...]:
        names = sorted(ref.name for ref, found in seen.objects.items() if ref.kind == KIND and found is not None)
        return (f"{KIND} {', '.join(names)} is suspended for the time of the release",) if names else ()

    def saved(
        self, policy: ReleasePolicySpec, record: Record, seen: Observation, around: Neighbours, template: Template
    ) -> tuple[Saved, ...]:
        known = {(each.name, each.uid): each for _, each in _borrowed(record)}
        found = []
        for scaler in _on_slots(policy, around):
            note, name, uid = _note(scaler), _name(scaler), _uid(scaler)
            if note is None and _suspended(scaler) and (name, uid) in known:
                found.append(known[name, uid])  # somebody took our annotation away, and left it suspended
            else:
                found.append(Saved(KIND, name, uid, _text(note.fields if note is not None else _fields(scaler))))
        return tuple(found)

    def template(self, policy: ReleasePolicySpec, seen: Observation, template: Template) -> Template:
        return template

    def prepare(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> PatchObject | None:
        slots = _slots(policy)
        for ref, saved in _borrowed(record):
            scaler = seen.objects.get(ref)
            if scaler is None or _target(scaler) not in slots:
                continue  # deleted, or led elsewhere by somebody: it moves nothing of ours any more
            note = _note(scaler)
            if note is not None and (note.uid, note.epoch) == (seen.uid, record.epoch) and _suspended(scaler):
                continue
            return _suspend(ref, scaler, Note(seen.uid, record.epoch, _wanted(scaler, note, saved)))
        return None

    def noticed(self, record: Record, seen: Observation) -> tuple[str, ...]:
        """Whoever set back what we had set; a new value of theirs is a wish, and no reversal."""
        if record.phase not in FORWARD:
            return ()
        undone = []
        for ref, saved in _borrowed(record):
            scaler = seen.objects.get(ref)
            if scaler is None or _uid(scaler) != saved.uid or _suspended(scaler):
                continue
            note = _note(scaler)
            if note is None or _fields(scaler) == _set_back(scaler, note.fields):
                undone.append(f"{ref}@{_version(scaler)}")
        return tuple(undone)

    def hand_back(
        self, policy: ReleasePolicySpec, record: Record, seen: Observation, *, forward: bool
    ) -> PatchObject | None:
        slots, serves = _slots(policy), record.contender if forward else record.incumbent
        for ref, saved in _borrowed(record):
            scaler = seen.objects.get(ref)
            if scaler is None:
                continue
            note, spec = _note(scaler), {}
            before = _read(saved.fields)
            if note is not None or (_disabled(scaler) and not _disabled({"spec": {"behavior": before["behavior"]}})):
                spec = _given_back(scaler, note.fields if note is not None else before)
            if _target(scaler) in slots:
                wanted = serves.name if forward and serves is not None else str(before["scaleTargetRef"]["name"])
                if wanted != _target(scaler):
                    spec["scaleTargetRef"] = {"name": wanted}
            patch: dict[str, Any] = {"spec": spec} if spec else {}
            if note is not None:
                patch["metadata"] = {"annotations": {ANNOTATION: None}}
            if patch:
                where = f", on {spec['scaleTargetRef']['name']}" if "scaleTargetRef" in spec else ""
                return PatchObject(ref, _version(scaler), patch, f"wake {ref}{where}")
        return None

    def left(self, policy: ReleasePolicySpec, record: Record) -> tuple[Ref, ...]:
        return ()

    def collect(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> PatchObject | None:
        return None


# ---------------------------------------------------------------------------------------------------- reading


def _slots(policy: ReleasePolicySpec) -> tuple[str, ...]:
    return strategy_of(policy).slot_names(policy.target.deployment)


def _on_slots(policy: ReleasePolicySpec, around: Neighbours) -> Iterator[Object]:
    slots = _slots(policy)
    for scaler in around.autoscalers:
        ref = (scaler.get("spec") or {}).get("scaleTargetRef") or {}
        if ref.get("kind") == "Deployment" and ref.get("name") in slots:
            yield scaler


def _borrowed(record: Record) -> Iterator[tuple[Ref, Saved]]:
    return ((Ref("HorizontalPodAutoscaler", each.name), each) for each in record.saved if each.kind == KIND)


def _name(scaler: Object) -> str:
    return str((scaler.get("metadata") or {}).get("name", ""))


def _uid(scaler: Object) -> str:
    return str((scaler.get("metadata") or {}).get("uid", ""))


def _version(scaler: Object) -> str:
    return str((scaler.get("metadata") or {}).get("resourceVersion", ""))


def _target(scaler: Object) -> str:
    return str(((scaler.get("spec") or {}).get("scaleTargetRef") or {}).get("name", ""))


def _rules(scaler: Object, direction: str) -> Mapping[str, Any]:
    return ((scaler.get("spec") or {}).get("behavior") or {}).get(direction) or {}


def _least(scaler: Object) -> int:
    least = (scaler.get("spec") or {}).get("minReplicas")
    return LEAST if least is None else int(least)


def _disabled(scaler: Object) -> bool:
    return all(_rules(scaler, direction).get("selectPolicy") == DISABLED for direction in DIRECTIONS)


def _suspended(scaler: Object) -> bool:
    return _disabled(scaler) and _least(scaler) <= LEAST


def _fields(scaler: Object) -> dict[str, Any]:
    """The fields that we borrow, as they are."""
    spec = scaler.get("spec") or {}
    return {key: spec.get(key) for key in ("behavior", "minReplicas", "scaleTargetRef")}


def _text(fields: Mapping[str, Any]) -> str:
    told = {f"spec.{key}": value for key, value in fields.items()}
    return json.dumps(told, sort_keys=True, separators=(",", ":"))


def _read(text: str) -> dict[str, Any]:
    return {key.removeprefix("spec."): value for key, value in json.loads(text).items()}


def _note(scaler: Object) -> Note | None:
    """Our annotation, or None where there is none that we could have written."""
    text = ((scaler.get("metadata") or {}).get("annotations") or {}).get(ANNOTATION)
    if not isinstance(text, str):
        return None
    try:
        told = json.loads(text)
        fields = {key: told["fields"].get(f"spec.{key}") for key in ("behavior", "minReplicas", "scaleTargetRef")}
        if not isinstance(fields["scaleTargetRef"], dict) or not isinstance(fields["behavior"], dict | None):
            return None
        return Note(str(told["uid"]), int(told["epoch"]), fields)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


# ---------------------------------------------------------------------------------------------------- writing


def _suspend(ref: Ref, scaler: Object, note: Note) -> PatchObject:
    told = {"uid": note.uid, "epoch": note.epoch, "fields": json.loads(_text(note.fields))}
    text = json.dumps(told, sort_keys=True, separators=(",", ":"))
    behavior = {direction: {"selectPolicy": DISABLED} for direction in DIRECTIONS}
    patch = {
        "metadata": {"annotations": {ANNOTATION: text}},
        "spec": {"behavior": behavior, "minReplicas": LEAST},
    }
    return PatchObject(ref, _version(scaler), patch, f"suspend {ref} at epoch {note.epoch}")


def _wanted(scaler: Object, note: Note | None, saved: Saved) -> Mapping[str, Any]:
    """What people want back, as far as it can be known."""
    before = note.fields if note is not None else _read(saved.fields)
    if note is None:
        # Untouched but for our annotation, or never suspended, or replaced as a whole: then it says itself.
        now = before if _disabled(scaler) and _uid(scaler) == saved.uid else _fields(scaler)
        return {**now, "scaleTargetRef": before["scaleTargetRef"]}
    behavior = _with_edits(scaler, before["behavior"])
    least = before["minReplicas"] if _least(scaler) <= LEAST else _least(scaler)
    return {**before, "behavior": behavior, "minReplicas": least}


def _with_edits(scaler: Object, before: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The saved behaviour with the policies that people have chosen since."""
    if (scaler.get("spec") or {}).get("behavior") is None:
        return None  # somebody removed it whole
    chosen = {
        direction: {"selectPolicy": rules.get("selectPolicy")}
        for direction in DIRECTIONS
        if (rules := _rules(scaler, direction)).get("selectPolicy") != DISABLED
    }
    if not chosen:
        return before
    old = before or {}
    return {**old, **{key: {**(old.get(key) or {}), **value} for key, value in chosen.items()}}


def _set_back(scaler: Object, before: Mapping[str, Any]) -> dict[str, Any]:
    """The autoscaler's fields if those of ours that differ from suspended were set to what they were before."""
    now = _fields(scaler)
    if _least(scaler) > LEAST:
        now["minReplicas"] = before["minReplicas"]
    if not _disabled(scaler):
        if now["behavior"] is None or before["behavior"] is None:
            now["behavior"] = before["behavior"]
        else:
            now["behavior"] = {
                **now["behavior"],
                **{
                    key: {**(now["behavior"].get(key) or {}), **_policy(before["behavior"], key)}
                    for key in DIRECTIONS
                    if _rules(scaler, key).get("selectPolicy") != DISABLED
                },
            }
    return now


def _policy(behavior: Mapping[str, Any], direction: str) -> dict[str, Any]:
    rules = behavior.get(direction) or {}
    return {"selectPolicy": rules["selectPolicy"]} if "selectPolicy" in rules else {}


def _given_back(scaler: Object, before: Mapping[str, Any]) -> dict[str, Any]:
    """The patch of `spec` that takes our values away; whatever people set in the meantime stays."""
    spec: dict[str, Any] = {}
    if _least(scaler) <= LEAST and before["minReplicas"] != (scaler.get("spec") or {}).get("minReplicas"):
        spec["minReplicas"] = before["minReplicas"]
    ours = [each for each in DIRECTIONS if _rules(scaler, each).get("selectPolicy") == DISABLED]
    if not ours:
        return spec
    old = before["behavior"]
    if old is None and len(ours) == len(DIRECTIONS) and all(_is_bare(scaler, each) for each in DIRECTIONS):
        return {**spec, "behavior": None}
    back: dict[str, Any] = {}
    for direction in ours:
        rules = (old or {}).get(direction)
        if rules is None and _is_bare(scaler, direction):
            back[direction] = None
        else:
            back[direction] = {"selectPolicy": (rules or {}).get("selectPolicy")}
    return {**spec, "behavior": back}


def _is_bare(scaler: Object, direction: str) -> bool:
    """Whether a direction says nothing but our own policy and what the API server fills in."""
    rules = {key: value for key, value in _rules(scaler, direction).items() if key != "selectPolicy"}
    default = _DEFAULTS[direction]
    same = all(_sorted(rules.get(key)) == _sorted(default.get(key)) for key in rules)
    return not rules or (same and "policies" in rules)


def _sorted(value: Any) -> Any:
    return sorted(map(_canonical, value)) if isinstance(value, list) else value


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
