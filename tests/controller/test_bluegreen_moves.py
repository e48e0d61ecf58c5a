"""The blueGreen strategy's movements, exhaustively: every order in which pods may become ready or be lost.

A small world (replicas and ready pods of both sides, where the Service points, what is paused, whether the preview is
there) is searched. The environment may make any unready pod ready, or take one ready pod away, between any two writes.
After every write the two laws of the module hold; once the environment is kind, the movement ends at its goal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from controller.release.names import Ref
from controller.release.observation import Observation, PodState, ReplicaSetState, SlotState
from controller.release.plan import CreateObject, DeleteObject, PatchObject, PatchSlot
from controller.release.record import Record, Saved
from controller.release.vocabulary import Phase
from controller.slots import template_digest
from controller.strategies import pins
from controller.strategies.bluegreen import BlueGreen
from policies.schema import ReleasePolicy, ReleasePolicySpec
from tests.controller.builders import APP, NOW, UID, a_policy, a_record, a_slot, a_template

BLUE = BlueGreen()
LIVE, SPARE = "checkout", "checkout-twin"
OWN = {"app": "checkout"}
HASHES = {LIVE: "aaaaa", SPARE: "bbbbb"}
STAGES = ("preview", "switch", "keep", "hand back")


def a_blue_green(**changes: Any) -> ReleasePolicy:
    """A policy with the blueGreen strategy, whether or not the loader knows it."""
    obj = a_policy().model_dump(mode="json", by_alias=True, exclude_none=True)
    obj["spec"]["strategy"] = {"blueGreen": {"service": "checkout", **changes}}
    return ReleasePolicy.model_validate(obj)


POLICY = a_blue_green().spec


@dataclass(frozen=True)
class World:
    """Counts of both sides, and everything that is borrowed. `at`: where the Service points."""

    i: int
    c: int
    ready_i: int
    ready_c: int
    at: str = "owner"
    paused_i: bool = False
    paused_c: bool = False
    preview: bool = False
    marked: bool = False  # whether the Service carries our annotation
    lost: int = 0

    def reached(self, at: str) -> int:
        """Ready pods behind the Service if it pointed there."""
        ours = {"incumbent": self.ready_i, "contender": self.ready_c, "owner": self.ready_i + self.ready_c}
        return ours.get(at, 0)


def some_pods(slot: str, count: int, ready: int) -> tuple[PodState, ...]:
    hashed = HASHES[slot]
    labels = {"app": "checkout", "pod-template-hash": hashed}
    return tuple(
        PodState(f"{slot}-{hashed}-{n:05d}", f"{slot}-{hashed}", n < ready, NOW - 600.0, labels=labels)
        for n in range(count)
    )


def a_set(slot: str, image: str, replicas: int, hashed: str = "", revision: int = 1) -> ReplicaSetState:
    template = a_template(image)
    hashed = hashed or HASHES[slot]
    digest = template_digest(template)
    return ReplicaSetState(f"{slot}-{hashed}", f"u-{hashed}", slot, hashed, digest, replicas, 0.0, revision, template)


def a_service(at: str, *, marked: bool, version: str = "5", **changes: Any) -> dict[str, Any]:
    selector = {
        "owner": OWN,
        "incumbent": pins.pinned(OWN, HASHES[LIVE]),
        "contender": pins.pinned(OWN, HASHES[SPARE]),
        "elsewhere": {"app": "another"},
    }[at]
    text = f'{{"epoch":1,"release":"rel","selector":{{"app":"checkout"}},"uid":"{UID}"}}'
    annotations = {"nightferry.dev/claim": text} if marked else {}
    return {
        "metadata": {"name": "checkout", "uid": "u-service", "resourceVersion": version, "annotations": annotations},
        "spec": {"selector": dict(selector), "ports": [{"port": 80, "targetPort": 8080}], **changes},
    }


def a_preview() -> dict[str, Any]:
    return {
        "metadata": {
            "name": "checkout-preview",
            "uid": "u-preview",
            "resourceVersion": "6",
            "labels": {"app.kubernetes.io/managed-by": "nightferry", "nightferry.dev/app": "checkout"},
        },
        "spec": {"selector": pins.pinned(OWN, HASHES[SPARE]), "ports": [{"port": 80}]},
    }


def some_endpoints(pods: tuple[PodState, ...]) -> dict[str, Any]:
    ready = [{"targetRef": {"kind": "Pod", "name": pod.name}} for pod in pods if pod.ready]
    return {"subsets": [{"addresses": ready}] if ready else []}


def look(world: World) -> Observation:
    """What a tick sees of this world."""
    incumbents = some_pods(LIVE, world.i, min(world.ready_i, world.i))
    contenders = some_pods(SPARE, world.c, min(world.ready_c, world.c))
    behind = {"incumbent": incumbents, "contender": contenders, "owner": incumbents + contenders}.get(world.at, ())
    objects: dict[Ref, Mapping[str, Any] | None] = {
        Ref("Service", "checkout"): a_service(world.at, marked=world.marked) if world.at != "missing" else None,
        Ref("Service", "checkout-preview"): a_preview() if world.preview else None,
        Ref("Endpoints", "checkout"): some_endpoints(behind) if world.at != "missing" else None,
        Ref("Endpoints", "checkout-preview"): some_endpoints(contenders) if world.preview else None,
    }
    return Observation(
        app=APP,
        release="rel",
        uid=UID,
        now=NOW,
        incumbent=a_slot(LIVE, world.i, "app:v1", role="incumbent", desired=3, paused=world.paused_i),
        contender=a_slot(SPARE, world.c, "app:v2", role="contender", desired=3, paused=world.paused_c),
        incumbents=incumbents,
        contenders=contenders,
        replica_sets=(a_set(LIVE, "app:v1", world.i), a_set(SPARE, "app:v2", world.c)),
        objects=objects,
    )


def the_record(stage: int, *, back: bool = False, desired: int = 3) -> Record:
    phase = Phase.ROLLING_BACK if back else Phase.BATCH if stage else Phase.CANARY
    saved = (Saved("Service", "checkout", "u-service", '{"spec.selector":{"app":"checkout"}}'),)
    return replace(a_record(phase, stage, desired=desired), stages=3, saved=saved)


def following(world: World, write: object) -> World:
    """The worst the cluster may do with a write: of pods that go, only ready ones."""
    match write:
        case PatchSlot(name=name, replicas=int(replicas)) if name == LIVE:
            return replace(world, i=replicas, ready_i=min(world.ready_i, replicas))
        case PatchSlot(replicas=int(replicas)):
            return replace(world, c=replicas, ready_c=min(world.ready_c, replicas))
        case PatchSlot(name=name, fields={"paused": paused}):
            return replace(world, paused_i=bool(paused)) if name == LIVE else replace(world, paused_c=bool(paused))
        case PatchObject(ref=Ref("Service", "checkout"), patch=patch):
            selector = patch.get("spec", {}).get("selector")
            marked = patch["metadata"]["annotations"]["nightferry.dev/claim"] is not None
            if selector is None:
                return replace(world, marked=marked)
            hashed = selector.get("pod-template-hash")
            at = {None: "owner", HASHES[LIVE]: "incumbent", HASHES[SPARE]: "contender"}[hashed]
            return replace(world, at=at, marked=marked)
        case CreateObject(ref=Ref("Service", "checkout-preview")):
            return replace(world, preview=True)
        case DeleteObject(ref=Ref("Service", "checkout-preview")):
            return replace(world, preview=False)
    return world


def assert_laws(world: World, after: World, desired: int, *, back: bool) -> None:
    if (after.at, after.ready_i, after.ready_c) != (world.at, world.ready_i, world.ready_c):
        left, could = after.reached(after.at), max(after.ready_i, after.ready_c)
        enough = left >= desired or left >= world.reached(world.at) or (back and left >= could > 0)
        assert enough, f"traffic: {world} -> {after}"
        assert left > 0 or after.ready_i + after.ready_c == 0, f"traffic to nothing: {world} -> {after}"
    if after.c > world.c:
        assert world.at in ("incumbent", "contender"), f"a contender without a pin: {world} -> {after}"
        assert world.paused_i and world.paused_c, f"a contender beside a Deployment that may roll: {world}"
    pinned = after.at in ("incumbent", "contender")
    if pinned and after.i and after.c:
        assert not (world.paused_i and not after.paused_i), f"un-paused while pinned: {world} -> {after}"


def environments(world: World, losses: int) -> Iterator[World]:
    if world.ready_i < world.i:
        yield replace(world, ready_i=world.ready_i + 1)
    if world.ready_c < world.c:
        yield replace(world, ready_c=world.ready_c + 1)
    if world.lost < losses:
        if world.ready_i:
            yield replace(world, ready_i=world.ready_i - 1, lost=world.lost + 1)
        if world.ready_c:
            yield replace(world, ready_c=world.ready_c - 1, lost=world.lost + 1)


def step(record: Record, world: World, policy: ReleasePolicySpec) -> list[World]:
    """The worlds after each write of one tick."""
    found = [world]
    for write in BLUE.move(record, look(world), policy, still=False).writes:
        found.append(following(found[-1], write))
    return found[1:]


def explore(record: Record, start: World, desired: int, losses: int = 1) -> set[World]:
    seen, frontier = {start}, [start]
    while frontier:
        world = frontier.pop()
        nexts = list(environments(world, losses))
        before = world
        for after in step(record, world, POLICY):
            assert_laws(before, after, desired, back=record.phase is Phase.ROLLING_BACK)
            nexts.append(after)  # a controller may be killed here
            before = after
        for each in nexts:
            if each not in seen:
                seen.add(each)
                frontier.append(each)
    return seen


def settle(record: Record, world: World) -> World:
    for _ in range(50):
        world = replace(world, ready_i=world.i, ready_c=world.c)
        moved = step(record, world, POLICY)
        if not moved or moved[-1] == world:
            return world
        world = moved[-1]
    raise AssertionError(f"no end of movement from {world}")


def goal(stage: int, desired: int) -> World:
    d = desired
    if STAGES[stage] == "hand back":
        return World(0, d, 0, d)
    at = "incumbent" if stage == 0 else "contender"
    return World(d, d, d, d, at, paused_i=True, paused_c=True, preview=True, marked=True)


@pytest.mark.parametrize("desired", [1, 2, 3])
def test_w24_every_stage_and_the_way_back_keep_both_laws_in_every_order_of_events(desired: int) -> None:
    start = World(desired, 0, desired, 0)
    visited = 0
    for stage in range(len(STAGES)):
        record = the_record(stage, desired=desired)
        found = explore(record, replace(start, lost=0), desired)
        visited += len(found)
        for world in found:
            assert replace(settle(record, world), lost=0) == goal(stage, desired)
        # A rollback may begin in any of these states.
        back = the_record(stage, back=True, desired=desired)
        for world in found:
            for state in explore(back, replace(world, lost=1), desired):
                assert replace(settle(back, state), lost=0) == World(desired, 0, desired, 0), state
        start = goal(stage, desired)
    print(f"D={desired}: {visited} states forward")


def test_a_stage_is_settled_exactly_where_its_movement_ends() -> None:
    for stage in range(len(STAGES)):
        record = the_record(stage)
        for world in explore(record, World(3, 0, 3, 0), 3):
            if BLUE.unsettled(record, look(world), POLICY) == "":
                # Waiting for nothing, it has nothing to do either.
                assert step(record, world, POLICY) == [], world
        assert BLUE.unsettled(record, look(goal(stage, 3)), POLICY) == ""


def test_a_rollback_is_restored_only_when_everything_is_as_it_was() -> None:
    back = the_record(1, back=True)
    for world in explore(back, goal(1, 3), 3):
        if BLUE.unrestored(back, look(world), POLICY) == "":
            assert replace(world, lost=0) == World(3, 0, 3, 0)
    assert BLUE.unrestored(back, look(World(3, 0, 3, 0)), POLICY) == ""


def test_the_way_back_begins_with_the_selector() -> None:
    writes = BLUE.move(the_record(2, back=True), look(goal(2, 3)), POLICY, still=False).writes
    last = writes[-1]
    assert isinstance(last, PatchObject) and last.ref == Ref("Service", "checkout")
    assert last.patch["spec"]["selector"] == {"app": "checkout", "pod-template-hash": HASHES[LIVE]}


def test_a_new_epoch_is_stamped_on_the_service_before_pods_move() -> None:
    record = replace(the_record(1, back=True), epoch=2)
    world = replace(goal(0, 3), ready_c=0)
    writes = BLUE.move(record, look(world), POLICY, still=False).writes
    kinds = [(type(write).__name__, getattr(write, "replicas", None)) for write in writes]
    assert kinds == [("PatchSlot", None), ("PatchObject", None), ("PatchSlot", 0)]


def test_a_hold_pauses_again_what_somebody_resumed_and_moves_nothing() -> None:
    world = replace(goal(2, 3), paused_i=False)
    (write,) = BLUE.move(the_record(2), look(world), POLICY, still=True).writes
    assert isinstance(write, PatchSlot)
    assert (write.name, write.replicas, write.fields) == (LIVE, None, {"paused": True})
    assert BLUE.move(the_record(2), look(goal(2, 3)), POLICY, still=True).writes == ()


def test_a_restart_under_the_pin_is_followed_to_the_pods_that_are_ready() -> None:
    """Somebody resumed and restarted the Deployment that serves: its pods are in another ReplicaSet of one version."""
    seen = look(goal(0, 3))
    labels = {"app": "checkout", "pod-template-hash": "ccccc"}
    fresh = tuple(replace(pod, replica_set=f"{LIVE}-ccccc", labels=labels) for pod in seen.incumbents[:2])
    sets = (*seen.replica_sets, a_set(LIVE, "app:v1", 2, "ccccc", 2))
    seen = replace(seen, incumbents=(*fresh, *seen.incumbents[2:]), replica_sets=sets)
    (write,) = BLUE.move(the_record(0), seen, POLICY, still=True).writes
    assert isinstance(write, PatchObject)
    assert write.patch["spec"]["selector"]["pod-template-hash"] == "ccccc"


def test_a_service_that_was_deleted_or_edited_is_named_and_nothing_moves() -> None:
    for at in ("missing", "elsewhere"):
        seen = look(replace(goal(1, 3), at=at))
        assert "Service checkout" in BLUE.unsettled(the_record(1), seen, POLICY)
        assert BLUE.move(the_record(1), seen, POLICY, still=False).writes == ()
        assert "Service checkout" in BLUE.unrestored(the_record(1, back=True), seen, POLICY)


def test_on_the_way_back_no_pod_leaves_a_selector_that_somebody_else_wrote() -> None:
    world = replace(goal(1, 3), at="elsewhere")
    assert BLUE.move(the_record(1, back=True), look(world), POLICY, still=False).writes == ()


def test_somebody_who_takes_the_pin_away_is_counted_once_per_version() -> None:
    desired, undone = BLUE.noticed(the_record(0), look(replace(goal(0, 3), at="owner", marked=False)))
    assert (desired, undone) == (3, ("Service checkout@5",))
    assert BLUE.noticed(the_record(0), look(goal(0, 3))) == (3, ())


def test_people_set_d_on_the_side_that_serves() -> None:
    def scaled(slot: SlotState | None, replicas: int) -> SlotState:
        assert slot is not None
        return replace(slot, replicas=replicas)

    seen = look(goal(0, 3))
    assert BLUE.noticed(the_record(0), replace(seen, incumbent=scaled(seen.incumbent, 5)))[0] == 5
    seen = look(goal(2, 3))
    assert BLUE.noticed(the_record(2), replace(seen, contender=scaled(seen.contender, 5))) == (5, ())
    assert BLUE.noticed(the_record(2), replace(seen, incumbent=scaled(seen.incumbent, 1))) == (3, ("checkout@3",))


def test_keep_nothing_has_no_stage_of_its_own() -> None:
    names = [stage.name for stage in BLUE.stages(a_blue_green(keep="0s").spec, 3)]
    assert names == ["preview", "switch", "hand back"]
    assert [stage.name for stage in BLUE.stages(POLICY, 3)] == list(STAGES)


def test_pods_leave_only_when_the_endpoints_say_so_however_the_selector_reads() -> None:
    """The controllers that make Endpoints lag behind the selector: until then the other side still gets requests."""

    def lagging(world: World, behind: str) -> Observation:
        seen = look(world)
        pods = seen.incumbents if behind == "incumbent" else seen.contenders
        return replace(seen, objects={**seen.objects, Ref("Endpoints", "checkout"): some_endpoints(pods)})

    last, back = the_record(3), the_record(1, back=True)
    assert BLUE.move(last, lagging(goal(2, 3), "incumbent"), POLICY, still=False).writes == ()
    (write,) = BLUE.move(last, lagging(goal(2, 3), "contender"), POLICY, still=False).writes
    assert isinstance(write, PatchSlot) and (write.name, write.replicas) == (LIVE, 0)
    pinned_back = goal(0, 3)
    assert BLUE.move(back, lagging(pinned_back, "contender"), POLICY, still=False).writes == ()
    (write,) = BLUE.move(back, lagging(pinned_back, "incumbent"), POLICY, still=False).writes
    assert isinstance(write, PatchSlot) and (write.name, write.replicas) == (SPARE, 0)
