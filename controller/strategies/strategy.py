"""What a strategy is to the kernel. All of it is pure; pods are counts, `desired` is D."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from controller.findings import Finding
from controller.release.decision import Decision
from controller.release.names import Ref
from controller.release.observation import Observation, PodState, ReplicaSetState, SlotState
from controller.release.plan import Plan
from controller.release.record import Record, Saved, Stage
from controller.requests.looks import Neighbours, Permission
from policies.schema import ReleasePolicySpec

Template = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays which role, out of what was seen. One Deployment may play both: two views of it, of one name."""

    incumbent: SlotState | None
    contender: SlotState | None
    incumbents: tuple[PodState, ...] = ()
    contenders: tuple[PodState, ...] = ()


class Strategy(Protocol):
    """How capacity and traffic move from one version to the next."""

    @property
    def reads_replica_sets(self) -> bool:
        """Whether every look reads the app's ReplicaSets."""
        ...

    @property
    def by_service(self) -> bool:
        """Whether requests come to both versions at once through whatever Service selects their pods."""
        ...

    @property
    def permissions(self) -> tuple[Permission, ...]:
        """What it needs beyond Deployments, pods and releases: forward and back alike."""
        ...

    def slot_names(self, deployment: str) -> tuple[str, ...]:
        """The Deployments that it moves, for an app whose policy targets `deployment`."""
        ...

    def reads(self, policy: ReleasePolicySpec, record: Record) -> tuple[Ref, ...]:
        """The objects beside the Deployments that every look reads."""
        ...

    def cast(
        self,
        policy: ReleasePolicySpec,
        record: Record,
        slots: Mapping[str, SlotState | None],
        replica_sets: Sequence[ReplicaSetState],
        pods: Sequence[PodState],
    ) -> Cast:
        """Who is who. A record before its start names no slots: then the claims tell, and then who has pods."""
        ...

    def stages(self, policy: ReleasePolicySpec, desired: int) -> tuple[Stage, ...]:
        """The stages, never empty; the last one is the whole app. Their number does not depend on `desired`."""
        ...

    def merged(self, policy: ReleasePolicySpec, desired: int) -> list[str]:
        """Lines for the plan: stages that mean the same pods, and whatever else people should know beforehand."""
        ...

    def desired(self, record: Record, seen: Observation) -> int:
        """D before the start."""
        ...

    def noticed(self, record: Record, seen: Observation) -> tuple[int, tuple[str, ...]]:
        """(D as people or an autoscaler have set it by now, reversals of our writes as "object@generation")."""
        ...

    def problems(self, policy: ReleasePolicySpec, record: Record, seen: Observation, around: Neighbours) -> Finding:
        """Why this strategy could not move this app, beyond what preflight asks of every one."""
        ...

    def paused_by(self, record: Record, seen: Observation) -> tuple[str, str] | None:
        """(who, which Deployment) where one is paused, and not by us."""
        ...

    def saved(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[Saved, ...]:
        """What it will borrow, as it is now; it is recorded before anything is changed."""
        ...

    def prepared(self, record: Record, seen: Observation, template: Template) -> bool:
        """Whether the slots carry the release's claim and the contender's holds `template`."""
        ...

    def prepare(self, record: Record, seen: Observation, template: Template) -> Plan:
        """The next write of the preparation; moves no capacity. The first one claims the incumbent's Deployment."""
        ...

    def meddled(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> Decision | None:
        """What follows where somebody changed or deleted an object that the release rests on; asked forward, first."""
        ...

    def unsettled(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        """Why the present stage is not settled yet, with numbers; "" when it is."""
        ...

    def move(self, record: Record, seen: Observation, policy: ReleasePolicySpec, *, still: bool) -> Plan:
        """Fencing stamps, then at most one write towards the record's shape that changes capacity or traffic.

        `still`: exactly the split that is there is kept; drift may be repaired.
        """
        ...

    def unrestored(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        """What a rollback still waits for, with numbers; "" when the incumbent is back and all it borrowed is too."""
        ...

    def release_claims(self, uid: str, slots: tuple[SlotState | None, ...]) -> Plan:
        """Remove the claims of an ended release."""
        ...
