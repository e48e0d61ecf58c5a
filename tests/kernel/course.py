"""Laws of a release's course: its phases and its one end, its holds, its only writer, and what ignorance forbids."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from controller.release.record import Record
from controller.release.vocabulary import HoldReason, Phase
from controller.requests import Request
from controller.requests.fetches import FetchCounts, FetchReadings, FetchTotals
from controller.requests.looks import ReadReleases
from controller.simulation.world import World
from controller.slots import template_digest
from controller.transitions import MOVES
from tests.kernel.memory import (
    MOVING,
    Moment,
    available_in,
    claim_of,
    moves_of,
    patched,
    pinned_by,
    replicas,
    slot,
    ungated,
)


def one_end(now: Moment) -> str:
    record, life = now.record, now.life
    if record is None or life is None or not life.ends:
        return ""
    says = (record.phase, record.cause.value if record.cause else "")
    return f"it had ended {life.ends[0]} and was written {says}" if says != life.ends[0] else ""


def legal_moves(now: Moment) -> str:
    record, was, life = now.record, now.was, now.life
    if record is None or was is None or life is None:
        return ""
    if record.phase is not was.phase and record.phase not in MOVES[was.phase]:
        return f"{was.phase} -> {record.phase}"
    if record.cause is not None and record.cause.value == "RecordInvalid":
        return ""  # the record before was nobody's
    if record.sequence <= was.sequence:
        return f"sequence {was.sequence} -> {record.sequence}"
    if record.epoch < was.epoch:
        return f"epoch {was.epoch} -> {record.epoch}"
    if record.phase is not was.phase and was.phase in MOVING and record.epoch == was.epoch:
        return f"{was.phase} -> {record.phase} without a new epoch"
    if record.phase is was.phase and record.stage < was.stage:
        return f"stage {was.stage} -> {record.stage}"
    return ""


def restored(now: Moment) -> str:
    record = now.record
    if record is None or now.ending is not Phase.ROLLED_BACK or record.incumbent is None:
        return ""
    live = slot(now.world, record.incumbent.name)
    if live is None:
        return f"{record.incumbent.name} does not exist"
    alone = record.contender is None or record.contender.name == record.incumbent.name
    size = int(live["spec"]["replicas"])
    left = 0 if alone or record.contender is None else replicas(now.world, record.contender.name)
    if (size, left) != (record.desired, 0):
        return f"incumbent {size} of {record.desired}, contender {left}"
    if (digest := template_digest(live["spec"]["template"])) != record.incumbent.digest:
        return f"{record.incumbent.name} holds {digest}, recorded was {record.incumbent.digest}"
    pods = now.eyes.pods.items if now.eyes.pods is not None else ()
    min_ready = float(live["spec"].get("minReadySeconds") or 0)
    ready = len(available_in(pods, record.incumbent.name, now.entry.at, min_ready))
    floor = record.desired - moves_of(record).unavailable(record.desired)
    if ready < floor:
        return f"{ready} of {floor} promised incumbent pods were seen ready"
    return given_back(now.world, record)


def given_back(world: World, record: Record, namespace: str = "shop") -> str:
    """What a release borrowed and has not given back, by the record that says how it was."""
    for saved in record.saved:
        obj = next((o for (kind, space, name), o in world.objects.items.items()
                    if (kind, space, name) == (saved.kind, namespace, saved.name)), None)  # fmt: skip
        if obj is None or obj["metadata"]["uid"] != saved.uid:
            continue  # somebody else took it away
        fields = json.loads(saved.fields)
        if "spec.scaleTargetRef" in fields and record.phase is Phase.SUCCEEDED and record.contender is not None:
            fields["spec.scaleTargetRef"]["name"] = record.contender.name  # it follows the app
        for path, value in fields.items():
            found = _found(obj, path.split("."))
            if (found != [value]) if "[*]" not in path else any(each not in found for each in value):
                return f"{path} of {saved.kind} {saved.name} is {found!r}, it was {value!r}"
    return ""


def _found(obj: Any, steps: Sequence[str]) -> list[Any]:
    """What stands at a path; a step that ends with [*] goes on with every item of its list."""
    if not steps:
        return [obj]
    name = steps[0].removesuffix("[*]")
    inner = obj.get(name) if isinstance(obj, dict) else None
    if name == steps[0]:
        return _found(inner, steps[1:])
    return [found for each in inner or () for found in _found(each, steps[1:])]


def lent(now: Moment) -> str:
    record = now.record
    return given_back(now.world, record) if record is not None and now.ending is Phase.SUCCEEDED else ""


def ended_hold(now: Moment) -> str:
    held = now.record.held if now.record is not None else None
    if held is None:
        return ""
    if not held.because or not held.then:
        return f"{held.reason} says neither why nor what then"
    by_person = held.reason in (HoldReason.PAUSED_BY_PERSON, HoldReason.MANUAL)
    return f"{held.reason} has no end" if held.until is None and not by_person else ""


# ------------------------------------------------------------------------- S7, S8: ignorance and mutual exclusion


def direction_of_ignorance(now: Moment) -> str:
    found = patched(now)
    if found is None or found[2] <= found[1]:
        return ""
    claim = claim_of(now.entry.after)
    if claim is None or claim.role != "contender":
        return ""
    assert now.life is not None
    policy = pinned_by(now.life.record).spec
    asked_in_vain = policy.mode == "observe" or ungated(now.life.record)
    needed = {gate.name for gate in policy.gates if gate.required and not asked_in_vain}
    ours, theirs = now.life.record.ready
    watched = min((v.watched for v in now.life.record.verdicts if v.gate in needed), default=0.0)
    # History is a witness where few incumbents are left, and only as long as the stage is observed in any case.
    witness = 4 * theirs < ours and watched < policy.observe.at_most.seconds

    def counts(request: Request) -> bool:
        if isinstance(request, ReadReleases) and not request.policy:
            return False  # other apps' releases are named beside an alert, and decide nothing
        if isinstance(request, FetchTotals):
            return witness and request.gate in needed
        return not isinstance(request, FetchCounts | FetchReadings) or request.gate in needed

    unread = [(type(request).__name__, failure.message) for request, failure in now.eyes.unread if counts(request)]
    return f"contender raised although {unread} could not be read" if unread else ""


def one_writer(now: Moment) -> str:
    moving = [uid for uid, life in now.memory.lives.items() if life.record.phase in MOVING]
    if len(moving) > 1:
        return f"{len(moving)} releases move one app"
    found = patched(now)
    if found is None:
        return ""
    before, after = claim_of(now.entry.before), claim_of(now.entry.after)
    if after is None or now.life is None:
        return ""
    if before is not None and before.uid != after.uid and before.uid in moving:
        return f"{found[0].name} was claimed by {before.release}, which still moves"
    if after.epoch < now.life.record.epoch and found[1] != found[2]:
        return f"{found[0].name} was moved at epoch {after.epoch}, the record stands at {now.life.record.epoch}"
    if before is not None and before.uid == after.uid and after.epoch < before.epoch:
        return f"epoch of {found[0].name} fell from {before.epoch} to {after.epoch}"
    return ""
