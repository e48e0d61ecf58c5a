"""Shows a tick what it asks to see: from the watch cache, or with a quorum read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from controller.clock import Clock
from controller.cluster.cache import Cache, Kind, names_policy
from controller.cluster.connection import Connection
from controller.cluster.exchange import Object, object_in, sent
from controller.cluster.failures import Failed, unavailable
from controller.cluster.lists import Objects, read_list, read_objects
from controller.cluster.own_writes import OwnWrites
from controller.cluster.paths import (
    BASELINES,
    DEPLOYMENTS,
    PODS,
    POLICIES,
    RELEASES,
    REPLICA_SETS,
    SERVICES,
    TRAINS,
    Resource,
)
from controller.cluster.pods import decode_pod, pod_list
from controller.cluster.served import Served
from controller.cluster.tick_times import TickTimes
from controller.cluster.writes import review_of
from controller.release.names import Ref
from controller.release.observation import PodState
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
from controller.slots import replica_set_state

_RESOURCES: Mapping[Kind, Resource] = {
    Kind.POLICY: POLICIES,
    Kind.RELEASE: RELEASES,
    Kind.DEPLOYMENT: DEPLOYMENTS,
    Kind.POD: PODS,
    Kind.BASELINE: BASELINES,
    Kind.TRAIN: TRAINS,
}


class Looks:
    """`cache_bound`: seconds after which an unheard cache answers nothing any more.

    `deadline`: seconds for one call (three times as long for a list in pages).
    """

    def __init__(
        self,
        connection: Connection,
        cache: Cache,
        clock: Clock,
        own: OwnWrites,
        times: TickTimes,
        served: Served,
        *,
        cache_bound: float,
        deadline: float,
    ) -> None:
        self._connection = connection
        self._cache = cache
        self._clock = clock
        self._own = own
        self._times = times
        self._served = served
        self._cache_bound = cache_bound
        self._deadline = deadline

    def perform(self, request: Look) -> Answer:
        """The answer to a read."""
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
            case ReadTrains(namespace, fresh):
                return self._list_own(Kind.TRAIN, namespace) if fresh else self._read_copies(Kind.TRAIN, namespace)
            case ReadTrain(namespace, name):
                return self._fetch(Kind.TRAIN, namespace, name)
            case ReviewAccess(namespace, permissions):
                return self._review_access(namespace, permissions)

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
        listed = self._list_own(Kind.RELEASE, namespace)
        if isinstance(listed, Failure):
            return listed
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
                self._times.note_read(began)  # absence is knowledge
                self._own.forget(kind, namespace, name)
            return data
        found = object_in(data, f"GET {path}", name)
        if isinstance(found, Failure):
            return found
        if self._is_stale(kind, namespace, found):
            return unavailable(f"GET {path}: the answer is older than what we wrote").failure
        self._times.note_read(began)
        return found

    def _read_object(self, namespace: str, ref: Ref) -> Answer:
        # There is no copy of these: a look costs as much as a quorum read, once per tick of a release under way.
        answer: Answer = None
        for resource in self._served.versions(ref.kind):
            answer = self._fetch_from(resource, ref.kind, namespace, ref.name)
            if not (isinstance(answer, Failure) and answer.kind is FailureKind.NO_KIND):
                self._served.note(ref.kind, resource)
                return answer
            self._served.forget(ref.kind)
        return answer

    def _is_stale(self, kind: str, namespace: str, one: Object) -> bool:
        """Whether a server shows an object as it was before our own last write (a member that lags behind)."""
        metadata = one.get("metadata") or {}
        version = str(metadata.get("resourceVersion", ""))
        return self._own.outdates(kind, namespace, str(metadata.get("name", "")), version)

    def _list_own(self, kind: Kind, namespace: str) -> list[Object] | Failure:
        """All objects of a kind that we write ourselves, by a quorum read that is no older than what we wrote."""
        resource = _RESOURCES[kind]
        listed = self._list(resource.collection(namespace))
        if not isinstance(listed, Failure) and any(self._is_stale(kind, namespace, one) for one in listed):
            return unavailable(
                f"list of {resource.plural} in {namespace}: the answer is older than what we wrote"
            ).failure
        return listed

    def _list(self, path: str, query: Sequence[tuple[str, str]] = ()) -> list[Object] | Failure:
        began = self._clock.monotonic()
        listed = read_objects(self._connection, self._clock, path, query=query, deadline=3 * self._deadline)
        match listed:
            case Failed(_, failure):
                return failure
            case Objects(items):
                self._times.note_read(began)
                return items

    def _read_pods(self, namespace: str, labels: tuple[tuple[str, str], ...], fresh: bool) -> Answer:
        if not fresh:
            return self._cache.trouble(Kind.POD, self._cache_bound) or self._cache.pods(namespace, labels)
        began = self._clock.monotonic()
        pods: list[PodState] = []
        path = PODS.collection(namespace)
        try:
            listed = read_list(
                self._connection,
                self._clock,
                path,
                lambda raw: pods.append(decode_pod(raw)),
                pods.clear,
                query=_selecting(labels),
                deadline=3 * self._deadline,
            )
        except (msgspec.DecodeError, RecursionError) as error:
            return unavailable(f"list {path}: {error}").failure
        if isinstance(listed, Failed):
            return listed.failure
        self._times.note_read(began)
        return pod_list(pods, listed.resource_version)

    def _read_replica_sets(self, namespace: str, labels: tuple[tuple[str, str], ...]) -> Answer:
        began = self._clock.monotonic()
        path = REPLICA_SETS.collection(namespace)
        match read_objects(self._connection, self._clock, path, query=_selecting(labels), deadline=3 * self._deadline):
            case Failed(_, failure):
                return failure
            case Objects(items, version):
                self._times.note_read(began)
                try:
                    return ReplicaSetList(tuple(replica_set_state(one) for one in items), version)
                except (TypeError, ValueError, AttributeError) as error:
                    return unavailable(f"list {path}: {error}").failure

    def _read_neighbours(self, namespace: str) -> Answer:
        found: list[list[Object]] = []
        for versions in ((POLICIES,), self._served.versions("HorizontalPodAutoscaler"), (SERVICES,)):
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
            answer = sent(self._connection, review_of(namespace, permission), self._deadline)
            if isinstance(answer, Failure):
                return answer
            review = object_in(answer, f"review of {permission}")
            if isinstance(review, Failure):
                return review
            if (review.get("status") or {}).get("allowed") is not True:
                lacking.append(permission)
        return tuple(lacking)


def _selecting(labels: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The query that lists what carries all these labels."""
    return (("labelSelector", ",".join(f"{key}={value}" for key, value in labels)),) if labels else ()
