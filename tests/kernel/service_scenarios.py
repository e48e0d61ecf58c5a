"""Stories without a router in which somebody leads the app's Service elsewhere or deletes it: twin and rolling."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from controller.simulation import manifests
from controller.simulation.world import World
from controller.slots import HASH_LABEL
from tests.kernel.hold_scenarios import a_rolling, once
from tests.kernel.scenarios import APP, Scenario, a_world, ask, in_batch, phase, status, whenever

OTHER = f"{APP}-grpc"
PATIENCE = 60.0  # seconds of a way back after which somebody mends the Service
Build = Callable[[], World]


def a_twin() -> World:
    world = a_world()
    ask(world)
    return world


def alone(version: str) -> Callable[[World], object]:
    """Somebody pins the Service to the pods of one version."""

    def pin(world: World) -> None:
        pods = [pod for name in (APP, f"{APP}-twin") for pod in world.pods_of(name) if pod.version == version]
        _select(world, {"app": APP, HASH_LABEL: pods[0].state.labels[HASH_LABEL]})

    return pin


def elsewhere(world: World) -> None:
    """Somebody leads the Service to another app."""
    _select(world, {"app": "other"})


def deleted(world: World, name: str = APP) -> None:
    world.delete("Service", name)


def _select(world: World, selector: Mapping[str, str | None]) -> None:
    world.edit("Service", APP, {"spec": {"selector": selector}})


def _in_batch_1(build: Build, act: Callable[[World], object]) -> World:
    world = build()
    once(world, lambda there: in_batch(there, 1), act)
    return world


def _mended(build: Build, act: Callable[[World], object]) -> World:
    """The same, and after a while of the way back somebody sets the Service back."""
    world = _in_batch_1(build, act)

    def waited(there: World) -> bool:
        pinned = HASH_LABEL in there.objects.items["Service", "shop", APP]["spec"]["selector"]
        return pinned and phase(there) == "RollingBack" and there.now - status(there)["record"]["since"] >= PATIENCE

    whenever(world, waited, lambda there: _select(there, {HASH_LABEL: None}))
    return world


def _one_of_two(build: Build) -> World:
    """A second Service is deleted, and the app's own leads to both versions all the time."""

    def with_another() -> World:
        world = build()
        world.create({**manifests.service(APP), "metadata": {"name": OTHER}})
        return world

    return _in_batch_1(with_another, lambda there: deleted(there, OTHER))


def _before(world: World) -> bool:
    return not in_batch(world, 1) and phase(world) in ("", "Queued", "Preflight", "Canary")


def _stories(kind: str, build: Build) -> list[Scenario]:
    stories: Mapping[str, tuple[Build, str]] = {
        "elsewhere": (lambda: _in_batch_1(build, elsewhere), "RolledBack"),
        "deleted": (lambda: _in_batch_1(build, deleted), "RolledBack"),
        "incumbent alone": (lambda: _in_batch_1(build, alone("v1")), "RolledBack"),
        "contender alone": (lambda: _in_batch_1(build, alone("v2")), "NeedsHuman"),
        "contender alone and mended": (lambda: _mended(build, alone("v2")), "RolledBack"),
        "one of two": (lambda: _one_of_two(build), "Succeeded"),
    }
    return [Scenario(f"{kind} {name}", make, {"first": end}, _before) for name, (make, end) in stories.items()]


ASTRAY = {each.name: each for each in (*_stories("twin", a_twin), *_stories("rolling", a_rolling))}
CAUSES = {
    "elsewhere": "RouteChanged",
    "deleted": "RouteMissing",
    "incumbent alone": "RouteChanged",
    "contender alone": "RollbackBlocked",
    "contender alone and mended": "RouteChanged",
    "one of two": None,
}
SERVED = ("incumbent alone", "contender alone", "contender alone and mended")


def lost_in(scenario: Scenario, world: World) -> str:
    """Requests that found no pod, where the Service led to one version all the time."""
    served = scenario.name.partition(" ")[2] in SERVED
    return f"{world.traffic.lost:.1f} requests lost" if served and world.traffic.lost else ""
