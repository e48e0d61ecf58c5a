"""blueGreen: the whole contender beside the incumbent, and one switch of a Service.

The slots are those of `twin`. The Service is pinned to the incumbent's `pod-template-hash` before a contender exists;
then both Deployments are paused, because a restart of a pinned one would drain the Service; then the contender comes
up at full size behind a preview Service. The switch is one patch of the selector, made only when the contender has
D - U ready endpoints; the incumbent keeps its pods for `keep`, so that the way back is another such patch. At the end
the incumbent goes to 0, the owner's selector returns, both Deployments go on, and the preview is deleted.

Theory. Let e_x be the pods of slot x that the Service sends requests to, A_x its available pods. Every write keeps

    switch      to x only if A_x >= D - U, or on the way back if A_x is no less than what the other side has
    lowering    of x only if e_y >= D - U for the other slot y, or the Service does not exist

so the Service never points at nothing while anything could serve.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from controller.findings import Finding, Refusal
from controller.gitops import owned
from controller.release.decision import Decision, RollBack
from controller.release.names import Ref
from controller.release.observation import Observation, PodState, ReplicaSetState, SlotState
from controller.release.plan import Plan
from controller.release.record import Record, Saved, Stage
from controller.release.vocabulary import FORWARD, Cause, Phase
from controller.requests.looks import Neighbours, Permission
from controller.services import selector_of
from controller.strategies import claims, pins
from controller.strategies.bluegreen_lacks import astray, lacking, lacking_on_the_way_back
from controller.strategies.bluegreen_moves import PAUSED, backward, forward, held, stamps, target
from controller.strategies.bluegreen_services import gate_problems, service_problems
from controller.strategies.bluegreen_standing import KEEP, PREVIEW, SWITCH, Standing, blue_green, both, unpinned
from controller.strategies.stages import HAND_BACK
from controller.strategies.strategy import Cast, Template
from controller.strategies.twin import Twin
from policies.schema import ReleasePolicySpec

_SLOTS = Twin()


class BlueGreen:
    """The blueGreen strategy; see the module for its theory."""

    reads_replica_sets = True
    by_service = False
    permissions = (
        Permission("list", "apps", "replicasets"),
        Permission("get", "", "services"),
        Permission("create", "", "services"),
        Permission("patch", "", "services"),
        Permission("delete", "", "services"),
        Permission("get", "", "endpoints"),
    )

    def slot_names(self, deployment: str) -> tuple[str, ...]:
        return _SLOTS.slot_names(deployment)

    def reads(self, policy: ReleasePolicySpec, record: Record) -> tuple[Ref, ...]:
        blue = blue_green(policy)
        names = (blue.service, blue.previews)
        return (*(Ref("Service", name) for name in names), *(Ref("Endpoints", name) for name in names))

    def cast(
        self,
        policy: ReleasePolicySpec,
        record: Record,
        slots: Mapping[str, SlotState | None],
        replica_sets: Sequence[ReplicaSetState],
        pods: Sequence[PodState],
    ) -> Cast:
        return _SLOTS.cast(policy, record, slots, replica_sets, pods)

    def stages(self, policy: ReleasePolicySpec, desired: int) -> tuple[Stage, ...]:
        blue = blue_green(policy)
        by_hand = {
            name: how == "manual" for name, how in ((PREVIEW, blue.advance.preview), (SWITCH, blue.advance.switch))
        }
        least = blue.preview_for.seconds if blue.preview_for is not None else None
        kept = (Stage(desired, desired, least=blue.keep.seconds, name=KEEP, beside=False),)
        return (
            Stage(desired, desired, by_hand=by_hand[PREVIEW], least=least, name=PREVIEW),
            Stage(desired, desired, by_hand=by_hand[SWITCH], name=SWITCH, beside=False),
            *(kept if blue.keep.seconds > 0.0 else ()),
            Stage(desired, 0, gated=False, name=HAND_BACK),
        )

    def merged(self, policy: ReleasePolicySpec, desired: int) -> list[str]:
        blue = blue_green(policy)
        return [
            f"twice {desired} pods for the length of the release",
            f"the gates of the preview see only what is sent to Service {blue.previews}",
        ]

    def desired(self, record: Record, seen: Observation) -> int:
        return seen.incumbent.replicas if seen.incumbent is not None else 0

    def noticed(self, record: Record, seen: Observation) -> tuple[int, tuple[str, ...]]:
        """D is what people set on the side that serves; setting the other one, or the selector, back is a reversal."""
        desired = record.desired
        undone: list[str] = []
        switched = record.phase in FORWARD and record.stage > 0
        for slot, serves in ((seen.incumbent, not switched), (seen.contender, switched)):
            if slot is None or not claims.set_by_others(slot, seen.uid):
                continue
            if slot.replicas == record.desired or claims.stripped(slot, seen.uid) or not serves:
                undone.append(claims.reversal(slot))
                if serves:
                    desired = max(desired, slot.replicas)
            elif record.phase is Phase.ROLLING_BACK:
                desired = max(desired, slot.replicas)
            else:
                desired = slot.replicas
        if (undone_pin := unpinned(record, seen)) is not None:
            undone.append(f"Service {undone_pin[0]}@{undone_pin[1]}")
        return desired, tuple(undone)

    def problems(self, policy: ReleasePolicySpec, record: Record, seen: Observation, around: Neighbours) -> Finding:
        live, spare = seen.incumbent, seen.contender
        if live is not None and spare is not None and spare.replicas > 0:
            return Refusal(
                f"both {live.name} ({live.replicas} pods) and {spare.name} ({spare.replicas} pods) have replicas: "
                "scale the one that should not serve to 0, then release again"
            )
        for slot in both(seen):
            if finding := owned(
                slot.raw, (("spec", "replicas"), ("spec", "template"), ("spec", "paused")), group="apps"
            ):
                return finding
        return service_problems(blue_green(policy), policy, seen, around) or (
            gate_problems(policy) if record.origin == "change" else None
        )

    def paused_by(self, record: Record, seen: Observation) -> tuple[str, str] | None:
        # Both slots are paused by us from the start of the preview on, and a person's pause looks no different.
        return None if record.phase in FORWARD or record.phase is Phase.ROLLING_BACK else _SLOTS.paused_by(record, seen)

    def saved(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[Saved, ...]:
        name = blue_green(policy).service
        service = seen.objects.get(Ref("Service", name))
        if service is None:
            return ()
        pin = pins.pin_of(service)
        # A release that lost its record has pinned it: what its annotation says was there before is the owner's.
        own = pin.selector if pin is not None else selector_of(service)
        fields = json.dumps({pins.SELECTOR: dict(own)}, sort_keys=True, separators=(",", ":"))
        slots = (Saved("Deployment", slot.name, slot.uid, PAUSED) for slot in both(seen))
        return (Saved("Service", name, pins.uid_of(service), fields), *slots)

    def prepared(self, record: Record, seen: Observation, template: Template) -> bool:
        return _SLOTS.prepared(record, seen, template)

    def prepare(self, record: Record, seen: Observation, template: Template) -> Plan:
        return _SLOTS.prepare(record, seen, template)

    # --------------------------------------------------------------------------------------------- movement

    def meddled(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> Decision | None:
        """Whoever takes the Service away, or points it elsewhere, ends what it was borrowed for."""
        here = Standing.of(record, seen, policy)
        if why := astray(here):
            return RollBack(Cause.ROUTE_MISSING if here.at == "missing" else Cause.ROUTE_CHANGED, why)
        return None

    def unsettled(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        here = Standing.of(record, seen, policy)
        stage = self.stages(policy, record.desired)[record.stage]
        return next((why for why in lacking(here, stage) if why), "")

    def move(self, record: Record, seen: Observation, policy: ReleasePolicySpec, *, still: bool) -> Plan:
        here = Standing.of(record, seen, policy)
        stage = self.stages(policy, record.desired)[min(record.stage, record.stages)]
        if record.phase is Phase.ROLLING_BACK:
            writes = backward(here)
        elif record.phase not in FORWARD:
            writes = []  # before its start, or a restore that takes the slots over
        elif still:
            writes = held(here, stage)
        else:
            writes = forward(here, stage)
        # Stamps first: a controller that was paused before its own write to another object loses it to this stamp.
        touched = {target(write) for write in writes}
        return Plan((*(write for write in stamps(here) if target(write) not in touched), *writes))

    def unrestored(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        return next((why for why in lacking_on_the_way_back(Standing.of(record, seen, policy)) if why), "")

    def release_claims(self, uid: str, slots: tuple[SlotState | None, ...]) -> Plan:
        return claims.released(uid, slots)
