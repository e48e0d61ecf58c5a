"""After 100 %: a regression that begins in the watch brings the warm version back by a release of its own."""

from __future__ import annotations

from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.story import APP, POLICY, TWIN, Story

SUCCEEDS_WITHIN = 120
SEEN_WITHIN = 150
BACK_WITHIN = 60


# Every stage is clean. Once it has succeeded the new pods begin to fail, and nobody is there.
def test_errors_that_begin_after_the_success_bring_the_warm_version_back(story: Story) -> None:
    limited = {**POLICY["gates"][0], "limit": "5%"}
    story.opens(
        policy={
            "strategy": {"twin": {"batches": 1}},
            "gates": [limited, POLICY["gates"][1]],
            "watch": {"for": "10m"},
        }
    )
    release = story.asks_for("v2")
    story.releases.await_phase(release, "Succeeded", within=SUCCEEDS_WITHIN)
    story.judge_end(release, "Succeeded", tag="v2")
    assert not story.releases.last(release).status["watch"].get("over")
    assert "Succeeded (watched)" in story.commands("status", APP).stdout
    for pod in story.site.ready_pods(TWIN):
        story.site.order_behaviour(pod, "errors40")

    def linked() -> str:
        return next((name for name in story.releases.names() if "-back-" in name), "")

    back = eventually(linked, within=SEEN_WITHIN, what="the watch asks for the version before it")
    story.releases.await_phase(back, "Succeeded", within=BACK_WITHIN)
    story.await_serving("v1", story.desired)
    assert (story.replicas(APP), story.replicas(TWIN)) == (story.desired, 0)
    watch = story.releases.caught_up(release)[-1].status["watch"]
    assert watch["release"] == back and "limit of 5" in watch["because"]
    assert [name for name in story.releases.names() if name != release] == [back]
    story.judge()
