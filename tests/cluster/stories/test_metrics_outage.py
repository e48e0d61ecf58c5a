"""Prometheus goes away: no data never passes and never fails a release; it waits, and after its patience turns back."""

from __future__ import annotations

from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.story import APP, TWIN, Story


def test_a_release_waits_for_prometheus_and_goes_on(story: Story) -> None:
    with story.bed.own_prometheus(story.site.name) as prometheus:
        story.opens(policy={"strategy": {"twin": {"batches": 1}}}, prometheus=prometheus.url)
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
        before = story.generations()
        prometheus.start()
        story.releases.await_phase(release, "Succeeded", within=120)
    assert story.releases.holds(release).count("Blind") >= 1
    # Blind, it moved nothing.
    assert before == {APP: before[APP], TWIN: before[TWIN]}
    story.judge_end(release, "Succeeded", tag="v2")
    story.judge()


def test_a_release_turns_back_when_prometheus_stays_away(story: Story) -> None:
    with story.bed.own_prometheus(story.site.name) as prometheus:
        story.opens(policy={"onBlind": {"hold": "10s"}}, prometheus=prometheus.url)
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
        assert turned.status["since"] > held.status["held"]["since"]
        assert turned.seconds - held.seconds >= 9
        story.releases.await_phase(release, "RolledBack", within=40)
    assert story.releases.highest_stage(release) == 0
    story.judge_end(release, "RolledBack", tag="v1")
    story.judge()
