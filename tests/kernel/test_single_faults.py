"""Every single fault at every request of every story: the laws hold after every write, and the night ends as it must.

Crash before and after, 500, 409, a lost answer and a stale read, one at a time. Where a fault strikes before a story
has become its own, the same fault at the same request of the story that it begins like stands for it.
"""

from __future__ import annotations

from functools import cache

import pytest

from tests.kernel.night import Told, told
from tests.kernel.scenarios import SCENARIOS, Scenario
from tests.kernel.strikes import LONGEST, every_single_fault


def story_of(scenario: Scenario) -> Told:
    """The story without faults, told once for all that fork it."""
    return _story(scenario.name)


@cache
def _story(name: str) -> Told:
    return told(SCENARIOS[name].night(), LONGEST)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda each: each.name)
def test_k1_k2_k5_k6_k10_k12_every_fault_at_every_request(scenario: Scenario) -> None:
    story = story_of(scenario)
    every_single_fault(scenario, story)
