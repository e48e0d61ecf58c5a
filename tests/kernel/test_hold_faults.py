"""rolling: every single fault at every request of every story, and a paused writer at every request."""

from __future__ import annotations

import pytest

from tests.kernel.faults import EXHAUSTIVE, Trial, paused, tried
from tests.kernel.hold_scenarios import HELD, KEPT
from tests.kernel.night import Ending, Night, told
from tests.kernel.scenarios import Scenario
from tests.kernel.strikes import LONGEST, allowed, every_single_fault, paused_writer

USUAL = ("rolling healthy", "rolling abort in mid-batch", "rolling D raised", "rolling third template")
FROZEN = ("rolling healthy", "rolling abort in mid-batch", "rolling down and up in a hold")


@pytest.mark.parametrize("scenario", tried(HELD, *USUAL), ids=lambda each: each.name)
def test_k1_k2_k5_k6_k10_k12_every_fault_at_every_request(scenario: Scenario) -> None:
    story = told(scenario.night(), LONGEST)

    def wrong_with(trial: Trial, _: Night, ending: Ending) -> str:
        well = allowed(ending, story, trial) or _kept_all_the_same(ending, story.ending)
        return "" if well else f"ended {ending}"

    every_single_fault(scenario, story, wrong_with)


def _kept_all_the_same(ending: Ending, wanted: Ending) -> bool:
    """Where a third template is a release of its own, that one may be what turns this one back, if it is seen first."""
    causes = {ending.releases["first"][1], wanted.releases["first"][1]}
    return (
        KEPT in ending.releases
        and ending.phases == wanted.phases
        and ending.slots == wanted.slots
        and causes <= {"ContenderChanged", "Superseded"}
    )


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("name", FROZEN if EXHAUSTIVE else FROZEN[:1])
def test_k14_k15_a_paused_writer_at_every_request(name: str, part: int) -> None:
    """Every fourth request in each part, so that workers share the longest stories."""
    scenario = HELD[name]
    story = told(scenario.night(), LONGEST)
    paused_writer(story, list(paused(story.points_after(scenario.alike)))[part::4], name)
