"""Nights of a train: they end as they must, and a bug that is planted into the product is counted under its name."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, time
from typing import Any

import numpy as np
import pytest

from controller.attempt import Reading, TickResult
from controller.night import ride, train, train_tick
from controller.night.platform import night_status
from controller.night.ride import Boarded
from controller.night.train import Recall, Rider, TrainNight, called, night_of
from controller.release.names import TrainKey
from controller.release.vocabulary import Phase
from controller.requests.outside import Deliver
from tests.bench.nights import around
from tests.bench.nights.fleet import Hours, Line, fleet
from tests.bench.nights.mix import KINDS
from tests.bench.nights.night import SENT_OFF
from tests.bench.nights.tally import ZERO, faultless, page
from tests.bench.nights.train_night import BEFORE, ROOM, Ask, Evening, TrainTold, a_car, run_night, train_night

SEED = 5
BY_KIND = {kind.name: kind for kind in KINDS}
SPRING = date(2025, 3, 30)  # clocks change in Europe: the hour from 02:00 does not exist
HOURS = Hours("Europe/Berlin", frozenset(range(7)), time(1, 0), time(4, 0))  # two hours long in that night
OF_ALONE = ("stuck", "ended twice", "two ways back for one release", "unexplained", "without numbers")


def a_line(cars: int = 2) -> Line:
    apps = [replace(app, pods=4, load=100.0, hours=None) for app in fleet(SEED).lines[0].cars[:cars]]
    return Line(0, tuple(apps), HOURS)


def a_night(
    *kinds: str,
    after: Sequence[int] = (),
    late: float = 0.0,
    stop: int = 0,
    away: bool = False,
    parks_at: time | None = None,
    **spec: Any,
) -> TrainTold:
    """One release of each kind, the first one goes before the others of `after`; nobody is killed.

    `late`: seconds after the closing at which the last one is asked for, where that is not by day. `parks_at`: when
    hours of their own end for all of them.
    """
    line = a_line(len(kinds))
    if parks_at is not None:
        own = replace(HOURS, closes=parks_at)
        strategy = {"rolling": {"canary": 1, "batches": 3}}  # sixteen minutes at least
        cars = tuple(replace(app, strategy=strategy, hours=own, on_close="park") for app in line.cars)
        line = replace(line, cars=cars)
    opens, closes = HOURS.night(SPRING) or (0.0, 0.0)
    names = [app.name for app in line.cars]
    first = {name: (names[0],) if place in after else () for place, name in enumerate(names)}
    asks = [
        Ask(app, f"{app.name}-1", BY_KIND[kind], opens - BEFORE + 60.0)
        for app, kind in zip(line.cars, kinds, strict=True)
    ]
    if late:
        asks[-1] = replace(asks[-1], at=closes + late)
    whole = {
        "window": HOURS.written,
        "cars": [a_car(name, first) for name in names],
        "atOnce": 1,
        "report": [{"webhook": ROOM}],
        **({"stopTheLine": {"rolledBack": stop}} if stop else {}),
        **spec,
    }
    evening = Evening(whole, first, tuple(asks), away)
    return run_night(line, SPRING, (opens, closes), evening, np.random.default_rng(SEED))


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody dies in these nights."""
    monkeypatch.setattr(around, "PAUSED", 0.0)
    monkeypatch.setattr(around, "KILLS", 0.0)


def test_cars_arrive_in_order_on_a_night_on_which_clocks_change() -> None:
    told = a_night("good", "good", after=[1])
    assert (told.left, told.arrived, told.behind, told.flaws) == (2, 2, (), ())
    assert faultless([], [told])


def test_a_line_that_stops_leaves_cars_behind_and_says_why() -> None:
    told = a_night("crash loop", "good", stop=1)
    assert (told.left, told.turned, told.stopped, told.recalled) == (1, 1, True, False)
    assert (told.behind, told.flaws) == ((("the line was stopped", 1),), ())


def test_a_train_that_is_rolled_back_whole() -> None:
    told = a_night("good", "crash loop", stop=1, onStop="rollBackAll")
    assert (told.left, told.arrived, told.turned, told.undone, told.recalled) == (2, 1, 1, 1, True)
    assert told.flaws == ()
    assert "trains rolled back whole:                                1" in "\n".join(page([], [told], 1, SEED))


def test_a_controller_that_was_away_says_so_to_every_car() -> None:
    told = a_night("good", "good", away=True)
    assert (told.left, told.behind, told.flaws) == (0, (("the controller was away", 2),), ())


