"""Keeps the baselines of all policies: learns what is due, one policy at a time, and never stands in a tick's way.

What is due is said in `due`. All policies are swept for it once, and the sweep's order is worked through: releases that
wait go first. Each policy is looked at again when its turn comes, and what has become due meanwhile is found by the
next sweep, after a few seconds at the latest or the piece of work that is under way.

A fault is told, counted and tried again later and later. What a silent store would leave behind does not replace what
is known. A write carries the version of the object that was read: who loses looks again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from analysis.learned import NotLearned
from controller.baseline import Baseline, Likeness, Present, restored, to_object
from controller.clock import Clock
from controller.learning.asks import History, Why
from controller.learning.cases import Case, Cases, Copies, Memory, Shelf
from controller.learning.due import UNLEARNED, Due, Task, due
from controller.learning.gather import Stopped, Subject
from controller.learning.learn import learn_policy, look_at_present, relearn_lately
from controller.release.names import AppKey
from controller.requests.failure import Failure, FailureKind
from controller.settings import Settings

_SWEEP = 5.0  # seconds after which the order of work is made anew: a release may wait that did not before
_BACKOFF = (30.0, 3_600.0)  # seconds, first and longest
_FRESH = 120.0  # seconds: a baseline so young was just written by another controller

# Why a gate was not learned that says nothing about its history: the store did not answer.
_SILENT = frozenset({Why.UNREACHABLE.value, Why.TIMED_OUT.value, Why.REFUSED.value, Why.UNUSABLE.value})


class Told(Protocol):
    """Who is told what the learner does."""

    def learned(self, app: AppKey, what: str, outcome: str, took: float, because: str) -> None:
        """One piece of work is done."""

    def learner_crashed(self, app: AppKey, error: Exception) -> None:
        """A fault of ours."""


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
        self._cases = Cases(copies, shelf, settings, clock, told.learner_crashed)
        self._shelf = shelf
        self._history = history
        self._clock = clock
        self._told = told
        self._order: deque[AppKey] = deque()
        self._swept = -_SWEEP  # monotonic

    def learned_at(self) -> Mapping[AppKey, float]:
        """When each policy's baseline was learned (epoch seconds), for those that have one."""
        return self._cases.ages()

    def turn(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Does the most urgent piece of work -> whether there was one. A fault of one policy leaves others alone."""
        found = self._most_urgent()
        if found is None or stopping():
            return False
        due, case = found
        memory = self._cases.memory(case.app)
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

    def _most_urgent(self) -> tuple[Due, Case] | None:
        """What is due of the policy whose turn it is, or None where nothing is due of any."""
        if self._clock.monotonic() - self._swept >= _SWEEP:
            self._order.clear()
        while True:
            swept = not self._order
            if swept:
                self._sweep()
            while self._order:
                case = self._cases.now(self._order.popleft())
                if case is not None and (found := self._due(case)) is not None:
                    return found, case
            if swept:
                return None

    def _sweep(self) -> None:
        """Puts everything that is due in its order."""
        found = [one for case in self._cases.swept() if (one := self._due(case)) is not None]
        found.sort(key=lambda one: (one.task is not Task.PRESENT, str(one.app)))
        self._order = deque(one.app for one in found)
        self._swept = self._clock.monotonic()

    def _due(self, case: Case) -> Due | None:
        return due(case.app, case.baseline, case.releases, self._clock.now())

    def _do(self, due: Due, case: Case, stopping: Callable[[], bool]) -> tuple[str, str]:
        """(outcome, why in words): kept, same, lost, refused or unanswered."""
        store = self._history(case.policy.spec.metrics.source)
        if store is None:
            return "unanswered", f"no metric source is named {case.policy.spec.metrics.source}"
        subject = Subject(case.policy, case.app.namespace, store, case.source)
        found = self._shelf.read(case.app.namespace, case.app.policy)
        if isinstance(found, Failure):
            return "unanswered", found.message
        now = self._clock.now()
        before = self._cases.read(Memory(), found, case.policy, case.source)
        if isinstance(before, Baseline) and not due.release and now - before.learned_at < _FRESH:
            return "same", "another controller was faster"
        after, because = self._learned(due, case, subject, before, stopping)
        if after is None:
            return "unanswered", because
        if isinstance(before, Baseline) and not due.release and _says_nothing_new(before, after):
            return "same", because
        if self._cases.under_way(case.app):
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
        self._cases.kept(case.app, written, after.learned_at)
        return "kept", because

    def _learned(
        self, due: Due, case: Case, subject: Subject, before: Baseline | NotLearned, stopping: Callable[[], bool]
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

    def _back_off(self, memory: Memory) -> None:
        first, longest = _BACKOFF
        memory.not_before = self._clock.monotonic() + min(longest, first * 2.0 ** min(memory.failures, 16))
        memory.failures += 1


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


__all__ = ["Learner", "changed", "unanswered"]
