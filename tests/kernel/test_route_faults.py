"""twin behind each router: every single fault at every request of every story, and a paused writer at every request.

Beside the laws: no request is lost, whatever strikes, and at the end every route is as people had it.
"""

from __future__ import annotations

import pytest

from controller.requests import Read
from tests.kernel.faults import EXHAUSTIVE, PAST, Trial, paused, tried
from tests.kernel.night import Ending, Night, told, with_faults
from tests.kernel.route_scenarios import ROUTED, wrong_in
from tests.kernel.scenarios import Scenario, phase
from tests.kernel.strikes import LONGEST, allowed, every_single_fault

USUAL = ("ingressNginx healthy", "gatewayAPI regression", "istio abort at 100", "gatewayAPI astray")
_READS = 120  # of the first four ticks of a release, in which it borrows
FROZEN = ("gatewayAPI regression", "ingressNginx healthy", "istio abort at 100")


@pytest.mark.parametrize("scenario", tried(ROUTED, *USUAL), ids=lambda each: each.name)
def test_k1_k2_k5_k6_k10_k12_every_fault_at_every_request(scenario: Scenario) -> None:
    story = told(scenario.night(), LONGEST)

    def wrong(trial: Trial, night: Night, ending: Ending) -> str:
        return wrong_in(scenario, night) if allowed(ending, story, trial) else f"ended {ending}"

    every_single_fault(scenario, story, wrong)


@pytest.mark.parametrize("name", FROZEN if EXHAUSTIVE else FROZEN[:1])
def test_k14_k15_a_paused_writer_at_every_request(name: str) -> None:
    scenario = ROUTED[name]
    story = told(scenario.night(), LONGEST)
    wrong: list[str] = []
    nights = 0
    for point, freeze in paused(story.points_after(scenario.alike)):
        nights += 1
        what = f"frozen for {freeze.seconds:.0f} s at request {point.index}"
        try:
            night, ending = with_faults(story, {point.index: freeze}, LONGEST)
        except AssertionError as broken:
            wrong.append(f"{what}: {broken}")
            continue
        problem = wrong_in(scenario, night)
        if ending != story.ending or problem:
            wrong.append(f"{what}: {_differs(ending, story.ending)} {problem}")
    print(f"paused writer in {name}: {nights} nights, {len(wrong)} violations")
    assert not wrong, "\n".join(wrong[:10])


def test_k10_what_is_borrowed_is_not_taken_from_one_stale_look() -> None:
    """A way back that begins seconds after a success: the route of 20 s ago is still split, and is nobody's own.

    Each read of its first ticks is answered with the past of 20 s ago and with that of two changes ago, by turns.
    """
    scenario = ROUTED["gatewayAPI back after success"]
    story = told(scenario.night(), LONGEST)
    began = next(fork for fork in story.forks.values() if phase(fork.world, "back") == "Preflight")
    points = [each for each in story.points if each.index >= began.driver.requests and isinstance(each.request, Read)]
    wrong: list[str] = []
    for number, point in enumerate(points[:_READS]):
        for fault in PAST if EXHAUSTIVE else PAST[number % 2 :][:1]:
            trial = Trial(point.index, fault)
            night, ending = with_faults(story, {trial.index: trial.fault}, LONGEST)
            problem = wrong_in(scenario, night)
            if problem or not allowed(ending, story, trial):
                wrong.append(f"{trial}: {problem or ending}")
    assert len(points) > _READS
    assert not wrong, "\n".join(wrong[:10])


def _differs(ending: Ending, wanted: Ending) -> str:
    return "" if ending == wanted else f"ended {ending}"
