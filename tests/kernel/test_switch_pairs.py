"""blueGreen and recreate: a crash paired with what a person or the clock does, at every tick of a healthy release."""

from __future__ import annotations

from functools import cache

import pytest

from tests.kernel.events import EVENTS, Event
from tests.kernel.night import Told, told
from tests.kernel.strikes import LONGEST, crash_and_event
from tests.kernel.switch_scenarios import SWITCHED


@cache
def story(name: str) -> Told:
    return told(SWITCHED[name].night(), LONGEST)


@pytest.mark.parametrize("name", ["blueGreen healthy", "recreate healthy"])
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_a_crash_and_an_event_at_every_tick(event: Event, name: str) -> None:
    crash_and_event(story(name), event, name)
