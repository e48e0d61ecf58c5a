"""Releases under a real autoscaler: asleep for the length of a release that moves pods between two Deployments, awake
afterwards on the one that serves; and followed where there is one Deployment.

There is no metrics server here, so metrics move nothing. The controller still lifts a Deployment below its minimum at
every sync (one second), whatever the behaviour says: an autoscaler that does not really sleep is seen at once, because
every release takes both slots below a minimum of three.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.bed.api import MERGE
from tests.cluster.bed.bed import Bed
from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.routers import ROUTERS, stands_behind
from tests.cluster.stories.story import APP, TWIN, Story

ONE_BATCH = {"strategy": {"twin": {"batches": 1}}}
FIRM = {
    "scaleUp": {"stabilizationWindowSeconds": 30, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]},
    "scaleDown": {"selectPolicy": "Min", "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}]},
}


def _version(story: Story) -> str:
    """The newest version of the API that this server has and that knows behaviours."""
    return "v2" if story.site.api.exists("/apis/autoscaling/v2") else "v2beta2"


def _path(story: Story, name: str = "") -> str:
    group = f"/apis/autoscaling/{_version(story)}/namespaces/{story.site.name}/horizontalpodautoscalers"
    return f"{group}/{name}" if name else group


def _creates(story: Story, name: str = "cpu", **spec: Any) -> Any:
    """An autoscaler of the app, 3 to 10 pods -> what people said of it, as the server has completed it."""
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}
    manifest = {
        "apiVersion": f"autoscaling/{_version(story)}",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "annotations": {"owner": "shop"}},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": APP},
            "minReplicas": 3,
            "maxReplicas": 10,
            "metrics": [cpu],
            **spec,
        },
    }
    story.site.api.create(_path(story), manifest)
    return _said(story, name)


def _said(story: Story, name: str = "cpu") -> Any:
    """Everything that is people's of an autoscaler."""
    found = story.site.api.read(_path(story, name))
    return found["spec"], found["metadata"].get("annotations")


def _asleep(story: Story, name: str = "cpu") -> bool:
    behavior = _said(story, name)[0].get("behavior") or {}
    return all((behavior.get(each) or {}).get("selectPolicy") == "Disabled" for each in ("scaleUp", "scaleDown"))


def _on(said: Any, deployment: str) -> Any:
    """The same, on another Deployment."""
    spec, annotations = said
    return {**spec, "scaleTargetRef": {**spec["scaleTargetRef"], "name": deployment}}, annotations


def _assert_awake_on(story: Story, deployment: str, name: str = "cpu") -> None:
    """Raises the minimum: only one that is awake follows it."""
    wanted = story.desired = story.desired + 2
    story.site.api.patch(_path(story, name), {"spec": {"minReplicas": wanted}}, content_type=MERGE)
    eventually(lambda: story.ordered(deployment) == wanted, within=30, what=f"it lifts {deployment} to {wanted}")


@pytest.mark.parametrize("behavior", [None, FIRM], ids=["plain", "with a behaviour"])
def test_it_sleeps_through_a_release_and_wakes_on_the_deployment_that_serves(story: Story, behavior: Any) -> None:
    story.opens(policy=ONE_BATCH)
    before = _creates(story, **({"behavior": behavior} if behavior is not None else {}))
    release = story.asks_for("v2")
    eventually(lambda: story.ordered(TWIN) >= 1, within=60, what="the canary moves")
    assert _asleep(story)
    story.releases.await_phase(release, "Succeeded", within=120)
    story.judge_end(release, "Succeeded", tag="v2")
    assert story.history.replicas_of(APP) == [4, 3, 2, 1, 0]  # nobody lifted it to its minimum of 3
    assert story.history.replicas_of(TWIN) == [0, 1, 2, 3, 4]
    assert story.history.restarts() == {}
    assert _said(story) == _on(before, TWIN)
    story.judge()
    _assert_awake_on(story, TWIN)
    # And back the same way.
    again = story.asks_for("v3")
    story.releases.await_phase(again, "Succeeded", within=120)
    story.await_serving("v3", story.desired)
    spec, annotations = _on(before, APP)
    assert _said(story) == ({**spec, "minReplicas": story.desired}, annotations)


# Its owner changes it meanwhile; what it wakes with is that.
@pytest.mark.parametrize("way", ["blueGreen", *ROUTERS])
def test_what_people_change_while_it_sleeps_is_what_it_wakes_with(story: Story, with_routers: Bed, way: str) -> None:
    if way == "blueGreen":
        strategy: dict[str, Any] = {"twin": None, "blueGreen": {"service": APP, "keep": "1s"}}
    else:
        strategy = {"twin": {"batches": 1}, "traffic": stands_behind(story, way)}
    story.opens(policy={"strategy": strategy})
    before = _creates(story, behavior=FIRM)
    with story.site.load(rate=100, service=f"{APP}-preview" if way == "blueGreen" else APP, burst=5, seed=2):
        release = story.asks_for("v2")
        eventually(lambda: story.ordered(TWIN) >= 1, within=120, what="the contender comes")
        assert _asleep(story)
        story.site.api.patch(_path(story, "cpu"), {"spec": {"maxReplicas": 12}}, content_type=MERGE)
        story.releases.await_phase(release, "Succeeded", within=150)
    story.judge_end(release, "Succeeded", tag="v2")
    spec, annotations = _on(before, TWIN)
    assert _said(story) == ({**spec, "maxReplicas": 12}, annotations)
    story.judge()
    _assert_awake_on(story, TWIN)


