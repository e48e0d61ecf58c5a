"""A Service led elsewhere in mid-release, without a router: every fault at every request of its stories.

Beside the laws: as long as the Service leads to one version, no request is lost, whatever strikes.
"""

from __future__ import annotations

import pytest

from controller.requests.looks import ReadObject
from controller.simulation.driver import Stale
from controller.simulation.world import World
from tests.kernel.faults import Trial, tried
from tests.kernel.hold_scenarios import a_rolling
from tests.kernel.night import Ending, Night, told
from tests.kernel.scenarios import APP, Scenario
from tests.kernel.service_scenarios import ASTRAY, CAUSES, Build, a_twin, deleted, lost_in
from tests.kernel.strikes import LONGEST, allowed, every_single_fault

USUAL = ("twin elsewhere", "twin contender alone and mended", "rolling incumbent alone", "rolling contender alone")


@pytest.mark.parametrize("scenario", tried(ASTRAY, *USUAL), ids=lambda each: each.name)
def test_k1_k2_k5_k6_k10_k12_every_fault_at_every_request(scenario: Scenario) -> None:
    story = told(scenario.night(), LONGEST)

    def wrong(trial: Trial, night: Night, ending: Ending) -> str:
        # Where a person is needed the pods stand as the Service was found, and a fault may let it be found later.
        stuck = "NeedsHuman" in story.ending.phases.values()
        well = ending.releases == story.ending.releases if stuck else allowed(ending, story, trial)
        if isinstance(trial.fault, Stale):
            # A quorum read that lies about the past shows the Service as it was before, so that nobody needs the
            # contenders any more. The real API server does not answer a quorum read so.
            return "" if well or (stuck and set(ending.phases.values()) == {"RolledBack"}) else f"ended {ending}"
        return lost_in(scenario, night.world) if well else f"ended {ending}"

    every_single_fault(scenario, story, wrong)


@pytest.mark.parametrize("scenario", ASTRAY.values(), ids=lambda each: each.name)
def test_it_ends_as_it_must_and_takes_no_pod_from_a_service_that_needs_it(scenario: Scenario) -> None:
    night = scenario.night()
    story = told(night, LONGEST)
    cause = CAUSES[scenario.name.partition(" ")[2]]
    assert story.ending.phases == scenario.ends
    assert cause is None or story.ending.releases["first"][1] == cause
    assert lost_in(scenario, night.world) == ""


@pytest.mark.parametrize("build", [a_twin, a_rolling])
def test_an_app_to_which_no_service_leads_is_released_without_a_look_for_one(build: Build) -> None:
    """A worker takes its work from a queue: its gates know its pods, and nothing of its release asks for a Service."""

    def worker() -> World:
        world = build()
        world.edit("ReleasePolicy", APP, {"spec": {"mode": "observe"}})  # no load reaches it, so no gate could judge
        deleted(world)
        return world

    story = told(Scenario("worker", worker, {"first": "Succeeded"}).night(), LONGEST)
    assert story.ending.phases == {"first": "Succeeded"}
    assert not [point for point in story.points if isinstance(point.request, ReadObject)]
