"""The object that keeps a baseline between releases, written as a whole and read back with suspicion.

Theory. The object is a memory, not a truth: all of it can be learned again from the metric store. So nothing in it is
repaired. `restored` gives the value only where version, checksum, types and ranges are right, the policy is the one
that it was learned for, and it is not too old; in every other case it says why not, and the learner learns anew.
Everything is in one field with one checksum, and everything is written at once, so that a half of it never exists.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from analysis.learned import Learned, NotLearned
from controller.baseline.payload import Distrusted, packed, read_payload, write_payload
from controller.baseline.value import BASELINE_VERSION, Baseline
from controller.release.instants import rfc3339
from controller.release.names import GROUP

MAX_AGE = 7 * 86_400.0  # seconds; learned daily, so an older one means that the store has been silent for a week
MAX_OBJECT = 100 * 1024  # bytes
_ROOM = 20 * 1024  # bytes of the object that are not payload: names, owner, the summary for people
_MESSAGE = 160  # characters of a message in the summary; the payload has all of it
_CLOCK_SKEW = 300.0  # seconds by which a baseline may come from the future


def to_object(
    baseline: Baseline, *, namespace: str, name: str, policy_uid: str, resource_version: str = ""
) -> dict[str, Any]:
    """The manifest of the Baseline object called as its policy, at most 100 KiB.

    Where everything does not fit, the largest bands go first and then the largest gates: each leaves a NotLearned.
    """
    fitting = _fitting(baseline)
    payload, encoding = write_payload(fitting)
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
        while len(write_payload(baseline)[0]) > room:
            kept = {name: one for name, one in many.items() if not isinstance(one, NotLearned)}
            if not kept:
                break
            largest = max(kept, key=lambda name: len(msgspec.json.encode(packed(kept[name]))))
            many[largest] = NotLearned(
                "TooLarge", f"what was learned of {largest} does not fit into {MAX_OBJECT} bytes"
            )
            baseline = replace(baseline, bands=many) if field_name == "bands" else replace(baseline, gates=many)
    if len(write_payload(baseline)[0]) > room:
        baseline = replace(baseline, excluded=())
    return baseline


def _checksum(payload: str) -> str:
    return f"sha256:{hashlib.sha256(payload.encode()).hexdigest()}"


def _summary(baseline: Baseline) -> dict[str, Any]:
    """What people read of it."""
    gates = [
        {"name": name, "status": _status(one), "message": _message(one)} for name, one in sorted(baseline.gates.items())
    ]
    bands = [
        {"name": name, "status": "learned" if not isinstance(one, NotLearned) else "not learned"}
        | ({"message": _message(one)} if isinstance(one, NotLearned) else {})
        for name, one in sorted(baseline.bands.items())
    ]
    counted = [one.standing.segments for one in baseline.gates.values() if not isinstance(one, NotLearned)]
    summary: dict[str, Any] = {
        "present": None,
        "learnedAt": rfc3339(baseline.learned_at),
        "begins": rfc3339(baseline.start),
        "ends": rfc3339(baseline.end),
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
            "checkedAt": rfc3339(baseline.present.checked_at),
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
    told = f"{one.reason}: {one.detail}" if isinstance(one, NotLearned) else str(one.standing)
    return told if len(told) <= _MESSAGE else told[: _MESSAGE - 3] + "..."


def restored(obj: Mapping[str, Any], *, digest: str, now: float) -> Baseline | NotLearned:
    """The baseline in an object, or why it must be learned anew. Never raises, whatever the object holds.

    digest: of the policy as it is now. now: epoch seconds. Reasons: Corrupt, OtherVersion, OtherPolicy, Old.
    """
    try:
        return _restored(obj, digest, now)
    except Distrusted as error:
        return NotLearned("Corrupt", str(error))
    except _UNREADABLE as error:
        return NotLearned("Corrupt", f"the baseline cannot be read: {type(error).__name__}")


_UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)


def _restored(obj: Mapping[str, Any], digest: str, now: float) -> Baseline | NotLearned:
    status = obj.get("status")
    if not isinstance(status, Mapping) or not isinstance(status.get("payload"), str):
        raise Distrusted("the object holds no payload")
    if status.get("version") != BASELINE_VERSION:
        return NotLearned(
            "OtherVersion", f"version {status.get('version')!r:.20}, this controller reads {BASELINE_VERSION}"
        )
    payload: str = status["payload"]
    if status.get("checksum") != _checksum(payload):
        raise Distrusted("the checksum does not fit the payload")
    baseline = read_payload(payload, status.get("encoding"))
    if baseline.digest != digest:
        return NotLearned("OtherPolicy", f"learned for the policy {baseline.digest}, which is now {digest}")
    if (age := now - baseline.learned_at) > MAX_AGE:
        return NotLearned("Old", f"learned {age / 86_400.0:.1f} days ago, above {MAX_AGE / 86_400.0:g}")
    if age < -_CLOCK_SKEW:
        return NotLearned("Corrupt", f"learned {-age:.0f} s in the future")
    return baseline