def test_a_car_that_is_parked_is_sent_off_in_the_morning_and_the_night_ends() -> None:
    told = a_night("good", parks_at=time(1, 22))
    assert (told.left, told.arrived, told.parked, told.flaws) == (1, 1, 1, ())
    assert [one.parked for one in told.cars] == [SENT_OFF]
    assert f"{'sent off by a person:':<46}{1:>12}{1:>9}{0:>13}" in list(page([], [told], 1, SEED))


def test_a_drawn_night_goes_through() -> None:
    told = train_night(fleet(SEED).lines[2], date(2025, 4, 6), SEED)  # clocks change on Lord Howe
    assert told is not None and told.flaws == () and len(told.cars) > 0


# ------------------------------------------------------------------------------------------- what is planted


def names_of(told: TrainTold) -> set[str]:
    return {flaw.partition(":")[0] for flaw in told.flaws}


def counted(told: TrainTold, name: str) -> bool:
    """Whether the flaw is found, is one of those that are printed, and fails the command."""
    printed = [line for line in page([], [told], 1, SEED) if line.startswith(f"{name}: ")]
    return name in ZERO and name in names_of(told) and not printed[0].endswith(" 0") and not faultless([], [told])


def test_a_car_that_leaves_before_one_it_comes_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "_not_yet", lambda *_: "")
    assert counted(a_night("good", "good", after=[1], atOnce=2), "before its turn")


def test_more_under_way_than_the_train_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rider, "moving", False)
    assert counted(a_night("good", "good"), "too many at once")


def test_a_car_that_leaves_after_the_line_should_have_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "_stopped", lambda night, *_: night)
    assert counted(a_night("crash loop", "good", stop=1), "after the stop")


def test_a_car_that_is_called_after_the_line_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "_barred", lambda *_: "")
    assert counted(a_night("crash loop", "good", stop=1), "after the stop")


def test_a_car_that_is_called_after_the_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        train_tick, "night_of", lambda last, present, now, busy: last or night_of(last, present, now, busy=busy)
    )
    monkeypatch.setattr(train, "_barred", lambda *_: "")
    assert counted(a_night("good", "good", late=300.0), "outside")


def test_a_car_that_nobody_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ride, "ticket", lambda *_, **__: Boarded("nightly", "tonight"))
    told = a_night("good", "good")
    assert counted(told, "uncalled") and counted(told, "outside")


def test_a_car_that_is_called_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(night: TrainNight, *args: Any, **more: Any) -> TrainNight:
        after = called(night, *args, **more)
        return replace(after, departed=after.departed * 2) if len(after.departed) == 1 else after

    monkeypatch.setattr(train_tick, "called", twice)
    assert counted(a_night("good", "good"), "left twice")


def test_two_cars_that_are_taken_back_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(night: TrainNight | None, seats: object, riders: Sequence[Rider]) -> Recall:
        if night is None or not night.recalled:
            return Recall()
        backs = {each.back for each in riders}
        arrived = [each for each in night.departed if each.ended == Phase.SUCCEEDED and each.release not in backs]
        return Recall(bool(arrived), arrived[-1] if arrived else None)

    monkeypatch.setattr(train_tick, "recall", hasty)
    assert counted(a_night("good", "good", "crash loop", stop=1, onStop="rollBackAll"), "two taken back at once")


def test_a_car_that_stays_on_a_train_that_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_tick, "recall", lambda *_: Recall())
    told = a_night("good", "crash loop", stop=1, onStop="rollBackAll")
    assert counted(told, "stayed on a train that was taken back")


def test_a_night_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_tick, "finished", lambda night, *_: night)
    monkeypatch.setattr(train_tick, "told_at", lambda *_: None)
    told = a_night("good", "good")
    assert counted(told, "night without end") and counted(told, "told nobody")


def test_a_night_that_is_told_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    number = itertools.count()
    monkeypatch.setattr(train_tick, "night_status", lambda night: {**night_status(night), "reported": []})
    monkeypatch.setattr(train_tick, "Deliver", lambda to, id, what: Deliver(to, f"{id}-{next(number) // 2}", what))
    assert counted(a_night("good", "good"), "told twice")


def test_a_night_that_is_told_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(key: TrainKey, *_: object) -> Reading[TickResult]:
        yield from ()
        return TickResult(key)

    monkeypatch.setattr(train_tick, "_tell", silent)
    assert counted(a_night("good", "good"), "told nobody")


def test_every_count_that_must_be_zero_has_something_planted_here_or_beside() -> None:
    here = {
        "before its turn", "too many at once", "after the stop", "outside", "uncalled", "left twice", "told nobody",
        "two taken back at once", "stayed on a train that was taken back", "night without end", "told twice",
    }  # fmt: skip
    assert set(ZERO) == here | set(OF_ALONE)
