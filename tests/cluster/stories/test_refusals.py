"""What preflight refuses on a real server: one clear line, phase Cancelled, and nothing written to any Deployment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.cluster.bed.api import MERGE, Object
from tests.cluster.bed.identities import CONTROLLER, STRANGER, Identity
from tests.cluster.bed.shared import ROOT
from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.story import APP, POLICY, Story

ENDS_WITHIN = 60


def refusal(story: Story, release: str, *, identity: Identity = CONTROLLER) -> str:
    """The one line with which the release was refused."""
    end = story.releases.await_phase(release, "Cancelled", within=ENDS_WITHIN)
    assert end.cause == "Refused"
    assert "\n" not in end.because
    assert story.writes_to_deployments(identity) == []
    assert story.claims() == {}
    assert story.releases.broken_laws() == []
    return end.because


def pause_the_deployment(story: Story) -> None:
    path = story.site.path("deployments", APP)
    story.site.api.patch(path, {"spec": {"paused": True}}, content_type=MERGE, fieldManager="kubectl-rollout")


def add_a_second_policy(story: Story) -> None:
    story.applies_policy(name="checkout-too")


@pytest.mark.parametrize(
    ("obstacle", "words"),
    [
        (pause_the_deployment, ("paused by kubectl-rollout", "kubectl rollout resume")),
        (add_a_second_policy, ("checkout and checkout-too", "delete one of them")),
    ],
)
def test_an_obstacle_is_named(story: Story, obstacle: Callable[[Story], None], words: tuple[str, ...]) -> None:
    story.opens(replicas=2, rate=0)
    obstacle(story)
    because = refusal(story, story.asks_for("v2"))
    for word in words:
        assert word in because


def test_a_deployment_that_does_not_exist_is_named(story: Story) -> None:
    story.opens(rate=0, deploy=False)
    because = refusal(story, story.asks_for("v2"))
    assert "Deployment checkout does not exist" in because


def test_the_version_that_serves_already_is_no_release(story: Story) -> None:
    story.opens(replicas=2, rate=0)
    assert "serves this version already" in refusal(story, story.asks_for("v1"))


# The metric's name is wrong: it waits for the deadline, since a store may be late, and then says so. Who waits with
# `--wait` reads it on the terminal.
def test_metrics_that_do_not_know_the_app_are_named(story: Story) -> None:
    ratio = {"errors": 'no_such_total{code=~"5.."}', "requests": "no_such_total"}
    gate: dict[str, Any] = {**POLICY["gates"][0], "errorRatio": ratio}
    story.opens(replicas=2, rate=0, policy={"gates": [gate], "deadline": {"batch": "10s"}})
    done = story.commands("release", APP, "--image", "registry.test/checkout:v2", "--wait", expect=2)
    (release,) = eventually(story.releases.names, within=10, what="the release is seen")
    because = refusal(story, release)
    assert "no recent series" in because
    assert "waited 10s" in because
    assert "no recent series" in " ".join(done.stderr.split())


# A controller that may not write Deployments must say so before it begins, and not in the middle of the way.
def test_a_missing_permission_is_named(story: Story) -> None:
    grants_all_but(story, "patch", "deployments")
    story.opens(replicas=2, rate=0, identity=STRANGER)
    because = refusal(story, story.asks_for("v2"), identity=STRANGER)
    assert "patch deployments.apps" in because
    assert "manifests/rbac.yaml" in because


def grants_all_but(story: Story, verb: str, resource: str) -> None:
    """Gives the stranger the controller's shipped rights in this namespace, without one of them."""
    shipped = yaml.safe_load_all((ROOT / "manifests" / "rbac.yaml").read_text())
    (role,) = (one for one in shipped if one["kind"] == "ClusterRole" and one["metadata"]["name"] == "nightferry")
    rules: list[Object] = [
        {**rule, "verbs": [one for one in rule["verbs"] if not (resource in rule["resources"] and one == verb)]}
        for rule in role["rules"]
    ]
    group = "rbac.authorization.k8s.io"
    story.site.apply(
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": {"name": "controller"}, "rules": rules},
    )
    story.site.apply(
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "controller"},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "controller"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": STRANGER.user}],
        }
    )
