"""A train and versions in quarantine: who is passed over, what is told of it, and what a lift changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.morning import report_of_train
from controller.morning.words import ride_notes
from controller.night.platform import policies_of
from controller.night.riders import riders_of
from controller.night.train import Rider, Seat, TrainNight, called
from controller.simulation.objects import Key
from policies.train import Car, ReleaseTrainSpec
from policies.windows import Window
from tests.simulation.trains import Night, read

TEXTS = Path(__file__).parents[2] / "scenarios" / "trains"
LIFT = "`nightferry lift payments-bad -n shop --reason WHY`"
KEPT = f"it does not leave unless somebody runs {LIFT}"


@pytest.fixture(scope="module")
def in_the_night() -> Night:
    """Twenty minutes into the night of the text: a car is in quarantine, and nobody has lifted it yet."""
    night = read((TEXTS / "quarantine.txt").read_text(encoding="utf-8"))
    night.run(20 / 60)
    return night


def status(night: Night, name: str) -> Mapping[str, Any]:
    key: Key = ("ReleaseTrain" if name == "nightly" else "Release", "shop", name)
    found = night.world.objects.items[key].get("status") or {}
    assert isinstance(found, Mapping)
    return found


def test_the_train_tells_who_is_passed_over_and_what_lifts_it(in_the_night: Night) -> None:
    waiting = {each["release"]: each["because"] for each in status(in_the_night, "nightly")["night"]["waiting"]}
    assert waiting == {
        "payments-again": f"its version is in quarantine: {KEPT}",
        "checkout-v2": f"payments goes first, and waits itself; the version of payments is in quarantine: {KEPT}",
    }
    assert in_the_night.left == ["payments-bad", "search-v2"]


def test_the_releases_themselves_tell_it(in_the_night: Night) -> None:
    passed_over, behind = (status(in_the_night, name)["held"] for name in ("payments-again", "checkout-v2"))
    assert (passed_over["reason"], passed_over["then"]) == ("Quarantined", KEPT)
    assert passed_over["because"].count(LIFT) == 1 and "release payments-bad turned back" in passed_over["because"]
    assert behind["reason"] == "AwaitsTrain" and LIFT in behind["because"]


def test_the_report_of_the_night_tells_it(in_the_night: Night) -> None:
    items = in_the_night.world.objects.items
    releases = [obj for (kind, _, _), obj in items.items() if kind == "Release"]
    report = report_of_train(items["ReleaseTrain", "shop", "nightly"], releases, in_the_night.world.now)
    assert report is not None
    notes = list(ride_notes(report.trains[0]))
    assert [note.partition(" did")[0] for note in notes] == ["payments-again", "checkout-v2"]
    assert all(LIFT in note for note in notes)


# ------------------------------------------------------------------------------------------------- the rules alone

SPEC = ReleaseTrainSpec(
    window=Window.model_validate({"from": "00:20", "to": "05:30", "zone": "UTC"}),
    cars=(Car(policy="payments"), Car(policy="checkout", after=("payments",)), Car(policy="search")),
)
SEATS = (Seat("payments"), Seat("checkout", ("payments",)), Seat("search"))
OPENS = 1_760_055_600.0  # Fri 2025-10-10 00:20 UTC


def a_rider(policy: str, **facts: Any) -> Rider:
    return Rider(**{"name": f"{policy}-2", "uid": f"uid-{policy}", "policy": policy, "created": OPENS - 60.0, **facts})


def look(*riders: Rider) -> tuple[list[str], Mapping[str, str]]:
    """Who leaves in the first look at a night, and what the others wait for."""
    night = called(TrainNight("2025-10-10", OPENS, OPENS + 18_600.0), SPEC, SEATS, riders, OPENS + 60.0)
    return [each.release for each in night.departed], {each.release: each.because for each in night.waiting}


def test_a_car_in_quarantine_takes_no_seat_and_keeps_those_after_it() -> None:
    left, waiting = look(a_rider("payments", quarantined=KEPT), a_rider("checkout"), a_rider("search"))
    assert left == ["search-2"]
    assert all(KEPT in because for because in waiting.values()) and len(waiting) == 2


def test_one_whose_own_hours_are_shut_all_night_keeps_nobody_in_quarantine_or_not() -> None:
    shut = a_rider("payments", quarantined=KEPT, shut="Frozen by its own policy", opens=OPENS + 90_000.0)
    left, waiting = look(shut, a_rider("checkout"))
    assert left == ["checkout-2"] and waiting == {"payments-2": "Frozen by its own policy"}


def test_who_was_not_looked_at_yet_is_not_called() -> None:
    asked = a_rider("search", seen=False)
    assert look(asked) == ([], {"search-2": "it is looked at first"})
    assert look(replace(asked, seen=True)) == (["search-2"], {})


def test_one_that_its_app_examines_last_takes_nobodys_turn() -> None:
    first = a_rider("search")
    last = a_rider("search", name="search-3", uid="uid-3", created=OPENS - 30.0, behind=True)
    assert look(first, last)[0] == ["search-2"]
    assert look(last, replace(last, name="search-4", uid="uid-4", created=OPENS - 10.0))[0] == ["search-3"]


def test_who_asks_in_the_words_of_a_version_in_quarantine_is_examined_last(in_the_night: Night) -> None:
    items = in_the_night.world.objects.items
    releases = [obj for (kind, _, _), obj in items.items() if kind == "Release"]
    known = policies_of([obj for (kind, _, _), obj in items.items() if kind == "ReleasePolicy"])
    seen = {each.name: each for each in riders_of(releases, SEATS, known, in_the_night.world.now)}
    assert {name for name, each in seen.items() if each.behind} == {"payments-again"}
    assert {name for name, each in seen.items() if each.quarantined} == {"payments-again"}
    lifted = [{**obj, "spec": {**obj["spec"], "lift": {"reason": "mended"}}} for obj in releases]
    assert not any(each.behind for each in riders_of(lifted, SEATS, known, in_the_night.world.now))
