"""Copies of settings whose last ReplicaSet is forgotten between two releases: collected before the record that knows
them is."""

from __future__ import annotations

from controller.release.names import AppKey
from controller.settings import Settings
from controller.simulation import manifests
from controller.simulation.driver import Driver
from controller.simulation.traffic import QUIET
from controller.simulation.world import Conditions, World

APP, SETTINGS = "checkout", "checkout-settings"


def _world() -> World:
    world = World(1, Conditions(start=(1.0, 2.0), grace=(1.0, 2.0), noise=QUIET))
    policy = manifests.policy(
        APP,
        strategy={"rolling": {"canary": 1, "batches": ["100%"], "maxSurge": 1}},
        config=[f"configMap/{SETTINGS}"],
        historyLimit=2,
    )
    world.add_app(APP, "v1", 2, load=600.0, policy=policy)
    return world


def _releases(world: World, driver: Driver, level: str) -> None:
    """Settings of this content are released, in haste."""
    world.edit("ConfigMap", SETTINGS, {"data": {"LEVEL": level}})
    spec = {"policy": APP, "config": "live", "skipGates": {"reason": "a test"}}
    world.create(
        {"apiVersion": "nightferry.dev/v1alpha1", "kind": "Release", "metadata": {"name": level}, "spec": spec}
    )
    driver.wake()
    driver.run(world.now + 1800.0, settled_for=30.0)
    status = world.objects.items["Release", "shop", level]["status"]
    assert status["phase"] == "Succeeded", status["because"]


def _copies(world: World) -> set[str]:
    found = (obj["data"]["LEVEL"] for key, obj in world.objects.items.items()
             if key[0] == "ConfigMap" and key[2].startswith(f"{SETTINGS}-"))  # fmt: skip
    return set(found)


def _forgets_idle_versions(world: World) -> None:
    """The Deployment controller's own tidying, when a history limit is lowered: old ReplicaSets go."""
    uid = world.objects.items["Deployment", "shop", APP]["metadata"]["uid"]
    kept = tuple(each for each in world.replica_sets[uid] if each.replicas > 0)
    assert len(kept) < len(world.replica_sets[uid])
    world.replica_sets[uid] = kept
    world.remember()


def test_a_copy_that_lost_its_last_replica_set_between_releases_goes_with_the_last_record_of_it() -> None:
    world = _world()
    driver = Driver(world, Settings(), (AppKey("shop", APP),))
    for level in ("one", "two"):
        _releases(world, driver, level)
    assert _copies(world) == {"one", "two"}
    _forgets_idle_versions(world)
    for level in ("three", "four", "five"):
        _releases(world, driver, level)
    left = {key[2] for key in world.objects.items if key[0] == "Release"}
    assert left == {"four", "five"}
    # The first copy belonged to nobody since the ReplicaSets were forgotten; the second serves the way back.
    assert _copies(world) == {"two", "three", "four", "five"}


def test_a_copy_that_a_version_still_names_outlives_every_record() -> None:
    world = _world()
    driver = Driver(world, Settings(), (AppKey("shop", APP),))
    for level in ("one", "two", "three", "four"):
        _releases(world, driver, level)
    assert {key[2] for key in world.objects.items if key[0] == "Release"} == {"three", "four"}
    assert _copies(world) == {"one", "two", "three", "four"}


def test_a_way_back_to_a_version_that_is_forgotten_says_so() -> None:
    world = _world()
    driver = Driver(world, Settings(), (AppKey("shop", APP),))
    for level in ("one", "two"):
        _releases(world, driver, level)
    _forgets_idle_versions(world)
    world.create(manifests.release(APP, "back", "", rollbackOf="two"))
    driver.wake()
    driver.run(world.now + 600.0, settled_for=30.0)
    status = world.objects.items["Release", "shop", "back"]["status"]
    assert status["phase"] == "Cancelled"
    assert "is kept nowhere any more" in status["because"]
