"""Performs what a tick asks of the cluster: looks from the watch cache, leaps with a quorum read, writes with a guard.

Two guards stand before what the API server itself refuses. An object older than our own last write to it is not shown:
where the cache has one the read goes to the server instead, and where the server gives one the read has failed. And a
write is refused (`FailureKind.STALE`) when this tick's freshest quorum read is too old: a process that was frozen
between its look and its leap must look again.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from controller.clock import Clock
from controller.cluster.cache import Cache, Kind, names_policy
from controller.cluster.connection import Connection
from controller.cluster.failures import Failed, unavailable
from controller.cluster.lists import Objects, read_list, read_objects
from controller.cluster.own_writes import OwnWrites
from controller.cluster.paths import (
    BASELINES,
    DEPLOYMENTS,
    OBJECTS,
    PODS,
    POLICIES,
    RELEASES,
    REPLICA_SETS,
    SERVICES,
    TRAINS,
    Resource,
)
from controller.cluster.pods import decode_pod
from controller.cluster.writes import Call, call_of, object_call, review_of
from controller.release.names import Kind as ObjectKind
from controller.release.names import Ref
from controller.release.observation import PodList, PodState
from controller.release.plan import DeleteObject
from controller.requests import Answer
from controller.requests.failure import Failure, FailureKind
from controller.requests.looks import (
    Look,
    Neighbours,
    Permission,
    ReadBaseline,
    ReadNeighbours,
    ReadObject,
    ReadPods,
    ReadPolicies,
    ReadPolicy,
    ReadRelease,
    ReadReleases,
    ReadReplicaSets,
    ReadSlot,
    ReadTrain,
    ReadTrains,
    ReplicaSetList,
    ReviewAccess,
)
from controller.requests.writes import (
    CreateRelease,
    DeleteRelease,
    WriteEvent,
    WriteObject,
    WritePolicyStatus,
    WriteRecord,
    WriteSlot,
    WriteTrainStatus,
)
from controller.slots import replica_set_state

Object = dict[str, Any]
Change = WriteSlot | WriteObject | WriteRecord | CreateRelease | WritePolicyStatus | WriteTrainStatus | DeleteRelease
ClusterRequest = Look | Change | WriteEvent

_RESOURCES: Mapping[Kind, Resource] = {
    Kind.POLICY: POLICIES,
    Kind.RELEASE: RELEASES,
    Kind.DEPLOYMENT: DEPLOYMENTS,
    Kind.POD: PODS,
    Kind.BASELINE: BASELINES,
    Kind.TRAIN: TRAINS,
}

_GRACE = 30.0  # seconds by which our own writes are remembered beyond the oldest cache


class _TickTimes(threading.local):
    """Monotonic times of the tick that runs in this thread."""

    began: float | None = None
    read: float | None = None


class Cluster:
    """One shell for all ticks; each tick runs in one thread and opens with `begin_tick`.

    `cache_bound`: seconds after which an unheard cache answers nothing any more. `read_bound`: seconds that a write may
    rest on a quorum read. `tick_bound`: seconds after its beginning in which a tick may write, because its one `now` is
    that old. `deadline`: seconds for one call (three times as long for a list in pages).
    """

    def __init__(
        self,
        connection: Connection,
        cache: Cache,
        clock: Clock,
        *,
        cache_bound: float = 90.0,
        read_bound: float = 10.0,
        tick_bound: float = 60.0,
        deadline: float = 8.0,
    ) -> None:
        self._connection = connection
        self._cache = cache
        self._clock = clock
        self._cache_bound = cache_bound
        self._read_bound = read_bound
        self._tick_bound = tick_bound
        self._deadline = deadline
        self._tick = _TickTimes()
        self._own = OwnWrites(clock, keep=cache_bound + _GRACE)
        self._served: dict[ObjectKind, Resource] = {}  # the version that the server was last seen to have

    def begin_tick(self) -> None:
        """Forgets the reads of this thread's last tick."""
        self._tick.began, self._tick.read = self._clock.monotonic(), None

    def perform(self, request: ClusterRequest) -> Answer:
        """The answer to a request."""
        match request:
            case (
                WriteSlot()
                | WriteObject()
                | WriteRecord()
                | CreateRelease()
                | WritePolicyStatus()
                | WriteTrainStatus()
                | DeleteRelease()
            ):
                return self._change(request)
            case WriteEvent():
                return self._record_event(request)
            case _:
                return self._look(request)

    def _look(self, request: Look) -> Answer:
        match request:
            case ReadPolicy(namespace, name):
                return self._read_policy(namespace, name)
            case ReadReleases(namespace, policy, fresh):
                return self._read_releases(namespace, policy, fresh)
            case ReadRelease(namespace, name):
                return self._fetch(Kind.RELEASE, namespace, name)
            case ReadSlot(namespace, name, fresh):
                return self._read_slot(namespace, name, fresh)
            case ReadReplicaSets(namespace, labels):
                return self._read_replica_sets(namespace, labels)
            case ReadObject(namespace, ref):
                return self._read_object(namespace, ref)
            case ReadPods(namespace, labels, fresh):
                return self._read_pods(namespace, labels, fresh)
            case ReadNeighbours(namespace):
                return self._read_neighbours(namespace)
            case ReadBaseline(namespace, name):
                return self._read_baseline(namespace, name)
            case ReadPolicies(namespace):
                return self._read_copies(Kind.POLICY, namespace)
            case ReadTrains(namespace):
                return self._read_copies(Kind.TRAIN, namespace)
            case ReadTrain(namespace, name):
                return self._fetch(Kind.TRAIN, namespace, name)
            case ReviewAccess(namespace, permissions):
                return self._review_access(namespace, permissions)

    def _change(self, request: Change) -> Answer:
        match request:
            case WriteSlot():
                return self._write(request, Kind.DEPLOYMENT)
            case WriteObject():
                return self._write_object(request)
            case WriteRecord() | CreateRelease():
                return self._write(request, Kind.RELEASE)
            case WritePolicyStatus():
                return self._write(request, Kind.POLICY)
            case WriteTrainStatus():
                return self._write(request, Kind.TRAIN)
            case DeleteRelease():
                return self._delete(request)

    # --------------------------------------------------------------------------------------------- reads

    def _read_policy(self, namespace: str, name: str) -> Answer:
        # Absence of a policy stops a release, so a cache does not get to say it.
        return self._cached(Kind.POLICY, namespace, name) or self._fetch(Kind.POLICY, namespace, name)

    def _read_baseline(self, namespace: str, name: str) -> Answer:
        # What was learned is advice: a copy that lags behind is good enough, and nobody asks the server for it.
        if (trouble := self._cache.trouble(Kind.BASELINE, self._cache_bound)) is not None:
            return trouble
        found = self._cache.read(Kind.BASELINE, namespace, name)
        return found or Failure(FailureKind.ABSENT, f"baseline {namespace}/{name} does not exist")

    def _read_copies(self, kind: Kind, namespace: str) -> Answer:
        return self._cache.trouble(kind, self._cache_bound) or self._cache.read_all(kind, namespace)

    def _read_slot(self, namespace: str, name: str, fresh: bool) -> Answer:
        if fresh or self._must_ask(Kind.DEPLOYMENT, namespace, name):
            return self._fetch(Kind.DEPLOYMENT, namespace, name)
        found = self._cached(Kind.DEPLOYMENT, namespace, name)
        return found or Failure(FailureKind.ABSENT, f"deployment {namespace}/{name} does not exist")

    def _read_releases(self, namespace: str, policy: str, fresh: bool) -> Answer:
        if not fresh:
            if (trouble := self._cache.trouble(Kind.RELEASE, self._cache_bound)) is not None:
                return trouble
            ours = self._own.names(Kind.RELEASE, namespace)
            if not any(self._must_ask(Kind.RELEASE, namespace, name) for name in ours):
                return self._cache.releases_of(namespace, policy)
        listed = self._list(RELEASES.collection(namespace))
        if isinstance(listed, Failure):
            return listed
        if any(self._is_stale(Kind.RELEASE, namespace, one) for one in listed):
            return unavailable(f"list of releases in {namespace}: the answer is older than what we wrote").failure
        there = {(one.get("metadata") or {}).get("name") for one in listed}
        for name in self._own.names(Kind.RELEASE, namespace):
            if name not in there:
                self._own.forget(Kind.RELEASE, namespace, name)
        return [one for one in listed if not policy or names_policy(one, policy)]

    def _cached(self, kind: Kind, namespace: str, name: str) -> Answer:
        """The object from the cache, a Failure where the cache may not be looked at, or None where it has none."""
        if (trouble := self._cache.trouble(kind, self._cache_bound)) is not None:
            return trouble
        if self._must_ask(kind, namespace, name):
            return None
        return self._cache.read(kind, namespace, name)

    def _must_ask(self, kind: Kind, namespace: str, name: str) -> bool:
        """Whether the cache has not seen our own last write of this object yet."""
        return self._own.await_copy(kind, namespace, name, self._cache.version_of(kind, namespace, name))

    def _fetch(self, kind: Kind, namespace: str, name: str) -> Answer:
        """One object by a quorum read."""
        return self._fetch_from(_RESOURCES[kind], kind, namespace, name)

    def _fetch_from(self, resource: Resource, kind: str, namespace: str, name: str) -> Answer:
        began = self._clock.monotonic()
        path = resource.item(namespace, name)
        data = self._connection.request("GET", path, deadline=self._deadline)
        if isinstance(data, Failure):
            if data.kind is FailureKind.ABSENT:
                self._tick.read = began  # absence is knowledge
                self._own.forget(kind, namespace, name)
            return data
        found = _object(data, f"GET {path}", name)
        if isinstance(found, Failure):
            return found
        if self._is_stale(kind, namespace, found):
            return unavailable(f"GET {path}: the answer is older than what we wrote").failure
        self._tick.read = began
        return found

    def _read_object(self, namespace: str, ref: Ref) -> Answer:
        # There is no copy of these: a look costs as much as a quorum read, once per tick of a release under way.
        answer: Answer = None
        for resource in self._versions(ref.kind):
            answer = self._fetch_from(resource, ref.kind, namespace, ref.name)
            if not (isinstance(answer, Failure) and answer.kind is FailureKind.NO_KIND):
                self._served[ref.kind] = resource
                return answer
            self._served.pop(ref.kind, None)
        return answer

    def _versions(self, kind: ObjectKind) -> tuple[Resource, ...]:
        """The versions to ask for, in order: the one that the server had last time first."""
        known = self._served.get(kind)
        return OBJECTS[kind] if known is None else (known, *(each for each in OBJECTS[kind] if each is not known))

    def _is_stale(self, kind: str, namespace: str, one: Object) -> bool:
        """Whether a server shows an object as it was before our own last write (a member that lags behind)."""
        metadata = one.get("metadata") or {}
        version = str(metadata.get("resourceVersion", ""))
        return self._own.outdates(kind, namespace, str(metadata.get("name", "")), version)

    def _list(self, path: str, query: Sequence[tuple[str, str]] = ()) -> list[Object] | Failure:
        began = self._clock.monotonic()
        listed = read_objects(self._connection, self._clock, path, query=query, deadline=3 * self._deadline)
        match listed:
            case Failed(_, failure):
                return failure
            case Objects(items):
                self._tick.read = began
                return items

    def _read_pods(self, namespace: str, labels: tuple[tuple[str, str], ...], fresh: bool) -> Answer:
        if not fresh:
            return self._cache.trouble(Kind.POD, self._cache_bound) or self._cache.pods(namespace, labels)
        began = self._clock.monotonic()
        pods: list[PodState] = []
        query = (("labelSelector", ",".join(f"{key}={value}" for key, value in labels)),) if labels else ()
        path = PODS.collection(namespace)
        try:
            listed = read_list(
                self._connection,
                self._clock,
                path,
                lambda raw: pods.append(decode_pod(raw)),
                pods.clear,
                query=query,
                deadline=3 * self._deadline,
            )
        except (msgspec.DecodeError, RecursionError) as error:
            return unavailable(f"list {path}: {error}").failure
        if isinstance(listed, Failed):
            return listed.failure
        self._tick.read = began
        return PodList(tuple(pods), listed.resource_version)

    def _read_replica_sets(self, namespace: str, labels: tuple[tuple[str, str], ...]) -> Answer:
        began = self._clock.monotonic()
        query = (("labelSelector", ",".join(f"{key}={value}" for key, value in labels)),) if labels else ()
        path = REPLICA_SETS.collection(namespace)
        match read_objects(self._connection, self._clock, path, query=query, deadline=3 * self._deadline):
            case Failed(_, failure):
                return failure
            case Objects(items, version):
                self._tick.read = began
                try:
                    return ReplicaSetList(tuple(replica_set_state(one) for one in items), version)
                except (TypeError, ValueError, AttributeError) as error:
                    return unavailable(f"list {path}: {error}").failure

    def _read_neighbours(self, namespace: str) -> Answer:
        found: list[list[Object]] = []
        for versions in ((POLICIES,), self._versions("HorizontalPodAutoscaler"), (SERVICES,)):
            for resource in versions:
                listed = self._list(resource.collection(namespace))
                if not (isinstance(listed, Failure) and listed.kind is FailureKind.NO_KIND):
                    break
            if isinstance(listed, Failure):
                return listed
            # What stands in a list does not say itself in which version.
            found.append([{**one, "apiVersion": resource.api_version} for one in listed])
        policies, autoscalers, services = found
        return Neighbours(policies, autoscalers, services)

    def _review_access(self, namespace: str, permissions: tuple[Permission, ...]) -> Answer:
        lacking: list[Permission] = []
        for permission in permissions:
            answer = self._send(review_of(namespace, permission))
            if isinstance(answer, Failure):
                return answer
            review = _object(answer, f"review of {permission}")
            if isinstance(review, Failure):
                return review
            if (review.get("status") or {}).get("allowed") is not True:
                lacking.append(permission)
        return tuple(lacking)

    # -------------------------------------------------------------------------------------------- writes

    def _write(
        self, request: WriteSlot | WriteRecord | WritePolicyStatus | WriteTrainStatus | CreateRelease, kind: Kind
    ) -> Answer:
        if (stale := self._stale(needs_read=isinstance(request, WriteSlot))) is not None:
            return stale
        call = call_of(request)
        answer = self._send(call)
        if isinstance(answer, Failure):
            return answer
        written = _object(answer, f"{call.method} {call.path}")
        if isinstance(written, Failure):
            return written
        self._own.note(kind, written)
        return written

    def _write_object(self, request: WriteObject) -> Answer:
        if (stale := self._stale(needs_read=True)) is not None:
            return stale
        write, kind = request.write, request.write.ref.kind
        answer: bytes | Failure = Failure(FailureKind.NO_KIND, f"the server has no {kind}")
        for resource in self._versions(kind):
            call = object_call(request.namespace, write, resource)
            answer = self._send(call)
            if isinstance(answer, bytes) or answer.kind is not FailureKind.NO_KIND:
                self._served[kind] = resource
                break
        if isinstance(answer, Failure):
            return answer
        if isinstance(write, DeleteObject):
            self._own.forget(kind, request.namespace, write.ref.name)
            return None
        written = _object(answer, f"{call.method} {call.path}")
        if not isinstance(written, Failure):
            self._own.note(kind, written)
        return written

    def _delete(self, request: DeleteRelease) -> Answer:
        if (stale := self._stale(needs_read=False)) is not None:
            return stale
        answer = self._send(call_of(request))
        if isinstance(answer, bytes) or answer.kind is FailureKind.ABSENT:
            self._own.forget(Kind.RELEASE, request.namespace, request.name)
            return None
        return answer

    def _record_event(self, request: WriteEvent) -> Answer:
        answer = self._send(call_of(request))
        if isinstance(answer, bytes) or answer.kind is FailureKind.EXISTS:
            return None
        return answer

    def _send(self, call: Call) -> bytes | Failure:
        return self._connection.request(
            call.method,
            call.path,
            query=call.query,
            body=call.body,
            content_type=call.content_type,
            deadline=self._deadline,
        )

    def _stale(self, *, needs_read: bool) -> Failure | None:
        """A refusal where the look that a write rests on is too old.

        A write of a slot needs a quorum read of this tick. The others are guarded by the version they carry; for them
        the tick's beginning counts as well, so that a frozen process is still stopped.
        """
        times = [self._tick.read] if needs_read else [self._tick.read, self._tick.began]
        latest = max((at for at in times if at is not None), default=None)
        if latest is None:
            return Failure(FailureKind.STALE, "a write without a quorum read in this tick")
        if self._tick.began is not None and (old := self._clock.monotonic() - self._tick.began) > self._tick_bound:
            return Failure(FailureKind.STALE, f"this tick began {old:.1f} s ago, above {self._tick_bound:g} s")
        age = self._clock.monotonic() - latest
        if age > self._read_bound:
            return Failure(FailureKind.STALE, f"the last quorum read is {age:.1f} s old, above {self._read_bound:g} s")
        return None


def _object(data: bytes, what: str, name: str | None = None) -> Object | Failure:
    """The object in a successful answer; a Failure for anything else that came with a success status."""
    try:
        found = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        return unavailable(f"{what}: the answer is not an object: {error}").failure
    metadata = found.get("metadata")
    if not isinstance(metadata, dict) or not found.get("kind"):
        return unavailable(f"{what}: the answer is not an object of the API server").failure
    if name is not None and (metadata.get("name") != name or not metadata.get("resourceVersion")):
        return unavailable(f"{what}: the answer is about something else").failure
    return found
