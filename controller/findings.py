"""Why a release must not begin, or not yet: what preflight, strategies, routers and companions may find."""

from __future__ import annotations

from dataclasses import dataclass

from controller.release.observation import SlotState
from controller.release.vocabulary import Cause, HoldReason
from controller.slots import undoer_of


@dataclass(frozen=True, slots=True)
class Refusal:
    """This release must not begin; `because` says what is wrong and what to do."""

    because: str
    cause: Cause = Cause.REFUSED


@dataclass(frozen=True, slots=True)
class Wait:
    """This release may begin later. What is not there after the policy's batch deadline ends it."""

    reason: HoldReason
    because: str


@dataclass(frozen=True, slots=True)
class Learning:
    """This release waits a bounded time for what the learner says, and then begins with what is there."""

    because: str


Finding = Refusal | Wait | Learning | None


def unjudged(slot: SlotState, pods: int) -> Refusal:
    """Somebody has set a Deployment free that held the new template, paused, before its release had begun."""
    by = undoer_of(slot.raw)
    return Refusal(
        f"{pods} pods of {slot.name} run a version that nobody has judged: {by} resumed the Deployment while the "
        "release was being prepared. The version before it comes back; find out who resumes it, then release again"
    )
