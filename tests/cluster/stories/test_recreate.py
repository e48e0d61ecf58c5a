"""recreate on a real control plane: all pods go before the new ones come, and never do both versions run at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.cluster.bed.api import STRATEGIC
from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.endpoints import Endpoints
from tests.cluster.stories.story import APP, REGISTRY, Story

PODS = 3
SUCCEEDS_WITHIN = 120
BACK_WITHIN = 90


class Whole:
    """A story of one Deployment whose pods all go and all come back, its real Endpoints watched."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.reached = Endpoints(story.bed.admin, story.site.name, APP)
        self.fields: dict[str, Any] = {}

    def opens(self, image: str = "v2", **policy: Any) -> str:
        """The app under load for a while, then a release of this image -> its name."""
        self.story.opens(replicas=PODS, policy={"strategy": {"twin": None, "recreate": {}}, **policy})
        self.reached.start()
        eventually(self._is_known, within=60, what="Prometheus has seen every pod fifteen times")
        self.fields = self._fields()
        return self.story.asks_for(image)

    def _is_known(self) -> bool:
        # The new version is held against these minutes.
        seen = f'count_over_time(http_requests_total{{namespace="{self.story.site.name}",code="200"}}[10m])'
        found = self.story.bed.query(seen)
        return len(found) == PODS and all(float(one["value"][1]) >= 15 for one in found)

    def _fields(self) -> dict[str, Any]:
        spec = self.story.site.deployment(APP)["spec"]
        return {key: value for key, value in spec.items() if key != "template"}

    def together(self) -> list[float]:
        """Instants at which pods of two versions existed, terminating ones included."""
        there: dict[str, str] = {}
        found = []
        for seconds, event in self.story.history.timed_events("Pod"):
            uid = event.object["metadata"]["uid"]
            if event.kind == "DELETED":
                there.pop(uid, None)
            else:
                there[uid] = str(event.object["spec"]["containers"][0]["image"])
            if len(set(there.values())) > 1:
                found.append(seconds)
        return found

    def away(self) -> float:
        """Seconds without one ready pod, as long as the longest time of it."""
        moments = self.reached.moments()
        longest = 0.0
        for one, following in pairwise(moments):
            if not one.pods:
                longest = max(longest, following.seconds - one.seconds)
        return longest

    def judge(self, release: str, phase: str, *, tag: str) -> None:
        """This version serves alone, every field of the Deployment is as it was, and both never ran at once."""
        story = self.story
        story.await_serving(tag, PODS, within=60)
        story.await_unclaimed()
        story.await_end(release, phase)
        assert self._fields() == self.fields
        story.history.catch_up()
        assert story.releases.broken_laws() == []
        assert self.together() == []
        assert story.history.highest_replicas().total_replicas == PODS
        print(f"\nrecreate: longest time without a ready pod {self.away():.1f} s")


@pytest.fixture
def whole(story: Story) -> Iterator[Whole]:
    made = Whole(story)
    yield made
    made.reached.stop()


def test_all_pods_go_and_all_come_back_as_the_new_version(whole: Whole) -> None:
    story, release = whole.story, whole.opens()
    story.releases.await_phase(release, "Succeeded", within=SUCCEEDS_WITHIN)
    whole.judge(release, "Succeeded", tag="v2")
    assert story.history.replicas_of(APP) == [PODS, 0, PODS]
    assert story.history.restarts() == {}


def test_a_version_that_fails_goes_and_the_old_one_comes_back(whole: Whole) -> None:
    story, release = whole.story, whole.opens("v2-errors20")
    end = story.releases.await_phase(release, "RolledBack", within=SUCCEEDS_WITHIN)
    assert end.cause == "GateDegraded"
    whole.judge(release, "RolledBack", tag="v1")
    assert story.history.replicas_of(APP) == [PODS, 0, PODS, 0, PODS]


def test_a_version_that_crashes_goes_and_the_old_one_comes_back(whole: Whole) -> None:
    story, release = whole.story, whole.opens("v2-crash1")
    end = story.releases.await_phase(release, "RolledBack", within=SUCCEEDS_WITHIN)
    assert end.cause == "CrashLoop"
    whole.judge(release, "RolledBack", tag="v1")


def test_an_abort_while_nothing_is_there_brings_the_old_version(whole: Whole) -> None:
    story, release = whole.story, whole.opens("v2-slowstart5")
    eventually(lambda: story.has_ordered(APP, 0), within=60, what="the pods go", every=0.02)
    story.patches_release(release, {"abort": {"reason": "wrong branch"}})
    end = story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    assert end.cause == "Aborted"
    whole.judge(release, "RolledBack", tag="v1")


def test_a_kill_while_the_pods_go_and_while_they_come(whole: Whole) -> None:
    story, release = whole.story, whole.opens("v2-slowstart3")
    controller = story.controller
    assert controller is not None

    def is_in_it() -> bool:
        return any(one.object["spec"].get("paused") for one in story.history.events("Deployment", APP))

    controller.restart_when(is_in_it, within=30, what="the template is in it")
    controller.restart_when(lambda: story.has_ordered(APP, 0), within=60, what="the pods go")
    controller.restart_when(
        lambda: story.ordered(APP) == PODS and story.image(APP) == "v2-slowstart3", within=60, what="the pods come"
    )
    story.releases.await_phase(release, "Succeeded", within=SUCCEEDS_WITHIN)
    whole.judge(release, "Succeeded", tag="v2-slowstart3")


def test_a_third_version_by_a_person_is_turned_back_unjudged(whole: Whole) -> None:
    # It is watched for so long that the person comes before its end.
    story, release = whole.story, whole.opens(observe={"atLeast": "2m", "atMost": "2m"})
    eventually(lambda: story.serving() == {"v2": PODS}, within=90, what="the new version serves", every=0.1)
    template = {"spec": {"containers": [{"name": "app", "image": f"{REGISTRY}:v3"}]}}
    story.site.api.patch(
        story.site.path("deployments", APP),
        {"spec": {"template": template}},
        content_type=STRATEGIC,
        fieldManager="kubectl-edit",
    )
    end = story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    assert end.cause == "ContenderChanged"
    assert "kubectl-edit" in story.releases.first(release, "RollingBack").because
    story.await_serving("v1", PODS)
    story.await_unclaimed()
    story.allows(most=PODS + 1, because="the native controller begins to roll out what the person wrote")
    assert whole.fields == {k: v for k, v in story.site.deployment(APP)["spec"].items() if k != "template"}
