"""The stories of blueGreen and recreate that every fault is tried on: small, quick, each with the end it must have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller.services import selector_of
from controller.simulation.world import World
from controller.strategies.pins import HASH
from tests.kernel.scenarios import APP, Scenario, a_world, abort_once, ask, in_batch, phase, status, whenever

PREVIEW = f"{APP}-preview"
KEEP = "1m"


def a_blue_green(**spec: Any) -> World:
    """Four pods, a tester on the preview, and a Service to be switched."""
    world = a_world(strategy={"blueGreen": {"service": APP, "keep": KEEP}}, **spec)
    world.testers["shop", PREVIEW] = 300.0
    return world


def a_recreate(**spec: Any) -> World:
    return a_world(strategy={"recreate": {}}, **spec)


def pointed_at(world: World) -> str:
    """The hash that the Service is pinned to; "" where it is not pinned or not there."""
    service = world.objects.items.get(("Service", "shop", APP))
    return selector_of(service).get(HASH, "") if service is not None else ""


def _asked(world: World) -> World:
    ask(world)
    return world


def _regression_in_preview() -> World:
    world = _asked(a_blue_green())
    world.behave("v2", errors=0.2)
    return world


def _regression_after_the_switch() -> World:
    world = _asked(a_blue_green())
    whenever(
        world,
        lambda there: in_batch(there, 1) and there.behaviour("v2").errors < 0.2,
        lambda there: there.behave("v2", errors=0.2),
    )
    return world


def _abort_in_keep() -> World:
    world = _asked(a_blue_green())
    abort_once(world, lambda there: in_batch(there, 2))
    return world


def _tier(world: World) -> str:
    return selector_of(world.objects.items["Service", "shop", APP]).get("tier", "")


def _service_edited() -> World:
    world = _asked(a_blue_green())
    whenever(
        world,
        lambda there: in_batch(there, 1) and phase(there) == "Batch" and _tier(there) != "narrow",
        lambda there: there.edit("Service", APP, {"spec": {"selector": {"tier": "narrow"}}}),
    )
    return world


def _selector_set_back() -> World:
    """A tool sets the selector back whenever it differs from what it believes in."""
    world = _asked(a_blue_green())

    def pinned(there: World) -> bool:
        return phase(there) in ("Canary", "Batch") and bool(pointed_at(there))

    whenever(
        world,
        pinned,
        lambda there: there.edit("Service", APP, {"spec": {"selector": {HASH: None}}}, manager="argocd-controller"),
    )
    return world


def _back_after_success() -> World:
    world = _asked(a_blue_green())
    whenever(
        world,
        lambda there: phase(there) == "Succeeded" and ("Release", "shop", "back") not in there.objects.items,
        lambda there: ask(there, "", "back", rollbackOf="first"),
    )
    return world


def _crash_loop() -> World:
    world = _asked(a_recreate())
    world.behave("v2", crashes_after=2.0)
    return world


def _regression() -> World:
    world = _asked(a_recreate())
    world.behave("v2", errors=0.2)
    return world


def _abort_while_empty() -> World:
    """A person aborts while the app has no pod at all."""
    world = _asked(a_recreate())
    abort_once(world, lambda there: phase(there) == "Canary" and there.available() == 1)
    return world


def _before_stage(number: int) -> Callable[[World], bool]:
    return lambda world: (
        phase(world) in ("", "Queued", "Preflight", "Canary")
        or (phase(world) == "Batch" and status(world)["batch"]["index"] < number)
    )


def _prepared(world: World) -> bool:
    return phase(world) in ("", "Queued", "Preflight")


def _unsucceeded(world: World) -> bool:
    return phase(world) != "Succeeded"


SWITCHED = {
    each.name: each
    for each in (
        Scenario("blueGreen healthy", lambda: _asked(a_blue_green()), {"first": "Succeeded"}),
        Scenario("blueGreen regression in preview", _regression_in_preview, {"first": "RolledBack"}, _prepared),
        Scenario(
            "blueGreen regression after the switch",
            _regression_after_the_switch,
            {"first": "RolledBack"},
            _before_stage(1),
        ),
        Scenario("blueGreen abort in keep", _abort_in_keep, {"first": "RolledBack"}, _before_stage(2)),
        Scenario("blueGreen service edited", _service_edited, {"first": "NeedsHuman"}, _before_stage(1)),
        Scenario("blueGreen selector set back", _selector_set_back, {"first": "NeedsHuman"}, _prepared),
        Scenario(
            "blueGreen rollback after success",
            _back_after_success,
            {"first": "Succeeded", "back": "Succeeded"},
            _unsucceeded,
        ),
        Scenario("recreate healthy", lambda: _asked(a_recreate()), {"first": "Succeeded"}),
        Scenario("recreate regression", _regression, {"first": "RolledBack"}, _prepared),
        Scenario("recreate crash loop", _crash_loop, {"first": "RolledBack"}, _prepared),
        Scenario("recreate abort while empty", _abort_while_empty, {"first": "RolledBack"}, _prepared),
    )
}
