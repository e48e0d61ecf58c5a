"""What becomes of a release that goes forward: the questions in the order in which they are asked.

Danger is asked before delay, and delay before progress, so that no hold hides a reason to turn back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from analysis.figures import number
from analysis.verdict import Verdict, worst
from controller.accompanied import Accompanied
from controller.alarm import sounded, unheard
from controller.night.ending import kept_by_night, turned_by_closing
from controller.progress import MOST_RESTARTS, STILL, can_step, looping, obstacle, span, told
from controller.release.decision import Advance, Decision, Finish, Hold, Proceed, RollBack
from controller.release.observation import Observation
from controller.release.record import GateVerdict, Record
from controller.release.vocabulary import Cause, HoldReason, Phase
from controller.slots import writer_of
from policies.schema import ReleasePolicySpec

CANNOT_PULL = frozenset({"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"})


def forward(record: Record, seen: Observation, verdicts: Sequence[GateVerdict], policy: ReleasePolicySpec) -> Decision:
    """Phases Canary and Batch."""
    return (
        _asked_to_turn(record, seen)
        or Accompanied(policy).meddled(record, seen)
        or _contender_broken(record, seen)
        or _danger(record, seen, verdicts, policy)
        or _must_stand_still(record, seen, policy)
        or unheard(record, seen, policy, _release_deadline(record, seen, policy))
        or _still_moving(record, seen, policy)
        or kept_by_night(record, seen, policy, _release_deadline(record, seen, policy))
        or _may_go_on(record, seen, verdicts, policy)
    )


def _danger(
    record: Record, seen: Observation, verdicts: Sequence[GateVerdict], policy: ReleasePolicySpec
) -> Decision | None:
    """Gates, alerts, the clock and the window, in this order; a pause for one of them hides no turn for another."""
    found = (
        _gates_say_worse(record, seen, verdicts, policy),
        sounded(record, seen, verdicts, policy, _release_deadline(record, seen, policy)),
        _too_late(record, seen, policy),
        turned_by_closing(record, seen, policy),
    )
    there = [each for each in found if each is not None]
    return next((each for each in there if isinstance(each, RollBack)), there[0] if there else None)


def _asked_to_turn(record: Record, seen: Observation) -> Decision | None:
    if seen.wishes.abort is not None:
        return RollBack(Cause.ABORTED, f"a person aborted the release: {seen.wishes.abort or 'no reason given'}")
    if seen.night.recalled:
        return RollBack(Cause.TRAIN_STOPPED, seen.night.recalled)
    if seen.superseded_by and record.origin == "change":
        return RollBack(Cause.SUPERSEDED, f"release {seen.superseded_by} asks for a newer version of the app")
    return None


def _contender_broken(record: Record, seen: Observation) -> Decision | None:
    """The contender itself says that it cannot run: a failing pod stops the batch at once."""
    spare = seen.contender
    if spare is None or spare.deleting:
        name = record.contender.name if record.contender else "?"
        return RollBack(Cause.CONTENDER_MISSING, f"Deployment {name} (contender) was deleted in mid-release")
    if record.contender is not None and spare.digest != record.contender.digest:
        by = writer_of(spare.raw, "spec", "template")
        return RollBack(
            Cause.CONTENDER_CHANGED,
            f"{by} changed the pod template of {spare.name} from version {record.contender.digest} to {spare.digest}: "
            "only the version that was judged may go on",
        )
    if (pod := looping(seen)) is not None:
        return RollBack(
            Cause.CRASH_LOOP,
            f"contender pod {pod.name} restarted {pod.restarts} times (bound: {MOST_RESTARTS}){told(pod)}",
        )
    if pulling := [pod for pod in seen.contenders if pod.waiting in CANNOT_PULL]:
        pod = pulling[0]
        return RollBack(Cause.IMAGE_PULL, f"contender pod {pod.name} cannot start: {pod.waiting}{told(pod)}")
    return None


def _gates_say_worse(
    record: Record, seen: Observation, verdicts: Sequence[GateVerdict], policy: ReleasePolicySpec
) -> Decision | None:
    if _ungated(record) or policy.mode == "observe":
        return None
    degraded = [v for v in verdicts if v.required and v.verdict is Verdict.DEGRADED]
    if not degraded:
        return None
    because = "; ".join(f"gate {v.gate}: {v.because}" for v in degraded)
    if policy.on_degraded == "rollBack":
        return RollBack(Cause.GATE, because)
    return Hold(HoldReason.DEGRADED, because, _release_deadline(record, seen, policy), "rollBack")


def _too_late(record: Record, seen: Observation, policy: ReleasePolicySpec) -> Decision | None:
    if seen.now < _release_deadline(record, seen, policy):
        return None
    return RollBack(
        Cause.RELEASE_DEADLINE,
        f"the release has run for {span(seen.now - record.started)} (deadline {policy.deadline.release})",
    )


def _must_stand_still(record: Record, seen: Observation, policy: ReleasePolicySpec) -> Decision | None:
    """Reasons outside the contender to keep the split exactly as it is."""
    live, spare = seen.incumbent, seen.contender
    assert live is not None and spare is not None
    if not seen.policy_exists:
        until = _held_since(record, HoldReason.POLICY_GONE, seen.now) + policy.on_blind.hold.seconds
        what = "was deleted in mid-release"
        if seen.policy_refused:
            what = f"was edited in mid-release and is refused now ({seen.policy_refused})"
        because = f"the policy {what}; its pinned copy still holds"
        if seen.now >= until:
            return RollBack(Cause.POLICY_GONE, because)
        return Hold(HoldReason.POLICY_GONE, because, until, "rollBack")
    if record.incumbent is not None and live.digest != record.incumbent.digest:
        until = _held_since(record, HoldReason.INCUMBENT_CHANGED, seen.now) + policy.on_blind.hold.seconds
        by = writer_of(live.raw, "spec", "template")
        because = (
            f"{by} changed the pod template of the incumbent {live.name} from version {record.incumbent.digest} to "
            f"{live.digest}: the way back is not the recorded one. Set it back, or ask for a release of that version"
        )
        if seen.now >= until:
            return Finish(Phase.NEEDS_HUMAN, Cause.INCUMBENT_CHANGED, because)
        return Hold(HoldReason.INCUMBENT_CHANGED, because, until, "NeedsHuman")
    if seen.wishes.unclear:
        return Hold(
            HoldReason.PAUSED_BY_PERSON,
            f"the release was edited and its spec is refused now: {seen.wishes.unclear}",
            None,
            "a spec that can be understood goes on, or turns back",
        )
    if seen.wishes.paused:
        then = f"{seen.command('resume')} goes on"
        return Hold(HoldReason.PAUSED_BY_PERSON, "a person paused the release", None, then)
    if (stopped := Accompanied(policy).paused_by(record, seen)) is not None:
        who, name = stopped
        return Hold(
            HoldReason.PAUSED_BY_PERSON,
            f"{who} paused Deployment {name}",
            None,
            f"`kubectl rollout resume deployment/{name}` goes on",
        )
    return None


def _still_moving(record: Record, seen: Observation, policy: ReleasePolicySpec) -> Decision | None:
    why = Accompanied(policy).unsettled(record, seen)
    if not why:
        return None
    live, spare = seen.incumbent, seen.contender
    assert live is not None and spare is not None
    ready = seen.available("incumbent")
    if ready < live.replicas and live.observed and not can_step(record, seen, policy):
        return Hold(
            HoldReason.PODS_LOST,
            f"{ready} of {live.replicas} incumbent pods are ready: pods were lost, or have not started yet",
            _release_deadline(record, seen, policy),
            "rollBack",
        )
    since = record.moving_since if record.moving_since is not None else seen.now
    if record.held is not None and record.held.reason in STILL:
        since = seen.now  # the batch was not meant to move until now
    until = since + policy.deadline.batch.seconds
    # An outage of ours is not the batch's fault: while there is a step to make, the deadline does not strike.
    if seen.now >= until and not can_step(record, seen, policy):
        return RollBack(
            Cause.BATCH_DEADLINE,
            f"no progress for {span(seen.now - since)} (deadline {policy.deadline.batch}): {obstacle(seen) or why}",
        )
    if spare.blocked or live.blocked:
        return Hold(HoldReason.QUOTA, obstacle(seen), until, "rollBack")
    if any(pod.unschedulable for pod in seen.contenders):
        return Hold(HoldReason.UNSCHEDULABLE, obstacle(seen), until, "rollBack")
    return Proceed(why)


def _may_go_on(
    record: Record, seen: Observation, verdicts: Sequence[GateVerdict], policy: ReleasePolicySpec
) -> Decision:
    """The batch is settled. What do its gates know, and is anybody waited for?"""
    stage = Accompanied(policy).stage(record)
    settled_for = seen.now - record.observing[-1].start if record.observing else 0.0
    if not stage.gated:
        if stage.least is not None and settled_for < stage.least:
            return Proceed(f"stays for {span(stage.least)}, {span(settled_for)} so far")
        return _next(record, policy, "all is in its place")
    if _ungated(record):
        because = f"gates skipped: {record.skip_gates}" if record.skip_gates else "the pods are ready"
        # The emergency door is for the gates, never for the person: who may open it and who may promote can differ.
        if record.origin == "change" and _by_hand(record, policy) and seen.wishes.promote != record.stage:
            return _waiting_for_a_person(record, seen, policy, because)
        return _next(record, policy, because)
    at_least = policy.observe.at_least.seconds if stage.least is None else stage.least
    at_most = max(at_least, policy.observe.at_most.seconds)
    if policy.mode == "observe":
        if settled_for < at_least:
            return Proceed(f"watched for {span(settled_for)} of {span(at_least)} (mode observe)")
        because = f"mode observe decides nothing; the gates say {_summary(verdicts)}"
        if _by_hand(record, policy) and seen.wishes.promote != record.stage:
            return _waiting_for_a_person(record, seen, policy, because)
        return _next(record, policy, because)

    required = [v for v in verdicts if v.required]
    overall = worst(v.verdict for v in required)
    # What was seen in earlier batches says nothing of this one: a batch without any sample of its own is blind too.
    unseen = seen.now >= seen.first_sample_by and any(v.observed <= 0 for v in required)
    promoted = seen.wishes.promote == record.stage
    if overall is Verdict.SHARED and not promoted:
        return _shared(record, seen, required, policy)
    if overall is Verdict.BLIND or unseen:
        return _blind(record, seen, required, policy)

    observed = min(v.observed for v in required)
    watched = min(v.watched for v in required)
    if promoted:
        return _next(record, policy, f"a person promoted it; the gates say {_summary(required)}")
    if observed < at_least:
        return Proceed(f"observed {span(observed)} of at least {span(at_least)}: {_summary(required)}")
    if overall is Verdict.HEALTHY and not any(v.leaning for v in required):
        if _by_hand(record, policy):
            return _waiting_for_a_person(record, seen, policy, f"healthy: {_summary(required)}")
        return _next(record, policy, _summary(required))
    if watched < at_most:
        return Proceed(f"observed {span(watched)} of at most {span(at_most)}: {_summary(required)}")
    return _inconclusive(record, seen, required, policy)


def _inconclusive(
    record: Record, seen: Observation, required: Sequence[GateVerdict], policy: ReleasePolicySpec
) -> Decision:
    """The longest observation is over and the gates have not decided."""
    watched = min(v.watched for v in required)
    because = f"inconclusive after {span(watched)}{_hidden(required)}: {_summary(required)}"
    on_undecided = policy.observe.on_undecided
    leaning = [v.gate for v in required if v.leaning]
    if leaning and on_undecided == "advance":
        # To advance for want of evidence is not to advance against it.
        on_undecided = "pause"
        because = f"{because}; `onUndecided: advance` does not cover {', '.join(leaning)}, which leans to worse"
    match on_undecided:
        case "advance":
            # `onUndecided` stands in for the gates, never for the person.
            if _by_hand(record, policy):
                return _waiting_for_a_person(record, seen, policy, because)
            return _next(record, policy, because)
        case "rollBack":
            return RollBack(Cause.UNDECIDED, because)
        case "pause":
            return Hold(
                HoldReason.UNDECIDED,
                because,
                _release_deadline(record, seen, policy),
                f"rollBack, unless the gates decide or {seen.command('promote')} lets it go on",
            )
        case _:
            assert_never(on_undecided)


def _shared(record: Record, seen: Observation, required: Sequence[GateVerdict], policy: ReleasePolicySpec) -> Decision:
    """Both versions are worse than the app's history: nobody is to blame, so nobody is moved for a while."""
    because = "; ".join(f"gate {v.gate}: {v.because}" for v in required if v.verdict is Verdict.SHARED)
    until = _held_since(record, HoldReason.SHARED, seen.now) + policy.on_shared.hold.seconds
    if seen.now < until:
        return Hold(HoldReason.SHARED, because, until, policy.on_shared.then)
    if policy.on_shared.then == "rollBack":
        return RollBack(Cause.SHARED, f"both versions were worse than usual for {policy.on_shared.hold}: {because}")
    then = f"rollBack, unless it ends or {seen.command('promote')} lets it go on"
    return Hold(HoldReason.SHARED, because, _release_deadline(record, seen, policy), then)


