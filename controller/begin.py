"""A tick of a release that has not moved anything yet: queued, examined, prepared, admitted.

Order of questions: is it still wanted; may it begin (what costs nothing to ask first); claim the incumbent; put the
version into the spare slot at zero replicas; bind both versions by digest; begin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from analysis.learned import NotLearned
from controller import preflight, reliance
from controller.attempt import (
    SOON,
    Attempt,
    Reading,
    Seen,
    TickResult,
    carry_out,
    look,
    observation,
    parsed,
    seconds,
)
from controller.baseline import Baseline
from controller.gates import questions
from controller.pinned import pin
from controller.preflight import LEARNING_PATIENCE, Finding, Learning, Refusal, Wait
from controller.record import applied, noted, worth_writing
from controller.release import (
    Advance,
    AppKey,
    Cause,
    Decision,
    Finish,
    Hold,
    HoldReason,
    Observation,
    Origin,
    Phase,
    Plan,
    Proceed,
    Record,
    RollBack,
    SlotRecord,
    SlotState,
)
from controller.requests import (
    Counts,
    Failure,
    FailureKind,
    FetchCounts,
    FetchReadings,
    Neighbours,
    ReadBaseline,
    ReadNeighbours,
    ReadRelease,
    ReviewAccess,
    Settings,
    Source,
)
from controller.slots import template_digest
from controller.strategies import Strategy, strategy_of
from controller.templates import TemplateRefused, changed
from policies.schema import ReleasePolicy, ReleaseSpec

# A release and its policy may be applied in one go, the release first.
POLICY_GRACE = 30.0
UNOBSERVED = 30.0  # seconds after which a slot that nobody acts upon is worth a word


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that one look at a release before its start knows."""

    app: AppKey
    attempt: Attempt
    policy: ReleasePolicy
    strategy: Strategy
    attempts: Sequence[Attempt]
    newer: str
    origin: Origin
    now: float


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
    """Phases Queued and Preflight. `newer` names a release that asks for a newer version, or ""."""
    spec, record = attempt.spec, attempt.record
    if attempt.refused:
        return (yield from _end(app, attempt, Cause.REFUSED, attempt.refused, now))
    if spec.abort is not None:
        return (yield from _end(app, attempt, Cause.ABORTED, f"aborted before the start: {spec.abort.reason}", now))
    if newer and spec.restore_of is None:
        return (yield from _end(app, attempt, Cause.SUPERSEDED, f"release {newer} asks for a newer version", now))
    if policy is None:
        if now - seconds(attempt.created) < POLICY_GRACE:
            return TickResult(app, attempt.name, record, note=complaint, again_in=5.0)
        return (yield from _end(app, attempt, Cause.REFUSED, f"policy {app.policy}: {complaint}", now))
    case = Case(app, attempt, policy, strategy_of(policy.spec), attempts, newer, _origin(spec), now)
    if record.phase is Phase.QUEUED:
        asked = f"asked by {spec.requested_by}" if spec.requested_by is not None else "asked"
        because = f"{asked}: {spec.reason}" if spec.reason is not None else asked
        after = replace(record, phase=Phase.PREFLIGHT, since=now, because=because, origin=case.origin)
        skip = spec.skip_gates.reason if spec.skip_gates is not None else ""
        after = noted(replace(after, skip_gates=skip), "Preflight", because, now)
        return (yield from carry_out(app, attempt, record, after, Plan(), now))
    return (yield from _preflight(case, settings))


def _origin(spec: ReleaseSpec) -> Origin:
    if spec.restore_of is not None:
        return "restore"
    return "rollback" if spec.rollback_of is not None else "change"


# ----------------------------------------------------------------------------------------------- preflight


