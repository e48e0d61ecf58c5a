"""The watch after a release: for `watch.for` its gates and alerts can still bring the version before it back.

    Succeeded --- looks --- until          nothing was found: the watch is over
                    \\
                     danger: the record says so first, with the name of the release that brings the version before it
                     back; that release is created by this name, and the record says that it was

The release has ended and stays so. The way back is a release of its own, `rollbackOf` the first one, whose name follows
from it: killed after any request, the next tick creates the same one or finds it there. It asks no gate and no hour,
goes before whatever waits, and replaces nothing that waits. What it turned back from is in quarantine.

The watch is over, too, when another release of the app has begun, or when somebody else changed what serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from analysis.verdict import Verdict
from controller import firing
from controller.accompanied import Accompanied
from controller.asking import Told
from controller.attempt import SOON, Attempt, Reading, TickResult, carry_out, look, observation, reread, write_record
from controller.firing import Level
from controller.history import with_forecasts
from controller.inbox import Told as Post
from controller.listening import ask_level, ask_others, noted_alerts
from controller.own_releases import own_release, release_name
from controller.pinned import effective_policy, kept_policy
from controller.progress import looping, told
from controller.record import noted
from controller.release.instants import rfc3339
from controller.release.names import AppKey
from controller.release.observation import Observation
from controller.release.plan import Plan
from controller.release.record import Record, Watching
from controller.release.vocabulary import Cause, Phase
from controller.requests.failure import Failure, FailureKind
from controller.settings import Settings, Source
from controller.watch_looks import ask_watch
from policies.schema import ReleasePolicy, ReleasePolicySpec

LATE = 60.0  # seconds after its end in which a watch is still looked at


@dataclass(frozen=True, slots=True)
class Danger:
    """Why the version before it has to come back."""

    cause: Cause
    because: str


# ------------------------------------------------------------------------------------------------- its life


def opened(record: Record, policy: ReleasePolicySpec, now: float) -> Record:
    """The record of a release that has just succeeded, with its watch, where the policy wants one and gates decide."""
    watch = policy.watch
    if record.phase is not Phase.SUCCEEDED or watch is None or record.watch is not None:
        return record
    if record.origin != "change" or record.skip_gates or policy.mode == "observe":
        return record
    until = now + watch.lasts.seconds
    back = f"version {record.incumbent.digest}" if record.incumbent is not None else "the version before it"
    because = f"watched until {rfc3339(until)}: a broken limit, its history or an alert brings {back} back"
    return noted(replace(record, watch=Watching(now, until)), "Watch", because, now)


def under_watch(attempts: Sequence[Attempt]) -> Attempt | None:
    """The release whose watch is not over; the oldest first, because the watch of an older one ends with the newer."""
    return next((each for each in attempts if each.record.watched and not each.deleting), None)


def _begun_since(attempt: Attempt, attempts: Sequence[Attempt]) -> Attempt | None:
    assert attempt.record.watch is not None
    since = attempt.record.watch.since
    return next((each for each in attempts if each is not attempt and each.record.started >= since), None)


# ------------------------------------------------------------------------------------------------ the way back


def link(app: AppKey, attempts: Sequence[Attempt], now: float) -> Reading[TickResult | None]:
    """Creates the release that a watch has asked for, and marks that it is there; None where nothing is asked for."""
    for attempt in attempts:
        record = attempt.record
        watch = record.watch
        if watch is None or not watch.back or watch.asked or attempt.deleting:
            continue
        there = any(each.name == watch.back for each in attempts)
        if not there and _begun_since(attempt, attempts) is None:
            answer = yield own_release(
                app,
                watch.back,
                rollbackOf=attempt.name,
                reason=f"{record.turned} in the watch after release {attempt.name}",
            )
            if isinstance(answer, Failure) and answer.kind is not FailureKind.EXISTS:
                return TickResult(app, attempt.name, record, failure=answer, again_in=answer.retry_after)
        marked = replace(record, watch=replace(watch, asked=True))
        answer = yield from write_record(app, attempt, marked, now)
        if isinstance(answer, Failure):
            return TickResult(app, attempt.name, record, failure=answer, again_in=SOON)
        note = f"release {watch.back} brings the version before {attempt.name} back"
        return TickResult(app, attempt.name, marked, wrote=1 if there else 2, again_in=SOON, note=note)
    return None


def policy_of_the_way_back(attempt: Attempt, attempts: Sequence[Attempt]) -> ReleasePolicy | None:
    """By which policy a way back goes where the app's own is gone: the one that the release before it has pinned."""
    of = attempt.spec.rollback_of
    taken = next((each for each in attempts if of is not None and each.name == of), None)
    return kept_policy(taken.record) if taken is not None else None


