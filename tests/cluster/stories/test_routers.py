"""Releases behind a router: real objects, validated by the API server, and requests that go where they say."""

from __future__ import annotations

import copy

import pytest

from controller.simulation.routing import Asked, objects_of
from tests.cluster.bed.api import Object
from tests.cluster.bed.bed import Bed
from tests.cluster.bed.routed_load import ROUTES, RoutedLoad
from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.routers import ROUTERS, Routed
from tests.cluster.stories.story import APP, TWIN, Story

MATCH = [{"header": {"x-canary": "always"}}]
SUCCEEDS_WITHIN = 180


class Behind:
    """A story whose app stands behind a router, with ordinary load and a tester who sends the matching header."""

    def __init__(self, story: Story, routed: Routed, *, replicas: int = 4) -> None:
        self.story, self.routed = story, routed
        policy = {"strategy": {"twin": {"batches": 2}, "traffic": {**routed.traffic, "match": MATCH}}}
        story.opens(rate=0, replicas=replicas, policy=policy)
        for obj in objects_of(routed.entrance.kind, APP):  # type: ignore[arg-type]
            story.site.apply(obj)
        self.before = self.objects()
        story.load = self._load(200, Asked(path=f"/{APP}/cart"), 5)
        self.tester = self._load(10, Asked(path=f"/{APP}", headers={"x-canary": "always"}), 1)

    def _load(self, rate: float, asked: Asked, burst: int) -> RoutedLoad:
        site = self.story.site
        load = RoutedLoad(site.api, site.name, self.routed.entrance, asked=asked, rate=rate, burst=burst)
        load.start()
        self.story._ends.callback(load.stop)
        return load

    def objects(self) -> dict[str, Object]:
        """Services and router objects as people see them, without what the API server counts."""
        site, found = self.story.site, {}
        kinds = ("Ingress",) if self.routed.entrance.kind == "Ingress" else (self.routed.entrance.kind,)
        paths = [ROUTES[kind].format(site.name) for kind in kinds]
        if self.routed.entrance.kind == "VirtualService":
            paths.append(ROUTES["DestinationRule"].format(site.name))
        for path in (*paths, site.path("services")):
            for item in site.api.read(path)["items"]:
                metadata = {key: item["metadata"].get(key) for key in ("name", "labels", "annotations")}
                found[f"{path} {metadata['name']}"] = copy.deepcopy({"metadata": metadata, "spec": item["spec"]})
        return found

    def pods_of(self, load: RoutedLoad, slot: str) -> int:
        """Answers of a load that came from one Deployment's pods, by the ReplicaSets in their names."""
        spare = f"{TWIN}-"
        return sum(count for pod, count in load.totals().by_pod.items() if pod.startswith(spare) == (slot == TWIN))

    def judge_given_back(self) -> None:
        """Every object beside the Deployments is as it was, and so are their own fields."""
        eventually(lambda: self.objects() == self.before, within=20, what="every object is as before")
        for name in (APP, TWIN):
            assert "paused" not in self.story.site.deployment(name)["spec"]
        assert self.tester.totals().lost == 0, self.tester.totals().losses


@pytest.fixture(params=ROUTERS, ids=list(ROUTERS))
def behind(story: Story, with_routers: Bed, request: pytest.FixtureRequest) -> Behind:
    return Behind(story, ROUTERS[request.param])


# The weight follows the pods up to 100 %, and everything people own is as before; meanwhile the controller is killed
# where the route was just changed, and once more where it is given back.
@pytest.mark.timeout(1200)
def test_a_release_goes_all_the_way_by_weight(behind: Behind) -> None:
    story = behind.story
    controller = story.controller
    assert controller is not None
    release = story.asks_for("v2")
    controller.restart_when(lambda: behind.pods_of(behind.tester, TWIN) > 0, within=90, what="a tester saw it")
    controller.restart_when(lambda: story.has_ordered(APP, 2), within=120, what="batch 1 has moved")
    controller.restart_when(lambda: story.ordered(APP) == 0, within=120, what="the last incumbent leaves")
    story.releases.await_phase(release, "Succeeded", within=SUCCEEDS_WITHIN)
    story.judge_end(release, "Succeeded", tag="v2")
    behind.judge_given_back()
    assert story.history.deleted_pods(TWIN) == []
    assert story.history.restarts() == {}
    story.judge()


# Errors begin with the second pod of the contender: the weight goes back before the pods do.
@pytest.mark.timeout(1200)
def test_errors_in_mid_release_turn_it_back(behind: Behind) -> None:
    story = behind.story
    release = story.asks_for("v2-errors30-from2")
    end = story.releases.await_phase(release, "RolledBack", within=SUCCEEDS_WITHIN)
    assert end.cause == "GateDegraded"
    story.judge_end(release, "RolledBack", tag="v1")
    behind.judge_given_back()
    story.judge()


# A person aborts in batch 1, and the controller is killed on the way back.
@pytest.mark.timeout(1200)
def test_an_abort_gives_the_route_back(behind: Behind) -> None:
    story = behind.story
    assert story.controller is not None
    release = story.asks_for("v2")
    story.releases.await_stage(release, 1, within=120)
    eventually(lambda: story.has_ordered(APP, 2), within=40, what="batch 1 is there")
    story.patches_release(release, {"abort": {"reason": "wrong branch"}})
    story.controller.restart_when(lambda: story.ordered(APP) > 2, within=30, what="the incumbent grows")
    end = story.releases.await_phase(release, "RolledBack", within=90)
    assert end.cause == "Aborted"
    story.judge_end(release, "RolledBack", tag="v1")
    behind.judge_given_back()
    story.judge()


# Somebody deletes the route in mid-release. Nobody can reach the app through it any more, so its load ends with it;
# the release says so by name, goes back, and leaves nothing behind.
@pytest.mark.timeout(1200)
def test_a_route_that_is_deleted_turns_it_back(behind: Behind) -> None:
    story, entrance = behind.story, behind.routed.entrance
    release = story.asks_for("v2")
    story.releases.await_stage(release, 1, within=120)
    eventually(lambda: story.has_ordered(APP, 2), within=40, what="batch 1 is there")
    assert story.load is not None
    for load in (story.load, behind.tester):
        assert load.stop().lost == 0
    path = ROUTES[entrance.kind].format(story.site.name)
    story.site.api.delete(f"{path}/{entrance.name}")
    end = story.releases.await_phase(release, "RolledBack", within=120)
    assert end.cause == "RouteMissing"
    assert entrance.name in end.because
    story.judge_end(release, "RolledBack", tag="v1")
    gone = f"{path} {entrance.name}"
    behind.before.pop(gone)
    behind.judge_given_back()
    story.judge()
