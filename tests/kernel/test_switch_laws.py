"""The laws of traffic can fail: for each of them a write that breaks it, planted into a healthy blueGreen release."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controller.release.names import Ref
from controller.release.observation import PodList
from controller.release.plan import PatchObject, PatchSlot
from controller.requests.failure import Failure, FailureKind
from controller.requests.looks import ReadPods, ReadSlot
from controller.requests.writes import WriteObject, WriteSlot
from controller.strategies import pins
from tests.kernel.laws import ROUTE_LAWS, STANDING_LAWS, Broken, Law, judge_standing
from tests.kernel.memory import claim_of, moment, slot
from tests.kernel.night import Night
from tests.kernel.scenarios import APP, in_batch, phase
from tests.kernel.switch_scenarios import SWITCHED

TWIN = f"{APP}-twin"
OWN = {"app": APP}


def a_night(stage: int) -> Night:
    """A release that is watched before the switch (0), or after it with both sides at full size (2)."""
    night = SWITCHED["blueGreen healthy"].night()
    while not (_in_stage(night, stage) and len(_ready(night, TWIN)) == 4):
        night.advance()
    night.world.step_to(night.world.now + 12.0)
    night.world.after_write = []
    eyes = night.memory.of("a")
    served = night.world.answer(ReadPods("shop", (("app", APP),), fresh=True), "a")
    assert isinstance(served, PodList)
    eyes.pods, eyes.unread = served, ()
    return night


def _in_stage(night: Night, stage: int) -> bool:
    return in_batch(night.world, stage) if stage else phase(night.world) == "Canary"


def _ready(night: Night, name: str) -> list[str]:
    return [pod.name for pod in night.world.pods_of(name) if pod.serving]


def _hash(night: Night, name: str) -> str:
    return next(str(pod.state.labels[pins.HASH]) for pod in night.world.pods_of(name))


def points(night: Night, hashed: str) -> None:
    service = night.world.objects.items["Service", "shop", APP]
    text = pins.pin_of(service)
    assert text is not None
    patch = {"spec": {"selector": pins.pinned(OWN, hashed)}}
    write = PatchObject(Ref("Service", APP), pins.version_of(service), patch, "planted")
    night.world.answer(WriteObject("shop", write), "a")


def lowers(night: Night, name: str, replicas: int) -> None:
    obj = slot(night.world, name)
    assert obj is not None
    write = PatchSlot(name, obj["metadata"]["resourceVersion"], claim_of(obj), "planted", replicas)
    night.world.answer(WriteSlot("shop", write), "a")


def _blindly(night: Night) -> None:
    unread = Failure(FailureKind.UNAVAILABLE, "500")
    night.memory.of("a").unread = ((ReadSlot("shop", APP, fresh=True), unread),)
    points(night, _hash(night, TWIN))


PLANTED: dict[str, tuple[tuple[str, int, Callable[[Night], object]], ...]] = {
    "W24 traffic of a write": (
        ("pointed at nothing", 0, lambda night: points(night, "zzzzz")),
        ("the side that serves is lowered before the switch", 0, lambda night: lowers(night, APP, 1)),
        ("the side that serves is lowered after it", 2, lambda night: lowers(night, TWIN, 0)),
    ),
    "S7 traffic in ignorance": (("blind and switched", 0, _blindly),),
}
CASES = [
    pytest.param(law, stage, plant, id=f"{law.name}: {what}")
    for law in ROUTE_LAWS
    for what, stage, plant in PLANTED[law.name]
]


@pytest.mark.parametrize(("law", "stage", "plant"), CASES)
def test_a_planted_violation_breaks_its_law(law: Law, stage: int, plant: Callable[[Night], object]) -> None:
    night = a_night(stage)
    writes = len(night.world.trace)
    plant(night)
    assert len(night.world.trace) == writes + 1
    entry = night.world.trace[-1]
    assert entry.applied, entry.answer
    assert law.broken(moment(night.world, night.memory, entry))


@pytest.mark.parametrize("law", ROUTE_LAWS, ids=lambda law: law.name)
def test_no_law_complains_of_a_lawful_step(law: Law) -> None:
    for stage in (0, 2):
        night = a_night(stage)
        if stage == 0:
            points(night, _hash(night, TWIN))
        else:
            lowers(night, APP, 0)
        entry = night.world.trace[-1]
        assert entry.applied
        assert law.broken(moment(night.world, night.memory, entry)) == ""


def test_a_service_that_our_hand_emptied_is_missed_and_one_whose_pods_crashed_is_not() -> None:
    assert any(law.name == "W24 traffic" for law in STANDING_LAWS)
    crashed = a_night(2)
    emptied = crashed.fork()
    emptied.world.after_write = []
    for night in (crashed, emptied):
        judge_standing(night.world, night.memory)

    crashed.world.behave("v2", ready=False)
    judge_standing(crashed.world, crashed.memory)

    points(emptied, "zzzzz")
    with pytest.raises(Broken, match="W24 traffic"):
        judge_standing(emptied.world, emptied.memory)
