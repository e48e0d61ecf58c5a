"""Two things at once: a crash and what a person or the clock does, at every tick; a paused writer at every request.

A paused writer is a controller that stops before a request, as a frozen process does, while a second one takes over
and works; then the first wakes and goes on with what it had seen. Pods cannot be guarded against that by anything, so
S1 is measured against the pods that a writer was last served.
"""

from __future__ import annotations

import pytest

from controller.requests.writes import Write
from controller.simulation.driver import Freeze, at
from tests.kernel.events import EVENTS, Event
from tests.kernel.faults import paused, told_apart
from tests.kernel.scenarios import SCENARIOS
from tests.kernel.strikes import LONGEST, crash_and_event, paused_writer
from tests.kernel.test_single_faults import story_of


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_a_crash_and_an_event_at_every_tick(event: Event) -> None:
    crash_and_event(story_of(SCENARIOS["healthy"]), event, "healthy")


@pytest.mark.parametrize("name", ["healthy", "abort in mid-batch", "errors in batch 2", "HPA", "HPA and abort"])
def test_k14_k15_a_paused_writer_at_every_request(name: str) -> None:
    scenario = SCENARIOS[name]
    story = story_of(scenario)
    paused_writer(story, paused(story.points_after(scenario.alike)), name)


@pytest.mark.parametrize("event", [each for each in EVENTS if "clock" not in each.name], ids=lambda event: event.name)
def test_k14_k15_a_paused_writer_wakes_after_somebody_changed_the_plan(event: Event) -> None:
    story = story_of(SCENARIOS["healthy"])
    wrong: list[str] = []
    nights = 0
    for point in (each for each in told_apart(story.points) if isinstance(each.request, Write)):
        nights += 1
        night = story.before(point.index).fork(at(point.index, Freeze(60.0, "b")))
        try:
            night.advance()
            event.happen(night)
            night.run(2 * LONGEST)
            ending = night.ending()
            night.stay_idle()
        except AssertionError as broken:
            wrong.append(f"frozen at request {point.index}: {broken}")
            continue
        if not set(ending.phases.values()) <= event.ends:
            wrong.append(f"frozen at request {point.index}: {ending}")
    print(f"paused writer x {event.name}: {nights} nights, {len(wrong)} violations")
    assert not wrong, "\n".join(wrong[:10])
