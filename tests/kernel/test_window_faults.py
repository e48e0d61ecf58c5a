"""Windows under faults: at every request a fault, a controller that is away, and clocks that are set."""

from __future__ import annotations

import pytest

from tests.kernel.faults import tried
from tests.kernel.night import told
from tests.kernel.scenarios import Scenario
from tests.kernel.strikes import LONGEST, every_single_fault
from tests.kernel.window_scenarios import WINDOWS

USUAL = ("waits for its window", "closes in mid-release", "parks and goes on")


@pytest.mark.parametrize("scenario", tried(WINDOWS, *USUAL), ids=lambda each: each.name)
def test_y20_k1_k2_k5_k6_k10_k12_every_fault_at_every_request(scenario: Scenario) -> None:
    story = told(scenario.night(), LONGEST)
    every_single_fault(scenario, story)
