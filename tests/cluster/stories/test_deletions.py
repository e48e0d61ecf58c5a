"""Somebody deletes a part in mid-release: the app keeps serving, and the end is the documented one."""

from __future__ import annotations

import pytest

from tests.cluster.bed.api import MERGE, Object
from tests.cluster.bed.site import app_deployment
from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.story import APP, REGISTRY, TWIN, Story

BACK_WITHIN = 40
POLICIES = "/apis/nightferry.dev/v1alpha1/namespaces/{namespace}/releasepolicies/checkout"


def in_the_canary(story: Story) -> str:
    """A release whose canary has taken the place of one incumbent -> its name."""
    release = story.asks_for("v2")
    eventually(lambda: story.ordered(APP) <= 3, within=60, what="the canary has taken a place")
    return release


def test_a_deleted_policy_is_waited_for_and_then_the_release_turns_back(story: Story) -> None:
    story.opens(policy={"onBlind": {"hold": "6s"}})
    release = in_the_canary(story)
    story.site.api.delete(POLICIES.format(namespace=story.site.name))
    story.releases.await_hold(release, "PolicyGone", within=10)
    end = story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    assert end.cause == "PolicyGone"
    story.await_serving("v1", 4)
    assert story.replicas(TWIN) == 0
    # The claims wait for the policy: they go when it is there again.
    story.applies_policy()
    story.judge_end(release, "RolledBack", tag="v1")
    story.judge()


def test_a_policy_that_comes_back_lets_the_release_go_on(story: Story) -> None:
    story.opens(policy={"strategy": {"twin": {"batches": 1}}})
    release = in_the_canary(story)
    story.site.api.delete(POLICIES.format(namespace=story.site.name))
    story.releases.await_hold(release, "PolicyGone", within=10)
    story.applies_policy({"strategy": {"twin": {"batches": 1}}})
    story.releases.await_phase(release, "Succeeded", within=120)
    story.judge_end(release, "Succeeded", tag="v2")
    story.judge()


# The record is gone, and with it everything that we knew. The claims on the Deployments know the way back.
def test_a_deleted_release_is_restored_from_the_claims(story: Story) -> None:
    story.opens()
    release = in_the_canary(story)
    story.site.api.delete(story.release_path(release))
    restore = story.releases.await_new({release})
    assert story.releases.last(restore).spec["restoreOf"] == release
    story.releases.await_phase(restore, "RolledBack", within=BACK_WITHIN)
    story.judge_end(restore, "RolledBack", tag="v1")
    story.judge()


def test_a_deleted_contender_turns_it_back(story: Story) -> None:
    story.opens()
    release = in_the_canary(story)
    story.site.api.delete(story.site.path("deployments", TWIN))
    end = story.releases.await_phase(release, "RolledBack", within=BACK_WITHIN)
    assert end.cause == "ContenderMissing"
    story.await_serving("v1", 4)
    story.await_unclaimed()
    assert story.replicas(APP) == 4
    assert story.replicas(TWIN) == -1
    # Whoever deletes the contender takes its pod away: three of four served for a moment, and never fewer.
    story.allows(lowest=3, because="the contender was deleted with its pod")
    assert story.history.unsafe_lowerings(desired=3, max_unavailable=0) == []
    assert story.releases.broken_laws() == []


# The version that served is gone. What still serves, the contender, must not be touched by anybody but a person.
def test_a_deleted_incumbent_leaves_the_contender_alone(story: Story) -> None:
    story.opens(policy={"strategy": {"twin": {"advance": {"batches": "manual"}}}})
    release = story.asks_for("v2")
    story.releases.await_stage(release, 1, within=90)
    eventually(lambda: story.ordered(APP) == 2, within=30, what="batch 1 is there")
    eventually(lambda: story.serving().get("v2") == 2, within=20, what="two contenders serve")
    # At rest: a write is seen before the log tells of it.
    story.releases.await_hold(release, "Manual", within=60)
    writes = len(story.writes_to_deployments())
    story.site.api.delete(story.site.path("deployments", APP))
    end = story.releases.await_phase(release, "NeedsHuman", within=20)
    assert end.cause == "WorkloadMissing"
    assert "nightferry restore" in end.because
    story.await_serving("v2", 2)
    assert story.replicas(TWIN) == 2
    assert len(story.writes_to_deployments()) == writes
    assert story.history.deleted_pods(TWIN) == []
    assert story.releases.broken_laws() == []

    # The person puts the old version back and asks for the way back, as the release said.
    story.site.api.create(story.site.path("deployments"), app_deployment(APP, image=f"{REGISTRY}:v1", replicas=4))
    eventually(lambda: story.serving().get("v1") == 4, within=20, what="the old version serves again")
    story.commands("restore", APP, "--wait", "--timeout", "200s")
    restore = story.releases.await_new({release})
    story.releases.await_phase(restore, "RolledBack", within=30)
    story.judge_end(restore, "RolledBack", tag="v1")
    story.allows(lowest=2, most=6, because="the incumbent was deleted with its two pods, and put back with four")


@pytest.mark.parametrize(
    "edit", [{"record": {"stage": 7}}, {"phase": "Succeeded"}, {"record": None}], ids=["stage", "phase", "no record"]
)
def test_a_record_edited_into_an_impossible_state_stops_everything(story: Story, edit: Object) -> None:
    story.opens(policy={"strategy": {"twin": {"advance": {"canary": "manual"}}}})
    release = in_the_canary(story)
    eventually(lambda: story.serving() == {"v1": 3, "v2": 1}, within=20, what="the canary is settled")
    # At rest: a write is seen before the log tells of it.
    story.releases.await_hold(release, "Manual", within=60)
    writes = len(story.writes_to_deployments())
    path = f"{story.release_path(release)}/status"
    story.site.api.patch(path, {"status": edit}, content_type=MERGE)
    end = eventually(
        lambda: next((one for one in story.releases.of(release) if one.phase == "NeedsHuman"), None),
        within=20,
        what="the release needs a person",
    )
    assert end is not None
    assert end.cause == "RecordInvalid"
    assert story.serving() == {"v1": 3, "v2": 1}
    assert len(story.writes_to_deployments()) == writes

    story.allows(
        restarted=1, because="a Succeeded that somebody wrote promotes nothing: the canary goes with the restore"
    )
    story.commands("restore", APP, "--reason", "the record was edited", "--wait", "--timeout", "200s")
    restore = story.releases.await_new({release})
    story.releases.await_phase(restore, "RolledBack", within=30)
    story.judge_end(restore, "RolledBack", tag="v1")
