"""The watch after 100 %: who is watched, what brings the old version back, what only tells, and when it is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from analysis.verdict import Verdict
from controller.asking import Told
from controller.firing import Level
from controller.history import HOUR, Serving, share_in_watch, share_of
from controller.notices import event_of
from controller.release.observation import Firing, PodState
from controller.release.record import GateVerdict, Record, Watching
from controller.release.vocabulary import ENDS, Cause, Phase
from controller.simulation.world import World
from controller.watch import Danger, judged, opened
from controller.watch_looks import hour_of
from policies.load import from_object
from policies.pin import to_object
from policies.schema import ReleasePolicySpec
from tests.controller.builders import NOW, a_policy, a_record, an_observation
from tests.kernel.alert_scenarios import ALERT, an_alerted, inbox, posted
from tests.kernel.memory import claim_of, replicas
from tests.kernel.night import begin
from tests.kernel.scenarios import APP, ask, phase, status
from tests.kernel.tales import slot_writes, until
from tests.kernel.watch_scenarios import STAGES, a_watched, back, succeeded


def a_policy_with(**spec: Any) -> ReleasePolicySpec:
    plain = to_object(a_policy())
    return from_object({**plain, "spec": {**plain["spec"], "watch": {"for": "1h"}, **spec}}).spec


def a_success(**changes: Any) -> Record:
    return replace(a_record(), phase=Phase.SUCCEEDED, started=NOW - 900.0, **changes)


def verdict(said: Verdict, *, observed: float = 60.0, required: bool = True) -> GateVerdict:
    return GateVerdict("errors", said, "errors 6 %", required=required, observed=observed)


def firing(then: Any = "rollBack", since: float = NOW - 10.0) -> Level:
    return Level((Firing("f1", "HighErrors", {"service": APP}, since, then),))


# --------------------------------------------------------------------------------------------- who is watched


def test_a_success_is_watched_for_as_long_as_its_policy_says() -> None:
    record = opened(a_success(), a_policy_with(), NOW)
    assert record.watch == Watching(NOW, NOW + 3600.0) and record.watched
    assert record.decisions[-1].kind == "Watch"
    assert opened(record, a_policy_with(), NOW + 5.0) is record


@pytest.mark.parametrize(
    ("changes", "spec"),
    [
        ({}, {"watch": None}),
        ({}, {"mode": "observe"}),
        ({"skip_gates": "an emergency"}, {}),
        ({"origin": "rollback"}, {}),
        ({"origin": "home"}, {}),
        ({"phase": Phase.ROLLED_BACK}, {}),
    ],
)
def test_others_are_not(changes: dict[str, Any], spec: dict[str, Any]) -> None:
    record = replace(a_success(), **changes)
    plain = {key: value for key, value in spec.items() if value is not None}
    policy = a_policy().spec if "watch" in spec else a_policy_with(**plain)
    assert opened(record, policy, NOW) is record


# ------------------------------------------------------------------------------------------------- what is seen


UNASKED, QUIET = Told(), Level()


def looked(
    policy: ReleasePolicySpec,
    gates: Told = UNASKED,
    level: Level = QUIET,
    record: Record | None = None,
    contenders: tuple[PodState, ...] = (),
) -> tuple[Record, Danger | None]:
    seen = replace(an_observation(), contenders=contenders)
    before = record if record is not None else a_success(watch=Watching(NOW - 600.0, NOW + 3000.0))
    return judged(before, seen, gates, level, policy, NOW - 500.0)


def test_a_required_gate_that_is_worse_brings_the_old_version_back_and_a_watched_one_does_not() -> None:
    _, danger = looked(a_policy_with(), Told((verdict(Verdict.DEGRADED),)))
    assert danger is not None and danger.cause is Cause.GATE and "errors 6 %" in danger.because
    _, danger = looked(a_policy_with(), Told((verdict(Verdict.DEGRADED, required=False),)))
    assert danger is None


def test_where_the_policy_pauses_for_a_gate_people_are_told_once() -> None:
    policy, worse = a_policy_with(onDegraded="pause"), Told((verdict(Verdict.DEGRADED),))
    record, danger = looked(policy, worse)
    assert danger is None and record.decisions[-1].kind == "WatchDegraded"
    again, danger = looked(policy, worse, record=record)
    assert danger is None and len(again.decisions) == len(record.decisions)
    assert event_of(record.decisions[-1], a_success(), record) == "paused"


def test_an_alert_counts_where_it_says_roll_back_and_began_with_the_release() -> None:
    policy = a_policy_with(alerts=[{"match": {"service": APP}, "then": "rollBack"}])
    record, danger = looked(policy, level=firing())
    assert danger is not None and danger.cause is Cause.ALERT and "HighErrors" in danger.because
    assert record.alerts[-1].part == "charged"
    _, danger = looked(policy, level=firing(since=NOW - 3600.0))
    assert danger is None
    record, danger = looked(policy, level=firing("pause"))
    assert danger is None and "nothing is left to pause" in record.decisions[-1].because


def test_pods_that_crash_bring_it_back() -> None:
    pods = (PodState("checkout-twin-1-aaaaa", "checkout-twin-1", ready=True, restarts=3),)
    _, danger = looked(a_policy_with(), contenders=pods)
    assert danger is not None and danger.cause is Cause.CRASH_LOOP


@pytest.mark.parametrize("said", [verdict(Verdict.BLIND), verdict(Verdict.UNDECIDED, observed=0.0)])
def test_blindness_is_told_after_its_patience_and_moves_something_only_where_the_policy_says_so(
    said: GateVerdict,
) -> None:
    tells, turns = a_policy_with(), a_policy_with(watch={"for": "1h", "onBlind": "rollBack"})
    record, danger = looked(tells, Told((said,)))
    assert danger is None and record.watch is not None and record.watch.blind_since == NOW
    for policy in (tells, turns):
        waited = replace(record, watch=replace(record.watch, blind_since=NOW - policy.on_blind.hold.seconds))
        after, danger = looked(policy, Told((said,)), record=waited)
        if policy is turns:
            assert danger is not None and danger.cause is Cause.BLIND
        else:
            assert danger is None and after.decisions[-1].kind == "WatchBlind"
            once, _ = looked(policy, Told((said,)), record=after)
            assert len(once.decisions) == len(after.decisions)
            sees, _ = looked(policy, Told((verdict(Verdict.HEALTHY),)), record=after)
            assert sees.watch is not None and sees.watch.blind_since is None


def test_a_gate_that_sees_nothing_is_named_once() -> None:
    record, _ = looked(a_policy_with(), Told((verdict(Verdict.UNDECIDED),), lacking=("errors",)))
    assert record.decisions[-1].kind == "WatchOutlook" and "errors" in record.decisions[-1].because
    again, _ = looked(a_policy_with(), Told((verdict(Verdict.UNDECIDED),), lacking=("errors",)), record=record)
    assert len(again.decisions) == len(record.decisions)


# -------------------------------------------------------------------------------------------------- the promise


@pytest.mark.parametrize("hours", [0.5, 1.0, 4.0, 24.0])
@pytest.mark.parametrize("calibrated", [True, False])
def test_stages_and_hours_of_the_watch_have_together_what_the_band_has(hours: float, calibrated: bool) -> None:
    alone = Serving(0.0, ("checkout",))
    whole = share_of(alone, among=2, calibrated=calibrated)
    stages = share_of(alone, among=2, calibrated=calibrated, watched=True)
    each = share_in_watch(hours * HOUR, among=2, calibrated=calibrated)
    looks = {hour_of(Watching(0.0, hours * HOUR), at) for at in range(0, int(hours * HOUR) + 60, 15)}
    assert stages + len(looks) * each == pytest.approx(whole)


# ------------------------------------------------------------------------------------------------- whole nights


def a_night(**spec: Any) -> Any:
    world = a_watched(**spec)
    ask(world)
    night = begin(world, succeeded)
    until(night, succeeded)
    return night


def the_watch(world: World) -> dict[str, Any]:
    found: dict[str, Any] = status(world)["watch"]
    return found


def test_a6_a_watch_that_nobody_kept_ends_and_moves_nothing() -> None:
    night = a_night()
    world = night.world
    night.driver.stop("a")
    world.behave("v2", errors=0.5)
    world.step_to(world.now + 900.0)
    night.driver.start("a")
    night.run(30.0)
    assert "nobody looked" in the_watch(world)["over"]
    assert back(world) not in {key[2] for key in world.objects.items}


def test_a_change_that_waits_for_its_hours_keeps_its_place_beside_the_way_back() -> None:
    night = a_night()
    world = night.world
    ask(world, "v3", "second", notBefore="2099-01-01T00:00:00Z")
    world.behave("v2", errors=0.5)
    until(night, lambda there: phase(there, back(there)) == "Succeeded")
    night.driver.run_to(world.now + 60.0)
    assert phase(world, "second") == "Queued"
    assert (replicas(world, APP), replicas(world, f"{APP}-twin")) == (2, 0)


def test_a_way_back_that_somebody_aborts_is_not_asked_for_again() -> None:
    night = a_night()
    world = night.world
    world.behave("v2", errors=0.5)
    until(night, lambda there: ("Release", "shop", back(there)) in there.objects.items)
    world.edit("Release", back(world), {"spec": {"abort": {"reason": "we mend it"}}})
    night.run(30.0)
    assert phase(world, back(world)) in ("Cancelled", "RolledBack")
    assert replicas(world, f"{APP}-twin") == 2
    assert len([key for key in world.objects.items if key[0] == "Release"]) == 2


def test_what_a_watch_turned_back_from_is_in_quarantine() -> None:
    night = a_night()
    world = night.world
    world.behave("v2", errors=0.5)
    until(night, lambda there: phase(there, back(there)) == "Succeeded")
    ask(world, name="again")
    until(night, lambda there: phase(there, "again") == "Cancelled")
    assert status(world, "again")["cause"] == "Quarantined"


def _deleted(world: World) -> None:
    world.delete("ReleasePolicy", APP)


def _refused(world: World) -> None:
    world.edit("ReleasePolicy", APP, {"spec": {"observe": {"atLeast": "1h", "atMost": "1m"}}})


@pytest.mark.parametrize("gone", [_deleted, _refused])
@pytest.mark.parametrize("strategy", [{"twin": STAGES}, {"rolling": STAGES}, {"recreate": {}}])
def test_a_watch_and_its_way_back_go_by_the_pinned_policy_though_the_policy_is_gone(
    gone: Callable[[World], None], strategy: Mapping[str, Any]
) -> None:
    night = a_night(strategy=strategy)
    world = night.world
    gone(world)
    world.behave("v2", errors=0.5)
    until(night, lambda there: phase(there, back(there)) in ENDS)
    assert (phase(world, back(world)), the_watch(world)["release"]) == ("Succeeded", back(world))
    night.driver.run_to(world.now + 120.0)
    assert serving(world) == {"v1"}
    assert all(claim_of(obj) is None for (kind, _, _), obj in world.objects.items.items() if kind == "Deployment")


def test_a_watch_without_its_policy_that_finds_nothing_ends_and_leaves_nothing_claimed() -> None:
    night = a_night()
    _deleted(night.world)
    until(night, lambda there: bool(the_watch(there).get("over")))
    night.driver.run_to(night.world.now + 120.0)
    assert the_watch(night.world)["over"] == "nothing was found"
    assert serving(night.world) == {"v2"}


def test_a9_an_alert_while_nothing_is_released_is_kept_and_moves_nothing() -> None:
    world = an_alerted()
    ask(world)
    night = begin(world, succeeded)
    until(night, succeeded)
    night.driver.run_to(world.now + 60.0)
    moved, there = slot_writes(world), set(world.objects.items)
    posted(world)
    night.driver.run_to(world.now + 600.0)
    assert [each["alert"] for each in inbox(world)] == [ALERT]
    assert (slot_writes(world), set(world.objects.items)) == (moved, there)
    assert serving(world) == {"v2"}


def serving(world: World) -> set[str]:
    """The versions whose pods serve."""
    return {pod.version for name in (APP, f"{APP}-twin") for pod in world.pods_of(name) if pod.state.ready}
