"""Time passing in the world: what is due next, and everything that happens when it is.

Between two events nothing changes but counters: requests flow to the pods that serve. At an event pods start, crash
and go, the store scrapes, people and tools act, and the controllers look at what changed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from controller.simulation import services
from controller.simulation.pods import NEVER
from controller.simulation.traffic import Stream

if TYPE_CHECKING:
    from controller.simulation.world import World


def pass_until(world: World, then: float) -> None:
    """Let time pass until `then` (seconds since the epoch); a time that has passed already changes nothing."""
    while (at := _next_event(world)) <= then:
        _flow_to(world, at)
        _fire(world)
    if then > world.now:
        _flow_to(world, then)


def count(world: World) -> None:
    """What has flowed so far becomes counts, by how each version behaves just now; ask before that changes."""
    of_version: dict[str, Stream] = {}
    streams = {}
    for pod in world.pods.values():
        stream = of_version.get(pod.version)
        if stream is None:
            how = world.behaviour(pod.version)
            stream = of_version[pod.version] = Stream(how.errors, how.latency, how.orders, how.memory)
        streams[pod.name] = stream
    world.traffic.count(streams)


def _next_event(world: World) -> float:
    scrape = world.conditions.scrape
    soonest = (math.floor(world.now / scrape + 1e-9) + 1) * scrape
    for pod in world.pods.values():
        soonest = min(soonest, pod.due)
    for at in world.due.values():
        soonest = min(soonest, at)
    for actor in world.actors:
        soonest = min(soonest, actor.due)
    return max(soonest, world.now)


def _flow_to(world: World, then: float) -> None:
    seconds, world.now = then - world.now, then
    if seconds <= 0.0:
        return
    for serving, load in services.routes(world):
        world.traffic.flow(serving, load, seconds)


def _fire(world: World) -> None:
    """Everything that is due now."""
    now, scrape = world.now, world.conditions.scrape
    if abs(now - round(now / scrape) * scrape) < 1e-6 and now > world.scraped:
        count(world)
        world.scraped = now
        world.traffic.sample((pod.name for pod in world.pods.values() if pod.answering), now)
    changed = False
    for pod in [pod for pod in world.pods.values() if pod.due <= now]:
        changed = True
        restarts = pod.state.restarts
        if not pod.fire(world.behaviour(pod.version), now):
            del world.pods[pod.name]
            world.objects.next_version()
            world.wake(pod.namespace)
        elif pod.state.restarts != restarts:
            world.traffic.restart(pod.name)
        world.touch(pod)
    for actor in world.actors:
        if actor.due <= now:
            actor.due = now + actor.every if now + actor.every <= actor.until else NEVER
            actor.act(world)
    if any(at <= now for at in world.due.values()):
        world.act()
    elif changed:
        world.remember()
