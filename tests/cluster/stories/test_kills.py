"""kill -9 of the controller in every phase: the next process goes on from what it sees."""

from __future__ import annotations

from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.story import APP, TWIN, Story


# One release, killed five times on its way: before it began, in the canary while pods move and while it is watched,
# in the batch while pods move and while it is watched.
def test_a_release_survives_a_kill_in_every_phase_forward(story: Story) -> None:
    story.opens(policy={"strategy": {"twin": {"batches": 1}}})
    controller = story.controller
    assert controller is not None
    release = story.asks_for("v2-slowstart2")
    seen = story.releases
    controller.restart_when(lambda: seen.reached(release, "Preflight"), within=30, what="it is in preflight")
    controller.restart_when(lambda: story.ordered(TWIN) >= 1, within=60, what="the canary moves")
    controller.restart_when(
        lambda: seen.last(release).because.startswith("observed"), within=60, what="the canary is watched"
    )
    controller.restart_when(lambda: story.ordered(TWIN) >= 2, within=90, what="the batch moves")
    controller.restart_when(
        lambda: seen.last(release).stage == 1 and seen.last(release).because.startswith("observed"),
        within=90,
        what="the batch is watched",
    )
    seen.await_phase(release, "Succeeded", within=90)
    story.judge_end(release, "Succeeded", tag="v2-slowstart2")
    assert seen.phases(release) == ["Queued", "Preflight", "Canary", "Batch", "Succeeded"]
    assert story.history.replicas_of(TWIN) == [0, 1, 2, 3, 4]
    assert story.history.replicas_of(APP) == [4, 3, 2, 1, 0]
    assert story.history.restarts() == {}
    story.judge()


def test_a_rollback_survives_a_kill(story: Story) -> None:
    story.opens(image="v1-slowstart3")
    controller = story.controller
    assert controller is not None
    release = story.asks_for("v2")
    story.releases.await_stage(release, 1, within=90)
    eventually(lambda: story.ordered(APP) <= 2, within=30, what="batch 1 is there")
    story.patches_release(release, {"abort": {"reason": "wrong branch"}})
    controller.restart_when(lambda: story.releases.reached(release, "RollingBack"), within=10, what="it has turned")
    # And once more, in the middle of the way back.
    controller.restart_when(lambda: story.ordered(APP) >= 3, within=30, what="the incumbent has grown")
    end = story.releases.await_phase(release, "RolledBack", within=60)
    assert end.cause == "Aborted"
    story.judge_end(release, "RolledBack", tag="v1-slowstart3")
    story.judge()


# A controller that is away moves nothing: the app serves, and its release waits for the next one.
def test_nothing_moves_while_the_controller_is_away(story: Story) -> None:
    story.opens(policy={"strategy": {"twin": {"batches": 1}}})
    assert story.controller is not None
    release = story.asks_for("v2")
    eventually(lambda: story.ordered(APP) <= 3, within=60, what="the canary has taken a place")
    story.controller.kill()
    before = story.generations()
    answered = story.load.totals().answered if story.load is not None else 0
    story.patches_release(release, {"abort": {"reason": "wrong branch"}})
    eventually(
        lambda: story.load is not None and story.load.totals().answered >= answered + 1000,
        within=30,
        what="the app serves a thousand requests",
    )
    assert story.generations() == before
    story.controller.start()
    story.releases.await_phase(release, "RolledBack", within=40)
    story.judge_end(release, "RolledBack", tag="v1")
    story.judge()
