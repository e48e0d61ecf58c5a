"""The recreate strategy's movements, exhaustively: never do pods of two versions exist at once.

A small world of one Deployment (its template, its pause, its replicas, the pods of each version) is searched. Its
controllers may act on what was ordered at any speed, one pod at a time, between any two writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from controller.release.observation import Observation, PodState, ReplicaSetState
from controller.release.plan import PatchSlot
from controller.release.record import Record, SlotRecord
from controller.release.vocabulary import Phase
from controller.slots import claim_text, slot_state, template_digest
from controller.strategies.recreate import Recreate
from policies.schema import ReleasePolicy, ReleasePolicySpec
from tests.controller.builders import APP, NOW, UID, a_policy, a_record, a_template

ALL = Recreate()
OLD, NEW = a_template("app:v1"), a_template("app:v2")
DIGESTS = {"old": template_digest(OLD), "new": template_digest(NEW)}
TEMPLATES = {"old": OLD, "new": NEW}


def a_recreate() -> ReleasePolicySpec:
    obj = a_policy().model_dump(mode="json", by_alias=True, exclude_none=True)
    obj["spec"]["strategy"] = {"recreate": {}}
    return ReleasePolicy.model_validate(obj).spec


POLICY = a_recreate()


@dataclass(frozen=True)
class World:
    """`old`, `new`: pods that exist, terminating ones included. `known`: ReplicaSets that the controllers have made."""

    template: str = "old"
    paused: bool = False
    replicas: int = 2
    old: int = 2
    new: int = 0
    new_set: bool = False
    claim: str = ""


def ordered(world: World) -> tuple[int, int]:
    """(pods of the old version, of the new one) that the controllers work towards."""
    if world.paused:
        # A paused Deployment still follows its replicas, with the ReplicaSet that has pods.
        return (0, world.replicas) if world.new else (world.replicas, 0)
    return (world.replicas, 0) if world.template == "old" else (0, world.replicas)


def environments(world: World) -> Iterator[World]:
    old, new = ordered(world)
    if not world.paused and world.template == "new" and not world.new_set:
        yield replace(world, new_set=True)
        return
    if world.old > old:
        yield replace(world, old=world.old - 1)
    if world.old < old:
        yield replace(world, old=world.old + 1)
    if world.new > new:
        yield replace(world, new=world.new - 1)
    if world.new < new:
        yield replace(world, new=world.new + 1)


def some_pods(version: str, count: int) -> tuple[PodState, ...]:
    return tuple(PodState(f"checkout-{version}-{n}", f"checkout-{version}", True, NOW - 600.0) for n in range(count))


def look(world: World, record: Record) -> Observation:
    old, new = ordered(world)
    sets = [ReplicaSetState("checkout-old", "u1", "checkout", "old", DIGESTS["old"], old, 0.0, 1, OLD)]
    if world.new_set:
        sets.append(ReplicaSetState("checkout-new", "u2", "checkout", "new", DIGESTS["new"], new, 0.0, 2, NEW))
    spec = {"replicas": world.replicas, "template": TEMPLATES[world.template], "paused": world.paused}
    annotations = {"nightferry.dev/claim": world.claim} if world.claim else {}
    slot = slot_state(
        {
            "metadata": {"name": "checkout", "uid": "u", "resourceVersion": "7", "annotations": annotations},
            "spec": spec,
        }
    )
    pods = (*some_pods("old", world.old), *some_pods("new", world.new))
    cast = ALL.cast(POLICY, record, {"checkout": slot}, sets, pods)
    return Observation(
        app=APP,
        release="rel",
        uid=UID,
        now=NOW,
        incumbent=cast.incumbent,
        contender=cast.contender,
        incumbents=cast.incumbents,
        contenders=cast.contenders,
        replica_sets=tuple(sets),
    )


def the_record(phase: Phase, desired: int = 2) -> Record:
    old, new = (SlotRecord("checkout", "u", DIGESTS[version]) for version in ("old", "new"))
    if phase is Phase.PREFLIGHT:
        return replace(a_record(phase, desired=desired), incumbent=None, contender=None, stages=0)
    return replace(a_record(phase, desired=desired), stages=0, incumbent=old, contender=new)


def following(world: World, write: PatchSlot) -> World:
    after = world
    if write.replicas is not None:
        after = replace(after, replicas=write.replicas)
    if write.template is not None:
        version = "old" if template_digest(write.template) == DIGESTS["old"] else "new"
        after = replace(after, template=version)
    if write.fields is not None and "paused" in write.fields:
        after = replace(after, paused=bool(write.fields["paused"]))
    assert write.claim is not None
    return replace(after, claim=claim_text(write.claim))


def prepared(desired: int) -> World:
    """The new template in a paused Deployment whose old pods serve."""
    world, record = World(replicas=desired, old=desired), the_record(Phase.PREFLIGHT, desired)
    for _ in range(3):
        for write in ALL.prepare(record, look(world, record), NEW).writes:
            assert isinstance(write, PatchSlot) and write.replicas is None
            world = following(world, write)
    assert (world.template, world.paused, world.replicas) == ("new", True, desired)
    assert ALL.prepared(record, look(world, record), NEW)
    assert list(environments(world)) == []  # nothing has moved, and nothing will
    return world


def explore(record: Record, starts: set[World]) -> set[World]:
    seen, frontier = set(starts), list(starts)
    while frontier:
        world = frontier.pop()
        assert not (world.old and world.new), f"both versions at once: {world}"
        nexts = list(environments(world))
        for write in ALL.move(record, look(world, record), POLICY, still=False).writes:
            assert isinstance(write, PatchSlot)
            nexts.append(following(world, write))
        for each in nexts:
            if each not in seen:
                seen.add(each)
                frontier.append(each)
    return seen


def settle(record: Record, world: World) -> World:
    for _ in range(60):
        while following_all := list(environments(world)):
            world = following_all[0]
        writes = ALL.move(record, look(world, record), POLICY, still=False).writes
        if not writes:
            return world
        assert isinstance(writes[0], PatchSlot)
        world = following(world, writes[0])
    raise AssertionError(f"no end of movement from {world}")


@pytest.mark.parametrize("desired", [1, 2, 3])
def test_both_ways_end_at_their_goal_and_never_run_both_versions_at_once(desired: int) -> None:
    forward = the_record(Phase.CANARY, desired)
    found = explore(forward, {prepared(desired)})
    back = the_record(Phase.ROLLING_BACK, desired)
    for world in found:
        end = settle(forward, world)
        assert (end.template, end.paused, end.old, end.new) == ("new", False, 0, desired)
        assert ALL.unsettled(forward, look(end, forward), POLICY) == ""
    # A rollback may begin in any of these states.
    for world in explore(back, found):
        end = settle(back, world)
        assert (end.template, end.paused, end.old, end.new) == ("old", False, desired, 0)
        assert ALL.unrestored(back, look(end, back), POLICY) == ""
    print(f"D={desired}: {len(found)} states")


def test_a_hold_moves_nothing() -> None:
    record = the_record(Phase.CANARY)
    for world in explore(record, {prepared(2)}):
        writes = ALL.move(record, look(world, record), POLICY, still=True).writes
        assert all(isinstance(write, PatchSlot) and write.replicas is None for write in writes)


def test_while_old_pods_end_slowly_nothing_new_is_ordered() -> None:
    record = the_record(Phase.CANARY)
    world = replace(prepared(2), replicas=0, old=1)
    writes = ALL.move(record, look(world, record), POLICY, still=False).writes
    assert all(isinstance(write, PatchSlot) and write.replicas is None for write in writes)
    assert ALL.unsettled(record, look(world, record), POLICY) == "1 pods of the old version are still there"


def test_a_pause_of_ours_is_not_a_persons_and_the_other_way_round() -> None:
    record = the_record(Phase.CANARY)
    ours = prepared(2)
    assert ALL.paused_by(record, look(ours, record)) is None
    end = settle(record, ours)
    assert ALL.paused_by(record, look(replace(end, paused=True), record)) == ("someone", "checkout")


def test_people_set_d_and_setting_it_back_while_it_is_at_nothing_is_a_reversal() -> None:
    record = the_record(Phase.CANARY)
    world = replace(prepared(2), replicas=0, old=0)
    (write,) = ALL.move(record, look(replace(world, replicas=2, old=2), record), POLICY, still=False).writes
    assert isinstance(write, PatchSlot) and write.claim is not None and write.replicas == 0
    claimed = replace(world, claim=claim_text(write.claim))
    assert ALL.noticed(record, look(claimed, record)) == (2, ())
    assert ALL.noticed(record, look(replace(claimed, replicas=2), record)) == (2, ("checkout@0",))
    assert ALL.noticed(record, look(replace(claimed, replicas=5), record)) == (5, ())


def test_an_old_version_without_its_replica_set_is_nobodys_version() -> None:
    record = the_record(Phase.CANARY)
    slot = slot_state({"metadata": {"name": "checkout", "uid": "u"}, "spec": {"replicas": 2, "template": NEW}})
    cast = ALL.cast(POLICY, record, {"checkout": slot}, (), ())
    assert cast.incumbent is not None and cast.incumbent.digest == ""
