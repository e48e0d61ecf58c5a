"""Windows and freezes are right at every minute of every night on which a clock is changed: every zone, 2024-2040."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.night.windows import closing, frozen, next_opening, opening, openings_from, wall
from policies.openings import changes, local_date, narrowest, opening_of
from policies.windows import Freeze, Window, known_zones
from tests.controller.night.walk import (
    DAY,
    HOUR,
    days_around,
    minutes,
    near,
    offsets,
    utc,
    walked,
    zones_with_changes,
)

# Inside, around, before, after and over the hour at which clocks are changed, and over midnight.
HOURS = (
    ("22:00", "06:00"), ("23:30", "00:30"), ("01:00", "05:30"), ("02:15", "02:45"), ("01:00", "02:30"),
    ("02:30", "05:00"), ("00:00", "24:00"), ("00:30", "00:15"), ("03:00", "02:00"), ("00:00", "01:30"),
)  # fmt: skip
_KINDS = sorted(zones_with_changes().items(), key=lambda each: each[1])


def a_window(opens: str, closes: str, zone: str, days: str = "Mon-Sun", **more: str) -> Window:
    return Window.model_validate({"days": days, "from": opens, "to": closes, "zone": zone, **more})


def a_freeze(**days: str) -> Freeze:
    return Freeze.model_validate({"why": "holidays", **days})


def test_the_zones_are_all_there() -> None:
    assert len(known_zones()) > 590
    assert len(_KINDS) > 60
    assert {"Australia/Lord_Howe", "Africa/Casablanca", "America/Nuuk", "Antarctica/Troll"} <= known_zones()


@pytest.mark.parametrize("part", range(8))
def test_y12_every_opening_is_what_a_walk_over_the_clock_on_the_wall_finds(part: int) -> None:
    nights = 0
    for key, zone in _KINDS[part::8]:
        for changed in days_around(key) or [date(2027, 2, 28)]:
            instants = minutes(changed - timedelta(days=4), 9)
            shown = instants + offsets(zone, instants, HOUR)
            for hours in HOURS:
                window = a_window(*hours, zone)
                for day in near(changed):
                    found = opening_of(window, day)
                    expected = walked(window, day, instants, shown)
                    assert ((found.opens, found.closes) if found is not None else (0.0, 0.0)) == expected, (zone, day)
                    nights += 1
    assert nights > 1000


@pytest.mark.parametrize("part", range(4))
def test_y12_it_is_open_at_a_minute_only_while_the_clock_on_the_wall_says_so_and_once_per_date(part: int) -> None:
    for key, zone in _KINDS[part::4]:
        for changed in days_around(key)[:4]:
            instants = minutes(changed - timedelta(days=1), 3)
            shown = instants + offsets(zone, instants, HOUR)
            for hours in HOURS[:4]:
                window = a_window(*hours, zone)
                begin, end = window.opens.minutes, window.closes.minutes
                of_day = shown // 60 % 1440
                says = (begin <= of_day) & (of_day < end) if begin < end else (of_day >= begin) | (of_day < end)
                seen = [opening(window, float(at)) for at in instants[::7]]
                assert all(says[::7][n] for n, each in enumerate(seen) if each is not None)
                ids = [each.id for n, each in enumerate(seen) if each is not None and (n == 0 or seen[n - 1] != each)]
                assert len(ids) == len(set(ids))


@given(
    zone=st.sampled_from(sorted(known_zones())),
    opens=st.integers(0, 1439),
    closes=st.integers(0, 1440),
    days=st.sets(st.integers(0, 6), min_size=1),
    at=st.integers(int(utc(2024, 1, 1)), int(utc(2041, 1, 1))),
)
@settings(max_examples=400, deadline=None)
def test_openings_follow_one_another_without_touching_a_closed_minute(
    zone: str, opens: int, closes: int, days: set[int], at: int
) -> None:
    names = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    if opens == closes:
        closes = (opens + 1) % 1440
    first, last = (f"{each // 60:02d}:{each % 60:02d}" for each in (opens, closes))
    window = a_window(first, last, zone, ",".join(names[day] for day in sorted(days)))
    now = float(at)
    present, following = opening(window, now), openings_from(window, now)
    found = ([present] if present is not None else []) + [next(following) for _ in range(4)]
    assert found[-4] == next_opening(window, now)
    for one, other in pairwise(found):
        assert one.closes <= other.opens
        assert one.id < other.id
    for each in found:
        assert date.fromisoformat(each.id).weekday() in days
        assert opening(window, each.opens) == each == opening(window, each.closes - 1)
        assert opening(window, each.opens - 1) != each != opening(window, each.closes)
    # Nothing is open between now and the next one.
    gap = np.linspace(present.closes if present is not None else now, found[-4].opens - 1, 7)
    if present is None or present.closes < found[-4].opens:
        assert all(opening(window, float(moment)) is None for moment in gap)


def test_an_hour_that_is_left_out_makes_a_night_shorter_and_one_that_comes_twice_makes_it_longer() -> None:
    night = a_window("22:00", "06:00", "Europe/Berlin")
    lengths = {day: opening_of(night, day) for day in (date(2027, 3, 27), date(2027, 10, 30), date(2027, 6, 1))}
    assert [each.length / 3600 for each in lengths.values() if each is not None] == [7.0, 9.0, 8.0]


def test_half_an_hour_of_lord_howe() -> None:
    night = a_window("22:00", "06:00", "Australia/Lord_Howe")
    assert narrowest(night) == (7.5 * 3600, date(2026, 10, 3))
    long = opening_of(night, date(2027, 4, 3))
    assert long is not None
    assert long.length == 8.5 * 3600


def test_a_window_in_a_repeated_hour_opens_once() -> None:
    window = a_window("02:15", "02:45", "Europe/Berlin")
    once = opening_of(window, date(2027, 10, 31))
    assert once is not None
    assert once.length == 1800
    assert opening(window, once.opens + 3600) is None


def test_an_instant_in_a_repeated_hour_says_which_one_it_is() -> None:
    night = 1_792_886_400.0  # 2026-10-25T00:00Z
    told = [wall("Europe/Berlin", night + 1800.0 * half) for half in (-1, 1, 3, 4)]
    assert told == [
        "Sun 2026-10-25 01:30 Europe/Berlin",
        "Sun 2026-10-25 02:30 CEST Europe/Berlin",
        "Sun 2026-10-25 02:30 CET Europe/Berlin",
        "Sun 2026-10-25 03:00 Europe/Berlin",
    ]


def test_a_window_that_a_clock_jumps_over_stays_shut_and_the_next_one_is_found() -> None:
    window = a_window("02:15", "02:45", "Europe/Berlin", "Sun")
    assert opening_of(window, date(2027, 3, 28)) is None
    assert next_opening(window, utc(2027, 3, 22)).id == "2027-04-04"
    assert narrowest(window)[0] == 0.0


def test_the_day_that_samoa_left_out() -> None:
    """2011-12-30 does not exist in Apia: Thursday's midnight is Saturday."""
    night = a_window("22:00", "06:00", "Pacific/Apia")
    instants = minutes(date(2011, 12, 28), 6)
    shown = instants + offsets("Pacific/Apia", instants, HOUR)
    for day in (date(2011, 12, 28), date(2011, 12, 29), date(2011, 12, 30), date(2011, 12, 31)):
        found = opening_of(night, day)
        assert found is not None
        assert (found.opens, found.closes) == walked(night, day, instants, shown)
    whole = a_window("00:00", "24:00", "Pacific/Apia")
    assert opening_of(whole, date(2011, 12, 30)) is None
    held = frozen([a_freeze(**{"from": "2011-12-30", "to": "2011-12-31"})], "Pacific/Apia", utc(2011, 12, 30, 12))
    assert held is not None
    assert local_date("Pacific/Apia", held.until) == date(2012, 1, 1)


