"""Keeps the baselines of all policies: learns what is due, one policy at a time, and never stands in a tick's way.

When something is due
- A release waits before its start: the last hour is held against what was learned, and where the noise has changed
  everything is learned anew from the last three hours. This goes before everything else.
- No release is under way, and there is no baseline that can be trusted, or it is a day old, or it was learned from the
  last hours only, or a version was promoted since: an hour after the promotion, when its pods are no longer new.
- While a release is under way nothing is learned: its thresholds are a promise about all of its looks together.

A fault is told, counted and tried again later and later. What a silent store would leave behind does not replace what
is known. A write carries the version of the object that was read: who loses looks again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from analysis.learned import NotLearned
from controller.attempt import seconds
from controller.baseline import Baseline, Likeness, Present, learning_digest, restored, to_object
from controller.clock import Clock
from controller.learning.asks import History, Why
from controller.learning.gather import Stopped, Subject
from controller.learning.learn import learn_policy, look_at_present, relearn_lately
from controller.release import ENDS, AppKey, Phase
from controller.requests import Failure, FailureKind, Settings, Source
from policies.load import PolicyRefused, from_object
from policies.schema import ReleasePolicy

DAY = 86_400.0
SETTLED = 3_600.0  # seconds after a promotion before the new pods teach anything
UNLEARNED = 3_600.0  # seconds after which a gate that could not be learned is tried again
_BACKOFF = (30.0, 3_600.0)  # seconds, first and longest
_LAG = 60.0  # seconds that the watch cache may take to show our own write
_FRESH = 120.0  # seconds: a baseline so young was just written by another controller

# Why a gate was not learned that says nothing about its history: the store did not answer.
_SILENT = frozenset({Why.UNREACHABLE.value, Why.TIMED_OUT.value, Why.REFUSED.value, Why.UNUSABLE.value})
_WAITING = frozenset({Phase.QUEUED.value, Phase.PREFLIGHT.value, ""})
_ENDED = frozenset(phase.value for phase in ENDS)

Object = Mapping[str, Any]


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


class Told(Protocol):
    """Who is told what the learner does."""

    def learned(self, app: AppKey, what: str, outcome: str, took: float, because: str) -> None:
        """One piece of work is done."""

    def learner_crashed(self, app: AppKey, error: Exception) -> None:
        """A fault of ours."""


class Task(StrEnum):
    """What is due for a policy."""

    PRESENT = "present"  # a release waits: look at the last hour
    LEARN = "learn"


@dataclass(frozen=True, slots=True)
class Due:
    """One piece of work; `release` is the uid of the release that waits for it, or ""."""

    app: AppKey
    task: Task
    because: str
    release: str = ""


@dataclass(slots=True)
class _Memory:
    """What is remembered of a policy beside its object: nothing that a restart could miss."""

    failures: int = 0
    not_before: float = 0.0  # monotonic
    told: str = ""
    known: tuple[str, str, Baseline | NotLearned] | None = None  # resourceVersion, digest, what it holds
    written: tuple[str, float] | None = None  # resourceVersion of our own last write, and when (monotonic)


@dataclass(frozen=True, slots=True)
class _Case:
    app: AppKey
    policy: ReleasePolicy
    uid: str
    releases: Sequence[Object]
    source: Source
    baseline: Baseline | NotLearned


class Learner:
    """One for all policies; `turn` is called by one thread. `history` opens the past of a source by its name."""

    def __init__(
        self,
        copies: Copies,
        shelf: Shelf,
        history: Callable[[str], History | None],
        settings: Settings,
        clock: Clock,
        told: Told,
    ) -> None:
        self._copies = copies
        self._shelf = shelf
        self._history = history
        self._settings = settings
        self._clock = clock
        self._told = told
        self._memory: dict[AppKey, _Memory] = {}
        self._ages: dict[AppKey, float] = {}

    def learned_at(self) -> Mapping[AppKey, float]:
        """When each policy's baseline was learned (epoch seconds), for those that have one."""
        return dict(self._ages)

    def turn(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Does the most urgent piece of work -> whether there was one. A fault of one policy leaves others alone."""
        cases = self._cases()
        now = self._clock.now()
        for_now = [(due, case) for case in cases.values() if (due := self._due(case, now)) is not None]
        if not for_now or stopping():
            return False
        due, case = min(for_now, key=lambda one: (one[0].task is not Task.PRESENT, str(one[0].app)))
        memory = self._memory[case.app]
        began = self._clock.monotonic()
        try:
            outcome, because = self._do(due, case, stopping)
        except Stopped:
            return False
        except Exception as error:
            self._back_off(memory)
            self._told.learner_crashed(case.app, error)
            return True
        if outcome in ("kept", "same"):
            memory.failures = 0
            memory.not_before = 0.0 if outcome == "kept" else self._clock.monotonic() + UNLEARNED
        else:
            self._back_off(memory)
        self._told.learned(case.app, due.task.value, outcome, self._clock.monotonic() - began, because)
        return True

    # ------------------------------------------------------------------------------------------------ what is due

    def _cases(self) -> Mapping[AppKey, _Case]:
        found: dict[AppKey, _Case] = {}
        ages: dict[AppKey, float] = {}
        there: set[AppKey] = set()
        for obj in self._copies.policies():
            metadata = obj.get("metadata") or {}
            app = AppKey(str(metadata.get("namespace", "")), str(metadata.get("name", "")))
            there.add(app)
            try:
                case = self._case(app, obj)
            except Exception as error:
                self._told.learner_crashed(app, error)
                continue
            if case is not None:
                found[app] = case
                if isinstance(case.baseline, Baseline):
                    ages[app] = case.baseline.learned_at
        self._memory = {app: memory for app, memory in self._memory.items() if app in there}
        self._ages = ages
        return found

    def _case(self, app: AppKey, obj: Object) -> _Case | None:
        """Everything about one policy; None where it is no policy, or nothing can be known of it at the moment."""
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
        memory = self._memory.setdefault(app, _Memory())
        if self._awaits_copy(memory, glance):
            return None
        baseline = self._read(memory, glance, policy, source)
        releases = self._copies.releases_of(app.namespace, app.policy)
        return _Case(app, policy, str(metadata.get("uid", "")), releases, source, baseline)

    def _awaits_copy(self, memory: _Memory, glance: Object | None) -> bool:
        """Whether the cache does not show our own last write yet: it must not be done again."""
        if memory.written is None:
            return False
        version, at = memory.written
        shown = str(((glance or {}).get("metadata") or {}).get("resourceVersion", ""))
        newer = shown.isdigit() and version.isdigit() and int(shown) >= int(version)
        if not newer and shown != version and self._clock.monotonic() - at < _LAG:
            return True
        memory.written = None
        return False

    def _read(
        self, memory: _Memory, obj: Object | None, policy: ReleasePolicy, source: Source
    ) -> Baseline | NotLearned:
        """What an object holds; decoded once per version."""
        digest, now = learning_digest(policy, source.window), self._clock.now()
        if obj is None:
            return NotLearned("NoBaseline", "nothing was learned yet")
        version = str((obj.get("metadata") or {}).get("resourceVersion", ""))
        if memory.known is None or memory.known[:2] != (version, digest):
            memory.known = version, digest, restored(obj, digest=digest, now=now)
        return memory.known[2]

    def _due(self, case: _Case, now: float) -> Due | None:
        memory = self._memory[case.app]
        if self._clock.monotonic() < memory.not_before:
            return None
        return due(case.app, case.baseline, case.releases, now)

    # --------------------------------------------------------------------------------------------------- to do it

    def _do(self, due: Due, case: _Case, stopping: Callable[[], bool]) -> tuple[str, str]:
        """(outcome, why in words): kept, same, lost, refused or unanswered."""
        store = self._history(case.policy.spec.metrics.source)
        if store is None:
            return "unanswered", f"no metric source is named {case.policy.spec.metrics.source}"
        subject = Subject(case.policy, case.app.namespace, store, case.source)
        found = self._shelf.read(case.app.namespace, case.app.policy)
        if isinstance(found, Failure):
            return "unanswered", found.message
        now = self._clock.now()
        before = self._read(_Memory(), found, case.policy, case.source)
        if isinstance(before, Baseline) and not due.release and now - before.learned_at < _FRESH:
            return "same", "another controller was faster"
        after, because = self._learned(due, case, subject, before, stopping)
        if after is None:
            return "unanswered", because
        if isinstance(before, Baseline) and not due.release and _says_nothing_new(before, after):
            return "same", because
        if under_way(self._copies.releases_of(case.app.namespace, case.app.policy)):
            return "lost", "a release has begun in the meantime"
        version = str(((found or {}).get("metadata") or {}).get("resourceVersion", ""))
        manifest = to_object(
            after,
            namespace=case.app.namespace,
            name=case.app.policy,
            policy_uid=case.uid,
            resource_version=version,
        )
        readable = restored(manifest, digest=after.digest, now=now)
        if isinstance(readable, NotLearned):
            return "refused", f"what was learned would not be believed: {readable.detail}"
        kept = self._shelf.keep(manifest)
        if isinstance(kept, Failure):
            lost = kept.kind in (FailureKind.CONFLICT, FailureKind.EXISTS)
            return ("lost" if lost else "refused"), kept.message
        written = str((kept.get("metadata") or {}).get("resourceVersion", ""))
        self._memory[case.app].written = written, self._clock.monotonic()
        self._ages[case.app] = after.learned_at
        return "kept", because

    def _learned(
        self, due: Due, case: _Case, subject: Subject, before: Baseline | NotLearned, stopping: Callable[[], bool]
    ) -> tuple[Baseline | None, str]:
        """The baseline as it shall stand, or None where the store did not answer; and what it says, in words."""
        now = self._clock.now()
        baseline = before
        if isinstance(before, NotLearned) or due.task is Task.LEARN:
            fresh = learn_policy(subject, now, releases=case.releases, stopping=stopping)
            if unanswered(fresh) and (isinstance(before, Baseline) or not due.release):
                return None, _reasons(fresh)
            baseline = fresh
        assert isinstance(baseline, Baseline)
        if not due.release:
            return baseline, due.because
        present = look_at_present(baseline, subject, now, due.release, stopping=stopping)
        if Likeness.CHANGED not in present.gates.values():
            return replace(baseline, present=present), due.because
        lately = relearn_lately(subject, now, stopping=stopping)
        return changed(baseline, lately, present), "the noise of the last hour is not that of history"

    def _back_off(self, memory: _Memory) -> None:
        first, longest = _BACKOFF
        memory.not_before = self._clock.monotonic() + min(longest, first * 2.0 ** min(memory.failures, 16))
        memory.failures += 1


def due(app: AppKey, baseline: Baseline | NotLearned, releases: Sequence[Object], now: float) -> Due | None:
    """What a policy needs now, or None."""
    phases = [(one, _phase(one)) for one in releases]
    if under_way(releases):
        return None
    # Of several that wait only one begins: the one that is examined already, or the oldest.
    waiting = sorted(
        (phase != Phase.PREFLIGHT.value, str(one["metadata"].get("creationTimestamp", "")), str(one["metadata"]["uid"]))
        for one, phase in phases
        if phase in _WAITING and "deletionTimestamp" not in one["metadata"]
    )
    if waiting:
        uid = waiting[0][2]
        present = baseline.present.release if isinstance(baseline, Baseline) and baseline.present is not None else ""
        if uid == present:
            return None
        return Due(app, Task.PRESENT, "a release waits for the look at the last hour", uid)
    if isinstance(baseline, NotLearned):
        return Due(app, Task.LEARN, f"{baseline.reason}: {baseline.detail}")
    age = now - baseline.learned_at
    if age >= DAY:
        return Due(app, Task.LEARN, f"learned {age / 3_600.0:.0f} hours ago")
    promoted = _last_promotion(phases)
    if promoted > baseline.learned_at - SETTLED and now - promoted >= SETTLED:
        return Due(app, Task.LEARN, "a version was promoted since")
    if age >= UNLEARNED and any(isinstance(one, NotLearned) for one in baseline.gates.values()):
        return Due(app, Task.LEARN, "a gate could not be learned the last time")
    if age >= SETTLED and baseline.present is not None and Likeness.CHANGED in baseline.present.gates.values():
        return Due(app, Task.LEARN, "learned from the last hours only")
    return None


def under_way(releases: Sequence[Object]) -> bool:
    """Whether one of these releases moves pods: what it relies on must stay as it is."""
    return any(phase not in _ENDED and phase not in _WAITING for phase in map(_phase, releases))


def _phase(release: Object) -> str:
    return str((release.get("status") or {}).get("phase") or "")


def _last_promotion(phases: Sequence[tuple[Object, str]]) -> float:
    """When a version was promoted last, epoch seconds; 0 where none was."""
    ends = []
    for one, phase in phases:
        if phase == Phase.SUCCEEDED.value:
            try:
                ends.append(seconds(str((one.get("status") or {}).get("since", ""))))
            except ValueError:
                continue
    return max(ends, default=0.0)


def changed(baseline: Baseline, lately: Baseline, present: Present) -> Baseline:
    """The baseline with the gates whose noise has changed as the last hours teach them; where they cannot, with none.

    The others keep what four weeks have taught. Of many gates one is often outside its usual range by chance, and six
    segments are a poor exchange for 84.
    """
    gates = dict(baseline.gates)
    for name, one in present.gates.items():
        found = lately.gates.get(name)
        if one is not Likeness.CHANGED or found is None:
            continue
        if isinstance(found, NotLearned):
            found = NotLearned("NoiseChanged", f"the noise is not that of history, and the last hours: {found.detail}")
        gates[name] = found
    return replace(baseline, learned_at=lately.learned_at, gates=gates, present=present)


def unanswered(baseline: Baseline) -> bool:
    """Whether nothing was learned because the store did not answer."""
    reasons = [one.reason if isinstance(one, NotLearned) else "" for one in baseline.gates.values()]
    return bool(reasons) and all(reason in _SILENT for reason in reasons)


def _says_nothing_new(before: Baseline, after: Baseline) -> bool:
    """Whether neither teaches anything, for the same reasons: no write for that."""

    def nothing(one: Baseline) -> dict[str, str] | None:
        reasons = {name: gate.reason for name, gate in one.gates.items() if isinstance(gate, NotLearned)}
        return reasons if len(reasons) == len(one.gates) else None

    return (told := nothing(before)) is not None and told == nothing(after)


def _reasons(baseline: Baseline) -> str:
    told = sorted({one.detail for one in baseline.gates.values() if isinstance(one, NotLearned)})
    return "; ".join(told)[:500]


@lru_cache(maxsize=1024)
def _policy(text: bytes) -> ReleasePolicy | None:
    """The policy in an object, None where it is none: `ReleasePolicy` says elsewhere why."""
    try:
        return from_object(msgspec.json.decode(text))
    except PolicyRefused:
        return None


__all__ = ["Due", "Learner", "Task", "changed", "due", "unanswered", "under_way"]
