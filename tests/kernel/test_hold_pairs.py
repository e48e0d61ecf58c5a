"""rolling: a crash paired with what a person or the clock does, at every tick of a healthy release."""

from __future__ import annotations

import pytest

from tests.kernel.events import EVENTS, Event, rotating_crash
from tests.kernel.faults import beginnings
from tests.kernel.hold_scenarios import HELD
from tests.kernel.night import told
from tests.kernel.test_single_faults import LONGEST


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_a_crash_and_an_event_at_every_tick(event: Event) -> None:
    story = told(HELD["rolling healthy"].night(), LONGEST)
    ends: dict[str, int] = {}
    wrong: list[str] = []
    chosen = beginnings(story.points)
    for tick, (first, before) in enumerate(story.forks.items()):
        for crashes in (False, True) if first in chosen else ():
            night = before.fork(rotating_crash(tick)) if crashes else before.fork()
            try:
                event.happen(night)
                night.run(2 * LONGEST)
                ending = night.ending()
                night.stay_idle()
            except AssertionError as broken:
                wrong.append(f"{event.name} at request {first}, crash {crashes}: {broken}")
                continue
            phase = ending.phases["first"]
            ends[phase] = ends.get(phase, 0) + 1
            if phase not in event.ends or not set(ending.phases.values()) <= event.ends:
                wrong.append(f"{event.name} at request {first}, crash {crashes}: {ending}")
    print(f"rolling, crash x {event.name}: {2 * len(chosen)} nights, ended {ends}, {len(wrong)} violations")
    assert not wrong, "\n".join(wrong[:10])
