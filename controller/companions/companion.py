"""What a companion is to the kernel: something beside the capacity that a release borrows or makes; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from controller.findings import Finding
from controller.release.names import Ref
from controller.release.observation import Observation
from controller.release.plan import ObjectWrite
from controller.release.record import Record, Saved
from controller.requests.looks import Neighbours, Permission
from policies.schema import ReleasePolicySpec

Template = Mapping[str, Any]


class Companion(Protocol):
    """Prepared before the strategy prepares its slots, given back when the release ends, whichever way."""

    @property
    def reads_replica_sets(self) -> bool:
        """Whether every look reads the app's ReplicaSets."""
        ...

    def permissions(self, policy: ReleasePolicySpec) -> tuple[Permission, ...]:
        """What it needs, forward and back alike."""
        ...

    def accompanies(self, policy: ReleasePolicySpec) -> bool:
        """Whether releases under this policy need it."""
        ...

    def reads(self, policy: ReleasePolicySpec, record: Record) -> tuple[Ref, ...]:
        """The objects that every look reads, by the policy or by `record.saved`."""
        ...

    def rests_on(self, policy: ReleasePolicySpec, template: Template) -> tuple[Ref, ...]:
        """What a version of this template needs and no release makes anew: read before a way back or home begins."""
        ...

    def problems(
        self, policy: ReleasePolicySpec, record: Record, seen: Observation, around: Neighbours, template: Template
    ) -> Finding:
        """Why a release could not begin. `template`: the contender's, an empty one for a restore."""
        ...

    def notes(self, policy: ReleasePolicySpec, seen: Observation) -> tuple[str, ...]:
        """Lines for the plan: what people should know beforehand."""
        ...

    def saved(
        self, policy: ReleasePolicySpec, record: Record, seen: Observation, around: Neighbours, template: Template
    ) -> tuple[Saved, ...]:
        """What it will borrow, as it is now; where this release, or one that lost its record, has borrowed it already,
        as it was then."""
        ...

    def template(self, policy: ReleasePolicySpec, seen: Observation, template: Template) -> Template:
        """What it changes in the contender's template."""
        ...

    def prepare(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> ObjectWrite | None:
        """The next write until prepared, then None. Asked again in mid-release: what others undid is done again."""
        ...

    def noticed(self, record: Record, seen: Observation) -> tuple[str, ...]:
        """Reversals of what it has borrowed, as "object@version"."""
        ...

    def hand_back(
        self, policy: ReleasePolicySpec, record: Record, seen: Observation, *, forward: bool
    ) -> ObjectWrite | None:
        """The next write until all is given back (`forward`: to the slot that serves from now on), then None."""
        ...

    def left(self, policy: ReleasePolicySpec, record: Record) -> tuple[Ref, ...]:
        """What an ended release may have left behind, to be looked at before its record is forgotten."""
        ...

    def collect(self, policy: ReleasePolicySpec, record: Record, seen: Observation) -> ObjectWrite | None:
        """The next deletion of what nobody needs any more of that, or None."""
        ...