# One Deployment: it goes on as ever, and the release follows it to another size.
@pytest.mark.parametrize("strategy", ["rolling", "recreate"])
def test_a_new_minimum_in_mid_release_is_the_new_size(story: Story, strategy: str) -> None:
    moves: dict[str, Any] = {"rolling": {"batches": 1, "maxSurge": 1}, "recreate": {}}
    # recreate is at no pods for as long as the old ones take to go: long enough to be met there.
    story.opens(policy={"strategy": {"twin": None, strategy: moves[strategy]}}, image="v1-drain8")
    before = _creates(story)
    release = story.asks_for("v2")
    if strategy == "rolling":
        eventually(lambda: "v2" in story.serving(), within=60, what="the canary serves")
    else:
        eventually(lambda: story.ordered(APP) == 0, within=60, what="all pods go", every=0.05)
    story.site.api.patch(_path(story, "cpu"), {"spec": {"minReplicas": 6}}, content_type=MERGE)
    story.desired = 6
    story.releases.await_phase(release, "Succeeded", within=150)
    story.await_serving("v2", 6)
    story.await_unclaimed()
    spec, annotations = before
    assert _said(story) == ({**spec, "minReplicas": 6}, annotations)
    assert story.releases.broken_laws() == []


def test_a_regression_wakes_it_as_it_was(story: Story) -> None:
    story.opens(policy=ONE_BATCH)
    before = _creates(story, behavior=FIRM)
    release = story.asks_for("v2-errors30")
    story.releases.await_phase(release, "RolledBack", within=120)
    story.judge_end(release, "RolledBack", tag="v1")
    assert _said(story) == before
    story.judge()
    _assert_awake_on(story, APP)


def test_an_abort_in_mid_batch_wakes_all_of_them_as_they_were(story: Story) -> None:
    story.opens(policy=ONE_BATCH, image="v1-slowstart2")
    both = {name: _creates(story, name) for name in ("cpu", "memory")}
    release = story.asks_for("v2")
    eventually(lambda: story.ordered(APP) <= 2, within=90, what="the batch moves", every=0.02)
    assert _asleep(story, "cpu") and _asleep(story, "memory")
    story.patches_release(release, {"abort": {"reason": "wrong branch"}})
    story.releases.await_phase(release, "RolledBack", within=60)
    story.judge_end(release, "RolledBack", tag="v1-slowstart2")
    assert {name: _said(story, name) for name in both} == both
    story.judge()


def test_a_kill_in_every_phase_loses_nothing_that_was_borrowed(story: Story) -> None:
    story.opens(policy=ONE_BATCH)
    before = _creates(story, behavior=FIRM)
    controller = story.controller
    assert controller is not None
    release = story.asks_for("v2")
    controller.restart_when(lambda: _asleep(story), within=30, what="it sleeps")
    controller.restart_when(lambda: story.ordered(TWIN) >= 2, within=90, what="the batch moves")
    controller.restart_when(lambda: story.ordered(APP) == 0, within=90, what="the incumbent is gone")
    story.releases.await_phase(release, "Succeeded", within=90)
    story.judge_end(release, "Succeeded", tag="v2")
    assert story.history.replicas_of(APP) == [4, 3, 2, 1, 0]
    assert _said(story) == _on(before, TWIN)
    story.judge()
    _assert_awake_on(story, TWIN)


def test_a_record_that_was_deleted_does_not_leave_it_asleep(story: Story) -> None:
    story.opens(policy=ONE_BATCH)
    before = _creates(story, behavior=FIRM)
    release = story.asks_for("v2")
    eventually(lambda: story.ordered(TWIN) >= 2, within=90, what="the batch moves")
    story.site.api.delete(story.release_path(release))
    story.await_serving("v1", story.desired, within=60)
    eventually(lambda: _said(story) == before, within=30, what="it is what it was")
    story.await_unclaimed()


def test_one_that_keda_owns_is_refused_before_anything_moves(story: Story) -> None:
    story.opens(policy=ONE_BATCH)
    _creates(story)
    owner = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "cart", "uid": "u", "controller": True}
    story.site.api.patch(_path(story, "cpu"), {"metadata": {"ownerReferences": [owner]}}, content_type=MERGE)
    writes = story.writes_to_deployments()
    release = story.asks_for("v2")
    end = story.releases.await_phase(release, "Cancelled", within=30)
    assert "ScaledObject cart" in end.because and "autoscaling.keda.sh/paused" in end.because
    assert story.writes_to_deployments() == writes
    assert story.replicas(TWIN) == -1
