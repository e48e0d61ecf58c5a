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

from collections.abc import Mapping, Sequence
from typing import Any

from controller.findings import Finding, Refusal
from controller.gitops import owned
from controller.release.decision import Decision
from controller.release.names import Ref
from controller.release.observation import Observation, PodState, ReplicaSetState, SlotState
from controller.release.plan import CreateSlot, PatchSlot, Plan, SlotWrite
from controller.release.record import Record, Saved, Stage
from controller.release.vocabulary import Phase, Role
from controller.requests.looks import Neighbours, Permission
from controller.slots import pods_of, template_digest, writer_of
from controller.strategies import claims, leading
from controller.strategies.claims import claim, claimed, digest_of, holds, reversal, set_by_others, stamp, stamped
from controller.strategies.spare import SPARE_SUFFIX, app_of, slot_template, spare_manifest
from controller.strategies.stages import stages_of
from controller.strategies.strategy import Cast
from policies.schema import ReleasePolicySpec
from policies.twin import Twin as TwinPolicy


class Twin:
    """The twin strategy; see the module for its theory."""

    reads_replica_sets = False
    by_service = True
    permissions: tuple[Permission, ...] = ()

    def slot_names(self, deployment: str) -> tuple[str, ...]:
        return (deployment, deployment + SPARE_SUFFIX)

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
        live, spare = (slots.get(name) for name in self._roles(policy, record, slots))
        return Cast(live, spare, pods_of(live, pods), pods_of(spare, pods))

    def _roles(
        self, policy: ReleasePolicySpec, record: Record, slots: Mapping[str, SlotState | None]
    ) -> tuple[str, str]:
        """(incumbent, contender): as recorded, as claimed, else who has pods is live."""
        if record.incumbent is not None and record.contender is not None:
            return record.incumbent.name, record.contender.name
        names = self.slot_names(policy.target.deployment)
        first, second = (slots.get(name) for name in names)
        for slot, other in ((first, names[1]), (second, names[0])):
            if slot is not None and slot.claim is not None:
                return (slot.name, other) if slot.claim.role == "incumbent" else (other, slot.name)
        if second is not None and second.replicas > 0 and (first is None or first.replicas == 0):
            return names[1], names[0]
        return names[0], names[1]

    def stages(self, policy: ReleasePolicySpec, desired: int) -> tuple[Stage, ...]:
        """A canary as large as the app (one of one pod) would leave nothing to compare it with.

        Where the surge lets it, one incumbent stays beside it, and leaves with the next stage.
        """
        twin = _twin(policy)
        return tuple(
            Stage(
                contender=want,
                incumbent=max(desired - want, 1 if n == 0 and want == desired > 0 and twin.surge(desired) > 0 else 0),
                by_hand=(twin.advance.canary if n == 0 else twin.advance.batches) == "manual",
            )
            for n, want in enumerate(twin.targets(desired))
        )

    def merged(self, policy: ReleasePolicySpec, desired: int) -> list[str]:
        return _twin(policy).merged(desired)

    # ------------------------------------------------------------------------------------------ what is seen

    def desired(self, record: Record, seen: Observation) -> int:
        return seen.incumbent.replicas if seen.incumbent is not None else 0

    def noticed(self, record: Record, seen: Observation) -> tuple[int, tuple[str, ...]]:
        """D is what people last set on the incumbent's Deployment.

        Setting it back to D itself, or touching the contender, asks for nothing new: that is a reversal.
        """
        reversed_here: list[str] = []
        desired = record.desired
        live, spare = seen.incumbent, seen.contender
        if live is not None and set_by_others(live, seen.uid):
            if live.replicas == record.desired or claims.stripped(live, seen.uid):
                reversed_here.append(reversal(live))
                desired = max(desired, live.replicas)
            elif record.phase is Phase.ROLLING_BACK:
                desired = max(desired, live.replicas)
            else:
                desired = live.replicas
        if spare is not None and set_by_others(spare, seen.uid):
            reversed_here.append(reversal(spare))
        return desired, tuple(reversed_here)

    def problems(self, policy: ReleasePolicySpec, record: Record, seen: Observation, around: Neighbours) -> Finding:
        live, spare = seen.incumbent, seen.contender
        if live is None:
            return None
        if spare is not None and spare.replicas > 0:
            return Refusal(
                f"both {live.name} ({live.replicas} pods) and {spare.name} ({spare.replicas} pods) have replicas: "
                "scale the one that should not serve to 0, then release again"
            )
        for slot in filter(None, (live, spare)):
            if finding := owned(slot.raw, (("spec", "replicas"), ("spec", "template")), group="apps"):
                return finding
        why = _twin(policy).standstill(live.replicas)
        return Refusal(why) if why else None

    def paused_by(self, record: Record, seen: Observation) -> tuple[str, str] | None:
        stopped = next((slot for slot in (seen.contender, seen.incumbent) if slot is not None and slot.paused), None)
        return (writer_of(stopped.raw, "spec", "paused"), stopped.name) if stopped is not None else None

    def saved(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[Saved, ...]:
        return ()

    # ------------------------------------------------------------------------------------------ preparation

    def prepared(self, record: Record, seen: Observation, template: Mapping[str, Any]) -> bool:
        live, spare = seen.incumbent, seen.contender
        if live is None or spare is None or not holds(seen, live) or not claimed(seen, spare):
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
        if not holds(seen, live):
            return Plan((stamp(record, seen, live, "incumbent"),))
        if spare is None:
            name = next(name for name in self.slot_names(app_of(live.name)) if name != live.name)
            manifest = spare_manifest(live, name, template, claim(record, seen, "contender", 0, digest))
            return Plan((CreateSlot(name, manifest, f"create {name} at 0"),))
        if self.prepared(record, seen, template) or not spare.observed:
            return Plan()
        return Plan(
            (
                PatchSlot(
                    name=spare.name,
                    resource_version=spare.resource_version,
                    claim=claim(record, seen, "contender", spare.replicas, digest),
                    summary=f"put version {digest} into {spare.name} at {spare.replicas}",
                    # A warm slot that holds the version already keeps its ReplicaSet: no template is written.
                    template=None if spare.digest == digest else slot_template(template, spare.name),
                    min_ready=live.min_ready,
                ),
            )
        )

    # --------------------------------------------------------------------------------------------- movement

    def meddled(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> Decision | None:
        return None

    def unsettled(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        stage = stages_of(policy, record.desired, self)[record.stage]
        want_c, want_i = stage.contender, stage.incumbent
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
            if slot is not None and not moving and not stamped(record, seen, slot):
                writes.append(stamp(record, seen, slot, "contender" if role == "contender" else "incumbent"))
        if change is not None:
            name, replicas = change
            slot = spare if spare is not None and spare.name == name else live
            assert slot is not None
            role_moved: Role = "contender" if slot is spare else "incumbent"
            writes.append(
                PatchSlot(
                    name=name,
                    resource_version=slot.resource_version,
                    claim=claim(record, seen, role_moved, replicas, digest_of(record, role_moved)),
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
        want_c, want_i = 0, d
        if not back:
            stage = stages_of(policy, d, self)[record.stage]
            want_c, want_i = stage.contender, stage.incumbent
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
            unready = c - seen.ready("contender")
            gone = _removable(c - want_c, ready_c, unready, ready_i + ready_c, floor)
            if back and leading.needed(record, seen):
                gone = min(gone, unready)
            if gone > 0:
                return spare.name, c - gone
        return None

    def unrestored(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        live, spare = seen.incumbent, seen.contender
        if live is None:
            return "the incumbent Deployment does not exist"
        if needed := leading.needed(record, seen):
            return needed
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
        return claims.released(uid, slots)


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
