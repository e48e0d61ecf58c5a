"""A tick of a release that has not moved anything yet: queued, examined, prepared, admitted.

Order of questions: is it still wanted; may it begin (what costs nothing to ask first); claim the incumbent; put the
version into the spare slot at zero replicas; bind both versions by digest; begin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from controller import preflight, quarantine, reliance
from controller.accompanied import Accompanied
from controller.admission import admitted, admitted_restore, bound, restoring
from controller.applying import applied, worth_writing
from controller.attempt import SOON, Attempt, Reading, TickResult, carry_out, look, parsed, seconds
from controller.case import Case
from controller.casting import Template, casting, known_before
from controller.findings import Finding, Learning, Refusal, Wait
from controller.firing import remembered
from controller.night.departure import asks, departure, missed
from controller.night.foreseen import foreseen
from controller.night.platform import Train, trains_in
from controller.preflight import LEARNING_PATIENCE
from controller.record import noted
from controller.release.decision import Decision, Finish, Hold, Proceed, RollBack
from controller.release.names import AppKey
from controller.release.observation import Observation
from controller.release.plan import Plan
from controller.release.record import Record
from controller.release.vocabulary import Cause, HoldReason, Origin, Phase
from controller.requests.failure import Failure
from controller.requests.looks import ReadRelease, ReadTrains
from controller.settings import Settings
from controller.slots import template_digest
from controller.strategies.claims import claimed
from controller.surroundings import Learnt, history, learner_finding, surroundings
from policies.schema import ReleasePolicy, ReleaseSpec

# A release and its policy may be applied in one go, the release first.
POLICY_GRACE = 30.0
UNOBSERVED = 30.0  # seconds after which a slot that nobody acts upon is worth a word


def begin(
    app: AppKey,
    attempt: Attempt,
    policy: ReleasePolicy | None,
    complaint: str,
    attempts: Sequence[Attempt],
    newer: str,
    settings: Settings,
    now: float,
) -> Reading[TickResult]:
    """Phases Queued and Preflight. `newer` names a release that asks for a newer version, or "".

    `complaint`: why the policy is refused, "" where it does not exist.
    """
    spec, record = attempt.spec, attempt.record
    if attempt.refused:
        return (yield from _end(app, attempt, Cause.REFUSED, attempt.refused, now))
    if spec.abort is not None:
        return (yield from _end(app, attempt, Cause.ABORTED, f"aborted before the start: {spec.abort.reason}", now))
    if newer and spec.restore_of is None:
        return (yield from _end(app, attempt, Cause.SUPERSEDED, f"release {newer} asks for a newer version", now))
    if policy is None:
        gone = f"is refused: {complaint}" if complaint else "was deleted" if record.written else "does not exist"
        if now - seconds(attempt.created) < POLICY_GRACE:
            return TickResult(app, attempt.name, record, note=f"policy {app.policy} {gone}", again_in=5.0)
        because = f"policy {app.policy} {gone}; apply one of this name that is valid, then ask for the release anew"
        return (yield from _end(app, attempt, Cause.REFUSED, because, now))
    case = Case(app, attempt, policy, Accompanied(policy.spec), attempts, newer, _origin(spec), now)
    trains: tuple[Train, ...] | Failure = ()
    if asks(case):
        trains = trains_in((yield ReadTrains(app.namespace)))
        alone = not isinstance(trains, Failure) and departure(case, trains) is None
        if alone and record.phase is Phase.QUEUED:
            # It leaves by itself because no train carries it: a cache that lags behind a new train may not say so.
            trains = trains_in((yield ReadTrains(app.namespace, fresh=True)))
    if isinstance(trains, Failure):
        # Nobody leaves as long as nobody knows whether a train carries it.
        return TickResult(app, attempt.name, record, failure=trains)
    leave = departure(case, trains)
    if isinstance(leave, Hold):
        stay = yield from foreseen(case, leave)
        if isinstance(stay, Failure):
            return TickResult(app, attempt.name, record, failure=stay)
        return (yield from _stays(case, stay, missed(case, leave, trains), settings))
    if record.phase is Phase.QUEUED:
        because = _asked(spec)
        waited = applied(record, Proceed("its hour has come"), (), now)
        after = replace(waited, phase=Phase.PREFLIGHT, since=now, because=because, origin=case.origin)
        skip = spec.skip_gates.reason if spec.skip_gates is not None else ""
        after = noted(replace(after, skip_gates=skip), "Preflight", because, now)
        if leave is not None:
            after = noted(after, "Departed", f"with train {leave.train}, night of {leave.night}", now)
        if spec.now is not None:
            told = f"outside windows, freezes, trains and times: {spec.now.reason}"
            after = noted(after, "LeavesAtOnce", told, now)
        return (yield from carry_out(app, attempt, record, after, Plan(), now))
    return (yield from _preflight(case, settings))


def wait_behind(
    app: AppKey,
    behind: Sequence[Attempt],
    policy: ReleasePolicy,
    attempts: Sequence[Attempt],
    first: TickResult,
    settings: Settings,
    now: float,
) -> Reading[TickResult | None]:
    """Those that look like a version in quarantine, behind one that waits for its hour (`first`): told, if they are.

    Whether they replace that one is known in their own preflight only, so they do not begin.
    """
    held = first.record.held if first.record is not None else None
    until = held.until if held is not None else None
    for attempt in behind:
        case = Case(app, attempt, policy, Accompanied(policy.spec), attempts, "", _origin(attempt.spec), now)
        stay = Hold(HoldReason.QUARANTINED, f"release {first.release} goes first", until, "")
        found = yield from foreseen(case, stay)
        if isinstance(found, Failure):
            return TickResult(app, attempt.name, attempt.record, failure=found)
        told = (yield from _stays(case, found, "", settings)) if found is not stay else None
        if told is not None and (told.wrote or told.failure is not None):
            return told
    return None


def _asked(spec: ReleaseSpec) -> str:
    asked = f"asked by {spec.requested_by}" if spec.requested_by is not None else "asked"
    return f"{asked}: {spec.reason}" if spec.reason is not None else asked


def _origin(spec: ReleaseSpec) -> Origin:
    if spec.restore_of is not None:
        return "restore"
    if spec.home:
        return "home"
    return "rollback" if spec.rollback_of is not None else "change"


# ----------------------------------------------------------------------------------------------- preflight


def _preflight(case: Case, settings: Settings) -> Reading[TickResult]:
    """Look with the cache; only when nothing speaks against it ask everything anew and take one step."""
    for fresh in (False, True):
        looked = yield from look(case.app, case.course, case.attempt.record, fresh=fresh)
        if isinstance(looked, Failure):
            return TickResult(case.app, case.attempt.name, case.attempt.record, failure=looked)
        seen = looked
        cast = casting(case, seen)
        finding = cast if isinstance(cast, Refusal) else _of_own(case, *cast)
        if finding is not None and not fresh and isinstance(finding, Refusal):
            continue  # a refusal is for good: it rests on a quorum read, never on the cache alone
        if finding is not None:
            return (yield from _not_now(case, finding))
    assert not isinstance(cast, Refusal)
    observed, template = cast
    found = yield from surroundings(case, observed, template, settings)
    if found.finding is not None:
        return (yield from _not_now(case, found.finding))
    learned: Learnt | None = None
    if settings.learns and case.origin == "change" and not case.attempt.record.skip_gates:
        learned = yield from history(case, settings)
        if waits := learner_finding(case, learned):
            return (yield from _not_now(case, waits))
    record = applied(case.attempt.record, Proceed("nothing speaks against it"), (), case.now)
    known = known_before(case, seen)
    saved = case.course.saved(replace(record, saved=known.saved), observed, found.around, template)
    if case.origin == "restore":
        saved = tuple({(each.kind, each.name): each for each in (*saved, *known.saved)}.values())
        record = replace(
            record, saved=saved, services=known.services, incumbent=known.incumbent, contender=known.contender
        )
        return (yield from _step_back(case, observed, record))
    before = remembered(replace(record, alerts=()), found.fired, "before", case.now).alerts
    record = replace(
        record,
        desired=case.course.desired(record, observed),
        ready=(observed.available("contender"), observed.available("incumbent")),
        alerts=before,
        services=case.course.services(observed, found.around),
    )
    return (yield from _step(case, observed, template, replace(record, saved=saved), found.notes, learned))


def _of_own(case: Case, observed: Observation, template: Template) -> Finding:
    """What the app's own Deployments say."""
    if case.attempt.wishes.paused:
        return Wait(HoldReason.PAUSED_BY_PERSON, "a person paused the release before its start")
    if case.origin == "restore":
        return None
    target = case.policy.spec.target.deployment
    paused = case.course.paused_by(case.attempt.record, observed)
    digest = template_digest(template)
    finding = preflight.of_slots(observed, case.origin, digest=digest, target=target, paused=paused)
    if finding is None and case.origin == "change":
        finding = quarantine.of_version(case.attempts, digest)
    if finding is None and case.origin in ("change", "home"):
        return preflight.of_template(observed, template)
    return finding


