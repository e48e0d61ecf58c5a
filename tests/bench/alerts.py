"""Figures of alerts on the bed: from an alert that arrives at a real Alertmanager to the write that goes back.

By its post, with a dead webhook by the level read alone, and in the middle of a storm. A release is watched in its
canary, at the default tick; the alert is given to Alertmanager as a Prometheus would give it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure, Measured
from tests.bench.machine import counted, load
from tests.bench.releases import LONG_CANARY, REPEATS
from tests.cluster.bed.bed import Bed
from tests.cluster.bed.processes import free_port
from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.story import APP, Story
from tests.cluster.stories.test_alerts import ABOUT, Alerts, alerts_of, an_alert, record

LATE = 15.0  # seconds: the tick of the shipped configuration
STORM = 5000
GROUPS = 250  # of Alertmanager, each with posts of its own
SETTLE = 5.0  # seconds

POST = Figure("alert-post", "alert at Alertmanager to first restoring write, by its post, tick 15 s", "s", 3.0)
POST_HOP = Figure("alert-hop", "of these: post received to decision", "s", 1.0)
LEVEL = Figure("alert-level", "alert at Alertmanager to first restoring write, webhook dead, tick 15 s", "s", LATE + 3)
IN_STORM = Figure("alert-storm", f"the same by its post, the last of {STORM} alerts, all of this app", "s", LATE + 3)
STORM_KEPT = Figure("storm-kept", f"first of {STORM} alerts given to the last post answered", "s")
STORM_WRITES = Figure("storm-writes", "writes of the policy's inbox for all of them", "")
STORM_TICK = Figure("storm-tick", "longest tick meanwhile", "s", LATE)


def measure_alerts(bed: Bed, scratch: Path) -> Iterator[Measured]:
    """One release for each value."""
    before = load()
    found = [_one(bed, scratch, dead=False) for _ in range(REPEATS)]
    yield Measured(
        POST, tuple(all_ for all_, _ in found), load(before), "begun longer ago than group_wait: posted at once"
    )
    yield Measured(POST_HOP, tuple(hop for _, hop in found), load(before))
    before = load()
    late = tuple(_one(bed, scratch, dead=True)[0] for _ in range(REPEATS))
    yield Measured(LEVEL, late, load(before), "nothing wakes the app: the next tick reads the level")
    yield from _storm(bed, scratch)


def _one(bed: Bed, scratch: Path, *, dead: bool) -> tuple[float, float]:
    """(seconds from the alert to the restoring write, seconds from the post to the decision or 0)."""
    with bed.namespace("bench-alert") as site:
        story = Story(bed, site, scratch / site.name)
        webhook = f"http://127.0.0.1:{free_port()}/alerts" if dead else None
        with alerts_of(story, webhook=webhook) as alerts:
            try:
                release = _in_canary(story, alerts)
                took = _turned_back(story, alerts, within=60)
                charged = _charged(story, release)
                return took, charged["at"] - charged["heard"] if charged["heard"] else 0.0
            finally:
                story.close()


def _storm(bed: Bed, scratch: Path) -> Iterator[Measured]:
    before = load()
    with bed.namespace("bench-storm") as site:
        story = Story(bed, site, scratch / site.name)
        with alerts_of(story) as alerts:
            try:
                _in_canary(story, alerts)
                assert story.controller is not None
                # All are of this app; what turns it back comes last.
                pausing = [an_alert(f"Noise{n % GROUPS}", severity="ticket", shard=str(n)) for n in range(STORM - 1)]
                began = time.monotonic()
                alerts.alertmanager.fires(pausing)
                took = _turned_back(story, alerts, within=120)
                last = _quiet(alerts)
                page = story.controller.read_page("/metrics")[1]
                writes = counted(page, "nightferry_alert_inbox_writes_total")
                kept = counted(page, "nightferry_alert_posts_total", outcome="kept")
                unkept = counted(page, "nightferry_alert_posts_total", outcome="unkept")
                longest = _longest_tick(story)
            finally:
                story.close()
    note = f"{kept:.0f} posts answered 200 and {unkept:.0f} 503"
    yield Measured(IN_STORM, (took,), load(before), note)
    yield Measured(STORM_KEPT, (last - began,), load(before))
    yield Measured(STORM_WRITES, (writes,), load(before))
    yield Measured(STORM_TICK, (longest,), load(before), "the upper end of its bucket")


def _in_canary(story: Story, alerts: Alerts) -> str:
    wanted = [{"match": ABOUT}, {"match": {"service": APP, "severity": "ticket"}, "then": "pause"}]
    story.opens(policy={**LONG_CANARY, "alerts": wanted}, controlled=False)
    alerts.starts_controller(tick=f"{LATE:g}s")
    release = story.asks_for("v2")
    story.releases.await_phase(release, "Canary", within=120)
    eventually(lambda: story.replicas(APP) == story.desired - 1, within=60, what="the canary has taken a place")
    time.sleep(SETTLE)
    return release


def _turned_back(story: Story, alerts: Alerts, *, within: float) -> float:
    """The alert fires -> seconds until the restoring write."""
    standing, given = story.history.moments()[-1].revision, story.now()
    alerts.alertmanager.fires([an_alert()])
    return story.await_restoring_write(after=standing, within=within).seconds - given


def _charged(story: Story, release: str) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        return next((each for each in record(story, release)["alerts"] if each["part"] == "charged"), None)

    charged: dict[str, Any] | None = eventually(found, within=10, what="the alert is charged")
    assert charged is not None
    return charged


def _quiet(alerts: Alerts) -> float:
    """The monotonic time of the last post, once none has come for two seconds."""
    count, since = 0.0, time.monotonic()
    while time.monotonic() - since < 2.0:
        now = alerts.counted('nightferry_alert_posts_total{outcome="kept"}')
        if now != count:
            count, since = now, time.monotonic()
        time.sleep(0.1)
    return since


def _longest_tick(story: Story) -> float:
    """The upper end of the bucket of the longest tick, in seconds."""
    assert story.controller is not None
    _, page = story.controller.read_page("/metrics")
    counts: list[tuple[float, float]] = []
    for line in page.splitlines():
        if line.startswith("nightferry_tick_duration_seconds_bucket"):
            bound = line.partition('le="')[2].partition('"')[0]
            counts.append((float(bound.replace("+Inf", "inf")), float(line.rpartition(" ")[2])))
    whole = max(count for _, count in counts)
    return min(bound for bound, count in counts if count == whole)
