"""A healthy version goes all the way; the slots take turns; the way back is warm."""

from __future__ import annotations

from tests.cluster.stories.story import APP, TWIN, Story

SUCCEEDS_WITHIN = 120


def test_a_healthy_release_goes_all_the_way(story: Story) -> None:
    story.opens()
    release = story.asks_for("v2")
    story.releases.await_phase(release, "Succeeded", within=SUCCEEDS_WITHIN)
    story.await_serving("v2", 4)
    story.await_unclaimed()
    assert story.replicas(TWIN) == 4
    assert story.replicas(APP) == 0
    assert story.image(APP) == "v1"
    assert story.history.replicas_of(TWIN) == [0, 1, 2, 3, 4]
    assert story.history.deleted_pods(TWIN) == []
    assert story.history.restarts() == {}
    story.judge()
