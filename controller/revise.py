"""What an observation changes in the record before anything is decided.

The person's D, reversals of our writes, names of ReplicaSets seen, settled time, and the clocks that a hold stops:
each is a function of (record, observation), so that a controller killed between two writes computes it again.
"""

from __future__ import annotations

from dataclasses import replace

from controller.release import (
    FORWARD,
    Observation,
    Phase,
    PodState,
    Record,
    SlotRecord,
    SlotState,
    Span,
)
from controller.strategies import Strategy
from policies.schema import ReleasePolicySpec

MOST_SPANS = 48
MOST_REPLICA_SETS = 8


def revised(record: Record, seen: Observation, policy: ReleasePolicySpec, strategy: Strategy) -> Record:
    """The record as the observation has it; phases, stages and holds are left to `decide`."""
    if record.phase not in FORWARD and record.phase is not Phase.ROLLING_BACK:
        return record
    record = _with_others_writes(record, seen)
    record = replace(
        record,
        incumbent=_with_replica_sets(record.incumbent, seen.incumbents),
        contender=_with_replica_sets(record.contender, seen.contenders),
        ready=(seen.available("contender"), seen.available("incumbent")),
    )
    if record.phase is Phase.ROLLING_BACK:
        return closed(record, seen.now)
    settled = not strategy.unsettled(record, seen, policy)
    if settled:
        # A tick that was frozen and woke in a later stage has a `now` from before it.
        return replace(_opened(record, max(seen.now, record.stage_since)), moving_since=None)
    record = closed(record, seen.now)
    return record if record.moving_since is not None else replace(record, moving_since=seen.now)


def _with_others_writes(record: Record, seen: Observation) -> Record:
    """Adopt the D of a person who scaled the live slot; count whoever undoes our replicas.

    D is what people last set on the incumbent's Deployment. Setting it back to D itself, or touching the contender,
    asks for nothing new: that is a reversal, named by the slot's generation so that it is counted once.
    """
    reversed_here: list[str] = []
    desired = record.desired
    live, spare = seen.incumbent, seen.contender
    if live is not None and _set_by_others(live, seen.uid):
        if live.replicas == record.desired or _stripped(live, seen.uid):
            reversed_here.append(_reversal(live))
            desired = max(desired, live.replicas)
        elif record.phase is Phase.ROLLING_BACK:
            desired = max(desired, live.replicas)
        else:
            desired = live.replicas
    if spare is not None and _set_by_others(spare, seen.uid):
        reversed_here.append(_reversal(spare))
    new = tuple(name for name in reversed_here if name not in record.reversals)
    return replace(record, desired=desired, reversals=record.reversals + new)


def _stripped(slot: SlotState, uid: str) -> bool:
    return slot.claim is None or slot.claim.uid != uid


def _set_by_others(slot: SlotState, uid: str) -> bool:
    return _stripped(slot, uid) or (slot.claim is not None and slot.claim.replicas != slot.replicas)


def _reversal(slot: SlotState) -> str:
    return f"{slot.name}@{slot.generation}"


def _with_replica_sets(slot: SlotRecord | None, pods: tuple[PodState, ...]) -> SlotRecord | None:
    if slot is None:
        return None
    new = sorted({pod.replica_set for pod in pods} - set(slot.replica_sets))
    return replace(slot, replica_sets=(*slot.replica_sets, *new)[-MOST_REPLICA_SETS:]) if new else slot


def _opened(record: Record, now: float) -> Record:
    if record.observing and record.observing[-1].end is None:
        return record
    return replace(record, observing=(*record.observing, Span(now))[-MOST_SPANS:])


def closed(record: Record, now: float) -> Record:
    """The record with its last span of settled time ended."""
    if not record.observing or record.observing[-1].end is not None:
        return record
    last = record.observing[-1]
    return replace(record, observing=(*record.observing[:-1], Span(last.start, max(last.start, now))))
