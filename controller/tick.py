"""One tick of one app, sans-I/O: a generator that yields requests and is sent answers.

    look     read slots, pods and record from the watch cache; ask the gates; decide
    leap     if anything is to be written: read slots, then pods, then the record anew with a quorum, decide again
    write    the record first (compare-and-swap), then fencing stamps, then at most one change of capacity
    tell     what people are to be told is handed to the notifiers, whatever the step came to

Rules. The actuated objects are read before the record, so that a record which is still current when it is written was
current for everything that was read. Two looks must agree on the turn they take: one stale answer changes nothing. A
failure of any read ends the tick without a write. Killed after any request, the next tick goes on from what it sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import msgspec

from controller import notices
from controller.attempt import Attempt, Reading, Step, TickResult, parsed
from controller.begin import begin, wait_behind
from controller.drive import drive
from controller.housekeeping import pinned_last, tidy
from controller.inbox import Told as Post
from controller.inbox import read_inbox
from controller.quarantine import resembles
from controller.record import RecordTooNew, invalid_ending, to_status
from controller.release.names import AppKey
from controller.release.record import Record
from controller.release.vocabulary import Phase
from controller.requests import Answer, objects_in
from controller.requests.failure import Failure, FailureKind
from controller.requests.looks import ReadPolicy, ReadReleases
from controller.requests.writes import WritePolicyStatus, WriteRecord
from controller.settings import Settings
from controller.telling import routes, tell_people
from controller.trigger import watch_template
from controller.watch import link, policy_of_the_way_back, watch_release
from policies.load import PolicyRefused, authored, from_object
from policies.schema import ReleasePolicy


def tick(app: AppKey, now: float, settings: Settings) -> Reading[TickResult]:
    """Advance one app by one step. `now`: seconds since the epoch, the only time this tick knows."""
    attempts: list[Attempt] = []
    result = yield from _step(app, now, settings, attempts)
    return (yield from tell_people(app, attempts, result, now))


def _step(app: AppKey, now: float, settings: Settings, attempts: list[Attempt]) -> Reading[TickResult]:
    """The step itself; `attempts` receives the app's releases once all of them could be read."""
    policy_object = yield ReadPolicy(app.namespace, app.policy)
    objects = yield ReadReleases(app.namespace, app.policy)
    for answer in (policy_object, objects):
        if isinstance(answer, Failure) and answer.kind is not FailureKind.ABSENT:
            return TickResult(app, failure=answer)
    policy, complaint = _policy(policy_object)
    yield from _tell_policy(app, policy_object, complaint)

    found: list[Attempt] = []
    for obj in objects_in(objects):
        try:
            attempt = parsed(obj)
            attempt = replace(attempt, tells=routes(policy, attempt.record))
        except RecordTooNew as error:
            return TickResult(app, note=str(error))
        if attempt.problem:
            return (yield from _end_invalid(app, attempt, now))
        found.append(attempt)
    attempts += sorted(found, key=lambda each: (each.created, each.name))

    active = next((each for each in attempts if each.record.phase in _MOVING), None)
    queued = [each for each in attempts if each.record.phase is Phase.QUEUED]
    if active is None and (tidied := (yield from tidy(app, policy, attempts, now))) is not None:
        return tidied
    if active is None and (linked := (yield from link(app, attempts, now))) is not None:
        return linked
    posts = read_inbox(policy_object)
    if active is None and not queued:
        return (yield from _idle(app, policy, attempts, settings, now, posts)) or TickResult(app)
    unwanted = [each for each in queued if (each.refused or each.spec.abort is not None) and not each.deleting]
    behind: list[Attempt] = []
    while (active is not None or len(queued) > 1) and queued and resembles(queued[-1], attempts):
        # It may be refused for its quarantine: until nothing else is asked for it turns nothing back.
        behind.append(queued.pop())
    # A restore goes first, then a way back, for which no change has to give up its place in the night; else the newest
    # wish wins. The wishes that one of their kind replaces are told so by `begin`.
    restores = [each for each in queued if each.spec.restore_of is not None]
    backs = [each for each in queued if each.spec.rollback_of is not None]
    changes = [each for each in queued if each.spec.restore_of is None and each.spec.rollback_of is None]
    chosen = active or [*changes[-1:], *backs[-1:], *restores[:1]][-1]
    if chosen.deleting:
        return TickResult(app, chosen.name, chosen.record, note="the release is being deleted; nothing is moved")
    # What nobody may want any more, or could ever do, ends at once, and turns nothing else back.
    if unwanted:
        return (yield from begin(app, unwanted[0], policy, complaint, attempts, "", settings, now))
    rivals = backs if chosen.spec.rollback_of is not None else queued
    newer = [each.name for each in rivals if each.created >= chosen.created and each is not chosen]
    newer_name = newer[-1] if newer else ""
    for kind in (changes, backs):
        if kind[:-1] and kind[0] is not chosen:
            return (yield from begin(app, kind[0], policy, complaint, attempts, kind[-1].name, settings, now))
    known = policy if policy is not None else policy_of_the_way_back(chosen, attempts)
    if chosen.record.phase in (Phase.QUEUED, Phase.PREFLIGHT):
        begun = yield from begin(app, chosen, known, complaint, attempts, newer_name, settings, now)
        if active is None and policy is not None and _waits(begun):
            told = yield from wait_behind(app, behind, policy, attempts, begun, settings, now)
            # It may wait for its hours all day: meanwhile the app is like one without a release.
            return told or (yield from _idle(app, policy, attempts, settings, now, posts)) or begun
        return begun
    return (yield from drive(app, chosen, known, complaint, newer_name, settings, now, posts))


