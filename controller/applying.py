"""How a decision changes the record, and whether what has changed is worth a write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from operator import attrgetter
from typing import Any, assert_never

from controller.accompanied import Accompanied
from controller.pinned import pinned
from controller.progress import STILL
from controller.record import noted
from controller.release.decision import Advance, Decision, Finish, Hold, Proceed, RollBack
from controller.release.record import GateVerdict, Held, Record
from controller.release.vocabulary import ENDS, FORWARD, HoldReason, Phase
from controller.revise import changed, closed
from controller.transitions import moved

# Holds whose time is not charged to the release's deadline: people's, and the hours in which nothing may go on.
EXCUSED = frozenset({HoldReason.PAUSED_BY_PERSON, HoldReason.MANUAL, HoldReason.WINDOW_CLOSED})
EVIDENCE_EVERY = 60.0  # seconds between writes that only refresh the evidence, or the numbers in a hold's words


def applied(record: Record, decision: Decision, verdicts: Sequence[GateVerdict], now: float) -> Record:
    """The record after a decision. Raises IllegalMove if the decision asks for a move that does not exist."""
    if verdicts:
        record = replace(record, verdicts=tuple(verdicts))
    match decision:
        case Proceed(because):
            after = _unheld(record, now, because)
            return after if record.phase is Phase.ROLLING_BACK else changed(after, because=because)
        case Hold(reason, because, until, then):
            return _held(record, reason, because, until, then, now)
        case Advance(stage, because):
            phase = Phase.CANARY if stage == 0 else Phase.BATCH
            after = _entered(_unheld(record, now, because), phase, f"{_stage_name(stage, record)}: {because}", now)
            after = replace(closed(after, now), stage=stage, stage_since=now, moving_since=now, because=because)
            return noted(after, "Advance", f"to {_stage_name(stage, record)}: {because}", now)
        case RollBack(cause, because):
            after = _entered(_unheld(record, now, because), Phase.ROLLING_BACK, because, now)
            after = replace(closed(after, now), cause=cause, turned=cause, moving_since=now)
            return noted(after, "RollBack", because, now)
        case Finish(phase, cause, because):
            after = _entered(_unheld(record, now, because), phase, because, now)
            after = replace(closed(after, now), cause=cause, moving_since=None)
            return noted(after, phase.value, because, now)
        case _:
            assert_never(decision)


def _entered(record: Record, phase: Phase, because: str, now: float) -> Record:
    """Every change of phase is a new epoch: the stamps that follow fence whoever still acts on the old one."""
    if phase is record.phase:
        return replace(record, because=because)
    return replace(record, phase=moved(record.phase, phase), since=now, because=because, epoch=record.epoch + 1)


def _held(record: Record, reason: HoldReason, because: str, until: float | None, then: str, now: float) -> Record:
    same = record.held is not None and record.held.reason is reason
    if not same:
        record = _unheld(record, now, because)
    since = record.held.since if same and record.held is not None else now
    excused = reason in EXCUSED and record.phase in FORWARD
    record = changed(
        record,
        held=Held(reason, since, until, then, because),
        excused_since=(record.excused_since if record.excused_since is not None else now) if excused else None,
    )
    return record if same else noted(record, f"Hold{reason.value}", because, now)


def _unheld(record: Record, now: float, because: str) -> Record:
    if record.held is None:
        return record
    spent = max(0.0, now - record.excused_since) if record.excused_since is not None else 0.0
    was_still = record.held.reason in STILL
    after = replace(
        record,
        held=None,
        excused=record.excused + spent,
        excused_since=None,
        moving_since=now if was_still and record.moving_since is not None else record.moving_since,
    )
    return noted(after, "Unhold", f"{record.held.reason.value} ended: {because}", now)


def _stage_name(stage: int, record: Record) -> str:
    return Accompanied(pinned(record.policy).spec).stage_name(record, stage)


# Holds whose words have no numbers that pass by: where they differ, something else is true.
_TOLD_AT_ONCE = frozenset(
    {
        HoldReason.WINDOW_CLOSED,
        HoldReason.FROZEN,
        HoldReason.NOT_BEFORE,
        HoldReason.AWAITS_TRAIN,
        HoldReason.QUARANTINED,
        HoldReason.PREFLIGHT_BLIND,
        HoldReason.LEARNING,
        HoldReason.PAUSED_BY_PERSON,
        HoldReason.POLICY_GONE,
        HoldReason.INCUMBENT_CHANGED,
        HoldReason.ALERT,
    }
)


def worth_writing(before: Record, after: Record, now: float) -> bool:
    """Whether `after` says anything that is not only newer numbers in the same sentences, or those are old by now."""
    if _essence(before) != _essence(after):
        return True
    fresh = (before.verdicts != after.verdicts and bool(after.verdicts)) or _words(before) != _words(after)
    return fresh and now - before.verdicts_at >= EVIDENCE_EVERY


def _words(record: Record) -> str:
    return record.held.because if record.held is not None else ""


# What stands in the words of a look, or is counted with every write; of holds and verdicts a part counts.
_PASSING = frozenset({"because", "held", "verdicts", "verdicts_at", "sequence", "intent"})
_lasting = attrgetter(*(each.name for each in fields(Record) if each.name not in _PASSING))


def _essence(record: Record) -> tuple[Any, ...]:
    held = record.held
    return (
        _lasting(record),
        (held.reason, held.since, held.until, held.then) if held is not None else None,
        held.because if held is not None and held.reason in _TOLD_AT_ONCE else "",
        tuple((v.gate, v.verdict, v.required) for v in record.verdicts),
        record.because if record.phase in ENDS else "",
    )
