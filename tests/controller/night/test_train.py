"""Trains: stories of a night in small, and random nights with kills, pauses and old looks at every request."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.controller.night.trains import NIGHT, Course, Yard, in_order

HOUR = 3600.0


def a_yard(**train: Any) -> Yard:
    """Payments, then checkout, and search beside them; nobody has asked for anything."""
    yard = Yard(random.Random(1))
    cars = [{"policy": "payments"}, {"policy": "checkout", "after": ["payments"]}, {"policy": "search"}]
    for name in ("payments", "checkout", "search"):
        yard.add_policy(name)
    yard.add_train(train.pop("cars", cars), **train)
    return yard


def waiting(yard: Yard) -> Mapping[str, str]:
    return {each["release"]: each["because"] for each in (yard.status.get("night") or {}).get("waiting") or ()}


def test_cars_leave_in_order_and_as_many_at_once_as_the_train_takes() -> None:
    yard = a_yard(atOnce=2)
    for name in ("checkout", "search", "payments"):
        yard.ask(name, f"{name}-2")
    yard.run(300.0)
    assert list(in_order(yard)) == [] and yard.status["phase"] == "Closed"
    yard.run(HOUR)
    assert list(in_order(yard)) == ["payments-2", "search-2", "checkout-2"]
    assert {yard.phase(f"{name}-2") for name in ("payments", "checkout", "search")} == {"Succeeded"}
    assert yard.status["phase"] == "Open"


def test_a_car_waits_for_the_one_before_it_and_stays_where_that_one_failed() -> None:
    yard = a_yard(atOnce=3)
    yard.ask("payments", "payments-2", Course("RolledBack"))
    yard.ask("checkout", "checkout-2")
    yard.run(1200.0)
    assert list(in_order(yard)) == ["payments-2"]
    yard.run(HOUR)
    assert yard.phase("checkout-2") == "Queued"
    assert "payments ended RolledBack" in waiting(yard)["checkout-2"]


def test_the_line_stops_and_no_further_car_leaves() -> None:
    yard = a_yard(stopTheLine={"rolledBack": 1})
    yard.ask("payments", "payments-2", Course("RolledBack"))
    yard.ask("search", "search-2")
    yard.run(HOUR)
    assert list(in_order(yard)) == ["payments-2"]
    assert yard.status["phase"] == "Stopped" and "GateDegraded" in yard.status["because"]
    assert "the line is stopped" in waiting(yard)["search-2"]


@pytest.mark.parametrize("cause", ["Superseded", "WindowClosed"])
def test_a_turn_that_says_nothing_of_the_version_stops_no_line(cause: str) -> None:
    yard = a_yard(stopTheLine={"rolledBack": 1})
    yard.ask("payments", "payments-2", Course("RolledBack", cause=cause))
    yard.ask("search", "search-2")
    yard.run(HOUR)
    assert yard.phase("search-2") == "Succeeded"


def test_roll_back_all_turns_those_under_way_and_takes_back_the_others_in_reverse_order() -> None:
    yard = a_yard(
        cars=[{"policy": name} for name in ("payments", "checkout", "search", "cart")],
        atOnce=2,
        stopTheLine={"rolledBack": 1},
        onStop="rollBackAll",
    )
    yard.add_policy("cart")
    yard.ask("payments", "payments-2", Course(takes=60.0))
    yard.ask("checkout", "checkout-2", Course(takes=120.0))
    yard.ask("search", "search-2", Course(takes=HOUR))
    yard.ask("cart", "cart-2", Course("RolledBack", takes=600.0))
    yard.run(2 * HOUR)
    assert yard.phase("search-2") == "RolledBack"
    assert yard.backs == ["checkout-2", "payments-2"]
    assert yard.status["phase"] == "Stopped"
    yard.run(6 * HOUR, step=60.0)
    assert yard.status["phase"] == "Closed" and yard.night is not None and yard.night.over is not None


def test_whoever_cannot_be_taken_back_keeps_what_it_needs() -> None:
    yard = a_yard(atOnce=2, stopTheLine={"rolledBack": 1}, onStop="rollBackAll")
    yard.ask("payments", "payments-2", Course(takes=60.0))
    yard.ask("checkout", "checkout-2", Course(takes=60.0))
    yard.run(1200.0)
    yard.ask("search", "search-2", Course("RolledBack", takes=300.0))
    while not yard.backs:
        yard.run(15.0)
    (name,) = [each for each in yard.courses if each.startswith("checkout-recall")]
    yard.courses[name] = Course("NeedsHuman", takes=60.0)
    yard.run(HOUR)
    assert yard.backs == ["checkout-2"]
    assert yard.phase("payments-2") == "Succeeded" and "not taken back: checkout, payments" in yard.status["because"]


def test_whoever_waited_a_night_goes_first() -> None:
    yard = a_yard()
    yard.ask("payments", "payments-2", Course(takes=12 * HOUR))
    yard.ask("search", "search-2")
    yard.run(7 * HOUR, step=60.0)
    yard.courses["payments-2"] = Course(takes=0.0)
    yard.run(HOUR, step=60.0)
    yard.ask("payments", "payments-3")
    yard.now = NIGHT + 86400.0
    yard.run(HOUR)
    assert list(in_order(yard)) == ["payments-2", "search-2", "payments-3"]


def test_the_newest_wish_of_the_day_leaves() -> None:
    yard = a_yard()
    yard.ask("payments", "payments-2")
    yard.now += 15.0
    yard.ask("payments", "payments-3")
    yard.run(HOUR)
    assert list(in_order(yard)) == ["payments-3"] and yard.phase("payments-2") == "Cancelled"


def test_a_car_whose_own_window_is_closed_takes_no_place() -> None:
    yard = a_yard()
    yard.add_policy("night", window={"from": "03:00", "to": "05:00", "zone": "UTC", "onClose": "park"})
    yard.edit_cars([{"policy": "night"}, {"policy": "search"}])
    yard.ask("night", "night-2")
    yard.ask("search", "search-2")
    yard.run(HOUR)
    assert list(in_order(yard)) == ["search-2"] and "by its own policy" in waiting(yard)["night-2"]
    yard.run(2.5 * HOUR, step=60.0)
    assert list(in_order(yard)) == ["search-2", "night-2"]


def test_nothing_leaves_where_too_little_of_the_night_is_left_or_on_a_frozen_day() -> None:
    yard = a_yard(freeze=[{"from": "2025-10-10", "to": "2025-10-10", "why": "a holiday"}])
    yard.ask("search", "search-2")
    yard.run(HOUR)
    assert list(in_order(yard)) == [] and yard.status["phase"] == "Frozen"
    late = a_yard()
    late.run(15.0)
    late.now = NIGHT + 5.3 * HOUR
    late.ask("search", "search-2")
    late.run(60.0)
    assert "too little of the night" in waiting(late)["search-2"]


def test_a_clock_that_was_set_back_opens_no_night_again() -> None:
    yard = a_yard()
    yard.run(6 * HOUR, step=60.0)
    assert yard.status["phase"] == "Closed"
    yard.now -= 2 * HOUR
    yard.ask("search", "search-2")
    yard.run(HOUR)
    assert list(in_order(yard)) == [] and yard.status["phase"] == "Closed"


@pytest.mark.parametrize(
    ("cars", "says"),
    [
        ([{"policy": "serch"}], "no such policy in the namespace (did you mean search?)"),
        ([{"policies": {"team": "x"}, "after": ["search"]}, {"policy": "payments", "after": ["cart"]}], "no car"),
        ([{"policies": {"team": "x"}}, {"policy": "search", "after": ["cart"]}, {"policies": {"a": "b"}}], "no car"),
    ],
)
def test_a_train_that_does_not_fit_its_namespace_is_refused_in_one_line(cars: list[Any], says: str) -> None:
    yard = a_yard(cars=cars)
    yard.ask("search", "search-2")
    yard.run(HOUR)
    assert yard.status["phase"] == "Refused" and says in yard.status["because"]
    assert "\n" not in yard.status["because"] and list(in_order(yard)) == []


def test_a_cycle_that_labels_close_is_refused_with_the_cycle_shown() -> None:
    yard = Yard(random.Random(1))
    yard.add_policy("payments")
    yard.add_policy("search", {"team": "x"})
    yard.add_train([{"policy": "payments", "after": ["search"]}, {"policies": {"team": "x"}, "after": ["payments"]}])
    yard.run(60.0)
    assert yard.status["because"].endswith("payments after search after payments")


def test_of_two_trains_with_one_policy_the_younger_is_refused() -> None:
    yard = a_yard()
    yard.now += 60.0
    yard.add_train([{"policy": "search"}], name="zulu")
    yard.ask("search", "search-2")
    yard.run(HOUR)
    assert yard.phase("search-2") == "Succeeded"
    yard.objects.items["ReleaseTrain", "shop", "nightly"]["metadata"]["creationTimestamp"] = "2030-01-01T00:00:00Z"
    yard.run(60.0)
    assert yard.status["phase"] == "Refused" and "rides the train zulu" in yard.status["because"]


def test_a_status_that_somebody_edited_lets_nothing_leave_for_the_night() -> None:
    yard = a_yard()
    yard.run(900.0)
    yard.objects.patch(
        ("ReleaseTrain", "shop", "nightly"), {"status": {"night": {"opened": 7}}}, "x", yard.now, status=True
    )
    yard.ask("search", "search-2")
    yard.run(HOUR)
    assert list(in_order(yard)) == [] and yard.status["phase"] == "Stopped"
    yard.now = NIGHT + 86400.0
    yard.run(HOUR)
    assert list(in_order(yard)) == ["search-2"]


def test_h5_k14_a_tick_with_a_time_before_the_opening_does_not_close_the_night() -> None:
    yard = a_yard()
    yard.ask("search", "search-2")
    yard.run(1500.0)
    assert yard.night is not None and yard.status["phase"] == "Open"
    yard.now = yard.night.opened - 30.0
    yard.run(15.0)
    assert yard.night.closed is None
    yard.run(HOUR)
    assert list(in_order(yard)) == ["search-2"] and yard.phase("search-2") == "Succeeded"


def test_the_report_is_handed_over_once_the_night_is_over() -> None:
    yard = a_yard(report=[{"webhook": "morning-room"}])
    yard.ask("search", "search-2")
    yard.run(5 * HOUR, step=60.0)
    assert yard.delivered == []
    yard.run(HOUR, step=60.0)
    assert len(set(yard.delivered)) == 1 and yard.night is not None
    assert yard.night.reported == ("webhook/morning-room",)
    told = len(yard.delivered)
    yard.run(HOUR, step=60.0)
    assert len(yard.delivered) == told


def test_a_report_that_nobody_takes_is_not_called_sent() -> None:
    yard = a_yard(report=[{"webhook": "morning-room"}])
    yard.ask("search", "search-2")
    yard.refusing = "404 no such room"
    yard.run(7 * HOUR, step=60.0)
    (said,) = {note for note in yard.notes if note.startswith("report of")}
    assert said.endswith("could not be sent to webhook/morning-room: 404 no such room")
    assert len(yard.delivered) == 1


@pytest.mark.parametrize("held", ["WindowClosed", "Undecided", "PausedByPerson"])
def test_the_report_does_not_wait_for_a_release_that_stands_until_somebody_or_another_night_lets_it_go_on(
    held: str,
) -> None:
    yard = a_yard(report=[{"webhook": "morning-room"}], atOnce=2)
    yard.ask("search", "search-2")
    yard.ask("payments", "payments-2", Course(takes=20 * HOUR))
    yard.run(5 * HOUR, step=60.0)
    assert yard.delivered == [] and yard.phase("payments-2") == "Batch"
    yard.objects.patch(("Release", "shop", "payments-2"), {"status": {"heldReason": held}}, "us", yard.now, status=True)
    yard.run(HOUR, step=60.0)
    assert len(set(yard.delivered)) == 1 and yard.night is not None
    assert yard.night.reported == ("webhook/morning-room",) and yard.night.over is None


def test_a_release_that_goes_on_after_the_night_is_waited_for_by_the_report() -> None:
    yard = a_yard(report=[{"webhook": "morning-room"}])
    yard.ask("payments", "payments-2", Course(takes=8 * HOUR))
    yard.run(7 * HOUR, step=60.0)
    assert yard.delivered == [] and yard.status["phase"] == "Closed"
    yard.run(2 * HOUR, step=60.0)
    assert len(set(yard.delivered)) == 1


def test_a_night_without_news_writes_nothing_and_asks_no_server() -> None:
    yard = a_yard()
    yard.run(HOUR)
    before, asked = yard.objects.version, yard.requests
    yard.run(600.0)
    assert yard.objects.version == before
    assert yard.requests - asked == 3 * 40  # trains, policies, releases: all from the cache


def test_all_releases_are_listed_by_the_server_only_for_what_an_old_look_may_not_decide() -> None:
    yard = a_yard(stopTheLine={"rolledBack": 1})
    yard.run(660.0)
    assert (yard.status["phase"], yard.lists) == ("Open", 1)  # a night begins
    yard.ask("payments", "payments-2", Course("RolledBack", takes=600.0))
    yard.ask("checkout", "checkout-2")
    yard.run(60.0)
    assert list(in_order(yard)) == ["payments-2"] and yard.lists == 2  # somebody leaves
    yard.run(HOUR)
    assert yard.status["phase"] == "Stopped" and "the line is stopped" in waiting(yard)["checkout-2"]
    assert yard.lists == 2  # who has turned back, and who waits, a look that is behind says later
    yard.run(5 * HOUR, step=60.0)
    assert yard.night is not None and yard.night.over is not None and yard.lists == 3  # the night is over


# ------------------------------------------------------------------------------------------------ random nights

ENDINGS = st.sampled_from(["Succeeded", "Succeeded", "Succeeded", "RolledBack", "NeedsHuman", "Cancelled"])


@st.composite
def nights(draw: st.DrawFn) -> Yard:
    """A train of a few cars in a random order, with what was asked for, and faults on the way."""
    number = draw(st.integers(1, 5))
    names = [f"app{index}" for index in range(number)]
    cars: list[dict[str, Any]] = []
    for index, name in enumerate(names):
        before = draw(st.lists(st.sampled_from(names[:index]), unique=True, max_size=2)) if index else []
        cars.append({"policy": name, **({"after": before} if before else {})})
    on_stop = draw(st.sampled_from(["park", "rollBackAll", "rollBackAll"]))
    spec: dict[str, Any] = {"atOnce": draw(st.integers(1, 3)), "onStop": on_stop}
    if stop := draw(st.sampled_from([0, 1, 1, 2])):
        spec["stopTheLine"] = {"rolledBack": stop}
    yard = Yard(random.Random(draw(st.integers(0, 2**32))), lag=draw(st.integers(0, 6)))
    yard.kills = draw(st.sampled_from([0.0, 0.05, 0.2]))
    for name in names:
        yard.add_policy(name)
    yard.add_train(draw(st.permutations(cars)), **spec)
    for name in names:
        for number in range(draw(st.integers(0, 2))):
            course = Course(draw(ENDINGS), draw(st.sampled_from([30.0, 200.0, 900.0])))
            yard.ask(name, f"{name}-{number}", course)
    return yard


LEGITIMATE = ("the line is stopped", " ended ", "goes first, and waits itself", "was taken back", "ends without")
COUNTED = {"nights": 0, "requests": 0, "struck": 0, "left": 0, "backs": 0}


@given(nights(), st.data())
@settings(max_examples=60, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def random_nights(yard: Yard, data: st.DataObject) -> None:
    yard.run(1500.0)
    if data.draw(st.booleans()):
        yard.ask("app0", "app0-late", Course(data.draw(ENDINGS)))
    yard.run(2 * HOUR, step=30.0)
    yard.kills, yard.lag = 0.0, 0  # faults stop, and the watch catches up
    yard.frozen.clear()
    yard.run(2 * HOUR, step=60.0)
    for release, because in waiting(yard).items():
        assert any(word in because for word in LEGITIMATE), (release, because)
    yard.run(1.5 * HOUR, step=60.0)
    night = yard.night
    assert night is not None and night.over is not None, yard.status
    assert all(yard.phase(each.release) not in ("Batch", "RollingBack") for each in night.departed)
    COUNTED["nights"] += 1
    for name, more in (("requests", yard.requests), ("struck", yard.struck), ("left", len(yard.departures))):
        COUNTED[name] += more
    COUNTED["backs"] += len(yard.backs)


def test_random_nights_keep_the_laws_and_nobody_waits_for_nothing() -> None:
    random_nights()
    print(f"random nights of trains: {COUNTED}")
    assert COUNTED["nights"] >= 50 and COUNTED["struck"] > 0 and COUNTED["backs"] > 0 and COUNTED["left"] > 0
