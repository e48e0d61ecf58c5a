"""recreate: all pods go, then all come back as the new version; for development and test, or what must not run twice.

One Deployment. The new template is put into it while it is paused, so that nothing moves before the release has begun;
then it goes to 0, and only when the last old pod is gone, terminating ones included, it goes on at D with the new
version. The way back is the same with the old template, which its ReplicaSet has kept.

Theory. Let o be the pods that exist of the old version and n those of the new one. Every write keeps

    never both    replicas rise for one version only if no pod of the other exists

which costs the app its availability on purpose, once each way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from controller.findings import Finding, Refusal
from controller.gitops import owned
from controller.release.decision import Decision
from controller.release.names import Ref
from controller.release.observation import Claim, Observation, PodState, ReplicaSetState, SlotState
from controller.release.plan import PatchSlot, Plan
from controller.release.record import Record, Saved, Stage
from controller.release.vocabulary import Phase
from controller.requests.looks import Neighbours, Permission
from controller.slots import slot_state, template_digest, writer_of
from controller.strategies import claims
from controller.strategies.strategy import Cast, Template
from policies.schema import ReleasePolicySpec

STAGE = "recreate"
_PAUSED = json.dumps({"spec.paused": None}, sort_keys=True, separators=(",", ":"))
_SERVED = "incumbent"  # the digest in our claim, beside what is borrowed
_RESUMED: Mapping[str, Any] = {"paused": None}


class Recreate:
    """The recreate strategy; see the module for its theory."""

    reads_replica_sets = True
    by_service = False
    permissions = (Permission("list", "apps", "replicasets"),)

    def slot_names(self, deployment: str) -> tuple[str, ...]:
        return (deployment,)

    def reads(self, policy: ReleasePolicySpec, record: Record) -> tuple[Ref, ...]:
        return ()

    def cast(
        self,
        policy: ReleasePolicySpec,
        record: Record,
        slots: Mapping[str, SlotState | None],
        replica_sets: Sequence[ReplicaSetState],
        pods: Sequence[PodState],
    ) -> Cast:
        """Two views of one Deployment: by its old ReplicaSets, and by the template that it has now."""
        slot = slots.get(policy.target.deployment)
        if slot is None:
            return Cast(None, None)
        sets = [each for each in replica_sets if each.deployment == slot.name]
        names = {each.name for each in sets}
        mine = tuple(pod for pod in pods if pod.replica_set in names)
        old = _old_digest(record, slot, sets)
        theirs = {each.name for each in sets if each.digest == old}
        incumbents = tuple(pod for pod in mine if pod.replica_set in theirs)
        if old == slot.digest and (record.incumbent is None or record.phase is Phase.PREFLIGHT):
            return Cast(slot, replace(slot, replicas=0), incumbents)  # the new version is not in it yet
        # The old version without its ReplicaSet has no way back: then its digest is nobody's, which is held for.
        live = replace(
            slot,
            digest=old if theirs else "",
            replicas=sum(each.replicas for each in sets if each.digest == old),
            raw=_with_template(slot.raw, _template_of(old, sets)),
        )
        spare = replace(slot, replicas=sum(each.replicas for each in sets if each.digest == slot.digest))
        return Cast(live, spare, incumbents, tuple(pod for pod in mine if pod.replica_set not in theirs))

    def stages(self, policy: ReleasePolicySpec, desired: int) -> tuple[Stage, ...]:
        return (Stage(desired, 0, name=STAGE, beside=False),)

    def merged(self, policy: ReleasePolicySpec, desired: int) -> list[str]:
        return [f"all {desired} pods go before the first new one comes: the app does not serve meanwhile"]

    def desired(self, record: Record, seen: Observation) -> int:
        whole = _whole(seen)
        return whole.replicas if whole is not None else 0

    def noticed(self, record: Record, seen: Observation) -> tuple[int, tuple[str, ...]]:
        """D is what people set; setting it back to D while we have it at 0 asks for nothing new."""
        whole = _whole(seen)
        if whole is None or not claims.set_by_others(whole, seen.uid):
            return record.desired, ()
        if whole.replicas in (record.desired, 0) or claims.stripped(whole, seen.uid):
            return record.desired, (claims.reversal(whole),)
        if record.phase is Phase.ROLLING_BACK:
            return max(record.desired, whole.replicas), ()
        return whole.replicas, ()

    def problems(self, policy: ReleasePolicySpec, record: Record, seen: Observation, around: Neighbours) -> Finding:
        live = seen.incumbent
        if live is None:
            return None
        if (live.raw.get("spec") or {}).get("revisionHistoryLimit") == 0:
            return Refusal(
                f"Deployment {live.name} keeps no old ReplicaSet (revisionHistoryLimit 0), so there would be no way "
                "back: set it to 1 or more"
            )
        return owned(live.raw, (("spec", "replicas"), ("spec", "template"), ("spec", "paused")), group="apps")

    def paused_by(self, record: Record, seen: Observation) -> tuple[str, str] | None:
        whole = _whole(seen)
        if whole is None or not whole.paused or _paused_by_us(seen, whole):
            return None
        return writer_of(whole.raw, "spec", "paused"), whole.name

    def saved(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[Saved, ...]:
        whole = _whole(seen)
        return (Saved("Deployment", whole.name, whole.uid, _PAUSED),) if whole is not None else ()

    def meddled(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> Decision | None:
        return None

    def prepared(self, record: Record, seen: Observation, template: Template) -> bool:
        whole = _whole(seen)
        if whole is None or seen.contender is None or whole.claim is None or not claims.holds(seen, whole):
            return False
        return whole.claim.digest == template_digest(template) and whole.paused and whole.observed

    def prepare(self, record: Record, seen: Observation, template: Template) -> Plan:
        whole = _whole(seen)
        if whole is None:
            return Plan()
        if not claims.holds(seen, whole):
            return Plan((_stamp(record, seen, whole),))
        if self.prepared(record, seen, template) or not whole.observed:
            return Plan()
        digest = template_digest(template)
        return Plan(
            (
                PatchSlot(
                    name=whole.name,
                    resource_version=whole.resource_version,
                    claim=_claim(record, seen, whole.replicas, digest, paused=True),
                    summary=f"pause {whole.name} and put version {digest} into it",
                    template=template,
                    fields={"paused": True},
                ),
            )
        )

    # --------------------------------------------------------------------------------------------- movement

    def unsettled(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        whole, desired = _whole(seen), record.desired
        if whole is None:
            return "the Deployment does not exist"
        if seen.incumbents:
            return f"{len(seen.incumbents)} pods of the old version are still there"
        return _short(whole, seen, desired)

    def move(self, record: Record, seen: Observation, policy: ReleasePolicySpec, *, still: bool) -> Plan:
        whole = _whole(seen)
        if whole is None:
            return Plan()
        if record.phase is Phase.ROLLING_BACK:
            write = _backward(record, seen, whole)
        else:
            write = None if still else _forward(record, seen, whole)
        if write is None and not claims.stamped(record, seen, whole):
            return Plan((_stamp(record, seen, whole),))
        return Plan((write,) if write is not None else ())

    def unrestored(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        whole = _whole(seen)
        if whole is None or record.incumbent is None:
            return "the Deployment does not exist"
        if seen.contenders:
            return f"{len(seen.contenders)} pods of the new version are still there"
        if whole.digest != record.incumbent.digest:
            if seen.incumbent is None or not seen.incumbent.digest:
                return f"the ReplicaSet of version {record.incumbent.digest} is gone, and its template with it"
            return f"{whole.name} does not have the old template yet"
        return _short(whole, seen, record.desired, "incumbent")

    def release_claims(self, uid: str, slots: tuple[SlotState | None, ...]) -> Plan:
        return claims.released(uid, slots)


def _forward(record: Record, seen: Observation, whole: SlotState) -> PatchSlot | None:
    """To 0, and once nothing is left of the old version, on with the new one."""
    if seen.incumbents or (seen.incumbent is not None and seen.incumbent.replicas > 0):
        return _patch(record, seen, whole, 0) if whole.replicas != 0 else None
    if whole.paused and _paused_by_us(seen, whole):
        return _patch(record, seen, whole, record.desired, fields=_RESUMED) if whole.observed else None
    return _patch(record, seen, whole, record.desired) if whole.replicas != record.desired else None


def _backward(record: Record, seen: Observation, whole: SlotState) -> PatchSlot | None:
    """As long as anything of the new version is there, to 0; then the old template at D, in one patch."""
    if record.incumbent is None:
        return None
    if seen.contenders or (seen.contender is not None and _foreign(record, seen.contender) and seen.contender.replicas):
        return _patch(record, seen, whole, 0) if whole.replicas != 0 else None
    if whole.digest != record.incumbent.digest:
        live = seen.incumbent
        if live is None or not live.digest or not whole.observed:
            return None
        template = (live.raw.get("spec") or {}).get("template")
        return _patch(record, seen, whole, record.desired, fields=_RESUMED, template=template)
    if whole.paused:
        return _patch(record, seen, whole, record.desired, fields=_RESUMED)
    return _patch(record, seen, whole, record.desired) if whole.replicas != record.desired else None


def _foreign(record: Record, contender: SlotState) -> bool:
    return record.incumbent is None or contender.digest != record.incumbent.digest


def _short(whole: SlotState, seen: Observation, desired: int, role: str = "contender") -> str:
    """What the present template lacks of D ready pods."""
    if whole.paused:
        return f"{whole.name} is still paused"
    if whole.replicas != desired:
        return f"{whole.name} has {whole.replicas} of {desired} pods"
    if not whole.observed:
        return f"the API server's controllers have not seen the last change of {whole.name}"
    pods = seen.contenders if role == "contender" else seen.incumbents
    ready = sum(pod.available(seen.now, whole.min_ready) for pod in pods)
    if ready < desired:
        return f"{ready} of {desired} {role} pods are ready"
    troubled = next((pod for pod in pods if pod.waiting and not pod.terminating), None)
    return f"pod {troubled.name} waits: {troubled.waiting}" if troubled is not None else ""


def _patch(
    record: Record,
    seen: Observation,
    whole: SlotState,
    replicas: int,
    *,
    fields: Mapping[str, Any] | None = None,
    template: Template | None = None,
) -> PatchSlot:
    what = [f"{whole.name} {whole.replicas} -> {replicas}"]
    if template is not None:
        what.append("with the old template")
    elif fields is not None:
        what.append("with the new version")
    held: Claim | None = whole.claim
    digest = template_digest(template) if template is not None else held.digest if held is not None else ""
    return PatchSlot(
        name=whole.name,
        resource_version=whole.resource_version,
        claim=_claim(record, seen, replicas, digest, paused=fields is None and _paused_by_us(seen, whole)),
        summary=" ".join(what),
        replicas=replicas,
        template=template,
        fields=fields,
    )


def _claim(record: Record, seen: Observation, replicas: int, digest: str, *, paused: bool) -> Claim:
    """Our claim: what was put into the Deployment, whether the pause is ours, and which version served before."""
    served = record.incumbent or seen.incumbent
    saved = {_SERVED: served.digest if served is not None else "", "spec.paused": None}
    text = json.dumps(saved, sort_keys=True, separators=(",", ":"))
    return replace(claims.claim(record, seen, "incumbent", replicas, digest, text), paused=paused)


def _stamp(record: Record, seen: Observation, whole: SlotState) -> PatchSlot:
    held = whole.claim
    digest = held.digest if held is not None else ""
    return PatchSlot(
        name=whole.name,
        resource_version=whole.resource_version,
        claim=_claim(record, seen, whole.replicas, digest, paused=_paused_by_us(seen, whole)),
        summary=f"claim {whole.name}",
    )


def _whole(seen: Observation) -> SlotState | None:
    """The Deployment itself, behind its two views; the contender's view has it as it is."""
    view = seen.contender if seen.contender is not None else seen.incumbent
    return slot_state(view.raw) if view is not None else None


