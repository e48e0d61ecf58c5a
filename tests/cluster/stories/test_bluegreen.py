"""blueGreen on a real control plane: a preview, one switch of a Service, and the way back while old pods are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.bed.api import MERGE, STRATEGIC
from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.endpoints import Endpoints
from tests.cluster.stories.story import APP, TWIN, Story

PREVIEW = f"{APP}-preview"
PODS = 4
STAGE_WITHIN = 120
SUCCEEDS_WITHIN = 200
BACK_WITHIN = 60
HASH = "pod-template-hash"


class Switch:
    """A story whose app is switched at a Service: its real Endpoints watched, a tester on the preview."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.reached = story.reached = Endpoints(story.bed.admin, story.site.name, APP)
        self.tester = story.site.load(rate=100, service=PREVIEW, burst=5, seed=2)
        self.fields: dict[str, Any] = {}

    def opens(self, image: str = "v2", **changes: Any) -> str:
        """The app under load for a while, then a release of this image -> its name."""
        blue = {"service": APP, "keep": "15s", **changes}
        self.story.opens(replicas=PODS, policy={"strategy": {"twin": None, "blueGreen": blue}})
        self.reached.start()
        self.tester.start()
        load = self.story.load
        assert load is not None
        # The incumbent's minutes before the release are what the live stages are held against.
        eventually(lambda: load.totals().answered >= 4000, within=60, what="the app has served 4000 requests")
        self.fields = self._borrowed()
        return self.story.asks_for(image)

    def _borrowed(self) -> dict[str, Any]:
        service = self.story.site.api.read(self.story.site.path("services", APP))
        return {
            "selector": service["spec"]["selector"],
            "annotations": service["metadata"].get("annotations"),
            "paused": self.story.site.deployment(APP)["spec"].get("paused"),
        }

    def selector(self) -> dict[str, str]:
        service = self.story.site.api.read(self.story.site.path("services", APP))
        return dict(service["spec"]["selector"])

    def kept(self, release: str, name: str) -> set[tuple[int, bool]]:
        """The pods ordered of a Deployment, and whether it was paused, all the time that the old pods were kept."""
        seen = self.story.releases.of(release)
        begun = next(one.revision for one in seen if one.stage == 2)
        over = next(one.revision for one in seen if one.stage > 2)
        events = [one for one in self.story.history.events("Deployment", name) if one.revision < over]
        held = [one for one in events if one.revision <= begun][-1:]
        specs = [one.object["spec"] for one in (*held, *(one for one in events if one.revision > begun))]
        return {(int(spec["replicas"]), bool(spec.get("paused"))) for spec in specs}

    def await_switched(self, *, within: float = STAGE_WITHIN) -> None:
        """Waits until every request goes to the contender."""
        eventually(
            lambda: self.reached.last.of(TWIN) == PODS and self.reached.last.of(APP) == 0,
            within=within,
            what="the Service points at the contender",
            every=0.02,
        )

    def seconds_back(self, since: float) -> float:
        """Seconds from `since` until every request went to the incumbent again."""

        def back() -> float | None:
            found = (one for one in self.reached.moments() if one.seconds > since)
            return next((one.seconds for one in found if one.of(TWIN) == 0 and one.of(APP) == PODS), None)

        at = eventually(back, within=BACK_WITHIN, what="the Service points at the incumbent again", every=0.05)
        assert at is not None
        return at - since

    def judge(self, release: str, phase: str, *, tag: str) -> None:
        """Everything borrowed is back, this version serves alone, and the Service never had fewer than D pods."""
        story = self.story
        story.judge_end(release, phase, tag=tag)
        eventually(lambda: self._borrowed() == self.fields, within=10, what="every borrowed field is back")
        assert not story.site.api.exists(story.site.path("services", PREVIEW))
        for name in (APP, TWIN):
            if story.replicas(name) >= 0:
                assert not story.site.deployment(name)["spec"].get("paused")
        assert self.reached.lowest() >= PODS
        story.judge()
        assert story.history.restarts() == {}


@pytest.fixture
def switch(story: Story) -> Iterator[Switch]:
    made = Switch(story)
    yield made
    made.tester.stop()
    made.reached.stop()


def test_a_healthy_version_gets_the_service_at_once_and_the_old_pods_stay_for_a_while(switch: Switch) -> None:
    story, release = switch.story, switch.opens()
    story.releases.await_stage(release, 1, within=STAGE_WITHIN)
    switch.await_switched()
    story.releases.await_stage(release, 2, within=STAGE_WITHIN)
    assert switch.selector() != switch.fields["selector"]
    story.releases.await_phase(release, "Succeeded", within=SUCCEEDS_WITHIN)
    # The old side has kept its pods, and both were paused as long as anything was pinned.
    assert [switch.kept(release, name) for name in (APP, TWIN)] == [{(PODS, True)}] * 2
    assert len(story.history.created_pods(TWIN)) == PODS
    assert story.history.deleted_pods(TWIN) == []
    # Never both at once: one write of the selector moved all requests.
    assert not [one for one in switch.reached.moments() if one.of(APP) and one.of(TWIN)]
    switch.judge(release, "Succeeded", tag="v2")


