"""The record: how it is written into and read out of a Release's status; `applying` says how a decision changes it.

The status has two faces. `status.record` is the machine's own memory and is read back; everything else in the status
is a view of it for people, kubectl and kstatus, and is only written. A record that no controller could have written
(edited by hand, of a newer version) is refused as a whole: acting on half of it would be worse than standing still.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from analysis.verdict import Verdict, worst
from controller.accompanied import Accompanied
from controller.pinned import pinned
from controller.release.instants import LAST_YEAR, rfc3339
from controller.release.names import AppKey
from controller.release.record import RECORD_VERSION, Entry, GateVerdict, Held, Record, SlotRecord, Stage
from controller.release.vocabulary import ENDS, FORWARD, Cause, HoldReason, Phase
from controller.release.words import command
from controller.typed import reader
from policies.load import PolicyRefused

MOST_ENTRIES = 40
MOST_BYTES = 60 * 1024  # of the 64 KiB that a record may have; the rest is the view
_read = reader(Record, strict=False)


class RecordInvalid(ValueError):
    """The record is not one that this program wrote; the message says what is wrong with it."""


class RecordTooNew(ValueError):
    """The record was written by a newer version; this one must not touch the app."""


# ------------------------------------------------------------------------------------------- what a record says


def noted(record: Record, kind: str, because: str, now: float) -> Record:
    """The record with one more line in its decision log."""
    evident = kind in ("Advance", "RollBack", *(end.value for end in ENDS)) or kind.startswith("Hold")
    entry = Entry(now, kind, because, record.phase, record.stage, record.verdicts if evident else ())
    entries = (*record.decisions, entry)
    if len(entries) > MOST_ENTRIES:
        # The beginning says what was asked and admitted; the middle may go.
        entries = (*entries[:3], *entries[-(MOST_ENTRIES - 3) :])
    return replace(record, decisions=entries)


def own_name(record: Record) -> str:
    """The name of a release's stage, where it is no batch; "" for the canary, a batch, and before the start."""
    stage = stage_of(record)
    return stage.name if stage is not None else ""


def stage_of(record: Record) -> Stage | None:
    """The stage that a release stands in; None before its start, and for a restore."""
    stages = _stages(record)
    return stages[record.stage] if record.stage < len(stages) else None


def batches_of(record: Record) -> int:
    """How many batches follow the canary; stages with a name of their own are none."""
    return max(0, sum(not each.name for each in _stages(record)) - 1)


def _stages(record: Record) -> tuple[Stage, ...]:
    """The stages of a release that has begun; a restore has none."""
    if not (record.started and record.policy) or record.origin == "restore":
        return ()
    return Accompanied(pinned(record.policy).spec).stages(record)


# --------------------------------------------------------------------------------------------- reading it back


def read_record(status: Mapping[str, Any] | None) -> Record:
    """The record in a Release's status; a Release without a status is Queued.

    Raises RecordInvalid for one that was edited into an impossible state, RecordTooNew for a newer version.
    """
    status = status or {}
    raw = status.get("record")
    if raw is None:
        if status.get("phase") not in (None, "", Phase.QUEUED.value):
            raise RecordInvalid(f"status.phase is {status['phase']}, but status.record is missing")
        return Record()
    version = raw.get("version") if isinstance(raw, Mapping) else None
    if isinstance(version, int) and version > RECORD_VERSION:
        raise RecordTooNew(
            f"record version {version}, this controller knows {RECORD_VERSION}: upgrade the controller again"
        )
    try:
        record = _read(raw)
    except msgspec.ValidationError as error:
        raise RecordInvalid(f"status.record: {error}") from None
    if problem := _impossible(record, status):
        raise RecordInvalid(problem)
    return record


