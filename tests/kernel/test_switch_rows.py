"""blueGreen and recreate when a person has to help, when a record is lost, and when a Service cannot be switched."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controller.services import selector_of
from controller.simulation.world import World
from tests.kernel.memory import replicas, slot
from tests.kernel.night import Night, begin
from tests.kernel.scenarios import APP, ask, in_batch, phase, status
from tests.kernel.switch_scenarios import PREVIEW, SWITCHED, a_blue_green, a_recreate, pointed_at

TWIN = f"{APP}-twin"
LONG = 120.0


def until(night: Night, true: Callable[[World], object]) -> None:
    night.run(LONG, lambda at: bool(true(at.world)))
    assert true(night.world), night.ending()


def everything_is_back(world: World) -> None:
    """The old version serves, and nothing that was borrowed or made is left."""
    assert (replicas(world, APP), replicas(world, TWIN)) == (4, 0)
    assert selector_of(world.objects.items["Service", "shop", APP]) == {"app": APP}
    assert ("Service", "shop", PREVIEW) not in world.objects.items
    for name in (APP, TWIN):
        obj = slot(world, name)
        assert obj is not None and not obj["spec"].get("paused")


def lose_the_record(night: Night) -> None:
    night.world.delete("Release", "first")
    night.memory.forget_missing(night.world)


def restored(world: World) -> bool:
    """Whether the release that was made in the place of the lost one has ended."""
    names = [name for kind, _, name in world.objects.items if kind == "Release"]
    return bool(names) and all(phase(world, name) == "RolledBack" for name in names)


def test_a_record_that_is_lost_after_the_switch_is_made_good_from_the_claims() -> None:
    world = a_blue_green()
    ask(world)
    night = begin(world, restored)
    until(night, lambda there: in_batch(there, 2))
    lose_the_record(night)
    night.run(LONG)
    everything_is_back(world)


def test_a_record_that_is_lost_while_the_new_pods_come_brings_the_old_version() -> None:
    world = a_recreate()
    ask(world)
    night = begin(world, restored)
    old = slot(world, APP)
    assert old is not None
    until(night, lambda there: phase(there) == "Canary" and replicas(there, APP) == 4 and there.available() <= 1)
    lose_the_record(night)
    night.run(LONG)
    now = slot(world, APP)
    assert now is not None
    assert now["spec"] == old["spec"]


def test_a_person_sets_the_service_right_and_restores() -> None:
    night = SWITCHED["blueGreen service edited"].night()
    night.run(LONG)
    world = night.world
    assert status(world)["cause"] == "RollbackBlocked"
    # Until then nobody's traffic was touched: the contender's pods are what may still be reached in other ways.
    assert replicas(world, TWIN) == 4
    service = world.objects.items["Service", "shop", APP]
    gone = dict.fromkeys(selector_of(service))
    world.edit("Service", APP, {"spec": {"selector": {**gone, "app": APP}}})
    world.actors.clear()
    ask(world, "", "again", restoreOf="first")
    night.over = lambda there: phase(there, "again") != ""
    night.run(LONG)
    assert phase(world, "again") == "RolledBack"
    everything_is_back(world)


def _without_selector(world: World) -> None:
    world.edit("Service", APP, {"spec": {"selector": {"app": None}}})


def _another_service(world: World) -> None:
    manifest = {"kind": "Service", "metadata": {"name": "metrics"}, "spec": {"selector": {"app": APP}}}
    world.create(manifest)


def _preview_of_somebody(world: World) -> None:
    world.create({"kind": "Service", "metadata": {"name": PREVIEW}, "spec": {"selector": {"app": "search"}}})


REFUSED: dict[str, tuple[Callable[[World], object], str]] = {
    "missing": (lambda world: world.delete("Service", APP), "does not exist"),
    "without a selector": (_without_selector, "has no selector"),
    "selects nothing": (lambda w: w.edit("Service", APP, {"spec": {"selector": {"app": "x"}}}), "selects nothing of"),
    "headless": (lambda w: w.edit("Service", APP, {"spec": {"clusterIP": "None"}}), "is headless"),
    "ExternalName": (lambda w: w.edit("Service", APP, {"spec": {"type": "ExternalName"}}), "ExternalName"),
    "pinned by hand": (
        lambda w: w.edit("Service", APP, {"spec": {"selector": {"pod-template-hash": "abc"}}}),
        "selects pod-template-hash already",
    ),
    "another Service": (_another_service, "Service metrics selects the pods of this app too"),
    "somebody's preview": (_preview_of_somebody, "exists and is not ours"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_service_that_cannot_be_switched_is_refused_with_one_line(name: str) -> None:
    spoil, words = REFUSED[name]
    world = a_blue_green()
    spoil(world)
    ask(world)
    night = begin(world, lambda there: phase(there) != "")
    night.run(LONG)
    found = status(world)
    assert (found["phase"], found["cause"]) == ("Cancelled", "Refused")
    assert words in found["because"] and "\n" not in found["because"]
    assert (replicas(world, APP), slot(world, TWIN)) == (4, None)
    assert pointed_at(world) in ("", "abc")


def test_others_may_stay_where_the_policy_says_so() -> None:
    blue = {"blueGreen": {"service": APP, "keep": "0s", "allowOthers": True}}
    world = a_blue_green()
    world.edit("ReleasePolicy", APP, {"spec": {"strategy": blue}})
    _another_service(world)
    ask(world)
    night = begin(world, lambda there: phase(there) != "")
    night.run(LONG)
    assert phase(world) == "Succeeded"


def test_an_app_that_keeps_no_old_replica_set_has_no_way_back_and_is_refused() -> None:
    world = a_recreate()
    world.edit("Deployment", APP, {"spec": {"revisionHistoryLimit": 0}})
    ask(world)
    night = begin(world, lambda there: phase(there) != "")
    night.run(LONG)
    found = status(world)
    assert (found["phase"], found["cause"]) == ("Cancelled", "Refused")
    assert "revisionHistoryLimit" in found["because"]
    assert replicas(world, APP) == 4


def test_a_gate_that_counts_work_cannot_judge_a_preview() -> None:
    gates = [{"name": "orders", "throughput": {"events": "orders_completed_total", "worse": "lower"}}]
    world = a_blue_green(gates=gates)
    ask(world)
    night = begin(world, lambda there: phase(there) != "")
    night.run(LONG)
    assert "preview gets only what a tester sends it" in status(world)["because"]
