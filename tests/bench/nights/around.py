"""What goes on around a release in the night: the team's own alert, storms of other people's, controllers that die."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.simulation import alerting
from controller.simulation.driver import Crash, Fault, Point
from controller.simulation.world import World

_PAGES = 0.02  # the share of failed requests at which the team's own rule fires
_EVERY = 60.0
_STORM = 200


@dataclass(slots=True)
class Rule:
    """The team's alerting rule: more than 2 % of the app's requests have failed for two evaluations in a row."""

    seen: int = 0

    def __call__(self, world: World) -> None:
        serving = [pod for pod in world.pods.values() if pod.serving]
        share = sum(world.behaviour(pod.version).errors for pod in serving) / max(1, len(serving))
        self.seen = self.seen + 1 if share > _PAGES else 0
        if self.seen == 2:
            alerting.fire(world, "TooManyErrors", {"service": "checkout", "severity": "page"})
            alerting.post(world, "TooManyErrors")
        elif self.seen == 0:
            alerting.resolve(world, "TooManyErrors")


@dataclass(slots=True)
class Storm:
    """Hundreds of alerts about other services, and tickets about this one: none of them is the policy's business."""

    rng: np.random.Generator

    def __call__(self, world: World) -> None:
        if self.rng.random() < 0.5:
            for number in range(_STORM):
                alerting.fire(world, "Elsewhere", {"service": f"other-{number}", "severity": "page"})
            alerting.fire(world, "SlowQueue", {"service": "checkout", "severity": "ticket"})
            alerting.post(world, "SlowQueue")
        else:
            alerting.resolve(world, "Elsewhere")
            alerting.resolve(world, "SlowQueue")


@dataclass(slots=True)
class Kills:
    """Kills the controller at these requests, by their number."""

    at: frozenset[int]
    struck: int = 0

    def __call__(self, point: Point) -> Fault | None:
        if point.index not in self.at:
            return None
        self.struck += 1
        return Crash("before" if point.index % 2 else "after", back_in=30.0)


def surround(world: World, rng: np.random.Generator) -> Kills:
    """Everything that goes on in this night -> the kills, one a night on average."""
    world.add_actor(_EVERY, Rule())
    if rng.random() < 0.1:
        world.add_actor(_EVERY, Storm(rng))
    return Kills(frozenset(int(at) for at in rng.integers(50, 900, rng.poisson(1.0))))
