"""What every story goes through alike, whatever its strategy.

Every single fault at its requests, a crash beside an event at its ticks, a writer that is paused at its requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from controller.simulation.driver import Freeze, Point, Stale
from tests.kernel.events import EVENTS, Event, rotating_crash
from tests.kernel.faults import EXHAUSTIVE, Trial, beginnings, single_faults
from tests.kernel.night import Ending, Night, Told, with_faults
from tests.kernel.scenarios import Scenario

LONGEST = 90.0  # minutes: the deadline of a release, and patience for a rollback
Judged = Callable[[Trial, Night, Ending], str]  # what is wrong with how a night with a fault has ended, or ""


def every_single_fault(scenario: Scenario, story: Told, wrong_with: Judged | None = None) -> None:
    """Each fault at each request of a story's own: the laws hold, and the night ends as `allowed` or as judged."""
    points = story.points_after(scenario.alike)
    covered = runs = 0
    wrong: list[str] = []
    for trial in single_faults(points):
        runs += 1
        covered += trial.stands_for
        try:
            night, ending = with_faults(story, {trial.index: trial.fault}, LONGEST)
        except AssertionError as broken:
            wrong.append(f"{trial}: {broken}")
            continue
        if not night.struck:
            wrong.append(f"{trial}: never struck")
        elif wrong_with is not None:
            wrong += [f"{trial}: {problem}"] if (problem := wrong_with(trial, night, ending)) else []
        elif not allowed(ending, story, trial):
            wrong.append(f"{trial}: ended {ending}")
    print(f"{scenario.name}: {len(points)} requests, {covered} faults in {runs} runs, {len(wrong)} violations")
    assert not wrong, "\n".join(wrong[:10])


def allowed(ending: Ending, story: Told, trial: Trial) -> bool:
    """Whether a night with a fault has ended as its story does, or as well as a lie lets it."""
    if ending == story.ending:
        return True
    # A quorum read that lies about the past may show a new Deployment as absent: a release is then refused before
    # anything has moved. The real API server does not answer a quorum read so; whoever asks again is served.
    refused = [name for name, (phase, cause) in ending.releases.items() if phase == "Cancelled" or cause == "Refused"]
    if not isinstance(trial.fault, Stale) or not refused:
        return False
    before = story.before(trial.index).ending()
    return all(ending.slots.get(name, slot)[0] == slot[0] for name, slot in before.slots.items())


def crash_and_event(story: Told, event: Event, name: str, among: Sequence[Event] = EVENTS) -> None:
    """The event at every chosen tick of the story; prints its count and asserts the ends.

    With a crash and without one by turns, or both at each tick where every fault is asked for. One event `among` those
    of the story has a crash where the next one has none.
    """
    ends: dict[str, int] = {}
    wrong: list[str] = []
    chosen = beginnings(story.points)
    nights, turn = 0, among.index(event)
    for tick, (first, before) in enumerate(story.forks.items()):
        turn += first in chosen
        for crashes in ((False, True) if EXHAUSTIVE else (turn % 2 == 1,)) if first in chosen else ():
            nights += 1
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
    print(f"{name}, crash x {event.name}: {nights} nights, ended {ends}, {len(wrong)} violations")
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
