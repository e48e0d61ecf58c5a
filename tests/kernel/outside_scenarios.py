"""Stories of gates that ask outside the metric store, and of settings that are released with the app."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.companions.config import named_in
from controller.release.plan import CreateObject
from controller.requests.outside import Spoken
from controller.requests.writes import WriteObject
from controller.simulation import outside
from controller.simulation.jobs import JobCourse
from controller.simulation.world import World
from policies.load import from_object
from tests.kernel.night import Night
from tests.kernel.scenarios import GATE, Scenario, a_world, ask, in_batch, phase, whenever

SETTINGS = "checkout-settings"
_SMOKE: Mapping[str, Any] = {
    "name": "smoke",
    "job": {"template": "configMap/checkout-smoke", "at": "everyStage", "timeout": "2m"},
}
_QA: Mapping[str, Any] = {"name": "qa", "webhook": {"endpoint": "qa-room", "at": "everyStage", "timeout": "2m"}}


def _small(**spec: Any) -> World:
    """An app of two pods, released in two stages: every fault is tried at every request of it."""
    twin = {"canary": 1, "batches": 1, "maxSurge": 1, "maxUnavailable": 0}
    return a_world(replicas=2, strategy={"twin": twin}, **spec)


def _asking(gate: Mapping[str, Any], **course: Any) -> World:
    world = _small(gates=[GATE, gate])
    spec = from_object(world.objects.items["ReleasePolicy", "shop", "checkout"]).spec
    outside.furnish(world, spec, "shop")
    world.jobs = JobCourse(**{"ends_in": 12.0, **course})
    ask(world)
    return world


def _smoke_test() -> World:
    return _asking(_SMOKE)


def _smoke_test_fails() -> World:
    world = _asking(_SMOKE)
    whenever(
        world,
        lambda there: in_batch(there, 1) and there.jobs.succeeds,
        lambda there: setattr(there, "jobs", JobCourse(12.0, succeeds=False)),
    )
    return world


def _smoke_test_hangs() -> World:
    return _asking(_SMOKE, ends_in=None)


def _webhook() -> World:
    """The endpoint is undecided at first, and content at the second call."""
    world = _asking(_QA)
    world.endpoints["qa-room"] = Spoken(200, b'{"verdict": "undecided"}')
    whenever(
        world,
        lambda there: bool(there.calls) and there.endpoints["qa-room"].status == 200,  # type: ignore[union-attr]
        lambda there: there.endpoints.update({"qa-room": Spoken(204)}),
    )
    return world


def _webhook_says_no() -> World:
    world = _asking(_QA)
    whenever(
        world,
        lambda there: in_batch(there, 1) and there.endpoints["qa-room"] == Spoken(204),
        lambda there: there.endpoints.update({"qa-room": Spoken(200, b'{"verdict": "degraded"}')}),
    )
    return world


def _configured() -> World:
    """An app whose settings are a part of its releases."""
    return _small(config=[f"configMap/{SETTINGS}"])


def _settings() -> World:
    """New settings with a new image; somebody edits them once more while the release is prepared."""
    world = _configured()
    ask(world)
    whenever(
        world,
        lambda there: phase(there) == "Preflight" and _level(there) == "info",
        lambda there: there.edit("ConfigMap", SETTINGS, {"data": {"LEVEL": "debug"}}),
    )
    return world


def _settings_alone() -> World:
    world = _configured()
    ask(world)
    whenever(
        world,
        lambda there: phase(there) == "Succeeded" and ("Release", "shop", "second") not in there.objects.items,
        _change_settings,
    )
    return world


def _change_settings(world: World) -> None:
    world.edit("ConfigMap", SETTINGS, {"data": {"LEVEL": "debug"}})
    ask(world, "", "second", config="live")


def _settings_back_without_original() -> World:
    """Once the new settings are released somebody deletes the ConfigMap that people edit, and wants the old ones."""
    world = _settings_alone()
    whenever(
        world,
        lambda there: phase(there, "second") == "Succeeded" and ("ConfigMap", "shop", SETTINGS) in there.objects.items,
        _want_the_old_ones,
    )
    return world


def _want_the_old_ones(world: World) -> None:
    world.delete("ConfigMap", SETTINGS)
    ask(world, "", "back", rollbackOf="second")


def _settings_rolled_back() -> World:
    world = _configured()
    world.edit("ConfigMap", SETTINGS, {"data": {"LEVEL": "debug"}})
    ask(world)
    world.behave("v2", errors=0.2)
    return world


def _level(world: World) -> str:
    return str(world.objects.items["ConfigMap", "shop", SETTINGS]["data"]["LEVEL"])


def copies(world: World) -> dict[str, Mapping[str, str]]:
    """The copies of the settings that are there, with their content."""
    found = world.objects.items.items()
    return {key[2]: obj["data"] for key, obj in found if key[0] == "ConfigMap" and key[2].startswith(f"{SETTINGS}-")}


_RELEASED = {"first": "Succeeded"}
_BACK = {"first": "RolledBack"}
OUTSIDE = {
    each.name: each
    for each in (
        Scenario("smoke test", _smoke_test, _RELEASED),
        Scenario("smoke test fails in batch 1", _smoke_test_fails, _BACK, lambda world: not in_batch(world, 1)),
        Scenario("smoke test hangs", _smoke_test_hangs, _BACK),
        Scenario("webhook", _webhook, _RELEASED),
        Scenario("webhook says no", _webhook_says_no, _BACK),
        Scenario("settings", _settings, _RELEASED),
        Scenario(
            "settings alone",
            _settings_alone,
            {**_RELEASED, "second": "Succeeded"},
            lambda world: phase(world) != "Succeeded",
        ),
        Scenario("settings rolled back", _settings_rolled_back, _BACK),
        Scenario(
            "settings back without the original",
            _settings_back_without_original,
            {**_RELEASED, "second": "Succeeded", "back": "Succeeded"},
            lambda world: phase(world, "second") != "Succeeded",
        ),
    )
}


def wrong_in(_: Scenario, night: Night) -> str:
    """What a night has left behind, or done twice."""
    world = night.world
    made = [each.request.write for each in world.trace if each.applied and isinstance(each.request, WriteObject)]
    names = [str(write.ref) for write in made if isinstance(write, CreateObject)]
    if len(set(names)) != len(names):
        return f"created twice: {sorted(name for name in set(names) if names.count(name) > 1)}"
    ids: dict[str, object] = {}
    for call in world.calls:
        if ids.setdefault(call.id, call.payload) != call.payload:
            return f"two questions under one id: {call.payload}"
    # A night that has come to a state whose ending is known is not run on.
    if night.driver.ended and (unread := set(copies(world)) - read_copies(world)):
        return f"copies that no version reads: {sorted(unread)}"
    return ""


def read_copies(world: World) -> set[str]:
    """What the Deployments name, and the ReplicaSets that are kept for the way back."""
    named: set[str] = set()
    for key, obj in world.objects.items.items():
        if key[0] == "Deployment":
            named |= named_in(obj["spec"]["template"])
            for each in world.replica_sets.get(obj["metadata"]["uid"], ()):
                named |= named_in(each.template)
    return named
