"""What a release relies on of what was learned: chosen once, before it begins, and never exchanged while it runs.

A threshold is a promise about all looks of a release together. One that changed between two looks would promise
nothing, so a release that began with a baseline goes on with that one or with none; the gates then act on assumed pod
noise and say so, and the release goes on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from analysis.band import LearnedBand
from analysis.learned import Learned, NotLearned
from controller.baseline import Baseline, learning_digest, restored
from controller.release.instants import rfc3339
from controller.release.record import Record, Relied
from policies.schema import Gate, ReleasePolicy

Found = Mapping[str, Any] | None  # the Baseline object, or None where there is none


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the gates may rely on, by the gate's name: noise and thresholds, and the band of the app's own history."""

    gates: Mapping[str, Learned | NotLearned] = field(default_factory=dict)
    bands: Mapping[str, LearnedBand | NotLearned] = field(default_factory=dict)


_ABSENT = NotLearned("NoBaseline", "no baseline of this policy has been learned yet")


def read(obj: Found, policy: ReleasePolicy, window: float, now: float) -> Baseline | NotLearned:
    """The baseline of a policy as it stands now, or why there is none to rely on. `window` in seconds."""
    return _ABSENT if obj is None else _read(obj, learning_digest(policy, window), now)


_PARTS = ("payload", "checksum", "version", "encoding")  # of the status; everything else is for people
_HOUR = 3600.0


def _read(obj: Mapping[str, Any], digest: str, now: float) -> Baseline | NotLearned:
    """What an object holds. Every tick of a release finds the same text, and unpacking it is the most of its work."""
    status = obj.get("status")
    parts = tuple(status.get(name) for name in _PARTS) if isinstance(status, Mapping) else ()
    if not parts or not all(isinstance(part, str | int) for part in parts):
        return restored(obj, digest=digest, now=now)
    return _unpacked(parts, digest, math.ceil(now / _HOUR) * _HOUR)


@lru_cache(maxsize=64)
def _unpacked(parts: tuple[str | int, ...], digest: str, now: float) -> Baseline | NotLearned:
    return restored({"status": dict(zip(_PARTS, parts, strict=True))}, digest=digest, now=now)


def is_present(baseline: Baseline | NotLearned, uid: str) -> bool:
    """Whether the last hour was held against the baseline for the release with this uid."""
    return isinstance(baseline, Baseline) and baseline.present is not None and baseline.present.release == uid


def relied(baseline: Baseline | NotLearned, policy: ReleasePolicy) -> Relied | None:
    """What a release that begins now relies on."""
    if isinstance(baseline, NotLearned):
        return None
    known = tuple(_margined(gate) for gate in policy.spec.learnable if _knows(baseline, gate))
    return Relied(baseline.digest, baseline.learned_at, known)


def notes(baseline: Baseline | NotLearned, policy: ReleasePolicy, uid: str) -> tuple[str, ...]:
    """Which baseline a release relies on and what stands behind each gate, one line each, for its record."""
    if isinstance(baseline, NotLearned):
        return (f"no baseline ({baseline.reason}: {baseline.detail}): every gate assumes pod noise",)
    checked = "checked against the last hour" if is_present(baseline, uid) else "not checked against the last hour"
    lines = [f"baseline version {baseline.version} learned at {rfc3339(baseline.learned_at)}, {checked}"]
    for gate in policy.spec.learnable:
        one = baseline.gates.get(gate.name, _ABSENT)
        told = f"assumed pod noise ({one.reason}: {one.detail})" if isinstance(one, NotLearned) else str(one.standing)
        band = baseline.bands.get(gate.name)
        if isinstance(band, LearnedBand):
            told = f"{told}; history band of {band.days:.3g} days"
        lines.append(f"gate {gate.name}: {told}")
    return tuple(lines)


def knowledge(record: Record, obj: Found, gates: Sequence[Gate], now: float) -> Knowledge:
    """What the gates of a running release may rely on: the baseline that it began with, as long as that is there."""
    if record.baseline is None:
        return _nothing(gates, _LATER)
    baseline = _ABSENT if obj is None else _read(obj, record.baseline.digest, now)
    if isinstance(baseline, NotLearned):
        return _nothing(gates, baseline)
    if baseline.learned_at != record.baseline.learned_at:
        began = rfc3339(record.baseline.learned_at)
        return _nothing(gates, NotLearned("Changed", f"the release began with the baseline of {began}, which is gone"))
    return Knowledge({gate.name: _of_gate(record.baseline, baseline, gate) for gate in gates}, baseline.bands)


def _nothing(gates: Sequence[Gate], why: NotLearned) -> Knowledge:
    return Knowledge(dict.fromkeys((gate.name for gate in gates), why))


_LATER = NotLearned("NoBaseline", "the release began without a baseline")


def _of_gate(began: Relied, baseline: Baseline, gate: Gate) -> Learned | NotLearned:
    if _margined(gate) not in began.gates and _knows(baseline, gate):
        return NotLearned("Changed", "an edit tightened the margin that the thresholds were learned for")
    return baseline.gates.get(gate.name, NotLearned("Changed", "an edit added the gate to the running release"))


def _knows(baseline: Baseline, gate: Gate) -> bool:
    return not isinstance(baseline.gates.get(gate.name, _ABSENT), NotLearned)


def _margined(gate: Gate) -> str:
    return f"{gate.name} {gate.margin}"
