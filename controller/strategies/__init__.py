"""How capacity moves. A strategy is one file and one line in `STRATEGIES`; all of it is pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from controller.release import Observation, Plan, Record, SlotState
from controller.strategies import twin
from policies.schema import ReleasePolicySpec


class Strategy(Protocol):
    """What the tick and `decide` need to know of a strategy. Pods are counts, `desired` is D."""

    def slot_names(self, deployment: str) -> tuple[str, ...]:
        """The Deployments that this strategy moves, for an app whose policy targets `deployment`."""
        ...

    def targets(self, policy: ReleasePolicySpec, desired: int) -> tuple[int, ...]:
        """Contender pods after the canary and after each batch: never falling, the last one is D."""
        ...

    def next_stage(self, policy: ReleasePolicySpec, desired: int, stage: int) -> int | None:
        """The next stage that moves pods, or None after the last one."""
        ...

    def prepared(self, record: Record, seen: Observation, template: Mapping[str, Any]) -> bool:
        """Whether both slots carry the release's claim and the spare one holds `template`."""
        ...

    def prepare(self, record: Record, seen: Observation, template: Mapping[str, Any]) -> Plan:
        """The next write of the preparation; moves no capacity."""
        ...

    def unsettled(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        """Why the present stage is not settled yet, with numbers; "" when it is."""
        ...

    def move(self, record: Record, seen: Observation, policy: ReleasePolicySpec, *, still: bool) -> Plan:
        """Fencing stamps, then at most one capacity-changing write (none when `still`) towards the record's shape."""
        ...

    def unrestored(self, record: Record, seen: Observation, policy: ReleasePolicySpec) -> str:
        """What a rollback still waits for, with numbers; "" when the incumbent is back at its full size."""
        ...

    def release_claims(self, uid: str, slots: tuple[SlotState | None, ...]) -> Plan:
        """Remove the claims of an ended release."""
        ...


STRATEGIES: Mapping[str, Strategy] = {
    "twin": twin.Twin(),
}


def strategy_of(policy: ReleasePolicySpec) -> Strategy:
    """The strategy that a policy names."""
    return next(strategy for name, strategy in STRATEGIES.items() if getattr(policy.strategy, name) is not None)
