"""rolling: one native Deployment, held at exact batch sizes by the native controller itself.

Name, HPA, Service, GitOps and Helm stay as they are, D is the Deployment's own replicas whoever sets them, and there is
no second object. If Nightferry disappears, the rollout stands still.

    prepare    one patch: the new template, minReadySeconds without end, paused. Nothing moves.
    step       unpaused with maxSurge and maxUnavailable of one step; the native controller comes to rest there
    hold       paused again, between steps too: unpaused, a third template would replace both versions unjudged
    hand back  people's fields as they were; contenders become Available at once, the last incumbents leave
    way back   one patch: the incumbent's template and people's fields; the native controller exchanges the pods

The next write is in `rolling_moves`, its arithmetic in `rolling_steps`, the fields in `rolling_fields`, who is who in
`rolling_view`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controller.findings import Finding, Refusal, unjudged
from controller.gitops import owned
from controller.release.decision import Decision
from controller.release.names import Ref
from controller.release.observation import Observation, PodState, ReplicaSetState, SlotState
from controller.release.plan import Plan
from controller.release.record import Record, Saved, Stage
from controller.release.vocabulary import FORWARD, Phase, Role
from controller.requests.looks import Neighbours, Permission
from controller.slots import template_digest, writer_of
from controller.strategies import claims, leading, rolling_fields, rolling_moves
from controller.strategies.claims import claimed
from controller.strategies.idle import idle_of
from controller.strategies.rolling_fields import NEVER_AVAILABLE
from controller.strategies.rolling_moves import Scene
from controller.strategies.rolling_steps import goal
from controller.strategies.rolling_view import cast, goes_back, present, replicas_of, sides, strangers
from controller.strategies.stages import HAND_BACK
from controller.strategies.strategy import Cast, Template
from policies.batches import BatchStrategy
from policies.schema import ReleasePolicySpec

# Fields of the Deployment that must stay as we write them for the length of a release.
_NEEDED = tuple(("spec", name) for name in ("minReadySeconds", "progressDeadlineSeconds", "strategy", "paused"))


class Rolling:
    """The rolling strategy; see the module for its theory."""

    reads_replica_sets = True
    by_service = True
    permissions: tuple[Permission, ...] = (Permission("list", "apps", "replicasets"),)

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
        return cast(record, slots.get(policy.target.deployment), replica_sets, pods)

    def stages(self, policy: ReleasePolicySpec, desired: int) -> tuple[Stage, ...]:
        """Canary and batches with the surge that holds them, and a last stage in which all fields are given back."""
        sizes = _sizes(policy)
        goals = [goal(desired, want, sizes.surge(desired)) for want in sizes.targets(desired)]
        batches = tuple(
            Stage(at.contender, at.incumbent, by_hand=(sizes.advance.canary if n == 0 else sizes.advance.batches)
                  == "manual")
            for n, at in enumerate(goals)
        )  # fmt: skip
        return (*batches, Stage(desired, 0, gated=False, name=HAND_BACK))

    def merged(self, policy: ReleasePolicySpec, desired: int) -> list[str]:
        return _sizes(policy).merged(desired)

    # ------------------------------------------------------------------------------------------ what is seen

    def desired(self, record: Record, seen: Observation) -> int:
        slot = seen.contender
        return replicas_of(slot) if slot is not None else 0

    def noticed(self, record: Record, seen: Observation) -> tuple[int, tuple[str, ...]]:
        """D is whatever the Deployment's replicas say. A field that we hold and somebody set back is a reversal."""
        slot = seen.contender
        if slot is None:
            return record.desired, ()
        what = _set_back(record, seen, slot)
        return replicas_of(slot), (f"{what}@{slot.generation}",) if what else ()

    def problems(self, policy: ReleasePolicySpec, record: Record, seen: Observation, around: Neighbours) -> Finding:
        slot = seen.contender
        if slot is None:
            return None
        spec = slot.raw.get("spec") or {}
        if (spec.get("strategy") or {}).get("type") == "Recreate":
            return Refusal(
                f"Deployment {slot.name} is of type Recreate, which has no batches: set its strategy.type to "
                "RollingUpdate, or let the policy say strategy: {recreate: {}}"
            )
        if spec.get("revisionHistoryLimit") == 0:
            return Refusal(
                f"Deployment {slot.name} keeps no old ReplicaSet (revisionHistoryLimit: 0), so there would be no way "
                "back: set it to 1 or more"
            )
        if why := _sizes(policy).standstill(replicas_of(slot)):
            return Refusal(why)
        if spec.get("minReadySeconds") == NEVER_AVAILABLE and rolling_fields.borrowed(Record(), slot) is None:
            return Refusal(
                f"Deployment {slot.name} still has the minReadySeconds of a held release, nobody knows from what: "
                f'run `kubectl patch deployment {slot.name} -p \'{{"spec":{{"minReadySeconds":0}}}}\'` first'
            )
        found = sides(Record(), slot, seen.replica_sets)
        first = self.stages(policy, replicas_of(slot))[0].contender
        # Resumed as we left it, one surge of the new version comes, which is the first stage; more are nobody's plan.
        if claimed(seen, slot) and (found.trial > first or strangers(Record(), slot, found)):
            return unjudged(slot, found.trial)
        return owned(slot.raw, _NEEDED, group="apps")

    def paused_by(self, record: Record, seen: Observation) -> tuple[str, str] | None:
        slot = seen.contender
        if slot is None or not slot.paused:
            return None
        claim = slot.claim
        if claim is not None and claim.paused is not False:
            return None
        if claim is None and idle_of(slot) is not None:
            return None  # our own, while nothing was released
        if claim is None and rolling_fields.borrowed(record, slot) is not None:
            return None  # somebody took our claim away; the next write stamps it anew
        return writer_of(slot.raw, "spec", "paused"), slot.name

    def saved(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[Saved, ...]:
        slot = seen.contender
        return (rolling_fields.saved(slot),) if slot is not None else ()

    # ------------------------------------------------------------------------------------------ preparation

    def prepared(self, record: Record, seen: Observation, template: Template) -> bool:
        slot = seen.contender
        # The claim is written in one patch with the template, so its digest says what the slot was given. What the
        # API server made of it (defaults, a webhook's additions) is bound by the slot's own digest afterwards.
        return (
            slot is not None
            and claimed(seen, slot)
            and slot.claim is not None
            and slot.claim.digest == template_digest(template)
            and not rolling_fields.differing(slot, {**rolling_moves.KEPT, "paused": True})
            and slot.observed
        )

    def prepare(self, record: Record, seen: Observation, template: Template) -> Plan:
        """Template and minReadySeconds in one patch: else the incumbent's ReplicaSet would inherit the latter."""
        slot = seen.contender
        if slot is None or (claimed(seen, slot) and not slot.observed):
            return Plan()
        digest = template_digest(template)
        was = rolling_fields.borrowed(record, slot)
        if was is None:
            return Plan()
        return Plan(
            (
                rolling_moves.patch(
                    record,
                    seen,
                    slot,
                    f"put version {digest} into {slot.name}, paused",
                    digest=digest,
                    template=None if slot.digest == digest else template,
                    fields=rolling_fields.held(1, 0, paused=True),
                ),
            )
        )

    # --------------------------------------------------------------------------------------------- movement

    def meddled(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> Decision | None:
        return None

    def unsettled(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        live, slot = seen.incumbent, seen.contender
        if live is None or slot is None:
            return "the Deployment does not exist"
        stage = self._stage(record, policy)
        if strange := strangers(record, slot, sides(record, slot, seen.replica_sets)):
            return f"{sum(each.replicas for each in strange)} pods of another template are there"
        waits = (
            _differs("contender", slot.replicas, stage.contender)
            or _differs("incumbent", live.replicas, stage.incumbent)
            or ("" if slot.observed else f"the API server's controllers have not seen the last change of {slot.name}")
            or _unready("contender", seen, seen.contenders, stage.contender)
            or _unready("incumbent", seen, seen.incumbents, stage.incumbent)
        )
        if waits:
            return waits
        if stage.name == HAND_BACK:
            return self._not_home(record, seen, policy)
        return "" if slot.paused else f"{slot.name} is not paused yet"

    def move(self, record: Record, seen: Observation, policy: ReleasePolicySpec, *, still: bool) -> Plan:
        scene = self._scene(record, seen, policy)
        if scene is None:
            return Plan()
        if record.phase is Phase.ROLLING_BACK:
            held = self._needed(scene)
            write = rolling_moves.forward(scene, still=True) if held else rolling_moves.way_back(scene)
        elif record.phase not in FORWARD or self.paused_by(record, seen) is not None:
            write = None
        elif goes_back(scene.slot, scene.was):
            write = rolling_moves.trimming(scene)
        elif scene.stage.name == HAND_BACK:
            write = None if still else rolling_moves.handing_back(scene)
        else:
            write = rolling_moves.forward(scene, still=still)
        if write is None and not _stamped(record, seen, scene.slot):
            slot = scene.slot
            write = rolling_moves.patch(record, seen, slot, f"claim {slot.name}", digest=rolling_moves.given(slot))
        return Plan((write,) if write is not None else ())

    def _needed(self, scene: Scene) -> str:
        """Why contenders are held on the way back: it is one patch, so they are held before it, or not at all."""
        record, slot = scene.record, scene.slot
        begun = goes_back(slot, scene.was) or scene.stage.name == HAND_BACK or record.origin == "restore"
        return "" if begun else leading.needed(record, scene.seen)

    def unrestored(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        live, slot = seen.incumbent, seen.contender
        if live is None or slot is None:
            return "the Deployment does not exist"
        scene = self._scene(record, seen, policy)
        if scene is not None and (needed := self._needed(scene)):
            return needed
        if live.replicas != record.desired:
            return f"incumbent has {live.replicas} of {record.desired} pods"
        if not slot.observed:
            return f"the API server's controllers have not seen the last change of {slot.name}"
        floor = record.desired - _sizes(policy).unavailable(record.desired)
        if (ready := seen.available("incumbent")) < floor:
            return f"{ready} of {record.desired} incumbent pods are ready"
        if slot.replicas != 0:
            return f"contender still has {slot.replicas} pods"
        return self._not_home(record, seen, policy)

    def release_claims(self, uid: str, slots: tuple[SlotState | None, ...]) -> Plan:
        return claims.released(uid, slots)

    # ------------------------------------------------------------------------------------------------ sizes

    def _stage(self, record: Record, policy: ReleasePolicySpec) -> Stage:
        stages = self.stages(policy, record.desired)
        return stages[min(record.stage, len(stages) - 1)]

    def _scene(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> Scene | None:
        slot, live = seen.contender, seen.incumbent
        was = rolling_fields.borrowed(record, slot) if slot is not None else None
        if slot is None or live is None or was is None:
            return None
        found = sides(record, slot, seen.replica_sets)
        return Scene(record, seen, _sizes(policy), self._stage(record, policy), slot, live, found, was)

    def _not_home(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        """What is not given back yet, or ""."""
        scene = self._scene(record, seen, policy)
        if scene is None:
            return ""
        field = rolling_fields.differing(scene.slot, rolling_moves.home(scene, settled=True))
        return f"{field} of {scene.slot.name} is not given back yet" if field else ""


def _sizes(policy: ReleasePolicySpec) -> BatchStrategy:
    rolling = policy.strategy.rolling
    if rolling is None:
        raise TypeError("this policy's strategy is not rolling")
    return rolling


def _set_back(record: Record, seen: Observation, slot: SlotState) -> str:
    """What of ours somebody set back since our claim was written, as the name of a reversal; "" where nobody did."""
    claim, was = slot.claim, rolling_fields.borrowed(record, slot)
    if claims.stripped(slot, seen.uid) or claim is None:
        return f"the claim of {slot.name}"
    if was is None or claim.paused is None:
        return ""
    field = ""
    if claim.phase is Phase.ROLLING_BACK:
        home = {"paused": claim.paused, "minReadySeconds": was.min_ready}
        if present(slot) != claim.digest:
            field = "template"
        elif claim.digest == was.incumbent:
            field = rolling_fields.differing(slot, home)
    elif claim.paused and not slot.paused:
        field = "paused"
    elif claim.paused and claim.digest != was.incumbent:
        # While it moves, whatever differs is written again with the pause that follows.
        field = rolling_fields.differing(slot, rolling_moves.KEPT)
        if not field and rolling_fields.fences(slot) is None:
            field = "strategy"
    return f"{slot.name}.{field}" if field else ""


def _stamped(record: Record, seen: Observation, slot: SlotState) -> bool:
    claim = slot.claim
    return (
        claim is not None
        and claim.uid == seen.uid
        and claim.epoch == record.epoch
        and claim.desired == record.desired
        and claim.paused is not None
    )


def _differs(role: Role, found: int, want: int) -> str:
    return f"{role} has {found} of {want} pods" if found != want else ""


def _unready(role: Role, seen: Observation, pods: tuple[PodState, ...], want: int) -> str:
    if (available := seen.available(role)) < want:
        return f"{available} of {want} {role} pods are ready"
    staying = [pod for pod in pods if not pod.terminating]
    if len(staying) > want:
        return f"{len(staying)} {role} pods are there, {want} are wanted"
    troubled = next((pod for pod in staying if pod.waiting), None)
    return f"pod {troubled.name} waits: {troubled.waiting}" if troubled is not None else ""