def _preflight(case: Case, settings: Settings) -> Reading[TickResult]:
    """Look with the cache; only when nothing speaks against it ask everything anew and take one step."""
    names = case.strategy.slot_names(case.policy.spec.target.deployment)
    for fresh in (False, True):
        seen = yield from look(case.app, names, fresh=fresh)
        if isinstance(seen, Failure):
            return TickResult(case.app, case.attempt.name, case.attempt.record, failure=seen)
        cast = _cast(case, seen, names)
        finding = cast if isinstance(cast, Refusal) else _of_own(case, *cast)
        if finding is not None and not fresh and isinstance(finding, Refusal):
            continue  # a refusal is for good: it rests on a quorum read, never on the cache alone
        if finding is not None:
            return (yield from _not_now(case, finding))
    assert not isinstance(cast, Refusal)
    observed, template = cast
    finding, notes = yield from _of_surroundings(case, observed, names, settings)
    if finding is not None:
        return (yield from _not_now(case, finding))
    learned: Learnt | None = None
    if settings.learns and case.origin == "change" and not case.attempt.record.skip_gates:
        learned = yield from _of_history(case, settings)
        if waits := _for_learner(case, learned):
            return (yield from _not_now(case, waits))
    return (yield from _step(case, observed, template, notes, learned))


Template = dict[str, Any]


def _cast(case: Case, seen: Seen, names: Sequence[str]) -> tuple[Observation, Template] | Refusal:
    """Who is the incumbent, and what shall the contender run? Empty template: nothing is put into the spare slot."""
    first, second = (seen.slots.get(name) for name in names[:2])
    roles = _roles(case, first, second, names)
    observed = observation(case.attempt, seen, roles, case.now)
    live = observed.incumbent
    if live is None:
        return preflight.no_deployment(roles[0])
    match case.origin:
        case "restore":
            return _nothing_to_restore(case, observed) or (observed, {})
        case "rollback":
            return _cast_rollback(case, observed)
        case "change":
            template = (live.raw.get("spec") or {}).get("template") or {}
            spec = case.attempt.spec
            try:
                return observed, changed(template, images=spec.images, env=spec.env, patch=spec.template)
            except TemplateRefused as error:
                return Refusal(str(error))


def _roles(case: Case, first: SlotState | None, second: SlotState | None, names: Sequence[str]) -> tuple[str, str]:
    """(incumbent, contender) by the claims of this release or of the one to restore; else who has pods is live."""
    owners = {case.attempt.uid} if case.origin != "restore" else None
    for slot in (first, second):
        claim = slot.claim if slot is not None else None
        if slot is None or claim is None or (owners is not None and claim.uid not in owners):
            continue
        other = names[1] if slot.name == names[0] else names[0]
        return (slot.name, other) if claim.role == "incumbent" else (other, slot.name)
    restored = next((a.record for a in case.attempts if a.name == case.attempt.spec.restore_of), None)
    if restored is not None and restored.incumbent is not None and restored.contender is not None:
        return restored.incumbent.name, restored.contender.name
    if second is not None and second.replicas > 0 and (first is None or first.replicas == 0):
        return names[1], names[0]
    return names[0], names[1]


def _nothing_to_restore(case: Case, observed: Observation) -> Refusal | None:
    """A restore follows the claims that a release left on the slots, or the record of one that needs a person.

    Without either nobody knows which side is the good one, and a restore drains the other.
    """
    of = case.attempt.spec.restore_of
    well = {each.uid for each in case.attempts if each.record.phase in (Phase.SUCCEEDED, Phase.ROLLED_BACK)}
    claims = [slot.claim for slot in (observed.incumbent, observed.contender) if slot is not None and slot.claim]
    if any(claim.uid not in well for claim in claims):
        return None
    named = next((each for each in case.attempts if each.name == of), None)
    if named is None:
        return Refusal(f"nothing to restore: release {of} does not exist and has left no claim on a Deployment")
    if named.record.phase is not Phase.NEEDS_HUMAN:
        return Refusal(f"nothing to restore: release {of} ended {named.record.phase}")
    if since := next((each for each in case.attempts if _is_later(each, named)), None):
        return Refusal(f"nothing to restore: release {since.name} ended {since.record.phase} since release {of}")
    return None


def _is_later(one: Attempt, than: Attempt) -> bool:
    """Whether a release ended well after another one: what serves now is its work."""
    well = one.record.phase in (Phase.SUCCEEDED, Phase.ROLLED_BACK)
    return well and (one.created, one.name) > (than.created, than.name)


