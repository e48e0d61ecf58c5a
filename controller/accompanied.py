"""A policy's strategy together with the companions of its releases, as one thing to the kernel.

Order. The incumbent is claimed first, so that a second policy or controller loses before anything is borrowed; then
the companions prepare; then the strategy. Forward, whatever was borrowed is given back in a last stage of its own, so
that a release has succeeded only when people have their fields again. Backward it is given back once the incumbent is
at its full size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from controller.companions import Companion, companions_of
from controller.findings import Finding
from controller.release.decision import Decision
from controller.release.names import Ref
from controller.release.observation import Observation, PodState, ReplicaSetState, SlotState
from controller.release.plan import ObjectWrite, Plan
from controller.release.record import Record, Saved, Stage
from controller.release.vocabulary import FORWARD, Phase
from controller.requests.looks import Neighbours, Permission
from controller.strategies import Cast, Strategy, leading, strategy_of
from controller.strategies.claims import claimed
from controller.strategies.stages import HAND_BACK, next_stage, stage_name, stages_of
from controller.strategies.strategy import Template
from policies.kept import kept
from policies.schema import ReleasePolicySpec


@kept  # every question to a policy's course begins with them
def _who(policy: ReleasePolicySpec) -> tuple[Strategy, tuple[Companion, ...]]:
    return strategy_of(policy), companions_of(policy)


class Accompanied:
    """What the kernel asks of a strategy, for releases under one policy."""

    def __init__(self, policy: ReleasePolicySpec) -> None:
        self._policy = policy
        self._strategy, self._companions = _who(policy)

    # --------------------------------------------------------------------------------------------- looking

    @property
    def reads_replica_sets(self) -> bool:
        return self._strategy.reads_replica_sets or any(each.reads_replica_sets for each in self._companions)

    @property
    def permissions(self) -> tuple[Permission, ...]:
        of_companions = (each for companion in self._companions for each in companion.permissions(self._policy))
        of_services = leading.PERMISSIONS if self._strategy.by_service else ()
        return tuple(dict.fromkeys((*self._strategy.permissions, *of_services, *of_companions)))

    @property
    def slot_names(self) -> tuple[str, ...]:
        return self._strategy.slot_names(self._policy.target.deployment)

    def reads(self, record: Record) -> tuple[Ref, ...]:
        """The objects beside the Deployments that a look reads, each once."""
        of_companions = (ref for companion in self._companions for ref in companion.reads(self._policy, record))
        of_strategy = self._strategy.reads(self._policy, record)
        return tuple(dict.fromkeys((*of_strategy, *leading.reads(record), *of_companions)))

    def cast(
        self,
        record: Record,
        slots: Mapping[str, SlotState | None],
        replica_sets: Sequence[ReplicaSetState],
        pods: Sequence[PodState],
    ) -> Cast:
        return self._strategy.cast(self._policy, record, slots, replica_sets, pods)

    def desired(self, record: Record, seen: Observation) -> int:
        return self._strategy.desired(record, seen)

    def noticed(self, record: Record, seen: Observation) -> tuple[int, tuple[str, ...]]:
        live = seen.contender
        if record.phase in FORWARD and self._hands_back(record) and live is not None and len(self.slot_names) > 1:
            # From here on the contender's Deployment is the app's: whoever scales it, such as an autoscaler that was
            # given back, sets D.
            scaled = live.claim is not None and live.claim.uid == seen.uid and live.claim.replicas != live.replicas
            return (live.replicas if scaled else record.desired), ()
        desired, reversals = self._strategy.noticed(self._bare(record), seen)
        of_companions = (name for companion in self._companions for name in companion.noticed(record, seen))
        return desired, (*reversals, *of_companions)

    def paused_by(self, record: Record, seen: Observation) -> tuple[str, str] | None:
        return self._strategy.paused_by(self._bare(record), seen)

    # ---------------------------------------------------------------------------------------------- stages

    def stages(self, record: Record) -> tuple[Stage, ...]:
        """The stages of a release, with one that gives back what its companions have borrowed."""
        return stages_of(self._policy, record.desired, self._strategy, bool(record.saved))

    def stage(self, record: Record) -> Stage:
        """The stage that a release is in; a record that goes back may stand in none."""
        stages = self.stages(record)
        return stages[min(record.stage, len(stages) - 1)]

    def next_stage(self, record: Record) -> int | None:
        return next_stage(self.stages(record), record.stage)

    def stage_name(self, record: Record, stage: int) -> str:
        return stage_name(self.stages(record), stage)

    def merged(self, desired: int) -> list[str]:
        return self._strategy.merged(self._policy, desired)

    def _bare(self, record: Record) -> Record:
        """The record as the strategy knows it: without the stage that was appended for the companions."""
        last = len(stages_of(self._policy, record.desired, self._strategy)) - 1
        if record.stage <= last and record.stages <= last:
            return record
        return replace(record, stage=min(record.stage, last), stages=min(record.stages, last))

    # --------------------------------------------------------------------------------------------- beginning

    def rests_on(self, template: Template) -> tuple[Ref, ...]:
        """What a version that is there already needs beside its template, to be read before it is brought back."""
        return tuple(ref for companion in self._companions for ref in companion.rests_on(self._policy, template))

    def problems(self, record: Record, seen: Observation, around: Neighbours, template: Template) -> Finding:
        found = self._strategy.problems(self._policy, record, seen, around)
        for companion in self._companions:
            found = found or companion.problems(self._policy, record, seen, around, template)
        return found

    def notes(self, seen: Observation) -> tuple[str, ...]:
        """Lines for the plan, beside those about stages."""
        return tuple(line for companion in self._companions for line in companion.notes(self._policy, seen))

    def saved(self, record: Record, seen: Observation, around: Neighbours, template: Template) -> tuple[Saved, ...]:
        """What is borrowed, as it is now, or as our mark on it says that it was; what is not seen any more is kept."""
        new = [*self._strategy.saved(self._policy, seen)]
        for companion in self._companions:
            new += companion.saved(self._policy, record, seen, around, template)
        return tuple({(each.kind, each.name): each for each in (*record.saved, *new)}.values())

    def services(self, seen: Observation, around: Neighbours) -> tuple[str, ...]:
        """The Services that share requests between both versions by pods; none where the strategy leads requests."""
        return leading.leading(seen, around.services) if self._strategy.by_service else ()

    def template(self, seen: Observation, template: Template) -> Template:
        for companion in self._companions:
            template = companion.template(self._policy, seen, template)
        return template

    def prepared(self, record: Record, seen: Observation, template: Template) -> bool:
        return self._prepare(record, seen) is None and self._strategy.prepared(record, seen, template)

    def prepare(self, record: Record, seen: Observation, template: Template) -> Plan:
        """The next write of the preparation; moves no capacity."""
        if claimed(seen, seen.incumbent) and (write := self._prepare(record, seen)) is not None:
            return Plan((write,))
        return self._strategy.prepare(record, seen, template)

    def _prepare(self, record: Record, seen: Observation) -> ObjectWrite | None:
        writes = (companion.prepare(self._policy, record, seen) for companion in self._companions)
        return next((write for write in writes if write is not None), None)

    # ---------------------------------------------------------------------------------------------- moving

    def meddled(self, record: Record, seen: Observation) -> Decision | None:
        found = self._strategy.meddled(self._bare(record), seen, self._policy)
        return found or (leading.astray(record, seen) if self.stage(record).name != HAND_BACK else None)

    def unsettled(self, record: Record, seen: Observation) -> str:
        why = self._strategy.unsettled(self._bare(record), seen, self._policy)
        if not why and self._hands_back(record) and (write := self._hand_back(record, seen)) is not None:
            return f"not given back yet: {write.summary}"
        return why

    def move(self, record: Record, seen: Observation, *, still: bool) -> Plan:
        plan = self._strategy.move(self._bare(record), seen, self._policy, still=still)
        if plan.moves:
            return plan
        write: ObjectWrite | None = None
        if self._is_done(record, seen):
            write = self._hand_back(record, seen) if not still else None
        elif record.phase in FORWARD or record.phase is Phase.ROLLING_BACK:
            write = self._prepare(record, seen)  # what somebody undid in mid-release is done again
        return replace(plan, writes=(*plan.writes, write)) if write is not None else plan

    def _is_done(self, record: Record, seen: Observation) -> bool:
        """Whether all capacity is where it shall stay, so that what was borrowed may be given back."""
        if not self._hands_back(record):
            return False
        why = self._strategy.unrestored if record.phase is Phase.ROLLING_BACK else self._strategy.unsettled
        return not why(self._bare(record), seen, self._policy)

    def unrestored(self, record: Record, seen: Observation) -> str:
        why = self._strategy.unrestored(self._bare(record), seen, self._policy)
        if not why and (write := self._hand_back(record, seen)) is not None:
            return f"not given back yet: {write.summary}"
        return why

    def _hands_back(self, record: Record) -> bool:
        return record.phase is Phase.ROLLING_BACK or self.stage(record).name == HAND_BACK

    def _hand_back(self, record: Record, seen: Observation) -> ObjectWrite | None:
        forward = record.phase is not Phase.ROLLING_BACK
        writes = (each.hand_back(self._policy, record, seen, forward=forward) for each in self._companions)
        return next((write for write in writes if write is not None), None)

    def left(self, record: Record) -> tuple[Ref, ...]:
        """Objects that an ended release may have left behind."""
        return tuple(ref for each in self._companions for ref in each.left(self._policy, record))

    def collect(self, record: Record, seen: Observation) -> ObjectWrite | None:
        """The next deletion of one of them that nobody needs any more."""
        writes = (each.collect(self._policy, record, seen) for each in self._companions)
        return next((write for write in writes if write is not None), None)

    def release_claims(self, uid: str, slots: tuple[SlotState | None, ...]) -> Plan:
        return self._strategy.release_claims(uid, slots)
