"""The stories of twin behind a router that every fault is tried on: small, quick, each with the end it must have."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from controller.simulation import routing
from controller.simulation.objects import Key, Kind
from controller.simulation.world import World
from policies.load import from_object
from tests.kernel.night import Night
from tests.kernel.scenarios import APP, Scenario, a_world, abort_once, ask, in_batch, phase, whenever

TRAFFICS: Mapping[str, Mapping[str, Any]] = {
    "ingressNginx": {"ingressNginx": {"ingress": APP}, "match": [{"header": {"x-canary": "always"}}]},
    "gatewayAPI": {"gatewayAPI": {"httpRoute": APP}, "match": [{"cookie": "preview"}]},
    "istio": {"istio": {"virtualService": APP, "destinationRule": APP}},
    "istio alone": {"istio": {"virtualService": APP}, "match": [{"header": {"x-canary": "always"}}]},
}
TWIN = {"canary": 1, "batches": 2, "maxSurge": 1, "maxUnavailable": 0}


def a_routed(traffic: str, **spec: Any) -> World:
    """Four pods whose requests all come in through a router."""
    world = a_world(strategy={"twin": TWIN, "traffic": TRAFFICS[traffic]}, **spec)
    policy = from_object(json.loads(json.dumps(world.objects.items["ReleasePolicy", "shop", APP])))
    routing.furnish(world, policy.spec, "shop")
    return world


def beside(world: World) -> dict[Key, Any]:
    """What people wrote beside their Deployments, without what an API server counts."""
    found: dict[Key, Any] = {}
    for key, obj in world.objects.items.items():
        if key[0] in (*routing.KINDS, "Service"):
            kept = {name: value for name, value in obj["metadata"].items() if name in ("name", "labels", "annotations")}
            found[key] = {"spec": obj["spec"], **{name: value for name, value in kept.items() if value}}
    return found


def route_of(traffic: str) -> Key:
    """The object that carries the app's requests."""
    (kind,) = (name for name in TRAFFICS[traffic] if name != "match")
    found: Mapping[str, Kind] = {"ingressNginx": "Ingress", "gatewayAPI": "HTTPRoute", "istio": "VirtualService"}
    return (found[kind], "shop", APP)


def _asked(traffic: str) -> World:
    world = a_routed(traffic)
    ask(world)
    return world


def _regression(traffic: str) -> World:
    world = _asked(traffic)
    whenever(
        world,
        lambda there: in_batch(there, 1) and there.behaviour("v2").errors < 0.2,
        lambda there: there.behave("v2", errors=0.2),
    )
    return world


def _abort(traffic: str) -> World:
    world = _asked(traffic)
    abort_once(world, lambda there: in_batch(there, 1))
    return world


def _abort_at_100(traffic: str) -> World:
    world = _asked(traffic)
    abort_once(world, lambda there: in_batch(there, 2))
    return world


def _deleted(traffic: str) -> World:
    """The route is deleted in mid-release: requests come from inside the cluster only, to the Service itself."""
    world, route = _asked(traffic), route_of(traffic)

    def delete(there: World) -> None:
        there.entrances.clear()
        there.delete(route[0], route[2])

    whenever(world, lambda there: in_batch(there, 1) and route in there.objects.items, delete)
    return world


def _service_astray(traffic: str) -> World:
    """Somebody lets the app's Service select other pods in mid-release, and sets it back once contenders are gone."""
    world = _asked(traffic)

    def selects(there: World, app: str) -> bool:
        return bool(there.objects.items["Service", "shop", APP]["spec"]["selector"] == {"app": app})

    def select(app: str) -> Callable[[World], object]:
        return lambda there: there.edit("Service", APP, {"spec": {"selector": {"app": app}}})

    whenever(world, lambda there: in_batch(there, 1) and selects(there, APP), select("other"))
    whenever(
        world,
        lambda there: phase(there) == "RollingBack" and not there.pods_of(f"{APP}-twin") and selects(there, "other"),
        select(APP),
    )
    return world


def _never_ready(traffic: str) -> World:
    world = _asked(traffic)
    world.behave("v2", ready=False)
    return world


def _resumed_by_hand(traffic: str) -> World:
    """A person resumes both Deployments in mid-release, once."""
    world = _asked(traffic)
    seen: list[bool] = []

    def resume(there: World) -> None:
        seen.append(True)
        for name in (APP, f"{APP}-twin"):
            there.edit("Deployment", name, {"spec": {"paused": None}})

    whenever(world, lambda there: in_batch(there, 1) and not _paused_once(there), resume)
    return world


def _paused_once(world: World) -> bool:
    """Whether a person has resumed it already: the edit is in the managed fields."""
    obj = world.objects.items["Deployment", "shop", APP]
    return any(entry["manager"] == "kubectl-edit" for entry in obj["metadata"].get("managedFields", ()))


def _back_after_success(traffic: str) -> World:
    world = _asked(traffic)
    whenever(
        world,
        lambda there: phase(there) == "Succeeded" and ("Release", "shop", "back") not in there.objects.items,
        lambda there: ask(there, "", "back", rollbackOf="first"),
    )
    return world


def _before(stage: int) -> Callable[[World], bool]:
    return lambda world: not in_batch(world, stage) and phase(world) in ("", "Queued", "Preflight", "Canary", "Batch")


def _prepared(world: World) -> bool:
    return phase(world) in ("", "Queued", "Preflight")


def _unsucceeded(world: World) -> bool:
    return phase(world) != "Succeeded"


def _stories() -> list[Scenario]:
    done, back = {"first": "Succeeded"}, {"first": "RolledBack"}
    both = {"first": "Succeeded", "back": "Succeeded"}
    found = []
    for traffic in TRAFFICS:
        found += [
            Scenario(f"{traffic} healthy", partial(_asked, traffic), done),
            Scenario(f"{traffic} abort at 100", partial(_abort_at_100, traffic), back, _before(2)),
        ]
    found += [
        Scenario("gatewayAPI regression", lambda: _regression("gatewayAPI"), back, _before(1)),
        Scenario("ingressNginx abort", lambda: _abort("ingressNginx"), back, _before(1)),
        Scenario("istio never ready", lambda: _never_ready("istio"), back, _prepared),
        *(
            Scenario(f"{traffic} deleted", partial(_deleted, traffic), back, _before(1))
            for traffic in ("ingressNginx", "gatewayAPI", "istio")
        ),
        *(
            # Not istio: subsets are parts of the Service itself, so its requests follow whoever edits that.
            Scenario(f"{traffic} astray", partial(_service_astray, traffic), back, _before(1))
            for traffic in ("ingressNginx", "gatewayAPI")
        ),
        Scenario("gatewayAPI back after success", lambda: _back_after_success("gatewayAPI"), both, _unsucceeded),
    ]
    return found


ROUTED = {each.name: each for each in _stories()}


def wrong_in(scenario: Scenario, night: Night) -> str:
    """What a night has done to requests and to other people's objects."""
    world = night.world
    if world.traffic.lost:
        return f"{world.traffic.lost:.1f} requests lost"
    if any(phase(world, name) not in ("Succeeded", "RolledBack") for name in scenario.ends):
        return ""  # in the very state of a night that was told to its end already
    before, after = beside(scenario.build()), beside(world)
    if "deleted" in scenario.name:
        before.pop(route_of(scenario.name.removesuffix(" deleted")))
    return "" if before == after else f"left behind: {[key for key in after if after[key] != before.get(key)]}"
