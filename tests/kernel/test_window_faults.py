"""Windows under faults: at every request a fault, a controller that is away, and clocks that are set."""

from __future__ import annotations

import pytest

from tests.kernel.faults import single_faults, tried
from tests.kernel.night import told, with_faults
from tests.kernel.scenarios import Scenario
from tests.kernel.test_single_faults import LONGEST, allowed
from tests.kernel.window_scenarios import WINDOWS

USUAL = ("waits for its window", "closes in mid-release", "parks and goes on")


@pytest.mark.parametrize("scenario", WINDOWS.values(), ids=lambda each: each.name)
def test_a_story_without_faults_ends_as_it_must(scenario: Scenario) -> None:
    night = scenario.night()
    night.run(LONGEST)
    assert night.ending().phases == scenario.ends
    night.stay_idle()


@pytest.mark.parametrize("scenario", tried(WINDOWS, *USUAL), ids=lambda each: each.name)
def test_y20_k1_k2_k5_k6_k10_k12_every_fault_at_every_request(scenario: Scenario) -> None:
    story = told(scenario.night(), LONGEST)
    points = story.points_after(scenario.alike)
    wrong: list[str] = []
    runs = covered = 0
    for trial in single_faults(points):
        runs += 1
        covered += trial.stands_for
        try:
            night, ending = with_faults(story, {trial.index: trial.fault}, LONGEST)
        except AssertionError as broken:
            wrong.append(f"{trial}: {broken}")
            continue
        if not night.struck:
            wrong.append(f"{trial}: never struck")
        elif not allowed(ending, story, trial):
            wrong.append(f"{trial}: ended {ending}")
    print(f"{scenario.name}: {len(points)} requests, {covered} faults in {runs} runs, {len(wrong)} violations")
    assert not wrong, "\n".join(wrong[:10])
