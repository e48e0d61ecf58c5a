"""One Deployment as both sides of a release: its incumbent's and its contender's ReplicaSet.

Both sides are views of the same Deployment, so they share its name, uid, version and claim. The incumbent's replicas,
template and digest are those of the old ReplicaSet. The contender's digest is always that of the Deployment's present
template, so that a third template, `kubectl rollout undo` and `kubectl rollout restart` all show as a contender that
changed; its replicas and pods are whatever else the Deployment runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from controller.release.observation import PodState, ReplicaSetState, SlotState
from controller.release.record import Record
from controller.release.vocabulary import FORWARD
from controller.slots import RESTARTED_AT, pods_of, template_digest
from controller.strategies.rolling_fields import Borrowed, borrowed
from controller.strategies.strategy import Cast

Template = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sides:
    """The ReplicaSets of a Deployment by their part in a release; None where there is none (yet, or any more)."""

    incumbent: ReplicaSetState | None
    contender: ReplicaSetState | None
    others: tuple[ReplicaSetState, ...]  # all but the incumbent's

    @property
    def trial(self) -> int:
        """Replicas that are not the incumbent's."""
        return sum(each.replicas for each in self.others)


def sides(record: Record, slot: SlotState, replica_sets: Sequence[ReplicaSetState]) -> Sides:
    """Who is who. `slot` is any view of the Deployment."""
    mine = [each for each in replica_sets if each.deployment == slot.name]
    was = borrowed(record, slot)
    if record.incumbent is not None:
        known = record.incumbent.digest
    elif was is not None and was.incumbent:
        known = was.incumbent
    else:
        known = _serving(slot, mine)
    names = record.incumbent.replica_sets if record.incumbent is not None else ()
    old = _best([each for each in mine if each.digest == known], names)
    others = tuple(each for each in mine if old is None or each.name != old.name)
    bound = record.contender.digest if record.contender is not None else template_digest(template_of(slot))
    names = record.contender.replica_sets if record.contender is not None else ()
    return Sides(old, _best([each for each in others if each.digest == bound], names), others)


def strangers(record: Record, slot: SlotState, found: Sides) -> list[ReplicaSetState]:
    """ReplicaSets with pods of a version that is none of the release's two."""
    bound = record.contender.digest if record.contender is not None else template_digest(template_of(slot))
    return [each for each in found.others if each.replicas > 0 and each.digest != bound]


def _serving(slot: SlotState, mine: Sequence[ReplicaSetState]) -> str:
    """The version that serves before a release has changed anything: a paused Deployment may hold the next one."""
    running = [each for each in mine if each.replicas > 0]
    if slot.paused and running:
        return max(running, key=lambda each: (each.replicas, each.revision)).digest
    return slot.digest


def _best(found: Sequence[ReplicaSetState], names: Sequence[str]) -> ReplicaSetState | None:
    """Of the ReplicaSets of one version (a restart makes another) the one that the release knew first, of those with
    pods; or the largest."""

    def known(each: ReplicaSetState) -> int:
        return len(names) - names.index(each.name) if each.name in names else 0

    return max(
        found,
        key=lambda each: (known(each) > 0, each.replicas > 0, known(each), each.replicas, each.revision),
        default=None,
    )


def template_of(slot: SlotState) -> Template:
    """The pod template that the API server holds; `slot` must not be the incumbent's view."""
    return (slot.raw.get("spec") or {}).get("template") or {}


def exact(template: Template) -> str:
    """A digest that, unlike that of a version, tells a restarted template from the one before."""
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    text = json.dumps([template_digest(template), annotations.get(RESTARTED_AT)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def cast(
    record: Record, slot: SlotState | None, replica_sets: Sequence[ReplicaSetState], pods: Sequence[PodState]
) -> Cast:
    """Both views of the Deployment, with the pods of each side."""
    if slot is None:
        return Cast(None, None)
    found, was = sides(record, slot, replica_sets), borrowed(record, slot)
    mine = pods_of(slot, pods)
    min_ready = float(was.min_ready or 0) if was is not None else slot.min_ready
    if record.incumbent is None and was is None:
        # Nothing is changed yet: whatever runs is the incumbent, and more than one version of it is another rollout.
        old = found.incumbent
        live = slot if old is None else _as(slot, old.digest, slot.replicas, min_ready, old.template)
        return Cast(live, replace(slot, replicas=0), mine, ())
    old = found.incumbent
    name = old.name if old is not None else ""
    live = replace(slot, digest="", replicas=0, min_ready=min_ready)
    if old is not None:
        live = _as(slot, old.digest, old.replicas, min_ready, old.template)
    trial = replace(slot, digest=_on_trial(record, slot, found, was), replicas=found.trial, min_ready=min_ready)
    return Cast(
        live,
        trial,
        tuple(pod for pod in mine if pod.replica_set == name),
        tuple(pod for pod in mine if pod.replica_set != name),
    )


def _as(slot: SlotState, digest: str, replicas: int, min_ready: float, template: Template) -> SlotState:
    raw = {**slot.raw, "spec": {**(slot.raw.get("spec") or {}), "template": template}}
    return replace(slot, digest=digest, replicas=replicas, min_ready=min_ready, raw=raw)


def _on_trial(record: Record, slot: SlotState, found: Sides, was: Borrowed | None) -> str:
    """The contender's digest: the present template's, unless we ourselves put the incumbent's there for a while."""
    bound = record.contender
    if bound is None or record.phase not in FORWARD:
        return slot.digest
    if goes_back(slot, was):
        return bound.digest
    running = found.contender
    if slot.digest == bound.digest and running is not None and running.replicas > 0:
        present = exact(template_of(slot))
        return bound.digest if present == exact(running.template) else present
    return slot.digest


def replicas_of(slot: SlotState) -> int:
    """D: the Deployment's own replicas, whatever a view of it says."""
    found = (slot.raw.get("spec") or {}).get("replicas")
    return 1 if found is None else int(found)


def present(slot: SlotState) -> str:
    """The digest of the template that the API server holds, whatever a view of the Deployment says."""
    return template_digest(template_of(slot))


def goes_back(slot: SlotState, was: Borrowed | None) -> bool:
    """Whether the Deployment holds the incumbent's template by our own hand."""
    claim = slot.claim
    return (
        was is not None and bool(was.incumbent) and claim is not None and claim.digest == was.incumbent == present(slot)
    )
