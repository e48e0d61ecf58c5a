"""Everything that the learner must know of a policy, from the watch cache; what has not changed is not read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from analysis.learned import NotLearned
from controller.baseline import Baseline, learning_digest, restored
from controller.clock import Clock
from controller.learning.due import Object, under_way
from controller.release.names import AppKey
from controller.requests.failure import Failure
from controller.settings import Settings, Source
from policies.load import PolicyRefused, from_object
from policies.schema import ReleasePolicy

_LAG = 60.0  # seconds that the watch cache may take to show our own write


class Shelf(Protocol):
    """Where Baseline objects are kept."""

    def glance(self, namespace: str, name: str) -> Object | Failure | None:
        """The object in the watch cache; None where there is none."""

    def read(self, namespace: str, name: str) -> Object | Failure | None:
        """The object by a quorum read; None where there is none."""

    def keep(self, manifest: Mapping[str, Any]) -> Object | Failure:
        """Writes a whole object."""


class Copies(Protocol):
    """The watch cache's policies and releases."""

    def policies(self) -> Sequence[Object]:
        """All policies."""

    def releases_of(self, namespace: str, policy: str) -> Sequence[Object]:
        """All releases of a policy."""


@dataclass(slots=True)
class Memory:
    """What is remembered of a policy beside its object: nothing that a restart could miss."""

    failures: int = 0
    not_before: float = 0.0  # monotonic
    seen: tuple[str, str] | None = None  # versions of the policy and of its baseline when its case was built last
    known: tuple[str, str, Baseline | NotLearned] | None = None  # resourceVersion, digest, what it holds
    written: tuple[str, float] | None = None  # resourceVersion of our own last write, and when (monotonic)


@dataclass(frozen=True, slots=True)
class Case:
    """One policy as it is now. releases: its own."""

    app: AppKey
    policy: ReleasePolicy
    uid: str
    releases: Sequence[Object]
    source: Source
    baseline: Baseline | NotLearned


class Cases:
    """The policies of the watch cache. `crashed` is told of one that cannot be read by a fault of ours."""

    def __init__(
        self,
        copies: Copies,
        shelf: Shelf,
        settings: Settings,
        clock: Clock,
        crashed: Callable[[AppKey, Exception], None],
    ) -> None:
        self._copies = copies
        self._shelf = shelf
        self._settings = settings
        self._clock = clock
        self._crashed = crashed
        self._memory: dict[AppKey, Memory] = {}
        self._ages: dict[AppKey, float] = {}

    def ages(self) -> Mapping[AppKey, float]:
        """When each policy's baseline was learned (epoch seconds), for those that have one."""
        return dict(self._ages)

    def memory(self, app: AppKey) -> Memory:
        """What is remembered of a policy."""
        return self._memory.setdefault(app, Memory())

    def swept(self) -> Iterator[Case]:
        """Every policy of which something may be due.

        One that backs off is left out, and only read where it or its baseline has changed, for the age of that.
        """
        there: set[AppKey] = set()
        for obj in self._copies.policies():
            app = _app_of(obj)
            there.add(app)
            if self._rests(app) and self._unchanged(app, obj):
                continue
            case = self._case(app, obj)
            if case is not None and not self._rests(app):
                yield case
        self._memory = {app: memory for app, memory in self._memory.items() if app in there}
        self._ages = {app: age for app, age in self._ages.items() if app in there}

    def now(self, app: AppKey) -> Case | None:
        """One policy, read again; None where it is gone or backs off."""
        obj = next((one for one in self._copies.policies() if _app_of(one) == app), None)
        return None if obj is None or self._rests(app) else self._case(app, obj)

    def under_way(self, app: AppKey) -> bool:
        """Whether a release of the policy moves pods at this moment."""
        return under_way(self._copies.releases_of(app.namespace, app.policy))

    def kept(self, app: AppKey, version: str, learned_at: float) -> None:
        """A baseline was written by us."""
        self.memory(app).written = version, self._clock.monotonic()
        self._ages[app] = learned_at

    def read(self, memory: Memory, obj: Object | None, policy: ReleasePolicy, source: Source) -> Baseline | NotLearned:
        """What an object holds; decoded once per version."""
        digest, now = learning_digest(policy, source.window), self._clock.now()
        if obj is None:
            return NotLearned("NoBaseline", "nothing was learned yet")
        version = _version(obj)
        if memory.known is None or memory.known[:2] != (version, digest):
            memory.known = version, digest, restored(obj, digest=digest, now=now)
        return memory.known[2]

    def _case(self, app: AppKey, obj: Object) -> Case | None:
        """The case of a policy's object; None where nothing can be known of it at the moment."""
        try:
            case = self._built(app, obj)
        except Exception as error:
            self._crashed(app, error)
            case = None
        if case is not None and isinstance(case.baseline, Baseline):
            self._ages[app] = case.baseline.learned_at
        else:
            self._ages.pop(app, None)
        return case

    def _rests(self, app: AppKey) -> bool:
        memory = self._memory.get(app)
        return memory is not None and self._clock.monotonic() < memory.not_before

    def _unchanged(self, app: AppKey, obj: Object) -> bool:
        """Whether a policy and its baseline are those that were seen last."""
        glance = self._shelf.glance(app.namespace, app.policy)
        return not isinstance(glance, Failure) and self._memory[app].seen == (_version(obj), _version(glance))

    def _built(self, app: AppKey, obj: Object) -> Case | None:
        metadata = obj.get("metadata") or {}
        if "deletionTimestamp" in metadata:
            return None
        policy = _policy(msgspec.json.encode({key: value for key, value in obj.items() if key != "status"}))
        glance = self._shelf.glance(app.namespace, app.policy)
        if policy is None or isinstance(glance, Failure):
            return None
        source = self._settings.sources.get(policy.spec.metrics.source)
        if source is None:
            return None
        memory = self.memory(app)
        memory.seen = None
        if self._awaits_copy(memory, glance):
            return None
        baseline = self.read(memory, glance, policy, source)
        memory.seen = _version(obj), _version(glance)
        releases = self._copies.releases_of(app.namespace, app.policy)
        return Case(app, policy, str(metadata.get("uid", "")), releases, source, baseline)

    def _awaits_copy(self, memory: Memory, glance: Object | None) -> bool:
        """Whether the cache does not show our own last write yet: it must not be done again."""
        if memory.written is None:
            return False
        version, at = memory.written
        shown = _version(glance)
        newer = shown.isdigit() and version.isdigit() and int(shown) >= int(version)
        if not newer and shown != version and self._clock.monotonic() - at < _LAG:
            return True
        memory.written = None
        return False


def _app_of(obj: Object) -> AppKey:
    metadata = obj.get("metadata") or {}
    return AppKey(str(metadata.get("namespace", "")), str(metadata.get("name", "")))


def _version(obj: Object | None) -> str:
    return str(((obj or {}).get("metadata") or {}).get("resourceVersion", ""))


@lru_cache(maxsize=1024)
def _policy(text: bytes) -> ReleasePolicy | None:
    """The policy in an object, None where it is none: `ReleasePolicy` says elsewhere why."""
    try:
        return from_object(msgspec.json.decode(text))
    except PolicyRefused:
        return None


__all__ = ["Case", "Cases", "Copies", "Memory", "Shelf"]
