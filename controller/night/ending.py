"""What becomes of a release under way when its hours end, or a freeze begins.

A release that has only to give back what it borrowed is judged, and goes on. Where the window's `onClose` is rollBack,
the closing turns it back at once. Where it parks, and in every freeze, the batch that has begun is brought to its size
and stands there: gates go on watching it and may turn it back, and nothing advances. The time in which it is parked is
excused from the release's deadline; that of a freeze is not, so a freeze that does not end turns it back.
"""

from __future__ import annotations

from controller.accompanied import Accompanied
from controller.release.decision import Hold, RollBack
from controller.release.observation import Observation
from controller.release.record import Record
from controller.release.vocabulary import Cause, HoldReason
from policies.schema import ReleasePolicySpec


def turned_by_closing(record: Record, seen: Observation, policy: ReleasePolicySpec) -> RollBack | None:
    """The closing that turns a release back."""
    if not seen.night.closed or policy.window is None or policy.window.on_close == "park":
        return None
    if not Accompanied(policy).stage(record).gated:
        return None
    if policy.window.on_close == "finishLastBatch" and in_last_batch(record, policy):
        return None
    where = Accompanied(policy).stage_name(record, record.stage)
    because = f"{seen.night.closed}, and the release stands in {where} (onClose {policy.window.on_close})"
    return RollBack(Cause.WINDOW_CLOSED, because)


def kept_by_night(record: Record, seen: Observation, policy: ReleasePolicySpec, deadline: float) -> Hold | None:
    """What keeps a settled release from going on: a freeze, or the window that parks it."""
    if not Accompanied(policy).stage(record).gated:
        return None
    night = seen.night
    if night.closed and policy.window is not None and policy.window.on_close == "park":
        return Hold(HoldReason.WINDOW_CLOSED, f"{night.closed}: parked", night.opens, "it goes on")
    if not night.frozen:
        return None
    if night.thaws is not None and night.thaws < deadline:
        return Hold(HoldReason.FROZEN, night.frozen, night.thaws, "it goes on")
    return Hold(HoldReason.FROZEN, night.frozen, deadline, "rollBack")


def in_last_batch(record: Record, policy: ReleasePolicySpec) -> bool:
    """Whether nothing is left to move: all stages that gates still have to watch are as large as this one."""
    stages = Accompanied(policy).stages(record)
    here = stages[min(record.stage, len(stages) - 1)]
    return all(
        (each.contender, each.weight, each.beside) == (here.contender, here.weight, here.beside)
        for each in stages[record.stage + 1 :]
        if each.gated
    )
