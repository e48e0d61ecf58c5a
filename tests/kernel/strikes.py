"""What every strategy's story goes through alike: a crash beside an event at its ticks, a writer paused at requests."""

from __future__ import annotations

from collections.abc import Iterable

from controller.simulation.driver import Freeze, Point
from tests.kernel.events import Event, rotating_crash
from tests.kernel.faults import beginnings
from tests.kernel.night import Told, with_faults
from tests.kernel.test_single_faults import LONGEST


def crash_and_event(story: Told, event: Event, name: str) -> None:
    """The event at every chosen tick of the story, with and without a crash; prints its count and asserts the ends."""
    ends: dict[str, int] = {}
    wrong: list[str] = []
    chosen = beginnings(story.points)
    for tick, (first, before) in enumerate(story.forks.items()):
        for crashes in (False, True) if first in chosen else ():
            night = before.fork(rotating_crash(tick)) if crashes else before.fork()
            try:
                event.happen(night)
                night.run(2 * LONGEST)
                ending = night.ending()
                night.stay_idle()
            except AssertionError as broken:
                wrong.append(f"{event.name} at request {first}, crash {crashes}: {broken}")
                continue
            phase = ending.phases["first"]
            ends[phase] = ends.get(phase, 0) + 1
            if phase not in event.ends or not set(ending.phases.values()) <= event.ends:
                wrong.append(f"{event.name} at request {first}, crash {crashes}: {ending}")
    print(f"{name}, crash x {event.name}: {2 * len(chosen)} nights, ended {ends}, {len(wrong)} violations")
    assert not wrong, "\n".join(wrong[:10])


def paused_writer(story: Told, pauses: Iterable[tuple[Point, Freeze]], name: str) -> None:
    """A writer is paused before these requests while another one takes over: the story ends as it does without."""
    wrong: list[str] = []
    nights = 0
    for point, freeze in pauses:
        nights += 1
        try:
            _, ending = with_faults(story, {point.index: freeze}, LONGEST)
        except AssertionError as broken:
            wrong.append(f"frozen for {freeze.seconds:.0f} s at request {point.index}: {broken}")
            continue
        if ending != story.ending:
            wrong.append(f"frozen for {freeze.seconds:.0f} s at request {point.index}: {ending}")
    print(f"paused writer in {name}: {nights} nights, {len(wrong)} violations")
    assert not wrong, "\n".join(wrong[:10])
