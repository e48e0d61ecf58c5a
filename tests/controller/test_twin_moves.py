"""The twin strategy's movements, exhaustively: every order in which pods may become ready or be lost.

A small world of two counts per slot (replicas, ready pods) is searched breadth first. The environment may make any
unready pod ready, or take any ready pod away once, between any two writes. After every write the two laws of the
module hold; and once the environment is quiet and kind, the movement ends at its goal.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import pytest

from controller.release.plan import PatchSlot
from controller.release.record import Record
from controller.release.vocabulary import Phase
from controller.strategies.twin import Twin
from policies.schema import ReleasePolicySpec
from tests.controller.builders import a_policy, a_record, a_twin, an_observation

TWIN = Twin()


@dataclass(frozen=True)
class World:
    i: int
    c: int
    ready_i: int
    ready_c: int
    lost: int = 0


def next_write(record: Record, world: World, policy: ReleasePolicySpec) -> tuple[str, int] | None:
    seen = an_observation(
        world.i, world.c, ready_incumbents=min(world.ready_i, world.i), ready_contenders=min(world.ready_c, world.c)
    )
    writes = [w for w in TWIN.move(record, seen, policy, still=False).writes if isinstance(w, PatchSlot)]
    moving = [(w.name, w.replicas) for w in writes if w.replicas is not None]
    assert len(moving) <= 1, "at most one change of capacity per tick"
    return (moving[0][0], moving[0][1] or 0) if moving else None


def after_write(world: World, write: tuple[str, int]) -> World:
    """The worst the cluster may do: only available pods go."""
    name, replicas = write
    if name == "checkout":
        return replace(world, i=replicas, ready_i=min(world.ready_i, replicas))
    return replace(world, c=replicas, ready_c=min(world.ready_c, replicas))


def assert_laws(world: World, write: tuple[str, int], desired: int, surge: int, slack: int) -> None:
    name, replicas = write
    before, ready = (world.i, world.ready_i) if name == "checkout" else (world.c, world.ready_c)
    gone = before - replicas
    if gone > 0:
        total = world.ready_i + world.ready_c
        strong = total - min(ready, gone) >= desired - slack
        only_unready = gone <= before - ready
        assert strong or only_unready, f"availability: {world} {write} D={desired} U={slack}"
    else:
        other = world.c if name == "checkout" else world.i
        assert replicas + other <= max(desired + surge, before + other), f"surge: {world} {write}"


def environments(world: World, losses: int) -> list[World]:
    moved = []
    if world.ready_i < world.i:
        moved.append(replace(world, ready_i=world.ready_i + 1))
    if world.ready_c < world.c:
        moved.append(replace(world, ready_c=world.ready_c + 1))
    if world.lost < losses:
        if world.ready_i:
            moved.append(replace(world, ready_i=world.ready_i - 1, lost=world.lost + 1))
        if world.ready_c:
            moved.append(replace(world, ready_c=world.ready_c - 1, lost=world.lost + 1))
    return moved


def explore(
    record: Record, policy: ReleasePolicySpec, start: World, desired: int, surge: int, slack: int
) -> set[World]:
    seen, frontier = {start}, [start]
    while frontier:
        world = frontier.pop()
        write = next_write(record, world, policy)
        following = environments(world, losses=2)
        if write is not None:
            assert_laws(world, write, desired, surge, slack)
            following.append(after_write(world, write))
        for each in following:
            if each not in seen:
                seen.add(each)
                frontier.append(each)
    return seen


def settle(record: Record, policy: ReleasePolicySpec, world: World) -> World:
    """A kind environment: everything becomes ready before each step."""
    for _ in range(100):
        world = replace(world, ready_i=world.i, ready_c=world.c)
        write = next_write(record, world, policy)
        if write is None:
            return world
        world = after_write(world, write)
    raise AssertionError(f"no end of movement from {world}")


SIZES = [
    (desired, surge, slack)
    for desired, surge, slack in itertools.product((1, 2, 3, 5), (0, 1, 2), (0, 1))
    if (surge or slack) and slack <= desired
]


@pytest.mark.parametrize(("desired", "surge", "slack"), SIZES)
def test_every_batch_and_the_way_back_keep_surge_and_availability_in_every_order_of_events(
    desired: int, surge: int, slack: int
) -> None:
    policy = a_policy(strategy=a_twin(surge, slack)).spec
    targets = [stage.contender for stage in TWIN.stages(policy, desired)]
    reached = {World(desired, 0, desired, 0)}
    for stage in range(len(targets)):
        record = a_record(Phase.BATCH if stage else Phase.CANARY, stage, desired=desired)
        # A canary that is the whole app keeps one incumbent beside it to be compared with, where surge allows it.
        staying = 1 if stage == 0 and targets[0] == desired and surge else desired - targets[stage]
        found: set[World] = set()
        for start in reached:
            found |= explore(record, policy, replace(start, lost=0), desired, surge, slack)
        for world in found:
            end = settle(record, policy, world)
            assert (end.c, end.i) == (targets[stage], staying)
        # A rollback may begin in any of these states.
        back = a_record(Phase.ROLLING_BACK, stage, desired=desired)
        for world in found:
            states = explore(back, policy, replace(world, lost=2), desired, surge, slack)
            for state in states:
                end = settle(back, policy, state)
                assert (end.c, end.i) == (0, desired)
        reached = {World(staying, targets[stage], staying, targets[stage])}


def test_a_contender_that_never_becomes_ready_costs_no_incumbent() -> None:
    policy = a_policy().spec
    record = a_record(Phase.BATCH, 2, desired=10)
    world = World(10, 0, 10, 0)
    while (write := next_write(record, world, policy)) is not None:
        world = after_write(world, write)
    assert world == World(10, 3, 10, 0)


def test_the_surge_is_spent_before_anything_is_taken_away() -> None:
    policy = a_policy().spec
    assert next_write(a_record(Phase.BATCH, 2), World(9, 1, 9, 1), policy) == ("checkout-twin", 4)


def test_without_surge_the_incumbent_makes_room_within_max_unavailable() -> None:
    policy = a_policy(strategy=a_twin(0, 2)).spec
    assert next_write(a_record(Phase.BATCH, 1), World(10, 0, 10, 0), policy) == ("checkout", 8)
    assert next_write(a_record(Phase.BATCH, 1), World(8, 2, 8, 0), policy) is None


def test_nothing_is_lowered_while_the_controllers_have_not_seen_the_last_change() -> None:
    policy = a_policy().spec
    seen = an_observation(10, 1)
    assert seen.contender is not None
    blind = replace(seen, contender=replace(seen.contender, observed_generation=2))
    assert TWIN.move(a_record(), blind, policy, still=False).writes == ()
    assert TWIN.move(a_record(), seen, policy, still=False).writes != ()


def test_the_other_slot_is_stamped_before_capacity_moves_in_a_new_epoch() -> None:
    policy = a_policy().spec
    writes = TWIN.move(a_record(Phase.ROLLING_BACK, 1, epoch=2), an_observation(7, 3), policy, still=False).writes
    assert [(w.name, w.replicas) for w in writes if isinstance(w, PatchSlot)] == [
        ("checkout-twin", None),
        ("checkout", 10),
    ]
    assert all(isinstance(w, PatchSlot) and w.claim is not None and w.claim.epoch == 2 for w in writes)


def test_a_hold_moves_nothing_but_may_stamp() -> None:
    policy = a_policy().spec
    writes = TWIN.move(a_record(Phase.BATCH, 2, epoch=2), an_observation(7, 3), policy, still=True).writes
    assert [w.replicas for w in writes if isinstance(w, PatchSlot)] == [None, None]