def _idle(
    app: AppKey,
    policy: ReleasePolicy | None,
    attempts: Sequence[Attempt],
    settings: Settings,
    now: float,
    posts: Sequence[Post],
) -> Reading[TickResult | None]:
    """What is done while nothing moves: the watch of the last release goes on, and a template may start the next."""
    watched = yield from watch_release(app, attempts, policy, settings, now, posts)
    if watched is not None and (watched.wrote or watched.failure is not None):
        return watched
    known = policy if policy is not None else pinned_last(attempts)
    return (yield from watch_template(app, policy, known, attempts)) or watched


_MOVING = frozenset({Phase.PREFLIGHT, Phase.CANARY, Phase.BATCH, Phase.ROLLING_BACK})


def _waits(begun: TickResult) -> bool:
    """Whether a release was left in the queue by a tick that had nothing to write."""
    waits = begun.record is not None and begun.record.phase is Phase.QUEUED
    return waits and not begun.wrote and begun.failure is None


def _policy(answer: Answer) -> tuple[ReleasePolicy | None, str]:
    """(the policy, ""), (None, why it is refused) or (None, "") where there is none."""
    if not isinstance(answer, Mapping):
        return None, ""
    return _judged(msgspec.json.encode(authored(answer)))


@lru_cache(maxsize=1024)
def _judged(text: bytes) -> tuple[ReleasePolicy | None, str]:
    """What a policy's text means; most ticks find the text of the tick before."""
    try:
        return from_object(msgspec.json.decode(text)), ""
    except PolicyRefused as error:
        return None, "; ".join(str(problem) for problem in error.errors)[:1024]


def _tell_policy(app: AppKey, obj: Answer, complaint: str) -> Step:
    """Write the policy's own status when it says something else about this generation."""
    if not isinstance(obj, Mapping):
        return
    metadata = obj.get("metadata") or {}
    generation = int(metadata.get("generation") or 0)
    status = obj.get("status") or {}
    ready: Mapping[str, Any] = next((c for c in status.get("conditions") or () if c.get("type") == "Ready"), {})
    wanted = "False" if complaint else "True"
    if status.get("observedGeneration") == generation and ready.get("status") == wanted:
        return
    message = complaint or "the policy is valid"
    yield WritePolicyStatus(
        app.namespace,
        app.policy,
        str(metadata.get("resourceVersion", "")),
        {
            "observedGeneration": generation,
            "because": message,
            "conditions": [
                {
                    "type": "Ready",
                    "status": wanted,
                    "reason": "Refused" if complaint else "Valid",
                    "message": message,
                    "observedGeneration": generation,
                    "lastTransitionTime": metadata.get("creationTimestamp") or "1970-01-01T00:00:00Z",
                }
            ],
        },
    )


def _end_invalid(app: AppKey, attempt: Attempt, now: float) -> Reading[TickResult]:
    """A record that nobody could have written: stop, touch nothing, ask for a person."""
    ending = invalid_ending(attempt.status, attempt.problem, app, now)
    ending = replace(ending, notices=notices.rescued(attempt.status))
    ending = notices.queued(Record(), ending, attempt.uid, attempt.tells)
    answer = yield WriteRecord(
        app.namespace,
        attempt.name,
        attempt.resource_version,
        {**_cleared(attempt.status), **to_status(ending, generation=attempt.generation, policy_name=app.policy)},
    )
    if isinstance(answer, Failure):
        return TickResult(app, attempt.name, failure=answer)
    return TickResult(app, attempt.name, ending, turned=True, wrote=1)


def _cleared(status: Mapping[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(status)
