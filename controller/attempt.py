"""One Release object as a tick works on it, and the requests that every part of a tick shares."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from controller.accompanied import Accompanied
from controller.notices import GIVEN_UP, new_entries, queued
from controller.record import RecordInvalid, RecordTooNew, read_record, to_status
from controller.release.names import SLOT_LABEL, AppKey, Key, Ref
from controller.release.observation import Observation, PodList, ReplicaSetState, SlotState, Wishes
from controller.release.plan import CreateObject, CreateSlot, DeleteObject, ObjectWrite, PatchObject, Plan, SlotWrite
from controller.release.record import Entry, Record
from controller.requests import Answer, Request
from controller.requests.failure import Failure, FailureKind
from controller.requests.looks import ReadObject, ReadPods, ReadRelease, ReadReplicaSets, ReadSlot, ReplicaSetList
from controller.requests.writes import WriteEvent, WriteObject, WriteRecord, WriteSlot
from controller.slots import match_labels, not_older, slot_state
from controller.strategies import Cast
from policies.kept import kept
from policies.load import PolicyRefused, authored, release_from_object
from policies.notify import NotifyRoute
from policies.schema import ReleaseSpec

T = TypeVar("T")
Reading = Generator[Request, Answer, T]
Step = Generator[Request, Answer, None]

SOON = 1.0  # seconds until the next tick after one that moved something


@dataclass(frozen=True, slots=True)
class TickResult:
    """What a tick came to. `again_in`: seconds until it should run again, None for the ordinary interval."""

    app: Key
    release: str = ""
    record: Record | None = None
    turned: bool = False  # phase, batch or hold changed
    wrote: int = 0
    again_in: float | None = None
    failure: Failure | None = None
    note: str = ""
    entries: tuple[Entry, ...] = ()  # what was decided in this tick, for the log


@dataclass(frozen=True, slots=True)
class Attempt:
    """A Release object, read. `problem` is set where its record or its spec cannot be what anybody meant.

    tells: who is told what happens to it.
    """

    app: AppKey
    name: str
    uid: str
    resource_version: str
    generation: int
    created: str
    deleting: bool
    spec: ReleaseSpec
    refused: str  # why the spec is not acceptable, or ""
    record: Record
    status: Mapping[str, Any]
    problem: str
    tells: tuple[NotifyRoute, ...] = ()

    @property
    def asked(self) -> str:
        """Digest of the version that the release asks for, without the verbs beside it."""
        return _version(self.spec)

    @property
    def wishes(self) -> Wishes:
        if self.refused:
            return Wishes(unclear=self.refused)
        changed = self.record.asked not in ("", self.asked)
        return Wishes(
            unclear="the version it asks for is not the one it began with; set it back, or ask for a new release"
            if changed
            else "",
            paused=self.spec.paused,
            promote=self.spec.promote.batch if self.spec.promote is not None else None,
            abort=self.spec.abort.reason if self.spec.abort is not None else None,
        )


@kept
def _version(spec: ReleaseSpec) -> str:
    # A digest that is on record must not change with the program: what came later counts where it is said.
    version = spec.model_dump(mode="json", include={"images", "template", "env", "rollback_of", "restore_of"})
    version |= spec.model_dump(mode="json", include={"config", "home", "adopt"}, exclude_defaults=True)
    return hashlib.sha256(json.dumps(version, sort_keys=True).encode()).hexdigest()[:12]


_NOTHING = ReleaseSpec.model_construct(policy="", images={}, env={}, paused=False)


def parsed(obj: Mapping[str, Any]) -> Attempt:
    """Read a Release object. Raises RecordTooNew for a record that a newer controller wrote."""
    metadata = obj.get("metadata") or {}
    status = obj.get("status") or {}
    problem, record = "", Record()
    try:
        record = read_record(status)
    except RecordInvalid as error:
        problem = str(error)
    spec, refused = _asked(msgspec.json.encode(authored(obj)))
    return Attempt(
        app=AppKey(str(metadata.get("namespace", "")), str((obj.get("spec") or {}).get("policy", ""))),
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        resource_version=str(metadata.get("resourceVersion", "")),
        generation=int(metadata.get("generation") or 0),
        created=str(metadata.get("creationTimestamp", "")),
        deleting="deletionTimestamp" in metadata,
        spec=spec,
        refused=refused,
        record=record,
        status=status,
        problem=problem,
    )


@lru_cache(maxsize=1024)
def _asked(text: bytes) -> tuple[ReleaseSpec, str]:
    """What a release asks for and "", or nothing and why it is refused; most ticks find the text of the tick before."""
    try:
        return release_from_object(msgspec.json.decode(text)).spec, ""
    except PolicyRefused as error:
        return _NOTHING, "; ".join(str(each) for each in error.errors)[:1024]


def seconds(timestamp: str) -> float:
    """Epoch seconds of an API server's time stamp; 0 for an empty one."""
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp() if timestamp else 0.0


