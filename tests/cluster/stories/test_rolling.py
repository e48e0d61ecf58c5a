"""rolling on a real control plane: one Deployment, held at exact sizes by the native controller."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from tests.cluster.bed.api import MERGE, STRATEGIC, Object
from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.story import APP, LONGER, POLICY, REGISTRY, Story

SUCCEEDS_WITHIN = 240
STAGE_WITHIN = 120
BACK_WITHIN = 60


def _rolling(**changes: Any) -> dict[str, Any]:
    """A policy whose strategy is rolling: a canary of one, a batch of half and the rest, one pod of surge."""
    rolling = {"canary": 1, "batches": 2, "maxSurge": 1, "maxUnavailable": 0, **changes}
    return {"strategy": {"twin": None, "rolling": rolling}}


def _split(story: Story) -> dict[str, int]:
    """Pods ordered of each version: its ReplicaSets' replicas."""
    return _ordered(story.site.api.read(story.site.path("replicasets"))["items"])


def _held(story: Story) -> list[dict[str, int]]:
    """Every split that the watches have told of a paused Deployment."""
    story.history.catch_up()
    sets: dict[str, Object] = {}
    paused, found = False, []
    for _, event in story.history.timed_events("Deployment", "ReplicaSet"):
        if event.object["kind"] == "Deployment":
            paused = bool(event.object["spec"].get("paused"))
        else:
            sets[event.object["metadata"]["uid"]] = event.object
        if paused:
            found.append(_ordered(sets.values()))
    return found


def _ordered(sets: Iterable[Object]) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in sets:
        if item["spec"]["replicas"]:
            tag = str(item["spec"]["template"]["spec"]["containers"][0]["image"]).rpartition(":")[2]
            found[tag] = found.get(tag, 0) + int(item["spec"]["replicas"])
    return found


def _await_split(story: Story, wanted: dict[str, int], *, within: float = STAGE_WITHIN) -> None:
    """Waits until these pods are ordered and the Deployment is paused by us."""

    def there() -> bool:
        return _split(story) == wanted and bool(story.site.deployment(APP)["spec"].get("paused"))

    eventually(there, within=within, what=f"{wanted} held", every=0.05)


def _fields(story: Story) -> dict[str, Any]:
    """Everything in the Deployment's spec that is people's, whatever version is there."""
    return {key: value for key, value in story.site.deployment(APP)["spec"].items() if key != "template"}


def _edits(story: Story, spec: dict[str, Any], manager: str) -> None:
    path = story.site.path("deployments", APP)
    kind = STRATEGIC if "template" in spec else MERGE
    story.site.api.patch(path, {"spec": spec}, content_type=kind, fieldManager=manager)


def _image(version: str) -> dict[str, Any]:
    return {"template": {"spec": {"containers": [{"name": "app", "image": f"{REGISTRY}:{version}"}]}}}


_RESTARTED = {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}}}}


def _of_neither(story: Story) -> int:
    """Pods ordered by the ReplicaSet that was made last, beside those of a release."""
    sets = story.site.api.read(story.site.path("replicasets"))["items"]
    last = max(sets, key=lambda each: int(each["metadata"]["annotations"]["deployment.kubernetes.io/revision"]))
    return int(last["spec"]["replicas"]) if len(sets) > 2 else 0


def _judge_end(story: Story, release: str, phase: str, before: dict[str, Any], *, tag: str) -> None:
    """This version serves alone, every field of the Deployment is people's again, nothing is claimed."""
    story.await_serving(tag, story.desired)
    story.await_unclaimed()
    story.await_end(release, phase)
    assert _split(story) == {tag: story.desired}
    assert _fields(story) == before


def test_a_healthy_release_replaces_every_pod_once_and_gives_every_field_back(story: Story) -> None:
    story.opens(replicas=6, policy=_rolling())
    before = _fields(story)
    release = story.asks_for("v2")
    story.releases.await_phase(release, "Succeeded", within=SUCCEEDS_WITHIN)
    _judge_end(story, release, "Succeeded", before, tag="v2")
    assert {"v1": 6, "v2": 1} in _held(story)
    assert story.history.restarts() == {}
    assert len(story.history.created_pods(APP)) == 6  # a promotion starts no pod again
    story.judge()


