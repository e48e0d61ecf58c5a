"""People in mid-release: they abort, promote, scale, edit, and push the next version."""

from __future__ import annotations

import time

from tests.cluster.bed.api import STRATEGIC
from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.story import APP, REGISTRY, TWIN, Story

STAGE_WITHIN = 90
SUCCEEDS_WITHIN = 150
BACK_WITHIN = 40


def test_an_abort_in_mid_batch_turns_back_within_a_tick(story: Story) -> None:
    story.opens()
    release = story.asks_for("v2-slowstart5")
    story.releases.await_stage(release, 1, within=STAGE_WITHIN)
    eventually(lambda: story.ordered(TWIN) == 2, within=10, what="the batch moves", every=0.02)
    began = story.now()
    aborted = story.patches_release(release, {"abort": {"reason": "wrong branch"}})  # what `nightferry abort` writes
    turned = story.releases.await_phase(release, "RollingBack", within=10)
    assert turned.cause == "Aborted"
    assert "wrong branch" in turned.because
    # Every write carries the revision that it was decided on: the first one that knows of the abort is the turn.
    assert turned == next(one for one in story.releases.of(release) if one.revision > aborted)
    story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    print(f"\nabort to first restoring write: {story.await_restoring_write(after=aborted).seconds - began:.2f} s")
    story.judge_end(release, "RolledBack", tag="v1")
    story.judge()


def test_a_manual_canary_waits_for_a_person_and_the_batches_go_by_themselves(story: Story) -> None:
    story.opens(policy={"strategy": {"twin": {"batches": 1, "advance": {"canary": "manual"}}}})
    release = story.asks_for("v2")
    held = story.releases.await_hold(release, "Manual", within=STAGE_WITHIN)
    assert held.stage == 0
    assert "nightferry promote" in held.status["held"]["then"]
    story.commands("promote", APP)
    story.releases.await_phase(release, "Succeeded", within=SUCCEEDS_WITHIN)
    assert {one.stage for one in story.releases.of(release) if one.held == "Manual"} == {0}
    story.judge_end(release, "Succeeded", tag="v2")
    story.judge()


# The app needs more pods while a release is under way. A person scales the Deployment that serves, as always.
def test_a_person_scales_the_live_slot_and_the_release_goes_on_with_the_new_number(story: Story) -> None:
    story.opens(policy={"strategy": {"twin": {"batches": 1}}})
    release = story.asks_for("v2")
    story.await_canary()
    story.site.scale(APP, 6)
    story.desired = 6
    story.releases.await_phase(release, "Succeeded", within=SUCCEEDS_WITHIN)
    story.judge_end(release, "Succeeded", tag="v2")
    assert story.releases.last(release).status["batch"]["desired"] == 6
    story.judge()


# Somebody, or something, sets our replicas back, and again: two writers of one field never end. We stop.
def test_a_fight_for_the_contender_ends_with_a_person_who_restores(story: Story) -> None:
    story.opens(policy={"strategy": {"twin": {"advance": {"canary": "manual"}}}})
    release = story.asks_for("v2")
    story.releases.await_stage(release, 0, within=STAGE_WITHIN)
    story.await_canary()
    story.site.scale(TWIN, 2)
    eventually(lambda: story.replicas(TWIN) == 1, within=20, what="the first reversal is corrected", every=0.02)
    story.site.scale(TWIN, 2)
    end = story.releases.await_phase(release, "NeedsHuman", within=20)
    assert end.cause == "FieldFight"
    assert story.replicas(TWIN) == 2
    assert story.replicas(APP) == 3
    # The claims stay: they say who moved what, until somebody restores.
    assert set(story.claims()) == {APP, TWIN}

    story.commands("restore", APP, "--wait", "--timeout", "200s")
    restore = story.releases.await_new({release})
    story.judge_end(restore, "RolledBack", tag="v1")
    assert story.releases.broken_laws() == []
    story.allows(most=6, because="somebody ordered one more, twice, and pods go after the next have come")


# A fix is pushed while its broken predecessor is on its way.
def test_a_newer_release_turns_the_running_one_back_first(story: Story) -> None:
    story.opens(policy={"strategy": {"twin": {"batches": 1}}})
    first = story.asks_for("v2")
    story.await_canary()
    second = story.asks_for("v3")
    end = story.releases.await_phase(first, "RolledBack", within=BACK_WITHIN)
    assert end.cause == "Superseded"
    assert second in story.releases.first(first, "RollingBack").because
    story.releases.await_phase(second, "Succeeded", within=SUCCEEDS_WITHIN)
    story.judge_end(second, "Succeeded", tag="v3")
    story.judge()


def test_an_edit_of_the_contenders_template_turns_it_back(story: Story) -> None:
    story.opens()
    release = story.asks_for("v2")
    story.releases.await_stage(release, 0, within=STAGE_WITHIN)
    story.await_canary()
    story.allows(most=6, because="the native rollout of the edit orders a pod, while the incumbent gets its own back")
    template = {"spec": {"containers": [{"name": "app", "image": f"{REGISTRY}:v2.1"}]}}
    path = story.site.path("deployments", TWIN)
    story.site.api.patch(path, {"spec": {"template": template}}, content_type=STRATEGIC, fieldManager="kubectl-edit")
    end = story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    assert end.cause == "ContenderChanged"
    assert "kubectl-edit" in story.releases.first(release, "RollingBack").because
    story.judge_end(release, "RolledBack", tag="v1")
    story.judge()


def test_a_paused_release_stands_still_until_it_is_resumed(story: Story) -> None:
    story.opens(policy={"strategy": {"twin": {"batches": 1}}})
    release = story.asks_for("v2")
    story.await_canary()
    story.commands("pause", APP)
    story.releases.await_hold(release, "PausedByPerson", within=10)
    before = story.generations()
    # Longer than the least observation: without the pause the next batch would have begun.
    until = time.monotonic() + 15.0
    eventually(lambda: time.monotonic() >= until, within=15, what="fifteen seconds are over")
    story.await_ticks(5)
    assert story.generations() == before
    story.commands("resume", APP)
    story.releases.await_phase(release, "Succeeded", within=SUCCEEDS_WITHIN)
    story.judge_end(release, "Succeeded", tag="v2")
    story.judge()


# Somebody pins the Service to the pods of one version, as people do by hand: a batch would take pods from the side that
# all requests go to.
def test_a_service_that_is_led_to_one_version_turns_it_back(story: Story) -> None:
    story.opens(policy={"strategy": {"twin": {"advance": {"canary": "manual"}}}})
    release = story.asks_for("v2")
    story.releases.await_hold(release, "Manual", within=STAGE_WITHIN)
    pinned = {"pod-template-hash": str(story.site.pods(APP)[0]["metadata"]["labels"]["pod-template-hash"])}
    service = story.site.path("services", APP)
    story.site.api.patch(service, {"spec": {"selector": pinned}}, fieldManager="kubectl-edit")
    end = story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    assert end.cause == "RouteChanged"
    assert f"Service {APP}" in story.releases.first(release, "RollingBack").because
    story.judge_end(release, "RolledBack", tag="v1")
    assert story.site.api.read(service)["spec"]["selector"] == {"app": APP} | pinned, "what people set is left to them"
    story.judge()