# ------------------------------------------------------------------------------------------------------ reading


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look saw: slots and objects by name (None where absent), the ReplicaSets and pods of the app."""

    slots: Mapping[str, SlotState | None]
    pods: PodList
    replica_sets: tuple[ReplicaSetState, ...] = ()
    objects: Mapping[Ref, Mapping[str, Any] | None] = field(default_factory=dict)


def look(app: AppKey, course: Accompanied, record: Record, *, fresh: bool) -> Reading[Seen | Failure]:
    """Read objects, slots, ReplicaSets, then pods. A read that failed, or is older than another, fails the look."""
    objects: dict[Ref, Mapping[str, Any] | None] = {}
    for ref in course.reads(record):
        answer = yield ReadObject(app.namespace, ref, fresh)
        if isinstance(answer, Failure):
            if answer.kind not in (FailureKind.ABSENT, FailureKind.NO_KIND):
                return answer
            objects[ref] = None
        elif isinstance(answer, Mapping):
            objects[ref] = answer
    slots: dict[str, SlotState | None] = {}
    for name in course.slot_names:
        answer = yield ReadSlot(app.namespace, name, fresh)
        if isinstance(answer, Failure):
            if answer.kind is not FailureKind.ABSENT:
                return answer
            slots[name] = None
        elif isinstance(answer, Mapping):
            slots[name] = slot_state(answer)
    there = [slot for slot in slots.values() if slot is not None]
    labels = _common_labels(there)
    if labels is None:
        return Seen(slots, PodList(()), (), objects)
    sets = ReplicaSetList(())
    if course.reads_replica_sets:
        answer = yield ReadReplicaSets(app.namespace, labels, fresh)
        if isinstance(answer, Failure):
            return answer
        assert isinstance(answer, ReplicaSetList)
        sets = answer
    pods = yield ReadPods(app.namespace, labels, fresh)
    if isinstance(pods, Failure):
        return pods
    assert isinstance(pods, PodList)
    for listed in (pods, sets) if course.reads_replica_sets else (pods,):
        if fresh and not all(not_older(listed.resource_version, slot.resource_version) for slot in there):
            what = "pods" if listed is pods else "ReplicaSets"
            return Failure(FailureKind.STALE, f"the list of {what} is older than their Deployment: read again")
    return Seen(slots, pods, sets.items, objects)


def _common_labels(slots: Sequence[SlotState]) -> tuple[tuple[str, str], ...] | None:
    """The selector that finds the pods of both slots: the app's own, without our slot label."""
    if not slots:
        return None
    return tuple(pair for pair in match_labels(slots[0].raw) if pair[0] != SLOT_LABEL)


def observation(attempt: Attempt, seen: Seen, cast: Cast, now: float, *, newer: str = "") -> Observation:
    """What was seen, with its roles."""
    return Observation(
        app=attempt.app,
        release=attempt.name,
        uid=attempt.uid,
        now=now,
        incumbent=cast.incumbent,
        contender=cast.contender,
        incumbents=cast.incumbents,
        contenders=cast.contenders,
        replica_sets=seen.replica_sets,
        objects=seen.objects,
        wishes=attempt.wishes,
        superseded_by=newer,
    )


def reread(app: AppKey, attempt: Attempt) -> Reading[Attempt | TickResult]:
    """The same Release by a quorum read, right before it is written; a result where the tick ends with it."""
    answer = yield ReadRelease(app.namespace, attempt.name)
    if isinstance(answer, Failure):
        return TickResult(app, attempt.name, attempt.record, failure=answer, again_in=answer.retry_after)
    if not isinstance(answer, dict):
        return TickResult(app, attempt.name, attempt.record)
    try:
        latest = replace(parsed(answer), tells=attempt.tells)
    except RecordTooNew as error:
        return TickResult(app, attempt.name, attempt.record, note=str(error))
    if latest.problem or latest.uid != attempt.uid:
        return TickResult(app, attempt.name, latest.record, again_in=SOON)
    return latest


