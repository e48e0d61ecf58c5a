"""Whether a train lets a release leave, and what the release is told of a night that went by without it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from controller.night.platform import Train, train_of
from controller.night.ride import Boarded, missed, ticket
from controller.night.train import Departed, TrainNight
from controller.night.windows import opening
from controller.release.decision import Hold
from controller.release.record import Held
from controller.release.vocabulary import HoldReason
from tests.controller.night.trains import NIGHT, Yard

HOUR = 3600.0
OPENS = NIGHT + 600.0  # 00:20
MORNING = NIGHT + 6 * HOUR


def a_train() -> Train:
    yard = Yard(random.Random(1))
    yard.add_policy("search")
    yard.add_train([{"policy": "search"}])
    return train_of(yard.objects.items["ReleaseTrain", "shop", "nightly"])


def waits(until: float) -> Held:
    return Held(HoldReason.AWAITS_TRAIN, NIGHT - HOUR, until, "it leaves when the train calls it", "it waits")


@pytest.mark.parametrize(
    ("held", "asked", "now", "says"),
    [
        (None, NIGHT - HOUR, MORNING, "was away for a whole night"),
        (waits(OPENS), None, MORNING, "was away for a whole night"),
        (waits(NIGHT + 5.5 * HOUR), None, MORNING, "the night ended while it waited: it waits"),
        (None, NIGHT + 5.3 * HOUR, MORNING, "ended before anybody looked at it"),
        (None, NIGHT - HOUR, NIGHT, ""),  # asked for by day, and looked at before the opening
        (None, NIGHT - HOUR, NIGHT + HOUR, ""),  # the night is not over
        (None, MORNING, MORNING + HOUR, ""),  # asked for after the night
        (None, None, MORNING, ""),  # looked at, and held by nothing
        (waits(OPENS + 24 * HOUR), None, MORNING, ""),
    ],
)
def test_a_night_that_went_by_is_told_once(held: Held | None, asked: float | None, now: float, says: str) -> None:
    told = missed(a_train(), held, asked, now)
    assert says in told and bool(told) == bool(says)


@pytest.mark.parametrize(
    ("stopped", "recalled", "begun", "leaves"),
    [
        ("", "", False, True),
        ("two turned back", "", False, False),  # called, and the line stopped before it left: it does not leave
        ("two turned back", "", True, True),  # it has left, and is examined
        ("two turned back", "two turned back", True, False),
    ],
)
def test_a_car_that_was_called_leaves_unless_the_line_stops_first(
    stopped: str, recalled: str, begun: bool, leaves: bool
) -> None:
    train, now = a_train(), NIGHT + HOUR
    assert train.spec is not None
    present = opening(train.spec.window, now)
    assert present is not None
    called = (Departed("first", "a-uid", "search", now - 10.0),)
    night = TrainNight(present.id, present.opens, present.closes, called, stopped=stopped, recalled=recalled)
    told = ticket(replace(train, night=night), "a-uid", 60.0, now, begun=begun)
    assert told == Boarded("nightly", present.id) if leaves else isinstance(told, Hold) and stopped in told.because
