"""Smoke tests, webhooks and released settings: every single fault at every request, and a paused writer everywhere.

Beside the laws: a stage has one Job and never two, a webhook hears no question of a stage under two ids for one try,
and what is left of the settings is what the versions of the app read.
"""

from __future__ import annotations

import pytest

from analysis.verdict import Verdict
from controller.jobs import Said
from controller.requests.writes import Write
from controller.simulation.driver import Freeze
from tests.kernel.faults import Trial, told_apart, tried
from tests.kernel.laws import Broken
from tests.kernel.night import Ending, Night, told, with_faults
from tests.kernel.outside_scenarios import OUTSIDE, copies, read_copies, wrong_in
from tests.kernel.scenarios import APP, Scenario, phase
from tests.kernel.strikes import LONGEST, allowed, every_single_fault
from tests.kernel.tales import TWIN

PODS = 2  # of every story here


def _as_well(scenario: Scenario, ending: Ending) -> bool:
    """Whether a night has ended as well as its story, where a fault decides which edit of the settings it takes."""
    sizes = {name: slot[0] for name, slot in ending.slots.items()}
    return scenario.name == "settings" and ending.phases == scenario.ends and sizes[APP] == 0 and sizes[TWIN] == PODS


def test_s4_a_copy_that_a_version_reads_is_missed_at_once() -> None:
    night = OUTSIDE["settings"].night()
    night.run(LONGEST, lambda at: phase(at.world) == "Canary")
    (copy,) = {name for name in copies(night.world) if name in read_copies(night.world)}
    night.run(LONGEST, lambda at: at.world.objects.items["Deployment", "shop", TWIN]["spec"]["replicas"] > 0)
    night.world.objects.delete(("ConfigMap", "shop", copy))
    with pytest.raises(Broken, match=f"names ConfigMap {copy}, which does not exist"):
        night.run(LONGEST)


def test_s3_a_stage_is_not_left_before_its_smoke_test_has_succeeded(monkeypatch: pytest.MonkeyPatch) -> None:
    def credulous(*_: object) -> Said:
        return Said(Verdict.HEALTHY, "it runs, so it will succeed")

    monkeypatch.setattr("controller.inquiry.jobs.of_job", credulous)
    night = OUTSIDE["smoke test hangs"].night()
    with pytest.raises(Broken, match=r"S3 .* has not succeeded"):
        night.run(LONGEST)


USUAL = ("smoke test", "webhook", "settings rolled back", "settings back without the original")
FROZEN = ("smoke test", "settings")


@pytest.mark.parametrize("scenario", tried(OUTSIDE, *USUAL), ids=lambda each: each.name)
def test_k1_k2_k5_k6_k10_k12_every_fault_at_every_request(scenario: Scenario) -> None:
    story = told(scenario.night(), LONGEST)

    def wrong(trial: Trial, night: Night, ending: Ending) -> str:
        fine = allowed(ending, story, trial) or _as_well(scenario, ending)
        return wrong_in(scenario, night) if fine else f"ended {ending}"

    every_single_fault(scenario, story, wrong)


@pytest.mark.parametrize("scenario", tried(OUTSIDE, *FROZEN), ids=lambda each: each.name)
def test_k4_a_writer_that_was_paused_before_any_write(scenario: Scenario) -> None:
    story = told(scenario.night(), LONGEST)
    wrong: list[str] = []
    for point in told_apart(story.points_after(scenario.alike)):
        if not isinstance(point.request, Write):
            continue
        try:
            night, ending = with_faults(story, {point.index: Freeze(90.0)}, LONGEST)
        except AssertionError as broken:
            wrong.append(f"{point.request}: {broken}")
            continue
        if ending.phases != scenario.ends or wrong_in(scenario, night):
            wrong.append(f"{point.request}: ended {ending} {wrong_in(scenario, night)}")
    assert not wrong, "\n".join(wrong[:10])
