"""Laws of a rollout that is held: what a step of ours lets the native controller do, and whose pods there are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from controller.attempt import seconds
from controller.release.record import Record
from controller.release.vocabulary import FORWARD, Phase
from controller.requests.writes import WriteSlot
from controller.simulation.deployments import ReplicaSet, hash_of
from controller.simulation.world import World
from controller.slots import template_digest
from controller.strategies.rolling_fields import NEVER_AVAILABLE
from tests.kernel.memory import Memory, Moment, available_in, claim_of, moves_of, pinned_by, slot, stage_of


def is_held(record: Record) -> bool:
    """Whether a release moves by the rolling strategy."""
    return bool(record.policy) and pinned_by(record).spec.strategy.kind == "rolling"


def min_ready_of(obj: Mapping[str, Any]) -> float:
    """People's own minReadySeconds: that of the Deployment, or what our claim says it was."""
    found, claim = int(obj["spec"].get("minReadySeconds") or 0), claim_of(obj)
    if found == NEVER_AVAILABLE and claim is not None and claim.saved:
        found = int(json.loads(claim.saved)["spec.minReadySeconds"] or 0)
    return float(found)


def lately_scaled(obj: Mapping[str, Any], now: float) -> bool:
    """Whether somebody set the replicas within the last minute: pods go and come by their hand then."""
    times = (
        seconds(entry["time"])
        for entry in obj["metadata"]["managedFields"]
        if entry["manager"] != "nightferry" and "f:replicas" in (entry["fieldsV1"].get("f:spec") or {})
    )
    return any(0.0 <= now - at <= 60.0 for at in times)


def sets_of(world: World, name: str) -> tuple[ReplicaSet, ...]:
    obj = slot(world, name)
    return world.replica_sets.get(obj["metadata"]["uid"], ()) if obj is not None else ()


def sides_of(world: World, record: Record) -> tuple[int, int]:
    """(replicas of the incumbent's ReplicaSets, of all others)."""
    assert record.incumbent is not None
    sets = sets_of(world, record.incumbent.name)
    old = sum(each.replicas for each in sets if template_digest(each.template) == record.incumbent.digest)
    return old, sum(each.replicas for each in sets) - old


def step(now: Moment) -> str:
    """S1 and S2 of a write that unpauses a held rollout: by its own fences, whatever the pods do next."""
    request, obj = now.request, now.entry.after
    if not isinstance(request, WriteSlot) or obj is None or now.life is None or not is_held(now.life.record):
        return ""
    spec, record = obj["spec"], now.life.record
    if spec.get("paused") or spec.get("minReadySeconds") != NEVER_AVAILABLE or record.incumbent is None:
        return ""
    if now.eyes.pods is None:
        return "a step on no list of pods of this tick"
    fences = spec["strategy"]["rollingUpdate"]
    surge, depth = fences["maxSurge"], fences["maxUnavailable"]
    claim = claim_of(obj)
    assert claim is not None
    desired, stage = claim.desired, stage_of(record)
    if surge + depth > stage.contender or desired - depth < stage.incumbent:
        return f"a step to {desired - depth} + {surge + depth} in a stage of {stage.incumbent} + {stage.contender}"
    old, _ = sides_of(now.world, record)
    names = {s.name for s in sets_of(now.world, obj["metadata"]["name"])
             if template_digest(s.template) == record.incumbent.digest}  # fmt: skip
    pods = available_in(now.eyes.pods.items, obj["metadata"]["name"], now.entry.at, min_ready_of(obj))
    ready = sum(pod.replica_set in names for pod in pods)
    serving = sum(pod.ready and not pod.terminating for pod in now.eyes.pods.items if pod.replica_set in names)
    going, floor = max(0, old - (desired - depth)), desired - moves_of(record).unavailable(desired)
    if min(ready, going) <= len(pods) - floor or going <= old - serving:
        return ""
    return f"a step that takes {going} of {ready} incumbents with {len(pods) - ready} contenders ready, floor {floor}"


def alone(now: Moment) -> str:
    """An ended release leaves one version running."""
    record = now.record
    if record is None or record.phase not in (Phase.SUCCEEDED, Phase.ROLLED_BACK) or not is_held(record):
        return ""
    assert record.incumbent is not None
    old, new = sides_of(now.world, record)
    wanted = (record.desired, 0) if record.phase is Phase.ROLLED_BACK else (0, record.desired)
    return f"{old} + {new} pods, not {wanted[0]} + {wanted[1]}" if (old, new) != wanted else ""


def judged(world: World, memory: Memory) -> str:
    """No contender beyond the stage, as long as nobody else has scaled the app or set our fields back."""
    for _, life in memory.moving:
        record = life.record
        if not is_held(record) or record.incumbent is None or record.phase not in FORWARD:
            continue
        obj = slot(world, record.incumbent.name)
        claim = claim_of(obj)
        if obj is None or claim is None or claim.uid not in memory.lives:
            continue
        same = claim.replicas == obj["spec"]["replicas"] and claim.desired == claim.replicas == record.desired
        settled = (obj.get("status") or {}).get("observedGeneration") == obj["metadata"]["generation"]
        _, new = sides_of(world, record)
        bound, before = stage_of(record).contender, memory.contenders.get(record.incumbent.name, 0)
        memory.contenders = {**memory.contenders, record.incumbent.name: new}
        # What somebody's scaling has left over is put right: from there it only falls.
        if new > max(bound, before) and same and settled and _ours(obj, record):
            return f"{new} contenders in a stage of {bound}"
    return ""


def _ours(obj: Mapping[str, Any], record: Record) -> bool:
    """Whether the Deployment holds one of the two versions of the release."""
    assert record.incumbent is not None and record.contender is not None
    return template_digest(obj["spec"]["template"]) in (record.incumbent.digest, record.contender.digest)


def current_sets(world: World, name: str, record: Record) -> set[str]:
    """The ReplicaSets whose pods go by our hand: both versions of a held rollout, else that of the template."""
    obj = slot(world, name)
    if obj is None:
        return set()
    if is_held(record) and _ours(obj, record):
        return {each.name for each in sets_of(world, name)}
    return {f"{name}-{hash_of(obj['spec']['template'])}"}