def back_name(app: AppKey, attempt: Attempt) -> str:
    """The name of the release that brings the version before this one back: always the same."""
    return release_name(app.policy, "back", attempt.uid[:8])


# ------------------------------------------------------------------------------------------------------ a look


def watch_release(
    app: AppKey,
    attempts: Sequence[Attempt],
    current: ReleasePolicy | None,
    settings: Settings,
    now: float,
    posts: Sequence[Post] = (),
) -> Reading[TickResult | None]:
    """One look at an app that nothing moves; None where there is no watch."""
    attempt = under_watch(attempts)
    if attempt is None or attempt.record.watch is None or attempt.record.watch.over:
        return None
    record, watch = attempt.record, attempt.record.watch
    if (later := _begun_since(attempt, attempts)) is not None:
        return (yield from _written(app, attempt, over(record, f"release {later.name} has begun", now), now))
    if now > watch.until + LATE:
        missed = f"nobody looked after {rfc3339(record.written)}" if record.written < watch.until - LATE else "it ended"
        return (yield from _written(app, attempt, over(record, missed, now), now))
    policy = effective_policy(record, current)
    source = settings.sources.get(policy.spec.metrics.source, Source())
    course = Accompanied(policy.spec)
    found = yield from look(app, course, record, fresh=False)
    if isinstance(found, Failure):
        return TickResult(app, attempt.name, record, failure=found)
    cast = course.cast(record, found.slots, found.replica_sets, found.pods.items)
    seen = observation(attempt, found, cast, now)
    if changed := _changed_hands(record, seen):
        return (yield from _written(app, attempt, over(record, changed, now), now))
    gates = yield from ask_watch(app, record, seen, policy, source, learns=settings.learns)
    level = yield from ask_level(policy.spec.alerts or (), posts, now)
    after, danger = judged(record, seen, gates, level, policy.spec, watch.since + source.patience)
    if danger is None:
        if now >= watch.until:
            after = over(after, "nothing was found", now)
        if not _says_more(record, after):
            return TickResult(app, attempt.name, after)
        return (yield from _written(app, attempt, after, now))
    return (yield from _turn_back(app, attempt, course, after, danger, now))


def _turn_back(
    app: AppKey, attempt: Attempt, course: Accompanied, after: Record, danger: Danger, now: float
) -> Reading[TickResult]:
    """The record says first that, why and by which release the version before it comes back."""
    again = yield from look(app, course, attempt.record, fresh=True)
    if isinstance(again, Failure):
        return TickResult(app, attempt.name, attempt.record, failure=again, again_in=again.retry_after)
    cast = course.cast(attempt.record, again.slots, again.replica_sets, again.pods.items)
    if changed := _changed_hands(attempt.record, observation(attempt, again, cast, now)):
        return (yield from _written(app, attempt, over(attempt.record, changed, now), now))
    others = (yield from ask_others(app, now)) if danger.cause is Cause.ALERT else ()
    because = f"in the watch after 100 %: {danger.because}"
    if others:
        because = f"{because}; released beside it: {', '.join(others)}"
    return (yield from _written(app, attempt, turned(after, danger.cause, because, back_name(app, attempt), now), now))


def turned(record: Record, cause: Cause, because: str, back: str, now: float) -> Record:
    """The record of a release whose watch brings the version before it back."""
    assert record.watch is not None
    told_by = f"{because}; release {back} brings the version before it back"
    after = replace(record, turned=cause, watch=replace(record.watch, over=because[:512], back=back))
    return noted(after, "RollBack", told_by, now)


def over(record: Record, because: str, now: float) -> Record:
    """The record of a release whose watch has ended, and nothing follows."""
    assert record.watch is not None
    return noted(replace(record, watch=replace(record.watch, over=because)), "WatchOver", because, now)


def _written(app: AppKey, attempt: Attempt, after: Record, now: float) -> Reading[TickResult]:
    """Compare-and-swap on the record that this look started from."""
    latest = yield from reread(app, attempt)
    if isinstance(latest, TickResult):
        return latest
    if latest.record.sequence != attempt.record.sequence:
        return TickResult(app, attempt.name, latest.record, again_in=SOON)
    return (yield from carry_out(app, latest, attempt.record, after, Plan(), now))


