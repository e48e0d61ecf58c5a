"""Stories of the watch after 100 %: small, quick, each with the end it must have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from controller.simulation.world import World
from tests.kernel.night import Night
from tests.kernel.scenarios import APP, GATE, Scenario, a_world, ask, phase, whenever

LIMITED: Mapping[str, Any] = {**GATE, "limit": "2%"}
STAGES: Mapping[str, Any] = {"canary": 1, "batches": 1, "maxSurge": 1}


def a_watched(strategy: Mapping[str, Any] | None = None, **spec: Any) -> World:
    """An app of two pods, released in two stages and watched for five minutes."""
    chosen = strategy if strategy is not None else {"twin": STAGES}
    return a_world(replicas=2, strategy=chosen, **{"gates": [LIMITED], "watch": {"for": "5m"}, **spec})


def back(world: World, name: str = "first") -> str:
    """The release that brings the version before this one back."""
    found = world.objects.items.get(("Release", "shop", name))
    return f"{APP}-back-{found['metadata']['uid'][:8]}" if found is not None else ""


def succeeded(world: World) -> bool:
    """Whether the first release has reached 100 %."""
    return phase(world) == "Succeeded"


def _worse_after(strategy: Mapping[str, Any] | None = None) -> Callable[[], World]:
    def build() -> World:
        world = a_watched(strategy)
        ask(world)
        whenever(
            world,
            lambda there: succeeded(there) and there.behaviour("v2").errors < 0.2,
            lambda there: there.behave("v2", errors=0.2),
        )
        return world

    return build


def _healthy() -> World:
    world = a_watched()
    ask(world)
    return world


def _until_succeeded(world: World) -> bool:
    return not succeeded(world)


def _story(name: str, build: Callable[[], World], *, turned: bool = True) -> Scenario:
    ends = {"first": "Succeeded"} | ({back(build()): "Succeeded"} if turned else {})
    return Scenario(name, build, ends, _until_succeeded)


WATCHED = {
    each.name: each
    for each in (
        _story("watch", _worse_after()),
        _story("watch, nothing found", _healthy, turned=False),
        _story("watch, rolling", _worse_after({"rolling": STAGES})),
        _story("watch, recreate", _worse_after({"recreate": {}})),
    )
}


def wrong_in(scenario: Scenario, night: Night) -> str:
    """What a night has left undone, or done twice."""
    world = night.world
    ends = {name: phase(world, name) for kind, _, name in world.objects.items if kind == "Release"}
    if ends != scenario.ends:
        return f"ended {ends}"
    running = {pod.version for pod in world.pods.values() if pod.serving and pod.state.labels.get("app") == APP}
    serves = "v1" if len(ends) > 1 else "v2"
    return f"{running} serve" if running != {serves} else ""
