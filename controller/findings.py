"""Why a release must not begin, or not yet: what preflight, strategies, routers and companions may find."""

from __future__ import annotations

from dataclasses import dataclass

from controller.release.vocabulary import Cause, HoldReason


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
