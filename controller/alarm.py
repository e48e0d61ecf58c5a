"""What an alert that fires means for a release that goes forward, and what it means that nobody can say what fires.

An alert turns back like a gate: it is danger, and comes before every delay. It names what it is charged to: the stage,
what the gates said at that time, and the other releases that could be to blame as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.accompanied import Accompanied
from controller.firing import described
from controller.release.decision import Decision, Hold, RollBack
from controller.release.instants import stamp
from controller.release.observation import Observation
from controller.release.record import GateVerdict, Record
from controller.release.vocabulary import Cause, HoldReason
from policies.schema import ReleasePolicySpec


def sounded(
    record: Record, seen: Observation, verdicts: Sequence[GateVerdict], policy: ReleasePolicySpec, deadline: float
) -> Decision | None:
    """What the alerts that fire ask for. `deadline`: when the release has taken too long, in epoch seconds."""
    turning = [each for each in seen.firing or () if each.then == "rollBack"]
    if turning:
        return RollBack(Cause.ALERT, f"{described(turning, seen.now)}; {_charged(record, seen, verdicts, policy)}")
    holding = seen.firing or ()
    if not holding or seen.wishes.promote == record.stage:
        return None
    because = f"{described(holding, None)}; {_charged(record, seen, verdicts, policy)}"
    then = f"rollBack, unless it ends or {seen.command('promote')} lets it go on"
    return Hold(HoldReason.ALERT, because, deadline, then)


def unheard(record: Record, seen: Observation, policy: ReleasePolicySpec, deadline: float) -> Decision | None:
    """Nobody can say what fires: like a required gate without data, nothing goes forward meanwhile."""
    if seen.firing is not None:
        return None
    held = record.held is not None and record.held.reason is HoldReason.BLIND
    since = record.held.since if held and record.held is not None else seen.now
    until = since + policy.on_blind.hold.seconds
    because = f"the firing alerts cannot be read: {seen.unheard}"
    if seen.now < until:
        return Hold(HoldReason.BLIND, because, until, policy.on_blind.then)
    if policy.on_blind.then == "rollBack":
        return RollBack(Cause.BLIND, f"no usable data for {policy.on_blind.hold}: {because}")
    return Hold(HoldReason.BLIND, because, deadline, "rollBack")


def _charged(record: Record, seen: Observation, verdicts: Sequence[GateVerdict], policy: ReleasePolicySpec) -> str:
    stage = Accompanied(policy).stage_name(record, record.stage)
    said = verdicts or record.verdicts
    gates = ", ".join(f"{each.gate} {each.verdict.value}" for each in said) or "nothing yet"
    told = f"charged to {stage} of {seen.release}, begun at {stamp(record.stage_since)[11:19]}Z; gates: {gates}"
    return told + (f"; released beside it: {', '.join(seen.others)}" if seen.others else "")