def _impossible(record: Record, status: Mapping[str, Any]) -> str:
    if status.get("phase") != record.phase.value:
        return f"status.phase is {status.get('phase')}, status.record.phase is {record.phase}"
    if record.version != RECORD_VERSION:
        return f"record version {record.version}"
    if not all(0.0 <= at < LAST_YEAR for at in _times(record)):
        return "status.record has a time that no calendar has"
    if record.phase in FORWARD or record.phase is Phase.ROLLING_BACK:
        if not record.policy:
            return f"phase {record.phase} without a pinned policy"
        if record.incumbent is None or record.contender is None:
            return f"phase {record.phase} without its two slots"
        if not 0 <= record.stage <= record.stages:
            return f"stage {record.stage} of {record.stages}"
        if record.desired < 0 or record.epoch < 1:
            return f"{record.desired} desired pods at epoch {record.epoch}"
        if record.phase is Phase.CANARY and record.stage != 0:
            return f"phase Canary in stage {record.stage}"
        if record.phase is Phase.BATCH and record.stage == 0:
            return "phase Batch in stage 0"
        return _at_odds_with_policy(record)
    return ""


def _times(record: Record) -> Iterator[float]:
    """The times that are shown to people, or reckoned with."""
    yield from (
        record.since,
        record.written,
        record.latest,
        record.stage_since,
        record.started,
        record.moving_since or 0,
    )
    yield from (entry.at for entry in record.decisions)
    if record.held is not None:
        yield from (record.held.since, record.held.until or 0.0)
    if record.watch is not None:
        yield from (record.watch.since, record.watch.until)


def _at_odds_with_policy(record: Record) -> str:
    """Whether a record's slots and stages are those of the policy that it has pinned."""
    try:
        spec = pinned(record.policy).spec
    except (ValueError, PolicyRefused) as error:
        said = "; ".join(str(error).splitlines())
        return f"the pinned policy cannot be read: {said}"[:512]
    course = Accompanied(spec)
    slots = sorted({slot.name for slot in (record.incumbent, record.contender) if slot is not None})
    known = sorted(course.slot_names)
    if slots != known:
        return f"slots {', '.join(slots)}, but the policy's are {', '.join(known)}"
    # A restore has no stages: it only leads back.
    stages = 0 if record.origin == "restore" else len(course.stages(record)) - 1
    if record.stages != stages:
        return f"{record.stages} stages, but the policy has {stages}"
    return ""


# -------------------------------------------------------------------------------------------------- writing it


def to_status(record: Record, *, generation: int, policy_name: str) -> dict[str, Any]:
    """The whole status of a Release. Every key is present (null deletes), so that a merge patch replaces it."""
    batches = batches_of(record)
    view: dict[str, Any] = {
        "observedGeneration": generation,
        "app": policy_name,
        "phase": record.phase.value,
        "since": rfc3339(record.since),
        "cause": record.cause.value if record.cause is not None else None,
        "because": record.because[:1024] or None,  # an empty text is no text to an API server
        "verdict": worst(v.verdict for v in record.verdicts if v.required).value if record.verdicts else None,
        "heldReason": record.held.reason.value if record.held is not None else None,
        "held": _held_view(record.held),
        "batchText": own_name(record) or (f"{record.stage}/{batches}" if batches else None),
        "batch": {
            "index": record.stage,
            "name": own_name(record) or None,
            "of": batches,
            "contender": record.ready[0],
            "incumbent": record.ready[1],
            "desired": record.desired,
        },
        "verdicts": [
            {
                "gate": v.gate,
                "verdict": v.verdict.value,
                "required": v.required,
                "because": v.because,
                "evidence": dict(v.evidence),
            }
            for v in record.verdicts
        ],
        "slots": {
            role: _slot_view(slot) for role, slot in (("incumbent", record.incumbent), ("contender", record.contender))
        },
        "watch": _watch_view(record),
        "policyDigest": record.policy_digest or None,
        "epoch": record.epoch,
        "conditions": conditions(record, generation),
        "decisions": [
            {
                "at": rfc3339(entry.at),
                "kind": entry.kind,
                "because": entry.because[:1024],
                "phase": entry.phase.value,
                "batch": entry.stage,
            }
            for entry in record.decisions[-10:]
        ],
    }
    return {**view, "record": _within_bounds(record)}


