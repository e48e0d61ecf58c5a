"""A stock kubectl is enough to see a release, to wait for it, and to turn it back."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.bed.identities import ADMIN, PERSON, Identity
from tests.cluster.bed.site import app_deployment
from tests.cluster.bed.waiting import eventually
from tests.cluster.stories.story import APP, REGISTRY, Story


class Kubectl:
    """kubectl as the person, or as somebody else, in the story's namespace."""

    def __init__(self, story: Story, home: Path, identity: Identity = PERSON) -> None:
        self._home = home
        self._program = story.bed.programs.kubectl
        self._kubeconfig = story.bed.kubeconfig(identity, namespace=story.site.name)

    def __call__(self, *words: str, expect: int = 0) -> str:
        done = subprocess.run(
            [self._program, *words],
            env={"KUBECONFIG": str(self._kubeconfig), "HOME": str(self._home), "PATH": "/usr/local/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == expect, f"kubectl {' '.join(words)} -> {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout if expect == 0 else done.stdout + done.stderr


def test_kubectl_shows_explains_and_waits(story: Story, tmp_path: Path) -> None:
    story.opens(policy={"strategy": {"twin": {"batches": 1}}})
    kubectl = Kubectl(story, tmp_path)
    release = story.asks_for("v2")
    kubectl("wait", "--for=condition=Reconciling=False", f"release/{release}", "--timeout=400s")
    kubectl("wait", "--for=condition=Ready", f"release/{release}", "--timeout=60s")
    story.releases.await_phase(release, "Succeeded", within=30)
    story.judge_end(release, "Succeeded", tag="v2")

    header, line = kubectl("get", "releases").splitlines()
    assert {"NAME", "APP", "PHASE", "BATCH"} <= set(header.split())
    assert {release, APP, "Succeeded", "1/1"} <= set(line.split())
    assert APP in kubectl("get", "releasepolicies")
    gates = kubectl("explain", "releasepolicy.spec.gates")
    assert "errorRatio" in gates
    assert "tolerate" in gates
    described = kubectl("describe", "release", release)
    assert "Advance" in described
    story.judge()


def test_kubectl_turns_a_release_back(story: Story, tmp_path: Path) -> None:
    story.opens()
    kubectl = Kubectl(story, tmp_path)
    release = story.asks_for("v2")
    story.releases.await_stage(release, 0, within=60)
    kubectl("patch", "release", release, "--type=merge", "-p", json.dumps({"spec": {"abort": {"reason": "by hand"}}}))
    kubectl("wait", "--for=condition=Stalled", f"release/{release}", "--timeout=200s")
    story.releases.await_phase(release, "RolledBack", within=30)
    assert kubectl("get", "release", release, "-o", "jsonpath={.status.phase}") == "RolledBack"
    story.judge_end(release, "RolledBack", tag="v1")
    conditions = json.loads(kubectl("get", "release", release, "-o", "json"))["status"]["conditions"]
    assert {one["type"]: one["status"] for one in conditions} == {
        "Ready": "False",
        "Reconciling": "False",
        "Stalled": "True",
    }
    story.judge()


def _rolling(**more: Any) -> dict[str, Any]:
    return {"strategy": {"twin": None, "rolling": {"batches": 1, "maxSurge": 1, **more}}}


def _held(story: Story) -> bool:
    """Whether one contender is held beside the incumbents, by us."""
    return story.serving() == {"v1": 4, "v2": 1} and bool(story.site.deployment(APP)["spec"].get("paused"))


# What people have in their fingers. kubectl itself leaves a paused Deployment alone; a resume is paused again; and an
# image that nobody has judged turns the release back.
def test_kubectl_rollout_moves_no_pod_of_a_held_deployment(story: Story, tmp_path: Path) -> None:
    story.opens(policy=_rolling(advance={"canary": "manual"}))
    before = {key: value for key, value in story.site.deployment(APP)["spec"].items() if key != "template"}
    kubectl = Kubectl(story, tmp_path, ADMIN)
    release = story.asks_for("v2")
    story.releases.await_hold(release, "Manual", within=90)
    eventually(lambda: _held(story), within=20, what="the canary is held")
    pods = story.site.ready_pods()
    for words in (("undo",), ("restart",), ("pause",)):
        assert "paused" in kubectl("rollout", *words, f"deployment/{APP}", expect=1)
    kubectl("rollout", "resume", f"deployment/{APP}")
    eventually(lambda: _held(story), within=20, what="it is paused again")
    assert story.site.ready_pods() == pods
    kubectl("set", "image", f"deployment/{APP}", f"app={REGISTRY}:v3")
    end = story.releases.await_phase(release, "RolledBack", within=60)
    assert end.cause == "ContenderChanged"
    story.await_serving("v1", 4)
    story.await_unclaimed()
    assert {key: value for key, value in story.site.deployment(APP)["spec"].items() if key != "template"} == before
    images = {str(one.object["spec"]["containers"][0]["image"]) for one in story.history.events("Pod")}
    assert f"{REGISTRY}:v3" not in images
    story.judge()


# A chart is installed again in mid-release. Helm and `kubectl apply` make the same three-way merge of what was applied
# last, what is applied now and what is there: the old version in it turns the release back, the new one lets it go on.
@pytest.mark.parametrize(("image", "phase"), [("v1", "RolledBack"), ("v2", "Succeeded")])
def test_a_manifest_that_is_applied_again_in_mid_release(story: Story, tmp_path: Path, image: str, phase: str) -> None:
    kubectl = Kubectl(story, tmp_path, ADMIN)

    def applies(version: str) -> None:
        manifest = app_deployment(APP, image=f"{REGISTRY}:{version}", replicas=4)
        (tmp_path / "chart.json").write_text(json.dumps(manifest))
        kubectl("apply", "-f", str(tmp_path / "chart.json"))

    story.opens(policy=_rolling())
    applies("v1")
    release = story.asks_for("v2")
    eventually(lambda: _held(story), within=60, what="the canary is held", every=0.05)
    applies(image)
    end = story.releases.await_phase(release, phase, within=120)
    assert end.cause == ("ContenderChanged" if phase == "RolledBack" else "Completed")
    story.await_serving(image, 4)
    story.await_unclaimed()
    assert story.site.deployment(APP)["spec"].get("minReadySeconds", 0) == 0
    story.judge()


def test_kubectl_refuses_a_policy_that_cannot_be(story: Story, tmp_path: Path) -> None:
    story.opens(replicas=1, rate=0, controlled=False)
    bad = {
        "apiVersion": "nightferry.dev/v1alpha1",
        "kind": "ReleasePolicy",
        "metadata": {"name": "bad"},
        "spec": {"target": {"deployment": APP}, "strategy": {"twin": {"batches": -1}}, "gates": []},
    }
    (tmp_path / "bad.json").write_text(json.dumps(bad))
    said = kubectl_refuses(Kubectl(story, tmp_path), tmp_path / "bad.json")
    assert "spec" in said


def kubectl_refuses(kubectl: Kubectl, file: Path) -> str:
    """What kubectl says of a file that the API server does not take."""
    return kubectl("apply", "-f", str(file), expect=1)
