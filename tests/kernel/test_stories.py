"""Every story without faults ends as it must, leaves nothing behind, and asks and writes nothing from then on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.kernel import outside_scenarios, route_scenarios, watch_scenarios
from tests.kernel.alert_scenarios import ALERTED
from tests.kernel.hold_scenarios import HELD
from tests.kernel.night import Night
from tests.kernel.outside_scenarios import OUTSIDE
from tests.kernel.route_scenarios import ROUTED
from tests.kernel.scenarios import SCENARIOS, Scenario
from tests.kernel.strikes import LONGEST
from tests.kernel.switch_scenarios import SWITCHED
from tests.kernel.watch_scenarios import WATCHED
from tests.kernel.window_scenarios import WINDOWS

Judge = Callable[[Scenario, Night], str]  # what else is wrong with how a night has ended, or ""
PLAIN = (*SCENARIOS.values(), *HELD.values(), *SWITCHED.values(), *ALERTED.values(), *WINDOWS.values())
JUDGED = (
    *((each, route_scenarios.wrong_in) for each in ROUTED.values()),
    *((each, outside_scenarios.wrong_in) for each in OUTSIDE.values()),
    *((each, watch_scenarios.wrong_in) for each in WATCHED.values()),
)


def ended(scenario: Scenario) -> Night:
    """The night of a story, once it has ended as it must."""
    night = scenario.night()
    night.run(LONGEST)
    assert night.ending().phases == scenario.ends
    return night


@pytest.mark.parametrize("scenario", PLAIN, ids=lambda each: each.name)
def test_a_story_without_faults_ends_as_it_must(scenario: Scenario) -> None:
    ended(scenario).stay_idle()


@pytest.mark.parametrize(("scenario", "wrong_in"), JUDGED, ids=lambda each: getattr(each, "name", ""))
def test_a_story_without_faults_leaves_nothing_behind(scenario: Scenario, wrong_in: Judge) -> None:
    night = ended(scenario)
    assert wrong_in(scenario, night) == ""
    night.stay_idle()