# ------------------------------------------------------------------------------------------------------ writing


def write_record(app: AppKey, attempt: Attempt, after: Record, now: float, intent: str = "") -> Reading[Answer]:
    """Write the record by compare-and-swap: whoever wrote in between wins, and this tick ends."""
    stamped = replace(
        after, sequence=after.sequence + 1, intent=intent, verdicts_at=now, written=now, latest=max(after.latest, now)
    )
    status = to_status(stamped, generation=attempt.generation, policy_name=app.policy)
    answer = yield WriteRecord(app.namespace, attempt.name, attempt.resource_version, status)
    return answer


def write_marks(app: AppKey, attempt: Attempt, after: Record) -> Reading[Answer]:
    """Write what says nothing new of the release: its numbers, its intent and its deadlines stay as old as they are."""
    status = to_status(
        replace(after, sequence=after.sequence + 1), generation=attempt.generation, policy_name=app.policy
    )
    answer = yield WriteRecord(app.namespace, attempt.name, attempt.resource_version, status)
    return answer


def carry_out(
    app: AppKey, attempt: Attempt, before: Record, after: Record, plan: Plan, now: float
) -> Reading[TickResult]:
    """Record, slots and objects, events, in this order; a failure ends the tick and the next one looks again."""
    after = queued(before, after, attempt.uid, attempt.tells)
    answer = yield from write_record(app, attempt, after, now, plan.summary)
    if isinstance(answer, Failure):
        return TickResult(app, attempt.name, before, failure=answer, again_in=_retry(answer))
    entries = new_entries(before, after)
    wrote, failure = 1, None
    for write in plan.writes:
        answer = yield write_request(app.namespace, write)
        if isinstance(answer, Failure) and not _done_already(write, answer):
            failure = answer
            break
        wrote += 1
    yield from tell_events(app, attempt, after, entries, failure, now)
    return TickResult(
        app,
        attempt.name,
        after,
        turned=bool(entries),
        wrote=wrote,
        failure=failure,
        again_in=_retry(failure) if failure is not None else SOON,
        entries=entries,
    )


def write_request(namespace: str, write: SlotWrite | ObjectWrite) -> WriteSlot | WriteObject:
    """The request that performs a write of a plan."""
    if isinstance(write, CreateObject | PatchObject | DeleteObject):
        return WriteObject(namespace, write)
    return WriteSlot(namespace, write)


def _done_already(write: SlotWrite | ObjectWrite, failure: Failure) -> bool:
    """Whether a write failed because what it wants is there: the next tick looks at it."""
    if isinstance(write, CreateSlot | CreateObject):
        return failure.kind is FailureKind.EXISTS
    return isinstance(write, DeleteObject) and failure.kind is FailureKind.ABSENT


def _retry(failure: Failure) -> float | None:
    """A lost race is looked at again at once; what needs time or a person waits for the ordinary interval."""
    return SOON if failure.kind in (FailureKind.CONFLICT, FailureKind.STALE) else failure.retry_after


_WARNINGS = (
    "RollBack",
    "RolledBack",
    "NeedsHuman",
    "Cancelled",
    "HoldBlind",
    "HoldDegraded",
    "HoldUndecided",
    "HoldShared",
    "HoldAlert",
    GIVEN_UP,
)


def tell_events(
    app: AppKey, attempt: Attempt, after: Record, entries: Sequence[Entry], failure: Failure | None, now: float
) -> Step:
    """An Event for each entry, and for a write that was refused."""
    told = [(entry.kind, entry.because) for entry in entries]
    if failure is not None and failure.kind in (FailureKind.FORBIDDEN, FailureKind.INVALID):
        told.append(("WriteRefused", f"{after.intent or 'a write'}: {failure.message}"))
    for n, (kind, because) in enumerate(told):
        yield WriteEvent(
            namespace=app.namespace,
            name=f"{attempt.name}.{after.sequence + 1:x}.{n}",
            release=attempt.name,
            release_uid=attempt.uid,
            kind="Warning" if kind in _WARNINGS or kind == "WriteRefused" else "Normal",
            reason=kind,
            message=because[:1000],
            at=now,
        )
