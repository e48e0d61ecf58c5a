"""A night: a world, its controllers and the laws, forked and compared at any tick."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.release.names import AppKey
from controller.release.vocabulary import ENDS
from controller.requests import Answer
from controller.requests.writes import Write, WriteEvent
from controller.settings import Settings
from controller.simulation.driver import Driver, Fault, Meddle, Point, Stale
from controller.simulation.world import Trace, World
from controller.slots import template_digest
from tests.kernel.laws import Broken, judge_standing, judge_write
from tests.kernel.memory import Memory, claim_of, moment, releases, remember
from tests.kernel.states import Place, State

REST = 46.0  # seconds without a write after which a night has come to rest: three ticks
IDLE_TICKS = 3
Ready = Callable[[World], bool]


@dataclass(frozen=True, slots=True)
class Ending:
    """What is left of a night: phase and cause of each release, each slot, what is beside."""

    releases: Mapping[str, tuple[str, str]]
    slots: Mapping[str, tuple[int, str, bool]]
    beside: Mapping[str, str] = field(default_factory=dict)  # autoscalers: their spec and annotations
    minutes: float = field(compare=False, default=0.0)

    @property
    def phases(self) -> dict[str, str]:
        return {name: phase for name, (phase, _) in self.releases.items()}


@dataclass(slots=True)
class Night:
    """One world under one driver, watched by the laws. `over` says whether the people of the story are done."""

    driver: Driver
    over: Ready
    memory: Memory = field(default_factory=Memory)
    faults: Meddle = lambda _: None
    struck: tuple[tuple[Point, Fault], ...] = ()
    points: list[Point] | None = None
    last_write: float = 0.0
    judged: tuple[str, int, float] | None = None  # controller, tick and time of the last look at the standing laws

    @property
    def world(self) -> World:
        return self.driver.world

    def fork(self, faults: Meddle = lambda _: None) -> Night:
        """The same night from here on, with other faults to come."""
        other = Night(self.driver.fork(), self.over, self.memory.fork(), faults, last_write=self.last_write)
        other.attach()
        return other

    def attach(self) -> None:
        """Let the laws see every write and every answer of this night's own world."""
        self.world.after_write = [self._wrote]
        self.driver.meddle = self._meddle
        self.driver.on_answer = self._answered

    # ------------------------------------------------------------------------------------------------ watching

    def _meddle(self, point: Point) -> Fault | None:
        eyes = self.memory.of(point.controller)
        if eyes.tick != point.tick:
            eyes.__init__(tick=point.tick)  # type: ignore[misc]  # a new tick has seen nothing yet
        if self.points is not None:
            self.points.append(point)
        fault = self.faults(point)
        if fault is not None:
            self.struck = (*self.struck, (point, fault))
            self.memory.lying = self.memory.lying or isinstance(fault, Stale)
        return fault

    def _answered(self, point: Point, answer: Answer) -> None:
        self.memory.of(point.controller).saw(point.request, answer)
        # No read changes the world: within a tick and without time passing, only a write can break them again.
        now = (point.controller, point.tick, self.world.now)
        if now != self.judged or isinstance(point.request, Write):
            self.judged = now
            judge_standing(self.world, self.memory)

    def _wrote(self, world: World, entry: Trace) -> None:
        self.last_write = world.now
        if not entry.applied and not isinstance(entry.request, WriteEvent):
            return
        seen = moment(world, self.memory, entry)
        judge_write(seen)
        remember(seen)
        judge_standing(world, self.memory)

    # ------------------------------------------------------------------------------------------------ running

    def advance(self) -> None:
        """To the next tick, and through it."""
        self.world.step_to(self.driver.next_due())
        self.driver.step()

    @property
    def at_rest(self) -> bool:
        frozen = any(each.frozen is not None for each in self.driver.controllers.values())
        quiet = self.world.now - self.last_write >= REST
        return quiet and not frozen and self.over(self.world) and self.driver.ended

    def run(self, minutes: float, each: Callable[[Night], bool] | None = None) -> None:
        """Until all is at rest. `each` is asked before every tick, and True ends the run there.

        Raises Broken for L1 where it did not come to rest in time.
        """
        limit = self.world.now + 60.0 * minutes
        while not self.at_rest:
            if self.world.now >= limit:
                raise Broken("L1 it ends", "Every release comes to an end once faults stop.", self._stuck())
            if each is not None and each(self):
                return
            self.advance()

    def stay_idle(self) -> None:
        """S9: a few more ticks write nothing and ask the API server nothing but the watch cache."""
        writes, ticks = len(self.world.trace), self.driver.ticks
        while self.driver.ticks < ticks + IDLE_TICKS:
            self.advance()
            for eyes in self.memory.eyes.values():
                asked = eyes.queries + eyes.totals
                if eyes.quorum or asked:
                    raise Broken("S9 quiescence", "An idle tick asks nothing.", f"{eyes.quorum} reads, {asked}")
        if len(self.world.trace) != writes:
            raise Broken("S9 quiescence", "An idle tick writes nothing.", repr(self.world.trace[-1].request)[:300])

    def _stuck(self) -> str:
        told = [
            f"{life.record.phase} stage {life.record.stage} held {life.record.held} because {life.record.because}"
            for life in self.memory.lives.values()
            if life.record.phase not in ENDS
        ]
        return f"{self.world.now - self.world.started:.0f} s: {told}"

    # ------------------------------------------------------------------------------------------------ looking

    @property
    def place(self) -> Place:
        """Nights that differ in any of these are not in the same state, or not under the same laws."""
        return self.world.now, self.world.objects.version, self.memory.lying

    def ending(self) -> Ending:
        slots = {}
        ends = {}
        beside = {}
        for (kind, _, name), obj in sorted(self.world.objects.items.items()):
            if kind == "Deployment":
                digest = template_digest(obj["spec"]["template"])
                slots[name] = (int(obj["spec"]["replicas"]), digest, claim_of(obj) is not None)
            elif kind == "Release":
                status: Mapping[str, Any] = obj.get("status") or {}
                ends[name] = (str(status.get("phase")), str(status.get("cause")))
            elif kind == "HorizontalPodAutoscaler":
                beside[name] = repr((obj["spec"], obj["metadata"].get("annotations") or {}))
        return Ending(ends, slots, beside, (self.world.now - self.world.started) / 60.0)


