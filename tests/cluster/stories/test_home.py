"""The way out: promoted into the second Deployment, brought home in batches, and the second Deployment removed."""

from __future__ import annotations

from tests.cluster.bed.api import MERGE
from tests.cluster.bed.identities import PERSON
from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.story import APP, TWIN, Story


def test_an_app_comes_home_without_a_lost_request_and_nothing_of_ours_is_left(story: Story) -> None:
    story.opens(policy={"strategy": {"twin": {"batches": 1}}})
    labels = story.site.deployment(APP)["metadata"].get("labels")
    release = story.asks_for("v2")
    story.releases.await_phase(release, "Succeeded", within=120)
    story.judge_end(release, "Succeeded", tag="v2")
    # A person, who may edit the namespace, asks and waits; the command then removes what is empty.
    story.site.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "removes-deployments"},
            "rules": [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["delete"]}],
        }
    )
    story.site.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "removes-deployments"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "removes-deployments"},
            "subjects": [{"kind": "User", "name": PERSON.user}],
        }
    )
    said = story.commands("home", APP, "--wait")
    assert f"{TWIN} is removed" in said.stdout
    story.await_serving("v2", story.desired)
    story.await_unclaimed()
    assert story.replicas(APP) == story.desired
    assert story.replicas(TWIN) == -1
    assert story.history.replicas_of(TWIN)[:5] == [0, 1, 2, 3, 4]
    assert story.history.restarts() == {}
    metadata = story.site.deployment(APP)["metadata"]
    assert not [key for key in metadata.get("annotations") or {} if "nightferry" in key]
    assert metadata.get("labels") == labels
    template = story.site.deployment(APP)["spec"]["template"]["metadata"]
    assert not [key for key in (template.get("labels") or {}) if "nightferry" in key]
    story.judge()
    # What it leaves behind is an ordinary Deployment: the native controller rolls it as ever.
    story.site.api.patch(story.site.path("deployments", APP), {"spec": {"replicas": 3}}, content_type=MERGE)
    story.desired = 3
    eventually(lambda: story.serving() == {"v2": 3}, within=30, what="it is scaled by hand")
    assert "is at home" in story.commands("home", APP).stdout
