"""The watch cache: a copy of policies, releases, trains, Deployments, pods and baselines, for looking without asking.

A look at the cache may be wrong by what happened since; so it decides nothing that lowers capacity. It says itself
whether it is complete (`synced`) and how old it is (`age`), and a copy that is neither is a Failure to its reader.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from controller.clock import Clock
from controller.cluster.connection import Connection
from controller.cluster.paths import BASELINES, DEPLOYMENTS, PODS, POLICIES, RELEASES, TRAINS, Resource
from controller.cluster.pods import decode_pod, pod_list
from controller.cluster.reflector import Reflector
from controller.release.observation import PodList, PodState
from controller.requests.failure import Failure, FailureKind

Object = Mapping[str, Any]


class Kind(StrEnum):
    """The kinds of which the cache holds copies."""

    POLICY = "releasepolicies"
    RELEASE = "releases"
    DEPLOYMENT = "deployments"
    POD = "pods"
    BASELINE = "baselines"
    TRAIN = "releasetrains"


# (kind, namespace, name, object): an object, or its last shape when it is gone; a PodState for pods.
OnChange = Callable[[Kind, str, str, Any], None]

_OBJECTS: Mapping[Kind, Resource] = {
    Kind.POLICY: POLICIES,
    Kind.RELEASE: RELEASES,
    Kind.DEPLOYMENT: DEPLOYMENTS,
    Kind.BASELINE: BASELINES,
    Kind.TRAIN: TRAINS,
}
# Releases go on without what was learned: a cluster whose CRDs or rights are those of an older version has none of it.
# A cluster that does not know trains has none; one that does not let us see them keeps releases from beginning.
_OPTIONAL = frozenset({Kind.BASELINE, Kind.TRAIN})
_JOIN = 2.0  # seconds to wait for a reflector's thread; it is a daemon, so a longer one keeps nobody


class Cache:
    """Copies of one namespace's objects, or of the whole cluster's (`namespace` None).

    `on_change` is called from the reflectors' threads, and must return soon. `seed` feeds the jitter of the watches.
    """

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        *,
        on_change: OnChange = lambda *_: None,
        namespace: str | None = None,
        seed: int = 0,
    ) -> None:
        self.namespace = namespace
        rng = random.Random(seed)

        def told(kind: Kind) -> Callable[[str, str, Any], None]:
            return lambda space, name, one: on_change(kind, space, name, one)

        def jitter() -> random.Random:
            return random.Random(rng.random())

        self._objects: dict[Kind, Reflector[Object]] = {
            kind: Reflector(
                connection, clock, resource.collection(namespace), _decode_object, told(kind), jitter=jitter()
            )
            for kind, resource in _OBJECTS.items()
        }
        self._pods: Reflector[PodState] = Reflector(
            connection, clock, PODS.collection(namespace), decode_pod, told(Kind.POD), jitter=jitter()
        )
        self._reflectors: dict[Kind, Reflector[Any]] = {**self._objects, Kind.POD: self._pods}
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begins to list and watch, each kind in a thread of its own."""
        for kind, reflector in self._reflectors.items():
            thread = threading.Thread(target=reflector.run, name=f"watch-{kind}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Ends all watches."""
        for reflector in self._reflectors.values():
            reflector.stop()
        for thread in self._threads:
            thread.join(_JOIN)

    @property
    def synced(self) -> bool:
        """Whether every kind that releases need has been listed once, and is still there to be listed."""
        return all(reflector.synced.is_set() for reflector in self._needed())

    def age(self) -> float:
        """Seconds since the server was last heard, by the watch that has heard it longest ago; infinite at first."""
        return max(reflector.age() for reflector in self._needed())

    def _needed(self) -> Iterator[Reflector[Any]]:
        return (reflector for kind, reflector in self._reflectors.items() if kind not in _OPTIONAL)

    def trouble(self, kind: Kind, bound: float) -> Failure | None:
        """Why the copy of a kind must not be looked at: not complete, or older than `bound` seconds. None: it may."""
        reflector = self._reflectors[kind]
        if not reflector.synced.is_set():
            return reflector.trouble or Failure(FailureKind.UNAVAILABLE, f"the {kind} have not been listed yet")
        age = reflector.age()
        if age > bound:
            why = f": {reflector.trouble.message}" if reflector.trouble is not None else ""
            return Failure(FailureKind.UNAVAILABLE, f"the copy of the {kind} is {age:.0f} s old{why}")
        return None

    # ------------------------------------------------------------------------------------------- lookups

    def read(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """A policy, release, train, Deployment or baseline; None where the copy has none."""
        return self._objects[kind].read(namespace, name)

    def read_all(self, kind: Kind, namespace: str | None = None) -> list[Object]:
        """All policies, releases, trains or Deployments of a namespace, or of everywhere."""
        return self._objects[kind].read_all(namespace)

    def version_of(self, kind: Kind, namespace: str, name: str) -> str:
        """The resourceVersion of an object in the copy; "" where it has none."""
        return self._reflectors[kind].version_of(namespace, name)

    def releases_of(self, namespace: str, policy: str) -> list[Object]:
        """The releases that name a policy; those of every policy where it is ""."""
        found = self.read_all(Kind.RELEASE, namespace)
        return [one for one in found if names_policy(one, policy)] if policy else found

    def pods(self, namespace: str, labels: tuple[tuple[str, str], ...]) -> PodList | Failure:
        """The pods that carry all these labels and have not ended; a Failure while one of the namespace's pods cannot
        be read."""
        if odd := self._pods.odd(namespace):
            return Failure(FailureKind.UNAVAILABLE, f"the API server's answer for pod {odd[0]} cannot be decoded")
        version = self._pods.version
        wanted = set(labels)
        there = self._pods.read_all(namespace)
        return pod_list((pod for pod in there if wanted <= pod.labels.items()), version)


def names_policy(release: Object, policy: str) -> bool:
    """Whether a Release object belongs to a policy."""
    spec = release.get("spec")
    return isinstance(spec, Mapping) and spec.get("policy") == policy


def _decode_object(raw: msgspec.Raw) -> Object:
    return msgspec.json.decode(raw, type=dict[str, Any])
