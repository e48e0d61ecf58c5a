"""Whether a release can make a step, what stands in its way, and how long things take, in words."""

from __future__ import annotations

from controller.accompanied import Accompanied
from controller.release.observation import Observation, PodState
from controller.release.record import Record
from controller.release.vocabulary import HoldReason
from policies.schema import ReleasePolicySpec

MOST_RESTARTS = 3
RETRIED_WITHIN = 120.0  # seconds; a longer silence between two tries was an outage of ours
# Holds during which a batch is not meant to move: the batch deadline begins anew after them.
STILL = frozenset(
    {
        HoldReason.PAUSED_BY_PERSON,
        HoldReason.PODS_LOST,
        HoldReason.INCUMBENT_CHANGED,
        HoldReason.POLICY_GONE,
        HoldReason.ALERT,
    }
)


def can_step(record: Record, seen: Observation, policy: ReleasePolicySpec) -> bool:
    """Whether there is a write to make that was not tried and refused a moment ago."""
    plan = Accompanied(policy).move(record, seen, still=False)
    tried = plan.summary == record.intent and seen.now - record.written < RETRIED_WITHIN
    return bool(plan.writes) and not tried


def obstacle(seen: Observation) -> str:
    """What keeps pods from starting, or ""."""
    for slot in (seen.contender, seen.incumbent):
        if slot is not None and slot.blocked:
            return f"pods of {slot.name} cannot be created: {slot.blocked}"
    if pod := next((pod for pod in seen.contenders if pod.unschedulable), None):
        return f"pod {pod.name} cannot be scheduled{told(pod)}"
    if pod := next((pod for pod in seen.contenders if pod.waiting), None):
        return f"pod {pod.name} waits: {pod.waiting}{told(pod)}"
    return ""


def looping(seen: Observation) -> PodState | None:
    """The contender's pod that restarted most often, once one restarts too often to run."""
    worst = max(seen.contenders, key=lambda each: each.restarts, default=None)
    return worst if worst is not None and worst.restarts >= MOST_RESTARTS else None


def told(pod: PodState) -> str:
    """What a pod says of itself, as the end of a sentence."""
    return f": {pod.message}" if pod.message else ""


def span(seconds: float) -> str:
    """So many seconds as people say them."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole}s"
    return f"{whole // 60}m{whole % 60:02d}s" if whole < 7200 else f"{whole // 3600}h{whole % 3600 // 60:02d}m"