def _cast_rollback(case: Case, observed: Observation) -> tuple[Observation, Template] | Refusal:
    """Back to the warm slot: only if both slots still hold what the finished release left in them."""
    of = case.attempt.spec.rollback_of
    finished = next((each for each in case.attempts if each.name == of), None)
    if finished is None or finished.record.phase is not Phase.SUCCEEDED:
        found = "does not exist" if finished is None else f"ended {finished.record.phase}"
        return Refusal(f"release {of} {found}: only a release that succeeded can be rolled back")
    was, now_live = finished.record.incumbent, finished.record.contender
    live, spare = observed.incumbent, observed.contender
    if was is None or now_live is None or live is None or spare is None:
        return Refusal(f"release {of} left no warm version to go back to")
    if live.digest != now_live.digest or spare.digest != was.digest:
        return Refusal(
            f"the slots have changed since release {of}: {live.name} holds {live.digest} (then {now_live.digest}), "
            f"{spare.name} holds {spare.digest} (then {was.digest}); release the wanted version instead"
        )
    return observed, dict((spare.raw.get("spec") or {}).get("template") or {})


def _of_own(case: Case, observed: Observation, template: Template) -> Finding:
    """What the app's own Deployments say."""
    if case.attempt.wishes.paused:
        return Wait(HoldReason.PAUSED_BY_PERSON, "a person paused the release before its start")
    if case.origin == "restore":
        return None
    target = case.policy.spec.target.deployment
    finding = preflight.of_slots(observed, case.origin, digest=template_digest(template), target=target)
    if finding is None and case.origin == "change":
        return preflight.of_template(observed, template)
    return finding


def _of_surroundings(
    case: Case, observed: Observation, names: Sequence[str], settings: Settings
) -> Reading[tuple[Finding, tuple[str, ...]]]:
    """What has to be asked for: permissions, neighbours, and whether the metric store knows these pods."""
    app, policy = case.app, case.policy
    lacking = yield ReviewAccess(app.namespace, preflight.PERMISSIONS)
    if isinstance(lacking, Failure):
        return Wait(HoldReason.PREFLIGHT_BLIND, f"permissions could not be reviewed: {lacking.message}"), ()
    if finding := preflight.of_access(lacking, app.namespace):  # type: ignore[arg-type]
        return finding, ()
    if case.origin == "restore":
        return None, ()
    around = yield ReadNeighbours(app.namespace)
    if not isinstance(around, Neighbours):
        why = around.message if isinstance(around, Failure) else "no answer"
        return Wait(HoldReason.PREFLIGHT_BLIND, f"the namespace could not be read: {why}"), ()
    finding, notes = preflight.of_neighbours(app.policy, policy.spec, names, observed, around)
    if finding is not None:
        return finding, ()
    if finding := preflight.of_plan(policy.spec, _replicas(observed), None):
        return finding, ()
    if case.origin != "change" or case.attempt.record.skip_gates or policy.spec.mode == "observe":
        return None, notes
    source = settings.sources.get(policy.spec.metrics.source)
    if source is None:
        known = ", ".join(sorted(settings.sources)) or "none"
        return Refusal(f"metric source {policy.spec.metrics.source} is not configured; known: {known}"), ()
    if finding := preflight.of_plan(policy.spec, _replicas(observed), source.window):
        return finding, ()
    for question in _metric_questions(case, observed, source):
        answer = yield question
        assert isinstance(answer, Counts | Failure)
        if finding := preflight.of_metrics(question.gate, answer, observed):
            return finding, ()
    return None, notes


Learnt = Baseline | NotLearned
_WAITED = f"Hold{HoldReason.LEARNING.value}"  # the entry of the decision log


def _of_history(case: Case, settings: Settings) -> Reading[Learnt]:
    """What was learned of this policy's gates; no answer is like no baseline, and never a reason not to begin."""
    found = yield ReadBaseline(case.app.namespace, case.app.policy)
    if isinstance(found, Failure) and found.kind is not FailureKind.ABSENT:
        return NotLearned("Unread", f"the baseline could not be read: {found.message}")
    source = settings.sources.get(case.policy.spec.metrics.source, Source())
    obj = found if isinstance(found, Mapping) else None
    return reliance.read(obj, case.policy, source.window, case.now)


