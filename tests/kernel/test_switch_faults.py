"""blueGreen and recreate: every single fault at every request of every story, and a paused writer at every request."""

from __future__ import annotations

import pytest

from controller.simulation.driver import Stale
from tests.kernel.faults import EXHAUSTIVE, Trial, paused, tried
from tests.kernel.night import Ending, Night, Told, told
from tests.kernel.scenarios import APP, Scenario
from tests.kernel.strikes import LONGEST, allowed, every_single_fault, paused_writer
from tests.kernel.switch_scenarios import SWITCHED

USUAL = ("blueGreen healthy", "blueGreen regression after the switch", "recreate healthy", "recreate regression")
FROZEN = ("blueGreen healthy", "recreate healthy", "blueGreen abort in keep")


@pytest.mark.parametrize("scenario", tried(SWITCHED, *USUAL), ids=lambda each: each.name)
def test_k1_k2_k5_k6_k10_k12_every_fault_at_every_request(scenario: Scenario) -> None:
    story = told(scenario.night(), LONGEST)

    def wrong(trial: Trial, _: Night, ending: Ending) -> str:
        return "" if allowed(ending, story, trial) or _hidden(ending, story, trial) else f"ended {ending}"

    every_single_fault(scenario, story, wrong)


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("name", FROZEN if EXHAUSTIVE else FROZEN[:2])
def test_k14_k15_a_paused_writer_at_every_request(name: str, part: int) -> None:
    """Every second request in each part, so that two workers share the longest stories."""
    scenario = SWITCHED[name]
    story = told(scenario.night(), LONGEST)
    paused_writer(story, list(paused(story.points_after(scenario.alike)))[part::2], name)


def _hidden(ending: Ending, story: Told, trial: Trial) -> bool:
    """A quorum read that lies hid somebody's edit of the Service: pods left that it does not reach, and no others.

    The real API server does not answer a quorum read so.
    """
    lie = isinstance(trial.fault, Stale) and story.ending.releases == {"first": ("NeedsHuman", "RollbackBlocked")}
    return lie and ending.releases == story.ending.releases and ending.slots[APP] == story.ending.slots[APP]
