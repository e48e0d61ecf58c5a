"""The laws can fail: for each of them, a write or a night that breaks it, planted into a healthy release."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from analysis.verdict import Verdict
from controller.attempt import parsed
from controller.record import to_status
from controller.release.observation import Claim, PodList
from controller.release.plan import PatchSlot
from controller.release.record import Held, Record, Saved
from controller.release.vocabulary import Cause, HoldReason, Phase
from controller.requests.failure import Failure, FailureKind
from controller.requests.looks import ReadPods, ReadSlot
from controller.requests.writes import WriteEvent, WriteRecord, WriteSlot
from tests.kernel.laws import CORE_LAWS, SECRET, WRITE_LAWS, Broken, Law, judge_standing
from tests.kernel.memory import Life, Moment, claim_of, moment, replicas, slot
from tests.kernel.night import Night
from tests.kernel.scenarios import APP, SCENARIOS, ask, in_batch

TWIN = f"{APP}-twin"


def a_night_in_batch_1() -> Night:
    """A healthy release with two contenders and two incumbents, all ready."""
    night = SCENARIOS["healthy"].night()
    while not (in_batch(night.world, 1) and replicas(night.world, APP) == replicas(night.world, TWIN) == 2):
        night.advance()
    night.world.step_to(night.world.now + 12.0)
    night.world.after_write = []
    eyes = night.memory.of("a")
    served = night.world.answer(ReadPods("shop", (("app", APP),), fresh=True), "a")
    assert isinstance(served, PodList)
    eyes.pods, eyes.unread = served, ()
    return night


def record_of(night: Night) -> Record:
    return parsed(night.world.objects.items["Release", "shop", "first"]).record


def writes_record(night: Night, **changes: Any) -> None:
    obj = night.world.objects.items["Release", "shop", "first"]
    record = record_of(night)
    after = replace(record, **{"sequence": record.sequence + 1, "epoch": record.epoch + 1, **changes})
    status = to_status(after, generation=1, policy_name=APP)
    night.world.answer(WriteRecord("shop", "first", obj["metadata"]["resourceVersion"], status), "a")


def patches(night: Night, name: str, replicas: int | None, *, claimed: bool = True, **changes: Any) -> None:
    obj = slot(night.world, name)
    assert obj is not None
    claim: Claim | None = claim_of(obj)
    assert claim is not None
    claim = replace(claim, replicas=claim.replicas if replicas is None else replicas)
    change = {"claim": claim if claimed else None, "summary": "planted", "replicas": replicas, **changes}
    write = PatchSlot(name, obj["metadata"]["resourceVersion"], **change)
    night.world.answer(WriteSlot("shop", write), "a")


def older_claim(night: Night) -> Claim:
    claim = claim_of(slot(night.world, APP))
    assert claim is not None
    return replace(claim, epoch=claim.epoch - 1, replicas=1)


def looser_policy(record: Record) -> str:
    pinned = json.loads(record.policy)
    pinned["spec"]["observe"]["atLeast"] = "10s"
    return json.dumps(pinned, sort_keys=True, separators=(",", ":"))


def _lower_to_nothing(night: Night) -> None:
    patches(night, APP, 0)


def _lower_unread(night: Night) -> None:
    night.memory.of("a").pods = None
    patches(night, APP, 1)


def _raise_blind(night: Night) -> None:
    unread = Failure(FailureKind.UNAVAILABLE, "500")
    night.memory.of("a").unread = ((ReadSlot("shop", APP, fresh=True), unread),)
    patches(night, TWIN, 3)


def _end_twice(night: Night) -> None:
    next(iter(night.memory.lives.values())).ends = ((Phase.ROLLED_BACK, "Aborted"),)
    writes_record(night, phase=Phase.SUCCEEDED, cause=Cause.COMPLETED)


def _two_at_once(night: Night) -> None:
    night.memory.lives["another"] = Life("second", record_of(night))
    patches(night, TWIN, 3)


def _tell_the_secret(night: Night) -> None:
    event = WriteEvent("shop", "e", "first", "uid", "Normal", "Advance", f"PASSWORD={SECRET}", night.world.now)
    night.world.answer(event, "a")


def _ask_without_end(night: Night) -> None:
    night.memory.of("a").quorum = 8
    patches(night, TWIN, 3)


def _go_on_at_once(night: Night) -> None:
    next(iter(night.memory.lives.values())).unsettled = night.world.now - 29.0
    writes_record(night, stage=2)


def _go_on_without_data(night: Night) -> None:
    verdicts = tuple(replace(verdict, verdict=Verdict.HEALTHY) for verdict in record_of(night).verdicts)
    night.memory.of("a").fetched.clear()
    writes_record(night, stage=2, verdicts=verdicts)


def _hold_for_ever(night: Night) -> None:
    writes_record(night, held=Held(HoldReason.BLIND, night.world.now, None, "rollBack", "no data"))


def _wait_for_the_hours(night: Night) -> None:
    now, epoch = night.world.now, record_of(night).epoch + 1
    held = Held(HoldReason.WINDOW_CLOSED, now, now + 3600.0, "rollBack", "its window is closed")
    writes_record(night, phase=Phase.ROLLING_BACK, epoch=epoch, held=held)


def _another_version(night: Night) -> None:
    record = record_of(night)
    assert record.contender is not None
    writes_record(night, contender=replace(record.contender, digest="0" * 12))


def _grow_the_record(night: Night) -> None:
    writes_record(night, notes=("x" * 70_000,))


def _keep_what_was_lent(night: Night) -> None:
    uid = night.world.objects.items["Service", "shop", APP]["metadata"]["uid"]
    saved = Saved("Service", APP, uid, json.dumps({"spec.selector": {"app": "another"}}))
    writes_record(night, phase=Phase.SUCCEEDED, cause=Cause.COMPLETED, saved=(saved,))


def _try_again(night: Night) -> None:
    """The version of the release has been turned back before."""
    record = record_of(night)
    before = replace(record, phase=Phase.ROLLED_BACK, cause=Cause.GATE)
    status = to_status(before, generation=1, policy_name=APP)
    ask(night.world, name="before")
    night.world.edit("Release", "before", {"status": status}, status=True)
    writes_record(night)


PLANTED: dict[str, tuple[tuple[str, Callable[[Night], object]], ...]] = {
    "S1 availability of a write": (("below D - U", _lower_to_nothing), ("on no list of pods", _lower_unread)),
    "S2 surge": (
        ("above D + S", lambda night: patches(night, TWIN, 4)),
        ("above D", lambda night: patches(night, TWIN, 5)),
    ),
    "S3 positive evidence": (
        ("no verdict", lambda night: writes_record(night, stage=2, verdicts=())),
        ("no data of this tick", _go_on_without_data),
    ),
    "S4 analysed is promoted": (
        ("half of the app", lambda night: writes_record(night, phase=Phase.SUCCEEDED, cause=Cause.COMPLETED)),
        ("another digest", _another_version),
    ),
    "S5 one end": (("a second end", _end_twice),),
    "S5 legal moves": (
        ("back to the canary", lambda night: writes_record(night, phase=Phase.CANARY, stage=0)),
        ("an old sequence", lambda night: writes_record(night, sequence=1)),
        ("no new epoch", lambda night: writes_record(night, phase=Phase.ROLLING_BACK, epoch=record_of(night).epoch)),
    ),
    "S6 rollback restores": (("a contender is left", lambda night: writes_record(night, phase=Phase.ROLLED_BACK)),),
    "S6 success gives back": (("another selector", _keep_what_was_lent),),
    "S7 direction of ignorance": (("blind and forward", _raise_blind),),
    "S8 one writer": (
        ("two releases", _two_at_once),
        ("an older epoch", lambda night: patches(night, APP, 1, claim=older_claim(night))),
    ),
    "S13 blast radius": (
        ("a template in mid-release", lambda night: patches(night, TWIN, None, template={"metadata": {}, "spec": {}})),
        ("minReadySeconds", lambda night: patches(night, APP, None, min_ready=5.0)),
    ),
    "S14 intent first": (
        ("no intent", lambda night: patches(night, TWIN, 3)),
        ("a claim released early", lambda night: patches(night, TWIN, None, claimed=False)),
    ),
    "S15 soak": (("after 29 seconds", _go_on_at_once),),
    "S18 no secrets": (("in an event", _tell_the_secret),),
    "S19 bounded record": (("70 KB", _grow_the_record),),
    "S19 bounded tick": (("eight quorum reads", _ask_without_end),),
    "S20 monotonous policy": (
        ("a shorter observation", lambda night: writes_record(night, policy=looser_policy(record_of(night)))),
    ),
    "S21 quarantine": (("a version that was turned back", _try_again),),
    "S22 hours": (("a way back that waits for them", _wait_for_the_hours),),
    "L6 no false freeze": (("a hold without end", _hold_for_ever),),
}
CASES = [pytest.param(law, plant, id=f"{law.name}: {what}") for law in CORE_LAWS for what, plant in PLANTED[law.name]]


@pytest.mark.parametrize(("law", "plant"), CASES)
def test_a_planted_violation_breaks_its_law(law: Law, plant: Callable[[Night], object]) -> None:
    night = a_night_in_batch_1()
    writes = len(night.world.trace)
    plant(night)
    assert len(night.world.trace) == writes + 1
    entry = night.world.trace[-1]
    assert entry.applied or isinstance(entry.request, WriteEvent), entry.answer
    assert law.broken(moment(night.world, night.memory, entry))


@pytest.mark.parametrize("law", WRITE_LAWS, ids=lambda law: law.name)
def test_no_law_complains_of_a_lawful_step(law: Law) -> None:
    night = a_night_in_batch_1()
    eyes = night.memory.of("a")
    eyes.intents, eyes.quorum, eyes.writes = ("planted",), 0, 0
    patches(night, TWIN, 3)
    seen: Moment = moment(night.world, night.memory, night.world.trace[-1])
    assert law.broken(seen) == ""


def test_s1_pods_that_we_took_away_are_missed_and_pods_lost_outside_are_not() -> None:
    lost = a_night_in_batch_1()
    taken = lost.fork()
    taken.world.after_write = []
    for night in (lost, taken):
        judge_standing(night.world, night.memory)

    lost.world.behave("v2", ready=False)
    judge_standing(lost.world, lost.memory)

    patches(taken, APP, 0)
    taken.world.step_to(taken.world.now + 2.0)
    with pytest.raises(Broken, match="S1 availability"):
        judge_standing(taken.world, taken.memory)


def test_s9_a_controller_that_writes_while_idle_is_caught() -> None:
    night = SCENARIOS["crash loop"].night()
    night.run(30.0)
    night.stay_idle()
    obj = night.world.objects.items["Release", "shop", "first"]
    event = WriteEvent("shop", "e", "first", obj["metadata"]["uid"], "Normal", "Again", "again", 0.0)
    night.world.add_actor(15.0, lambda world: world.answer(event, "a"))
    with pytest.raises(Broken, match="S9 quiescence"):
        night.stay_idle()


def test_s18_a_secret_told_in_an_event_is_caught_as_it_happens() -> None:
    night = SCENARIOS["crash loop"].night()
    event = WriteEvent("shop", "e", "first", "uid", "Normal", "Again", SECRET, 0.0)
    night.world.add_actor(15.0, lambda world: world.answer(event, "a"))
    with pytest.raises(Broken, match="S18 no secrets"):
        night.run(30.0)


def test_l1_a_release_that_never_ends_is_caught() -> None:
    night = SCENARIOS["healthy"].night()
    night.world.edit("Release", "first", {"spec": {"paused": True}})
    with pytest.raises(Broken, match="L1 it ends"):
        night.run(120.0)
