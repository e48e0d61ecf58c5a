"""The watch after 100 %: every single fault at every request from the success on, and a paused writer.

Whatever strikes, a regression that begins then ends with one linked release and no more, and the version before it
serves again; where nothing is found, nothing follows.
"""

from __future__ import annotations

import pytest

from tests.kernel.faults import every_fault, paused, single_faults, tried
from tests.kernel.night import Night, told, with_faults
from tests.kernel.scenarios import APP, Scenario, phase
from tests.kernel.strikes import LONGEST, paused_writer
from tests.kernel.watch_scenarios import WATCHED


def wrong(night: Night, scenario: Scenario) -> str:
    """What a night has left undone, or done twice."""
    world = night.world
    ends = {name: phase(world, name) for kind, _, name in world.objects.items if kind == "Release"}
    if ends != scenario.ends:
        return f"ended {ends}"
    running = {pod.version for pod in world.pods.values() if pod.serving and pod.state.labels.get("app") == APP}
    serves = "v1" if len(ends) > 1 else "v2"
    return f"{running} serve" if running != {serves} else ""


@pytest.mark.parametrize("scenario", WATCHED.values(), ids=lambda each: each.name)
def test_a_story_without_faults_ends_as_it_must(scenario: Scenario) -> None:
    night = scenario.night()
    night.run(LONGEST)
    assert wrong(night, scenario) == ""
    night.stay_idle()


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
        if ending != story.ending and (how := wrong(night, scenario)):
            violations.append(f"{trial}: {how}")
    print(f"{scenario.name}: {len(points)} requests, {covered} faults in {runs} runs, {len(violations)} violations")
    assert not violations, "\n".join(violations[:10])


def test_k14_k15_a_paused_writer_at_every_request_of_the_watch() -> None:
    scenario = WATCHED["watch"]
    story = told(scenario.night(), LONGEST)
    paused_writer(story, list(paused(story.points_after(scenario.alike))), scenario.name)
