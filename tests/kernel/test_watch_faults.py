"""The watch after 100 %: every single fault at every request from the success on, and a paused writer.

Whatever strikes, a regression that begins then ends with one linked release and no more, and the version before it
serves again; where nothing is found, nothing follows.
"""

from __future__ import annotations

import pytest

from tests.kernel.faults import every_fault, paused, single_faults, tried
from tests.kernel.night import told, with_faults
from tests.kernel.scenarios import Scenario
from tests.kernel.strikes import LONGEST, paused_writer
from tests.kernel.watch_scenarios import WATCHED, wrong_in


@pytest.mark.parametrize("scenario", tried(WATCHED, "watch"), ids=lambda each: each.name)
def test_a6_k12_every_fault_at_every_request_of_the_watch(scenario: Scenario) -> None:
    story = told(scenario.night(), LONGEST)
    points = story.points_after(scenario.alike)
    covered = runs = 0
    violations: list[str] = []
    for trial in every_fault(points) if scenario.name == "watch" else single_faults(points):
        runs += 1
        covered += trial.stands_for
        try:
            night, ending = with_faults(story, {trial.index: trial.fault}, LONGEST)
        except AssertionError as broken:
            violations.append(f"{trial}: {broken}")
            continue
        if not night.struck:
            violations.append(f"{trial}: never struck")
        # A night that came to a state whose ending is known is not run on.
        if ending != story.ending and (how := wrong_in(scenario, night)):
            violations.append(f"{trial}: {how}")
    print(f"{scenario.name}: {len(points)} requests, {covered} faults in {runs} runs, {len(violations)} violations")
    assert not violations, "\n".join(violations[:10])


def test_k14_k15_a_paused_writer_at_every_request_of_the_watch() -> None:
    scenario = WATCHED["watch"]
    story = told(scenario.night(), LONGEST)
    paused_writer(story, list(paused(story.points_after(scenario.alike))), scenario.name)
