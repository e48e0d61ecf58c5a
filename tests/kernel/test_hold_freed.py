"""rolling, set free by somebody in a hold: whatever template comes with it, and however late we look, D - U stay ready.

`kubectl rollout resume` with an undo, a restart or another template in one go: the native controller has acted upon it
long before anybody can pause it again. Within a step, while the Deployment is un-paused by ourselves, nobody can
promise this: see docs/limitations.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from controller.simulation import manifests
from controller.simulation.world import World
from tests.kernel.faults import EXHAUSTIVE, beginnings
from tests.kernel.hold_scenarios import a_rolling
from tests.kernel.night import begin, told
from tests.kernel.scenarios import APP, phase, status
from tests.kernel.strikes import LONGEST

RESTARTED = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}}}


def _image(version: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "app", "image": manifests.image(APP, version)}]}}


BESIDE: Mapping[str, dict[str, Any]] = {
    "nothing": {},
    "undo": {"template": _image("v1")},
    "restart": {"template": RESTARTED},
    "another template": {"template": _image("v3")},
    "a template that never serves": {"template": _image("v4")},
}
APPS: Mapping[str, tuple[int, dict[str, Any]]] = {
    "surge 1": (6, {}),
    "no surge": (4, {"maxSurge": 0, "maxUnavailable": 1}),
    "surge 2, slack 1": (8, {"batches": [3, "100%"], "maxSurge": 2, "maxUnavailable": 1}),
    "one batch": (3, {"batches": ["100%"]}),
}
LATE = (0.5, 6.0)  # seconds until our next look: the native controller has begun, or come to rest


def _serving(world: World) -> int:
    return sum(pod.serving for pod in world.pods.values() if pod.state.labels.get("app") == APP)


def _held(world: World) -> bool:
    spec = world.objects.items["Deployment", "shop", APP]["spec"]
    return bool(spec.get("paused")) and phase(world) in ("Preflight", "Canary", "Batch")


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("app", APPS if EXHAUSTIVE else ("surge 1",))
def test_w15_a_hold_that_somebody_sets_free_keeps_what_is_promised(app: str, beside: str) -> None:
    replicas, rolling = APPS[app]
    world = a_rolling(replicas, rolling=rolling)
    world.behave("v4", ready=False)
    story = told(begin(world), LONGEST)
    floor = replicas - int(rolling.get("maxUnavailable", 0))
    chosen = beginnings(story.points)
    nights, lowest, wrong, ends = 0, replicas, list[str](), dict[str, int]()
    for first, before in story.forks.items():
        if not _held(before.world) or not (first in chosen or EXHAUSTIVE):
            continue
        for late in LATE:
            night, seen = before.fork(), _Least(replicas)
            night.world.add_actor(0.1, seen)
            night.world.edit("Deployment", APP, {"spec": {"paused": None, **BESIDE[beside]}})
            night.last_write = night.world.now
            night.driver.start("a", late)
            night.run(LONGEST)
            end = night.ending().phases["first"]
            nights, lowest = nights + 1, min(lowest, seen.least)
            ends[end] = ends.get(end, 0) + 1
            if seen.least < floor or end not in ("Succeeded", "RolledBack"):
                wrong.append(f"set free before request {first}, {late} s: {seen.least} of {floor} serve, {end}")
    print(f"{app}, set free with {beside}: {nights} nights, lowest {lowest} of {replicas}, promised {floor}, {ends}")
    assert nights > 8
    assert not wrong, "\n".join(wrong[:10])


@pytest.mark.parametrize("late", [8.0, 120.0])  # in the midst of the rollout, and after it
def test_a_preparation_that_a_tool_sets_free_without_its_brake_says_what_is_true(late: float) -> None:
    night = begin(a_rolling(6), lambda there: bool(phase(there)))
    night.run(LONGEST, lambda at: _held(at.world) and phase(at.world) == "Preflight")
    world, seen = night.world, _Least(6)
    world.add_actor(0.1, seen)
    night.driver.stop("a")
    world.edit("Deployment", APP, {"spec": {"paused": False, "minReadySeconds": 0}})
    night.driver.run_to(world.now + late)
    assert sum(pod.version == "v2" for pod in world.pods_of(APP)) > 1
    night.driver.start("a")
    night.run(LONGEST)
    assert (phase(world), status(world)["cause"], seen.least) == ("RolledBack", "Refused", 6)
    assert "run a version that nobody has judged: kubectl-edit resumed the Deployment" in status(world)["because"]
    assert {pod.version for pod in world.pods_of(APP)} == {"v1"}


class _Least:
    """The fewest pods that served at once."""

    def __init__(self, least: int) -> None:
        self.least = least

    def __call__(self, world: World) -> None:
        self.least = min(self.least, _serving(world))
