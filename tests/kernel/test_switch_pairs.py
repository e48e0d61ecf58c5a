"""blueGreen and recreate: a crash paired with what a person or the clock does, at every tick of a healthy release."""

from __future__ import annotations

import pytest

from tests.kernel.events import EVENTS, Event
from tests.kernel.night import told
from tests.kernel.strikes import LONGEST, crash_and_event
from tests.kernel.switch_scenarios import SWITCHED


@pytest.mark.parametrize("name", ["blueGreen healthy", "recreate healthy"])
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_a_crash_and_an_event_at_every_tick(event: Event, name: str) -> None:
    crash_and_event(told(SWITCHED[name].night(), LONGEST), event, name)