# The first batch is clean; errors appear once the second batch takes load: back, and never batch three.
def test_a_regression_in_the_middle_is_turned_back_by_one_patch(story: Story) -> None:
    strict = {**POLICY["gates"][0], "tolerate": "2x"}
    gates = {"gates": [strict, POLICY["gates"][1]]}
    story.opens(replicas=6, policy={**LONGER, **_rolling(batches=[3, 4, "100%"]), **gates})
    before = _fields(story)
    release = story.asks_for("v2-errors20-from2")
    turned = story.releases.await_phase(release, "RollingBack", within=STAGE_WITHIN)
    assert turned.cause == "GateDegraded"
    story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    _judge_end(story, release, "RolledBack", before, tag="v1")
    assert story.releases.highest_stage(release) <= 2
    assert story.history.restarts() == {}
    story.judge()


def test_an_abort_in_mid_batch_brings_the_incumbent_back_to_full_capacity(story: Story) -> None:
    story.opens(replicas=6, policy=_rolling())
    before = _fields(story)
    release = story.asks_for("v2")
    story.releases.await_stage(release, 1, within=STAGE_WITHIN)
    eventually(lambda: _split(story).get("v2", 0) >= 2, within=30, what="the batch moves", every=0.02)
    story.patches_release(release, {"abort": {"reason": "wrong branch"}})
    end = story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    assert end.cause == "Aborted"
    _judge_end(story, release, "RolledBack", before, tag="v1")
    story.judge()


# Killed while a step is under way (unpaused), while it is held, and on the way to the last batch.
def test_a_release_survives_kills_in_mid_batch(story: Story) -> None:
    story.opens(replicas=6, policy=_rolling())
    before = _fields(story)
    controller = story.controller
    assert controller is not None
    release = story.asks_for("v2")

    def unpaused() -> bool:
        specs = [one.object["spec"] for one in story.history.events("Deployment", APP)]
        return any(spec.get("minReadySeconds", 0) > 0 and not spec.get("paused") for spec in specs)

    controller.restart_when(unpaused, within=STAGE_WITHIN, what="a step is under way")
    controller.restart_when(lambda: _split(story).get("v2", 0) >= 2, within=STAGE_WITHIN, what="the batch moves")
    controller.restart_when(lambda: _split(story).get("v2", 0) >= 4, within=STAGE_WITHIN, what="the last one moves")
    story.releases.await_phase(release, "Succeeded", within=SUCCEEDS_WITHIN)
    _judge_end(story, release, "Succeeded", before, tag="v2")
    assert story.history.restarts() == {}
    assert len(story.history.created_pods(APP)) == 6
    story.judge()


# An autoscaler, or a person, goes down and up again during a hold. The native controller spreads both over both
# versions; contenders that nobody judged go again before anything goes on.
def test_scaling_during_a_hold_is_followed_and_the_split_put_right(story: Story) -> None:
    story.opens(replicas=6, policy=_rolling(advance={"canary": "auto", "batches": "manual"}))
    before = _fields(story)
    release = story.asks_for("v2")
    story.releases.await_stage(release, 1, within=STAGE_WITHIN)
    _await_split(story, {"v1": 4, "v2": 3})
    story.releases.await_hold(release, "Manual", within=STAGE_WITHIN)
    story.site.scale(APP, 2)
    story.desired = 2
    story.allows(restarted=3, because="people take pods of both versions away")
    eventually(lambda: sum(_split(story).values()) == 3, within=30, what="it follows down")
    story.site.scale(APP, 8)
    _await_split(story, {"v1": 5, "v2": 4})
    story.desired = 8
    before["replicas"] = 8

    def held_anew() -> bool:
        last = story.releases.last(release)
        return last.held == "Manual" and last.status["batch"]["desired"] == 8

    # Not the hold from before anybody scaled.
    eventually(held_anew, within=STAGE_WITHIN, what="it waits for a person again")
    assert story.releases.highest_stage(release) == 1
    story.commands("promote", APP)
    story.releases.await_stage(release, 2, within=STAGE_WITHIN)
    eventually(lambda: _split(story).get("v2", 0) == 8, within=SUCCEEDS_WITHIN, what="the last batch is there")
    story.releases.await_hold(release, "Manual", within=STAGE_WITHIN)
    story.commands("promote", APP)
    story.releases.await_phase(release, "Succeeded", within=SUCCEEDS_WITHIN)
    _judge_end(story, release, "Succeeded", before, tag="v2")
    assert story.releases.broken_laws() == []


