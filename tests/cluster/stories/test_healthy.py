"""A healthy version goes all the way; the slots take turns; the way back is warm."""

from __future__ import annotations

from tests.cluster.stories.story import APP, TWIN, Story

SUCCEEDS_WITHIN = 150


def test_a_healthy_release_goes_all_the_way(story: Story) -> None:
    story.opens()
    release = story.asks_for("v2")
    end = story.releases.await_phase(release, "Succeeded", within=SUCCEEDS_WITHIN)
    assert end.cause == "Completed"
    assert story.releases.phases(release) == ["Queued", "Preflight", "Canary", "Batch", "Succeeded"]
    story.judge_end(release, "Succeeded", tag="v2")
    # The old version stays warm at 0, and no pod of the new one was ever restarted or replaced on its way.
    assert (story.replicas(APP), story.image(APP)) == (0, "v1")
    assert story.history.replicas_of(TWIN) == [0, 1, 2, 3, 4]
    assert story.history.replicas_of(APP) == [4, 3, 2, 1, 0]
    assert story.history.deleted_pods(TWIN) == []
    assert len(story.history.created_pods(TWIN)) == 4
    assert story.history.restarts() == {}
    story.judge()


# After a success the slots have changed their roles: the next release fills the first slot again, and restarts no pod.
# Then it turns out, hours too late, that this version was wrong: a person goes back to the warm one.
def test_the_slots_take_turns_and_a_rollback_finds_the_warm_version(story: Story) -> None:
    story.opens(policy={"strategy": {"twin": {"batches": 1}}})
    second = story.asks_for("v2")
    story.releases.await_phase(second, "Succeeded", within=SUCCEEDS_WITHIN)
    story.judge_end(second, "Succeeded", tag="v2")

    third = story.asks_for("v3")
    story.releases.await_phase(third, "Succeeded", within=SUCCEEDS_WITHIN)
    story.judge_end(third, "Succeeded", tag="v3")
    assert (story.replicas(APP), story.image(APP)) == (4, "v3")
    assert (story.replicas(TWIN), story.image(TWIN)) == (0, "v2")

    story.commands("rollback", APP, "--reason", "v3 loses orders")
    back = story.releases.await_new({second, third})
    assert story.releases.last(back).spec["rollbackOf"] == third
    story.releases.await_phase(back, "Succeeded", within=60)
    story.judge_end(back, "Succeeded", tag="v2")
    assert (story.replicas(TWIN), story.image(APP)) == (4, "v3")
    assert story.history.restarts() == {}
    story.judge()