@pytest.mark.parametrize("zone", ["Africa/Casablanca", "America/Nuuk", "Australia/Lord_Howe", "Europe/London", "UTC"])
@pytest.mark.parametrize("hours", [("22:00", "06:00"), ("01:30", "02:30")])
def test_y11_the_shortest_night_is_the_shortest_of_all_nights(zone: str, hours: tuple[str, str]) -> None:
    window = a_window(*hours, zone, "Sat,Sun")
    days = (date(2026, 1, 3) + timedelta(days=n) for n in range(15 * 365))
    lengths = [
        found.length if (found := opening_of(window, day)) is not None else 0.0
        for day in days
        if day.weekday() in window.days.numbers
    ]
    assert narrowest(window)[0] == min(lengths)


def test_whole_days_that_follow_one_another_are_one_time() -> None:
    window = a_window("00:00", "24:00", "Europe/Berlin", "Mon-Fri")
    monday = opening(window, utc(2027, 5, 3, 12))
    assert monday is not None
    assert closing(window, monday) == utc(2027, 5, 7, 22)
    night = a_window("22:00", "06:00", "Europe/Berlin")
    first = next_opening(night, utc(2027, 5, 3, 12))
    assert closing(night, first) == first.closes


@pytest.mark.parametrize(("key", "zone"), _KINDS[::6], ids=[zone for _, zone in _KINDS[::6]])
def test_a_freeze_holds_on_its_dates_and_on_no_other(key: tuple[tuple[str, int, int], ...], zone: str) -> None:
    for changed in (days_around(key) or [date(2027, 2, 28)])[:6]:
        days = {"from": changed.isoformat(), "to": (changed + timedelta(days=1)).isoformat()}
        instants = minutes(changed - timedelta(days=2), 6)
        shown = (instants + offsets(zone, instants, HOUR)) // DAY
        first = (changed - date(1970, 1, 1)).days
        dated = (first <= shown) & (shown <= first + 1)
        held = np.array([frozen([a_freeze(**days)], zone, float(at)) is not None for at in instants[::13]])
        # Where a midnight comes twice, all between its first and its last time is frozen.
        inside = np.flatnonzero(dated)
        expected = np.zeros_like(dated)
        expected[inside[0] : inside[-1] + 1] = True
        assert (held == expected[::13]).all()