def _paused_by_us(seen: Observation, whole: SlotState) -> bool:
    return claims.claimed(seen, whole) and whole.claim is not None and bool(whole.claim.paused)


def _old_digest(record: Record, slot: SlotState, sets: Sequence[ReplicaSetState]) -> str:
    """The version that serves: as recorded, as claimed, else that of the ReplicaSet that has the pods."""
    if record.incumbent is not None:
        return record.incumbent.digest
    if served := _served(slot):
        return served
    running = [each for each in sets if each.replicas > 0]
    return max(running, key=lambda each: (each.replicas, each.revision)).digest if running else slot.digest


def _served(slot: SlotState) -> str:
    """The version that served when our claim was written, or ""."""
    try:
        return str(json.loads(slot.claim.saved)[_SERVED]) if slot.claim is not None and slot.claim.saved else ""
    except (ValueError, TypeError, KeyError):
        return ""


def _template_of(digest: str, sets: Sequence[ReplicaSetState]) -> Template | None:
    """The template of a version, as its youngest ReplicaSet has kept it."""
    found = [each for each in sets if each.digest == digest]
    return max(found, key=lambda each: each.revision).template if found else None


def _with_template(raw: Mapping[str, Any], template: Template | None) -> Mapping[str, Any]:
    if template is None:
        return raw
    return {**raw, "spec": {**(raw.get("spec") or {}), "template": template}}