def _slot_view(slot: SlotRecord | None) -> dict[str, Any] | None:
    """A slot that does not exist yet has a name only: neither an empty text nor a null is a uid to an API server."""
    if slot is None:
        return None
    known = {"uid": slot.uid, "digest": slot.digest}
    return {"name": slot.name, **{key: text for key, text in known.items() if text},
            "replicaSets": list(slot.replica_sets)}  # fmt: skip


def _watch_view(record: Record) -> dict[str, Any] | None:
    watch = record.watch
    if watch is None:
        return None
    over = watch.over if not record.watched else None
    return {"until": rfc3339(watch.until), "over": over, "because": watch.over or None, "release": watch.back or None}


def _held_view(held: Held | None) -> dict[str, Any] | None:
    if held is None:
        return None
    until = rfc3339(held.until) if held.until is not None else None
    return {"reason": held.reason.value, "since": rfc3339(held.since), "until": until, "then": held.then,
            "because": held.because[:1024]}  # fmt: skip


def _within_bounds(record: Record) -> dict[str, Any]:
    """The record as JSON types, with the oldest evidence dropped until it fits."""
    while True:
        built: dict[str, Any] = msgspec.to_builtins(record)
        # With blanks and escapes the text has at most six times these bytes: most records are not written out twice.
        if 6 * len(msgspec.json.encode(built)) <= MOST_BYTES or len(json.dumps(built)) <= MOST_BYTES:
            return built
        evident = [n for n, entry in enumerate(record.decisions) if entry.verdicts]
        if evident and evident[0] < len(record.decisions) - 1:
            entries = list(record.decisions)
            entries[evident[0]] = replace(entries[evident[0]], verdicts=())
            record = replace(record, decisions=tuple(entries))
        elif len(record.decisions) > 1:
            record = replace(record, decisions=record.decisions[1:])
        else:
            return built


_WAITS_FOR_A_PERSON = frozenset(
    {HoldReason.MANUAL, HoldReason.PAUSED_BY_PERSON, HoldReason.UNDECIDED, HoldReason.QUARANTINED}
)


def conditions(record: Record, generation: int) -> list[dict[str, Any]]:
    """kstatus conditions: Ready once it succeeded, Reconciling while it moves, Stalled when it waits for a person."""
    ended, ok = record.phase in ENDS, record.phase is Phase.SUCCEEDED
    waits = record.phase is Phase.NEEDS_HUMAN or (record.held is not None and record.held.reason in _WAITS_FOR_A_PERSON)
    failed = ended and not ok
    reason = record.held.reason.value if record.held is not None else record.phase.value
    message = (record.held.because if record.held is not None else record.because)[:1024]
    at = rfc3339(record.held.since if record.held is not None else record.since)
    return [
        {
            "type": kind,
            "status": "True" if true else "False",
            "reason": reason,
            "message": message,
            "lastTransitionTime": at,
            "observedGeneration": generation,
        }
        for kind, true in (("Ready", ok), ("Reconciling", not ended), ("Stalled", waits or failed))
    ]


def invalid_ending(status: Mapping[str, Any] | None, problem: str, app: AppKey, now: float) -> Record:
    """The record that replaces an impossible one: an end that asks for a person and touches nothing."""
    raw = (status or {}).get("record")
    epoch = raw.get("epoch") if isinstance(raw, Mapping) else 0
    restore = command("restore", app.policy, app.namespace)
    record = Record(
        phase=Phase.NEEDS_HUMAN,
        since=now,
        because=f"{problem}. The app is left as it is; run {restore} to go back to the incumbent.",
        cause=Cause.RECORD_INVALID,
        epoch=epoch if isinstance(epoch, int) and epoch > 0 else 0,
    )
    return noted(record, Phase.NEEDS_HUMAN.value, record.because, now)


def overall(verdicts: Sequence[GateVerdict]) -> Verdict:
    """The worst of the required gates."""
    return worst(v.verdict for v in verdicts if v.required)
