"""Nothing that people are to be told is lost: a controller killed at every request, and notifiers that do not answer.

The law: once a night is at rest, what was delivered is exactly what the decision logs say, by the table of events; a
notice that came twice came under one id and with one text; and no notice waits any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from controller.attempt import parsed
from controller.notices import GIVEN_UP, MOST_NOTICES, PATIENCE, heard
from controller.record import read_record
from controller.release.record import Entry, Notice, Record
from controller.requests import Read
from controller.requests.failure import Failure, FailureKind
from controller.requests.outside import Deliver, Delivery
from controller.requests.writes import WriteRecord
from controller.simulation.driver import Crash, Fault, Freeze, LoseAnswer, Refuse, at
from controller.simulation.world import World
from tests.kernel.faults import EXHAUSTIVE, beginnings, told_apart, tried
from tests.kernel.night import Night, begin, told
from tests.kernel.scenarios import a_world, ask, in_batch, phase, status, whenever

LONGEST = 90.0
ROOM, MAIL = "webhook/release-room", "email/night-shift"
EVERY = ["started", "advanced", "paused", "resumed", "rollingBack", "rolledBack", "succeeded", "needsHuman",
         "cancelled", "superseded"]  # fmt: skip
ENDS = ["rolledBack", "needsHuman", "cancelled", "superseded"]
NOTIFY = [{"webhook": "release-room", "events": EVERY}, {"email": "night-shift", "events": ENDS}]
DOWN = Failure(FailureKind.UNAVAILABLE, "the courier is gone")


def _small(**spec: Any) -> World:
    twin = {"canary": 1, "batches": 1, "maxSurge": 1, "maxUnavailable": 0}
    return a_world(replicas=2, strategy={"twin": twin}, **{"notify": NOTIFY, **spec})


def _healthy() -> World:
    world = _small()
    ask(world)
    return world


def _worse() -> World:
    world = _healthy()
    world.behave("v2", errors=0.2)
    return world


def _paused_and_resumed() -> World:
    world = _healthy()

    def spec(there: World) -> Mapping[str, Any]:
        found: Mapping[str, Any] = there.objects.items["Release", "shop", "first"]["spec"]
        return found

    whenever(
        world,
        lambda there: in_batch(there, 1) and "paused" not in spec(there),
        lambda there: there.edit("Release", "first", {"spec": {"paused": True}}),
    )
    whenever(
        world,
        lambda there: (status(there).get("held") or {}).get("reason") == "PausedByPerson",
        lambda there: there.edit("Release", "first", {"spec": {"paused": False}}),
    )
    return world


def _superseded() -> World:
    world = _healthy()
    ask(world, "v3", "second")
    return world


def _edited_record() -> World:
    world = _healthy()
    whenever(
        world,
        lambda there: in_batch(there, 1),
        lambda there: there.edit("Release", "first", {"status": {"record": {"epoch": 0}}}, status=True),
    )
    return world


STORIES: Mapping[str, tuple[Callable[[], World], Mapping[str, str]]] = {
    "healthy": (_healthy, {"first": "Succeeded"}),
    "worse": (_worse, {"first": "RolledBack"}),
    "paused and resumed": (_paused_and_resumed, {"first": "Succeeded"}),
    "superseded": (_superseded, {"first": "Cancelled", "second": "Succeeded"}),
    "edited record": (_edited_record, {"first": "NeedsHuman"}),
}


def night_of(name: str) -> Night:
    build, ends = STORIES[name]
    return begin(build(), lambda world: all(phase(world, each) for each in ends) and not _waits(world))


def _records(world: World) -> Mapping[str, Record]:
    return {key[2]: parsed(obj).record for key, obj in world.objects.items.items() if key[0] == "Release"}


def _waits(world: World) -> bool:
    return any(not notice.done for record in _records(world).values() for notice in record.notices)


def _written(world: World) -> Iterator[tuple[str, Record]]:
    """Every record that was ever written: one that somebody broke begins its log anew."""
    for entry in world.trace:
        if isinstance(entry.request, WriteRecord) and entry.applied and entry.after is not None:
            yield entry.request.name, read_record(entry.after["status"])


def _said(release: str, record: Record) -> list[tuple[str, str, str, str]]:
    """(notifier, release, event, because) of what must have been told; this table is written down a second time."""
    found: list[tuple[str, str, str, str]] = []
    began = False
    log: tuple[Entry, ...] = record.decisions
    for number, entry in enumerate(log):
        after = [each.kind for each in log[number + 1 :] if each.at == entry.at]
        ended = {"Succeeded": "succeeded", "RolledBack": "rolledBack", "NeedsHuman": "needsHuman"}
        event = ended.get(entry.kind, "")
        if entry.kind == "Advance":
            event, began = ("advanced" if began else "started"), True
        elif entry.kind == "RollBack":
            event, began = "rollingBack", True
        elif entry.kind == "Cancelled":
            event = "superseded" if record.cause == "Superseded" else "cancelled"
        elif entry.kind.startswith("Hold") and began:
            event = "paused"
        elif entry.kind == "Unhold" and began and not after:
            event = "resumed"
        if event:
            found += [
                (name, release, event, entry.because) for name, on in ((ROOM, EVERY), (MAIL, ENDS)) if event in on
            ]
    return found


def _heard(one: Deliver) -> tuple[str, str, str, str]:
    return one.notifier, one.payload["release"], one.payload["event"], one.payload["because"]


def wrong(night: Night) -> str:
    """What breaks the law at the end of a night, or ""."""
    world = night.world
    if _waits(world):
        return "a notice still waits"
    texts: dict[str, object] = {}
    for one in world.couriers.delivered:
        if texts.setdefault(one.id, (one.notifier, one.payload)) != (one.notifier, one.payload):
            return f"two texts under the id {one.id}"
    expected = sorted({each for name, record in _written(world) for each in _said(name, record)})
    came = sorted({one.id: _heard(one) for one in world.couriers.delivered}.values())
    return "" if came == expected else f"told {came}\nbut the logs say {expected}"


@pytest.mark.parametrize("name", STORIES)
def test_k30_what_the_log_says_is_told_once_where_nothing_goes_wrong(name: str) -> None:
    night = night_of(name)
    night.run(LONGEST)
    assert night.ending().phases == STORIES[name][1]
    assert wrong(night) == ""
    ids = [one.id for one in night.world.couriers.delivered]
    assert ids and len(set(ids)) == len(ids)
    night.stay_idle()


@pytest.mark.parametrize("name", tried({name: name for name in STORIES}, "worse", "superseded", "edited record"))
def test_k30_k1_nothing_is_lost_by_a_controller_that_is_killed_at_any_request(name: str) -> None:
    story = told(night_of(name), LONGEST)
    runs = turn = 0
    broken: list[str] = []
    telling = beginnings(story.points) | {point.index for point in told_apart(story.points)}
    for point in story.points:
        if not isinstance(point.request, Deliver | WriteRecord) and point.index not in telling:
            continue
        faults: list[Fault] = [Crash("before", 2.0), Crash("after", 2.0)]
        if isinstance(point.request, Deliver):
            faults += [Refuse(DOWN), LoseAnswer(DOWN)]
        if not EXHAUSTIVE and (isinstance(point.request, Read) or point.index not in telling):
            # No read changes anything, and what is written like something before it has met every fault there.
            turn += 1
            faults = faults[turn % len(faults) :][:1]
        for fault in faults:
            runs += 1
            night = story.before(point.index).fork(at(point.index, fault))
            night.run(LONGEST)
            if how := wrong(night) or ("never struck" if not night.struck else ""):
                broken.append(f"{fault} at {point.index} {point.request}: {how}")
    print(f"{name}: {len(story.points)} requests, {runs} runs, {len(broken)} violations")
    assert not broken, "\n".join(broken[:5])


@pytest.mark.parametrize("name", ["worse", "superseded"])
def test_k30_k4_a_paused_controller_beside_another_one_loses_nothing(name: str) -> None:
    story = told(night_of(name), LONGEST)
    broken: list[str] = []
    for point in told_apart(story.points):
        night = story.before(point.index).fork(at(point.index, Freeze(40.0)))
        night.run(LONGEST)
        if how := wrong(night):
            broken.append(f"{point.request}: {how}")
    assert not broken, "\n".join(broken[:5])


def test_k30_notifiers_that_do_not_answer_change_nothing_about_a_release_and_are_given_up_aloud() -> None:
    world = _worse()
    world.couriers.answers = {ROOM: Delivery("pending", "no connection"), MAIL: Delivery("failed", "no such mailbox")}
    night = begin(world, lambda there: bool(phase(there)))
    night.run(LONGEST)
    assert phase(world) == "RolledBack"
    assert [each.kind for each in parsed(_first(world)).record.decisions].count(GIVEN_UP) == 1
    driver = night.driver
    ended = world.now
    # A courier that has waited for long looks again seldom, and nothing but the notices is to come.
    world.couriers.answers[ROOM] = Delivery("pending", "no connection", again_in=120.0)
    driver.settings = replace(driver.settings, interval=120.0)
    world.conditions = replace(world.conditions, scrape=300.0)
    driver.run_to(world.now + PATIENCE + 600.0)
    record = _records(world)["first"]
    assert not _waits(world) and world.couriers.delivered == []
    failed = {(each.notifier, each.event): each.failed for each in record.notices}
    assert failed[MAIL, "rolledBack"] == "no such mailbox"
    assert failed[ROOM, "rolledBack"] == "not sent within 24h: no connection"
    given_up = [entry for entry in record.decisions if entry.kind == GIVEN_UP]
    assert len(given_up) == len(failed)
    assert max(entry.at for entry in given_up) - ended >= PATIENCE - 3600.0


SLOW = {"observe": {"atLeast": "1h", "atMost": "2h", "onUndecided": "rollBack"}, "deadline": {"release": "6h"}}


def _toggled_until_aborted(world: World, seconds: float) -> None:
    """People pause and resume for so long; soon after somebody has had enough."""
    world.add_actor(16.0, _toggle, until=world.now + seconds)
    whenever(
        world,
        lambda there: there.now > there.started + seconds + 20.0 and "abort" not in _first(there)["spec"],
        lambda there: there.edit("Release", "first", {"spec": {"abort": {"reason": "enough"}}}),
    )


def test_k30_people_who_pause_without_end_do_not_fill_the_record() -> None:
    world = _small(**SLOW)
    ask(world)
    world.couriers.answers = {ROOM: Delivery("pending", "no connection")}
    world.add_actor(16.0, _toggle)
    night = begin(world, lambda there: bool(phase(there)))
    night.driver.run_to(world.now + 3600.0)
    record = _records(world)["first"]
    assert len(record.notices) == MOST_NOTICES
    assert record.notices[-1].at >= world.now - 60.0


def test_k30_the_end_is_never_crowded_out() -> None:
    world = _small(**SLOW)
    ask(world)
    world.couriers.answers = {ROOM: Delivery("pending", "no connection")}
    _toggled_until_aborted(world, 2400.0)
    night = begin(world, lambda there: bool(phase(there)))
    night.run(LONGEST)
    world.couriers.answers = {}
    night.driver.run_to(world.now + 120.0)
    assert {(one.notifier, one.payload["event"]) for one in world.couriers.delivered} >= {
        (ROOM, "rollingBack"), (ROOM, "rolledBack"), (MAIL, "rolledBack")
    }  # fmt: skip
    assert not _waits(world)


def test_k30_a_notifier_that_is_dead_keeps_no_other_one_waiting_however_much_it_was_not_told() -> None:
    world = _small(**SLOW)
    ask(world)
    world.couriers.answers = {ROOM: Delivery("pending", "no connection")}
    _toggled_until_aborted(world, 600.0)
    night = begin(world, lambda there: bool(phase(there)))
    night.run(LONGEST)
    night.driver.run_to(world.now + 120.0)
    assert phase(world) == "RolledBack"
    assert sum(each.notifier == ROOM and not each.done for each in _records(world)["first"].notices) > 16
    assert [(one.notifier, one.payload["event"]) for one in world.couriers.delivered] == [(MAIL, "rolledBack")]


def test_a_finished_release_is_not_deleted_before_people_were_told() -> None:
    world = _small(historyLimit=1)
    ask(world)
    world.couriers.answers = {ROOM: Delivery("pending", "no connection")}
    night = begin(world, lambda there: phase(there, "first") == "Succeeded")
    night.run(LONGEST)
    ask(world, "v3", "second")
    night.driver.run_to(world.now + 900.0)
    assert phase(world, "second") == "Succeeded"
    assert ("Release", "shop", "first") in world.objects.items
    world.couriers.answers = {}
    night.driver.run_to(world.now + 120.0)
    assert ("Release", "shop", "first") not in world.objects.items
    assert {one.payload["release"] for one in world.couriers.delivered} == {"first", "second"}


def test_who_is_told_follows_an_edit_of_the_policy_at_once() -> None:
    world = _worse()
    whenever(
        world,
        lambda there: phase(there) == "Canary" and len(_policy(there)["spec"]["notify"]) == 2,
        lambda there: there.edit("ReleasePolicy", "checkout", {"spec": {"notify": NOTIFY[1:]}}),
    )
    night = begin(world, lambda there: bool(phase(there)))
    night.run(LONGEST)
    assert [one.payload["event"] for one in world.couriers.delivered if one.notifier == ROOM] == ["started"]
    assert [one.payload["event"] for one in world.couriers.delivered if one.notifier == MAIL] == ["rolledBack"]


def test_without_its_policy_a_release_tells_those_that_it_began_with() -> None:
    world = _healthy()
    whenever(
        world,
        lambda there: phase(there) == "Canary" and ("ReleasePolicy", "shop", "checkout") in there.objects.items,
        lambda there: there.delete("ReleasePolicy", "checkout"),
    )
    night = begin(world, lambda there: bool(phase(there)))
    night.run(LONGEST)
    assert wrong(night) == ""
    assert phase(world) == "RolledBack"


def _toggle(world: World) -> None:
    if in_batch(world, 1) or phase(world) == "Canary":
        world.edit("Release", "first", {"spec": {"paused": not _first(world)["spec"].get("paused", False)}})


def _first(world: World) -> Mapping[str, Any]:
    return world.objects.items["Release", "shop", "first"]


def _policy(world: World) -> Mapping[str, Any]:
    return world.objects.items["ReleasePolicy", "shop", "checkout"]


def test_the_law_sees_a_notice_that_is_marked_before_it_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(record: Record, notice: Notice, _: Delivery, now: float) -> Record:
        return heard(record, notice, Delivery("sent"), now)

    monkeypatch.setattr("controller.telling.heard", hasty)
    night = night_of("worse")
    night.run(LONGEST)
    assert "but the logs say" in wrong(night)


def test_the_law_sees_a_decision_that_nobody_queued_a_notice_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "controller.notices.event_of", lambda entry, *_: None if entry.kind == "RollBack" else "started"
    )
    night = night_of("worse")
    night.run(LONGEST)
    assert "but the logs say" in wrong(night)
