"""The only place where a release's fate is chosen.

`decide` is pure: record, observation, verdicts, policy and `now` in, one decision out. It reads as the questions are
asked: whose objects are these, does anybody want to turn back, are the pods well, what do the gates say, may we go on.
Danger is asked before delay, and delay before progress, so that no hold hides a reason to turn back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from controller.back import back
from controller.forward import forward
from controller.release.decision import Decision, Finish
from controller.release.observation import Observation, SlotState
from controller.release.record import GateVerdict, Record
from controller.release.vocabulary import Cause, Phase
from controller.slots import undoer_of, writer_of
from policies.schema import ReleasePolicySpec

MOST_REVERSALS = 2


def decide(record: Record, seen: Observation, verdicts: Sequence[GateVerdict], policy: ReleasePolicySpec) -> Decision:
    """What becomes of a release whose capacity may have moved (phases Canary, Batch and RollingBack).

    `seen.now` is the tick's one `now`. `verdicts` are empty while the batch is not settled.
    """
    match record.phase:
        case Phase.CANARY | Phase.BATCH:
            return _foreign_hands(record, seen) or forward(record, seen, verdicts, policy)
        case Phase.ROLLING_BACK:
            return _foreign_hands(record, seen) or back(record, seen, policy)
        case Phase.QUEUED | Phase.PREFLIGHT:
            raise ValueError(f"{record.phase}: preflight decides before anything moves")
        case Phase.SUCCEEDED | Phase.ROLLED_BACK | Phase.NEEDS_HUMAN | Phase.CANCELLED:
            raise ValueError(f"{record.phase} is an end; nothing is left to decide")
        case _:
            assert_never(record.phase)


# ----------------------------------------------------------------------------------- is this still our release?


def _foreign_hands(record: Record, seen: Observation) -> Decision | None:
    """States in which no automatic write can be safe: stop, leave everything as it is, ask for a person."""
    live, spare = seen.incumbent, seen.contender
    # A Deployment that is being deleted makes no pods any more, however long its finalizers keep its object.
    if live is None or live.deleting:
        # The old version is gone: whatever still serves must not be touched.
        return Finish(
            Phase.NEEDS_HUMAN,
            Cause.WORKLOAD_MISSING,
            f"Deployment {record.incumbent.name if record.incumbent else '?'} (incumbent) was deleted in mid-release; "
            f"{seen.available('contender')} contender pods serve and are left alone. Recreate it, "
            f"then run {seen.command('restore')}.",
        )
    for slot, known in ((live, record.incumbent), (spare, record.contender)):
        if slot is None or known is None:
            continue
        if known.uid and slot.uid != known.uid:
            return Finish(
                Phase.NEEDS_HUMAN,
                Cause.WORKLOAD_REPLACED,
                f"Deployment {slot.name} was deleted and created anew in mid-release (uid {slot.uid}, was "
                f"{known.uid}). Check which version should serve, then run {seen.command('restore')}.",
            )
        if slot.claim is not None and slot.claim.uid == seen.uid and slot.claim.epoch > record.epoch:
            return Finish(
                Phase.NEEDS_HUMAN,
                Cause.STATE_REGRESSED,
                f"Deployment {slot.name} was moved at epoch {slot.claim.epoch}, but the record stands at epoch "
                f"{record.epoch}: the record is older than the cluster (restored from a backup?).",
            )
    if len(record.reversals) >= MOST_REVERSALS:
        return Finish(Phase.NEEDS_HUMAN, Cause.FIELD_FIGHT, _fought(record, seen, live, spare))
    return None


def _fought(record: Record, seen: Observation, live: SlotState, spare: SlotState | None) -> str:
    """Who undoes what we write: the last two reversals at least are of one release."""
    what, times = record.reversals[-1].partition("@")[0], f"{len(record.reversals)} times"
    slot = next((slot for slot in (spare, live) if slot is not None and slot.name == what), None)
    if slot is not None:
        return (
            f"{writer_of(slot.raw, 'spec', 'replicas')} set spec.replicas of Deployment {what} back {times}. Make it "
            "ignore the field (Argo CD: ignoreDifferences with jsonPointers [/spec/replicas, /spec/template]), then "
            f"run {seen.command('restore')}."
        )
    slot = next((slot for slot in (spare, live) if slot is not None and what.startswith(f"{slot.name}.")), None)
    field = what.removeprefix(f"{slot.name}.") if slot is not None else ""
    obj = next((obj for ref, obj in seen.objects.items() if str(ref) == what), None)
    who = writer_of(slot.raw, "spec", *field.split(".")) if slot is not None else undoer_of(obj or {})
    where = f"spec.{field} of Deployment {slot.name}" if slot is not None else f"what this release set on {what}"
    return (
        f"{who} set {where} back {times}. Make the tool that writes it leave it alone while a release runs, then run "
        f"{seen.command('restore')}."
    )
