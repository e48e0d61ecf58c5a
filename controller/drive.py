"""A tick of a release whose capacity may have moved: look, ask the gates, decide, leap, write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from controller import firing, outlook
from controller.accompanied import Accompanied
from controller.applying import applied, worth_writing
from controller.asking import Told, ask_gates
from controller.attempt import SOON, Attempt, Reading, Seen, TickResult, carry_out, look, observation, reread
from controller.decide import decide
from controller.firing import Level
from controller.history import with_forecasts
from controller.inbox import Told as Post
from controller.inquiry import remembered
from controller.listening import ask_level, ask_others, both, concerned, noted_alerts, posted, with_alerts
from controller.night.hours import ASKS
from controller.night.platform import trains_in
from controller.night.ride import recalled
from controller.night.under_way import night
from controller.overwritten import keep
from controller.pinned import effective_policy, pin
from controller.progress import STILL
from controller.record import noted
from controller.release.decision import Advance, Decision, Finish, Hold, Proceed, RollBack
from controller.release.names import AppKey
from controller.release.observation import Observation
from controller.release.plan import Plan
from controller.release.record import Record
from controller.release.vocabulary import ENDS, Cause, HoldReason, Phase
from controller.requests.failure import Failure
from controller.requests.looks import ReadTrains
from controller.revise import changed, revised
from controller.settings import Settings, Source
from controller.watch import opened
from policies.load import digest
from policies.schema import ReleasePolicy

_BEFORE_GATES = frozenset(
    {
        Cause.ABORTED,
        Cause.SUPERSEDED,
        Cause.TRAIN_STOPPED,
        Cause.CONTENDER_MISSING,
        Cause.CONTENDER_CHANGED,
        Cause.ROUTE_MISSING,
        Cause.ROUTE_CHANGED,
        Cause.CRASH_LOOP,
        Cause.IMAGE_PULL,
        Cause.ALERT,
    }
)


@dataclass(frozen=True, slots=True)
class Turn:
    """A decision with the record and the plan that follow from it."""

    decision: Decision
    before: Record
    after: Record
    plan: Plan


def drive(
    app: AppKey,
    attempt: Attempt,
    current: ReleasePolicy | None,
    refused: str,
    newer: str,
    settings: Settings,
    now: float,
    posts: Sequence[Post] = (),
) -> Reading[TickResult]:
    """Phases Canary, Batch and RollingBack.

    `refused` says why the policy is not one since somebody edited it, or ""; `newer` names a release that asks for a
    newer version, or ""; `posts` is what Alertmanager's posts have told of this policy.
    """
    policy = effective_policy(attempt.record, current)
    source = settings.sources.get(policy.spec.metrics.source, Source())
    course = Accompanied(policy.spec)

    seen = yield from look(app, course, attempt.record, fresh=False)
    if isinstance(seen, Failure):
        return TickResult(app, attempt.name, attempt.record, failure=seen)
    calls, untold = yield from _calls(app, attempt)
    first = _observe(attempt, seen, policy, current, refused, newer, now, calls)
    told, alerts = Told(), concerned(attempt.record, policy.spec)
    heard = posted(attempt.record, policy.spec, posts)
    glance = _turn(attempt, with_alerts(first, heard, attempt.record, policy.spec), told, heard, policy, source)
    # What the cluster, a person or a post says to turn back is not kept waiting by a store that may be slow to answer.
    if not _turns_anyway(glance.decision):
        told = yield from ask_gates(app, attempt.record, first, policy, source, learns=settings.learns)
        heard = (yield from ask_level(alerts, posts, now)) if alerts else heard
        first = with_alerts(first, heard, attempt.record, policy.spec)
        glance = _turn(attempt, first, told, heard, policy, source) if told.verdicts or alerts else glance
    if not glance.plan.writes and not worth_writing(attempt.record, glance.after, now):
        return TickResult(app, attempt.name, replace(glance.after, verdicts_at=now))
    if untold is not None and not isinstance(glance.decision, RollBack):
        # A train may be calling it back: as long as nobody knows, it stays as it is.
        return TickResult(app, attempt.name, attempt.record, failure=untold)

    again = yield from look(app, course, attempt.record, fresh=True)
    if isinstance(again, Failure):
        return TickResult(app, attempt.name, attempt.record, failure=again, again_in=again.retry_after)
    latest = yield from reread(app, attempt)
    if isinstance(latest, TickResult):
        return latest
    if latest.record.phase in ENDS or latest.deleting:
        return TickResult(app, attempt.name, latest.record, again_in=SOON)
    if latest.record.phase is not attempt.record.phase or latest.record.stage != attempt.record.stage:
        return TickResult(app, attempt.name, latest.record, again_in=SOON)
    if alerts and not isinstance(glance.decision, RollBack):
        # What began to fire while all this was asked must not be lost against the step that follows.
        heard = both(heard, (yield from ask_level(alerts, posts, now)))
    others: tuple[str, ...] = ()
    if any(not firing.is_known(latest.record, each, "charged") for each in firing.graver(heard.active)):
        others = yield from ask_others(app, now)
    first = with_alerts(first, heard, attempt.record, policy.spec, others)
    second = _observe(latest, again, policy, current, refused, newer, now, calls)
    second = with_alerts(second, heard, latest.record, policy.spec, others)
    glance = _turn(attempt, first, told, heard, policy, source) if alerts else glance
    leap = _turn(latest, second, told, heard, policy, source)
    if _kind(glance.decision) != _kind(leap.decision):
        # Two looks that disagree: one of them was stale, or the world moved between them. The next tick will know.
        return TickResult(app, attempt.name, latest.record, again_in=SOON, note="two looks disagreed")
    if not leap.plan.writes and not worth_writing(latest.record, leap.after, now):
        return TickResult(app, attempt.name, leap.after)
    if policy.spec.trigger == "template" and (kept := (yield from keep(app, latest, leap.plan, again.slots))):
        return kept
    return (yield from carry_out(app, latest, latest.record, leap.after, leap.plan, now))


def _calls(app: AppKey, attempt: Attempt) -> Reading[tuple[str, Failure | None]]:
    """Why a train calls the release back, or ""; and what kept the trains from being read."""
    if attempt.record.phase is Phase.ROLLING_BACK or attempt.record.origin not in ASKS:
        return "", None
    trains = trains_in((yield ReadTrains(app.namespace)))
    return ("", trains) if isinstance(trains, Failure) else (recalled(trains, attempt.uid), None)


def _turn(attempt: Attempt, seen: Observation, told: Told, heard: Level, policy: ReleasePolicy, source: Source) -> Turn:
    course = Accompanied(policy.spec)
    before = attempt.record
    record = with_forecasts(revised(before, seen, course), told.forecasts)
    record = changed(record, inquiries=remembered(record, told.inquiries))
    if (tightened := digest(policy)) != record.policy_digest:
        record = noted(pin(record, policy), "PolicyTightened", f"an edit tightened the policy ({tightened})", seen.now)
    if told.lacking and not outlook.is_told(record):
        record = noted(record, outlook.KIND, "; ".join(told.lacking), seen.now)
    if record.observing and record.observing[-1].end is None:
        seen = replace(seen, first_sample_by=record.observing[-1].start + source.patience)
    record = noted_alerts(record, heard, policy.spec, seen.now)
    decision = decide(record, seen, told.verdicts, policy.spec)
    after = applied(record, decision, told.verdicts, seen.now)
    if _by_alert(decision):
        after = firing.remembered(after, firing.graver(seen.firing or ()), "charged", seen.now)
    after = opened(after, policy.spec, seen.now)
    plan = Plan()
    if not isinstance(decision, Finish):
        plan = course.move(after, seen, still=isinstance(decision, Hold))
    if plan.moves and plan.summary != before.intent:
        after = replace(after, moving_since=seen.now)  # progress: the batch deadline begins anew
    if isinstance(decision, Proceed) or (isinstance(decision, Hold) and decision.reason not in STILL):
        plan = Plan((*told.writes, *plan.writes))
    return Turn(decision, before, after, plan)


def _observe(
    attempt: Attempt,
    seen: Seen,
    policy: ReleasePolicy,
    current: ReleasePolicy | None,
    refused: str,
    newer: str,
    now: float,
    calls: str = "",
) -> Observation:
    cast = Accompanied(policy.spec).cast(attempt.record, seen.slots, seen.replica_sets, seen.pods.items)
    found = observation(attempt, seen, cast, now, newer=newer)
    over = night(policy.spec, attempt.spec, attempt.record, now)
    over = replace(over, recalled=calls) if calls else over
    return replace(found, policy_exists=current is not None, policy_refused=refused, night=over)


def _by_alert(decision: Decision) -> bool:
    match decision:
        case RollBack(cause=cause):
            return cause is Cause.ALERT
        case Hold(reason=reason):
            return reason is HoldReason.ALERT
    return False


def _turns_anyway(decision: Decision) -> bool:
    """Whether a decision that was made without the gates comes before anything that they could say."""
    return isinstance(decision, RollBack) and decision.cause in _BEFORE_GATES


def _kind(decision: Decision) -> tuple[object, ...]:
    match decision:
        case Hold(reason=reason):
            return (Hold, reason)
        case Advance(stage=stage):
            return (Advance, stage)
        case RollBack(cause=cause):
            return (RollBack, cause)
        case Finish(phase=phase, cause=cause):
            return (Finish, phase, cause)
    return (type(decision),)
