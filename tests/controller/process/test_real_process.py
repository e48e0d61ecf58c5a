"""The process on a real API server, as the controller's own identity with the shipped rights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.bed.api import Object
from tests.cluster.bed.bed import Bed
from tests.cluster.bed.identities import CONTROLLER, PERSON, STRANGER
from tests.cluster.bed.shared import ROOT
from tests.cluster.bed.site import Site
from tests.cluster.bed.waiting import eventually
from tests.cluster.controllers import Controller

pytestmark = pytest.mark.cluster

APP_POLICY: Object = {
    "apiVersion": "nightferry.dev/v1alpha1",
    "kind": "ReleasePolicy",
    "metadata": {"name": "checkout"},
    "spec": {
        "target": {"deployment": "checkout"},
        "strategy": {"twin": {"canary": 1, "batches": 2}},
        "gates": [
            {
                "name": "errors",
                "errorRatio": {"errors": 'http_requests_total{code=~"5.."}', "requests": "http_requests_total"},
            }
        ],
    },
}


@pytest.fixture
def installed(bed: Bed, site: Site) -> Site:
    """CRDs and rights as shipped, and alice may work in this namespace."""
    bed.install(ROOT / "manifests" / "crds", ROOT / "manifests" / "rbac.yaml")
    site.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "people"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "nightferry-operator"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": PERSON.user}],
        }
    )
    return site


@pytest.fixture
def served(installed: Site) -> Iterator[Site]:
    """The app checkout with its policy, under load: without traffic no gate has numbers."""
    installed.apply(APP_POLICY)
    installed.deploy(replicas=2, image="registry.test/checkout:v1")
    with installed.load(rate=50, burst=5):
        yield installed


@pytest.fixture
def controller(bed: Bed, installed: Site, tmp_path: Path) -> Iterator[Controller]:
    """A controller for this namespace, not started."""
    kubeconfig = bed.kubeconfig(CONTROLLER, namespace=installed.name)
    found = Controller(tmp_path, kubeconfig=kubeconfig, prometheus=bed.prometheus_url, namespace=installed.name)
    yield found
    found.stop()


def person_asks(kubeconfig: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of a person, as a process."""
    return subprocess.run(
        [sys.executable, "-m", "controller", *arguments],
        cwd=ROOT,
        env={**os.environ, "KUBECONFIG": str(kubeconfig), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_its_metrics_pass_promtool_in_mid_release(bed: Bed, served: Site, controller: Controller) -> None:
    controller.start()
    alice = bed.kubeconfig(PERSON, namespace=served.name)
    asked = person_asks(alice, "release", "checkout", "--image", "registry.test/checkout:v2")
    assert asked.returncode == 0, asked.stderr
    eventually(
        lambda: 'nightferry_releases{phase="Canary"} 1.0' in controller.read_page("/metrics")[1],
        within=40,
        what="the release is in its canary",
    )
    status, text = controller.read_page("/metrics")
    assert status == 200
    checked = subprocess.run(
        [str(bed.programs.promtool), "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")

    def turned() -> set[str]:
        return {line["kind"] for line in controller.lines("turn")}

    eventually(lambda: "Advance" in turned(), within=10, what="its log says how it came there")


def test_a_person_drives_it_and_a_stranger_is_refused_in_one_line(
    bed: Bed, served: Site, controller: Controller
) -> None:
    controller.start()
    alice = bed.kubeconfig(PERSON, namespace=served.name)
    mallory = bed.kubeconfig(STRANGER, namespace=served.name)
    person_asks(alice, "release", "checkout", "--env", "app:COLOUR=blue", "--reason", "a new colour")

    def row() -> Object:
        found = person_asks(alice, "status", "-o", "json")
        assert found.returncode == 0, found.stderr
        return dict(json.loads(found.stdout)[0])

    eventually(lambda: row()["phase"] == "Canary", within=40, what="the release is in its canary")
    for verb in ("pause", "abort", "promote"):
        refused = person_asks(mallory, verb, "checkout")
        assert refused.returncode == 2
        assert len(refused.stderr.splitlines()) == 1
        assert "mallory" in refused.stderr
    assert person_asks(alice, "pause", "checkout").returncode == 0
    eventually(lambda: (row()["held"] or {}).get("reason") == "PausedByPerson", within=10, what="it is paused")
    assert person_asks(alice, "resume", "checkout").returncode == 0
    explained = person_asks(alice, "explain", row()["release"])
    assert "a new colour" in explained.stdout
    assert "a person paused the release" in explained.stdout
    assert person_asks(alice, "abort", "checkout", "--reason", "the wrong blue").returncode == 0
    eventually(lambda: row()["phase"] == "RolledBack", within=40, what="it went back")
    assert "the wrong blue" in row()["because"]


def test_it_is_ready_soon_and_does_nothing_where_nothing_is_to_do(
    bed: Bed, installed: Site, controller: Controller
) -> None:
    for number in range(20):
        policy = {**APP_POLICY, "metadata": {"name": f"app-{number}"}}
        policy["spec"] = {**APP_POLICY["spec"], "target": {"deployment": f"app-{number}"}}
        installed.apply(policy)
    began = time.monotonic()
    controller.start()
    print(f"\nstart to ready: {time.monotonic() - began:.2f} s")
    assert controller.read_page("/readyz") == (200, "ready\n")

    def writes() -> int:
        asked = bed.requests(CONTROLLER, namespace=installed.name)
        return len([one for one in asked if one.verb in ("create", "patch", "update", "delete")])

    # Each policy is told once that it is valid, and once what history could teach; then there is silence.
    eventually(lambda: writes() == 40, within=60, what="every policy has its status and its baseline")
    time.sleep(4.0)
    assert writes() == 40
    assert controller.stop(grace=60.0) == 0