def test_a_version_that_fails_in_the_preview_never_gets_the_service(switch: Switch) -> None:
    story, release = switch.story, switch.opens("v2-errors20")
    turned = story.releases.await_phase(release, "RolledBack", within=SUCCEEDS_WITHIN)
    assert turned.cause == "GateDegraded"
    assert not [one for one in switch.reached.moments() if one.of(TWIN)]
    assert story.load is not None
    assert not [name for name in story.load.totals().by_pod if name.startswith(TWIN)]
    switch.judge(release, "RolledBack", tag="v1")


def test_errors_that_begin_with_live_traffic_point_the_service_back_at_once(switch: Switch) -> None:
    story, release = switch.story, switch.opens(keep="60s")
    switch.await_switched(within=SUCCEEDS_WITHIN)
    worse = switch.reached.now()
    for pod in story.site.ready_pods(TWIN):
        story.site.order_behaviour(pod, "errors20")
    turned = story.releases.await_phase(release, "RollingBack", "RolledBack", within=90)
    assert turned.cause == "GateDegraded"
    seconds = switch.seconds_back(worse)
    story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    switch.judge(release, "RolledBack", tag="v1")
    print(f"\nblueGreen: {seconds:.1f} seconds from the first error to the old pods")


def test_an_abort_while_the_old_pods_are_kept_is_one_write_of_the_selector(switch: Switch) -> None:
    story, release = switch.story, switch.opens(keep="120s")
    story.releases.await_stage(release, 2, within=SUCCEEDS_WITHIN)
    aborted = switch.reached.now()
    story.patches_release(release, {"abort": {"reason": "orders look wrong"}})
    switch.seconds_back(aborted)
    # All of the old pods are there already: no pod was started for the way back.
    assert story.history.deleted_pods(APP) == []
    assert len(story.history.created_pods(APP)) == 0
    end = story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    assert end.cause == "Aborted"
    switch.judge(release, "RolledBack", tag="v1")


def test_a_kill_at_the_switch_and_while_everything_is_given_back(switch: Switch) -> None:
    story, release = switch.story, switch.opens()
    controller = story.controller
    assert controller is not None
    controller.restart_when(lambda: HASH in switch.selector(), within=60, what="the Service is pinned")
    controller.restart_when(lambda: story.ordered(TWIN) == PODS, within=60, what="the contender comes up")
    controller.restart_when(
        lambda: switch.reached.last.of(TWIN) == PODS, within=STAGE_WITHIN, what="the Service is switched"
    )
    controller.restart_when(lambda: story.ordered(APP) == 0, within=STAGE_WITHIN, what="the old pods go")
    story.releases.await_phase(release, "Succeeded", within=SUCCEEDS_WITHIN)
    switch.judge(release, "Succeeded", tag="v2")


def test_a_kill_on_the_way_back(switch: Switch) -> None:
    story, release = switch.story, switch.opens(keep="120s")
    controller = story.controller
    assert controller is not None
    story.releases.await_stage(release, 2, within=SUCCEEDS_WITHIN)
    story.patches_release(release, {"abort": {"reason": "orders look wrong"}})
    controller.restart_when(lambda: story.releases.reached(release, "RollingBack"), within=10, what="it has turned")
    controller.restart_when(lambda: story.ordered(TWIN) == 0, within=30, what="the contender goes")
    story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    switch.judge(release, "RolledBack", tag="v1")


# A restart of a pinned Deployment would drain the Service: it is paused, so not one pod moves while both are there.
def test_a_restart_by_a_person_while_the_old_pods_are_kept_drains_nothing(switch: Switch) -> None:
    story, release = switch.story, switch.opens(keep="25s")
    story.releases.await_stage(release, 2, within=SUCCEEDS_WITHIN)
    before = {name: story.site.ready_pods(name) for name in (APP, TWIN)}
    template = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}}}
    for name in (APP, TWIN):
        story.site.api.patch(
            story.site.path("deployments", name),
            {"spec": {"template": template}},
            content_type=STRATEGIC,
            fieldManager="kubectl-rollout",
        )
    # And even one who resumes first changes nothing that lasts: the next look pauses it again.
    story.site.api.patch(
        story.site.path("deployments", APP), {"spec": {"paused": False}}, content_type=MERGE, fieldManager="kubectl"
    )
    eventually(lambda: story.site.deployment(APP)["spec"].get("paused") is True, within=20, what="it is paused again")
    assert set(before[TWIN]) == set(story.site.ready_pods(TWIN))
    story.releases.await_phase(release, "Succeeded", within=SUCCEEDS_WITHIN)
    # Given back, the restart that the person asked for takes its ordinary course, within the app's own bounds.
    eventually(
        lambda: not set(before[TWIN]) & set(story.site.ready_pods(TWIN)), within=60, what="the restart has happened"
    )
    story.judge_end(release, "Succeeded", tag="v2")
    own = "in the person's own restart all pods go, one of four may be missing, and one be there too much"
    story.allows(lowest=PODS - 1, most=2 * PODS + 1, restarted=PODS, because=own)
    assert story.load is not None
    assert story.load.totals().lost == 0
