"""`trigger: template` on a real control plane: `kubectl set image` starts a release, and no rollout."""

from __future__ import annotations

from tests.cluster.bed.api import Object
from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.story import APP, REGISTRY, Story

IDLE = "nightferry.dev/idle"
SUCCEEDS_WITHIN = 240
BACK_WITHIN = 180
POLICY = {
    "strategy": {"twin": None, "rolling": {"canary": 1, "batches": 1, "maxSurge": 1, "maxUnavailable": 0}},
    "trigger": "template",
}


def _await_idle(story: Story) -> None:
    """Waits until the Deployment is paused by us, and marked so."""

    def idle() -> bool:
        found = story.site.deployment(APP)
        return bool(found["spec"].get("paused")) and IDLE in (found["metadata"].get("annotations") or {})

    eventually(idle, within=30, what="the idle Deployment is paused")


def _image(pod: Object) -> str:
    return str(pod["spec"]["containers"][0]["image"])


def _ours_gone(story: Story) -> bool:
    found = story.site.deployment(APP)
    return not found["spec"].get("paused") and IDLE not in (found["metadata"].get("annotations") or {})


def test_an_image_that_is_set_is_released_in_batches_and_the_deployment_rests_paused_again(story: Story) -> None:
    story.opens(policy=POLICY)
    _await_idle(story)
    story.site.set_image(APP, f"{REGISTRY}:v2")
    release = story.releases.await_new(set(), within=30)
    asked = story.releases.of(release)[0].revision
    story.releases.await_phase(release, "Succeeded", within=SUCCEEDS_WITHIN)
    story.await_serving("v2", 4)
    story.history.catch_up()
    came = [one for one in story.history.events("Pod") if _image(one.object) == f"{REGISTRY}:v2"]
    assert min(one.revision for one in came) > asked, "no pod of the new version came before its release"
    story.await_unclaimed()
    _await_idle(story)
    spec = story.site.deployment(APP)["spec"]
    assert spec.get("minReadySeconds", 0) == 0
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": "25%"}
    assert story.releases.names() == [release]
    story.judge()
    # Switched off, it is an ordinary Deployment again.
    story.applies_policy({**POLICY, "trigger": None})
    eventually(lambda: _ours_gone(story), within=30, what="it is resumed")
    assert story.serving() == {"v2": 4}


def test_a_version_that_is_worse_is_turned_back_and_the_incumbent_rests_paused(story: Story) -> None:
    story.opens(policy=POLICY)
    _await_idle(story)
    story.site.set_image(APP, f"{REGISTRY}:v2-crash1")
    release = story.releases.await_new(set(), within=30)
    end = story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    assert end.cause == "CrashLoop"
    story.await_serving("v1", 4)
    story.await_unclaimed()
    _await_idle(story)
    assert story.image(APP) == "v1"
    assert story.releases.broken_laws() == []
    assert story.history.lowest_ready().total_ready >= 4
