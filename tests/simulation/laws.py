"""The laws of a release, as hooks after every write of a controller: what must hold at the API server itself."""

from __future__ import annotations

import json

from controller.attempt import parsed
from controller.pinned import pinned
from controller.release.plan import PatchSlot
from controller.release.record import Record
from controller.release.vocabulary import ENDS
from controller.requests.failure import Failure
from controller.requests.writes import WriteRecord, WriteSlot
from controller.simulation.world import Trace, World
from controller.transitions import MOVES
from policies.schema import ReleasePolicy
from policies.strategy import Moves


class LawBroken(AssertionError):
    """A write that must never happen; the message has the numbers."""


def availability(world: World, trace: Trace) -> None:
    """S1: lowering a slot keeps D - U available pods, even if only available ones go."""
    move = _move(world, trace)
    if move is None:
        return
    name, before, after, record, moves = move
    if after >= before:
        return
    slots = _names(record)
    ready = {slot: _available(world, slot) for slot in slots}
    floor = record.desired - moves.unavailable(record.desired)
    total, here = sum(ready.values()), ready.get(name, 0)
    if total - min(here, before - after) < floor and before - after > max(total - floor, before - here, 0):
        raise LawBroken(f"S1: {name} {before} -> {after} with {ready} available, at least {floor} must stay")


def surge(world: World, trace: Trace) -> None:
    """S2: raising a slot never asks for more than D + S pods in total."""
    move = _move(world, trace)
    if move is None:
        return
    name, before, after, record, moves = move
    if after <= before:
        return
    asked = sum(_replicas(world, name) for name in _names(record))
    most = record.desired + moves.surge(record.desired)
    if asked > most:
        raise LawBroken(f"S2: {name} {before} -> {after} makes {asked} pods, at most {most} may be")


def one_outcome(_world: World, trace: Trace) -> None:
    """S5: an end is for ever, and every change of phase is one of the table."""
    if not isinstance(trace.request, WriteRecord) or isinstance(trace.answer, Failure):
        return
    assert trace.before is not None and trace.after is not None
    was, is_now = parsed(trace.before), parsed(trace.after)
    if was.problem:
        return
    if was.record.phase in ENDS and is_now.record.phase is not was.record.phase:
        raise LawBroken(f"S5: {was.name} ended {was.record.phase} and became {is_now.record.phase}")
    if is_now.record.phase is not was.record.phase and is_now.record.phase not in MOVES[was.record.phase]:
        raise LawBroken(f"no move from {was.record.phase} to {is_now.record.phase}")
    if is_now.record.epoch < was.record.epoch:
        raise LawBroken(f"the epoch fell from {was.record.epoch} to {is_now.record.epoch}")


_BORROWED = {
    "twin": {"replicas", "template", "minReadySeconds"},
    "twin behind a router": {"replicas", "template", "minReadySeconds", "paused"},
    "blueGreen": {"replicas", "template", "minReadySeconds", "paused"},
    "recreate": {"replicas", "template", "paused"},
    "rolling": {"template", "minReadySeconds", "progressDeadlineSeconds", "strategy", "paused"},
}


def blast_radius(world: World, trace: Trace) -> None:
    """S13: only the fields of its strategy change; of two slots, only one without pods gets a template."""
    if not isinstance(trace.request, WriteSlot) or not isinstance(trace.request.write, PatchSlot) or not trace.applied:
        return
    assert trace.before is not None and trace.after is not None
    before, after = trace.before["spec"], trace.after["spec"]
    changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    policy = _policy(world)
    if policy is None:
        return
    kind = "twin behind a router" if policy.spec.strategy.traffic is not None else policy.spec.strategy.kind
    if changed - _BORROWED[kind]:
        raise LawBroken(f"S13: a patch of {trace.request.write.name} changed {sorted(changed)}")
    if kind not in ("recreate", "rolling") and "template" in changed and int(before.get("replicas", 1)) != 0:
        raise LawBroken(f"S13: a template was put into {trace.request.write.name} with {before['replicas']} replicas")


ALL = (availability, surge, one_outcome, blast_radius)


def _move(world: World, trace: Trace) -> tuple[str, int, int, Record, Moves] | None:
    """(slot, replicas before, after, the record, its strategy) of a write that changed capacity."""
    request = trace.request
    if not isinstance(request, WriteSlot) or not isinstance(request.write, PatchSlot) or not trace.applied:
        return None
    if request.write.replicas is None or request.write.claim is None:
        return None
    assert trace.before is not None and trace.after is not None
    release = world.objects.items.get(("Release", request.namespace, request.write.claim.release))
    policy = _policy(world)
    if release is None or policy is None:
        return None
    moves = policy.spec.strategy.moves
    before, after = int(trace.before["spec"]["replicas"]), int(trace.after["spec"]["replicas"])
    return request.write.name, before, after, parsed(release).record, moves


def _names(record: Record) -> set[str]:
    """The Deployments of a release: two slots, or one for both versions."""
    return {slot.name for slot in (record.incumbent, record.contender) if slot is not None}


def _policy(world: World) -> ReleasePolicy | None:
    """The policy of a world of one app, while it is there."""
    found = [obj for key, obj in world.objects.items.items() if key[0] == "ReleasePolicy"]
    return pinned(json.dumps(found[0])) if found else None


def _replicas(world: World, name: str) -> int:
    found = [obj for key, obj in world.objects.items.items() if key[0] == "Deployment" and key[2] == name]
    return int(found[0]["spec"]["replicas"]) if found else 0


def _available(world: World, name: str) -> int:
    found = [obj for key, obj in world.objects.items.items() if key[0] == "Deployment" and key[2] == name]
    if not found:
        return 0
    min_ready = float(found[0]["spec"].get("minReadySeconds") or 0)
    namespace = found[0]["metadata"]["namespace"]
    return sum(pod.state.available(world.now, min_ready) for pod in world.pods_of(name, namespace))
