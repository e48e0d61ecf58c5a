"""How capacity moves. A strategy is one file and one line in `STRATEGIES`; all of it is pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.strategies import bluegreen, recreate, rolling, routed, twin
from controller.strategies.strategy import Cast, Strategy
from policies.kept import kept
from policies.schema import ReleasePolicySpec

__all__ = ["STRATEGIES", "Cast", "Strategy", "slots_named", "strategy_of", "targets_of"]

STRATEGIES: Mapping[str, Strategy] = {
    "rolling": rolling.Rolling(),
    "twin": twin.Twin(),
    "blueGreen": bluegreen.BlueGreen(),
    "recreate": recreate.Recreate(),
}


@kept
def strategy_of(policy: ReleasePolicySpec) -> Strategy:
    """The strategy that a policy names; with a router, the one that moves requests by weight."""
    if policy.strategy.traffic is not None:
        return routed.Routed(policy.strategy.traffic.kind)
    return STRATEGIES[policy.strategy.kind]


def targets_of(policy: ReleasePolicySpec, desired: int) -> tuple[int, ...]:
    """Contender pods of each stage that gates watch."""
    return tuple(stage.contender for stage in strategy_of(policy).stages(policy, desired) if stage.gated)


def slots_named(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The Deployments that a policy's spec would move; none where the object is no policy."""
    target, strategy = spec.get("target"), spec.get("strategy")
    deployment = target.get("deployment") if isinstance(target, Mapping) else None
    if not isinstance(deployment, str) or not isinstance(strategy, Mapping):
        return ()
    return tuple(name for kind in strategy if kind in STRATEGIES for name in STRATEGIES[kind].slot_names(deployment))
