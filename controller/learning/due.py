"""When a policy's baseline is due to be learned, or a release waits for the look at the last hour.

- A release waits before its start: the last hour is held against what was learned, and where the noise has changed
  everything is learned anew from the last three hours.
- No release is under way, and there is no baseline that can be trusted, or it is a day old, or it was learned from the
  last hours only, or a version was promoted since: an hour after the promotion, when its pods are no longer new.
- While a release is under way, or watched after its end, nothing is learned: its thresholds are a promise about all of
  its looks together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from analysis.learned import NotLearned
from controller.attempt import seconds
from controller.baseline import Baseline, Likeness
from controller.release.names import AppKey
from controller.release.vocabulary import ENDS, Phase

DAY = 86_400.0
SETTLED = 3_600.0  # seconds after a promotion before the new pods teach anything
UNLEARNED = 3_600.0  # seconds after which a gate that could not be learned is tried again

_WAITING = frozenset({Phase.QUEUED.value, Phase.PREFLIGHT.value, ""})
_ENDED = frozenset(phase.value for phase in ENDS)

Object = Mapping[str, Any]


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
    """Whether one of these releases moves pods, or is watched: what it relies on must stay as it is."""
    return any(_moves(one) or _watched(one) for one in releases)


def _moves(release: Object) -> bool:
    phase = _phase(release)
    return phase not in _ENDED and phase not in _WAITING


def _watched(release: Object) -> bool:
    watch = (release.get("status") or {}).get("watch")
    return isinstance(watch, Mapping) and not watch.get("over")


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


__all__ = ["UNLEARNED", "Due", "Object", "Task", "due", "under_way"]