# ------------------------------------------------------------------------------------------------- outcomes


def _stays(case: Case, stay: Hold, told: str, settings: Settings) -> Reading[TickResult]:
    """It may not leave at this hour: it waits, and gives back what it has borrowed. `told`: what it missed."""
    record, now = case.attempt.record, case.now
    if not record.because:
        # Its first record: people read there since when it waits.
        record = replace(record, since=seconds(case.attempt.created), because=_asked(case.attempt.spec))
    if told:
        record = noted(record, "WindowMissed", told, now)
    ending = _ending(case.attempt, Cause.WINDOW_CLOSED, told or stay.because)
    # Nothing stays suspended for a day.
    after = applied(record, ending if isinstance(ending, RollBack) else stay, (), now)
    soon = stay.until is not None and stay.until - now < settings.interval
    if not worth_writing(case.attempt.record, after, now):
        again = max(0.1, stay.until - now) if soon and stay.until is not None else None
        return TickResult(case.app, case.attempt.name, after, again_in=again)
    return (yield from _written(case, after, Plan()))


def _not_now(case: Case, finding: Refusal | Wait | Learning) -> Reading[TickResult]:
    """A refusal ends it; a wait holds it until the batch deadline and then refuses it; the learner is waited for."""
    record, now = case.attempt.record, case.now
    decision: Decision
    if isinstance(finding, Refusal):
        decision = _ending(case.attempt, finding.cause, finding.because)
    elif isinstance(finding, Learning):
        until = _since(record, HoldReason.LEARNING, now) + LEARNING_PATIENCE
        decision = Hold(HoldReason.LEARNING, finding.because, until, "begins with what was learned so far")
    else:
        by_person = finding.reason is HoldReason.PAUSED_BY_PERSON
        since = _since(record, finding.reason, now)
        until = since + case.policy.spec.deadline.batch.seconds
        if now >= until and not by_person:
            waited = f"{finding.because} (waited {case.policy.spec.deadline.batch} for it)"
            decision = _ending(case.attempt, Cause.REFUSED, waited)
        else:
            decision = Hold(finding.reason, finding.because, None if by_person else until, "Cancelled")
    after = applied(record, decision, (), now)
    if not worth_writing(record, after, now):
        return TickResult(case.app, case.attempt.name, after)
    return (yield from _written(case, after, Plan()))


