"""The process itself: it ends on a signal, keeps its secret, tells figures, and is still when nothing is to do."""

from __future__ import annotations

import json
import subprocess
import time
from itertools import pairwise

from tests.cluster.bed.identities import CONTROLLER
from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.releases import Sighting
from tests.cluster.stories.story import APP, POLICY, Story
from tests.stalls import stalls


def test_it_ends_within_five_seconds_of_sigterm_in_mid_release_and_the_next_one_goes_on(story: Story) -> None:
    story.opens(policy={"strategy": {"twin": {"batches": 1}}})
    controller = story.controller
    assert controller is not None
    release = story.asks_for("v2-slowstart2")
    eventually(lambda: story.ordered(APP) == 3, within=60, what="the canary has taken a place")
    with stalls() as stalled:
        began = time.monotonic()
        assert controller.stop(grace=60.0) == 0
        assert time.monotonic() - began - stalled() < 5
    controller.start()
    story.releases.await_phase(release, "Succeeded", within=120)
    story.judge_end(release, "Succeeded", tag="v2-slowstart2")
    story.judge()


# The token of its ServiceAccount is the one secret that the process has. Everything that it ever says is searched.
def test_its_token_appears_nowhere(story: Story) -> None:
    story.opens(replicas=2)
    controller = story.controller
    assert controller is not None
    release = story.asks_for("missing-v2")
    story.releases.await_phase(release, "RolledBack", within=90)
    story.await_unclaimed()
    events = eventually(
        lambda: story.site.api.read(story.site.path("events"))["items"], within=10, what="there are events"
    )
    ours = [one for one in events if one["involvedObject"]["kind"] == "Release"]
    assert {one["reason"] for one in ours} >= {"Preflight", "Advance", "RollBack", "RolledBack"}
    said = {
        "log": controller.log(),
        "events": json.dumps(events),
        "releases": json.dumps([one.status for one in story.releases.of(release)]),
        "deployments": json.dumps(story.site.api.read(story.site.path("deployments"))),
        "metrics": controller.read_page("/metrics")[1],
    }
    assert all(len(text) > 200 for text in said.values())
    for where, text in said.items():
        assert CONTROLLER.token not in text, where
        assert "Bearer" not in text, where


def test_its_metrics_pass_promtool(story: Story) -> None:
    story.opens(replicas=2, rate=50)
    assert story.controller is not None
    release = story.asks_for("v2")
    eventually(lambda: story.releases.last(release).phase == "Canary", within=60, what="a release is under way")
    status, text = story.controller.read_page("/metrics")
    assert status == 200
    # Every distribution of Prometheus has promtool beside it.
    promtool = story.bed.programs.prometheus.with_name("promtool")
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "nightferry_" in text


# Ten policies and nothing to do: not one write, and no request but its watches.
def test_idle_it_writes_nothing(story: Story) -> None:
    story.opens(replicas=1, rate=0)
    for number in range(9):
        story.applies_policy({"target": {"deployment": f"absent-{number}"}}, name=f"absent-{number}")
    ours = f"/apis/nightferry.dev/v1alpha1/namespaces/{story.site.name}"

    def all_told() -> bool:
        items = story.site.api.read(f"{ours}/releasepolicies")["items"]
        return len(items) == 10 and all((item.get("status") or {}).get("conditions") for item in items)

    eventually(all_told, within=30, what="each policy's status is told")

    def looked_at() -> bool:
        # By the audit log, which has a write a moment after everybody can see it.
        return len([one for one in story.asked_by_controller() if one.is_write and one.resource == "baselines"]) == 10

    eventually(looked_at, within=60, what="each policy was looked at")
    before = story.asked_by_controller()
    until = time.monotonic() + 10.0
    eventually(lambda: time.monotonic() >= until, within=10, what="ten seconds are over")
    assert story.controller is not None and story.controller.running
    after = story.asked_by_controller()[len(before) :]
    assert [f"{one.verb} {one.resource} {one.name}" for one in after if one.verb != "watch"] == []


def test_an_unchanged_release_makes_at_most_three_requests_a_tick(story: Story) -> None:
    # So wide a margin that the verdict never changes: a new verdict is worth a write.
    gates = [{**POLICY["gates"][0], "tolerate": "20pp"}]
    story.opens(policy={"strategy": {"twin": {"advance": {"canary": "manual"}}}, "gates": gates})
    release = story.asks_for("v2")
    story.releases.await_hold(release, "Manual", within=90)
    # The tick that began the hold has written; what it wrote is in the audit log when two others have followed.
    story.await_ticks(3)
    known, ticks, before = len(story.releases.of(release)), story.ticks, story.asked_by_controller()
    story.await_ticks(8)
    asked = [one for one in story.asked_by_controller()[len(before) :] if one.verb != "watch"]
    ticks = story.ticks - ticks
    print(f"\nan unchanged release: {len(asked)} requests in {ticks:.0f} ticks")
    assert len(asked) <= 3 * ticks
    # A store that missed a scrape is news for people. Nothing else is written.
    told = [_told(one) for one in story.releases.of(release)[known - 1 :]]
    news = [after for seen, after in pairwise(told) if after != seen]
    assert len([one for one in asked if one.is_write and one.resource.startswith("releases")]) == len(news)
    assert news or [one.resource for one in asked if one.is_write] == []


def _told(one: Sighting) -> tuple[str, str, list[tuple[str, str]]]:
    """What people are told of a release: where it stands, and what its gates say."""
    return one.phase, one.held, [(each["gate"], each["verdict"]) for each in one.status.get("verdicts") or []]
