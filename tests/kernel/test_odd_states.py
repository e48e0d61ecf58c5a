"""Odd states that people, tools and restores leave behind: each comes to a named end, and nothing moves unasked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from controller.release.plan import CreateSlot
from controller.requests.failure import Failure, FailureKind
from controller.requests.fetches import FetchCounts
from controller.requests.writes import WriteRecord, WriteSlot
from controller.simulation import manifests
from controller.simulation.driver import Point, Refuse
from controller.simulation.world import World
from tests.kernel.memory import claim_of, replicas, slot
from tests.kernel.night import Night, begin
from tests.kernel.scenarios import APP, CALM, a_world, ask, in_batch, phase, status

TWIN = f"{APP}-twin"


def until(night: Night, true: Callable[[World], bool], minutes: float = 30.0) -> None:
    """Runs until it is true; fails where it never is."""
    night.run(minutes, lambda at: true(at.world))
    assert true(night.world)


def both(world: World) -> tuple[int, int]:
    return replicas(world, APP), replicas(world, TWIN)


def a_night(world: World, *names: str) -> Night:
    return begin(world, lambda there: all(phase(there, name) for name in names))


def stranded(**spec: Any) -> Night:
    """A release that ended in need of a person, in its first batch, with both slots in use."""
    world = a_world(**spec)
    ask(world)
    night = a_night(world, "first")
    until(night, lambda there: in_batch(there, 1) and both(there) == (2, 2))
    world.objects.items["Release", "shop", "first"]["status"]["record"]["stage"] = 77
    until(night, lambda there: phase(there) == "NeedsHuman")
    night.run(5)
    assert both(world) == (2, 2)
    return night


# --------------------------------------------------------------------------------------- history and claims


def test_the_history_keeps_a_release_that_needs_a_person_so_that_nothing_restores_unasked() -> None:
    night = stranded(historyLimit=1)
    ask(night.world, "v3", "second")
    until(night, lambda there: phase(there, "second") == "Cancelled")
    night.run(5)
    assert phase(night.world) == "NeedsHuman"
    assert sorted(name for kind, _, name in night.world.objects.items if kind == "Release") == ["first", "second"]
    assert both(night.world) == (2, 2)


# ------------------------------------------------------------------------------------------- impossible records


@pytest.mark.parametrize(
    "field, value",
    [
        ("policy", "{"),
        ("policy", '{"kind":"ReleasePolicy"}'),
        ("stages", 50),
        ("since", 1e300),
    ],
)
def test_a_record_edited_by_hand_ends_the_release_and_never_breaks_the_tick(field: str, value: Any) -> None:
    world = a_world()
    ask(world)
    night = a_night(world, "first")
    until(night, lambda there: in_batch(there, 1) and both(there) == (2, 2))
    world.objects.items["Release", "shop", "first"]["status"]["record"][field] = value
    until(night, lambda there: phase(there) in ("NeedsHuman", "Succeeded"))
    if field != "since":
        assert status(world)["cause"] == "RecordInvalid"
        assert both(world) == (2, 2)


def test_a_record_that_names_anothers_deployments_moves_none_of_them() -> None:
    world = a_world()
    ask(world)
    night = a_night(world, "first")
    until(night, lambda there: in_batch(there, 1) and both(there) == (2, 2))
    record = world.objects.items["Release", "shop", "first"]["status"]["record"]
    record["incumbent"] = {
        **record["incumbent"],
        "name": "search",
        "uid": world.objects.items["Deployment", "shop", "search"]["metadata"]["uid"],
    }
    until(night, lambda there: phase(there) == "NeedsHuman")
    assert status(world)["cause"] == "RecordInvalid"
    assert replicas(world, "search") == 1


def test_a_status_wiped_in_mid_release_is_brought_back_and_not_forgotten() -> None:
    world = a_world()
    ask(world)
    night = a_night(world, "first")
    until(night, lambda there: in_batch(there, 1) and both(there) == (2, 2))
    del world.objects.items["Release", "shop", "first"]["status"]
    night.memory.lives.clear()
    night.run(30)
    assert both(world) == (4, 0)
    assert claim_of(slot(world, APP)) is None and claim_of(slot(world, TWIN)) is None


# ------------------------------------------------------------------------------------------------- the queue


def test_a_release_that_is_refused_turns_no_other_one_back() -> None:
    world = a_world()
    ask(world)
    night = a_night(world, "first", "wrong")
    until(night, lambda there: in_batch(there, 1))
    ask(world, "v3", "wrong", rollbackOf="first")
    night.run(30)
    assert (phase(world), phase(world, "wrong")) == ("Succeeded", "Cancelled")
    assert status(world, "wrong")["cause"] == "Refused"


def test_a_release_aborted_in_the_queue_turns_no_other_one_back() -> None:
    world = a_world()
    ask(world)
    night = a_night(world, "first", "regretted")
    until(night, lambda there: in_batch(there, 1))
    ask(world, "v3", "regretted", abort={"reason": "not today"})
    night.run(30)
    assert (phase(world), phase(world, "regretted")) == ("Succeeded", "Cancelled")


# -------------------------------------------------------------------------------------------- slots in odd states


def test_a_contender_that_never_finishes_being_deleted_is_a_contender_that_is_gone() -> None:
    world = a_world()
    ask(world)
    night = a_night(world, "first")
    until(night, lambda there: in_batch(there, 1) and both(there) == (2, 2))
    world.objects.items["Deployment", "shop", TWIN]["metadata"]["deletionTimestamp"] = "2025-10-09T09:00:00Z"
    night.run(30)
    assert (phase(world), status(world)["cause"]) == ("RolledBack", "ContenderMissing")
    assert replicas(world, APP) == 4


def test_a_person_who_scales_during_the_preparation_reverses_nothing() -> None:
    world = a_world()
    ask(world)
    night = a_night(world, "first")
    until(night, lambda there: slot(there, TWIN) is not None)
    world.edit("Deployment", APP, {"spec": {"replicas": 5}})
    night.run(30)
    assert phase(world) == "Succeeded"
    assert both(world) == (0, 5)
    assert not status(world)["record"]["reversals"]


# ------------------------------------------------------------------------------------------------------- restore


def test_a_restore_of_a_release_that_succeeded_is_refused_and_drains_nobody() -> None:
    world = a_world()
    ask(world)
    night = a_night(world, "first", "again")
    until(night, lambda there: phase(there) == "Succeeded")
    ask(world, "", "again", restoreOf="first")
    night.run(30)
    assert phase(world, "again") == "Cancelled"
    assert both(world) == (0, 4)


def test_a_restore_that_was_done_is_not_done_again_over_a_later_release() -> None:
    night = stranded()
    world = night.world
    ask(world, "", "again", restoreOf="first")
    until(night, lambda there: phase(there, "again") == "RolledBack")
    ask(world, "v3", "later")
    until(night, lambda there: phase(there, "later") == "Succeeded")
    ask(world, "", "twice", restoreOf="first")
    until(night, lambda there: phase(there, "twice") in ("Cancelled", "RolledBack"))
    night.run(5)
    assert (phase(world, "twice"), both(world)) == ("Cancelled", (0, 4))


# -------------------------------------------------------------------------------------------------------- policy


def test_a_policy_broken_by_an_edit_is_not_called_deleted() -> None:
    world = a_world()
    ask(world)
    night = a_night(world, "first")
    until(night, lambda there: in_batch(there, 1))
    world.edit("ReleasePolicy", APP, {"spec": {"observe": {"atLeast": "1h", "atMost": "1m"}}})
    until(night, lambda there: bool(status(there).get("held")))
    held = status(world)["held"]
    assert held["reason"] == "PolicyGone"
    assert "deleted" not in held["because"] and "atLeast" in held["because"]


# --------------------------------------------------------------------------------------------------- preparation


def _no_new_deployments(point: Point) -> Refuse | None:
    creates = isinstance(point.request, WriteSlot) and isinstance(point.request.write, CreateSlot)
    return Refuse(Failure(FailureKind.INVALID, "admission webhook denied the request: no")) if creates else None


def test_a_slot_that_may_not_be_created_ends_the_release_before_its_start() -> None:
    world = a_world()
    ask(world)
    night = a_night(world, "first")
    night.faults = _no_new_deployments
    night.run(10)
    assert (phase(world), status(world)["cause"]) == ("Cancelled", "Refused")
    assert "could not create checkout-twin at 0 for 3m" in status(world)["because"]
    assert replicas(world, APP) == 4


def test_a_slot_that_nobody_acts_upon_is_waited_for_with_a_word_and_a_bound() -> None:
    world = a_world(conditions=replace(CALM, sync_lag=1e6))
    ask(world)
    night = a_night(world, "first")
    until(night, lambda there: bool(status(there).get("held")))
    assert status(world)["held"]["reason"] == "NotObserved"
    night.run(10)
    assert phase(world) == "Cancelled"
    assert both(world) == (4, 0)


def test_a_deployment_of_somebody_else_is_not_taken_for_the_spare_slot() -> None:
    world = a_world()
    foreign = manifests.deployment(TWIN, "v9", 0)
    world.create(foreign)
    before = world.objects.items["Deployment", "shop", TWIN]["spec"]
    ask(world)
    night = a_night(world, "first")
    night.run(10)
    assert (phase(world), status(world)["cause"]) == ("Cancelled", "Refused")
    assert "rename" in status(world)["because"]
    assert world.objects.items["Deployment", "shop", TWIN]["spec"] == before


# ----------------------------------------------------------------------------------------------------------- gates


def test_an_abort_waits_for_no_answer_of_the_store() -> None:
    world = a_world()
    ask(world)
    night = a_night(world, "first")
    until(night, lambda there: in_batch(there, 1) and len(status(there)["record"]["observing"]) == 2)
    world.edit("Release", "first", {"spec": {"abort": {"reason": "enough"}}})
    points = night.points = []
    until(night, lambda there: phase(there) == "RollingBack")
    assert any(isinstance(point.request, WriteRecord) for point in points)
    assert not any(isinstance(point.request, FetchCounts) for point in points)


# ---------------------------------------------------------------------------------------------------- the release


def test_a_release_that_asks_for_another_version_in_mid_release_stands_still_and_says_so() -> None:
    world = a_world()
    ask(world)
    night = a_night(world, "first")
    until(night, lambda there: in_batch(there, 1))
    spec = world.objects.items["Release", "shop", "first"]["spec"]
    world.edit("Release", "first", {"spec": {"images": {"app": "registry.test/app:v9"}}})
    until(night, lambda there: bool(status(there).get("held")))
    assert "not the one it began with" in status(world)["held"]["because"]
    night.driver.run_to(world.now + 600)
    assert in_batch(world, 1)

    world.edit("Release", "first", {"spec": {"images": spec["images"]}})
    night.run(30)
    assert phase(world) == "Succeeded"


def test_a_release_that_asks_for_another_version_can_still_be_aborted() -> None:
    world = a_world()
    ask(world)
    night = a_night(world, "first")
    until(night, lambda there: in_batch(there, 1))
    world.edit("Release", "first", {"spec": {"images": {"app": "registry.test/app:v9"}, "abort": {"reason": "no"}}})
    night.run(30)
    assert (phase(world), status(world)["cause"]) == ("RolledBack", "Aborted")


def test_a_restore_that_is_given_up_leaves_the_way_back_for_the_next_one() -> None:
    night = stranded()
    world = night.world
    world.delete("Release", "first")  # its record is lost too: only the claims know
    night.memory.lives.clear()
    # From the loss of the record to the next write everything is at rest.
    night.over = lambda there: bool(_restores(there))
    until(night, lambda there: bool(_restores(there)))
    [name] = _restores(world)
    until(night, lambda there: getattr(claim_of(slot(there, TWIN)), "release", "") == name)
    world.edit("Release", name, {"spec": {"abort": {"reason": "not now"}}})
    until(night, lambda there: phase(there, name) == "Cancelled")
    night.run(5)
    assert both(world) == (2, 2)
    ask(world, "", "again", restoreOf=name)
    night.over = lambda there: bool(phase(there, "again"))
    until(night, lambda there: phase(there, "again") == "RolledBack")
    night.run(5)
    assert both(world) == (4, 0)
    assert claim_of(slot(world, APP)) is None


def _restores(world: World) -> list[str]:
    return [name for kind, _, name in world.objects.items if kind == "Release" and "-restore-" in name]
