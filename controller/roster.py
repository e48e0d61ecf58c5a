"""Which apps and trains there are, which have a release under way, and which of them a change in the cluster is about.

An app is one policy of one namespace; a release whose policy is gone keeps its app. A change wakes an app only where
it can matter to the next decision: our own writes of a status, and pods of apps that rest, wake nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Protocol

from controller.cluster.cache import Kind
from controller.release.names import AppKey, Key, TrainKey
from controller.release.observation import PodState
from controller.release.vocabulary import ENDS
from controller.strategies import slots_named

_ENDED = frozenset(phase.value for phase in ENDS)
_SLOTS = 4096  # pods and objects whose last shape is remembered; beyond it all are forgotten, which only wakes more


class Copies(Protocol):
    """What the roster needs of the watch cache."""

    def read_all(self, kind: Kind, namespace: str | None = None) -> list[Mapping[str, Any]]:
        """All policies, releases or trains of the copy."""


class Roster:
    """Safe to share between threads. `refresh` puts right whatever a change could not tell, such as a deletion."""

    def __init__(self, copies: Copies) -> None:
        self._copies = copies
        self._lock = threading.Lock()
        self._apps: dict[Key, bool] = {}
        self._slots: dict[tuple[str, str], AppKey] = {}
        self._phases: dict[str, int] = {}
        self._last: dict[tuple[Kind, str, str], object] = {}

    def refresh(self) -> Mapping[Key, bool]:
        """Every app, and whether it has a release under way or watched; every train, always awake. Read anew."""
        policies = self._copies.read_all(Kind.POLICY)
        releases = self._copies.read_all(Kind.RELEASE)
        apps: dict[Key, bool] = {TrainKey(*_place(obj)): True for obj in self._copies.read_all(Kind.TRAIN)}
        slots: dict[tuple[str, str], AppKey] = {}
        phases: dict[str, int] = {}
        for obj in policies:
            app = AppKey(*_place(obj))
            apps[app] = False
            slots.update(_slots_of(app, obj))
        for obj in releases:
            phase = _phase(obj)
            phases[phase] = phases.get(phase, 0) + 1
            if (owner := _policy_of(obj)) is not None:
                apps[owner] = apps.get(owner, False) or phase not in _ENDED or _watched(obj)
        with self._lock:
            self._apps, self._slots, self._phases = apps, slots, phases
            return dict(apps)

    def active(self, app: Key) -> bool:
        """Whether the app had a release under way at the last refresh or change; a train is always awake."""
        with self._lock:
            return self._apps.get(app, False)

    def phases(self) -> Mapping[str, int]:
        """Number of releases in each phase at the last refresh."""
        with self._lock:
            return dict(self._phases)

    def concerned(self, kind: Kind, namespace: str, name: str, obj: Any) -> Key | None:
        """The app or train that a change should wake, or None where it changes nothing that a tick would act on."""
        with self._lock:
            if len(self._last) > _SLOTS:
                self._last.clear()
            match kind:
                case Kind.POLICY:
                    return self._policy(namespace, name, obj)
                case Kind.RELEASE:
                    return self._release(namespace, name, obj)
                case Kind.DEPLOYMENT:
                    app = self._slots.get((namespace, name))
                    shape = (_shape(obj), _observed(obj))
                    return app if app is not None and self._new(kind, namespace, name, shape) else None
                case Kind.POD:
                    return self._pod(namespace, name, obj)
                case Kind.TRAIN:
                    train = TrainKey(namespace, name)
                    self._apps.setdefault(train, True)
                    return train if self._new(kind, namespace, name, _shape(obj)) else None
                case Kind.BASELINE:
                    # A release may be waiting for the look at the last hour.
                    app = AppKey(namespace, name)
                    return (
                        app if self._apps.get(app, False) and self._new(kind, namespace, name, _version(obj)) else None
                    )

    def _policy(self, namespace: str, name: str, obj: Mapping[str, Any]) -> AppKey | None:
        app = AppKey(namespace, name)
        self._apps.setdefault(app, False)
        self._slots.update(_slots_of(app, obj))
        return app if self._new(Kind.POLICY, namespace, name, _shape(obj)) else None

    def _release(self, namespace: str, name: str, obj: Mapping[str, Any]) -> AppKey | None:
        app = _policy_of(obj)
        if app is None:
            return None
        if _phase(obj) not in _ENDED or _watched(obj):
            self._apps[app] = True
        return app if self._new(Kind.RELEASE, namespace, name, _shape(obj)) else None

    def _pod(self, namespace: str, name: str, pod: PodState) -> AppKey | None:
        app = self._slots.get((namespace, pod.replica_set.rpartition("-")[0]))
        if app is None or not self._apps.get(app, False):
            return None
        shape = (pod.ready, pod.terminating, pod.restarts, pod.waiting, pod.unschedulable)
        return app if self._new(Kind.POD, namespace, name, shape) else None

    def _new(self, kind: Kind, namespace: str, name: str, shape: object) -> bool:
        key = (kind, namespace, name)
        if self._last.get(key) == shape:
            return False
        self._last[key] = shape
        return True


def _shape(obj: Mapping[str, Any]) -> object:
    """What must differ for a change to matter: the spec (by generation), the object itself, its being deleted."""
    metadata = obj.get("metadata") or {}
    return metadata.get("uid"), metadata.get("generation"), metadata.get("deletionTimestamp")


def _observed(deployment: Mapping[str, Any]) -> bool:
    """Whether its controller has acted upon the last change: a tick that came before waits for that."""
    told = (deployment.get("status") or {}).get("observedGeneration") or 0
    return int(told) >= int((deployment.get("metadata") or {}).get("generation") or 0)


def _version(obj: Mapping[str, Any]) -> object:
    return (obj.get("metadata") or {}).get("resourceVersion")


def _place(obj: Mapping[str, Any]) -> tuple[str, str]:
    metadata = obj.get("metadata") or {}
    return str(metadata.get("namespace", "")), str(metadata.get("name", ""))


def _phase(obj: Mapping[str, Any]) -> str:
    return str((obj.get("status") or {}).get("phase") or "Queued")


def _watched(release: Mapping[str, Any]) -> bool:
    """Whether a release that has ended is watched still."""
    watch = (release.get("status") or {}).get("watch")
    return isinstance(watch, Mapping) and not watch.get("over")


def _policy_of(release: Mapping[str, Any]) -> AppKey | None:
    policy = (release.get("spec") or {}).get("policy")
    return AppKey(_place(release)[0], policy) if isinstance(policy, str) and policy else None


def _slots_of(app: AppKey, policy: Mapping[str, Any]) -> dict[tuple[str, str], AppKey]:
    """The Deployments that the app's strategy would move. A policy that cannot be read names none."""
    return {(app.namespace, name): app for name in slots_named(policy.get("spec") or {})}
