"""`trigger: template`: an idle Deployment that is kept paused, and a template that starts a release."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from controller.release.names import AppKey
from controller.requests.writes import WriteSlot
from controller.settings import Settings
from controller.simulation import manifests
from controller.simulation.driver import Driver
from controller.simulation.traffic import QUIET
from controller.simulation.world import Conditions, World

APP = "checkout"
SPEC: Mapping[str, Any] = {
    "strategy": {"rolling": {"canary": 1, "batches": 2, "maxSurge": 1}},
    "gates": [
        {
            "name": "errors",
            "errorRatio": {"errors": 'http_requests_total{code=~"5.."}', "requests": "http_requests_total"},
            "tolerate": "0.5pp",
        }
    ],
    "observe": {"atLeast": "30s", "atMost": "5m", "onUndecided": "rollBack"},
    "trigger": "template",
}


class App:
    """One app whose releases a template starts, and its controller."""

    def __init__(self) -> None:
        self.world = World(1, Conditions(start=(3.0, 6.0), grace=(1.0, 2.0), noise=QUIET))
        self.world.add_app(APP, "v1", 4, load=600.0, policy=manifests.policy(APP, **SPEC))
        self.driver = Driver(self.world, Settings(), (AppKey("shop", APP),))
        self.images: set[str] = set()

    def runs(self, seconds: float) -> None:
        until = self.world.now + seconds
        while self.world.now < until:
            self.world.step_to(self.driver.next_due())
            self.driver.step()
            self.images |= {pod.version for pod in self.world.pods.values()}

    def until(self, true: Callable[[], bool]) -> None:
        limit = self.world.now + 3600.0
        while not true():
            assert self.world.now < limit, self.releases()
            self.runs(1.0)

    @property
    def deployment(self) -> dict[str, Any]:
        return self.world.objects.items["Deployment", "shop", APP]

    def paused(self) -> bool:
        return bool(self.deployment["spec"].get("paused"))

    def edits(self, **spec: Any) -> None:
        self.world.edit("Deployment", APP, {"spec": spec}, manager="kubectl-set")

    def sets_image(self, version: str) -> None:
        containers = [{"name": "app", "image": manifests.image(APP, version)}]
        self.edits(template={"spec": {"containers": containers}})

    def releases(self) -> list[tuple[str, str]]:
        """(phase, cause) of each release."""
        found = [obj for key, obj in sorted(self.world.objects.items.items()) if key[0] == "Release"]
        states = [obj.get("status") or {} for obj in sorted(found, key=lambda one: one["metadata"]["uid"])]
        return [(str(one.get("phase", "")), str(one.get("cause") or "")) for one in states]

    def serving(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for pod in self.world.pods.values():
            if pod.serving:
                found[pod.version] = found.get(pod.version, 0) + 1
        return found

    def slot_writes(self) -> int:
        return sum(isinstance(each.request, WriteSlot) for each in self.world.trace)


@pytest.fixture
def app() -> Iterator[App]:
    yield App()


def test_the_idle_deployment_is_paused_once_and_then_left_alone(app: App) -> None:
    app.runs(30)
    assert app.paused()
    writes = app.slot_writes()
    app.runs(300)
    assert app.slot_writes() == writes == 1
    assert app.releases() == []


def test_scaling_goes_on_while_it_is_paused(app: App) -> None:
    app.runs(30)
    app.edits(replicas=7)
    app.runs(60)
    assert app.serving() == {"v1": 7}


def test_an_image_that_is_set_starts_a_release_and_moves_nothing_by_itself(app: App) -> None:
    app.runs(30)
    app.sets_image("v2")
    app.until(lambda: bool(app.releases()))
    assert app.images == {"v1"}
    app.until(lambda: app.releases() == [("Succeeded", "Completed")])
    app.runs(60)
    assert (app.serving(), app.paused()) == ({"v2": 4}, True)
    assert app.deployment["spec"]["minReadySeconds"] == 0
    writes = app.slot_writes()
    app.runs(300)
    assert app.slot_writes() == writes
    assert len(app.releases()) == 1


def test_a_version_that_is_worse_is_turned_back_and_not_tried_again_by_itself(app: App) -> None:
    app.world.behave("v2", errors=0.2)
    app.runs(30)
    app.sets_image("v2")
    app.until(lambda: app.releases() == [("RolledBack", "GateDegraded")])
    app.runs(300)
    assert (app.serving(), app.paused(), len(app.releases())) == ({"v1": 4}, True, 1)
    # A tool that sets it again gets no second rollout of it; another version does.
    app.sets_image("v2")
    app.runs(300)
    assert (app.serving(), app.paused(), len(app.releases())) == ({"v1": 4}, True, 1)
    app.sets_image("v3")
    app.until(lambda: app.releases()[1:] == [("Succeeded", "Completed")])
    app.runs(60)
    assert (app.serving(), app.paused()) == ({"v3": 4}, True)


def test_after_a_lift_the_template_is_tried_once_more(app: App) -> None:
    app.world.behave("v2", errors=0.2)
    app.runs(30)
    app.sets_image("v2")
    app.until(lambda: app.releases() == [("RolledBack", "GateDegraded")])
    app.sets_image("v3")
    app.until(lambda: app.releases()[1:] == [("Succeeded", "Completed")])
    app.sets_image("v2")
    app.until(lambda: app.releases()[2:] == [("Cancelled", "Quarantined")])
    app.runs(300)
    assert (app.serving(), app.paused(), len(app.releases())) == ({"v3": 4}, True, 3)
    app.world.behave("v2", errors=0.0)
    [bad] = [key[2] for key, obj in app.world.objects.items.items()
             if key[0] == "Release" and obj["status"]["phase"] == "RolledBack"]  # fmt: skip
    app.world.edit("Release", bad, {"spec": {"lift": {"reason": "mended"}}})
    app.until(lambda: app.releases()[3:] == [("Succeeded", "Completed")])
    app.runs(300)
    assert (app.serving(), app.paused(), len(app.releases())) == ({"v2": 4}, True, 4)


def test_an_image_that_is_set_in_mid_release_is_released_next(app: App) -> None:
    app.runs(30)
    app.sets_image("v2")
    app.until(lambda: "v2" in app.images)
    app.sets_image("v3")
    app.until(lambda: [phase for phase, _ in app.releases()] == ["RolledBack", "Succeeded"])
    assert app.releases()[0][1] in ("ContenderChanged", "Superseded")
    assert app.serving() == {"v3": 4}
    app.runs(300)
    assert len(app.releases()) == 2
    assert app.paused()


def test_an_image_that_is_set_on_the_way_back_is_released_next(app: App) -> None:
    app.runs(30)
    app.sets_image("v2")
    app.until(lambda: "v2" in app.images)
    (name,) = (key[2] for key in app.world.objects.items if key[0] == "Release")
    app.world.edit("Release", name, {"spec": {"abort": {"reason": "no"}}})
    app.until(lambda: app.releases()[0][0] == "RollingBack")
    app.sets_image("v3")
    app.until(lambda: [phase for phase, _ in app.releases()] == ["RolledBack", "Succeeded"])
    assert app.serving() == {"v3": 4}


def test_a_restart_or_an_undo_in_mid_release_is_no_version_to_be_kept(app: App) -> None:
    app.runs(30)
    app.sets_image("v2")
    app.until(lambda: "v2" in app.images)
    app.sets_image("v1")
    app.until(lambda: app.releases() == [("RolledBack", "ContenderChanged")])
    app.runs(300)
    assert app.serving() == {"v1": 4}
    assert len(app.releases()) == 1


def test_what_somebody_resumes_is_paused_once_more_and_then_theirs(app: App) -> None:
    app.runs(30)
    app.edits(paused=None)
    app.runs(60)
    assert app.paused()
    app.edits(paused=None)
    app.runs(300)
    assert not app.paused()
    assert app.slot_writes() == 2


def test_a_deployment_that_a_person_has_paused_is_not_taken_over(app: App) -> None:
    app.edits(paused=True)
    app.runs(120)
    app.sets_image("v2")
    app.runs(120)
    assert (app.slot_writes(), app.releases(), app.serving()) == (0, [], {"v1": 4})


def test_switched_off_it_is_resumed_but_not_while_a_version_waits_in_it(app: App) -> None:
    app.world.behave("v2", errors=0.2)
    app.runs(30)
    app.sets_image("v2")
    app.until(lambda: app.releases() == [("RolledBack", "GateDegraded")])
    app.runs(60)
    app.sets_image("v2")
    app.runs(30)
    app.world.edit("ReleasePolicy", APP, {"spec": {"trigger": None}})
    app.runs(120)
    assert (app.paused(), app.serving()) == (True, {"v1": 4})
    app.sets_image("v1")
    app.runs(60)
    assert (app.paused(), app.serving()) == (False, {"v1": 4})
    assert "nightferry.dev/idle" not in (app.deployment["metadata"].get("annotations") or {})


def test_a_release_that_a_person_asks_for_works_beside_it(app: App) -> None:
    app.runs(30)
    app.world.create(manifests.release(APP, "by-hand", "v2"))
    app.until(lambda: app.releases() == [("Succeeded", "Completed")])
    app.runs(60)
    assert (app.serving(), app.paused(), len(app.releases())) == ({"v2": 4}, True, 1)
