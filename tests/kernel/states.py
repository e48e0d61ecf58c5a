"""The state of a night between two ticks: nights in equal states go on alike, to the same ending."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any

from controller.simulation.couriers import Couriers
from controller.simulation.driver import Driver
from controller.simulation.objects import Key, Object
from controller.simulation.pods import Pod
from controller.simulation.traffic import Meter
from tests.kernel.memory import Life, Memory

Place = tuple[float, int, bool]  # the time, the version of the objects, whether a read was answered with the past
_of_pod = attrgetter(*(each.name for each in fields(Pod)))
_of_meter = attrgetter(*(each.name for each in fields(Meter) if each.name != "counters"))


@dataclass(frozen=True, slots=True)
class State:
    """All that the course of a night depends on and a fault can change, beside its `Place`.

    The samples of the metric store are not in it: what was counted and drawn until now is, pod by pod, and chance does
    not come to the same numbers twice.
    """

    dues: tuple[tuple[str, tuple[float, ...]], ...]
    chance: tuple[Mapping[str, Any], Mapping[str, Any]]
    objects: Mapping[Key, Object]
    pods: tuple[tuple[Any, ...], ...]
    due: Mapping[Key, float]
    alerts: tuple[Mapping[str, Any], object]
    couriers: Couriers
    meters: tuple[tuple[Any, ...], ...]
    counted: tuple[tuple[str, ...], bytes]  # the pods, and the counters of one after another
    lives: Mapping[str, Life]

    @staticmethod
    def of(driver: Driver, memory: Memory) -> State:
        world, meters = driver.world, driver.world.traffic.meters
        return State(
            tuple(
                (name, tuple(each.due.values()))
                for name, each in sorted(driver.controllers.items())
                if each.frozen is None
            ),
            (world.rng.bit_generator.state, world.traffic.rng.bit_generator.state),
            dict(world.objects.items),
            tuple(map(_of_pod, world.pods.values())),
            dict(world.due),
            (dict(world.alerts), world.alerts_fault),
            world.couriers.fork(),
            tuple(map(_of_meter, meters.values())),
            (tuple(meters), b"".join([each.counters.tobytes() for each in meters.values()])),
            {uid: replace(life) for uid, life in memory.lives.items()},
        )
