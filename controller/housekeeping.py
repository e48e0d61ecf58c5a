"""What an app without a release under way still needs: claims released, lost records restored, history kept short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from controller.accompanied import Accompanied
from controller.attempt import SOON, Attempt, Reading, TickResult, look, observation, write_request
from controller.notices import open_notices
from controller.own_releases import own_release, release_name
from controller.pinned import kept_policy
from controller.quarantine import MOST_KEPT, quarantines
from controller.release.names import AppKey
from controller.release.observation import Claim, SlotState
from controller.release.record import Record
from controller.release.vocabulary import ENDS, FORWARD, Phase
from controller.requests.failure import Failure, FailureKind
from controller.requests.looks import ReadObject, ReadRelease, ReadSlot
from controller.requests.writes import DeleteRelease
from controller.slots import slot_state
from policies.schema import ReleasePolicy

MOVED = FORWARD | {Phase.ROLLING_BACK}  # phases in which a claim stands for pods that were moved


def tidy(
    app: AppKey, policy: ReleasePolicy | None, attempts: Sequence[Attempt], now: float
) -> Reading[TickResult | None]:
    """At most one thing per tick; None when there was nothing to do."""
    known = policy if policy is not None else pinned_last(attempts)
    if known is None:
        return None
    course = Accompanied(known.spec)
    ended = {each.uid: each for each in attempts if each.record.phase in ENDS}
    slots: list[SlotState] = []
    for name in course.slot_names:
        answer = yield ReadSlot(app.namespace, name)
        if isinstance(answer, Failure) and answer.kind is not FailureKind.ABSENT:
            return TickResult(app, failure=answer)  # the next release would be refused for a claim that is still there
        if isinstance(answer, Mapping):
            slots.append(slot_state(answer))
    for slot in slots:
        if slot.claim is None or slot.deleting:
            continue
        owner = ended.get(slot.claim.uid)
        if owner is not None and not _forgot(owner, slot.claim):
            # A release that needs a person keeps its claims: they say who moved what until somebody restores. So does
            # a restore that was given up, because it has taken them over.
            given_up = owner.record.phase is Phase.CANCELLED and owner.spec.restore_of is not None
            if (given_up or owner.record.phase is Phase.NEEDS_HUMAN) and not _restored_since(owner, attempts):
                continue
            return (yield from _release_claims(app, owner, slot.claim.uid, course, [one.name for one in slots]))
        if policy is not None and (lost := (yield from _lost_record(app, slot, attempts))) is not None:
            return lost
    claimed = frozenset(slot.claim.uid for slot in slots if slot.claim is not None)
    return (yield from _shorten_history(app, known, attempts, claimed, now))


def _forgot(owner: Attempt, claim: Claim) -> bool:
    """Whether a release that ended before its start had moved pods: somebody wiped its record in mid-release."""
    return owner.record.phase is Phase.CANCELLED and claim.phase in MOVED


def pinned_last(attempts: Sequence[Attempt]) -> ReleasePolicy | None:
    """The policy that the last release began under: where the policy itself is gone, its claims still have to go."""
    kept = (kept_policy(each.record) for each in reversed(attempts))
    return next((policy for policy in kept if policy is not None), None)


def _release_claims(
    app: AppKey, owner: Attempt, uid: str, course: Accompanied, names: Sequence[str]
) -> Reading[TickResult]:
    """Takes the claims of an ended release away; the slots are read anew, because no write rests on the cache."""
    slots: list[SlotState] = []
    for name in names:
        answer = yield ReadSlot(app.namespace, name, fresh=True)
        if isinstance(answer, Mapping):
            slots.append(slot_state(answer))
    wrote = 0
    for write in course.release_claims(uid, tuple(slots)).writes:
        done = yield write_request(app.namespace, write)
        if isinstance(done, Failure):
            return TickResult(app, owner.name, owner.record, wrote=wrote, failure=done, again_in=done.retry_after)
        wrote += 1
    return TickResult(app, owner.name, owner.record, wrote=wrote, again_in=SOON)


def _restored_since(owner: Attempt, attempts: Sequence[Attempt]) -> bool:
    return any(each.spec.restore_of == owner.name and each.record.phase is Phase.ROLLED_BACK for each in attempts)


def _lost_record(app: AppKey, slot: SlotState, attempts: Sequence[Attempt]) -> Reading[TickResult | None]:
    """A claim whose Release is gone: somebody deleted the record in mid-release. The claim itself knows the way back.

    The app keeps serving from both slots meanwhile; a linked release brings the incumbent back to its full size.
    """
    claim = slot.claim
    if claim is None or any(each.uid == claim.uid and not _forgot(each, claim) for each in attempts):
        return None
    name = release_name(app.policy, "restore", claim.uid[:8])
    if any(each.name == name for each in attempts):
        return None  # it was asked for once and ended; the next word is a person's
    answer = yield ReadRelease(app.namespace, claim.release)
    gone = isinstance(answer, Failure) and answer.kind is FailureKind.ABSENT
    other = isinstance(answer, Mapping) and (answer.get("metadata") or {}).get("uid") != claim.uid
    if not gone and not other and not any(each.uid == claim.uid for each in attempts):
        return None
    created = yield own_release(app, name, restoreOf=claim.release, reason="its record was lost")
    if isinstance(created, Failure):
        return TickResult(app, failure=created) if created.kind is not FailureKind.EXISTS else None
    return TickResult(app, name, wrote=1, again_in=SOON, note=f"record of {claim.release} was lost; restoring")


def _collect(app: AppKey, oldest: Attempt, course: Accompanied, now: float) -> Reading[TickResult | None]:
    """What a release has left behind goes before its record does: nothing else knows of it afterwards."""
    refs = course.left(oldest.record)
    if not refs:
        return None
    seen = yield from look(app, course, oldest.record, fresh=True)
    if isinstance(seen, Failure):
        return TickResult(app, oldest.name, failure=seen)
    objects = dict(seen.objects)
    for ref in refs:
        answer = yield ReadObject(app.namespace, ref, True)
        if isinstance(answer, Failure) and answer.kind is not FailureKind.ABSENT:
            return TickResult(app, oldest.name, failure=answer)
        objects[ref] = answer if isinstance(answer, Mapping) else None
    cast = course.cast(Record(), seen.slots, seen.replica_sets, seen.pods.items)
    write = course.collect(oldest.record, replace(observation(oldest, seen, cast, now), objects=objects))
    if write is None:
        return None
    answer = yield write_request(app.namespace, write)
    failed = answer if isinstance(answer, Failure) and answer.kind is not FailureKind.ABSENT else None
    return TickResult(app, oldest.name, wrote=failed is None, failure=failed, again_in=SOON if failed is None else None)


def _shorten_history(
    app: AppKey, policy: ReleasePolicy, attempts: Sequence[Attempt], claimed: frozenset[str], now: float
) -> Reading[TickResult | None]:
    """Deletes the oldest finished release beyond the limit; one that still has its claims (uids) is not finished with.

    Without its record its claims would look like those of a release that somebody deleted, and be restored unasked.
    The newest of those that keep a version in quarantine stay: nothing else remembers it.
    """
    finished = [
        each
        for each in attempts
        if each.record.phase in ENDS
        and not each.deleting
        and each.uid not in claimed
        and not any(open_notices(each.record))  # people have not been told yet
    ]
    kept = [each.uid for each in finished if quarantines(each)][-MOST_KEPT:]
    oldest = next((each for each in finished[: -policy.spec.history_limit] if each.uid not in kept), None)
    if oldest is None:
        return None
    if (tidied := (yield from _collect(app, oldest, Accompanied(policy.spec), now))) is not None:
        return tidied
    answer = yield DeleteRelease(app.namespace, oldest.name, oldest.uid)
    failed = answer if isinstance(answer, Failure) else None
    return TickResult(app, oldest.name, failure=failed, wrote=failed is None, again_in=SOON if failed is None else None)
