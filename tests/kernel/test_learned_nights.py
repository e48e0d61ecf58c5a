"""Nights of a release that relies on a baseline: faults at the questions about it, and crashes after its records.

A fault of the baseline's reader or of the store may take knowledge away. It never moves a pod, ends nothing that the
faultless night does not end, and the laws hold after every write.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import pytest

from analysis.band_terms import Unit
from analysis.learned import Calibration, Guarantee, LearnedCounts, Noise, Scale, Standing, Variation
from controller.baseline import learning_digest
from controller.release.vocabulary import HoldReason
from controller.requests.fetches import FetchTotals
from controller.requests.looks import ReadBaseline
from controller.requests.writes import WriteRecord
from controller.settings import Settings
from controller.simulation.driver import Crash, Refuse
from controller.simulation.world import World
from policies.load import from_object
from tests.kernel.faults import ERROR, Trial, every_fault
from tests.kernel.night import Night, Told, begin, told, with_faults
from tests.kernel.scenarios import a_world, ask, phase, status
from tests.simulation import past

LONGEST = 90.0
ERRORS = LearnedCounts(
    Noise(Variation((math.inf, 1.5), (0.0225, 0.1)), 0.03),
    0.005,
    Calibration(Scale(0.0, 1.0), Scale(0.0, 1.0), 4.9, 1.4, 3.0),
    Standing(Guarantee.CALIBRATED, 0.01, 84, 504, (0.0, 0.043)),
)


def a_learned_world(*, errors: float = 0.005, kept: bool = True) -> World:
    """Four pods, a baseline of noise and band, and a release for which the last hour was checked."""
    world = a_world()
    world.behave("v1", errors=0.005)
    world.behave("v2", errors=errors)
    policy = from_object(world.objects.items["ReleasePolicy", "shop", "checkout"])
    band = past.a_band(world, "errors", 0.005, Unit.SHARE)
    baseline = past.an_empty_baseline(policy, world.now, {"errors": band})
    ask(world)
    uid = str(world.objects.items["Release", "shop", "first"]["metadata"]["uid"])
    assert baseline.digest == learning_digest(policy, 30.0)
    if kept:
        past.keep(world, replace(baseline, gates={"errors": ERRORS}), present=uid)
    return world


def a_night(world: World) -> Night:
    return begin(world, lambda there: bool(phase(there, "first")), settings=Settings(learns=True))


@cache
def story(errors: float) -> Told:
    return told(a_night(a_learned_world(errors=errors)), LONGEST)


def trials(of: Told) -> list[Trial]:
    """The faults of questions about what was learned, and crashes after writes of the record."""
    kinds = {point.index: point.request for point in of.points}
    found = []
    for trial in every_fault(of.points):
        request = kinds[trial.index]
        asks = isinstance(request, ReadBaseline | FetchTotals)
        dies = isinstance(request, WriteRecord) and isinstance(trial.fault, Crash)
        if asks or dies:
            found.append(trial)
    return found[::3]


@pytest.mark.parametrize(("errors", "end"), [(0.005, "Succeeded"), (0.10, "RolledBack")], ids=["healthy", "worse"])
def test_faults_at_questions_about_what_was_learned_and_at_writes_of_the_record(errors: float, end: str) -> None:
    one = story(errors)
    assert one.ending.phases == {"first": end}
    asked = [point for point in one.points if isinstance(point.request, ReadBaseline | FetchTotals)]
    # A contender that is worse turns back at once, and asks nothing of history.
    assert {type(point.request) for point in asked} == ({ReadBaseline, FetchTotals} if errors < 0.1 else {ReadBaseline})
    wrong = []
    for trial in trials(one):
        try:
            night, ending = with_faults(one, {trial.index: trial.fault}, LONGEST)
        except AssertionError as broken:
            wrong.append(f"{trial}: {broken}")
            continue
        if not night.struck or ending != one.ending:
            wrong.append(f"{trial}: struck {night.struck}, ended {ending}")
    assert len(trials(one)) > (50 if errors < 0.1 else 10)
    assert not wrong, "\n".join(wrong[:10])


def test_a_store_that_never_tells_the_past_costs_the_band_and_nothing_else() -> None:
    night = a_night(a_learned_world())
    night.faults = lambda point: Refuse(ERROR) if isinstance(point.request, FetchTotals) else None
    night.run(LONGEST)
    assert night.ending().phases == {"first": "Succeeded"}
    record = status(night.world)["record"]
    assert not record["forecasts"] and record["baseline"]["gates"] == ["errors 0.5pp"]


def test_without_a_learner_the_wait_ends_and_the_release_does_what_it_did_before() -> None:
    night = a_night(a_learned_world(kept=False))
    night.run(LONGEST)
    assert night.ending().phases == {"first": "Succeeded"}
    holds = [entry["kind"] for entry in status(night.world)["decisions"] if entry["kind"].startswith("Hold")]
    assert holds == [f"Hold{HoldReason.LEARNING.value}"]
    assert not any(isinstance(entry.request, FetchTotals) for entry in night.world.trace)
