"""rolling: a crash paired with what a person or the clock does, at every tick of a healthy release."""

from __future__ import annotations

from functools import cache

import pytest

from tests.kernel.events import EVENTS, Event
from tests.kernel.hold_scenarios import HELD
from tests.kernel.night import Told, told
from tests.kernel.strikes import LONGEST, crash_and_event


@cache
def story() -> Told:
    return told(HELD["rolling healthy"].night(), LONGEST)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_a_crash_and_an_event_at_every_tick(event: Event) -> None:
    crash_and_event(story(), event, "rolling healthy")
