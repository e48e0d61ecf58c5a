"""The stories of rolling that every fault is tried on: small, quick, each with the end it must have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller.release.vocabulary import ENDS
from controller.simulation import manifests
from controller.simulation.world import World
from tests.kernel.holds import sets_of
from tests.kernel.scenarios import APP, Scenario, a_world, abort_once, ask, in_batch, phase, status, whenever

ROLLING = {"canary": 1, "batches": ["50%", "100%"], "maxSurge": 1, "maxUnavailable": 0}


def a_rolling(replicas: int = 4, **spec: Any) -> World:
    world = a_world(replicas=replicas, strategy={"rolling": {**ROLLING, **spec.pop("rolling", {})}}, **spec)
    ask(world)
    return world


def split(world: World) -> tuple[int, ...]:
    """Replicas of each ReplicaSet, oldest first."""
    return tuple(each.replicas for each in sorted(sets_of(world, APP), key=lambda one: one.made))


def held_at(world: World, *replicas: int) -> bool:
    """Whether the rollout stands there, paused by us, in its first batch."""
    paused = bool(world.objects.items["Deployment", "shop", APP]["spec"].get("paused"))
    return paused and split(world) == replicas and in_batch(world, 1)


def once(world: World, true: Callable[[World], bool], act: Callable[[World], object]) -> None:
    """As soon as it is true, somebody acts, once."""

    def acts(there: World) -> None:
        # Kept in the world itself, so that a night that was forked knows it.
        if ("ConfigMap", "shop", "acted") in there.objects.items or not true(there):
            return
        there.create({"kind": "ConfigMap", "metadata": {"name": "acted"}})
        act(there)

    world.add_actor(5.0, acts)


def _patches(**spec: Any) -> Callable[[World], object]:
    return lambda world: world.edit("Deployment", APP, {"spec": spec})


def _image(version: str) -> dict[str, Any]:
    return {"template": {"spec": {"containers": [{"name": "app", "image": manifests.image(APP, version)}]}}}


def _regression() -> World:
    world = a_rolling(6, rolling={"batches": [3, "100%"]})
    whenever(
        world,
        lambda there: in_batch(there, 1) and there.behaviour("v2").errors < 0.2,
        lambda there: there.behave("v2", errors=0.2),
    )
    return world


def _abort() -> World:
    world = a_rolling()
    abort_once(world, lambda there: in_batch(there, 1))
    return world


def _crash_loop() -> World:
    world = a_rolling()
    world.behave("v2", crashes_after=2.0)
    return world


def _acted(world: World, true: Callable[[World], bool], act: Callable[[World], object]) -> World:
    once(world, true, act)
    return world


def _raised() -> World:
    return _acted(a_rolling(), lambda there: held_at(there, 3, 2), _patches(replicas=6))


def _lowered() -> World:
    return _acted(a_rolling(6), lambda there: held_at(there, 4, 3), _patches(replicas=3))


def _down_and_up() -> World:
    """An autoscaler goes to nearly nothing and comes back within one hold."""
    world = a_rolling(8)
    _acted(world, lambda there: held_at(there, 5, 4), _patches(replicas=2))
    whenever(
        world,
        lambda there: ("ConfigMap", "shop", "acted") in there.objects.items and sum(split(there)) == 3
        and there.objects.items["Deployment", "shop", APP]["spec"]["replicas"] == 2,
        _patches(replicas=8),
    )  # fmt: skip
    return world


def _third_template() -> World:
    return _acted(a_rolling(), lambda there: held_at(there, 3, 2), _patches(**_image("v3")))


def _third_template_is_next() -> World:
    """With `trigger: template` it is a wish: this release goes back, and the next one is of it."""
    world = a_rolling(trigger="template")
    return _acted(world, lambda there: held_at(there, 3, 2), _patches(**_image("v3")))


def _rollback_after_success() -> World:
    world = a_rolling()
    whenever(
        world,
        lambda there: phase(there) == "Succeeded" and ("Release", "shop", "back") not in there.objects.items,
        lambda there: ask(there, "", "back", rollbackOf="first"),
    )
    return world


def _resumed_twice() -> World:
    """Somebody resumes our hold again and again; a person restores."""
    world = a_rolling(rolling={"advance": {"canary": "manual"}})

    def at_rest(there: World) -> bool:
        paused = there.objects.items["Deployment", "shop", APP]["spec"].get("paused")
        return bool(paused) and split(there) == (4, 1) and len(status(there)["record"].get("reversals", ())) < 2

    whenever(world, at_rest, _patches(paused=None))
    whenever(
        world,
        lambda there: (
            phase(there) in {end.value for end in ENDS} and ("Release", "shop", "again") not in there.objects.items
        ),
        lambda there: ask(there, "", "again", restoreOf="first"),
    )
    return world


def _moved(world: World) -> bool:
    """Before anything differs from the healthy story of four pods."""
    return ("ConfigMap", "shop", "acted") not in world.objects.items and not (
        phase(world) == "Batch" and in_batch(world, 1)
    )


def _succeeding(world: World) -> bool:
    return phase(world) != "Succeeded"


KEPT = f"{APP}-6e9ee69d3afe-00000005"  # by its version, and the uid of the release that it came into
HELD = {
    each.name: each
    for each in (
        Scenario("rolling healthy", a_rolling, {"first": "Succeeded"}),
        Scenario("rolling regression in batch 1", _regression, {"first": "RolledBack"}),
        Scenario("rolling abort in mid-batch", _abort, {"first": "RolledBack"}, _moved),
        Scenario("rolling crash loop", _crash_loop, {"first": "RolledBack"}),
        Scenario("rolling D raised", _raised, {"first": "Succeeded"}, _moved),
        Scenario("rolling D lowered", _lowered, {"first": "Succeeded"}),
        Scenario("rolling down and up in a hold", _down_and_up, {"first": "Succeeded"}),
        Scenario("rolling third template", _third_template, {"first": "RolledBack"}, _moved),
        Scenario(
            "rolling third template is next",
            _third_template_is_next,
            {"first": "RolledBack", KEPT: "Succeeded"},
            _moved,
        ),
        Scenario(
            "rolling rollback after success",
            _rollback_after_success,
            {"first": "Succeeded", "back": "Succeeded"},
            _succeeding,
        ),
        Scenario("rolling resumed twice", _resumed_twice, {"first": "NeedsHuman", "again": "RolledBack"}),
    )
}
