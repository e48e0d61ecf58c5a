"""A stock kubectl is enough to see a release, to wait for it, and to turn it back."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cluster.bed.identities import PERSON
from tests.cluster.stories.story import APP, Story

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


class Kubectl:
    """kubectl as the person, in the story's namespace."""

    def __init__(self, story: Story, home: Path) -> None:
        self._home = home
        self._kubeconfig = story.bed.kubeconfig(PERSON, namespace=story.site.name)

    def __call__(self, *words: str, expect: int = 0) -> str:
        done = subprocess.run(
            ["kubectl", *words],
            env={"KUBECONFIG": str(self._kubeconfig), "HOME": str(self._home), "PATH": "/usr/local/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == expect, f"kubectl {' '.join(words)} -> {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


def test_kubectl_shows_explains_and_waits(story: Story, tmp_path: Path) -> None:
    story.opens(policy={"strategy": {"twin": {"batches": 1}}})
    kubectl = Kubectl(story, tmp_path)
    release = story.asks_for("v2")
    kubectl("wait", "--for=condition=Ready", f"release/{release}", "--timeout=150s")
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
    kubectl("wait", "--for=jsonpath={.status.phase}=RolledBack", f"release/{release}", "--timeout=60s")
    story.judge_end(release, "RolledBack", tag="v1")
    conditions = json.loads(kubectl("get", "release", release, "-o", "json"))["status"]["conditions"]
    assert {one["type"]: one["status"] for one in conditions} == {
        "Ready": "False",
        "Reconciling": "False",
        "Stalled": "True",
    }
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
