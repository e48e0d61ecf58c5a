"""Rows Y20, Y21, Y22 and H5 of the fault catalogue: windows that close, freezes, a controller that is away, clocks.

The stories begin on Thursday 2025-10-09 at 09:00 UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from controller.requests.writes import WriteRecord
from controller.simulation.world import World
from tests.kernel.night import Night, begin
from tests.kernel.scenarios import in_batch, phase, status
from tests.kernel.window_scenarios import SLOW, hours


def a_night(world: World) -> Night:
    return begin(world, lambda there: bool(phase(there)))


def kinds(world: World) -> list[str]:
    return [entry["kind"] for entry in status(world)["record"]["decisions"]]


def held(world: World) -> Mapping[str, Any]:
    found: Mapping[str, Any] = status(world).get("held") or {}
    return found


def pods_of(world: World) -> dict[str, int]:
    return {
        name: int(obj["spec"]["replicas"])
        for (kind, _, name), obj in world.objects.items.items()
        if kind == "Deployment" and name.startswith("checkout")
    }


def test_y20_a_window_that_closes_turns_back_what_is_under_way() -> None:
    night = a_night(hours("08:00", "09:03", starts_in=SLOW))
    night.run(60)
    assert (phase(night.world), status(night.world)["cause"]) == ("RolledBack", "WindowClosed")
    assert pods_of(night.world) == {"checkout": 2, "checkout-twin": 0}


def test_y20_a_rollback_begins_and_ends_while_the_window_is_closed() -> None:
    night = a_night(hours("09:40", "09:03", "park", starts_in=SLOW))
    night.run(60, lambda there: held(there.world).get("reason") == "WindowClosed")
    assert in_batch(night.world, 1)
    night.world.edit("Release", "first", {"spec": {"abort": {"reason": "enough"}}})
    night.run(20)
    assert (phase(night.world), status(night.world)["cause"]) == ("RolledBack", "Aborted")
    assert night.world.now < night.world.started + 20 * 60.0  # long before it opens again


def test_y20_the_time_in_which_it_is_parked_is_excused_from_the_deadline() -> None:
    world = hours("10:03", "09:03", "park", starts_in=SLOW)
    world.edit("ReleasePolicy", "checkout", {"spec": {"deadline": {"release": "40m"}}})
    night = a_night(world)
    night.run(150)
    assert phase(night.world) == "Succeeded"
    assert 3500.0 < status(night.world)["record"]["excused"] < 3700.0


def test_y20_a_hold_says_when_the_window_opens_again_and_what_follows() -> None:
    night = a_night(hours("09:40", "09:03", "park", starts_in=SLOW))
    night.run(60, lambda there: held(there.world).get("reason") == "WindowClosed")
    assert (held(night.world)["until"], held(night.world)["then"]) == ("2025-10-09T09:40:00Z", "it goes on")


def test_y21_a_freeze_that_is_added_blocks_advances_and_the_deadline_still_strikes() -> None:
    world = hours("08:00", "12:00")
    world.edit("ReleasePolicy", "checkout", {"spec": {"deadline": {"release": "20m"}}})
    night = a_night(world)
    night.run(60, lambda there: in_batch(there.world, 1))
    freeze = [{"from": "2025-10-09", "to": "2025-10-11", "why": "audit"}]
    night.world.edit("ReleasePolicy", "checkout", {"spec": {"freeze": freeze}})
    night.run(60, lambda there: held(there.world).get("reason") == "Frozen")
    assert held(night.world)["then"] == "rollBack"
    assert "audit" in held(night.world)["because"]
    night.run(60)
    assert (phase(night.world), status(night.world)["cause"]) == ("RolledBack", "ReleaseDeadline")


def test_y21_a_freeze_that_is_over_before_the_deadline_lets_it_go_on() -> None:
    world = hours("08:00", "12:00")
    world.edit("ReleasePolicy", "checkout", {"spec": {"deadline": {"release": "2h"}}})
    night = a_night(world)
    night.run(60, lambda there: in_batch(there.world, 1))
    # The dates of Kiritimati: there the ninth of October is over at 10:00 UTC.
    freeze = [{"from": "2025-10-09", "to": "2025-10-09", "why": "audit", "zone": "Pacific/Kiritimati"}]
    night.world.edit("ReleasePolicy", "checkout", {"spec": {"freeze": freeze}})
    night.run(60, lambda there: held(there.world).get("reason") == "Frozen")
    assert (held(night.world)["until"], held(night.world)["then"]) == ("2025-10-09T10:00:00Z", "it goes on")
    night.run(90)
    assert phase(night.world) == "Succeeded"
    assert night.world.now >= night.world.started + 3600.0


def test_y22_a_controller_that_was_away_for_the_whole_window_starts_nothing_late_and_says_so() -> None:
    night = a_night(hours("09:10", "09:20"))
    night.driver.run_to(night.world.now + 60.0)
    night.driver.stop("a")
    night.driver.run_to(night.world.now + 30 * 60.0)
    night.driver.start("a")
    night.driver.run_to(night.world.now + 60.0)
    assert phase(night.world) == "Queued"
    assert kinds(night.world) == ["HoldWindowClosed", "WindowMissed"]
    assert held(night.world)["until"] == "2025-10-10T09:10:00Z"
    assert pods_of(night.world) == {"checkout": 2}


def test_y22_what_was_asked_for_while_the_controller_was_away_says_so_too() -> None:
    night = a_night(hours("09:10", "09:20"))
    night.driver.stop("a")
    night.driver.run_to(night.world.now + 30 * 60.0)
    night.driver.start("a")
    night.driver.run_to(night.world.now + 60.0)
    assert kinds(night.world)[:1] == ["WindowMissed"]
    assert phase(night.world) == "Queued"


def test_y22_a_controller_that_comes_back_with_too_little_left_waits_for_the_next_opening() -> None:
    night = a_night(hours("09:10", "09:20"))
    night.driver.run_to(night.world.now + 60.0)
    night.driver.stop("a")
    night.driver.run_to(night.world.started + 19.5 * 60.0)
    night.driver.start("a")
    night.driver.run_to(night.world.now + 60.0)
    assert kinds(night.world) == ["HoldWindowClosed", "WindowMissed"]
    missed = status(night.world)["record"]["decisions"][-1]["because"]
    assert "closes Thu 2025-10-09 09:20 UTC" in missed
    assert "takes 1m" in missed


def test_y22_what_was_asked_for_too_late_has_missed_nothing() -> None:
    night = a_night(hours("08:00", "09:00"))
    night.driver.run_to(night.world.now + 60.0)
    assert kinds(night.world) == ["HoldWindowClosed"]


def test_a_hold_says_what_is_true_now_in_as_many_writes_as_that_changes() -> None:
    world = hours("13:00", "16:00")
    audit = {"from": "2025-10-09", "to": "2025-10-09", "why": "audit"}
    world.edit("ReleasePolicy", "checkout", {"spec": {"freeze": [audit]}})
    night = a_night(world)
    night.driver.run_to(world.now + 600.0)
    assert "audit" in held(world)["because"]
    assert records(world) == 1
    world.edit("ReleasePolicy", "checkout", {"spec": {"freeze": [{**audit, "why": "sale"}]}})
    night.driver.run_to(world.now + 600.0)
    assert (held(world)["reason"], "sale" in held(world)["because"]) == ("Frozen", True)
    assert held(world)["since"] == "2025-10-09T09:00:00Z"
    assert records(world) == 2


def test_the_minutes_that_are_left_of_an_opening_are_not_counted_down_in_writes() -> None:
    world = hours("08:00", "09:20")
    world.edit("ReleasePolicy", "checkout", {"spec": {"observe": {"atLeast": "15m", "atMost": "30m"}}})
    night = a_night(world)
    night.driver.run_to(world.started + 19 * 60.0)
    assert "closes Thu 2025-10-09 09:20 UTC" in held(world)["because"]
    assert records(world) == 1
    night.driver.run_to(world.started + 30 * 60.0)
    assert "opens Fri 2025-10-10 08:00 UTC" in held(world)["because"]
    assert records(world) == 2


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        (None, "was deleted"),
        ({"observe": {"atLeast": "1h", "atMost": "1m"}}, "is refused: shop/checkout: error: spec.observe"),
    ],
)
def test_who_waits_under_a_policy_that_goes_is_told_which_one_and_what_to_do(
    spec: Mapping[str, Any] | None, what: str
) -> None:
    night = a_night(hours("13:00", "16:00"))
    night.driver.run_to(night.world.now + 60.0)
    if spec is None:
        night.world.delete("ReleasePolicy", "checkout")
    else:
        night.world.edit("ReleasePolicy", "checkout", {"spec": spec})
    night.driver.run_to(night.world.now + 60.0)
    assert (phase(night.world), status(night.world)["cause"]) == ("Cancelled", "Refused")
    because = status(night.world)["because"]
    assert because.startswith(f"policy checkout {what}")
    assert because.endswith("; apply one of this name that is valid, then ask for the release anew")


def records(world: World) -> int:
    """How often the record was written."""
    return sum(isinstance(entry.request, WriteRecord) and entry.applied for entry in world.trace)


@pytest.mark.parametrize("back", [120.0, 3600.0, 12 * 3600.0])
def test_h5_a_clock_that_is_set_back_reopens_no_window(back: float) -> None:
    night = a_night(hours("09:40", "09:03", "park", starts_in=SLOW))
    night.run(60, lambda there: held(there.world).get("reason") == "WindowClosed")
    stage = status(night.world)["batch"]["index"]
    night.driver.skew = night.memory.skew = -back
    night.driver.run_to(night.world.now + 15 * 60.0)  # records are written meanwhile
    assert held(night.world)["reason"] == "WindowClosed"
    assert status(night.world)["batch"]["index"] == stage


def test_h5_a_clock_that_is_set_back_lets_nothing_leave_that_waited() -> None:
    night = a_night(hours("08:00", "09:00"))
    night.driver.run_to(night.world.now + 60.0)
    night.driver.skew = night.memory.skew = -1800.0
    night.driver.run_to(night.world.now + 20 * 60.0)
    assert phase(night.world) == "Queued"


def test_h5_a_clock_that_went_ahead_and_came_back_opens_nothing_by_day() -> None:
    """The record was written at a time of tomorrow's window: by today's clock it is closed all the same."""
    night = a_night(hours("11:00", "12:00"))
    night.driver.run_to(night.world.now + 60.0)
    night.world.edit(
        "Release", "first", {"status": {"record": {"latest": night.world.now + 26.5 * 3600.0}}}, status=True
    )
    night.driver.run_to(night.world.now + 10 * 60.0)
    assert phase(night.world) == "Queued"


def test_the_urgent_door_leaves_at_once_and_says_why() -> None:
    world = hours("13:00", "16:00")
    world.edit("Release", "first", {"spec": {"now": {"reason": "the shop is down"}}})
    night = a_night(world)
    night.run(60)
    assert phase(night.world) == "Succeeded"
    entry = next(each for each in status(night.world)["record"]["decisions"] if each["kind"] == "LeavesAtOnce")
    assert "the shop is down" in entry["because"]


def test_a_release_that_waits_has_asked_nothing_of_the_cluster_and_holds_nothing() -> None:
    night = a_night(hours("13:00", "16:00"))
    night.driver.run_to(night.world.now + 300.0)
    assert (status(night.world).get("slots") or {}).get("incumbent") is None
    writes = [type(entry.request).__name__ for entry in night.world.trace]
    assert writes.count("WriteSlot") == writes.count("WriteObject") == 0
    assert writes.count("WriteRecord") == 1
    assert status(night.world)["because"].startswith("asked")
    assert status(night.world)["since"] == "2025-10-09T09:00:00Z"
