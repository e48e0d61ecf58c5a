"""twin: two Deployments, the origin's own method.

The app has two slots, `<app>` and `<app>-twin`. The incumbent serves from one; the contender starts in the other at 0.
Each batch scales the contender up, waits until its pods are ready, then scales the incumbent down; a rollback does the
same the other way. Roles alternate, so a promotion restarts no pod and the old version stays warm at 0.

Theory. Let D be the desired pods in total, S and U the user's maxSurge and maxUnavailable in pods, i and c the
replicas of the two slots, A their available pods. Every write keeps

    surge          i + c <= D + S
    availability   A_i + A_c - min(A_x, r) >= D - U     when it lowers slot x by r,

the second even if only available pods went. Pods that are not available may go at any time: a ReplicaSet removes
pods that are not ready first. Because a Deployment's resourceVersion does not guard its pods, a lowering write is made
only on pods read immediately before.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from controller.release import (
    CLAIM_ANNOTATION,
    GROUP,
    SLOT_LABEL,
    Claim,
    CreateSlot,
    Observation,
    PatchSlot,
    Phase,
    Plan,
    PodState,
    Record,
    Role,
    SlotState,
    SlotWrite,
)
from controller.slots import claim_text, template_digest
from policies.schema import ReleasePolicySpec
from policies.twin import Twin as TwinPolicy

SPARE_SUFFIX = "-twin"


class Twin:
    """The twin strategy; see the module for its theory."""

    def slot_names(self, deployment: str) -> tuple[str, ...]:
        return (deployment, deployment + SPARE_SUFFIX)

    def targets(self, policy: ReleasePolicySpec, desired: int) -> tuple[int, ...]:
        return _twin(policy).targets(desired)

    def next_stage(self, policy: ReleasePolicySpec, desired: int, stage: int) -> int | None:
        targets = self.targets(policy, desired)
        here = targets[stage] if stage >= 0 else 0
        if 0 <= stage < len(targets) - 1 and here == desired and self._shape(policy, desired, stage)[1] > 0:
            return len(targets) - 1  # the control that stayed for the canary leaves
        return next((later for later in range(stage + 1, len(targets)) if targets[later] > here), None)

    def _shape(self, policy: ReleasePolicySpec, desired: int, stage: int) -> tuple[int, int]:
        """(contender, incumbent) pods of a stage.

        A canary as large as the app (one of one pod) would leave nothing to compare it with: where the surge lets it,
        one incumbent stays beside it, and leaves with the last stage.
        """
        want_c = self.targets(policy, desired)[stage]
        control = stage == 0 and want_c == desired > 0 and _twin(policy).surge(desired) > 0
        return want_c, max(desired - want_c, 1 if control else 0)

    # ------------------------------------------------------------------------------------------ preparation

    def prepared(self, record: Record, seen: Observation, template: Mapping[str, Any]) -> bool:
        live, spare = seen.incumbent, seen.contender
        if live is None or spare is None or not _holds(seen, live) or not _claimed(seen, spare):
            return False
        # The claim is written in one patch with the template, so its digest says what the slot was given. What the
        # API server made of it (defaults, a webhook's additions) is bound by the slot's own digest afterwards.
        return spare.claim is not None and spare.claim.digest == template_digest(template) and spare.observed

    def prepare(self, record: Record, seen: Observation, template: Mapping[str, Any]) -> Plan:
        live, spare = seen.incumbent, seen.contender
        if live is None:
            return Plan()
        digest = template_digest(template)
        # The incumbent is claimed first: a second policy or controller loses here, before anything is created.
        if not _holds(seen, live):
            return Plan((_stamp(record, seen, live, "incumbent"),))
        if spare is None:
            name = next(name for name in self.slot_names(_app_of(live.name)) if name != live.name)
            claim = _claim(record, seen, "contender", 0, digest)
            return Plan((CreateSlot(name, _spare_manifest(live, name, template, claim), f"create {name} at 0"),))
        if self.prepared(record, seen, template) or not spare.observed:
            return Plan()
        return Plan(
            (
                PatchSlot(
                    name=spare.name,
                    resource_version=spare.resource_version,
                    claim=_claim(record, seen, "contender", spare.replicas, digest),
                    summary=f"put version {digest} into {spare.name} at {spare.replicas}",
                    # A warm slot that holds the version already keeps its ReplicaSet: no template is written.
                    template=None if spare.digest == digest else _slot_template(template, spare.name),
                    min_ready=live.min_ready,
                ),
            )
        )

    # --------------------------------------------------------------------------------------------- movement

    def unsettled(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        want_c, want_i = self._shape(policy, record.desired, record.stage)
        sides: tuple[tuple[Role, SlotState | None, tuple[PodState, ...], int], ...] = (
            ("contender", seen.contender, seen.contenders, want_c),
            ("incumbent", seen.incumbent, seen.incumbents, want_i),
        )
        # The contender first: an incumbent that may not leave yet usually waits for it.
        for role, slot, pods, want in sides:
            if slot is None:
                return f"the {role} Deployment does not exist"
            if slot.replicas != want:
                return f"{role} has {slot.replicas} of {want} pods"
            if not slot.observed:
                return f"the API server's controllers have not seen the last change of {slot.name}"
            if (available := seen.available(role)) < want:
                return f"{available} of {want} {role} pods are ready"
            staying = [pod for pod in pods if not pod.terminating]
            if len(staying) > want:
                return f"{len(staying)} {role} pods are there, {want} are wanted"
            if troubled := next((pod for pod in staying if pod.waiting), None):
                return f"pod {troubled.name} waits: {troubled.waiting}"
        return ""

    def move(self, record: Record, seen: Observation, policy: ReleasePolicySpec, *, still: bool) -> Plan:
        live, spare = seen.incumbent, seen.contender
        change = None if still else self._next(record, seen, policy)
        writes: list[SlotWrite] = []
        # Stamps first: a controller that was paused before its own write to the other slot loses it to this stamp,
        # so the capacity write below rests on a slot that nobody else can move under us.
        for slot, role in ((spare, "contender"), (live, "incumbent")):
            moving = change is not None and slot is not None and change[0] == slot.name
            if slot is not None and not moving and not _stamped(record, seen, slot):
                writes.append(_stamp(record, seen, slot, "contender" if role == "contender" else "incumbent"))
        if change is not None:
            name, replicas = change
            slot = spare if spare is not None and spare.name == name else live
            assert slot is not None
            role_moved: Role = "contender" if slot is spare else "incumbent"
            writes.append(
                PatchSlot(
                    name=name,
                    resource_version=slot.resource_version,
                    claim=_claim(record, seen, role_moved, replicas, _digest_of(record, role_moved)),
                    summary=f"{role_moved} {name} {slot.replicas} -> {replicas}",
                    replicas=replicas,
                )
            )
        return Plan(tuple(writes))

    def _next(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> tuple[str, int] | None:
        """The one capacity change towards the record's shape: (slot name, replicas), or None."""
        live, spare = seen.incumbent, seen.contender
        if live is None:
            return None
        back = record.phase is Phase.ROLLING_BACK
        d = record.desired
        surge, slack = _twin(policy).surge(d), _twin(policy).unavailable(d)
        want_c, want_i = (0, d) if back else self._shape(policy, d, record.stage)
        i, c = live.replicas, spare.replicas if spare is not None else 0
        ready_i, ready_c = seen.available("incumbent"), seen.available("contender")
        room = d + surge - i - c

        # Up before down, the known version before the new one.
        if i < want_i and room > 0:
            return live.name, min(want_i, i + room)
        if spare is not None and c < want_c and room > 0:
            return spare.name, min(want_c, c + room)

        # Down only on what the controllers have acted upon: pods of an unobserved change would be counted twice.
        if not live.observed or (spare is not None and not spare.observed):
            return None
        floor = d - slack
        if i > want_i:
            # With surge to spend, no incumbent leaves before the contenders that are there are ready.
            if surge > 0 and ready_c < c:
                return None
            gone = _removable(i - want_i, ready_i, i - seen.ready("incumbent"), ready_i + ready_c, floor)
            if gone > 0:
                return live.name, i - gone
        if spare is not None and c > want_c:
            gone = _removable(c - want_c, ready_c, c - seen.ready("contender"), ready_i + ready_c, floor)
            if gone > 0:
                return spare.name, c - gone
        return None

    def unrestored(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        live, spare = seen.incumbent, seen.contender
        if live is None:
            return "the incumbent Deployment does not exist"
        floor = record.desired - _twin(policy).unavailable(record.desired)
        if live.replicas != record.desired:
            return f"incumbent has {live.replicas} of {record.desired} pods"
        if not live.observed:
            return f"the API server's controllers have not seen the last change of {live.name}"
        if (ready := seen.available("incumbent")) < floor:
            return f"{ready} of {record.desired} incumbent pods are ready"
        if spare is not None and spare.replicas != 0:
            return f"contender still has {spare.replicas} pods"
        return ""

    def release_claims(self, uid: str, slots: tuple[SlotState | None, ...]) -> Plan:
        return Plan(
            tuple(
                PatchSlot(slot.name, slot.resource_version, claim=None, summary=f"release the claim on {slot.name}")
                for slot in slots
                if slot is not None and slot.claim is not None and slot.claim.uid == uid
            )
        )


def _twin(policy: ReleasePolicySpec) -> TwinPolicy:
    twin = policy.strategy.twin
    if twin is None:
        raise TypeError("this policy's strategy is not twin")
    return twin


def _removable(want: int, available: int, unready: int, available_total: int, floor: int) -> int:
    """How many of `want` pods may leave a slot now, of which `available` are available and `unready` do not serve.

    A pod that serves, but not for long enough yet, is neither: what its age is worth depends on two clocks.
    """
    if available_total - min(available, want) >= floor:
        return want
    return min(want, max(available_total - floor, unready, 0))


def _app_of(slot_name: str) -> str:
    return slot_name.removesuffix(SPARE_SUFFIX)


def _digest_of(record: Record, role: Role) -> str:
    slot = record.contender if role == "contender" else record.incumbent
    return slot.digest if slot is not None else ""


def _claim(record: Record, seen: Observation, role: Role, replicas: int, digest: str) -> Claim:
    return Claim(
        release=seen.release,
        uid=seen.uid,
        role=role,
        phase=record.phase,
        epoch=record.epoch,
        replicas=replicas,
        desired=record.desired,
        digest=digest,
    )


def _claimed(seen: Observation, slot: SlotState) -> bool:
    return slot.claim is not None and slot.claim.uid == seen.uid


def _holds(seen: Observation, slot: SlotState) -> bool:
    """Whether the claim is ours and knows the slot's replicas: who scales it before the start undoes nothing."""
    return slot.claim is not None and slot.claim.uid == seen.uid and slot.claim.replicas == slot.replicas


def _stamped(record: Record, seen: Observation, slot: SlotState) -> bool:
    claim = slot.claim
    return (
        claim is not None
        and claim.uid == seen.uid
        and claim.epoch == record.epoch
        and claim.replicas == slot.replicas
        and claim.desired == record.desired
    )


def _stamp(record: Record, seen: Observation, slot: SlotState, role: Role) -> PatchSlot:
    return PatchSlot(
        name=slot.name,
        resource_version=slot.resource_version,
        claim=_claim(record, seen, role, slot.replicas, _digest_of(record, role)),
        summary=f"claim {slot.name} as {role}",
    )


def _slot_template(template: Mapping[str, Any], slot_name: str) -> dict[str, Any]:
    """The template as this slot carries it: the twin's pods have the slot label, the first slot's have not."""
    held = copy.deepcopy(dict(template))
    labels = held.setdefault("metadata", {}).setdefault("labels", {})
    if slot_name.endswith(SPARE_SUFFIX):
        labels[SLOT_LABEL] = "twin"
    else:
        labels.pop(SLOT_LABEL, None)
    return held


def _spare_manifest(live: SlotState, name: str, template: Mapping[str, Any], claim: Claim) -> dict[str, Any]:
    """The spare Deployment: the live one's spec, its own selector label, no replicas, nobody's tracking labels.

    Labels of the live Deployment itself are not copied: a GitOps tool would take the copy for its own and prune it.
    """
    spec = live.raw.get("spec") or {}
    labels = dict((spec.get("selector") or {}).get("matchLabels") or {})
    if name.endswith(SPARE_SUFFIX):
        labels[SLOT_LABEL] = "twin"
    else:
        labels.pop(SLOT_LABEL, None)
    copied = {
        key: spec[key]
        for key in ("strategy", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
        if key in spec
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/managed-by": "nightferry", f"{GROUP}/app": _app_of(live.name)},
            "annotations": {CLAIM_ANNOTATION: claim_text(claim)},
        },
        "spec": {
            **copied,
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": _slot_template(template, name),
        },
    }


def pods_of(slot: SlotState | None, pods: tuple[PodState, ...]) -> tuple[PodState, ...]:
    """The pods whose ReplicaSet belongs to this Deployment: `<deployment>-<pod-template-hash>`."""
    if slot is None:
        return ()
    return tuple(
        pod
        for pod in pods
        if (hash_label := pod.labels.get("pod-template-hash")) and pod.replica_set == f"{slot.name}-{hash_label}"
    )