def begin(
    world: World,
    over: Ready = lambda world: True,
    apps: Sequence[AppKey] = (AppKey("shop", "checkout"),),
    settings: Settings | None = None,
) -> Night:
    """A night over a world, with one controller."""
    night = Night(
        Driver(world, settings or Settings(endpoints=frozenset(world.endpoints)), apps), over, last_write=world.now
    )
    night.attach()
    return night


@dataclass(slots=True)
class Told:
    """A night without faults: its ending, every request, and a fork before every tick."""

    ending: Ending
    points: list[Point]
    forks: dict[int, Night]  # by the index of the first request of the tick
    known: dict[Place, list[tuple[State, Ending]]] = field(default_factory=dict)  # states whose ending is known

    def points_after(self, alike: Ready) -> list[Point]:
        """The requests from the first tick on before which the story was its own."""
        own = min((first for first, fork in self.forks.items() if not alike(fork.world)), default=0)
        return [point for point in self.points if point.index >= own]

    def before(self, index: int) -> Night:
        """The fork that comes right before the tick of this request."""
        return self.forks[max(first for first in self.forks if first <= index)]


def told(night: Night, minutes: float) -> Told:
    """Run a night without faults to its end."""
    forks: dict[int, Night] = {}
    night.points = []

    def keep(at: Night) -> bool:
        forks[at.driver.requests] = at.fork()
        return False

    night.run(minutes, keep)
    points, night.points = night.points, None
    ending = night.ending()
    night.stay_idle()
    story = Told(ending, points, forks)
    for fork in forks.values():
        state = State.of(fork.driver, fork.memory)
        for lying in (False, True):  # it was judged by the stricter laws
            story.known.setdefault((*fork.place[:2], lying), []).append((state, ending))
    return story


def with_faults(story: Told, faults: Mapping[int, Fault], minutes: float) -> tuple[Night, Ending]:
    """Run a night again with faults at these requests -> (the night, its ending).

    Many faults leave the same world, at once or some ticks later. Where a night is, after its last fault, in the very
    state of one that has been run to its end already (the faultless one, or one with other faults), it ends as that one
    did.
    """
    night = story.before(min(faults)).fork(lambda point: faults.get(point.index))
    last = max(faults)
    passed: list[tuple[Place, State]] = []
    like: list[Ending] = []

    def met(at: Night) -> bool:
        if at.driver.requests <= last or any(each.frozen is not None for each in at.driver.controllers.values()):
            return False
        place, state = at.place, State.of(at.driver, at.memory)
        like.extend(ending for known, ending in story.known.get(place, ()) if state == known)
        if not like:
            passed.append((place, state))
        return bool(like)

    night.run(minutes, met)
    ending = like[0] if like else night.ending()
    if not like:
        night.stay_idle()
    for place, state in passed:
        story.known.setdefault(place, []).append((state, ending))
    return night, ending


__all__ = ["Ending", "Night", "Told", "begin", "releases", "told", "with_faults"]
