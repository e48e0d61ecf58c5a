"""What an observation changes in the record before anything is decided.

The person's D, reversals of our writes, names of ReplicaSets seen, settled time, and the clocks that a hold stops:
each is a function of (record, observation), so that a controller killed between two writes computes it again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controller.accompanied import Accompanied
from controller.release.observation import Observation, PodState
from controller.release.record import Record, SlotRecord, Span
from controller.release.vocabulary import FORWARD, Phase

MOST_SPANS = 48
MOST_REPLICA_SETS = 8


def changed(record: Record, **fields: Any) -> Record:
    """The record with these fields: at most looks it has them already, and is the same record."""
    news = {name: value for name, value in fields.items() if getattr(record, name) != value}
    return replace(record, **news) if news else record


def revised(record: Record, seen: Observation, course: Accompanied) -> Record:
    """The record as the observation has it; phases, stages and holds are left to `decide`."""
    if record.phase not in FORWARD and record.phase is not Phase.ROLLING_BACK:
        return record
    desired, reversals = course.noticed(record, seen)
    record = changed(
        record,
        desired=desired,
        reversals=(*record.reversals, *(name for name in reversals if name not in record.reversals)),
        incumbent=with_replica_sets(record.incumbent, seen.incumbents),
        contender=with_replica_sets(record.contender, seen.contenders),
        ready=(seen.available("contender"), seen.available("incumbent")),
    )
    if record.phase is Phase.ROLLING_BACK:
        return closed(record, seen.now)
    settled = not course.unsettled(record, seen)
    if settled:
        # A tick that was frozen and woke in a later stage has a `now` from before it.
        return changed(_opened(record, max(seen.now, record.stage_since)), moving_since=None)
    record = closed(record, seen.now)
    return record if record.moving_since is not None else replace(record, moving_since=seen.now)


def with_replica_sets(slot: SlotRecord | None, pods: tuple[PodState, ...]) -> SlotRecord | None:
    """What is known of a slot, with the ReplicaSets of these pods."""
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