def test_of_two_freezes_the_longer_one_is_told_and_the_zone_of_its_own_counts() -> None:
    shorter = a_freeze(**{"from": "2026-12-24", "to": "2026-12-26"})
    longer = a_freeze(**{"from": "2026-12-20", "to": "2027-01-02", "zone": "Pacific/Kiritimati", "why": "year end"})
    held = frozen([shorter, longer], "UTC", utc(2026, 12, 25))
    assert held is not None
    assert (held.why, held.until) == ("year end", utc(2027, 1, 2, 10))
    assert frozen([shorter, longer], "UTC", utc(2026, 12, 19, 9, 59)) is None
    assert frozen([longer], "UTC", utc(2026, 12, 19, 10)) is not None


@pytest.mark.parametrize(
    ("written", "numbers", "again"),
    [
        ("Mon-Thu", (0, 1, 2, 3), "Mon-Thu"),
        ("Fri-Mon", (0, 4, 5, 6), "Mon,Fri-Sun"),
        ("Wed", (2,), "Wed"),
        ("Sun, Mon,Tue", (0, 1, 6), "Mon-Tue,Sun"),
        ("Tue-Mon", (0, 1, 2, 3, 4, 5, 6), "Mon-Sun"),
    ],
)
def test_weekdays_are_read_and_written(written: str, numbers: tuple[int, ...], again: str) -> None:
    window = a_window("01:00", "02:00", "UTC", written)
    assert window.days.numbers == numbers
    plain: Mapping[str, str] = window.model_dump(mode="json", by_alias=True)
    assert plain["days"] == again
    assert Window.model_validate(plain) == window


def test_the_years_of_a_zone_are_looked_at_to_their_end() -> None:
    assert len(changes("Europe/Berlin")) == 30
    assert changes("Asia/Shanghai") == ()
