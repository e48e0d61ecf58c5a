"""The simulated Deployment controller beside the real one: the same writes, the same pods of each version."""

from __future__ import annotations

from typing import Any

import pytest

from controller.simulation import manifests
from controller.simulation.traffic import QUIET
from controller.simulation.world import Conditions, World
from tests.cluster.bed.api import MERGE, STRATEGIC
from tests.cluster.bed.site import Site
from tests.cluster.bed.waiting import eventually

APP = "checkout"
REGISTRY = "registry.test/checkout"
HELD = {"minReadySeconds": 2147483646, "progressDeadlineSeconds": 2147483647}
HOME = {"minReadySeconds": 0, "progressDeadlineSeconds": 600, "paused": None}


def _fences(surge: int | str, unavailable: int | str) -> dict[str, Any]:
    return {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}


Step = tuple[str, dict[str, Any]]  # the version to put in ("" for none), and fields of the spec

# Each list begins at 8 pods of v1.
HOLDS: list[Step] = [
    ("v2", {**HELD, **_fences(1, 0), "paused": True}),  # nothing moves
    ("", {"paused": False}),
    ("", _fences(1, 1)),
    ("", _fences(1, 3)),
    ("", {"paused": True}),
    ("", {"replicas": 13}),
    ("", {"replicas": 5}),
    ("", {"replicas": 2}),
    ("", {"replicas": 8}),
    ("", _fences(3, 3)),  # a surge changed while paused is spread like replicas
    ("", _fences(1, 3)),
    ("v3", {}),  # a third template while paused
    ("v2", {}),
    ("v1", {**HOME, **_fences(2, 1)}),
]
SCALED_UNPAUSED: list[Step] = [
    ("v2", {**HELD, **_fences(1, 3), "paused": False}),
    ("", {"replicas": 2}),
    ("", {"replicas": 8}),  # everything is promoted
]
TO_THE_END: list[Step] = [
    ("v2", {**HELD, **_fences("25%", "25%"), "paused": False}),
    ("", _fences(2, 6)),
    ("", {"paused": True}),
    ("", {"replicas": 0}),
    ("", {"replicas": 8}),
    ("", {**HOME, **_fences("25%", "25%")}),
    ("v1", {**HELD, **_fences(0, 2)}),
    ("", HOME),
]


def _simulated(steps: list[Step]) -> list[dict[str, int]]:
    """Pods of each version after each step."""
    world = World(1, Conditions(start=(1.0, 2.0), grace=(1.0, 2.0), noise=QUIET))
    world.add_app(APP, "v1", 8, policy={})
    counts = []
    for version, fields in steps:
        spec = dict(fields)
        if version:
            containers = [{"name": "app", "image": manifests.image(APP, version)}]
            spec["template"] = {"spec": {"containers": containers}}
        world.edit("Deployment", APP, {"spec": spec})
        world.step_to(world.now + 120.0)
        found: dict[str, int] = {}
        for pod in world.pods_of(APP):
            found[pod.version] = found.get(pod.version, 0) + 1
        counts.append(found)
    return counts


def _real(site: Site) -> dict[str, int]:
    """Pods ordered of each version, once all of them are ready and the controllers have seen the last write."""
    deployment = site.deployment(APP)
    status = deployment.get("status") or {}
    if status.get("observedGeneration") != deployment["metadata"]["generation"]:
        return {"unseen": 1}
    found: dict[str, int] = {}
    for item in site.api.read(site.path("replicasets"))["items"]:
        if item["spec"]["replicas"]:
            tag = str(item["spec"]["template"]["spec"]["containers"][0]["image"]).rpartition(":")[2]
            found[tag] = found.get(tag, 0) + int(item["spec"]["replicas"])
    return found if len(site.ready_pods()) == sum(found.values()) else {"starting": 1}


@pytest.mark.parametrize("steps", [HOLDS, SCALED_UNPAUSED, TO_THE_END], ids=["holds", "scaled-unpaused", "to-the-end"])
def test_the_same_writes_leave_the_same_pods(site: Site, steps: list[Step]) -> None:
    site.deploy(replicas=8, image=f"{REGISTRY}:v1")
    path = site.path("deployments", APP)
    seen: list[dict[str, int]] = []
    for (version, fields), wanted in zip(steps, _simulated(steps), strict=True):
        spec = dict(fields)
        if version:
            # Template and fields in one patch, as the strategy writes them.
            spec["template"] = {"spec": {"containers": [{"name": "app", "image": f"{REGISTRY}:{version}"}]}}
        site.api.patch(path, {"spec": spec}, content_type=STRATEGIC if version else MERGE)
        _await(site, wanted, f"{version} {fields} after {seen}")
        seen.append(wanted)
    print("\n" + " -> ".join(str(one) for one in seen))


def _await(site: Site, wanted: dict[str, int], what: str) -> None:
    eventually(lambda: _real(site) == wanted, within=40, what=f"{wanted} with {what}")