def _says_more(before: Record, after: Record) -> bool:
    """Whether a look found anything but newer numbers in the same verdicts."""

    def said(record: Record) -> tuple[object, ...]:
        verdicts = tuple((each.gate, each.verdict, each.required) for each in record.verdicts)
        return record.watch, record.forecasts, record.alerts, len(record.decisions), verdicts

    return said(before) != said(after)


# --------------------------------------------------------------------------------------------------- judging


def judged(
    record: Record, seen: Observation, gates: Told, level: Level, policy: ReleasePolicySpec, first_sample_by: float
) -> tuple[Record, Danger | None]:
    """The record as a look leaves it, and why the old version has to come back, if it has to."""
    now = seen.now
    after = with_forecasts(replace(record, verdicts=gates.verdicts or record.verdicts), gates.forecasts)
    after = noted_alerts(after, level, policy, now)
    if gates.lacking and not any(each.kind == "WatchOutlook" for each in after.decisions):
        names = ", ".join(gates.lacking)
        after = noted(after, "WatchOutlook", f"no harm is seen by {names}: no limit, and no learned history", now)
    alarms = [each for each in firing.counting(level.active, after, now) if each.then == "rollBack"]
    if alarms:
        after = firing.remembered(after, alarms, "charged", now)
        return after, Danger(Cause.ALERT, firing.described(alarms, now))
    pausing = [each for each in firing.counting(level.active, after, now) if not firing.is_known(after, each, "idle")]
    if pausing:
        after = firing.remembered(after, pausing, "idle", now)
        after = noted(after, "Alert", f"{firing.described(pausing, now)}; nothing is left to pause", now)
    if (pod := looping(seen)) is not None:
        return after, Danger(Cause.CRASH_LOOP, f"pod {pod.name} restarted {pod.restarts} times{told(pod)}")
    worse = [each for each in gates.verdicts if each.required and each.verdict is Verdict.DEGRADED]
    if worse:
        because = "; ".join(f"gate {each.gate}: {each.because}" for each in worse)
        if policy.on_degraded == "rollBack":
            return after, Danger(Cause.GATE, because)
        return _told_once(after, "WatchDegraded", f"{because}; `onDegraded: pause` moves nothing", now), None
    return _blind(after, seen, gates, level, policy, first_sample_by)


def _blind(
    record: Record, seen: Observation, gates: Told, level: Level, policy: ReleasePolicySpec, first_sample_by: float
) -> tuple[Record, Danger | None]:
    """Who cannot see does not bring anything back, unless the policy says so; people are told."""
    watch, now = record.watch, seen.now
    assert watch is not None and policy.watch is not None
    dark = [f"gate {each.gate}: {each.because}" for each in gates.verdicts if each.required and _sees_nothing(each)]
    dark += [level.unheard] if level.unheard else []
    if not dark or now < first_sample_by:
        if watch.blind_since is None or dark:
            return record, None
        return noted(replace(record, watch=replace(watch, blind_since=None)), "WatchSees", "it sees again", now), None
    since = watch.blind_since if watch.blind_since is not None else now
    record = replace(record, watch=replace(watch, blind_since=since))
    patience = policy.on_blind.hold
    if now - since < patience.seconds:
        return record, None
    because = f"no usable data for {patience}: {'; '.join(dark)}"
    if policy.watch.on_blind == "rollBack":
        return record, Danger(Cause.BLIND, because)
    return _told_once(record, "WatchBlind", f"{because}; nothing is moved for it", now), None


def _sees_nothing(verdict: Any) -> bool:
    return verdict.verdict is Verdict.BLIND or verdict.observed <= 0.0


def _told_once(record: Record, kind: str, because: str, now: float) -> Record:
    """The record with a line of the log, unless the last line of the watch says the same."""
    last = next((each for each in reversed(record.decisions) if each.kind.startswith("Watch")), None)
    return record if last is not None and last.kind == kind else noted(record, kind, because, now)


def _changed_hands(record: Record, seen: Observation) -> str:
    """Why what serves is not this release's any more, or ""."""
    live, was = seen.contender, record.contender
    if live is None or live.deleting or was is None:
        return "its Deployment is gone"
    if live.digest != was.digest:
        return f"{live.name} holds version {live.digest} by now"
    if seen.contender is not None and live.replicas == 0:
        return f"{live.name} was scaled to 0"
    return ""
