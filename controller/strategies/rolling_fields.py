"""What the rolling strategy borrows of its Deployment, what it writes there meanwhile, and how it gives it back.

Borrowed are minReadySeconds, progressDeadlineSeconds, paused, and the surge and unavailability of the Deployment's own
rolling update. They are saved in the record and in our claim before they are changed; in the claim beside the digest of
the incumbent's template, for a way back without a record. The template itself is kept by the incumbent's ReplicaSet.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from controller.release.observation import SlotState
from controller.release.record import Record, Saved

KIND = "Deployment"
# Contenders of a held rollout serve, but are never Available to the native controller: it stops by itself.
NEVER_AVAILABLE = 2_147_483_646
NO_DEADLINE = 2_147_483_647  # must be above minReadySeconds
_DEADLINE, _SHARE = 600, "25%"  # the API server's own defaults

_MIN_READY, _PROGRESS = "spec.minReadySeconds", "spec.progressDeadlineSeconds"
_STRATEGY, _PAUSED, _INCUMBENT = "spec.strategy", "spec.paused", "incumbent"

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Borrowed:
    """The Deployment's fields as people had set them (None: not set), and the version that served then."""

    incumbent: str
    min_ready: int | None
    deadline: int | None
    paused: bool
    strategy: Mapping[str, Any] | None

    @property
    def surge(self) -> object:
        return _rolling(self.strategy).get("maxSurge", _SHARE)

    @property
    def unavailable(self) -> object:
        return _rolling(self.strategy).get("maxUnavailable", _SHARE)


def saved(slot: SlotState) -> Saved:
    """What is borrowed of a Deployment: as our claim says it was, or as it is now."""
    if slot.claim is not None and read(slot.claim.saved) is not None:
        claimed = {key: value for key, value in json.loads(slot.claim.saved).items() if key != _INCUMBENT}
        return Saved(KIND, slot.name, slot.uid, json.dumps(claimed, sort_keys=True, separators=(",", ":")))
    spec = slot.raw.get("spec") or {}
    told = {
        _MIN_READY: spec.get("minReadySeconds"),
        _PROGRESS: spec.get("progressDeadlineSeconds"),
        _STRATEGY: spec.get("strategy"),
        _PAUSED: spec.get("paused"),
    }
    return Saved(KIND, slot.name, slot.uid, json.dumps(told, sort_keys=True, separators=(",", ":")))


def of_record(record: Record, name: str) -> str:
    """What the record says was borrowed of a Deployment, or ""."""
    return next((each.fields for each in record.saved if each.kind == KIND and each.name == name), "")


def claim_text(record: Record, slot: SlotState, incumbent: str) -> str:
    """The same for our claim, with the version that served then; an older claim of ours is kept as it is."""
    if slot.claim is not None and slot.claim.saved:
        return slot.claim.saved
    text = of_record(record, slot.name)
    if not text:
        return ""
    return json.dumps({**json.loads(text), _INCUMBENT: incumbent}, sort_keys=True, separators=(",", ":"))


def borrowed(record: Record, slot: SlotState) -> Borrowed | None:
    """What was borrowed of a Deployment: the record says it, or our claim where the record was lost."""
    claimed = read(slot.claim.saved) if slot.claim is not None else None
    found = read(of_record(record, slot.name)) or claimed
    if found is None or found.incumbent:
        return found
    known = record.incumbent.digest if record.incumbent is not None else ""
    return replace(found, incumbent=known or (claimed.incumbent if claimed is not None else ""))


def read(text: str) -> Borrowed | None:
    """`Saved.fields` read back; None where it is nothing that we could have written."""
    try:
        told = json.loads(text)
        strategy = told[_STRATEGY]
        return Borrowed(
            incumbent=str(told.get(_INCUMBENT, "")),
            min_ready=None if told[_MIN_READY] is None else int(told[_MIN_READY]),
            deadline=None if told[_PROGRESS] is None else int(told[_PROGRESS]),
            paused=bool(told[_PAUSED]),
            strategy=strategy if isinstance(strategy, Mapping) else None,
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


# ------------------------------------------------------------------------------------------------- what we write


def held(surge: int, unavailable: int, *, paused: bool) -> dict[str, Any]:
    """The fields of a rollout that stops at `surge + unavailable` contenders; pods."""
    return {
        "minReadySeconds": NEVER_AVAILABLE,
        "progressDeadlineSeconds": NO_DEADLINE,
        "strategy": _strategy(surge, unavailable),
        "paused": paused,
    }


def backing(was: Borrowed, surge: int, unavailable: int, *, paused: bool) -> dict[str, Any]:
    """The fields under which the native controller exchanges contenders for incumbents, for as long as it is let."""
    return {**held(surge, unavailable, paused=paused), "minReadySeconds": was.min_ready}


def given_back(was: Borrowed, desired: int, surge: int, unavailable: int, *, settled: bool) -> dict[str, Any]:
    """All the fields as people had set them; null where they were not set.

    Until the last pods have moved (`settled`), a surge or unavailability beyond the policy's is not given back yet, nor
    the pause of an idle Deployment.
    """
    return {
        "minReadySeconds": was.min_ready,
        "progressDeadlineSeconds": was.deadline,
        "strategy": was.strategy if settled or _within(was, desired, surge, unavailable) else
        _strategy(surge, unavailable),
        "paused": True if settled and was.paused else None,
    }  # fmt: skip


def _within(was: Borrowed, desired: int, surge: int, unavailable: int) -> bool:
    """Whether the Deployment's own surge and unavailability promise no less than the policy's."""
    own_surge, own_slack = amount(was.surge, desired, up=True), amount(was.unavailable, desired, up=False)
    if own_surge == 0 and own_slack == 0:
        own_slack = 1  # the native controller's way out
    return own_surge <= surge and own_slack <= unavailable


def _strategy(surge: int, unavailable: int) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


# ------------------------------------------------------------------------------------------------ what is there


def differing(slot: SlotState, fields: Fields) -> str:
    """The first of these fields that the Deployment does not have as they say; "" where it has them all."""
    spec = slot.raw.get("spec") or {}
    for name, value in fields.items():
        if _effective(name, spec.get(name)) != _effective(name, value):
            return name
    return ""


def fences(slot: SlotState) -> tuple[int, int] | None:
    """(surge, unavailable) of the Deployment where they are pods, as we write them; None where they are not."""
    rolling = _rolling((slot.raw.get("spec") or {}).get("strategy"))
    found = rolling.get("maxSurge"), rolling.get("maxUnavailable")
    return (found[0], found[1]) if isinstance(found[0], int) and isinstance(found[1], int) else None


def amount(value: object, of: int, *, up: bool) -> int:
    """Pods that a number or a percent of `of` means, rounded as the native controller rounds."""
    if isinstance(value, int):
        return value
    share = float(str(value).rstrip("%")) / 100.0
    return math.ceil(of * share - 1e-9) if up else math.floor(of * share + 1e-9)


def _rolling(strategy: object) -> Mapping[str, Any]:
    found = strategy.get("rollingUpdate") if isinstance(strategy, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _effective(name: str, value: object) -> object:
    """A field with the API server's default in the place of nothing."""
    match name:
        case "minReadySeconds":
            return value or 0
        case "progressDeadlineSeconds":
            return value or _DEADLINE
        case "paused":
            return bool(value)
        case "strategy":
            rolling = _rolling(value)
            kind = value.get("type", "RollingUpdate") if isinstance(value, Mapping) else "RollingUpdate"
            return kind, rolling.get("maxSurge", _SHARE), rolling.get("maxUnavailable", _SHARE)
    return value
