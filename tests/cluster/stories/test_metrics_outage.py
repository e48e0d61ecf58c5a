"""Prometheus goes away: no data never passes and never fails a release; it waits, and after its patience turns back."""

from __future__ import annotations

from controller.attempt import seconds
from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.story import Story

# Long enough for Prometheus to be stopped while the canary is watched, and for nothing to move meanwhile.
OBSERVE = {"atLeast": "25s", "atMost": "25s"}


def test_a_release_waits_for_prometheus_and_goes_on(story: Story) -> None:
    with story.bed.own_prometheus(story.site.name) as prometheus:
        # So patient that it waits for a Prometheus that is slow to come back.
        patient = {"strategy": {"twin": {"batches": 1}}, "observe": OBSERVE, "onBlind": {"hold": "5m"}}
        story.opens(policy=patient, prometheus=prometheus.url)
        release = story.asks_for("v2")
        eventually(
            lambda: story.releases.last(release).because.startswith("observed"),
            within=60,
            what="the canary is watched",
        )
        prometheus.stop()
        held = story.releases.await_hold(release, "Blind", within=30)
        assert held.stage == 0
        assert held.status["held"]["then"] == "rollBack"
        # Blind, it moves nothing.
        before = story.generations()
        story.await_ticks(5)
        assert story.generations() == before
        prometheus.start()
        story.releases.await_phase(release, "Succeeded", within=120)
    assert story.releases.holds(release).count("Blind") >= 1
    story.judge_end(release, "Succeeded", tag="v2")
    story.judge()


def test_a_release_turns_back_when_prometheus_stays_away(story: Story) -> None:
    with story.bed.own_prometheus(story.site.name) as prometheus:
        story.opens(policy={"onBlind": {"hold": "10s"}, "observe": OBSERVE}, prometheus=prometheus.url)
        release = story.asks_for("v2")
        eventually(
            lambda: story.releases.last(release).because.startswith("observed"),
            within=60,
            what="the canary is watched",
        )
        prometheus.stop()
        held = story.releases.await_hold(release, "Blind", within=30)
        turned = story.releases.await_phase(release, "RollingBack", within=30)
        assert turned.cause == "Blind"
        # Not before its patience was over; both times are the controller's own.
        assert seconds(turned.status["since"]) - seconds(held.status["held"]["since"]) >= 10
        story.releases.await_phase(release, "RolledBack", within=40)
    assert story.releases.highest_stage(release) == 0
    story.judge_end(release, "RolledBack", tag="v1")
    story.judge()
