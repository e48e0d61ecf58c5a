"""How a release starts: bound to two versions, to D, to a policy and to what it borrows; pure."""

from __future__ import annotations

from dataclasses import replace

from controller.applying import applied
from controller.case import Case
from controller.pinned import pin
from controller.release.decision import Advance, RollBack
from controller.release.observation import Observation, SlotState
from controller.release.record import Record, SlotRecord
from controller.release.vocabulary import Cause
from controller.strategies.stages import last_batch


def admitted(case: Case, record: Record, live: SlotState, spare: SlotState, notes: tuple[str, ...]) -> Record:
    """Bind the release to two versions by digest, to D and to the policy, and begin its first stage."""
    record = bound(case, record, live, spare)
    stages = case.course.stages(record)
    stage = 0 if case.origin in ("change", "home") else last_batch(stages)
    sizes = ", ".join(each.name or str(each.contender) for each in stages)
    plan = f"{record.desired} pods, contender targets {sizes}"
    record = replace(
        record,
        asked=case.attempt.asked,
        started=case.now,
        notes=(plan, *case.course.merged(record.desired), *notes),
    )
    return applied(record, Advance(stage, plan), (), case.now)


def bound(case: Case, record: Record, live: SlotState, spare: SlotState | None) -> Record:
    """The record with its policy pinned and its slots named: from here on it knows the way back."""
    record = replace(
        pin(record, case.policy),
        incumbent=SlotRecord(live.name, live.uid, live.digest),
        contender=SlotRecord(spare.name, spare.uid, spare.digest) if spare is not None else _missing(case, live),
    )
    return replace(record, stages=len(case.course.stages(record)) - 1)


def _missing(case: Case, live: SlotState) -> SlotRecord:
    """The slot that does not exist (any more)."""
    return SlotRecord(next(name for name in case.course.slot_names if name != live.name), "", "")


def restoring(case: Case, observed: Observation, record: Record) -> Record:
    """The record with the D that the slots' claims, or the release to be restored, remember."""
    claims = [slot.claim for slot in (observed.incumbent, observed.contender) if slot is not None and slot.claim]
    of = case.restored
    wanted = [claim.desired for claim in claims] + ([of.record.desired] if of is not None else [])
    return replace(record, desired=max([case.course.desired(record, observed), *wanted]))


def admitted_restore(case: Case, observed: Observation, record: Record) -> Record:
    """Bind a restore to what is there, and turn back at once."""
    live, spare = observed.incumbent, observed.contender
    assert live is not None
    epochs = [slot.claim.epoch for slot in (live, spare) if slot is not None and slot.claim is not None]
    record = replace(
        bound(case, record, live, spare),
        stages=0,
        asked=case.attempt.asked,
        started=case.now,
        epoch=max(record.epoch, *epochs, 0),
    )
    of = case.attempt.spec.restore_of
    return applied(record, RollBack(Cause.RESTORE, f"restore of release {of} to {live.name}"), (), case.now)