def _for_learner(case: Case, learned: Learnt) -> Learning | None:
    """Whether to wait for the check of the last hour: noise that has changed since would void the promise."""
    if reliance.is_present(learned, case.attempt.uid):
        return None
    # From the first wait on: preparing the slots takes ticks of its own, in which nothing is held.
    since = next((each.at for each in case.attempt.record.decisions if each.kind == _WAITED), case.now)
    if case.now - since >= LEARNING_PATIENCE:
        return None
    told = f"{learned.reason}: {learned.detail}" if isinstance(learned, NotLearned) else "the last hour is not checked"
    return Learning(f"waits for the learner ({told})")


def _replicas(observed: Observation) -> int:
    return observed.incumbent.replicas if observed.incumbent is not None else 0


def _metric_questions(case: Case, observed: Observation, source: Source) -> list[FetchCounts | FetchReadings]:
    """One question per required gate, about the incumbents, over the last few windows."""
    end = (case.now - source.scrape) // source.window * source.window
    start = end - 4 * source.window
    sets = tuple(sorted({pod.replica_set for pod in observed.incumbents}))
    asked: list[FetchCounts | FetchReadings] = []
    for gate in case.policy.spec.gates:
        if gate.required:
            each = questions(case.policy, gate, case.app.namespace, sets, source, start, end)
            asked += [question for question in each if question.term != "errors"]
    return asked


# ------------------------------------------------------------------------------------------------- outcomes


def _not_now(case: Case, finding: Refusal | Wait | Learning) -> Reading[TickResult]:
    """A refusal ends it; a wait holds it until the batch deadline and then refuses it; the learner is waited for."""
    record, now = case.attempt.record, case.now
    decision: Decision
    if isinstance(finding, Refusal):
        decision = Finish(Phase.CANCELLED, Cause.REFUSED, finding.because)
    elif isinstance(finding, Learning):
        until = _since(record, HoldReason.LEARNING, now) + LEARNING_PATIENCE
        decision = Hold(HoldReason.LEARNING, finding.because, until, "begins with what was learned so far")
    else:
        by_person = finding.reason is HoldReason.PAUSED_BY_PERSON
        since = _since(record, finding.reason, now)
        until = since + case.policy.spec.deadline.batch.seconds
        if now >= until and not by_person:
            waited = f"{finding.because} (waited {case.policy.spec.deadline.batch} for it)"
            decision = Finish(Phase.CANCELLED, Cause.REFUSED, waited)
        else:
            decision = Hold(finding.reason, finding.because, None if by_person else until, "Cancelled")
    after = applied(record, decision, (), now)
    if not worth_writing(record, after, now):
        return TickResult(case.app, case.attempt.name, after)
    return (yield from _written(case, after, Plan()))


def _since(record: Record, reason: HoldReason, now: float) -> float:
    return record.held.since if record.held is not None and record.held.reason is reason else now


def _step(
    case: Case, observed: Observation, template: Template, notes: tuple[str, ...], learned: Learnt | None
) -> Reading[TickResult]:
    """Prepare the slots, or, when they are prepared, bind them and begin."""
    live, spare = observed.incumbent, observed.contender
    assert live is not None
    record = applied(case.attempt.record, Proceed("nothing speaks against it"), (), case.now)
    record = replace(record, desired=live.replicas)
    if case.origin == "restore":
        plan = case.strategy.move(_restoring(case, observed, record), observed, case.policy.spec, still=True)
        if plan.writes:
            return (yield from _prepare(case, record, plan))
        return (yield from _written(case, _admit_restore(case, observed, record), Plan()))
    if not case.strategy.prepared(record, observed, template):
        plan = case.strategy.prepare(record, observed, template)
        if plan.writes:
            return (yield from _prepare(case, record, plan))
        assert spare is not None
        if case.now - case.attempt.record.written < UNOBSERVED:
            return TickResult(case.app, case.attempt.name, case.attempt.record, again_in=SOON)
        why = f"the API server's controllers have not seen the last change of {spare.name}"
        return (yield from _not_now(case, Wait(HoldReason.NOT_OBSERVED, why)))
    assert spare is not None
    if finding := preflight.of_prepared(spare, template):
        return (yield from _not_now(case, finding))
    admitted = _admit(case, record, live, spare, notes)
    if learned is not None:
        told = reliance.notes(learned, case.policy, case.attempt.uid)
        admitted = replace(admitted, baseline=reliance.relied(learned, case.policy), notes=(*admitted.notes, *told))
    return (yield from _written(case, admitted, Plan()))


