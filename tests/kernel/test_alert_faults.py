"""Alerts under faults: at every request a fault, between any two requests the alert itself, at every tick a crash."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from controller import drive, listening
from controller.attempt import parsed
from controller.firing import Level
from controller.release.instants import rfc3339
from controller.requests.outside import ReadFiring
from controller.simulation import alerting
from controller.simulation.driver import Fault, Point
from controller.simulation.world import World
from tests.kernel.alert_scenarios import ALERT, ALERTED, an_alerted, ended, fires, flashes, posted
from tests.kernel.events import Event
from tests.kernel.faults import tried
from tests.kernel.laws import Broken
from tests.kernel.night import Night, begin, told
from tests.kernel.scenarios import Scenario, ask, in_batch, phase, whenever
from tests.kernel.strikes import LONGEST, crash_and_event, every_single_fault

USUAL = ("an alert fires", "an alert flashes", "it fires already and is ignored")


@pytest.mark.parametrize("scenario", tried(ALERTED, *USUAL), ids=lambda each: each.name)
def test_k1_k2_k5_k6_k10_k12_every_fault_at_every_request(scenario: Scenario) -> None:
    story = told(scenario.night(), LONGEST)
    every_single_fault(scenario, story)


@dataclass(slots=True)
class _Fires:
    """The alert begins to fire right before a request, in the middle of a tick."""

    night: Night | None = None
    number: int = 0
    seen: int = field(default=-1)
    reads_later: int = 0

    def __call__(self, point: Point) -> Fault | None:
        if self.night is None:
            return None
        if point.index == self.number:
            self.seen = point.tick
            if not ended(self.night.world):
                fires(self.night.world)
        elif self.seen == point.tick and isinstance(point.request, ReadFiring):
            self.reads_later += 1
        return None


def test_a16_the_alert_wins_wherever_in_a_tick_it_begins() -> None:
    """Exhaustive: between any two requests. What fires before the tick's last look at it is not advanced against."""
    story = told(ALERTED["nothing fires"].night(), LONGEST)
    wrong: list[str] = []
    ends: dict[str, int] = {}
    for point in story.points:
        meddle = _Fires(number=point.index)
        night = story.before(point.index).fork(meddle)
        meddle.night = night
        before = phase(night.world)
        try:
            night.run(2 * LONGEST)
        except AssertionError as broken:
            wrong.append(f"at request {point.index} ({point.request}): {broken}")
            continue
        end = phase(night.world)
        ends[end] = ends.get(end, 0) + 1
        # Before its start a release is refused; at its very last write nobody looks any more.
        expected = {"Cancelled", "RolledBack"} if before in ("", "Queued", "Preflight") else {"RolledBack"}
        if end not in expected and not (end == "Succeeded" and not meddle.reads_later):
            wrong.append(f"at request {point.index} ({point.request}) in {before}: ended {end}")
    print(f"an alert before any of {len(story.points)} requests: ended {ends}, {len(wrong)} violations")
    assert not wrong, "\n".join(wrong[:10])


_TURNED = frozenset({"RolledBack", "Cancelled", "Succeeded"})
EVENTS = (
    Event("an alert fires", lambda night: fires(night.world), _TURNED),
    Event("a post comes", lambda night: posted(night.world), _TURNED),
    Event("an alert flashes", lambda night: flashes(night.world), _TURNED),
)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_a19_a_crash_and_an_alert_at_every_tick(event: Event) -> None:
    """An alert that stands in the inbox outlives the controller: whoever comes next turns back."""
    crash_and_event(told(ALERTED["nothing fires"].night(), LONGEST), event, "nothing fires", EVENTS)


def test_a19_what_was_told_before_the_end_is_never_lost() -> None:
    """A confirmed post that is in the cluster before the last stage ends has turned the release back, crash or not."""
    story = told(ALERTED["nothing fires"].night(), LONGEST)
    for _, before in story.forks.items():
        if phase(before.world) not in ("Canary", "Batch"):
            continue
        night = before.fork()
        flashes(night.world)
        night.last_write = night.world.now
        night.run(2 * LONGEST)
        assert phase(night.world) == "RolledBack"


