"""The simulated Deployment controller is the native one in what a held rollout rests on; figures seen on a real one."""

from __future__ import annotations

from typing import Any

import pytest

from controller.simulation import manifests
from controller.simulation.traffic import QUIET
from controller.simulation.world import Conditions, World

NEVER_AVAILABLE = 2147483646
APP = "checkout"


def _world(replicas: int = 10) -> World:
    world = World(1, Conditions(start=(3.0, 6.0), grace=(1.0, 2.0), noise=QUIET))
    world.add_app(APP, "v1", replicas, policy={})
    return world


def _patch(world: World, version: str | None = None, **spec: Any) -> None:
    fences = {key: spec.pop(key) for key in ("maxSurge", "maxUnavailable") if key in spec}
    if fences:
        spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": fences}
    if version is not None:
        spec["template"] = {"spec": {"containers": [{"name": "app", "image": manifests.image(APP, version)}]}}
    world.edit("Deployment", APP, {"spec": spec})


def _split(world: World) -> tuple[int, ...]:
    """Replicas of each ReplicaSet that ever had pods, oldest first."""
    uid = world.objects.items["Deployment", "shop", APP]["metadata"]["uid"]
    return tuple(each.replicas for each in sorted(world.replica_sets[uid], key=lambda one: one.made))


def _lowest(world: World, seconds: float) -> int:
    lowest = world.available()
    for _ in range(int(seconds * 10)):
        world.step_to(world.now + 0.1)
        lowest = min(lowest, world.available())
    return lowest


def _held(world: World, surge: int, unavailable: int, version: str | None = None) -> None:
    _patch(world, version, minReadySeconds=NEVER_AVAILABLE, progressDeadlineSeconds=2147483647, maxSurge=surge,
           maxUnavailable=unavailable, paused=False)  # fmt: skip


def test_a_paused_deployment_makes_no_pod_of_a_new_template() -> None:
    world = _world()
    _patch(world, "v2", paused=True, minReadySeconds=NEVER_AVAILABLE)
    world.step_to(world.now + 60)
    assert _split(world) == (10,)


@pytest.mark.parametrize(("surge", "unavailable", "split"), [(1, 0, (10, 1)), (1, 4, (6, 5)), (0, 3, (7, 3)),
                                                              (3, 2, (8, 5)), (1, 9, (1, 10))])  # fmt: skip
def test_contenders_that_are_never_available_stop_it_at_the_fences(
    surge: int, unavailable: int, split: tuple[int, int]
) -> None:
    world = _world()
    _held(world, surge, unavailable, "v2")
    world.step_to(world.now + 60)
    assert _split(world) == split


def test_raised_at_once_it_takes_incumbents_before_contenders_are_ready_and_stepwise_it_does_not() -> None:
    at_once = _world()
    _held(at_once, 1, 4, "v2")
    assert _lowest(at_once, 30) <= 7
    stepwise = _world()
    _held(stepwise, 1, 0, "v2")
    lowest = _lowest(stepwise, 15)
    for unavailable in (1, 2, 3, 4):
        _held(stepwise, 1, unavailable)
        lowest = min(lowest, _lowest(stepwise, 15))
    assert _split(stepwise) == (6, 5)
    assert lowest == 10


def test_replicas_of_a_paused_rollout_are_spread_in_proportion() -> None:
    world = _world()
    _held(world, 1, 4, "v2")
    world.step_to(world.now + 30)
    _patch(world, paused=True)
    seen = []
    for replicas in (16, 6, 10):
        _patch(world, replicas=replicas)
        world.step_to(world.now + 30)
        seen.append(_split(world))
    assert seen == [(9, 8), (4, 3), (6, 5)]


def test_an_autoscaler_going_down_and_up_unpaused_promotes_everything_and_paused_nothing() -> None:
    for paused, split in ((False, (0, 10)), (True, (7, 4))):
        world = _world()
        _held(world, 1, 4, "v2")
        world.step_to(world.now + 30)
        _patch(world, paused=paused)
        for replicas in (2, 10):
            _patch(world, replicas=replicas)
            world.step_to(world.now + 30)
        assert _split(world) == split


def test_a_third_template_moves_nothing_while_it_is_paused_and_takes_both_versions_pods_while_it_is_not() -> None:
    for paused in (True, False):
        world = _world()
        _held(world, 1, 4, "v2")
        world.step_to(world.now + 30)
        _patch(world, paused=paused)
        _patch(world, "v3")
        lowest = _lowest(world, 30)
        assert (_split(world), lowest) == ((6, 5), 11) if paused else lowest == 6


def test_the_old_replica_set_keeps_its_own_min_ready_when_both_come_in_one_patch_and_inherits_it_otherwise() -> None:
    def sets(world: World) -> list[float]:
        uid = world.objects.items["Deployment", "shop", APP]["metadata"]["uid"]
        return [each.min_ready for each in sorted(world.replica_sets[uid], key=lambda one: one.made)]

    world = _world()
    _held(world, 1, 0, "v2")
    world.step_to(world.now + 10)
    assert sets(world) == [0.0, NEVER_AVAILABLE]
    world = _world()
    _held(world, 1, 0)
    world.step_to(world.now + 5)
    _patch(world, "v2")
    world.step_to(world.now + 10)
    assert sets(world) == [NEVER_AVAILABLE, NEVER_AVAILABLE]


@pytest.mark.parametrize(("surge", "unavailable", "least"), [(1, 0, 10), (3, 2, 8)])
def test_one_patch_leads_back_within_surge_and_unavailable(surge: int, unavailable: int, least: int) -> None:
    world = _world()
    _held(world, 1, 4, "v2")
    world.step_to(world.now + 30)
    _patch(world, paused=True)
    _patch(world, "v1", paused=None, minReadySeconds=0, progressDeadlineSeconds=600, maxSurge=surge,
           maxUnavailable=unavailable)  # fmt: skip
    assert _lowest(world, 120) >= least
    assert _split(world) == (10, 0)


def test_restored_fields_finish_the_rollout_without_a_dip() -> None:
    world = _world()
    _held(world, 1, 9, "v2")
    world.step_to(world.now + 30)
    _patch(world, minReadySeconds=0, progressDeadlineSeconds=600, maxSurge="25%", maxUnavailable="25%")
    assert _lowest(world, 30) == 10
    assert _split(world) == (0, 10)
