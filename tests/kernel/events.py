"""What people and the world do in the middle of a release, for the pairs of a fault and an event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from controller.requests.writes import Write, WriteEvent
from controller.simulation.driver import Crash, Fault, Meddle, Point
from tests.kernel.memory import replicas, slot
from tests.kernel.night import Night
from tests.kernel.scenarios import APP, ask, phase


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens between two ticks. `ends`: the phases that the first release may end in then."""

    name: str
    act: Callable[[Night], None]
    ends: frozenset[str]

    def happen(self, night: Night) -> None:
        self.act(night)
        night.last_write = night.world.now  # the night is not at rest


def _push(night: Night) -> None:
    ask(night.world, "v3", "second")


def _scale(night: Night) -> None:
    twin = f"{APP}-twin"
    live = twin if phase(night.world) == "Succeeded" and slot(night.world, twin) is not None else APP
    night.world.edit("Deployment", live, {"spec": {"replicas": replicas(night.world, live) + 1}})


def _tighten(night: Night) -> None:
    night.world.edit("ReleasePolicy", APP, {"spec": {"observe": {"atLeast": "45s"}, "onDegraded": "rollBack"}})


def _loosen(night: Night) -> None:
    careless = {"observe": {"atLeast": "10s", "onUndecided": "advance"}, "mode": "observe"}
    night.world.edit("ReleasePolicy", APP, {"spec": careless})


def _delete_policy(night: Night) -> None:
    night.world.delete("ReleasePolicy", APP)


def _abort(night: Night) -> None:
    night.world.edit("Release", "first", {"spec": {"abort": {"reason": "enough"}}})


def _clock(seconds: float) -> Callable[[Night], None]:
    def step(night: Night) -> None:
        night.driver.skew += seconds
        night.memory.skew += seconds

    return step


BOTH = frozenset({"Succeeded", "RolledBack"})
EVENTS = (
    Event("revision push", _push, BOTH | {"Cancelled"}),
    Event("scale", _scale, BOTH | {"Cancelled"}),
    Event("policy tightened", _tighten, frozenset({"Succeeded"})),
    Event("policy loosened", _loosen, frozenset({"Succeeded"})),
    Event("policy deleted", _delete_policy, BOTH | {"Cancelled"}),
    Event("abort", _abort, BOTH | {"Cancelled"}),
    Event("clock +5 min", _clock(300.0), BOTH | {"Cancelled"}),
    Event("clock -5 min", _clock(-300.0), BOTH),
    Event("clock +1 h", _clock(3600.0), BOTH | {"Cancelled"}),
    Event("clock -1 h", _clock(-3600.0), BOTH | {"Cancelled"}),
)


@dataclass(slots=True)
class CrashAtWrite:
    """Kills the controller after the n-th write from now on, counted from 1; 0 kills it before the first one."""

    number: int
    seen: int = field(default=0)
    struck: bool = False

    def __call__(self, point: Point) -> Fault | None:
        if self.struck or not isinstance(point.request, Write) or isinstance(point.request, WriteEvent):
            return None
        self.seen += 1
        if self.seen < max(1, self.number):
            return None
        self.struck = True
        return Crash("after" if self.number else "before", 2.0)


def rotating_crash(tick: int) -> Meddle:
    """A crash before, or after the first to fourth, of the writes that follow the n-th tick."""
    return CrashAtWrite(tick % 5)