# A GitOps tool applies its manifest again: its own version. That is a way back, and not an unjudged rollout.
def test_a_template_set_back_during_a_hold_moves_nothing_and_turns_back(story: Story) -> None:
    story.opens(replicas=6, policy=_rolling(advance={"canary": "auto", "batches": "manual"}))
    before = _fields(story)
    release = story.asks_for("v2")
    story.releases.await_stage(release, 1, within=STAGE_WITHIN)
    _await_split(story, {"v1": 4, "v2": 3})
    _edits(story, _image("v1"), "argocd-controller")
    end = story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    assert end.cause == "ContenderChanged"
    assert "argocd-controller" in story.releases.first(release, "RollingBack").because
    _judge_end(story, release, "RolledBack", before, tag="v1")
    story.judge()


def test_a_third_template_during_a_hold_is_never_rolled_out(story: Story) -> None:
    story.opens(replicas=6, policy=_rolling(advance={"canary": "manual"}))
    before = _fields(story)
    release = story.asks_for("v2")
    _await_split(story, {"v1": 6, "v2": 1})
    _edits(story, _image("v3"), "kubectl-set")
    end = story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    assert end.cause == "ContenderChanged"
    _judge_end(story, release, "RolledBack", before, tag="v1")
    images = {str(pod["spec"]["containers"][0]["image"]) for pod in (e.object for e in story.history.events("Pod"))}
    assert f"{REGISTRY}:v3" not in images
    story.judge()


# A person resumes and restarts, or changes the image, in one go, while nobody looks. The native controller does what it
# can with it; what is promised stays, and then the release goes back.
@pytest.mark.parametrize("beside", [_image("v3"), _RESTARTED], ids=["image", "restart"])
def test_a_hold_that_is_set_free_with_another_template_loses_nothing(story: Story, beside: dict[str, Any]) -> None:
    story.opens(replicas=6, policy=_rolling(batches=[4, "100%"], advance={"batches": "manual"}))
    story.allows(
        most=8, because="the rollout of the third template was ordered by somebody else, and has a pod as well"
    )
    before = _fields(story)
    controller = story.controller
    assert controller is not None
    release = story.asks_for("v2")
    _await_split(story, {"v1": 3, "v2": 4})
    story.releases.await_hold(release, "Manual", within=STAGE_WITHIN)
    controller.kill()
    _edits(story, {"paused": None, **beside}, "kubectl-edit")
    eventually(lambda: _of_neither(story) == 1, within=20, what="a pod of the new template is ordered")
    controller.start()
    end = story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    assert end.cause == "ContenderChanged"
    _judge_end(story, release, "RolledBack", before, tag="v1")
    story.judge()


# Somebody resumes our hold. Once it is paused again; twice is a fight, and a person restores.
def test_a_hold_that_is_resumed_again_and_again_ends_with_a_person_who_restores(story: Story) -> None:
    story.opens(replicas=6, policy=_rolling(advance={"canary": "manual"}))
    before = _fields(story)
    release = story.asks_for("v2")
    _await_split(story, {"v1": 6, "v2": 1})
    story.releases.await_hold(release, "Manual", within=STAGE_WITHIN)
    _edits(story, {"paused": None}, "kubectl-rollout")
    _await_split(story, {"v1": 6, "v2": 1}, within=20)
    _edits(story, {"paused": None}, "kubectl-rollout")
    end = story.releases.await_phase(release, "NeedsHuman", within=20)
    assert end.cause == "FieldFight"
    assert _split(story) == {"v1": 6, "v2": 1}
    assert set(story.claims()) == {APP}
    story.commands("restore", APP, "--wait", "--timeout", "200s")
    restore = story.releases.await_new({release})
    _judge_end(story, restore, "RolledBack", before, tag="v1")
    story.judge()
