"""Stories of alerts: small, quick, each with the end it must have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from controller.requests.failure import Failure, FailureKind
from controller.simulation import alerting
from controller.simulation.world import World
from tests.kernel.scenarios import APP, Scenario, a_world, ask, in_batch, phase, status, whenever

ALERT = "CheckoutErrors"
ABOUT: Mapping[str, str] = {"service": APP, "severity": "page"}
PAGED: Mapping[str, Any] = {"match": ABOUT}
DOWN = Failure(FailureKind.UNAVAILABLE, "alertmanager default: no connection")


def an_alerted(**spec: Any) -> World:
    """An app of two pods whose policy knows one alert, released in two stages."""
    twin = {"canary": 1, "batches": 1, "maxSurge": 1, "maxUnavailable": 0}
    return a_world(replicas=2, strategy={"twin": twin}, **{"alerts": [PAGED], **spec})


def fires(world: World, **labels: str) -> None:
    """The alert fires, and no post tells of it."""
    alerting.fire(world, ALERT, {**ABOUT, **labels})


def posted(world: World) -> None:
    """The alert fires, and its post comes."""
    fires(world)
    alerting.post(world, ALERT)


def flashes(world: World) -> None:
    """The alert is over before anybody looks; its post was confirmed."""
    posted(world)
    alerting.post(world, ALERT, ended=True)
    alerting.resolve(world, ALERT)


def inbox(world: World) -> list[Mapping[str, Any]]:
    """What posts have told of the app's policy."""
    found: list[Mapping[str, Any]] = (world.objects.items["ReleasePolicy", "shop", APP].get("status") or {}).get(
        "inbox"
    ) or []
    return found


def _in_batch(act: Callable[[World], None], **spec: Any) -> Callable[[], World]:
    def build() -> World:
        world = an_alerted(**spec)
        ask(world)
        whenever(world, lambda there: in_batch(there, 1) and not (there.alerts or inbox(there)), act)
        return world

    return build


def _healthy() -> World:
    world = an_alerted()
    ask(world)
    return world


def _paused() -> World:
    world = _in_batch(fires, alerts=[{**PAGED, "then": "pause"}])()

    def ends_in_a_minute(there: World) -> None:
        alerting.fire(there, ALERT, ABOUT)
        there.add_actor(60.0, _over, until=there.now + 61.0)

    whenever(world, lambda there: bool(there.alerts) and status(there).get("heldReason") == "Alert", ends_in_a_minute)
    return world


def _over(world: World) -> None:
    """The alert ends, and does not come back."""
    alerting.resolve(world, ALERT)
    alerting.fire(world, "Another", {"service": "search"})


def _deaf() -> World:
    world = _healthy()
    whenever(
        world,
        lambda there: in_batch(there, 1) and there.alerts_fault is None,
        lambda there: setattr(there, "alerts_fault", DOWN),
    )
    return world


def _already() -> World:
    world = an_alerted()
    fires(world)
    ask(world)
    return world


def _ignored() -> World:
    world = an_alerted(alreadyFiring="ignore")
    fires(world)
    ask(world)
    return world


ALERTED: Mapping[str, Scenario] = {
    each.name: each
    for each in (
        Scenario("nothing fires", _healthy, {"first": "Succeeded"}),
        Scenario("an alert fires", _in_batch(fires), {"first": "RolledBack"}, lambda there: not there.alerts),
        Scenario("a post comes", _in_batch(posted), {"first": "RolledBack"}, lambda there: not there.alerts),
        Scenario("an alert flashes", _in_batch(flashes), {"first": "RolledBack"}, lambda there: not inbox(there)),
        Scenario("an alert pauses", _paused, {"first": "Succeeded"}),
        Scenario("nobody hears", _deaf, {"first": "RolledBack"}, lambda there: there.alerts_fault is None),
        Scenario("it fires already", _already, {"first": "Cancelled"}),
        Scenario("it fires already and is ignored", _ignored, {"first": "Succeeded"}),
    )
}


def ended(world: World) -> bool:
    return phase(world) in ("Succeeded", "RolledBack", "Cancelled", "NeedsHuman")