def _since(record: Record, reason: HoldReason, now: float) -> float:
    return record.held.since if record.held is not None and record.held.reason is reason else now


def _step(
    case: Case,
    observed: Observation,
    template: Template,
    record: Record,
    notes: tuple[str, ...],
    learned: Learnt | None,
) -> Reading[TickResult]:
    """Prepare the slots, or, when they are prepared, bind them and begin."""
    live, spare = observed.incumbent, observed.contender
    assert live is not None
    if record.saved:
        record = bound(case, record, live, spare)
    if not set(case.attempt.record.saved) <= set(record.saved):
        # One of two looks was stale, or somebody changed what is going to be borrowed: a third look must agree.
        return (yield from _written(case, record, Plan()))
    if claimed(observed, live) and any(ref not in observed.objects for ref in case.course.reads(record)):
        return (yield from _written(case, record, Plan()))  # the next look sees what is going to be borrowed
    if not case.course.prepared(record, observed, template):
        plan = case.course.prepare(record, observed, template)
        if plan.writes:
            return (yield from _prepare(case, record, plan))
        if case.now - case.attempt.record.written < UNOBSERVED:
            return TickResult(case.app, case.attempt.name, case.attempt.record, again_in=SOON)
        name = (spare or live).name
        why = f"the API server's controllers have not seen the last change of {name}"
        return (yield from _not_now(case, Wait(HoldReason.NOT_OBSERVED, why)))
    assert spare is not None
    finding = preflight.of_prepared(spare, template)
    if finding is None and case.origin == "change":
        # The API server may have filled in fields of what was asked for: this is the version that would run.
        finding = quarantine.of_version(case.attempts, spare.digest)
    if finding is not None:
        return (yield from _not_now(case, finding))
    started = admitted(case, record, live, spare, (*notes, *case.course.notes(observed)))
    if learned is not None:
        told = reliance.notes(learned, case.policy, case.attempt.uid)
        started = replace(started, baseline=reliance.relied(learned, case.policy), notes=(*started.notes, *told))
    return (yield from _written(case, started, Plan()))


