"""rolling: one native Deployment, held at exact batch sizes by the native controller itself.

Name, HPA, Service, GitOps and Helm stay as they are, D is the Deployment's own replicas whoever sets them, and there is
no second object. If Nightferry disappears, the rollout stands still.

    prepare    one patch: the new template, minReadySeconds without end, paused. Nothing moves.
    step       unpaused with maxSurge and maxUnavailable of one step; the native controller comes to rest there
    hold       paused again, between steps too: unpaused, a third template would replace both versions unjudged
    hand back  people's fields as they were; contenders become Available at once, the last incumbents leave
    way back   one patch: the incumbent's template and people's fields; the native controller exchanges the pods

The arithmetic is in `rolling_steps`, the fields in `rolling_fields`, who is who in `rolling_view`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from controller.findings import Finding, Refusal
from controller.gitops import owned
from controller.release import (
    FORWARD,
    Claim,
    Observation,
    PatchSlot,
    Phase,
    Plan,
    PodState,
    Record,
    Ref,
    ReplicaSetState,
    Role,
    Saved,
    SlotState,
    Stage,
)
from controller.requests import Neighbours, Permission
from controller.slots import template_digest, writer_of
from controller.strategies import claims, rolling_fields, rolling_steps
from controller.strategies.claims import claimed
from controller.strategies.rolling_fields import NEVER_AVAILABLE, NO_DEADLINE, Borrowed
from controller.strategies.rolling_steps import Goal, Split, goal
from controller.strategies.rolling_view import Sides, cast, exact, goes_back, present, sides, template_of
from controller.strategies.stages import HAND_BACK
from controller.strategies.strategy import Cast
from policies.batches import BatchStrategy
from policies.schema import ReleasePolicySpec

Template = Mapping[str, Any]

# Fields of the Deployment that must stay as we write them for the length of a release.
_NEEDED = tuple(("spec", name) for name in ("minReadySeconds", "progressDeadlineSeconds", "strategy", "paused"))


class Rolling:
    """The rolling strategy; see the module for its theory."""

    reads_replica_sets = True
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
        return _replicas(slot) if slot is not None else 0

    def noticed(self, record: Record, seen: Observation) -> tuple[int, tuple[str, ...]]:
        """D is whatever the Deployment's replicas say. A field that we hold and somebody set back is a reversal."""
        slot = seen.contender
        if slot is None:
            return record.desired, ()
        field = _set_back(record, seen, slot)
        return _replicas(slot), (f"{slot.name}.{field}@{slot.generation}",) if field else ()

    def problems(self, policy: ReleasePolicySpec, seen: Observation, around: Neighbours) -> Finding:
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
        sizes = _sizes(policy)
        if sizes.surge(_replicas(slot)) + sizes.unavailable(_replicas(slot)) == 0:
            return Refusal(
                f"maxSurge {sizes.max_surge} and maxUnavailable {sizes.max_unavailable} both mean 0 of "
                f"{_replicas(slot)} pods: nothing could ever move; set one of them to a number of pods"
            )
        return owned(slot.raw, _NEEDED, group="apps")

    def paused_by(self, record: Record, seen: Observation) -> tuple[str, str] | None:
        slot = seen.contender
        if slot is None or not slot.paused:
            return None
        claim = slot.claim
        if claim is not None and claim.paused is not False:
            return None
        if claim is None and rolling_fields.borrowed(record, slot) is not None:
            return None  # somebody took our claim away; the next write stamps it anew
        return writer_of(slot.raw, "spec", "paused"), slot.name

    def saved(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[Saved, ...]:
        slot, live = seen.contender, seen.incumbent
        if slot is None or live is None or (slot.claim is not None and slot.claim.saved):
            return ()
        return (rolling_fields.saved(slot, live.digest),)

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
            and not rolling_fields.differing(slot, {**_KEPT, "paused": True})
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
                _patch(
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

    def unsettled(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        live, slot = seen.incumbent, seen.contender
        if live is None or slot is None:
            return "the Deployment does not exist"
        stage = self._stage(record, policy)
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
            field = rolling_fields.differing(slot, self._home(record, seen, slot, policy, settled=True))
            return f"{field} of {slot.name} is not given back yet" if field else ""
        if not slot.paused:
            return f"{slot.name} is not paused yet"
        return ""

    def move(self, record: Record, seen: Observation, policy: ReleasePolicySpec, *, still: bool) -> Plan:
        slot, live = seen.contender, seen.incumbent
        was = rolling_fields.borrowed(record, slot) if slot is not None else None
        if slot is None or live is None or was is None:
            return Plan()
        found = sides(record, slot, seen.replica_sets)
        if record.phase is Phase.ROLLING_BACK:
            write = self._way_back(record, seen, policy, found)
        elif record.phase not in FORWARD or self.paused_by(record, seen) is not None:
            write = None
        elif goes_back(slot, was):
            write = self._trimming(record, seen, policy, found, was)
        elif self._stage(record, policy).name == HAND_BACK:
            write = None if still else self._handing_back(record, seen, policy)
        else:
            write = self._forward(record, seen, policy, found, was, still=still)
        if write is None and not _stamped(record, seen, slot):
            write = _patch(record, seen, slot, f"claim {slot.name}", digest=_given(slot))
        return Plan((write,) if write is not None else ())

    def _forward(
        self, record: Record, seen: Observation, policy: ReleasePolicySpec, found: Sides, was: Borrowed, *, still: bool
    ) -> PatchSlot | None:
        """One step of a batch: unpaused, at rest, paused, ready, and again."""
        slot = seen.contender
        assert slot is not None
        at, split = self._goal(record, policy), _split(seen)
        fences = rolling_fields.fences(slot) or (at.surge, max(at.depth, 0 if at.surge else 1))
        rest = rolling_fields.held(*fences, paused=True)
        if rolling_fields.differing(slot, {**rest, "paused": slot.paused}):
            return _patch(record, seen, slot, f"hold {slot.name} again", digest=_bound(record), fields=rest)
        if not slot.paused:
            resting = slot.observed and rolling_steps.at_rest(record.desired, *fences, split)
            if still or resting:
                return _patch(record, seen, slot, _told("pause", slot, at, split), digest=_bound(record), fields=rest)
            return None
        if not slot.observed:
            return None
        if not rolling_steps.fits(at, split) or not _as_people_had_it(found.incumbent, was):
            return self._trim(record, seen, policy, found, was)
        if still or rolling_steps.reached(at, split) or not _held_back(slot, found.contender, split):
            return None
        depth = rolling_steps.next_depth(at, split, _sizes(policy).unavailable(record.desired))
        if depth is None:
            return None
        step = rolling_fields.held(at.surge, depth, paused=False)
        told = _told(f"unpause with maxSurge {at.surge}, maxUnavailable {depth}:", slot, at, split)
        return _patch(record, seen, slot, told, digest=_bound(record), fields=step)

    def _trim(
        self, record: Record, seen: Observation, policy: ReleasePolicySpec, found: Sides, was: Borrowed
    ) -> PatchSlot | None:
        """Begin the native way back where a change of D left more contenders than were judged."""
        slot, old = seen.contender, found.incumbent
        if slot is None or old is None:
            return None
        at = self._goal(record, policy)
        slack = _sizes(policy).unavailable(record.desired)
        nothing = record.desired == 0
        fences = (1, 0) if nothing else (at.surge, slack)
        told = _told("back towards the incumbent:", slot, at, _split(seen))
        fields = rolling_fields.backing(was, *fences, paused=nothing)
        return _patch(record, seen, slot, told, digest=old.digest, template=old.template, fields=fields)

    def _trimming(
        self, record: Record, seen: Observation, policy: ReleasePolicySpec, found: Sides, was: Borrowed
    ) -> PatchSlot | None:
        """Let the native controller bring incumbents back until the split fits, then hold the contender again."""
        slot, new = seen.contender, found.contender
        assert slot is not None
        at, split = self._goal(record, policy), _split(seen)
        if not slot.observed or at.desired == 0:
            return None
        if not rolling_steps.fits(at, split) or not _as_people_had_it(found.incumbent, was):
            # Somebody scaled the app up from nothing, or set a field back: the way back goes on from there.
            slack = _sizes(policy).unavailable(record.desired)
            fields = rolling_fields.backing(was, at.surge, slack, paused=False)
            if not rolling_fields.differing(slot, fields):
                return None
            told = _told("back towards the incumbent:", slot, at, split)
            return _patch(record, seen, slot, told, digest=_given(slot), fields=fields)
        if new is None:
            return None
        fields = rolling_fields.held(at.surge, 0 if at.surge else 1, paused=True)
        told = _told("hold the contender again:", slot, at, split)
        return _patch(record, seen, slot, told, digest=_bound(record), template=new.template, fields=fields)

    # -------------------------------------------------------------------------------------------- giving back

    def _handing_back(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> PatchSlot | None:
        """All fields as people had them, at the contender's template: every contender is Available at once."""
        slot = seen.contender
        assert slot is not None
        settled = not _pods_moving(self._stage(record, policy), seen)
        fields = self._home(record, seen, slot, policy, settled=settled)
        if not rolling_fields.differing(slot, fields):
            return None
        return _patch(record, seen, slot, f"give {slot.name} back to its owners", digest=_bound(record), fields=fields)

    def _way_back(self, record: Record, seen: Observation, policy: ReleasePolicySpec, found: Sides) -> PatchSlot | None:
        """One patch: the incumbent's template and people's fields. The native controller does the rest by itself."""
        slot, old = seen.contender, found.incumbent
        if slot is None or old is None:
            return None
        settled = not _pods_moving(Stage(0, record.desired), seen)
        fields = self._home(record, seen, slot, policy, settled=settled)
        same = exact(template_of(slot)) == exact(old.template)
        if same and not rolling_fields.differing(slot, fields):
            return None
        told = f"way back of {slot.name} to version {old.digest}"
        return _patch(
            record, seen, slot, told, digest=old.digest, template=None if same else old.template, fields=fields
        )

    def _home(
        self, record: Record, seen: Observation, slot: SlotState, policy: ReleasePolicySpec, *, settled: bool
    ) -> dict[str, Any]:
        was = rolling_fields.borrowed(record, slot)
        if was is None:
            return {}
        sizes, desired = _sizes(policy), record.desired
        surge, slack = sizes.surge(desired), sizes.unavailable(desired)
        fences = (surge, slack) if surge + slack else (1, 0)
        return rolling_fields.given_back(was, desired, *fences, settled=settled)

    def unrestored(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        live, slot = seen.incumbent, seen.contender
        if live is None or slot is None:
            return "the Deployment does not exist"
        if live.replicas != record.desired:
            return f"incumbent has {live.replicas} of {record.desired} pods"
        if not slot.observed:
            return f"the API server's controllers have not seen the last change of {slot.name}"
        floor = record.desired - _sizes(policy).unavailable(record.desired)
        if (ready := seen.available("incumbent")) < floor:
            return f"{ready} of {record.desired} incumbent pods are ready"
        if slot.replicas != 0:
            return f"contender still has {slot.replicas} pods"
        field = rolling_fields.differing(slot, self._home(record, seen, slot, policy, settled=True))
        return f"{field} of {slot.name} is not given back yet" if field else ""

    def release_claims(self, uid: str, slots: tuple[SlotState | None, ...]) -> Plan:
        return claims.released(uid, slots)

    # ------------------------------------------------------------------------------------------------ sizes

    def _stage(self, record: Record, policy: ReleasePolicySpec) -> Stage:
        stages = self.stages(policy, record.desired)
        return stages[min(record.stage, len(stages) - 1)]

    def _goal(self, record: Record, policy: ReleasePolicySpec) -> Goal:
        desired = record.desired
        return goal(desired, self._stage(record, policy).contender, _sizes(policy).surge(desired))


def _sizes(policy: ReleasePolicySpec) -> BatchStrategy:
    rolling = policy.strategy.rolling
    if rolling is None:
        raise TypeError("this policy's strategy is not rolling")
    return rolling


def _replicas(slot: SlotState) -> int:
    found = (slot.raw.get("spec") or {}).get("replicas")
    return 1 if found is None else int(found)


def _split(seen: Observation) -> Split:
    assert seen.incumbent is not None and seen.contender is not None
    return Split(
        incumbent=seen.incumbent.replicas,
        contender=seen.contender.replicas,
        ready_incumbents=seen.available("incumbent"),
        ready_contenders=seen.available("contender"),
        serving_incumbents=seen.ready("incumbent"),
    )


def _set_back(record: Record, seen: Observation, slot: SlotState) -> str:
    """The field that somebody set back from what our claim says we left there; "" where nobody did."""
    claim, was = slot.claim, rolling_fields.borrowed(record, slot)
    if claims.stripped(slot, seen.uid) or claim is None:
        return "metadata.annotations"
    if was is None or claim.paused is None:
        return ""
    if claim.phase is Phase.ROLLING_BACK:
        if present(slot) != claim.digest:
            return "spec.template"
        field = rolling_fields.differing(slot, {"paused": None, "minReadySeconds": was.min_ready})
        return f"spec.{field}" if field else ""
    if not claim.paused:
        return ""  # it moves: whatever differs now is written again with the pause that follows
    if not slot.paused:
        return "spec.paused"
    if claim.digest == was.incumbent:
        return ""
    field = rolling_fields.differing(slot, _KEPT)
    if not field and rolling_fields.fences(slot) is None:
        field = "strategy"
    return f"spec.{field}" if field else ""


_KEPT = {"minReadySeconds": NEVER_AVAILABLE, "progressDeadlineSeconds": NO_DEADLINE}


def _held_back(slot: SlotState, new: ReplicaSetState | None, split: Split) -> bool:
    """Whether the native controller counts no contender as Available: else its next step would go too far."""
    status = slot.raw.get("status") or {}
    available = int(status.get("availableReplicas") or 0)
    running = new is not None and new.replicas > 0
    return available <= split.incumbent and (not running or (new is not None and new.min_ready == NEVER_AVAILABLE))


def _as_people_had_it(old: ReplicaSetState | None, was: Borrowed) -> bool:
    """Whether the incumbent's ReplicaSet has not inherited our minReadySeconds."""
    return old is None or old.min_ready == float(was.min_ready or 0)


def _pods_moving(stage: Stage, seen: Observation) -> bool:
    """Whether the pods of a stage are not all there yet, or others still are."""
    live, slot = seen.incumbent, seen.contender
    if live is None or slot is None or not slot.observed:
        return True
    if (slot.replicas, live.replicas) != (stage.contender, stage.incumbent):
        return True
    return seen.available("contender") < stage.contender or seen.available("incumbent") < stage.incumbent


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


# ------------------------------------------------------------------------------------------------------ writing


def _told(what: str, slot: SlotState, at: Goal, split: Split) -> str:
    return f"{what} {slot.name} at {split.incumbent} + {split.contender} towards {at.incumbent} + {at.contender}"


def _bound(record: Record) -> str:
    return record.contender.digest if record.contender is not None else ""


def _given(slot: SlotState) -> str:
    """The digest of what we last put into the Deployment."""
    return slot.claim.digest if slot.claim is not None else present(slot)


def _stamped(record: Record, seen: Observation, slot: SlotState) -> bool:
    claim = slot.claim
    return (
        claim is not None
        and claim.uid == seen.uid
        and claim.epoch == record.epoch
        and claim.desired == record.desired
        and claim.paused is not None
    )


def _patch(
    record: Record,
    seen: Observation,
    slot: SlotState,
    told: str,
    *,
    digest: str,
    template: Template | None = None,
    fields: Mapping[str, Any] | None = None,
) -> PatchSlot:
    """A write with the claim that says what it leaves: the template's digest, and whether it is paused by us."""
    was = slot.claim
    if fields is not None:
        paused = bool(fields.get("paused"))
    else:
        paused = slot.paused if was is None or was.paused is None else was.paused
    text = next((each.fields for each in record.saved if each.kind == rolling_fields.KIND and each.name == slot.name),
                was.saved if was is not None else "")  # fmt: skip
    return PatchSlot(
        name=slot.name,
        resource_version=slot.resource_version,
        claim=Claim(
            release=seen.release,
            uid=seen.uid,
            role="incumbent",
            phase=record.phase,
            epoch=record.epoch,
            replicas=_replicas(slot),
            desired=record.desired,
            digest=digest,
            saved=text,
            paused=paused,
        ),
        summary=told,
        template=template,
        fields=fields,
    )
