"""What becomes of a release that goes back: a rollback asks nobody: no gate, no window, no pause."""

from __future__ import annotations

from controller.accompanied import Accompanied
from controller.progress import can_step, obstacle, span
from controller.release.decision import Decision, Finish, Proceed
from controller.release.observation import Observation
from controller.release.record import Record
from controller.release.vocabulary import Cause, Phase
from controller.slots import writer_of
from policies.schema import ReleasePolicySpec


def back(record: Record, seen: Observation, policy: ReleasePolicySpec) -> Decision:
    """Phase RollingBack."""
    live = seen.incumbent
    assert live is not None
    why = Accompanied(policy).unrestored(record, seen)
    if not why:
        if record.incumbent is not None and live.digest != record.incumbent.digest:
            return Finish(
                Phase.NEEDS_HUMAN,
                Cause.INCUMBENT_CHANGED,
                f"the incumbent {live.name} is at full size, but serves version {live.digest} instead of the recorded "
                f"{record.incumbent.digest}: {writer_of(live.raw, 'spec', 'template')} changed it in mid-release",
            )
        return Finish(
            Phase.ROLLED_BACK,
            record.cause or Cause.RESTORED,
            f"{seen.available('incumbent')} of {record.desired} incumbent pods are ready, the contender has none; "
            f"turned back because {record.because}",
        )
    since = record.moving_since if record.moving_since is not None else seen.now
    stuck = seen.now - since >= policy.deadline.batch.seconds
    if stuck and not can_step(record, seen, policy):
        return Finish(
            Phase.NEEDS_HUMAN,
            Cause.ROLLBACK_BLOCKED,
            f"the rollback made no progress for {span(seen.now - since)} (deadline {policy.deadline.batch}): "
            f"{obstacle(seen) or why}. What is available keeps serving",
        )
    return Proceed(obstacle(seen) or why)