def _prepare(case: Case, record: Record, plan: Plan) -> Reading[TickResult]:
    """Write to the slots; what was tried and refused until the batch deadline ends the release, with nothing moved."""
    again = plan.summary == record.intent and record.moving_since is not None
    since = record.moving_since if again and record.moving_since is not None else case.now
    limit = case.policy.spec.deadline.batch
    if case.now - since >= limit.seconds:
        because = f"could not {plan.summary} for {limit}: the WriteRefused events of this release say why"
        return (
            yield from _written(
                case, applied(record, Finish(Phase.CANCELLED, Cause.REFUSED, because), (), case.now), Plan()
            )
        )
    return (yield from _written(case, replace(record, moving_since=since), plan))


def _admit(case: Case, record: Record, live: SlotState, spare: SlotState, notes: tuple[str, ...]) -> Record:
    """Bind the release to two versions by digest, to D and to the policy, and begin its first stage."""
    spec = case.policy.spec
    targets = case.strategy.targets(spec, live.replicas)
    merged = tuple(spec.strategy.twin.merged(live.replicas)) if spec.strategy.twin is not None else ()
    stage = 0 if case.origin == "change" else len(targets) - 1
    plan = f"{live.replicas} pods, contender targets {', '.join(map(str, targets))}"
    record = replace(
        pin(record, case.policy),
        incumbent=SlotRecord(live.name, live.uid, live.digest),
        contender=SlotRecord(spare.name, spare.uid, spare.digest),
        stages=len(targets) - 1,
        asked=case.attempt.asked,
        started=case.now,
        notes=(plan, *merged, *notes),
    )
    return applied(record, Advance(stage, plan), (), case.now)


def _restoring(case: Case, observed: Observation, record: Record) -> Record:
    """The record with the D that the slots' claims remember."""
    claims = [slot.claim for slot in (observed.incumbent, observed.contender) if slot is not None and slot.claim]
    finished = next((each.record for each in case.attempts if each.name == case.attempt.spec.restore_of), None)
    wanted = [claim.desired for claim in claims] + ([finished.desired] if finished is not None else [])
    live = observed.incumbent.replicas if observed.incumbent is not None else 0
    return replace(record, desired=max([live, *wanted]))


def _admit_restore(case: Case, observed: Observation, record: Record) -> Record:
    live, spare = observed.incumbent, observed.contender
    assert live is not None
    record = replace(
        pin(_restoring(case, observed, record), case.policy),
        incumbent=SlotRecord(live.name, live.uid, live.digest),
        contender=SlotRecord(spare.name, spare.uid, spare.digest)
        if spare is not None
        else SlotRecord(
            next(n for n in case.strategy.slot_names(case.policy.spec.target.deployment) if n != live.name), "", ""
        ),
        asked=case.attempt.asked,
        started=case.now,
        epoch=max(record.epoch, *(slot.claim.epoch for slot in (live, spare) if slot is not None and slot.claim), 0),
    )
    of = case.attempt.spec.restore_of
    return applied(record, RollBack(Cause.RESTORE, f"restore of release {of} to {live.name}"), (), case.now)


def _written(case: Case, after: Record, plan: Plan) -> Reading[TickResult]:
    """Compare-and-swap on the record that this look started from, then the plan."""
    answer = yield ReadRelease(case.app.namespace, case.attempt.name)
    if isinstance(answer, Failure):
        return TickResult(case.app, case.attempt.name, case.attempt.record, failure=answer)
    latest = parsed(answer) if isinstance(answer, dict) else case.attempt
    if latest.record.sequence != case.attempt.record.sequence or latest.uid != case.attempt.uid or latest.problem:
        return TickResult(case.app, case.attempt.name, latest.record, again_in=SOON)
    return (yield from carry_out(case.app, latest, case.attempt.record, after, plan, case.now))


def _end(app: AppKey, attempt: Attempt, cause: Cause, because: str, now: float) -> Reading[TickResult]:
    after = applied(attempt.record, Finish(Phase.CANCELLED, cause, because), (), now)
    return (yield from carry_out(app, attempt, attempt.record, after, Plan(), now))
