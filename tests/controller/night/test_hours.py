"""When a release may leave by its own policy: always until a said instant, and never with too little left."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.night.hours import next_departure, own_hours
from controller.night.under_way import night
from controller.release.record import Record
from controller.release.vocabulary import HoldReason
from policies.schema import ReleasePolicySpec
from tests.policies.builders import a_policy, a_release


def utc(day: int, hour: int = 0, minute: int = 0) -> float:
    """A time of November 2026; the 23rd is a Monday."""
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC).timestamp()


def a_spec(opens: str = "22:00", closes: str = "06:00", **spec: Any) -> ReleasePolicySpec:
    window = {"days": "Mon-Thu", "from": opens, "to": closes, "zone": "UTC"}
    return a_policy(observe={"onUndecided": "rollBack"}, window=window, **spec).spec


AUDIT = {"from": "2026-11-25", "to": "2026-11-25", "why": "audit"}


@pytest.mark.parametrize(
    ("now", "reason", "until"),
    [
        (utc(23, 12), HoldReason.WINDOW_CLOSED, utc(23, 22)),
        (utc(23, 22), None, None),
        (utc(24, 5, 50), None, None),  # the shortest release takes ten minutes
        (utc(24, 5, 51), HoldReason.WINDOW_CLOSED, utc(24, 22)),
        (utc(24, 23, 55), HoldReason.WINDOW_CLOSED, utc(26, 0)),  # a freeze begins at midnight
        (utc(25, 3), HoldReason.FROZEN, utc(26, 0)),  # and ends inside the opening of Wednesday
        (utc(27, 6), HoldReason.WINDOW_CLOSED, utc(30, 22)),  # no night of Friday to Sunday
    ],
)
def test_why_it_waits_and_until_when(now: float, reason: HoldReason | None, until: float | None) -> None:
    stay = own_hours(a_spec(freeze=[AUDIT]), None, now)
    assert (None if stay is None else stay.reason) == reason
    assert stay is None or stay.until == until


def test_the_time_that_was_asked_for_comes_first_and_then_the_window() -> None:
    stay = own_hours(a_spec(), utc(24, 12), utc(23, 22))
    assert stay is not None
    assert (stay.reason, stay.until) == (HoldReason.NOT_BEFORE, utc(24, 22))


def test_a_policy_without_hours_lets_everything_leave() -> None:
    assert own_hours(a_policy().spec, None, utc(23, 12)) is None
    assert next_departure(a_policy().spec, None, utc(23, 12)) == utc(23, 12)


def test_a_policy_that_is_frozen_for_good_promises_no_time() -> None:
    freeze = [{"from": f"{year}-01-01", "to": f"{year}-12-31", "why": "closed"} for year in range(2026, 2090)]
    assert next_departure(a_spec(freeze=freeze), None, utc(23, 12)) == datetime(2090, 1, 2, 22, tzinfo=UTC).timestamp()


@given(now=st.integers(int(utc(1)), int(utc(30))), frozen=st.booleans(), later=st.integers(0, 10**6) | st.none())
@settings(max_examples=60, deadline=None)
def test_it_may_leave_at_the_time_it_was_told_and_at_no_minute_before(
    now: int, frozen: bool, later: int | None
) -> None:
    spec = a_spec("23:30", "00:30", freeze=[AUDIT] if frozen else None) if frozen else a_spec("23:30", "00:30")
    asked = float(now + later) if later is not None else None
    at = next_departure(spec, asked, float(now))
    assert at is not None
    assert own_hours(spec, asked, at) is None
    for minute in range(1, min(600, int((at - now) // 60))):
        assert own_hours(spec, asked, at - 60.0 * minute) is not None


def test_a_release_under_way_is_told_what_is_shut_and_one_that_brings_back_is_not() -> None:
    spec, asked = a_spec(freeze=[AUDIT]), a_release().spec
    open_now = night(spec, asked, Record(), utc(23, 23))
    assert not open_now.closed
    assert not open_now.frozen
    shut = night(spec, asked, Record(), utc(25, 12))
    assert shut.opens == utc(25, 22)
    assert shut.thaws == utc(26)
    assert "audit" in shut.frozen
    for other in (Record(origin="rollback"), Record(origin="restore")):
        assert not night(spec, asked, other, utc(25, 12)).closed
    assert not night(spec, a_release(now={"reason": "the shop is down"}).spec, Record(), utc(25, 12)).closed


def test_h5_what_was_open_by_an_older_clock_is_closed_by_a_later_write() -> None:
    spec, asked = a_spec(), a_release().spec
    assert night(spec, asked, Record(latest=utc(24, 6, 1)), utc(24, 3)).closed
    assert not night(spec, asked, Record(latest=utc(24, 2)), utc(24, 3)).closed
    stay = own_hours(spec, None, utc(24, 3), utc(24, 6, 1))
    assert stay is not None
    assert stay.until == utc(24, 22)
