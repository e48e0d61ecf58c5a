"""The laws of a held rollout can fail: for each of them something that breaks it, planted into a healthy release."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from controller.attempt import parsed
from controller.record import to_status
from controller.release.observation import PodList
from controller.release.plan import PatchSlot
from controller.release.vocabulary import Cause, Phase
from controller.requests.looks import ReadPods
from controller.requests.writes import WriteRecord, WriteSlot
from controller.strategies.rolling_fields import held
from tests.kernel.hold_scenarios import HELD, held_at, split
from tests.kernel.holds import judged
from tests.kernel.laws import HOLD_LAWS, STANDING_LAWS, Broken, Law, judge_standing
from tests.kernel.memory import claim_of, moment, slot
from tests.kernel.night import Night
from tests.kernel.scenarios import APP


def a_night() -> Night:
    """Three incumbents and two contenders, all ready and held; the laws are asked by the test only."""
    night = HELD["rolling healthy"].night()
    while not (held_at(night.world, 3, 2) and night.world.available() - 1 == 5):
        night.advance()
    judge_standing(night.world, night.memory)
    night.world.after_write = []
    served = night.world.answer(ReadPods("shop", (("app", APP),), fresh=True), "a")
    assert isinstance(served, PodList)
    night.memory.of("a").pods = served
    return night


def _step(night: Night, surge: int, depth: int) -> None:
    obj = slot(night.world, APP)
    assert obj is not None
    fields = held(surge, depth, paused=False)
    write = PatchSlot(APP, obj["metadata"]["resourceVersion"], claim_of(obj), "planted", fields=fields)
    night.world.answer(WriteSlot("shop", write), "a")


def _without_ready_contenders(night: Night) -> None:
    eyes = night.memory.of("a")
    assert eyes.pods is not None
    old = {pod.replica_set for pod in eyes.pods.items if pod.ready_since < night.world.started}
    pods = tuple(replace(pod, ready=pod.ready and pod.replica_set in old) for pod in eyes.pods.items)
    eyes.pods = replace(eyes.pods, items=pods)
    _step(night, 1, 2)


def _blindly(night: Night) -> None:
    night.memory.of("a").pods = None
    _step(night, 1, 1)


def _ends(night: Night) -> None:
    obj = night.world.objects.items["Release", "shop", "first"]
    record = parsed(obj).record
    ended = replace(record, phase=Phase.ROLLED_BACK, cause=Cause.ABORTED, sequence=record.sequence + 1)
    status = to_status(ended, generation=1, policy_name=APP)
    night.world.answer(WriteRecord("shop", "first", obj["metadata"]["resourceVersion"], status), "a")


PLANTED: dict[str, tuple[tuple[str, Callable[[Night], object]], ...]] = {
    "S1 S2 a step": (
        ("beyond its stage", lambda night: _step(night, 1, 2)),
        ("too few incumbents", lambda night: _step(night, 0, 2)),
        ("on pods that are not ready", _without_ready_contenders),
        ("on no pods", _blindly),
    ),
    "S6 one version is left": (("it ends in the middle", _ends),),
}


@pytest.mark.parametrize(
    ("law", "plant"),
    [pytest.param(law, plant, id=f"{law.name}: {what}") for law in HOLD_LAWS for what, plant in PLANTED[law.name]],
)
def test_a_planted_violation_breaks_its_law(law: Law, plant: Callable[[Night], object]) -> None:
    night = a_night()
    writes = len(night.world.trace)
    plant(night)
    assert len(night.world.trace) == writes + 1
    assert law.broken(moment(night.world, night.memory, night.world.trace[-1]))


def test_contenders_beyond_the_stage_break_their_law() -> None:
    night = a_night()
    assert any(law.broken is judged for law in STANDING_LAWS)
    _step(night, 1, 3)
    night.world.step_to(night.world.now + 5.0)
    assert split(night.world) == (1, 4)
    with pytest.raises(Broken, match="S2 judged"):
        judge_standing(night.world, replace(night.memory, served=frozenset(), level=0))
