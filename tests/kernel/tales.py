"""Short words for telling a night: a release with something in the way, until something is true, and its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller.release.plan import PatchSlot
from controller.requests.writes import WriteSlot
from controller.simulation.driver import Fault, Point
from controller.simulation.world import World
from tests.kernel.night import Night, begin
from tests.kernel.scenarios import APP, a_world, ask, phase, status

TWIN = f"{APP}-twin"
LONG = 120.0
Meddling = Callable[[Point], Fault | None]


def a_night(meddle: Meddling | None = None, *names: str, version: str = "v2", **changes: Any) -> Night:
    """A release of a healthy version into four pods, with something in the way."""
    world = a_world(**changes)
    ask(world, version)
    night = begin(world, lambda there: all(phase(there, name) for name in ("first", *names)))
    if meddle is not None:
        night.faults = meddle
    return night


def until(night: Night, true: Callable[[World], bool]) -> None:
    """Runs until it is true; fails where it never is."""
    night.run(LONG, lambda at: true(at.world))
    assert true(night.world), night.ending()


def ended(night: Night) -> tuple[str, str]:
    """Runs to the end and a little longer -> phase and cause of the first release."""
    night.run(LONG)
    found = night.ending().releases["first"]
    night.stay_idle()
    return found


def kinds_of_holds(world: World) -> list[str]:
    kinds = (entry["kind"] for entry in status(world)["record"]["decisions"])
    return [kind for kind in kinds if kind.startswith("Hold")]


def slot_writes(world: World) -> list[WriteSlot]:
    requests = (entry.request for entry in world.trace if entry.applied)
    return [request for request in requests if isinstance(request, WriteSlot)]


def moves(world: World) -> list[str]:
    writes = (request.write for request in slot_writes(world))
    return [write.summary for write in writes if isinstance(write, PatchSlot) and write.replicas is not None]
