"""What people are told of hours: when a release leaves, what fits into a window, and the urgent door."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from controller.cli.hours import hours, hours_json, leaves
from policies.schema import ReleasePolicy
from tests.controller.apiserver import ApiServer
from tests.controller.cli.test_release import written
from tests.controller.cli.world import Nightferry
from tests.policies.builders import a_policy

NIGHT = {"days": "Mon-Thu", "from": "01:00", "to": "05:30", "zone": "Asia/Shanghai"}
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()  # Monday, 20:00 in Shanghai


def nightly(**spec: Any) -> ReleasePolicy:
    return a_policy(observe={"onUndecided": "rollBack"}, window=NIGHT, **spec)


def test_the_next_opening_and_what_fits_into_it() -> None:
    told = list(hours(nightly(), 6 * 3600.0, NOON))
    assert told == [
        "window Mon-Thu 01:00 to 05:30 Asia/Shanghai, on closing rollBack",
        "opens in 5h: Tue 2026-11-24 01:00 Asia/Shanghai to Tue 2026-11-24 05:30 Asia/Shanghai, 4h30m",
        "the shortest release (10m) fits; the longest observation (6h) does not fit",
    ]
    open_now = list(hours(nightly(), 3600.0, NOON + 6 * 3600.0))
    assert open_now[1].startswith("open now: Tue 2026-11-24 01:00")
    assert open_now[2].endswith("the longest observation (60m) fits")
    assert list(hours(a_policy(), 3600.0, NOON)) == []


def test_freezes_to_come_and_none_that_is_over() -> None:
    freeze = [
        {"from": "2026-11-24", "to": "2026-11-24", "why": "audit"},
        {"from": "2026-11-01", "to": "2026-11-02", "why": "past"},
    ]
    told = list(hours(nightly(freeze=freeze), 3600.0, NOON))[3:]
    assert told == ["frozen from Tue 2026-11-24 00:00 Asia/Shanghai to Wed 2026-11-25 00:00 Asia/Shanghai: audit"]
    data = hours_json(nightly(freeze=freeze), NOON)
    assert data == {
        "nextDeparture": "2026-11-24T17:00:00Z",
        "opens": "2026-11-23T17:00:00Z",
        "closes": "2026-11-23T21:30:00Z",
        "night": "2026-11-24",
    }
    assert hours_json(a_policy(), NOON) is None


def test_when_a_release_leaves_and_why_not_before() -> None:
    said = leaves(nightly(), None, NOON)
    assert said.startswith("it leaves Tue 2026-11-24 01:00 Asia/Shanghai, in 5h: the window is closed")
    later = leaves(nightly(), NOON + 7 * 3600.0, NOON)
    assert later.startswith("it leaves Tue 2026-11-24 03:00 Asia/Shanghai, in 7h: asked not to leave before")
    assert leaves(nightly(), None, NOON + 6 * 3600.0) == ""
    # Too late for the last night of the week: the next one is on Monday.
    thursday = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()
    assert "Mon 2026-11-30 01:00" in leaves(nightly(), None, thursday)


def test_the_urgent_door_is_written_with_its_reason_and_needs_one(app: ApiServer, nightferry: Nightferry) -> None:
    refused = nightferry("release", "checkout", "--image", "r.test/app:v2", "--now")
    assert refused.code == 2
    assert refused.err == "nightferry: --now needs --reason: it is recorded and reported\n"
    said = nightferry("release", "checkout", "--image", "r.test/app:v2", "--now", "--reason", "the shop is down")
    assert said.code == 0
    assert written(app)["now"] == {"reason": "the shop is down"}


def test_a_time_to_wait_for_is_written_and_told(app: ApiServer, nightferry: Nightferry) -> None:
    said = nightferry("release", "checkout", "--image", "r.test/app:v2", "--not-before", "2199-01-01T00:00:00Z")
    assert said.code == 0
    assert "it leaves Tue 2199-01-01 00:00 UTC" in said.out
    assert written(app)["notBefore"] == "2199-01-01T00:00:00Z"


def test_a_time_that_is_none_is_refused_in_one_line(app: ApiServer, nightferry: Nightferry) -> None:
    said = nightferry("release", "checkout", "--image", "r.test/app:v2", "--not-before", "tomorrow")
    assert said.code == 2
    assert "spec.notBefore: found 'tomorrow'; allowed: a time such as" in said.err
    assert app.writes == []


def test_a_release_of_a_policy_with_a_window_says_when_it_leaves(app: ApiServer, nightferry: Nightferry) -> None:
    # A window of one minute a year would be none: this one is shut now, whenever now is.
    freeze = [{"from": "2020-01-01", "to": "2199-12-31", "why": "for good", "zone": "UTC"}]
    app.change(("releasepolicies", "shop", "checkout"), {"spec": {"freeze": freeze}})
    said = nightferry("release", "checkout", "--image", "r.test/app:v2")
    assert said.code == 0
    assert "it leaves Wed 2200-01-01 00:00 UTC" in said.out
    assert "for good" in said.out
