"""The process itself: it ends on a signal, keeps its secret, tells figures, and is still when nothing is to do."""

from __future__ import annotations

import json
import subprocess
import time

from tests.cluster.bed.api import Object
from tests.cluster.bed.audit import Request
from tests.cluster.bed.identities import CONTROLLER
from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.releases import Sighting
from tests.cluster.stories.story import POLICY, Story


# How soon is told by tests/controller/process/test_process.py, where nobody else needs the machine.
def test_it_ends_by_itself_at_sigterm_in_mid_release_and_the_next_one_goes_on(story: Story) -> None:
    story.opens(policy={"strategy": {"twin": {"batches": 1}}})
    controller = story.controller
    assert controller is not None
    release = story.asks_for("v2-slowstart2")
    story.await_canary()
    assert controller.stop(grace=60.0) == 0
    assert controller.lines("stopped")
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

    def events() -> list[Object]:
        return list(story.site.api.read(story.site.path("events"))["items"])

    def ours() -> set[str]:
        return {str(one["reason"]) for one in events() if one["involvedObject"]["kind"] == "Release"}

    wanted = {"Preflight", "Advance", "RollBack", "RolledBack"}
    eventually(lambda: ours() >= wanted, within=30, what=f"there are the events {sorted(wanted)}")
    said = {
        "log": controller.log(),
        "events": json.dumps(events()),
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
    story.releases.await_phase(release, "Canary", within=60)
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
        return len([one for one in story.asked_by_controller() if one.is_write and one.resource == "baselines"]) >= 10

    eventually(looked_at, within=60, what="each policy was looked at")
    heard, since = -1, 0.0

    def quiet() -> bool:
        # What follows the last write of its beginning, and what the log has late, may still come.
        nonlocal heard, since
        now, asked = time.monotonic(), len([one for one in story.asked_by_controller() if one.verb != "watch"])
        if asked != heard:
            heard, since = asked, now
        return now - since >= 10.0

    eventually(quiet, within=30, what="ten seconds pass in which it asks nothing")
    assert story.controller is not None and story.controller.running


def test_an_unchanged_release_makes_at_most_three_requests_a_tick(story: Story) -> None:
    # So wide a margin that the verdict never changes: a new verdict is worth a write.
    gates = [{**POLICY["gates"][0], "tolerate": "20pp"}]
    story.opens(policy={"strategy": {"twin": {"advance": {"canary": "manual"}}}, "gates": gates})
    release = story.asks_for("v2")
    story.releases.await_hold(release, "Manual", within=90)

    def unchanged() -> tuple[list[Request], float] | None:
        """What it asks in eight ticks, and these ticks; None where people were told something new meanwhile.

        A store that missed a scrape is news, and worth a write. What was written right before is in the audit log
        when some ticks have followed.
        """
        known = len(story.releases.caught_up(release))
        story.await_ticks(3)
        ticks, before = story.ticks, story.asked_by_controller()
        story.await_ticks(8)
        asked = [one for one in story.asked_by_controller()[len(before) :] if one.verb != "watch"]
        ticks = story.ticks - ticks
        told = {_told(one) for one in story.releases.caught_up(release)[known - 1 :]}
        return (asked, ticks) if len(told) == 1 else None

    asked, ticks = eventually(unchanged, within=60, what="eight ticks bring nothing new") or ([], 0.0)
    print(f"\nan unchanged release: {len(asked)} requests in {ticks:.0f} ticks")
    assert len(asked) <= 3 * ticks
    assert [f"{one.verb} {one.resource}" for one in asked if one.is_write] == []


def _told(one: Sighting) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """What people are told of a release: where it stands, and what its gates say."""
    return one.phase, one.held, tuple((each["gate"], each["verdict"]) for each in one.status.get("verdicts") or ())