def _hidden(required: Sequence[GateVerdict]) -> str:
    """The smallest harm that could still hide behind a time-out: the largest of what the gates have not ruled out."""
    told = [f"{v.gate} x{number(v.could_hide)}" for v in required if v.could_hide is not None]
    return f" (could hide {', '.join(told)})" if told else ""


def _waiting_for_a_person(record: Record, seen: Observation, policy: ReleasePolicySpec, because: str) -> Hold:
    """`until` is None: the person's time is not charged to the release deadline, so that deadline moves with it."""
    return Hold(
        HoldReason.MANUAL,
        f"{Accompanied(policy).stage_name(record, record.stage)} waits for a person; {because}",
        None,
        f"{seen.command('promote')} goes on",
    )


def _blind(record: Record, seen: Observation, required: Sequence[GateVerdict], policy: ReleasePolicySpec) -> Decision:
    """Missing data never passes and never fails: stand still, and after the policy's patience turn back."""
    because = "; ".join(
        f"gate {v.gate}: {v.because}"
        if v.verdict is Verdict.BLIND
        else f"gate {v.gate}: no request has been seen at the contender since the batch settled"
        for v in required
        if v.verdict is Verdict.BLIND or v.observed <= 0
    )
    already = record.held is not None and record.held.reason is HoldReason.BLIND
    if seen.now < seen.first_sample_by and not already:
        return Proceed(f"waiting for the first samples: {because}")
    until = _held_since(record, HoldReason.BLIND, seen.now) + policy.on_blind.hold.seconds
    if seen.now < until:
        return Hold(HoldReason.BLIND, because, until, policy.on_blind.then)
    if policy.on_blind.then == "rollBack":
        return RollBack(Cause.BLIND, f"no usable data for {policy.on_blind.hold}: {because}")
    return Hold(HoldReason.BLIND, because, _release_deadline(record, seen, policy), "rollBack")


def _next(record: Record, policy: ReleasePolicySpec, because: str) -> Decision:
    later = Accompanied(policy).next_stage(record)
    if later is not None:
        return Advance(later, because)
    return Finish(Phase.SUCCEEDED, Cause.COMPLETED, because)


# ----------------------------------------------------------------------------------------------------- wording


def _ungated(record: Record) -> bool:
    return bool(record.skip_gates) or record.origin != "change"


def _by_hand(record: Record, policy: ReleasePolicySpec) -> bool:
    return Accompanied(policy).stage(record).by_hand


def _release_deadline(record: Record, seen: Observation, policy: ReleasePolicySpec) -> float:
    excused = record.excused + (seen.now - record.excused_since if record.excused_since is not None else 0.0)
    return record.started + policy.deadline.release.seconds + max(0.0, excused)


def _held_since(record: Record, reason: HoldReason, now: float) -> float:
    return record.held.since if record.held is not None and record.held.reason is reason else now


def _summary(verdicts: Sequence[GateVerdict]) -> str:
    return "; ".join(f"{v.gate} {v.verdict.value}: {v.because}" for v in verdicts) or "no gate has spoken"
