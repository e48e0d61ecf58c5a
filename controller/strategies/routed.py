"""twin behind a router: capacity moves as in `twin`, and requests follow it by weight instead of by the Service.

Theory. Beside twin's two rules there is a third. Let D be the desired pods, U the user's maxUnavailable, A_c and A_i
the available pods that a side's requests reach, w the percent that the router shows for the contender. No write leaves
a side with a share that its pods cannot bear:

    contender    w * D / 100         <= A_c + U
    incumbent    (100 - w) * D / 100 <= A_i + U        (both up to the rounding of w to a whole percent)

So up: contenders come, then the weight rises as far as ready ones bear it, then incumbents leave; down: incumbents
come, the weight falls as far as they bear the rest, then contenders leave. Where pods were lost and neither side
suffices, the weight is the share of ready pods, which is what a Service would do; a side without any ready pod gets
nothing.

While sides exist both Deployments are paused: a side is pinned to a ReplicaSet, and a `kubectl rollout restart` would
leave it without pods. Order forward: pause, make the sides, lead the route to them at weight 0 once the incumbent's
side has its pods, and only then the first contender. Everything is given back in the last stage, or once the incumbent
is back at its full size.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from controller.findings import Finding, Refusal, Wait
from controller.gitops import owned
from controller.release.decision import Decision, RollBack
from controller.release.names import Ref
from controller.release.observation import Observation, SlotState
from controller.release.plan import ObjectWrite, PatchSlot, Plan, SlotWrite, moves
from controller.release.record import Record, Saved, Stage
from controller.release.vocabulary import Cause, HoldReason, Phase, Role
from controller.release.words import command
from controller.requests.looks import Neighbours, Permission
from controller.routers import ROUTERS, Gone, Router, Shown
from controller.routers.sides import ROLES, astray, hash_of, leader, service_of
from controller.strategies import claims
from controller.strategies.stages import HAND_BACK, handing_back, stage_name
from controller.strategies.twin import Twin
from policies.load import from_object
from policies.schema import ReleasePolicySpec
from policies.traffic import RouterKind

_PAUSED = json.dumps({"spec.paused": None}, sort_keys=True, separators=(",", ":"))
_COMMON = (Permission("list", "apps", "replicasets"), Permission("get", "", "endpoints"))


class Routed(Twin):
    """The twin strategy behind one router; see the module for its theory."""

    reads_replica_sets = True
    by_service = False

    def __init__(self, kind: RouterKind) -> None:
        self._router: Router = ROUTERS[kind]
        self.permissions = (*_COMMON, *(Permission(*each) for each in self._router.permissions))

    def reads(self, policy: ReleasePolicySpec, record: Record) -> tuple[Ref, ...]:
        return self._router.reads(policy)

    # ----------------------------------------------------------------------------------------------- stages

    def stages(self, policy: ReleasePolicySpec, desired: int) -> tuple[Stage, ...]:
        stages = super().stages(policy, desired)
        return handing_back(tuple(replace(each, weight=share(each.contender, each.incumbent)) for each in stages))

    def merged(self, policy: ReleasePolicySpec, desired: int) -> list[str]:
        lines, stages = super().merged(policy, desired), self.stages(policy, desired)
        for n, stage in enumerate(stages):
            total = stage.contender + stage.incumbent
            if stage.gated and total and 100 * stage.contender % total:
                lines.append(
                    f"{stage_name(stages, n)}: {stage.contender} of {total} pods are a weight of {stage.weight} %, "
                    "rounded down to a whole percent"
                )
        return lines

    # -------------------------------------------------------------------------------------------- beginning

    def problems(self, policy: ReleasePolicySpec, record: Record, seen: Observation, around: Neighbours) -> Finding:
        if finding := super().problems(policy, record, seen, around):
            return finding
        if problem := self._router.problems(policy, seen):
            return Refusal(problem)
        if another := self._led_by_another(policy, seen):
            return Wait(HoldReason.NOT_OBSERVED, another)
        shown = self._router.shows(policy, seen)
        if isinstance(shown, Shown) and shown.unseen:
            # A router that does not act shows no weight: neither a batch nor the way back would ever be settled.
            return Wait(HoldReason.NOT_OBSERVED, shown.unseen)
        for ref, field, group in self._router.borrows(policy):
            obj = seen.objects.get(ref)
            if obj is not None and (finding := owned(obj, (("spec", field),), group=group)):
                return finding
        for slot in _both(seen):
            if finding := owned(slot.raw, (("spec", "paused"),), group="apps"):
                return finding
        if record.origin == "rollback":
            return None  # it begins with the last batch
        desired = seen.incumbent.replicas if seen.incumbent is not None else 0
        if small := next((each for each in self.stages(policy, desired) if 0 < 100 * each.contender < desired), None):
            return Refusal(
                f"{small.contender} of {desired} pods are less than 1 %, and a router counts in whole percents: let "
                f"the canary have {-(-desired // 100)} pods or 1% at least"
            )
        return None

    def paused_by(self, record: Record, seen: Observation) -> tuple[str, str] | None:
        # Both slots are paused by us from the first stage on, and a person's pause looks no different.
        return super().paused_by(record, seen) if not _runs(record) else None

    def saved(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[Saved, ...]:
        paused = (Saved("Deployment", slot.name, slot.uid, _PAUSED) for slot in _both(seen))
        return (*paused, *self._router.saved(policy, seen))

    def noticed(self, record: Record, seen: Observation) -> tuple[int, tuple[str, ...]]:
        desired, reversals = super().noticed(record, seen)
        if not record.policy or not _runs(record):
            return desired, reversals
        return desired, (*reversals, *self._router.undone(_pinned(record.policy), seen))

    def meddled(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> Decision | None:
        shown = self._router.shows(policy, seen)
        if self.stages(policy, record.desired)[record.stage].name == HAND_BACK:
            return None
        if isinstance(shown, Gone):
            return RollBack(Cause.ROUTE_MISSING, shown.because)
        if why := astray(policy, seen, "incumbent"):
            there = seen.objects.get(Ref("Service", service_of(policy))) is not None
            return RollBack(Cause.ROUTE_CHANGED if there else Cause.ROUTE_MISSING, why)
        return None

    # ---------------------------------------------------------------------------------------------- movement

    def move(self, record: Record, seen: Observation, policy: ReleasePolicySpec, *, still: bool) -> Plan:
        plan = super().move(record, seen, policy, still=still)
        stamps = tuple(write for write in plan.writes if not moves(write))
        change = next((write for write in plan.writes if isinstance(write, PatchSlot) and moves(write)), None)
        if record.phase is Phase.ROLLING_BACK:
            step = self._back(record, seen, policy, change)
        elif self.stages(policy, record.desired)[record.stage].name == HAND_BACK:
            step = None if still else change or self._let_go(record, seen, policy)
        else:
            step = self._forward(record, seen, policy, change, still=still)
        if step is None:
            return Plan(stamps)
        # A patch of a slot stamps it as well, and a second patch on the same version would be refused.
        own = step.name if isinstance(step, PatchSlot) else ""
        return Plan((*(each for each in stamps if not isinstance(each, PatchSlot) or each.name != own), step))

    def _forward(
        self, record: Record, seen: Observation, policy: ReleasePolicySpec, change: PatchSlot | None, *, still: bool
    ) -> SlotWrite | ObjectWrite | None:
        shown = self._router.shows(policy, seen)
        if isinstance(shown, Gone) or self._waits(record, seen, policy, shown):
            return None
        if still and not shown.pinned and shown.weight == 0:
            return None  # nothing is split yet, and a hold begins nothing
        stamp = self._router.stamp(policy, record, seen)
        if pin := stamp or next(self._to_pin(record, seen, policy), None):
            return pin
        if _hashes_missing(seen):
            return None  # the contender's ReplicaSet comes with the Deployment's controller
        reached = sum(self._ready(seen, policy, role) for role in ROLES)
        if not shown.pinned and shown.weight == 0 and reached < record.desired - _slack(policy, record):
            return None  # the endpoints of a new side come a moment after it
        stage = self.stages(policy, record.desired)[record.stage]
        weight = self._weight(record, seen, policy, shown, stage.weight or 0, still=still)
        if write := self._router.steer(policy, record, seen, weight, matches=weight > 0):
            return write
        borne = self._borne(record, seen, policy, shown, change)
        if change is None or borne is not None:
            return borne
        # Without surge the last incumbents can leave only once maxUnavailable bears a part of the contender's share.
        more = self._bearable(record, seen, policy, stage.weight or 0, lent=True)
        return self._router.steer(policy, record, seen, more, matches=True) if more > shown.weight else None

    def _back(
        self, record: Record, seen: Observation, policy: ReleasePolicySpec, change: PatchSlot | None
    ) -> SlotWrite | ObjectWrite | None:
        if not super().unrestored(record, seen, policy):
            return change or self._let_go(record, seen, policy)
        shown = self._router.shows(policy, seen)
        if isinstance(shown, Gone) or self._waits(record, seen, policy, shown):
            return change
        if write := self._router.stamp(policy, record, seen):
            return write
        if shown.pinned or shown.weight > 0:
            if pin := next(self._to_pin(record, seen, policy), None):
                return pin
            weight = min(shown.weight, self._bearable(record, seen, policy, 0))
            if write := self._router.steer(policy, record, seen, weight, matches=False):
                return write
        return self._borne(record, seen, policy, shown, change)

    def _to_pin(
        self, record: Record, seen: Observation, policy: ReleasePolicySpec
    ) -> Iterator[SlotWrite | ObjectWrite]:
        """What stands before a side may be relied upon, and stays as long as there are sides."""
        if _hashes_missing(seen):
            return
        for role, slot in zip(ROLES, (seen.incumbent, seen.contender), strict=True):
            if slot is not None and not slot.paused:
                yield _paused(record, seen, slot, role, paused=True)
        if write := self._router.prepare(policy, record, seen):
            yield write

    def _let_go(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> SlotWrite | ObjectWrite | None:
        """The routes as people had them, then the sides, then both Deployments un-paused."""
        if self._led_to_nothing(record, seen, policy):
            return None
        if write := self._router.hand_back(policy, record, seen):
            return write
        for role, slot in zip(ROLES, (seen.incumbent, seen.contender), strict=True):
            if slot is not None and slot.paused:
                return _paused(record, seen, slot, role, paused=False)
        return None

    def _led_to_nothing(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        """Why the routes stay led to the sides: given back they would lead to a Service without pods of the app."""
        shown = self._router.shows(policy, seen)
        if isinstance(shown, Gone) or not (shown.pinned or shown.weight > 0):
            return ""
        return astray(policy, seen, "incumbent" if record.phase is Phase.ROLLING_BACK else "contender")

    # ----------------------------------------------------------------------------------------------- weights

    def _ready(self, seen: Observation, policy: ReleasePolicySpec, role: Role) -> int:
        """Pods that a side's requests reach, and that are ready for as long as they have to be."""
        return min(seen.available(role), self._router.reached(policy, seen, role))

    def _bearable(
        self, record: Record, seen: Observation, policy: ReleasePolicySpec, wish: int, *, lent: bool = False
    ) -> int:
        """`lent`: maxUnavailable is lent to the contender's side instead of the incumbent's."""
        contenders, incumbents = (self._ready(seen, policy, role) for role in ("contender", "incumbent"))
        slack = _slack(policy, record)
        if lent and contenders > 0:
            return bearable(wish, record.desired, contenders + slack, incumbents, 0)
        return bearable(wish, record.desired, contenders, incumbents, slack)

    def _weight(
        self, record: Record, seen: Observation, policy: ReleasePolicySpec, shown: Shown, wish: int, *, still: bool
    ) -> int:
        """The weight to be shown now: the stage's as far as ready pods bear it.

        A weight that the pods do not bear any more is left at once. Otherwise it rises only when every contender that
        is there is ready, so that a batch is a few writes, and while everything stands still only back to what the
        stage had already.
        """
        wanted = self._bearable(record, seen, policy, wish)
        borne = (self._bearable(record, seen, policy, shown.weight, lent=lent) for lent in (False, True))
        if shown.weight not in borne:
            return wanted
        spare = seen.contender
        complete = spare is not None and self._ready(seen, policy, "contender") >= spare.replicas
        if not complete or (still and super().unsettled(record, seen, policy)):
            return shown.weight
        return wanted if shown.weight > wish else max(wanted, shown.weight)

    def _borne(
        self, record: Record, seen: Observation, policy: ReleasePolicySpec, shown: Shown, change: PatchSlot | None
    ) -> PatchSlot | None:
        """As much of a capacity change as leaves each side pods for the share that the route shows for it."""
        slot = next((each for each in _both(seen) if change is not None and each.name == change.name), None)
        if slot is None or change is None or change.replicas is None or change.replicas >= slot.replicas:
            return change
        role: Role = "contender" if slot is seen.contender else "incumbent"
        percent = shown.weight if role == "contender" else 100 - shown.weight
        if percent == 0 or (not shown.pinned and shown.weight == 0):
            return change  # no request comes to this side alone: the Service shares by pods
        least = max(1, (percent - 1) * record.desired // 100 - _slack(policy, record) + 1)
        # A ReplicaSet removes pods first that do not serve.
        unready = max(0, slot.replicas - seen.ready(role))
        gone = min(slot.replicas - change.replicas, self._ready(seen, policy, role) - least + unready)
        return _scaled(record, seen, slot, role, slot.replicas - gone) if gone > 0 else None

    def _waits(self, record: Record, seen: Observation, policy: ReleasePolicySpec, shown: Shown) -> str:
        """Why nothing is split yet: another release was first. What is split already stays ours, and a restore takes
        over what another release has left."""
        ours = record.origin == "restore" or shown.pinned or shown.weight > 0
        return "" if ours else self._led_by_another(policy, seen)

    def _led_by_another(self, policy: ReleasePolicySpec, seen: Observation) -> str:
        """Apps can share a route, rule by rule, and two releases would take its fence from each other for ever."""
        for ref, _, _ in self._router.borrows(policy):
            obj = seen.objects.get(ref)
            if obj is not None and (release := leader(obj, seen)):
                explain = command("explain", release, seen.app.namespace)
                return (
                    f"{ref} is led by release {release}: one release at a time moves it. Where that one needs a "
                    f"person, {explain} tells which app to restore, and that gives it back"
                )
        return ""

    # --------------------------------------------------------------------------------------------- settled?

    def unsettled(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        stage = self.stages(policy, record.desired)[record.stage]
        shown = self._router.shows(policy, seen)
        if stage.name == HAND_BACK:
            return super().unsettled(record, seen, policy) or self._kept(record, seen, policy)
        if isinstance(shown, Gone):
            return shown.because
        if why := self._waits(record, seen, policy, shown):
            return why
        if why := super().unsettled(record, seen, policy):
            return why
        weight = stage.weight or 0
        if shown.weight != weight or not (shown.pinned or weight == 100):
            return f"the route shows {shown.weight} % for the contender, {weight} % are wanted"
        if write := self._router.steer(policy, record, seen, weight, matches=weight > 0):
            return f"not as wanted yet: {write.summary}"
        if open_slot := next((slot for slot in _both(seen) if not slot.paused), None):
            return f"Deployment {open_slot.name} is not paused"
        return shown.unseen

    def unrestored(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        return super().unrestored(record, seen, policy) or self._kept(record, seen, policy)

    def _kept(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        """What of people's own is not given back yet."""
        if why := self._led_to_nothing(record, seen, policy):
            return why
        write = self._let_go(record, seen, policy)
        return f"not given back yet: {write.summary}" if write is not None else ""


@lru_cache(maxsize=64)
def _pinned(text: str) -> ReleasePolicySpec:
    """The policy in a record; every look of a release reads the same text."""
    return from_object(json.loads(text)).spec


def share(contenders: int, incumbents: int) -> int:
    """The contender's percent of the requests by its share of the pods, rounded down; never 0 or 100 by rounding."""
    if contenders == 0 or incumbents == 0:
        return 100 if contenders else 0
    return max(1, min(99, 100 * contenders // (contenders + incumbents)))


def bearable(wish: int, desired: int, contenders: int, incumbents: int, slack: int) -> int:
    """The percent nearest to `wish` that ready pods of both sides can bear, of `desired` less `slack` in all."""
    if contenders == 0 or incumbents == 0:
        return 100 if contenders else 0
    low = max(0, 100 - 100 * (incumbents + slack) // max(desired, 1))
    high = min(100, max(1, 100 * contenders // max(desired, 1)))
    return min(max(wish, low), high) if low <= high else share(contenders, incumbents)


def _slack(policy: ReleasePolicySpec, record: Record) -> int:
    return policy.strategy.moves.unavailable(record.desired)


def _both(seen: Observation) -> tuple[SlotState, ...]:
    return tuple(slot for slot in (seen.incumbent, seen.contender) if slot is not None)


def _runs(record: Record) -> bool:
    return record.phase in (Phase.CANARY, Phase.BATCH, Phase.ROLLING_BACK)


def _hashes_missing(seen: Observation) -> bool:
    return not all(hash_of(seen, role) for role in ROLES)


def _scaled(record: Record, seen: Observation, slot: SlotState, role: Role, replicas: int) -> PatchSlot:
    return PatchSlot(
        name=slot.name,
        resource_version=slot.resource_version,
        claim=claims.claim(record, seen, role, replicas, claims.digest_of(record, role), _PAUSED),
        summary=f"{role} {slot.name} {slot.replicas} -> {replicas}",
        replicas=replicas,
    )


def _paused(record: Record, seen: Observation, slot: SlotState, role: Role, *, paused: bool) -> PatchSlot:
    """Holds a Deployment's template where it is, or lets it go; its replicas stay what they are."""
    return PatchSlot(
        name=slot.name,
        resource_version=slot.resource_version,
        claim=claims.claim(
            record, seen, role, slot.replicas, claims.digest_of(record, role), _PAUSED if paused else ""
        ),
        summary=f"{'pause' if paused else 'resume'} {slot.name}",
        fields={"paused": True if paused else None},
    )
