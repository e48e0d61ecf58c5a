"""What goes on around a release in the night: the team's own alert, storms of other people's, controllers that die."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from controller.simulation import alerting
from controller.simulation.driver import Crash, Fault, Freeze, Point
from controller.simulation.world import World

_PAGES = 0.02  # the share of failed requests at which the team's own rule fires
_EVERY = 60.0
_STORM = 200
KILLS = 1.0  # of the controller, in a night, for each app
PAUSED = 0.05  # the share of nights in which a controller stands still for minutes, and a second one takes over


@dataclass(slots=True)
class Rule:
    """A team's alerting rule: more than 2 % of its app's requests have failed for two evaluations in a row."""

    app: str
    seen: int = 0

    def __call__(self, world: World) -> None:
        serving = [pod for pod in world.pods.values() if pod.serving and pod.state.labels.get("app") == self.app]
        share = sum(world.behaviour(pod.version).errors for pod in serving) / max(1, len(serving))
        self.seen = self.seen + 1 if share > _PAGES else 0
        if self.seen == 2:
            alerting.fire(world, self._name, {"service": self.app, "severity": "page"})
            alerting.post(world, self._name)
        elif self.seen == 0:
            alerting.resolve(world, self._name)

    @property
    def _name(self) -> str:
        return f"TooManyErrors of {self.app}"


@dataclass(slots=True)
class Storm:
    """Hundreds of alerts about other services, and tickets about an app: none of them is a policy's business."""

    rng: np.random.Generator
    app: str

    def __call__(self, world: World) -> None:
        if self.rng.random() < 0.5:
            for number in range(_STORM):
                alerting.fire(world, "Elsewhere", {"service": f"other-{number}", "severity": "page"})
            alerting.fire(world, "SlowQueue", {"service": self.app, "severity": "ticket"})
            alerting.post(world, "SlowQueue")
        else:
            alerting.resolve(world, "Elsewhere")
            alerting.resolve(world, "SlowQueue")


@dataclass(slots=True)
class Kills:
    """Kills the controller at these requests, by their number, or pauses it there while another one takes over.

    struck: when it was killed, in epoch seconds.
    """

    at: frozenset[int]
    pauses: Mapping[int, float] = field(default_factory=dict)  # seconds
    struck: list[float] = field(default_factory=list)

    def __call__(self, point: Point) -> Fault | None:
        if point.index in self.pauses:
            return Freeze(self.pauses[point.index])
        if point.index not in self.at:
            return None
        self.struck.append(point.now)
        return Crash("before" if point.index % 2 else "after", back_in=30.0)


def surround(world: World, rng: np.random.Generator, apps: Sequence[str] = ("checkout",)) -> Kills:
    """Everything that goes on in this night -> the kills, one a night on average for each app."""
    for app in apps:
        world.add_actor(_EVERY, Rule(app))
    if rng.random() < 0.1:
        world.add_actor(_EVERY, Storm(rng, apps[0]))
    number, last = rng.poisson(KILLS * len(apps)), 900 * len(apps)
    pauses = {int(rng.integers(50, last)): float(rng.uniform(30.0, 1200.0))} if rng.random() < PAUSED else {}
    return Kills(frozenset(int(at) for at in rng.integers(50, last, number)), pauses)