def _step_back(case: Case, observed: Observation, record: Record) -> Reading[TickResult]:
    """Take the slots over, or, when they are ours, turn back."""
    record = restoring(case, observed, record)
    plan = case.course.move(record, observed, still=True)
    if plan.writes:
        return (yield from _prepare(case, record, plan))
    return (yield from _written(case, admitted_restore(case, observed, record), Plan()))


def _prepare(case: Case, record: Record, plan: Plan) -> Reading[TickResult]:
    """Write to the slots; what was tried and refused until the batch deadline ends the release, with nothing moved."""
    again = plan.summary == record.intent and record.moving_since is not None
    since = record.moving_since if again and record.moving_since is not None else case.now
    limit = case.policy.spec.deadline.batch
    if case.now - since >= limit.seconds:
        because = f"could not {plan.summary} for {limit}: the WriteRefused events of this release say why"
        decision = _ending(case.attempt, Cause.REFUSED, because)
        return (yield from _written(case, applied(case.attempt.record, decision, (), case.now), Plan()))
    return (yield from _written(case, replace(record, moving_since=since), plan))


def _written(case: Case, after: Record, plan: Plan) -> Reading[TickResult]:
    """Compare-and-swap on the record that this look started from, then the plan."""
    answer = yield ReadRelease(case.app.namespace, case.attempt.name)
    if isinstance(answer, Failure):
        return TickResult(case.app, case.attempt.name, case.attempt.record, failure=answer)
    told = case.attempt.tells
    latest = replace(parsed(answer), tells=told) if isinstance(answer, dict) else case.attempt
    if latest.record.sequence != case.attempt.record.sequence or latest.uid != case.attempt.uid or latest.problem:
        return TickResult(case.app, case.attempt.name, latest.record, again_in=SOON)
    return (yield from carry_out(case.app, latest, case.attempt.record, after, plan, case.now))


def _end(app: AppKey, attempt: Attempt, cause: Cause, because: str, now: float) -> Reading[TickResult]:
    after = applied(attempt.record, _ending(attempt, cause, because), (), now)
    return (yield from carry_out(app, attempt, attempt.record, after, Plan(), now))


def _ending(attempt: Attempt, cause: Cause, because: str) -> Decision:
    """A release that has borrowed something goes back through a rollback, which gives it back; others end at once."""
    if attempt.record.saved and attempt.record.incumbent is not None and attempt.spec.restore_of is None:
        return RollBack(cause, because)
    return Finish(Phase.CANCELLED, cause, because)
