"""Windows by the clock on the wall: a release waits for the minute, leaves, and meets the closing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from controller.attempt import seconds
from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.story import APP, TWIN, Story

ZONE = ZoneInfo("Asia/Kathmandu")  # a quarter of an hour beside everybody else's
SUCCEEDS_WITHIN = 150
LEAST = 30  # seconds until it opens, so that the wait can be seen
OPEN = 120  # seconds: long enough for a canary and the first batch on a slow machine, too


def next_minute(within: float) -> float:
    """The first whole minute that is at least this far away, in seconds since the epoch."""
    return (time.time() + within) // 60 * 60 + 60


def a_window(opens: float, closes: float, on_close: str) -> Mapping[str, Any]:
    wall = [datetime.fromtimestamp(at, UTC).astimezone(ZONE).strftime("%H:%M") for at in (opens, closes)]
    return {"from": wall[0], "to": wall[1], "zone": str(ZONE), "onClose": on_close}


def by_hand(window: Mapping[str, Any]) -> Mapping[str, Any]:
    """Batches wait for a person, so that the closing meets a release under way however fast the machine is."""
    twin = {"canary": 1, "batches": 2, "advance": {"batches": "manual"}}
    return {"strategy": {"twin": twin}, "window": window}


def decisions(story: Story, release: str) -> Mapping[str, float]:
    """When each kind of decision was taken first."""
    found: dict[str, float] = {}
    for entry in story.releases.last(release).status["record"]["decisions"]:
        found.setdefault(entry["kind"], entry["at"])
    return found


def test_y20_it_waits_for_its_window_and_its_closing_turns_it_back(story: Story) -> None:
    story.opens()
    opens = next_minute(LEAST)
    story.applies_policy(by_hand(a_window(opens, opens + OPEN, "rollBack")))
    release = story.asks_for("v2")
    held = eventually(lambda: story.releases.holds(release), within=20, what="the release waits for its window")
    assert held == ["WindowClosed"]
    phase, said, claims = story.releases.last(release).phase, story.commands("status", APP).stdout, story.claims()
    if time.time() < opens:  # all of it was seen while the window was closed
        assert phase == "Queued"
        assert "WindowClosed" in said
        assert claims == {}

    story.releases.await_phase(release, "RolledBack", within=240)
    story.judge_end(release, "RolledBack", tag="v1")
    at = decisions(story, release)
    assert opens <= at["Preflight"] < opens + 30
    assert opens <= at["Advance"] < opens + OPEN <= at["RollBack"] < opens + OPEN + 30
    assert story.releases.last(release).cause == "WindowClosed"
    spare = story.site.deployment(TWIN)
    assert seconds(spare["metadata"]["creationTimestamp"]) >= opens
    story.judge()


def test_y20_it_is_parked_when_its_window_closes_and_a_person_sends_it_on(story: Story) -> None:
    story.opens()
    opens = next_minute(0)
    story.applies_policy(by_hand(a_window(opens, opens + OPEN, "park")))
    release = story.asks_for("v2")
    eventually(
        lambda: story.releases.last(release).held == "WindowClosed" and story.releases.last(release).stage > 0,
        within=240,
        what="the release is parked",
    )
    parked = story.releases.last(release)
    assert time.time() >= opens + OPEN
    assert seconds(parked.status["held"]["until"]) == opens + 86400
    # What is parked is not let on by a promotion, only by the urgent door.
    story.patches_release(release, {"now": {"reason": "the shop needs it by day"}})
    story.releases.await_hold(release, "Manual", within=60)
    story.commands("promote", APP)
    story.releases.await_stage(release, 2, within=60)
    story.releases.await_hold(release, "Manual", within=60)
    story.commands("promote", APP)
    story.releases.await_phase(release, "Succeeded", within=SUCCEEDS_WITHIN)
    story.judge_end(release, "Succeeded", tag="v2")
    assert story.history.restarts() == {}
    story.judge()
