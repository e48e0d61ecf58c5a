"""S16 and S17: what befalls one app leaves no trace in another, and a tick is a function of what it was told."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from controller.release.names import AppKey
from controller.release.plan import CreateSlot
from controller.requests.failure import Failure, FailureKind
from controller.requests.writes import WriteRecord, WriteSlot
from controller.simulation import manifests
from controller.simulation.driver import Fault, LoseAnswer, Point, Refuse, Stale
from controller.simulation.traffic import QUIET
from controller.simulation.world import Conditions, World
from tests.kernel.night import Night, begin, told
from tests.kernel.scenarios import SCENARIOS, SPEC

ONE, OTHER = AppKey("shop", "checkout"), AppKey("shop", "search")
# Nothing is left to chance, so that the two apps share no dice either.
EVEN = Conditions(start=(4.0, 4.0), grace=(2.0, 2.0), noise=QUIET)
Step = tuple[str, str]


def two_apps() -> Night:
    world = World(1, EVEN)
    for version in ("v1", "v2"):
        world.behave(version, errors=0.0)
    for app in (ONE.policy, OTHER.policy):
        world.add_app(app, "v1", 4, load=600.0, policy=manifests.policy(app, **SPEC))
        world.create(manifests.release(app, f"{app}-1", "v2"))
    night = begin(world, apps=(ONE, OTHER))
    world.after_write = []  # the laws are written for one app
    night.driver.on_answer = None
    return night


def steps_of(night: Night, app: str) -> list[Step]:
    """What was written about one app, in order: phases of its record, changes of its slots."""
    steps = []
    for entry in night.world.trace:
        request = entry.request
        if isinstance(request, WriteRecord) and request.name.startswith(app) and entry.applied:
            told = f"{request.status['phase']} {request.status['batch']} {request.status['cause']}"
            steps.append((told, request.status["record"]["intent"]))
        if isinstance(request, WriteSlot) and request.write.name.startswith(app) and entry.applied:
            what = "create" if isinstance(request.write, CreateSlot) else request.write.summary
            steps.append((request.write.name, what))
    return steps


def ran(meddle: Callable[[Point], Fault | None] | None) -> Night:
    night = two_apps()
    night.driver.meddle = meddle
    night.driver.run(night.world.now + 1800.0)
    return night


ERROR = Refuse(Failure(FailureKind.UNAVAILABLE, "500 internal error"))
FAULTS: tuple[Fault, ...] = (ERROR, LoseAnswer(), Stale(seconds=30.0))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_s16_a_fault_in_one_app_leaves_the_steps_of_another_as_they_were(fault: Fault) -> None:
    calm = ran(None)
    expected = steps_of(calm, OTHER.policy)
    assert expected and any("Succeeded" in step[0] for step in expected)
    tried = 0
    for index in range(0, 330, 22):
        struck: list[Point] = []

        def meddle(point: Point, index: int = index, struck: list[Point] = struck) -> Fault | None:
            if point.app == ONE and point.index >= index and not struck:
                struck.append(point)
                return fault
            return None

        assert steps_of(ran(meddle), OTHER.policy) == expected, struck
        tried += len(struck)
    print(f"{tried} faults in one app, none seen in the other")
    assert tried >= 15


def test_s16_an_app_that_can_never_be_read_or_written_harms_nobody() -> None:
    expected = steps_of(ran(None), OTHER.policy)
    dead = ran(lambda point: ERROR if point.app == ONE else None)
    assert steps_of(dead, OTHER.policy) == expected
    assert steps_of(dead, ONE.policy) == []


# ------------------------------------------------------------------------------------------------- determinism


def requests_digest() -> str:
    """All requests of three stories, byte for byte."""
    sha = hashlib.sha256()
    for name in ("errors in batch 2", "D raised in mid-release", "restore"):
        for point in told(SCENARIOS[name].night(), 90.0).points:
            sha.update(repr(point).encode())
    return sha.hexdigest()


def test_s17_the_same_world_is_asked_the_same_byte_for_byte_whatever_the_order_of_hashes() -> None:
    script = "from tests.kernel.test_isolation import requests_digest; print(requests_digest())"
    told_by = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("0", "4711")
    }
    assert told_by == {requests_digest()}
