"""Which versions are kept from being tried again, for how long, and what a lift does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.applying import applied
from controller.attempt import Attempt, parsed
from controller.notices import MOST_WORDS, event_of
from controller.quarantine import AGAINST_THE_VERSION, MOST_KEPT, lifted_since, of_version, quarantines, resembles
from controller.record import to_status
from controller.release.decision import Finish, RollBack
from controller.release.record import Record
from controller.release.vocabulary import ENDS, Cause, Origin, Phase
from controller.requests.writes import WriteRecord
from controller.simulation.world import World
from tests.controller.builders import NOW, a_record
from tests.kernel.memory import replicas
from tests.kernel.night import Night, begin
from tests.kernel.scenarios import APP, a_world, ask, phase, status
from tests.kernel.tales import moves, until
from tests.kernel.window_scenarios import a_window

NOT_ITS_FAULT = frozenset(Cause) - AGAINST_THE_VERSION


def turned_back(cause: Cause, name: str = "bad", *, end: Phase = Phase.ROLLED_BACK, **spec: object) -> Attempt:
    """A release that turned back for this cause, and ended."""
    record = applied(a_record(), RollBack(cause, "errors x3.1"), (), NOW)
    ending = cause if end is Phase.ROLLED_BACK else Cause.ROLLBACK_BLOCKED
    return an_attempt(applied(record, Finish(end, ending, "the incumbent is back"), (), NOW + 60.0), name, **spec)


def an_attempt(record: Record, name: str, **spec: object) -> Attempt:
    return parsed(
        {
            "apiVersion": "nightferry.dev/v1alpha1",
            "kind": "Release",
            "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}"},
            "spec": {"policy": APP, "images": {"app": "registry.example/app:v2"}, **spec},
            "status": to_status(record, generation=1, policy_name=APP),
        }
    )


def version(attempt: Attempt) -> str:
    assert attempt.record.contender is not None
    return attempt.record.contender.digest


@pytest.mark.parametrize("cause", sorted(AGAINST_THE_VERSION))
@pytest.mark.parametrize("end", [Phase.ROLLED_BACK, Phase.NEEDS_HUMAN])
def test_a_fault_of_the_version_keeps_it_from_being_tried_again(cause: Cause, end: Phase) -> None:
    bad = turned_back(cause, end=end)
    assert bad.record.phase in ENDS and quarantines(bad)
    refusal = of_version([bad], version(bad))
    assert refusal is not None and refusal.cause is Cause.QUARANTINED
    assert "release bad" in refusal.because and "errors x3.1" in refusal.because
    assert "`nightferry lift bad -n shop --reason WHY`" in refusal.because and "\n" not in refusal.because
    assert of_version([bad], "another") is None


def test_a_notice_that_is_cut_still_says_how_to_lift_it() -> None:
    name = "a" * 63
    record = applied(a_record(), RollBack(Cause.GATE, "errors x3.1 " * 100), (), NOW)
    bad = an_attempt(applied(record, Finish(Phase.ROLLED_BACK, Cause.GATE, "it is back"), (), NOW + 60.0), name)
    refusal = of_version([bad], version(bad))
    assert refusal is not None and len(refusal.because) > MOST_WORDS
    assert f"`nightferry lift {name} -n shop --reason WHY`" in refusal.because[:MOST_WORDS]


@pytest.mark.parametrize("cause", sorted(NOT_ITS_FAULT))
def test_what_has_another_reading_says_nothing_of_the_version(cause: Cause) -> None:
    bad = turned_back(cause)
    assert not quarantines(bad)
    assert of_version([bad], version(bad)) is None


@pytest.mark.parametrize("origin", ["rollback", "restore", "home"])
def test_only_a_change_is_a_try(origin: Origin) -> None:
    bad = turned_back(Cause.CRASH_LOOP)
    moved = replace(bad, record=replace(bad.record, origin=origin))
    assert not quarantines(moved)


def test_a_lift_counts_for_the_release_that_it_names() -> None:
    lifted = turned_back(Cause.GATE, "bad", lift={"reason": "the database was upgraded"})
    again = turned_back(Cause.CRASH_LOOP, "worse")
    assert of_version([lifted], version(lifted)) is None
    refusal = of_version([lifted, again], version(lifted))
    assert refusal is not None and "release worse" in refusal.because


def test_a_template_is_tried_once_more_after_a_lift_and_not_after_another_end() -> None:
    lifted = turned_back(Cause.GATE, "bad", lift={"reason": "mended"})
    refused = an_attempt(applied(Record(phase=Phase.PREFLIGHT), _quarantined(), (), NOW), "refused")
    aborted = turned_back(Cause.ABORTED, "aborted")
    digest = version(lifted)
    assert lifted_since(lifted, [lifted], digest)
    assert lifted_since(refused, [lifted, refused], digest)
    assert not lifted_since(aborted, [lifted, aborted], digest)
    assert not lifted_since(refused, [turned_back(Cause.GATE), refused], digest)


def _quarantined() -> Finish:
    return Finish(Phase.CANCELLED, Cause.QUARANTINED, "in quarantine")


def test_the_same_words_are_only_a_likeness() -> None:
    bad = turned_back(Cause.GATE)
    same = replace(bad, record=replace(bad.record, asked=bad.asked))
    other = an_attempt(Record(), "other", images={"app": "registry.example/app:v3"})
    assert resembles(same, [same])
    assert not resembles(other, [same])


# ---------------------------------------------------------------------------------------------- whole nights


def a_bad_version(**spec: Any) -> Night:
    """v2 crashes and is turned back."""
    world = a_world(**spec)
    world.behave("v2", crashes_after=2.0)
    ask(world)
    night = begin(world, lambda there: phase(there) != "")
    until(night, lambda there: phase(there) == "RolledBack")
    return night


def ends(night: Night, name: str) -> tuple[str, str]:
    until(night, lambda there: phase(there, name) in ENDS)
    found = status(night.world, name)
    return found["phase"], found.get("cause") or ""


def test_it_is_refused_before_anything_moves_and_goes_after_a_lift() -> None:
    night = a_bad_version()
    world = night.world
    ask(world, name="second")
    moved = moves(world)
    assert ends(night, "second") == ("Cancelled", "Quarantined")
    assert "release first turned back from it" in status(world, "second")["because"]
    assert moves(world) == moved
    world.behave("v2", crashes_after=None)
    world.edit("Release", "first", {"spec": {"lift": {"reason": "mended"}}})
    ask(world, name="third")
    assert ends(night, "third") == ("Succeeded", "Completed")


def test_what_may_be_refused_turns_no_other_release_back() -> None:
    night = a_bad_version()
    world = night.world
    ask(world, "v3", "good")
    until(night, lambda there: phase(there, "good") == "Batch")
    ask(world, name="second")
    assert ends(night, "good") == ("Succeeded", "Completed")
    assert ends(night, "second") == ("Cancelled", "Quarantined")
    assert replicas(world, f"{APP}-twin") == 4


def test_the_releases_that_keep_a_version_out_are_kept_themselves() -> None:
    night = a_bad_version(historyLimit=1)
    world = night.world
    for number in range(3):
        ask(world, f"v{number + 3}", f"good-{number}")
        assert ends(night, f"good-{number}") == ("Succeeded", "Completed")
    night.driver.run_to(world.now + 60.0)
    assert _there(world) == {"first", "good-2"}
    world.edit("Release", "first", {"spec": {"lift": {"reason": "mended"}}})
    night.driver.run_to(world.now + 60.0)
    assert _there(world) == {"good-2"}


def test_they_are_kept_within_a_bound() -> None:
    night = a_bad_version(historyLimit=1)
    world = night.world
    bad = world.objects.items["Release", "shop", "first"]
    for number in range(MOST_KEPT + 5):
        name = f"more-{number:02}"
        ask(world, name=name)
        world.edit("Release", name, {"status": bad["status"]}, status=True)
    night.driver.run_to(world.now + 300.0)
    assert _there(world) == {f"more-{number:02}" for number in range(5, MOST_KEPT + 5)}


def _there(world: World) -> set[str]:
    return {name for kind, _, name in world.objects.items if kind == "Release"}


# ------------------------------------------------------------------------------------------------- by day


def waiting_by_day(opens: str = "09:30") -> Night:
    """Two minutes after nine v2 has been turned back; from then on releases wait for their window, and v2 is asked."""
    night = a_bad_version()
    night.world.edit("ReleasePolicy", APP, {"spec": {"window": a_window(opens, "12:00")}})
    ask(night.world, name="second")
    night.driver.run_to(night.world.now + 30.0)
    return night


def held(night: Night, name: str = "second") -> dict[str, Any]:
    return dict(status(night.world, name).get("held") or {})


def test_who_waits_for_the_night_is_told_by_day() -> None:
    night = waiting_by_day()
    assert phase(night.world, "second") == "Queued"
    found = held(night)
    assert (found["reason"], found["until"]) == ("Quarantined", "2025-10-09T09:30:00Z")
    assert "`nightferry lift first -n shop --reason WHY`" in found["because"]
    assert "opens Thu 2025-10-09 09:30 UTC" in found["because"]
    stalled = {each["type"]: each["status"] for each in status(night.world, "second")["conditions"]}
    assert stalled["Stalled"] == "True"
    asked = parsed(night.world.objects.items["Release", "shop", "second"]).record
    assert [event_of(entry, Record(), asked) for entry in asked.decisions] == ["paused"]
    moved, written = moves(night.world), records(night, "second")
    night.driver.run_to(night.world.now + 600.0)
    assert (moves(night.world), records(night, "second")) == (moved, written)


def test_without_a_lift_it_ends_when_its_hour_comes() -> None:
    night = waiting_by_day()
    moved = moves(night.world)
    assert ends(night, "second") == ("Cancelled", "Quarantined")
    assert night.world.now >= night.world.started + 30 * 60.0
    assert moves(night.world) == moved
    assert "WindowMissed" not in kinds(night, "second")


def test_a_lift_while_it_waits_lets_it_leave() -> None:
    night = waiting_by_day()
    night.world.behave("v2", crashes_after=None)
    night.world.edit("Release", "first", {"spec": {"lift": {"reason": "mended"}}})
    night.driver.run_to(night.world.now + 30.0)
    assert held(night)["reason"] == "WindowClosed"
    assert phase(night.world, "second") == "Queued"
    assert ends(night, "second") == ("Succeeded", "Completed")
    assert night.world.now >= night.world.started + 30 * 60.0


def test_it_is_told_behind_another_one_that_waits_and_takes_no_place_of_it() -> None:
    night = a_bad_version()
    night.world.edit("ReleasePolicy", APP, {"spec": {"window": a_window("09:30", "12:00")}})
    ask(night.world, "v3", "good")
    night.driver.run_to(night.world.now + 30.0)
    ask(night.world, name="second")
    night.driver.run_to(night.world.now + 60.0)
    assert (held(night, "good")["reason"], held(night)["reason"]) == ("WindowClosed", "Quarantined")
    assert "release good goes first" in held(night)["because"]
    written = records(night, "second")
    night.driver.run_to(night.world.now + 300.0)
    assert records(night, "second") == written
    assert ends(night, "good") == ("Succeeded", "Completed")
    assert ends(night, "second") == ("Cancelled", "Quarantined")


def records(night: Night, name: str) -> int:
    """How often the record of a release was written."""
    wrote = (each.request for each in night.world.trace if isinstance(each.request, WriteRecord) and each.applied)
    return sum(each.name == name for each in wrote)


def kinds(night: Night, name: str) -> list[str]:
    return [entry["kind"] for entry in status(night.world, name)["record"]["decisions"]]


def test_who_waits_for_a_train_is_told_by_day_too() -> None:
    night = a_bad_version()
    spec = {"window": {"from": "22:00", "to": "23:00", "zone": "UTC"}, "cars": [{"policy": APP}]}
    train = {"apiVersion": "nightferry.dev/v1alpha1", "kind": "ReleaseTrain", "metadata": {"name": "nightly"}}
    night.world.create({**train, "spec": spec})
    ask(night.world, name="second")
    night.driver.run_to(night.world.now + 30.0)
    found = held(night)
    assert (found["reason"], found["until"]) == ("Quarantined", "2025-10-09T22:00:00Z")
    assert "train nightly leaves Thu 2025-10-09 22:00 UTC" in found["because"]
    night.world.edit("Release", "first", {"spec": {"lift": {"reason": "mended"}}})
    night.driver.run_to(night.world.now + 30.0)
    assert held(night)["reason"] == "AwaitsTrain"
