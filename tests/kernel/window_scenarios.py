"""Stories of windows and freezes: small, quick, each with the end it must have. They begin on a Thursday, 09:00 UTC."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from controller.simulation.world import World
from tests.kernel.scenarios import SPEC, Scenario, a_world, ask, in_batch, whenever

SLOW = 60.0  # seconds until a pod of the slow version is ready


def a_window(opens: str, closes: str, on_close: str = "rollBack", **more: str) -> Mapping[str, Any]:
    return {"from": opens, "to": closes, "zone": "UTC", "onClose": on_close, **more}


def hours(opens: str, closes: str, on_close: str = "rollBack", *, starts_in: float | None = None) -> World:
    """An app of two pods that is asked for at 09:00 and released in two stages, in these hours."""
    twin = {"canary": 1, "batches": 1, "maxSurge": 1, "maxUnavailable": 0}
    world = a_world(replicas=2, strategy={"twin": twin}, window=a_window(opens, closes, on_close))
    ask(world)
    if starts_in is not None:
        world.behave("v2", starts_in=starts_in)
    return world


def _frozen_in_mid_release() -> World:
    world = hours("08:00", "12:00")
    world.edit("ReleasePolicy", "checkout", {"spec": {"deadline": {"release": "15m"}, "observe": {"atMost": "2m"}}})
    freeze = [{"from": "2025-10-09", "to": "2025-10-10", "why": "audit"}]
    return _once_in_batch(world, lambda there: there.edit("ReleasePolicy", "checkout", {"spec": {"freeze": freeze}}))


def _sent_off() -> World:
    world = hours("13:00", "16:00")
    whenever(
        world,
        lambda there: there.now > there.started + 60.0 and "now" not in _asked(there),
        lambda there: there.edit("Release", "first", {"spec": {"now": {"reason": "the shop is down"}}}),
    )
    return world


def _aborted_while_parked() -> World:
    world = hours("09:40", "09:03", "park", starts_in=SLOW)
    whenever(
        world,
        lambda there: _status(there).get("heldReason") == "WindowClosed" and "abort" not in _asked(there),
        lambda there: there.edit("Release", "first", {"spec": {"abort": {"reason": "enough"}}}),
    )
    return world


def _once_in_batch(world: World, act: Callable[[World], object]) -> World:
    policy = world.objects.items["ReleasePolicy", "shop", "checkout"]
    assert policy["spec"]["gates"] == SPEC["gates"]
    whenever(world, lambda there: in_batch(there, 1) and "freeze" not in _policy(there), act)
    return world


def _policy(world: World) -> Mapping[str, Any]:
    found: Mapping[str, Any] = world.objects.items["ReleasePolicy", "shop", "checkout"]["spec"]
    return found


def _asked(world: World) -> Mapping[str, Any]:
    found: Mapping[str, Any] = world.objects.items["Release", "shop", "first"]["spec"]
    return found


def _status(world: World) -> Mapping[str, Any]:
    found: Mapping[str, Any] = world.objects.items["Release", "shop", "first"].get("status") or {}
    return found


WINDOWS = {
    each.name: each
    for each in (
        Scenario("waits for its window", lambda: hours("09:02", "12:00"), {"first": "Succeeded"}),
        Scenario("closes in mid-release", lambda: hours("08:00", "09:03", starts_in=SLOW), {"first": "RolledBack"}),
        Scenario("parks and goes on", lambda: hours("09:06", "09:03", "park", starts_in=SLOW), {"first": "Succeeded"}),
        Scenario(
            "finishes its last batch",
            lambda: hours("09:06", "09:03", "finishLastBatch", starts_in=40.0),
            {"first": "Succeeded"},
        ),
        Scenario("a freeze is added", _frozen_in_mid_release, {"first": "RolledBack"}),
        Scenario("a person sends it off", _sent_off, {"first": "Succeeded"}),
        Scenario("aborted while it is parked", _aborted_while_parked, {"first": "RolledBack"}),
    )
}