def test_the_law_notices_a_controller_that_looks_once_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def first_only(first: Level, _: Level) -> Level:
        return first

    monkeypatch.setattr(drive, "both", first_only)
    story = told(ALERTED["nothing fires"].night(), LONGEST)
    broken = []
    for point in (each for each in story.points if isinstance(each.request, ReadFiring)):
        meddle = _Fires(number=point.index)
        meddle.night = story.before(point.index).fork(meddle)
        try:
            meddle.night.run(2 * LONGEST)
        except Broken as error:
            broken.append(error.law)
    assert set(broken) == {"L2 the alert wins"}


def test_the_law_notices_a_controller_that_is_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "concerned", lambda *_: ())
    monkeypatch.setattr(drive, "concerned", lambda *_: ())
    with pytest.raises(Broken, match=r"L2 the alert wins: .* nobody asked what fires"):
        ALERTED["nothing fires"].night().run(LONGEST)


def test_a17_the_decision_names_the_stage_the_gates_and_the_releases_beside_it() -> None:
    """Who could be to blame: what is released beside it now or was a while ago; not what has moved nothing."""
    night = ALERTED["an alert fires"].night()
    world = night.world
    for name, policy, phase_, ago in (
        ("pay-7", "payments", "Batch", 120.0),
        ("find-3", "search", "Succeeded", 3600.0),
        ("mail-1", "mail", "Succeeded", 48 * 3600.0),
        ("cart-2", "cart", "Cancelled", 60.0),
    ):
        manifest = {
            "kind": "Release",
            "metadata": {"name": name},
            "spec": {"policy": policy, "images": {"app": "x:v1"}},
        }
        world.create(manifest)
        since = rfc3339(world.now - ago)
        told = {"phase": phase_, "since": since, "app": policy, "batchText": "1/4"}
        world.edit("Release", name, {"status": told}, status=True)
    night.over = lambda there: phase(there) == "RolledBack"
    while phase(world) != "RolledBack":
        night.advance()
    because = next(each.because for each in parsed(_first(night)).record.decisions if each.kind == "RollBack")
    assert because.startswith(f"alert {ALERT} (service=checkout, severity=page) fires since ")
    assert "charged to batch 1 of 1 of first, begun " in because
    assert "gates: errors " in because
    assert (
        "released beside it: payments/pay-7 (Batch 1/4 for " in because
        and "search/find-3 (Succeeded for 61m" in because
    )
    assert "mail" not in because and "cart" not in because


def _first(night: Night) -> Mapping[str, Any]:
    return night.world.objects.items["Release", "shop", "first"]


def _fires_silenced(world: World) -> None:
    fires(world)
    alerting.mute(world, ALERT)


@pytest.mark.parametrize(
    ("spec", "act", "word", "end"),
    [
        ({}, _fires_silenced, "silenced", "Succeeded"),
        ({"mode": "observe"}, fires, "mode observe", "Succeeded"),
    ],
)
def test_a14_an_alert_that_changes_nothing_stands_in_the_decision_log_once(
    spec: dict[str, Any], act: Callable[[World], object], word: str, end: str
) -> None:
    world = an_alerted(**spec)
    ask(world)
    whenever(world, lambda there: in_batch(there, 1) and not there.alerts, act)
    night = begin(world, lambda there: bool(phase(there)))
    night.run(LONGEST)
    assert phase(world) == end
    (entry,) = [each for each in parsed(_first(night)).record.decisions if each.kind == "Alert"]
    assert word in entry.because


def test_a16_an_alert_on_the_way_back_is_evidence_and_changes_nothing() -> None:
    night = ALERTED["nothing fires"].night()
    night.run(LONGEST, lambda at: in_batch(at.world, 1))
    night.world.edit("Release", "first", {"spec": {"abort": {"reason": "enough"}}})
    night.run(LONGEST, lambda at: phase(at.world) == "RollingBack")
    posted(night.world)
    night.run(LONGEST)
    record = parsed(_first(night)).record
    assert (record.phase, record.cause) == ("RolledBack", "Aborted")
    assert [each.part for each in record.alerts] == ["late"]
