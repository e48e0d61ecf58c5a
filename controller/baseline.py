"""What was learned of one policy, as a value and as the object that keeps it between releases.

Theory. The object is a memory, not a truth: all of it can be learned again from the metric store. So nothing in it is
repaired. `restored` gives the value only where version, checksum, types and ranges are right, the policy is the one
that it was learned for, and it is not too old; in every other case it says why not, and the learner learns anew.
Everything is in one field with one checksum, and everything is written at once, so that a half of it never exists.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec
import numpy as np

from analysis.band import LearnedBand
from analysis.learned import Learned, LearnedCounts, LearnedLatency, LearnedLevels, NotLearned, Variation
from controller.release import GROUP
from policies.load import to_object as policy_object
from policies.schema import ReleasePolicy

BASELINE_VERSION = 1
MAX_AGE = 7 * 86_400.0  # seconds; learned daily, so an older one means that the store has been silent for a week
MAX_OBJECT = 100 * 1024  # bytes
_ROOM = 8 * 1024  # bytes of the object that are not payload: names, owner, the summary for people
_PLAIN = 48 * 1024  # characters up to which the payload stays readable JSON
_MOST_INFLATED = 4 * 1024 * 1024  # bytes; a payload that grows beyond it was not written by us
_CLOCK_SKEW = 300.0  # seconds by which a baseline may come from the future


class Likeness(StrEnum):
    """How the noise of the last hour compares with what was learned."""

    SAME = "same"
    CHANGED = "changed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Excluded:
    """A stretch of history that taught nothing, from `start` to `end` in epoch seconds, and why."""

    start: float
    end: float
    because: str


@dataclass(frozen=True, slots=True)
class Present:
    """What the last hour said before a release: whose it was (`release` is a uid), when, and per gate."""

    release: str
    checked_at: float
    gates: Mapping[str, Likeness] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Baseline:
    """Everything that history taught about one policy's gates.

    digest: of what the learning depends on, see `learning_digest`. start, end: the span of history in epoch seconds.
    window: seconds. coverage: share of the wanted windows that had data. gates, bands: by the gate's name.
    """

    digest: str
    learned_at: float
    window: float
    start: float
    end: float
    coverage: float
    excluded: tuple[Excluded, ...] = ()
    gates: Mapping[str, Learned | NotLearned] = field(default_factory=dict)
    bands: Mapping[str, LearnedBand | NotLearned] = field(default_factory=dict)
    present: Present | None = None
    version: int = BASELINE_VERSION


# ------------------------------------------------------------------------------------------------- the digest

_MATTERS = ("target", "metrics", "strategy", "gates", "observe", "promise", "baseline")


def learning_digest(policy: ReleasePolicy, window: float) -> str:
    """Digest of what the learning depends on: gates, plan, observation, promise and the window in seconds.

    An edit of anything else (a deadline, a hold) leaves what was learned in force.
    """
    spec = policy_object(policy)["spec"]
    matters = {key: spec[key] for key in _MATTERS if key in spec}
    text = json.dumps({"spec": matters, "window": window}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# -------------------------------------------------------------------------------------------------- writing


def to_object(
    baseline: Baseline, *, namespace: str, name: str, policy_uid: str, resource_version: str = ""
) -> dict[str, Any]:
    """The manifest of the Baseline object called as its policy, at most 100 KiB.

    Where everything does not fit, the largest bands go first and then the largest gates: each leaves a NotLearned.
    """
    fitting = _fitting(baseline)
    payload, encoding = _payload(fitting)
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    if policy_uid:
        metadata["ownerReferences"] = [
            {"apiVersion": f"{GROUP}/v1alpha1", "kind": "ReleasePolicy", "name": name, "uid": policy_uid}
        ]
    if resource_version:
        metadata["resourceVersion"] = resource_version
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "Baseline",
        "metadata": metadata,
        "spec": {"policy": name},
        "status": {
            **_summary(fitting),
            "version": baseline.version,
            "policyDigest": baseline.digest,
            "encoding": encoding,
            "checksum": _checksum(payload),
            "payload": payload,
        },
    }


def _fitting(baseline: Baseline) -> Baseline:
    """The baseline without whatever does not fit into the object."""
    room = MAX_OBJECT - _ROOM
    for field_name in ("bands", "gates"):
        many: dict[str, Any] = dict(getattr(baseline, field_name))
        while len(_payload(baseline)[0]) > room:
            kept = {name: one for name, one in many.items() if not isinstance(one, NotLearned)}
            if not kept:
                break
            largest = max(kept, key=lambda name: len(msgspec.json.encode(_packed(kept[name]))))
            many[largest] = NotLearned(
                "TooLarge", f"what was learned of {largest} does not fit into {MAX_OBJECT} bytes"
            )
            baseline = replace(baseline, bands=many) if field_name == "bands" else replace(baseline, gates=many)
    if len(_payload(baseline)[0]) > room:
        baseline = replace(baseline, excluded=())
    return baseline


def _payload(baseline: Baseline) -> tuple[str, str]:
    """Text and its encoding: JSON as it is, or deflated where that is too long."""
    data = {
        "version": baseline.version,
        "digest": baseline.digest,
        "learnedAt": baseline.learned_at,
        "window": baseline.window,
        "start": baseline.start,
        "end": baseline.end,
        "coverage": baseline.coverage,
        "excluded": [[one.start, one.end, one.because] for one in baseline.excluded],
        "gates": {name: _packed(one) for name, one in baseline.gates.items()},
        "bands": {name: _packed(one) for name, one in baseline.bands.items()},
        "present": None if baseline.present is None else msgspec.to_builtins(baseline.present),
    }
    text = msgspec.json.encode(_rounded(data)).decode()
    if len(text) <= _PLAIN:
        return text, "json"
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode(), "json+gzip+base64"


def _packed(one: Any) -> dict[str, Any]:
    """A learned value as builtins, with the name of its type: a union cannot be told from its fields alone."""
    return {"is": _NAMES[type(one)], **msgspec.to_builtins(one, enc_hook=_plain)}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} in a baseline")


def _rounded(value: Any) -> Any:
    """Numbers to six significant digits, times of day to a millisecond; JSON knows no infinity, so it gets a name."""
    match value:
        case bool() | int() | str() | None:
            return value
        case float():
            if math.isinf(value):
                return {"float": "inf" if value > 0 else "-inf"}
            if math.isnan(value):
                return {"float": "nan"}
            return round(value, 3) if abs(value) >= 1e5 else float(f"{value:.6g}")
        case Mapping():
            return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value]


def _checksum(payload: str) -> str:
    return f"sha256:{hashlib.sha256(payload.encode()).hexdigest()}"


def _summary(baseline: Baseline) -> dict[str, Any]:
    """What people read of it."""
    gates = [
        {"name": name, "status": _status(one), "message": _message(one)} for name, one in sorted(baseline.gates.items())
    ]
    bands = [
        {"name": name, "status": "learned" if not isinstance(one, NotLearned) else "not learned"}
        | ({"message": f"{one.reason}: {one.detail}"} if isinstance(one, NotLearned) else {})
        for name, one in sorted(baseline.bands.items())
    ]
    counted = [one.standing.segments for one in baseline.gates.values() if not isinstance(one, NotLearned)]
    summary: dict[str, Any] = {
        "present": None,
        "learnedAt": time_text(baseline.learned_at),
        "begins": time_text(baseline.start),
        "ends": time_text(baseline.end),
        "coverage": f"{100.0 * baseline.coverage:.0f}%",
        "excluded": len(baseline.excluded),
        "segments": min(counted, default=0),
        "status": overall(baseline),
        "gates": gates,
        "bands": bands,
    }
    if baseline.present is not None:
        # Lists and no maps by name: a merge patch would keep the names of gates that are gone.
        summary["present"] = {
            "release": baseline.present.release,
            "checkedAt": time_text(baseline.present.checked_at),
            "gates": [{"name": name, "noise": str(one)} for name, one in sorted(baseline.present.gates.items())],
        }
    return summary


def overall(baseline: Baseline) -> str:
    """The state of all gates in a word or two: the weakest of them."""
    states = {_status(one) for one in baseline.gates.values()}
    if not states or states == {"not learned"}:
        return "not learned"
    if "not learned" in states:
        return "partly learned"
    return "noise changed" if "noise changed" in states else "calibrated"


def _status(one: Learned | NotLearned) -> str:
    return "not learned" if isinstance(one, NotLearned) else one.standing.guarantee.value


def _message(one: Learned | NotLearned) -> str:
    return f"{one.reason}: {one.detail}" if isinstance(one, NotLearned) else str(one.standing)


def time_text(at: float) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


# -------------------------------------------------------------------------------------------------- reading


class _Distrusted(Exception):
    """Something in an object is not as we write it."""


def restored(obj: Mapping[str, Any], *, digest: str, now: float) -> Baseline | NotLearned:
    """The baseline in an object, or why it must be learned anew. Never raises, whatever the object holds.

    digest: of the policy as it is now. now: epoch seconds. Reasons: Corrupt, OtherVersion, OtherPolicy, Old.
    """
    try:
        return _restored(obj, digest, now)
    except _Distrusted as error:
        return NotLearned("Corrupt", str(error))
    except _UNREADABLE as error:
        return NotLearned("Corrupt", f"the baseline cannot be read: {type(error).__name__}")


_UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)


def _restored(obj: Mapping[str, Any], digest: str, now: float) -> Baseline | NotLearned:
    status = obj.get("status")
    if not isinstance(status, Mapping) or not isinstance(status.get("payload"), str):
        raise _Distrusted("the object holds no payload")
    if status.get("version") != BASELINE_VERSION:
        return NotLearned(
            "OtherVersion", f"version {status.get('version')!r:.20}, this controller reads {BASELINE_VERSION}"
        )
    payload: str = status["payload"]
    if status.get("checksum") != _checksum(payload):
        raise _Distrusted("the checksum does not fit the payload")
    baseline = _decoded(_text(payload, status.get("encoding")))
    if baseline.digest != digest:
        return NotLearned("OtherPolicy", f"learned for the policy {baseline.digest}, which is now {digest}")
    if (age := now - baseline.learned_at) > MAX_AGE:
        return NotLearned("Old", f"learned {age / 86_400.0:.1f} days ago, above {MAX_AGE / 86_400.0:g}")
    if age < -_CLOCK_SKEW:
        return NotLearned("Corrupt", f"learned {-age:.0f} s in the future")
    return baseline


def _text(payload: str, encoding: Any) -> bytes:
    if encoding == "json":
        return payload.encode()
    if encoding != "json+gzip+base64":
        raise _Distrusted(f"the payload is encoded as {encoding!r:.40}")
    inflate = zlib.decompressobj(wbits=31)
    try:
        text = inflate.decompress(base64.b64decode(payload, validate=True), _MOST_INFLATED)
    except zlib.error:
        raise _Distrusted("the payload cannot be inflated") from None
    if not inflate.eof or inflate.unused_data:
        raise _Distrusted("the payload is cut off, too long, or followed by something else")
    return text


def _decoded(text: bytes) -> Baseline:
    data = _named(msgspec.json.decode(text, type=dict[str, Any]))
    numbers = [float(data[key]) for key in ("learnedAt", "window", "start", "end", "coverage")]
    if not all(map(math.isfinite, numbers)):
        raise _Distrusted("a time or the coverage is not finite")
    learned_at, window, start, end, coverage = numbers
    if window <= 0.0 or end < start or not 0.0 <= coverage <= 1.0:
        raise _Distrusted("window, span or coverage is out of range")
    present = data["present"]
    return Baseline(
        version=data["version"],
        digest=data["digest"],
        learned_at=learned_at,
        window=window,
        start=start,
        end=end,
        coverage=coverage,
        excluded=tuple(Excluded(*one) for one in msgspec.convert(data["excluded"], list[tuple[float, float, str]])),
        gates={name: _unpacked(one, _GATES) for name, one in data["gates"].items()},
        bands={name: _unpacked(one, _BANDS) for name, one in data["bands"].items()},
        present=None if present is None else msgspec.convert(present, Present),
    )


def _named(value: Any) -> Any:
    """Infinities under their name back as numbers."""
    if isinstance(value, dict):
        return float(value["float"]) if value.keys() == {"float"} else {k: _named(one) for k, one in value.items()}
    return [_named(one) for one in value] if isinstance(value, list) else value


def _unpacked(packed: dict[str, Any], types: Mapping[str, type[Any]]) -> Any:
    content = dict(packed)
    kind = content.pop("is")
    if kind not in types:
        raise _Distrusted(f"something learned is called {kind!r:.40}")
    found = msgspec.convert(content, types[kind])
    if fault := _nonsense(found):
        raise _Distrusted(f"{kind}: {fault}")
    return found


_GATES: Mapping[str, type[Any]] = {
    "counts": LearnedCounts,
    "latency": LearnedLatency,
    "levels": LearnedLevels,
    "nothing": NotLearned,
}
_BANDS: Mapping[str, type[Any]] = {"band": LearnedBand, "nothing": NotLearned}
_NAMES: Mapping[type[Any], str] = {kind: name for name, kind in (*_GATES.items(), *_BANDS.items())}


def _nonsense(one: Any) -> str:
    """Why something learned cannot be what any learner found, or ""."""
    for name, value in _numbers(one):
        if math.isnan(value) or (math.isinf(value) and name != "times"):
            return f"{name} is {value}"
        if (name in _POSITIVE and value <= 0.0) or (name in _NOT_NEGATIVE and value < 0.0):
            return f"{name} is {value:g}"
        if name == "extra" and value <= -1.0:
            return f"{name} is {value:g}"  # newborn pods may have fewer events than old ones, but never less than none
        if name in _SHARES and not 0.0 <= value <= 1.0:
            return f"{name} is {value:g}"
    lengths = [(len(part.times), len(part.variances)) for part in _parts(one) if isinstance(part, Variation)]
    if any(times != variances for times, variances in lengths):
        return "times and variances differ in length"
    return ""


_POSITIVE = frozenset({"spread", "prior_sd", "seconds", "margin_ratio", "times"})
_NOT_NEGATIVE = frozenset({"variances", "rate", "within", "segments", "replays"})
_SHARES = frozenset({"rho", "alpha", "share", "realised"})


def _parts(one: Any) -> Iterator[Any]:
    """A dataclass and every dataclass in it."""
    if isinstance(one, tuple):
        for item in one:
            yield from _parts(item)
    elif is_dataclass(one):
        yield one
        for part in fields(one):
            yield from _parts(getattr(one, part.name))


def _numbers(one: Any) -> Iterator[tuple[str, float]]:
    """Every number in a dataclass, with the name of its field."""

    def flat(name: str, value: Any) -> Iterator[tuple[str, float]]:
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)
        elif isinstance(value, tuple):
            for item in value:
                yield from flat(name, item)

    for part in _parts(one):
        for each in fields(part):
            yield from flat(each.name, getattr(part, each.name))
