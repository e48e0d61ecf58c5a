"""What a tick asks to see of the cluster, and the lists and answers that have no type of their own elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.release.names import Ref
from controller.release.observation import ReplicaSetState


@dataclass(frozen=True, slots=True)
class ReadPolicy:
    """-> the ReleasePolicy object as a dict, from the watch cache."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class ReadPolicies:
    """-> list of the namespace's ReleasePolicy objects as dicts, from the watch cache."""

    namespace: str


@dataclass(frozen=True, slots=True)
class ReadReleases:
    """-> list of the policy's Release objects as dicts; `fresh` reads through the watch cache with a quorum.

    A policy of "" means the releases of every policy.
    """

    namespace: str
    policy: str
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class ReadRelease:
    """-> one Release object as a dict, quorum read."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class ReadSlot:
    """-> a Deployment object as a dict."""

    namespace: str
    name: str
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class ReadPods:
    """-> PodList of the pods that carry all these labels. Complete or a Failure; never a partial list."""

    namespace: str
    labels: tuple[tuple[str, str], ...]
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class ReadReplicaSets:
    """-> ReplicaSetList of the ReplicaSets that carry all these labels. Complete or a Failure."""

    namespace: str
    labels: tuple[tuple[str, str], ...]
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class ReplicaSetList:
    """A complete list of ReplicaSets and the resourceVersion at which it was true."""

    items: tuple[ReplicaSetState, ...]
    resource_version: str = ""


@dataclass(frozen=True, slots=True)
class ReadObject:
    """-> an object beside the Deployments as a dict; ABSENT where it, NO_KIND where its kind does not exist."""

    namespace: str
    ref: Ref
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class ReadNeighbours:
    """-> Neighbours: what else in the namespace touches the app. Asked in preflight only."""

    namespace: str


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Objects as dicts: the other policies, the autoscalers and the Services of the namespace."""

    policies: Sequence[Mapping[str, Any]] = ()
    autoscalers: Sequence[Mapping[str, Any]] = ()
    services: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Permission:
    """A verb on a resource, such as ("patch", "apps", "deployments")."""

    verb: str
    group: str
    resource: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}" + (f".{self.group}" if self.group else "")


@dataclass(frozen=True, slots=True)
class ReviewAccess:
    """-> tuple of the permissions that the controller lacks in this namespace (empty: it may do all of them)."""

    namespace: str
    permissions: tuple[Permission, ...]


@dataclass(frozen=True, slots=True)
class ReadBaseline:
    """-> the Baseline object called as the policy, as a dict from the watch cache; a Failure ABSENT without one."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class ReadTrains:
    """-> list of the namespace's ReleaseTrain objects as dicts; NO_KIND where the cluster does not know the kind.

    `fresh` reads through the watch cache with a quorum.
    """

    namespace: str
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class ReadTrain:
    """-> one ReleaseTrain object as a dict, quorum read."""

    namespace: str
    name: str


Look = (
    ReadPolicy | ReadReleases | ReadRelease | ReadSlot | ReadReplicaSets | ReadObject | ReadPods | ReadNeighbours
    | ReadBaseline | ReviewAccess | ReadPolicies | ReadTrains | ReadTrain
)  # fmt: skip
