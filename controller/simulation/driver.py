"""Controllers over a world: who ticks when, and what goes wrong on the way to the API server.

A controller is a name and a sequence of ticks; all its memory is in the world. Every request that any controller makes
has a number. A `Meddle` sees each one before it is performed and may answer it with a fault, stop the controller there
for good, or freeze it: a frozen tick is a process that was paused, and its next request reaches a world that others
have moved meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from controller.attempt import Reading, TickResult, parsed
from controller.night.train_tick import train_tick
from controller.record import RecordTooNew
from controller.release.names import AppKey, Key, TrainKey
from controller.release.vocabulary import ENDS
from controller.requests import Answer, Read, Request
from controller.requests.failure import Failure, FailureKind
from controller.requests.writes import WriteSlot
from controller.settings import Settings
from controller.simulation.pods import NEVER
from controller.simulation.world import World
from controller.tick import tick


@dataclass(frozen=True, slots=True)
class Point:
    """A request about to be performed. `index` counts all requests of all controllers from 0, `tick` their ticks."""

    index: int
    tick: int
    controller: str
    app: Key
    now: float
    request: Request


@dataclass(frozen=True, slots=True)
class Crash:
    """The controller is killed before or after the request is performed, and starts anew after some seconds."""

    when: Literal["before", "after"]
    back_in: float = 5.0


@dataclass(frozen=True, slots=True)
class Refuse:
    """The request is not performed; this is the answer."""

    failure: Failure


_RESET = Failure(FailureKind.UNAVAILABLE, "the connection was reset")


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """The request is performed, and its answer is lost."""

    failure: Failure = _RESET


@dataclass(frozen=True, slots=True)
class Stale:
    """A read is answered with how the world was `seconds` ago, or before the last `changes` of anything."""

    seconds: float = 0.0
    changes: int = 0


@dataclass(frozen=True, slots=True)
class Freeze:
    """The controller stops before this request and goes on with it after some seconds, as if nothing had happened.

    `takeover`: the name of another controller that begins to tick meanwhile and stays, or "".
    """

    seconds: float
    takeover: str = "b"


Fault = Crash | Refuse | LoseAnswer | Stale | Freeze
Meddle = Callable[[Point], Fault | None]


def at(index: int, fault: Fault) -> Meddle:
    """Meddle with the request of this number only."""
    return lambda point: fault if point.index == index else None


@dataclass(frozen=True, slots=True)
class Ticked:
    """A tick that came to its end."""

    at: float
    controller: str
    result: TickResult


@dataclass(slots=True)
class Controller:
    """One controller process: when it ticks each app next, and the tick that is frozen in the middle, if any."""

    name: str
    due: dict[Key, float] = field(default_factory=dict)
    frozen: tuple[Point, Reading[TickResult], float] | None = None  # ..., until
    up: bool = True
    read_through: bool = False  # a quorum read was made in the present tick


class Driver:
    """Runs controllers over a world. `on_tick` hears of each tick's end, `on_answer` of each answer.

    `skew`: seconds that the controllers' clock is ahead of the world's.
    """

    def __init__(
        self,
        world: World,
        settings: Settings | None = None,
        apps: Sequence[Key] = (AppKey("shop", "checkout"),),
        *,
        meddle: Meddle | None = None,
        on_tick: Callable[[Ticked], None] | None = None,
        on_answer: Callable[[Point, Answer], None] | None = None,
    ) -> None:
        self.world = world
        self.settings = settings if settings is not None else Settings(endpoints=frozenset(world.endpoints))
        self.apps = tuple(apps)
        self.meddle = meddle
        self.on_tick = on_tick
        self.on_answer = on_answer
        self.skew = 0.0
        self.controllers: dict[str, Controller] = {}
        self.requests = 0
        self.ticks = 0
        self.results: list[Ticked] = []
        self.start("a")

    def fork(self) -> Driver:
        """A copy with a world of its own. Possible between ticks only: raises ValueError while one is frozen."""
        if any(each.frozen is not None for each in self.controllers.values()):
            raise ValueError("a frozen tick cannot be copied")
        other = Driver(self.world.fork(), self.settings, self.apps, meddle=self.meddle, on_tick=self.on_tick)
        other.on_answer, other.skew = self.on_answer, self.skew
        other.controllers = {
            name: Controller(name, dict(each.due), None, each.up) for name, each in self.controllers.items()
        }
        other.requests, other.ticks, other.results = self.requests, self.ticks, list(self.results)
        return other

    # ------------------------------------------------------------------------------------------------ controllers

    def start(self, name: str, delay: float = 0.0) -> None:
        """A controller begins to tick (again)."""
        self.controllers[name] = Controller(name, dict.fromkeys(self.apps, self.world.now + delay))

    def stop(self, name: str) -> None:
        """A controller ends between ticks."""
        self.controllers.pop(name, None)

    def wake(self, delay: float = 0.0) -> None:
        """Something changed that the controllers watch: they tick soon."""
        for each in self.controllers.values():
            for app in each.due:
                each.due[app] = min(each.due[app], self.world.now + delay)

    # ------------------------------------------------------------------------------------------------ running

    def next_due(self) -> float:
        """When a controller does something next."""
        soonest = NEVER
        for each in self.controllers.values():
            times = [each.frozen[2]] if each.frozen is not None else each.due.values()
            soonest = min(soonest, *times)
        return soonest

    def run_to(self, then: float) -> None:
        """Let controllers and world go on until `then` (seconds since the epoch)."""
        while (due := self.next_due()) <= then:
            self.world.step_to(due)
            self.step()
        self.world.step_to(then)

    def run(self, limit: float, *, settled_for: float = 60.0) -> bool:
        """Go on until all releases have ended and everything was quiet for a while, or until `limit`.

        Returns whether it came to rest.
        """
        rest = self.world.now
        while self.world.now < limit:
            writes = len(self.world.trace)
            self.run_to(min(limit, self.world.now + self.settings.interval))
            if len(self.world.trace) != writes or not self.ended or any(c.frozen for c in self.controllers.values()):
                rest = self.world.now
            if self.world.now - rest >= settled_for:
                return True
        return False

    @property
    def ended(self) -> bool:
        """Whether every Release of the world has come to an end."""
        for key, obj in self.world.objects.items.items():
            if key[0] == "Release":
                try:
                    record = parsed(obj).record
                    if record.phase not in ENDS or record.watched:
                        return False
                except RecordTooNew:
                    continue
        return True

    def step(self) -> None:
        """Everything that is due at the world's present time, one tick per controller and app."""
        now = self.world.now
        for each in list(self.controllers.values()):
            if each.frozen is not None:
                point, reading, until = each.frozen
                if until <= now:
                    each.frozen = None
                    self._go_on(each, reading, point, meddled=True)
                continue
            for app in [app for app, due in each.due.items() if due <= now]:
                if self.controllers.get(each.name) is not each or each.frozen is not None:
                    break
                self.ticks += 1
                each.read_through = False
                at = now + self.skew
                reading = train_tick(app, at) if isinstance(app, TrainKey) else tick(app, at, self.settings)
                each.due[app] = now + self.settings.interval
                self._go_on(each, reading, self._point(each, app, next(reading), self.ticks), meddled=False)

    def _point(self, each: Controller, app: Key, request: Request, tick: int) -> Point:
        self.requests += 1
        return Point(self.requests - 1, tick, each.name, app, self.world.now, request)

    def _go_on(self, each: Controller, reading: Reading[TickResult], point: Point, *, meddled: bool) -> None:
        """Perform requests until the tick ends, freezes or dies. `meddled`: the first one was frozen before."""
        app = point.app
        while True:
            fault = self.meddle(point) if self.meddle is not None and not meddled else None
            meddled = False
            if isinstance(fault, Freeze):
                each.frozen = (point, reading, self.world.now + fault.seconds)
                if fault.takeover and fault.takeover not in self.controllers:
                    self.start(fault.takeover)
                return
            if isinstance(fault, Crash) and fault.when == "before":
                self._die(each, reading, fault)
                return
            answer = self._answer(each, point.request, fault)
            if self.on_answer is not None:
                self.on_answer(point, answer)
            if isinstance(fault, Crash):
                self._die(each, reading, fault)
                return
            try:
                request = reading.send(answer)
            except StopIteration as end:
                self._ended(each, app, end.value)
                return
            point = self._point(each, app, request, point.tick)

    def _answer(self, each: Controller, request: Request, fault: Fault | None) -> Answer:
        # As the real shell does: no write to a slot rests on the watch cache alone. Unlike the real shell no read is
        # too old here, so that a frozen controller is fenced by nothing but compare-and-swap.
        each.read_through |= getattr(request, "fresh", False)
        if isinstance(request, WriteSlot) and not each.read_through:
            return Failure(FailureKind.STALE, "a write without a quorum read in this tick")
        match fault:
            case Refuse(failure):
                return failure
            case LoseAnswer(failure):
                self.world.answer(request, each.name)
                return failure
            case Stale(seconds, changes) if isinstance(request, Read):
                return self.world.answer(request, each.name, back=seconds, changes=changes)
            case _:
                return self.world.answer(request, each.name)

    def _die(self, each: Controller, reading: Reading[TickResult], crash: Crash) -> None:
        reading.close()
        self.world.couriers.forget(each.name)
        self.start(each.name, crash.back_in)

    def _ended(self, each: Controller, app: Key, result: TickResult) -> None:
        now = self.world.now
        again = self.settings.interval if result.again_in is None else min(result.again_in, self.settings.interval)
        each.due[app] = now + max(again, 0.1)
        ticked = Ticked(now, each.name, result)
        self.results.append(ticked)
        if self.on_tick is not None:
            self.on_tick(ticked)
