"""Laws of capacity: what every write leaves available, how many pods there may be, and what was lost outside."""

from __future__ import annotations

from controller.release.record import Record
from controller.release.vocabulary import FORWARD
from controller.simulation.world import World
from tests.kernel.holds import current_sets, is_held, lately_scaled, min_ready_of
from tests.kernel.memory import (
    Memory,
    Moment,
    available_in,
    claim_of,
    moves_of,
    patched,
    replicas,
    slot,
    stage_of,
)


def availability_of_a_write(now: Moment) -> str:
    found = patched(now)
    if found is None or found[1] <= found[2] or now.life is None:
        return ""
    write, before, after = found
    claim, moves = claim_of(now.entry.after), moves_of(now.life.record)
    if claim is None:
        return f"{write.name} was lowered without a claim"
    if now.eyes.pods is None:
        return f"{write.name} {before} -> {after} on no list of pods of this tick"
    assert now.entry.before is not None
    floor, going = claim.desired - moves.unavailable(claim.desired), before - after
    min_ready = float(now.entry.before["spec"].get("minReadySeconds") or 0)
    names = _slots(now.world, write.name)
    ready = {name: len(available_in(now.eyes.pods.items, name, now.entry.at, min_ready)) for name in names}
    spare = sum(ready.values()) - floor
    if min(ready[write.name], going) <= spare or going <= before - ready[write.name]:
        return ""
    return f"{write.name} {before} -> {after} with {ready} ready and a floor of {floor}"


def surge_of_a_write(now: Moment) -> str:
    found = patched(now)
    if found is None or found[2] <= found[1] or now.life is None:
        return ""
    write, before, after = found
    claim, moves = claim_of(now.entry.after), moves_of(now.life.record)
    if claim is None:
        return f"{write.name} was raised without a claim"
    if after > claim.desired:
        return f"{write.name} {before} -> {after}: more than the whole app of {claim.desired}"
    other = next((name for name in _slots(now.world, write.name) if name != write.name), None)
    if other is None:
        return ""
    theirs = claim_of(slot(now.world, other))
    if theirs is not None and theirs.replicas != replicas(now.world, other):
        return ""  # a person has just scaled the other slot
    total = after + replicas(now.world, other)
    bound = claim.desired + moves.surge(claim.desired)
    return f"{write.name} {before} -> {after}: {total} pods, bound {bound}" if total > bound else ""


def _slots(world: World, name: str, namespace: str = "shop") -> list[str]:
    app = name.removesuffix("-twin")
    return [each for each in (app, f"{app}-twin") if slot(world, each, namespace) is not None]


def availability(world: World, memory: Memory) -> str:
    """Pods may be lost to what happens outside; what goes by our hand must leave D - U, or what was left of it."""
    need, ready = 0, frozenset[str]()
    slots: list[tuple[str, Record]] = []
    moved = False
    for _, life in memory.moving:
        record = life.record
        assert record.incumbent is not None
        need += record.desired - moves_of(record).unavailable(record.desired)
        for name in _slots(world, record.incumbent.name):
            obj = slot(world, name)
            assert obj is not None
            claim = claim_of(obj)
            moved = moved or claim is None or claim.replicas != int(obj["spec"]["replicas"])
            moved = moved or (is_held(record) and lately_scaled(obj, world.now))
            states = [pod.state for pod in world.pods_of(name)]
            ready |= {pod.name for pod in available_in(states, name, world.now, min_ready_of(obj))}
            slots.append((name, record))
    gone = memory.served - ready
    current = {each for name, record in slots for each in current_sets(world, name, record)} if gone else set()
    outside = sum(_lost_outside(world, memory, name, current) for name in gone)
    before, memory.served = memory.level, ready
    memory.level = min(len(ready), need)
    if len(ready) >= need or len(ready) + outside >= before or moved:
        return ""
    return f"{len(ready)} pods are available, {before} were, {need} are promised"


def _lost_outside(world: World, memory: Memory, name: str, current: set[str]) -> bool:
    """Whether a pod that served before went for a reason that is not a slot's replicas."""
    pod = world.pods.get(name)
    if name in memory.excused or pod is None:
        return name in memory.excused
    return not pod.state.terminating or pod.state.replica_set not in current


def settling(world: World, memory: Memory) -> str:
    """Remembers when each stage was last seen without all its pods; breaks nothing itself."""
    for _, life in memory.moving:
        record = life.record
        if record.phase in FORWARD and record.contender is not None:
            target = stage_of(record).contender
            theirs = set(record.contender.replica_sets)
            pods = world.pods_of(record.contender.name)
            states = [pod.state for pod in pods if not is_held(record) or pod.state.replica_set in theirs]
            if len(available_in(states, record.contender.name, world.now, 0.0)) < target:
                life.unsettled = world.now
    return ""
